//! Two escalation workers on a real Kafka under a flood of incidents, killed one after the other wherever a crash can matter,
//! each as soon as the successor of the one before has paged somebody: nobody is forgotten, and nobody is called twice.
//!
//! 10 kills in CI; in full `TOCSIN_TEST_FLOOD=100` (then a minute of 1,000 incidents a second comes first):
//! `TOCSIN_TEST_FLOOD=100 cargo test -p tocsin-tests --test flood -- --nocapture`. `TOCSIN_TEST_KAFKA` says where.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use runtime::clock::Clock;
use runtime::log::{KafkaConfig, KafkaLog};
use rustix::process::{Signal, kill_process};
use tocsin_tests::flood::{self, Flood, OWNERS};
use tocsin_tests::gauntlet::{Call, Deed, ORDERS, Order, STANDS, Side};
use tocsin_tests::home;
use tocsin_tests::home::Home;
use tocsin_tests::pager::{Answer, Pager, Shown};
use tocsin_tests::process::Process;
use tocsin_tests::random::Random;
use tocsin_tests::told::{assert_no_page_lost, none_under_way};
use tocsin_tests::{env, foreign, not_tested, stored, wait};
use wire::audit::AuditRecord;
use wire::outbox::{OutboxRecord, OutboxState};
use wire::page::PageKind;
use wire::topic::Topics;
use wire::{Change, Timestamp};

const PARTITIONS: u32 = 2;
const RATE: u64 = 100;
const HIGH_RATE: u64 = 1_000;
const HIGH: Duration = Duration::from_secs(60);
/// Whom a silence is for, and how many incidents it may mute.
const SILENCED: &str = "team-9*";
const PLACES: usize = 1_000;
/// How long a person is left alone after a page.
const FOLD_S: u32 = 10;
/// Whose incidents come from one upstream, which is open for as long as anybody is killed.
const COVERED: &str = "team-8*";
const COVERED_ONE: u64 = 8;
const MINUTE_MS: i64 = 60_000;
const TURN_MS: i64 = 60 * MINUTE_MS;
/// From this many kills on it is the long form.
const LONG: u32 = 100;

/// One of two machines that page by webhooks: `hook` knows what it has, `plain` is told everything it is sent.
fn home_on(
    brokers: &str,
    namespace: &str,
    [hook, plain]: [&Pager; 2],
    handover: Timestamp,
    instance: u32,
) -> Home {
    let home = home!(&format!("{namespace}-{instance}"));
    home.write("hook.secret", Pager::secret());
    let mut config = format!(
        r#"
        namespace = "{namespace}"
        [log]
        brokers = "{brokers}"
        instance = "{instance}"
        [log.partitions]
        escalate = {PARTITIONS}
        [escalate]
        lease_s = 5
        incidents_max = 1000000
        "#
    );
    for (name, pager) in [("hook", hook), ("plain", plain)] {
        // The last part of the path says who calls.
        write!(
            config,
            "[receiver.{name}]\ntype = \"webhook\"\nurl = \"{}/{instance}\"\nsecret_file = \"hook.secret\"\n\
             allow_private = true\ntimeout_s = 2\n",
            pager.url
        )
        .expect("a string");
    }
    home.configure(&config);
    let config = std::fs::read_to_string(home.path("tocsin.toml")).expect("it was just written");
    let mut config: toml::Table = config.parse().expect("TOML");
    config.remove("route");
    config.remove("policy");
    config.insert("response".into(), "response".into());
    home.write("tocsin.toml", config.to_string());
    write_bundle(&home, handover);
    home
}

