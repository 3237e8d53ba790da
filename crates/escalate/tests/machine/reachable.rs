//! Of bundles as people might write them, the check takes those under which somebody is reached, at any time.

use std::collections::BTreeSet;

use escalate::{Bundle, Effect, Input, Machine, Policy};
use proptest::prelude::*;
use std::sync::Arc;
use wire::Severity;
use wire::outbox::Outcome;

use crate::samples::{at, opened, receivers};

const WHOM: [&str; 8] = [
    "person:ana",
    "person:bo",
    "team:ml",
    "team:quiet",
    "role:lead",
    "role:ghost",
    "schedule:rota",
    "pager/desk",
];

/// Bo has no contact for pages, nobody of the team of quiet ones has, nobody is a ghost, and the rota has hours without anybody.
const REST: &str = r#"
namespace = "default"
[people.person.ana]
contact = { page = ["pager/ana"], mail = ["board/ana"] }
[people.person.bo]
contact = { mail = ["board/bo"] }
[people.team.ml]
people = ["ana", "bo"]
[people.team.quiet]
people = ["bo"]
[people.role.lead]
people = ["ana"]
[people.role.ghost]
people = []
"#;

fn some<T: Clone + std::fmt::Debug + 'static>(
    of: &[T],
    most: usize,
) -> impl Strategy<Value = Vec<T>> + use<T> {
    prop::sample::subsequence(of.to_vec(), 1..=most)
}

fn step() -> impl Strategy<Value = String> {
    let when = prop_oneof![
        3 => Just(String::new()),
        1 => some(&["sev1", "sev2", "sev3", "sev4"], 2).prop_map(|s| format!(", when = {{ severity = {s:?} }}")),
        1 => Just(", when = { hours = \"09:00-17:00\" }".to_owned()),
        1 => Just(", when = { days = [\"sat\", \"sun\"] }".to_owned()),
    ];
    let by = prop_oneof![3 => Just(""), 1 => Just(", by = \"mail\""), 1 => Just(", by = \"chat\"")];
    (some(&WHOM, 2), when, by, 10u32..600).prop_map(|(targets, when, by, delay_s)| {
        format!("{{ targets = {targets:?}{when}{by}, delay_s = {delay_s} }}")
    })
}

fn policy(name: &'static str) -> impl Strategy<Value = String> {
    let fallback = prop_oneof![Just(""), Just("fallback = \"phone/desk\"\n")];
    (prop::collection::vec(step(), 1..4), fallback, 1u32..3, prop::bool::weighted(0.8)).prop_map(
        move |(steps, fallback, repeat, until_owned)| {
            let steps = steps.join(", ");
            format!("[policy.{name}]\nsteps = [{steps}]\n{fallback}repeat = {repeat}\nuntil_owned = {until_owned}\n")
        },
    )
}

fn any_bundle() -> impl Strategy<Value = String> {
    let rota = (prop::bool::ANY, some(&["[\"ana\"]", "[\"bo\"]", "[]"], 3)).prop_map(|(may_be_empty, turns)| {
        format!(
            "[schedules.schedule.rota]\nmay_be_empty = {may_be_empty}\nlayer = [{{ people = [{}], turn = \"12 hours\", \
             handover = \"2026-03-02 09:00\" }}]\n",
            turns.join(", ")
        )
    });
    let severe =
        prop_oneof![Just(""), Just("severity = [\"sev1\", \"sev2\"]\n"), Just("model = [\"fraud\"]\n")];
    (policy("one"), policy("two"), rota, severe).prop_map(|(one, two, rota, severe)| {
        format!("{REST}{rota}[[route]]\n{severe}policy = \"one\"\n[[route]]\npolicy = \"two\"\n{one}{two}")
    })
}

/// Who is called if nobody answers, until a whole round is over; and what tocsin says of itself meanwhile.
fn called(policy: Policy, severity: Severity, ms: i64) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut machine, start) = (Machine::new(0, Arc::new(policy)), at(0).plus_ms(ms));
    let (mut now, mut called, mut own) = (start, BTreeSet::new(), BTreeSet::new());
    let mut inputs = vec![Input::Started { owner: "one".into() }];
    inputs.push(Input::Incident(Box::new(opened("fraud", severity))));
    for _ in 0..50 {
        for input in std::mem::take(&mut inputs) {
            for effect in machine.handle(input, now) {
                if let Effect::Send { page, attempt, .. } = effect {
                    if page.calls() && page.incident.subject.name == "fraud" {
                        called.insert(format!("{}/{}", page.receiver, page.target));
                    }
                    inputs.push(Input::Outcome {
                        notification_id: page.notification_id.clone(),
                        incident_id: page.incident.incident_id.clone(),
                        attempt,
                        outcome: Outcome::Delivered { reference: None },
                    });
                } else if let Effect::Incident(incident) = effect {
                    own.insert(incident.subject.name);
                }
            }
        }
        if inputs.is_empty() {
            let Some(next) = machine.deadline().filter(|next| next.since_ms(start) < 3_600_000) else {
                break;
            };
            now = next.max(now);
            inputs.push(Input::Tick);
        }
    }
    (called, own)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_global_rejects: 100_000, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn whatever_passes_the_check_reaches_somebody(
        bundle in any_bundle(),
        severity in prop::sample::select(Severity::ALL.to_vec()),
        ms in -400_000_000_000i64..400_000_000_000,
    ) {
        let bundle: Bundle = toml::from_str(&bundle).unwrap_or_else(|e| panic!("{e}\n{bundle}"));
        let until_owned = {
            let route = bundle.route.iter().find(|r| r.severity.is_empty() || r.severity.contains(&severity));
            bundle.policy[&route.expect("the last takes everything").policy].until_owned
        };
        let policy = Policy::new(bundle, &receivers());
        prop_assume!(policy.is_ok());
        let (called, own) = called(policy.expect("it is"), severity, ms);
        // A ticket may go to a role that nobody has, and says so.
        prop_assert!(!called.is_empty() || !until_owned && !own.is_empty(), "nobody is reached: {:?}", own);
    }
}
