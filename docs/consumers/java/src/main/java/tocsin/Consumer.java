package tocsin;

import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import tocsin.Pager.Incident;

/**
 * A pager behind tocsin: reads incidents, drops duplicates, and says what a pager would do, one JSON line an action.
 *
 * <pre>mvn -q package; java -cp 'target/consumer.jar:target/libs/*' tocsin.Consumer --brokers localhost:9092 --group my-pager</pre>
 *
 * The rules it follows, and why, are in docs/consuming.md. One process at a time serves a group.
 */
public final class Consumer implements AutoCloseable {
    private static final Duration POLL = Duration.ofMillis(200);

    private final Options options;
    private final String incidents;
    private final String opened;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Admin admin;
    private final Pager pager = new Pager();
    private int done;

    private Consumer(Options options) {
        String middle = options.namespace().equals("default") ? "" : options.namespace() + ".";
        this.options = options;
        incidents = "tocsin." + middle + "incidents.v1";
        opened = "tocsin." + middle + "open.v1";
        consumer = new KafkaConsumer<>(
                Map.of(
                        "bootstrap.servers", options.brokers(),
                        "group.id", options.group(),
                        "enable.auto.commit", false,
                        "auto.offset.reset", "earliest",
                        "isolation.level", "read_committed"),
                new ByteArrayDeserializer(),
                new ByteArrayDeserializer());
        admin = Admin.create(Map.of("bootstrap.servers", options.brokers()));
    }

    /** True if as many actions were carried out as {@code --once} asked for. */
    private boolean run() throws ExecutionException, InterruptedException {
        // Positions first, then the snapshot: what changes in between is in both, never in neither.
        Map<TopicPartition, Long> missed = ends(incidents, IsolationLevel.READ_COMMITTED);
        Map<TopicPartition, Long> starts = new HashMap<>(missed);
        consumer.committed(missed.keySet()).forEach((place, committed) -> {
            if (committed != null) {
                starts.put(place, committed.offset());
            }
        });
        // Before anything is paged: or a crash now would let the next start skip what clears meanwhile.
        commit(starts);

        Map<String, Incident> news = new TreeMap<>();
        for (Incident incident : snapshot()) {
            if (pager.learn(incident)) {
                news.put(incident.id(), incident);
            }
        }
        // What was missed is folded before anything is said: nobody is paged for what has cleared since.
        consumer.assign(starts.keySet());
        starts.forEach(consumer::seek);
        readTo(missed, message -> Incident.parse(message.value())
                .filter(pager::learn)
                .ifPresent(incident -> news.put(incident.id(), incident)));
        news.values().forEach(this::carryOut);
        consumer.commitSync();
        System.err.println("caught up: " + pager.openCount() + " open");

        while (!enough() && !late()) {
            for (ConsumerRecord<byte[], byte[]> message : consumer.poll(POLL)) {
                Incident.parse(message.value()).filter(pager::learn).ifPresent(this::carryOut);
                // Only after the action: at least once, and the pager's key makes it once.
                commit(Map.of(new TopicPartition(message.topic(), message.partition()), message.offset() + 1));
                if (enough()) {
                    break;
                }
            }
        }
        return enough() || options.once() == null;
    }

    /** The last word on every open incident, from the compacted topic. */
    private Iterable<Incident> snapshot() throws ExecutionException, InterruptedException {
        // Up to the high watermark: the committed end stops before any transaction that still runs.
        Map<TopicPartition, Long> ends = ends(opened, IsolationLevel.READ_UNCOMMITTED);
        consumer.assign(ends.keySet());
        consumer.seekToBeginning(ends.keySet());
        Map<String, Optional<Incident>> words = new LinkedHashMap<>();
        readTo(ends, message -> words.put(
                new String(message.key(), java.nio.charset.StandardCharsets.UTF_8),
                message.value() == null ? Optional.empty() : Incident.parse(message.value())));
        return words.values().stream().flatMap(Optional::stream).toList();
    }

    /** Polls what is assigned until each position has reached its end; positions also pass markers of transactions. */
    private void readTo(Map<TopicPartition, Long> ends, java.util.function.Consumer<ConsumerRecord<byte[], byte[]>> take) {
        Set<TopicPartition> waiting = new HashSet<>(ends.keySet());
        waiting.removeIf(place -> consumer.position(place) >= ends.get(place));
        while (!waiting.isEmpty()) {
            consumer.poll(POLL).forEach(take);
            waiting.removeIf(place -> consumer.position(place) >= ends.get(place));
            if (!waiting.isEmpty() && late()) {
                throw new IllegalStateException("the end of " + waiting + " was not reached in time");
            }
        }
    }

    private Map<TopicPartition, Long> ends(String topic, IsolationLevel isolation) throws ExecutionException, InterruptedException {
        Map<TopicPartition, OffsetSpec> wanted = consumer.partitionsFor(topic).stream()
                .collect(Collectors.toMap(each -> new TopicPartition(topic, each.partition()), each -> OffsetSpec.latest()));
        if (wanted.isEmpty()) {
            throw new IllegalStateException("there is no topic " + topic);
        }
        return admin.listOffsets(wanted, new ListOffsetsOptions(isolation)).all().get().entrySet().stream()
                .collect(Collectors.toMap(Map.Entry::getKey, each -> each.getValue().offset()));
    }

    private void commit(Map<TopicPartition, Long> offsets) {
        consumer.commitSync(offsets.entrySet().stream()
                .collect(Collectors.toMap(Map.Entry::getKey, each -> new OffsetAndMetadata(each.getValue()))));
    }

    private void carryOut(Incident incident) {
        // Here a real pager is called: under the incident's id as its key, so that saying it twice is harmless.
        System.out.println(pager.act(incident));
        System.out.flush();
        done++;
    }

    private boolean enough() {
        return options.once() != null && done >= options.once();
    }

    private boolean late() {
        return options.once() != null && System.nanoTime() - options.deadline() >= 0;
    }

    @Override
    public void close() {
        consumer.close();
        admin.close();
    }

    /** The command line. {@code once} is null without {@code --once}; the deadline is one of {@link System#nanoTime}. */
    private record Options(String brokers, String group, String namespace, Integer once, long deadline) {
        static Options parse(String[] args) {
            Map<String, String> given = new HashMap<>(Map.of("--namespace", "default", "--timeout", "60"));
            Set<String> known = Set.of("--brokers", "--group", "--namespace", "--once", "--timeout");
            for (int i = 0; i < args.length; i += 2) {
                if (!known.contains(args[i]) || i + 1 == args.length) {
                    throw new IllegalArgumentException(args[i]);
                }
                given.put(args[i], args[i + 1]);
            }
            if (!given.keySet().containsAll(Set.of("--brokers", "--group"))) {
                throw new IllegalArgumentException("--brokers and --group are needed");
            }
            long wait = (long) (Double.parseDouble(given.get("--timeout")) * 1e9);
            Integer once = given.containsKey("--once") ? Integer.valueOf(given.get("--once")) : null;
            return new Options(given.get("--brokers"), given.get("--group"), given.get("--namespace"), once, System.nanoTime() + wait);
        }
    }

    public static void main(String[] args) throws Exception {
        Options options;
        try {
            options = Options.parse(args);
        } catch (IllegalArgumentException e) {
            System.err.println("usage: Consumer --brokers B --group G [--namespace NS] [--once N [--timeout S]]: " + e.getMessage());
            System.exit(2);
            return;
        }
        boolean well;
        try (Consumer consumer = new Consumer(options)) {
            well = consumer.run();
        }
        System.exit(well ? 0 : 1);
    }
}