/// Each owner has a policy: a target of its own, a person whose pages fold, or a schedule of two such people.
fn write_bundle(home: &Home, handover: Timestamp) {
    let minute = handover.to_string()[..16].replace('T', " ");
    let (mut policy, mut people, mut schedules) = (String::new(), String::new(), String::new());
    for n in 0..OWNERS {
        let (owner, receiver) = (flood::owner(n), receiver_of(n));
        let (target, of_it) = match kind_of(n) {
            Kind::Target => (format!("{receiver}/{owner}"), vec![]),
            Kind::Person => (format!("person:{owner}"), vec![owner.clone()]),
            Kind::Schedule => (format!("schedule:{owner}"), in_turn(&owner).to_vec()),
        };
        let steps = format!("steps = [{{ targets = [\"{target}\"], delay_s = 86400 }}]");
        write!(policy, "[[route]]\nowner = [\"{owner}\"]\npolicy = \"{owner}\"\n[policy.{owner}]\n{steps}\n")
            .expect("a string");
        for person in &of_it {
            let contact = format!("contact.page = [\"{receiver}/{person}\"]\nlimits.fold_s = {FOLD_S}");
            write!(people, "[person.{person}]\n{contact}\n").expect("a string");
        }
        if kind_of(n) == Kind::Schedule {
            let layer = format!("people = {of_it:?}\nturn = \"1 hour\"\nhandover = \"{minute}\"");
            write!(schedules, "[schedule.{owner}]\nzone = \"UTC\"\n[[schedule.{owner}.layer]]\n{layer}\n")
                .expect("a string");
        }
    }
    let rest = "[[route]]\npolicy = \"rest\"\n[policy.rest]\nsteps = [{ targets = [\"hook/rest\"], delay_s = 86400 }]\n";
    home.write("response/policy.toml", policy + rest);
    home.write("response/people.toml", people);
    home.write("response/schedules.toml", schedules);
    let upstream = flood::UPSTREAM;
    home.write(
        "response/silences.toml",
        format!(
            "[[inhibit]]\nname = \"upstream\"\nupstream = {{ model = [\"{upstream}\"] }}\n\
             covers = {{ owner = [\"{COVERED}\"] }}\nfor_s = 86400\n"
        ),
    );
}

fn receiver_of(n: u64) -> &'static str {
    if (n % OWNERS).is_multiple_of(4) { "plain" } else { "hook" }
}

/// Whom the policy of an owner calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Target,
    /// One owner in eight.
    Person,
    /// One in eight.
    Schedule,
}

fn kind_of(n: u64) -> Kind {
    match (n % OWNERS) % 8 {
        1 => Kind::Person,
        5 => Kind::Schedule,
        _ => Kind::Target,
    }
}

/// Who is on call for an owner from the hand-over on, and who before it; then in turn, by the hour.
fn in_turn(owner: &str) -> [String; 2] {
    [format!("{owner}-in-turn-a"), format!("{owner}-in-turn-b")]
}

/// A machine with what runs on it.
struct Machine {
    home: Home,
    process: Process,
}

impl Machine {
    fn start(home: Home) -> Self {
        let process = start(&home);
        Self { home, process }
    }

    fn again(&mut self) {
        self.process = start(&self.home);
    }
}

fn start(home: &Home) -> Process {
    let args = ["run", "--config", "tocsin.toml", "--json", "--log-format", "json", "--roles", "escalate"];
    let mut command = home.command(&args);
    command.env(ORDERS, home.path("orders"));
    Process::of(command).unwrap_or_else(|said| panic!("tocsin run did not start {said}"))
}

/// Where a worker is killed: at a call of its own, or by the receiver that has its request and has not answered.
fn places() -> Vec<Option<Order>> {
    let sides = Call::ALL.into_iter().flat_map(|call| Side::ALL.map(|side| (call, side)));
    let own = sides.map(|(call, side)| Some(Order { deed: Deed::Kill, role: "escalate", call, side }));
    own.chain([None]).collect()
}

/// Kills it there; where it does not come by, wherever it is.
fn kill(machine: &mut Machine, instance: usize, place: Option<Order>, pager: &Pager) -> String {
    let pid = machine.process.pid();
    let die = move || kill_process(pid, Signal::KILL).expect("it is our child, and not waited for");
    match place {
        Some(order) => drop(machine.home.write("orders", order.to_string())),
        None => {
            let name = (instance + 1).to_string();
            pager.strike(Some(Box::new(move |from| {
                let is_its = from == name;
                if is_its {
                    die();
                }
                is_its
            })));
        }
    }
    let gone = wait::within(STANDS, || (!machine.process.runs()).then_some(()));
    pager.strike(None);
    if gone.is_none() {
        die();
        wait::until("it is gone", || (!machine.process.runs()).then_some(()));
        return "anywhere".into();
    }
    place.map_or("at the receiver, before it answered".into(), |order| {
        format!("{:?} {:?}", order.side, order.call).to_lowercase()
    })
}

