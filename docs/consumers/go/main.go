// A pager behind tocsin: reads incidents, drops duplicates, and says what a pager would do, one JSON line an action.
//
//	go run . --brokers localhost:9092 --group my-pager
//
// The rules it follows, and why, are in docs/consuming.md. One process at a time serves a group.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// offsets are places in one topic, by partition.
type offsets map[int32]int64

// Feed reads the two topics as the rules want them read.
type Feed struct {
	brokers           []string
	group             string
	incidents, opened string
	admin             *kadm.Client
}

// starts returns where to go on, and the end of what was missed.
func (f *Feed) starts(ctx context.Context) (starts, ends offsets, err error) {
	ends, err = placesOf(f.admin.ListCommittedOffsets(ctx, f.incidents))
	if err != nil {
		return nil, nil, err
	}
	committed, err := f.admin.FetchOffsets(ctx, f.group)
	// A cluster that never had a group makes its coordinator now; this client leaves the waiting to us.
	for tries := 0; kerr.IsRetriable(err) && tries < 100; tries++ {
		time.Sleep(100 * time.Millisecond)
		committed, err = f.admin.FetchOffsets(ctx, f.group)
	}
	if err != nil {
		return nil, nil, err
	}
	starts = maps.Clone(ends)
	for partition := range ends {
		if place, ok := committed.Lookup(f.incidents, partition); ok && place.At >= 0 {
			starts[partition] = place.At
		}
	}
	// Before anything is paged: or a crash now would let the next start skip what clears meanwhile.
	return starts, ends, f.commit(ctx, starts)
}

// snapshot returns the last word on every open incident, from the compacted topic.
func (f *Feed) snapshot(ctx context.Context) ([]*Incident, error) {
	// Up to the high watermark: the committed end stops before any transaction that still runs.
	ends, err := placesOf(f.admin.ListEndOffsets(ctx, f.opened))
	if err != nil {
		return nil, err
	}
	first, err := placesOf(f.admin.ListStartOffsets(ctx, f.opened))
	if err != nil {
		return nil, err
	}
	words := map[string]*Incident{}
	client, err := f.reader(f.opened, first)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	err = readTo(ctx, client, first, ends, func(record *kgo.Record) {
		words[string(record.Key)] = nil
		if record.Value != nil {
			words[string(record.Key)] = parse(record.Value)
		}
	})
	maps.DeleteFunc(words, func(_ string, word *Incident) bool { return word == nil })
	return slices.Collect(maps.Values(words)), err
}

// reader returns a client that reads a topic from the places given.
func (f *Feed) reader(topic string, from offsets) (*kgo.Client, error) {
	places := map[int32]kgo.Offset{}
	for partition, at := range from {
		places[partition] = kgo.NewOffset().At(at)
	}
	return kgo.NewClient(
		kgo.SeedBrokers(f.brokers...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Markers of transactions have offsets too: without them an end that is a marker would never be seen.
		kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: places}),
	)
}

func (f *Feed) commit(ctx context.Context, at offsets) error {
	var places kadm.Offsets
	for partition, offset := range at {
		places.AddOffset(f.incidents, partition, offset, -1)
	}
	return f.admin.CommitAllOffsets(ctx, f.group, places)
}

// readTo gives the records from `from`, where the client stands, up to `ends`; it may give some beyond.
func readTo(ctx context.Context, client *kgo.Client, from, ends offsets, take func(*kgo.Record)) error {
	at := maps.Clone(from)
	waiting := func() bool {
		for partition, end := range ends {
			if at[partition] < end {
				return true
			}
		}
		return false
	}
	for waiting() {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(record *kgo.Record) {
			at[record.Partition] = record.Offset + 1
			if !record.Attrs.IsControl() {
				take(record)
			}
		})
	}
	maps.Copy(from, at)
	return nil
}

// placesOf is the offsets of one topic out of an answer about it.
func placesOf(listed kadm.ListedOffsets, err error) (offsets, error) {
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err
	}
	found := offsets{}
	listed.Each(func(each kadm.ListedOffset) { found[each.Partition] = each.Offset })
	return found, nil
}

func run(ctx context.Context, feed *Feed, once int) (done int, err error) {
	pager, out := newPager(), json.NewEncoder(os.Stdout)
	carryOut := func(incident *Incident) error {
		// Here a real pager is called: under the incident's id as its key, so that saying it twice is harmless.
		done++
		return out.Encode(pager.act(incident))
	}

	// Positions first, then the snapshot: what changes in between is in both, never in neither.
	at, missed, err := feed.starts(ctx)
	if err != nil {
		return done, err
	}
	open, err := feed.snapshot(ctx)
	if err != nil {
		return done, err
	}
	news := map[string]*Incident{}
	learn := func(incident *Incident) {
		if incident != nil && pager.learn(incident) {
			news[incident.ID] = incident
		}
	}
	for _, incident := range open {
		learn(incident)
	}
	// What was missed is folded before anything is said: nobody is paged for what has cleared since.
	client, err := feed.reader(feed.incidents, at)
	if err != nil {
		return done, err
	}
	defer client.Close()
	if err := readTo(ctx, client, at, missed, func(record *kgo.Record) { learn(parse(record.Value)) }); err != nil {
		return done, err
	}
	for _, id := range slices.Sorted(maps.Keys(news)) {
		if err := carryOut(news[id]); err != nil {
			return done, err
		}
	}
	if err := feed.commit(ctx, at); err != nil {
		return done, err
	}
	fmt.Fprintf(os.Stderr, "caught up: %d open\n", len(pager.open))

	for once == 0 || done < once {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return done, err
		}
		for _, record := range fetches.Records() {
			if record.Attrs.IsControl() {
				continue
			}
			if incident := parse(record.Value); incident != nil && pager.learn(incident) {
				if err := carryOut(incident); err != nil {
					return done, err
				}
			}
			// Only after the action: at least once, and the pager's key makes it once.
			if err := feed.commit(ctx, offsets{record.Partition: record.Offset + 1}); err != nil {
				return done, err
			}
			if once != 0 && done >= once {
				break
			}
		}
	}
	return done, nil
}

func main() {
	brokers := flag.String("brokers", "", "bootstrap address, host:port[,host:port…]")
	group := flag.String("group", "", "consumer group, which keeps the place")
	namespace := flag.String("namespace", "default", "namespace of the installation")
	once := flag.Int("once", 0, "exit after `N` actions, or with status 1 at the timeout (0: run until stopped)")
	timeout := flag.Float64("timeout", 60, "`seconds` that --once waits")
	flag.Parse()
	if *brokers == "" || *group == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx := context.Background()
	if *once > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*timeout*float64(time.Second)))
		defer cancel()
	}
	middle := ""
	if *namespace != "default" {
		middle = *namespace + "."
	}
	feed := &Feed{
		brokers:   strings.Split(*brokers, ","),
		group:     *group,
		incidents: "tocsin." + middle + "incidents.v1",
		opened:    "tocsin." + middle + "open.v1",
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(feed.brokers...))
	if err == nil {
		defer client.Close()
		feed.admin = kadm.NewClient(client)
		_, err = run(ctx, feed, *once)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintln(os.Stderr, "the time is over")
	} else if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil {
		os.Exit(1)
	}
}