/// Partitions in which somebody was called about what was decided after a time.
fn paged_since(shown: &[Shown], since: Timestamp) -> BTreeSet<u32> {
    let late = shown.iter().filter(|shown| shown.page.decided_at > since);
    late.map(|shown| wire::partition::of_incident(&shown.page.incident.incident_id, PARTITIONS)).collect()
}

#[test]
fn a_flood_and_a_killer_lose_no_page_and_double_none() {
    let (Some(kills), Some(brokers)) = (env("TOCSIN_TEST_FLOOD"), env("TOCSIN_TEST_KAFKA")) else {
        return not_tested(
            "two workers under a flood on a real Kafka, killed: TOCSIN_TEST_FLOOD=10, TOCSIN_TEST_KAFKA",
        );
    };
    let kills: u32 = kills.parse().expect("TOCSIN_TEST_FLOOD is a number");
    let (hook, plain) = (Pager::start(), Pager::start());
    hook.answer(Answer::Moody);
    let namespace = foreign::namespace("flood");
    let clock = Clock::start();
    // Of schedules, which go by whole minutes: in the midst of it.
    let handover = clock.now().wall.floor_to(MINUTE_MS).plus_ms(2 * MINUTE_MS);
    let homes = (1..=2).map(|i| home_on(&brokers, &namespace, [&hook, &plain], handover, i));
    let mut machines: Vec<Machine> = homes.map(Machine::start).collect();
    machines.iter().for_each(|machine| machine.process.until_ready());

    silence(&machines[0]);
    let log = KafkaLog::connect(KafkaConfig::new(&brokers)).expect("it is there");
    open_upstream(&log, &namespace);
    let flood = Flood::start(&brokers, &namespace, PARTITIONS, if kills >= LONG { HIGH_RATE } else { RATE });
    if kills >= LONG {
        std::thread::sleep(HIGH);
        flood.set_rate(RATE);
    }
    let mut random = Random::new(1);
    let (mut at_places, mut without) = (BTreeMap::<String, u32>::new(), vec![]);
    let mut places = places();
    for n in 0..kills {
        let which = usize::from(random.chance(0.5));
        let turn = n as usize % places.len();
        if turn == 0 {
            random.shuffle(&mut places);
        }
        let place = places[turn];
        let seen = hook.shown_so_far();
        *at_places.entry(kill(&mut machines[which], which, place, &hook)).or_default() += 1;
        let killed = clock.now();
        machines[which].again();
        wait::until("both partitions page again", || {
            let since = paged_since(&hook.shown_from(seen), killed.wall);
            (since.len() == PARTITIONS as usize).then_some(())
        });
        without.push(clock.now().mono - killed.mono);
    }
    until_some_are_called_after(handover, clock);
    let written = flood.end();
    wait::until("every page has left", || none_under_way(&log, &namespace).then_some(()));
    let all = || [hook.shown(), plain.shown()].concat();
    let covered = what_is_covered_pages_when_upstream_is_over(&log, &namespace, written, all);
    for machine in &machines {
        assert_eq!(machine.home.json(&["audit", "verify"])[0]["ok"], true);
    }
    for machine in machines {
        let (ended, said) = machine.process.terminate();
        assert!(ended.success(), "{ended}: {said}");
    }

    let all = all();
    let handed_over = each_is_called_in_their_turn(&all, handover);
    let (called, folded) = called(&log, &namespace, &all);
    assert_none_lost(written, &called);
    let quiet = only_the_last_are_called((0..written).filter(is_silenced), &called, &all);
    for pager in [&hook, &plain] {
        pager.assert_none_doubled();
    }
    assert_no_page_lost(&brokers, &namespace, &[&hook, &plain]);
    let repeats = |pager: &Pager| pager.shown().iter().map(|shown| shown.times - 1).sum::<u32>();
    let under_way = under_way_at_takeovers(&log, &namespace);
    let elsewhere = repeats(&plain);
    assert!(elsewhere <= under_way, "{elsewhere} repeats, {under_way} sends were under way at takeovers");
    report(written, &at_places, without, [repeats(&hook), elsewhere, under_way], quiet, folded);
    println!("{covered} of them had something upstream, and paged when that was over");
    println!("{} pages to who was on call before the hand-over, {} after it", handed_over[1], handed_over[0]);
}

fn until_some_are_called_after(handover: Timestamp, clock: Clock) {
    wait::until("it is handed over", || (clock.now().wall > handover.plus_ms(10_000)).then_some(()));
}

fn assert_none_lost(written: u64, called: &BTreeSet<String>) {
    // What clears so soon may be over before anybody is called.
    let due = (0..written).filter(|n| !is_silenced(n) && !clears(*n));
    let lost = due.filter(|n| !called.contains(flood::id(*n).as_str())).count();
    assert_eq!(lost, 0, "of {written} incidents, nobody was called about so many");
}

/// Incidents about which somebody was called: by a page of their own, or by one that speaks for them. And how many the latter
/// were, in how many pages.
fn called(log: &KafkaLog, namespace: &str, all: &[Shown]) -> (BTreeSet<String>, [usize; 2]) {
    let calls = all.iter().map(|shown| &shown.page).filter(|page| page.calls());
    let mut called: BTreeSet<String> =
        calls.clone().map(|page| page.incident.incident_id.to_string()).collect();
    let spoken: BTreeMap<_, _> =
        calls.filter_map(|page| page.folded.as_ref()).map(|folded| (&folded.into, folded)).collect();
    let mut of = 0;
    let records: Vec<OutboxRecord> = stored::json(log, &Topics::of(namespace).outbox);
    for record in records {
        // Beyond so many a page says only how many there are.
        if let OutboxState::Folded { into } = record.state
            && let Some(folded) = spoken.get(&into)
            && (folded.others as usize > folded.listed.len()
                || folded.listed.iter().any(|other| other.incident_id == record.page.incident.incident_id))
        {
            of += usize::from(called.insert(record.page.incident.incident_id.to_string()));
        }
    }
    (called, [of, spoken.len()])
}

/// Of some owners nobody is to hear, up to a thousand incidents, wherever they are escalated.
fn silence(machine: &Machine) {
    let silence = ["silence", "make", "--owner", SILENCED, "--for", "2h", "--reason", "a flood", "--most"];
    machine.home.ok(&[&silence[..], &[&PLACES.to_string(), "--yes"]].concat());
}

fn is_silenced(n: &u64) -> bool {
    is_of(SILENCED, *n)
}

/// Whether it clears before long.
const fn clears(n: u64) -> bool {
    n.is_multiple_of(flood::CLEARS)
}

fn is_of(owners: &str, n: u64) -> bool {
    flood::owner(n).starts_with(owners.trim_end_matches('*'))
}

/// Opens what is upstream of some owners' models, and returns when the owner of every partition knows: when it has muted what
/// comes from that.
fn open_upstream(log: &KafkaLog, namespace: &str) {
    flood::tell(log, namespace, PARTITIONS, &flood::upstream(namespace, Change::Opened));
    let mut probes = 0;
    wait::until("every worker has read what is upstream", || {
        flood::tell(log, namespace, PARTITIONS, &flood::probe(namespace, COVERED_ONE, probes));
        probes += 1;
        let audit: Vec<AuditRecord> = stored::json(log, &Topics::of(namespace).audit);
        let muted = audit.iter().filter(|record| record.action == "incident.muted");
        let partitions: BTreeSet<u32> = muted
            .filter_map(|record| Some(wire::partition::of_incident(record.incident_id.as_ref()?, PARTITIONS)))
            .collect();
        (partitions.len() == PARTITIONS as usize).then_some(())
    });
}

/// Nobody is called about what comes from something upstream while that is open, whoever died meanwhile; when it is over,
/// about all of it. Returns how many these are.
fn what_is_covered_pages_when_upstream_is_over(
    log: &KafkaLog,
    namespace: &str,
    written: u64,
    shown: impl Fn() -> Vec<Shown>,
) -> usize {
    let covered = || (0..written).filter(|n| is_of(COVERED, *n));
    let (before, _) = called(log, namespace, &shown());
    let too_soon: Vec<u64> = covered().filter(|n| before.contains(flood::id(*n).as_str())).collect();
    assert!(too_soon.is_empty(), "called while what is upstream was open: {too_soon:?}");
    flood::tell(log, namespace, PARTITIONS, &flood::upstream(namespace, Change::Cleared));
    let fires = || covered().filter(|n| !clears(*n));
    wait::until("what was covered and still fires has paged", || {
        let (now, _) = called(log, namespace, &shown());
        let have_all = fires().all(|n| now.contains(flood::id(n).as_str()));
        (have_all && none_under_way(log, namespace)).then_some(())
    });
    fires().count()
}

/// Of two who take turns, whoever is on call is called. Returns how many pages each got: both got some, for the hand-over is in
/// the midst of it.
fn each_is_called_in_their_turn(all: &[Shown], handover: Timestamp) -> [usize; 2] {
    let mut pages = [0; 2];
    for page in all.iter().map(|shown| &shown.page).filter(|page| page.calls()) {
        let Some((owner, _)) = page.person.as_deref().and_then(|person| person.rsplit_once("-in-turn-"))
        else {
            continue;
        };
        let turn = usize::from(page.decided_at.since_ms(handover).div_euclid(TURN_MS) % 2 != 0);
        assert_eq!(page.person.as_ref(), Some(&in_turn(owner)[turn]), "at {}: {page:#?}", page.decided_at);
        pages[turn] += 1;
    }
    assert!(!pages.contains(&0), "both of the two are called: {pages:?}");
    pages
}

/// Of what is silenced as many have a place as there are, and nobody is called about these, whoever died meanwhile; of the
/// others each page says why. Returns how many there were, and how many paged.
fn only_the_last_are_called(
    silenced: impl Iterator<Item = u64>,
    called: &BTreeSet<String>,
    all: &[Shown],
) -> [usize; 2] {
    let numbers: Vec<u64> = silenced.collect();
    // What clears so soon may be over before anybody is called.
    let cleared = numbers.iter().filter(|n| clears(**n)).count();
    let silenced: BTreeSet<String> = numbers.iter().map(|n| flood::id(*n).to_string()).collect();
    let paged: BTreeSet<&String> = silenced.iter().filter(|id| called.contains(*id)).collect();
    let mut late = BTreeSet::new();
    for shown in all.iter().filter(|shown| shown.page.kind == PageKind::Trigger) {
        let notice = shown.page.notice.as_deref().unwrap_or_default();
        let full = notice.contains("has its 1000 incidents");
        // A worker that does not come to reading its own claim for five seconds calls somebody rather than nobody.
        let in_vain = notice.contains("did not take it in time");
        let id = shown.page.incident.incident_id.to_string();
        assert!(full || in_vain || !silenced.contains(&id), "{id} is silenced, and paged: {notice:?}");
        if in_vain {
            late.insert(id);
        }
    }
    let (of, beyond) = (silenced.len(), silenced.len().saturating_sub(PLACES));
    let fine = (beyond.saturating_sub(cleared + late.len())..=beyond + late.len()).contains(&paged.len());
    assert!(
        fine,
        "of {of} silenced ones {} paged, {} were late, and there was no place for {beyond}",
        paged.len(),
        late.len()
    );
    [silenced.len(), paged.len()]
}

/// Sends that a new owner found under way, by its own record of them.
fn under_way_at_takeovers(log: &KafkaLog, namespace: &str) -> u32 {
    let audit: Vec<AuditRecord> = stored::json(log, &Topics::of(namespace).audit);
    let restarted = audit.iter().filter(|record| record.action == "lease.restarted");
    let count = |record: &AuditRecord| record.why.as_deref()?.split(' ').next()?.parse::<u32>().ok();
    restarted.filter_map(count).sum()
}

#[expect(clippy::print_stdout, reason = "it tells its figures")]
fn report(
    written: u64,
    at_places: &BTreeMap<String, u32>,
    mut without: Vec<Duration>,
    [known, elsewhere, under_way]: [u32; 3],
    [silenced, paged]: [usize; 2],
    [folded, pages]: [usize; 2],
) {
    println!("\n{written} incidents, {} kill -9:", at_places.values().sum::<u32>());
    at_places.iter().for_each(|(place, times)| println!("  {times:>4}  {place}"));
    println!("0 lost, 0 doubled where repeats are known for what they are ({known} came)");
    println!("{elsewhere} repeats elsewhere, {under_way} sends under way at takeovers");
    println!("{paged} of {silenced} silenced incidents paged, for which there was no place");
    println!("{folded} of them were folded into {pages} pages to people");
    without.sort();
    let at = |share: usize| without[(without.len() - 1) * share / 100].as_secs_f64();
    println!(
        "from a kill until both partitions page again: median {:.1} s, longest {:.1} s",
        at(50),
        at(100)
    );
    // The longest is the machine's as well; half of them are ours.
    assert!(without.len() < LONG as usize || at(50) < 15.0, "a takeover takes less than 15 s");
}
