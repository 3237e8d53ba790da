//! What is muted and held back: what of it moves, what is refused, and that nothing is muted that was told there.

use std::fmt::Write as _;

use wire::Matches;

use super::*;
use crate::import::moved::Left;

/// What becomes of some of a config.
fn moved(text: &str) -> Moved {
    let text = format!("{text}\nreceivers: [{{name: a}}, {{name: b}}, {{name: c}}]\n");
    let export = Export { name: "alertmanager.yml".into(), text };
    read(&[export], "2026-03-01T00:00:00Z".parse().expect("an instant")).expect("an import")
}

fn rules(rules: &str) -> (Vec<String>, Vec<Left>) {
    let moved = moved(&format!("route: {{receiver: a}}\ninhibit_rules:\n{rules}"));
    let said = moved.silences.inhibit.iter();
    let said = said.map(|r| format!("{}: {} > {} {:?}", r.name, r.upstream, r.covers, r.same)).collect();
    (said, moved.left.into_iter().filter(|left| left.what.starts_with("inhibit_rules")).collect())
}

#[test]
fn rules_of_inhibition_move() {
    for (rule, want) in [
        (
            "source_matchers: [severity=critical], target_matchers: [severity=~\"warning|info\"], equal: [team, model, owner]",
            vec![
                "severity-critical-over-severity-warning-info: severity sev1 > severity sev3 or sev4 [Model, Owner]",
            ],
        ),
        (
            "name: down, source_match: {alertname: TocsinAvailability}, target_match_re: {family: latency|drift}",
            vec!["down: family availability > family latency or drift []"],
        ),
        (
            "name: all, source_matchers: [severity=critical], target_matchers: [], equal: [segment, tier, alertname]",
            vec!["all: severity sev1 > severity sev2 or sev3 or sev4 [Segment, Tier, Family]"],
        ),
        (
            "source_matchers: [], target_matchers: [severity=info], equal: [model]",
            vec!["everything-over-severity-info: severity sev1 or sev2 or sev3 > severity sev4 [Model]"],
        ),
        // Both sides have some in common: a critical one of availability neither holds back nor is held back by its like.
        (
            "name: both, source_matchers: [drill=\"true\"], target_matchers: [severity=critical], equal: [model]",
            vec![
                "both: severity sev2 or sev3 or sev4, drill true > severity sev1 [Model]",
                "both-2: drill true > severity sev1, drill false [Model]",
            ],
        ),
    ] {
        let (said, left) = rules(&format!("  - {{{rule}}}"));
        assert_eq!(said, want, "{rule}");
        assert!(left.len() == 1 && left[0].why.contains("at most 86400 s"), "{rule}: {left:?}");
    }
}

#[test]
fn rules_that_cannot_be_said_are_left() {
    for (rule, words) in [
        (
            "source_matchers: [severity=critical], target_matchers: [severity=info], equal: [cluster]",
            "`equal` has cluster",
        ),
        (
            "source_matchers: [severity=critical], target_matchers: [severity=info], equal: [namespace]",
            "`equal` has namespace",
        ),
        ("source_matchers: [cluster=eu], target_matchers: [severity=info]", "no label \"cluster\""),
        (
            "source_matchers: [severity=critical], target_matchers: [team!=risk], equal: [model]",
            "cannot say what it is not",
        ),
        (
            "source_matchers: [severity=critical], target_matchers: ['model=~\"[ab]\"', severity=info]",
            "no list of names",
        ),
        // What would mute more: a star that is a letter there, a letter that is needed, a label that says more.
        (
            "source_matchers: [severity=critical], target_matchers: ['model=\"a*\"', severity=info]",
            "takes more than that",
        ),
        (
            "source_matchers: [severity=critical], target_matchers: ['model=~\"a.+\"', severity=info]",
            "takes more than that",
        ),
        (
            "source_matchers: [severity=critical], target_matchers: [kind!=model, severity=info]",
            "whatever it is",
        ),
        ("source_matchers: [severity=critical], target_matchers: [severity=critical]", "of both sides"),
        ("source_matchers: [team=risk], target_matchers: [model=fraud]", "of both sides"),
        (
            "source_matchers: [severity=critical], sources: [x], target_matchers: [severity=info]",
            "has sources",
        ),
        ("source_matchers: {severity: critical}", "not written as is known"),
    ] {
        let (said, left) = rules(&format!("  - {{{rule}}}"));
        assert_eq!(said, Vec::<String>::new(), "{rule}");
        assert!(left.len() == 1 && left[0].why.contains(words), "{rule}: {left:?}");
    }
}

#[test]
fn a_rule_that_covers_fewer_says_so() {
    let (said, left) = rules(
        "  - {name: x, source_matchers: [team=risk], target_matchers: [severity=info], equal: [subject]}",
    );
    // Of those that are of both sides only these can be told: no condition says "not of risk".
    assert_eq!(said, ["x: severity sev1 or sev2 or sev3, owner risk > severity sev4 [Model]"]);
    let why: Vec<_> = left.iter().map(|left| left.why.as_str()).collect();
    assert!(why.iter().any(|why| why.contains("of both sides")), "{why:?}");
    assert!(why.iter().any(|why| why.contains("only models are the same")), "{why:?}");
}

fn whole(text: &str) -> Moved {
    let export = Export { name: "alertmanager.yml".into(), text: text.into() };
    read(&[export], "2026-03-01T00:00:00Z".parse().expect("an instant")).expect("an import")
}

/// Why something of this name was left.
fn why<'a>(moved: &'a Moved, what: &str) -> Vec<&'a str> {
    moved.left.iter().filter(|left| left.what == what).map(|left| left.why.as_str()).collect()
}

#[test]
fn targets_that_a_step_has_no_room_for_are_named() {
    let mails = |name: &str| {
        let to: Vec<_> = (0..15).map(|n| format!("{name}{n:02}@example.org")).collect();
        format!("  - {{name: {name}, email_configs: [{{to: '{}'}}]}}\n", to.join(", "))
    };
    let routes = "[{matchers: [team=risk], receiver: a, continue: true}, {matchers: [severity=critical], receiver: b}]";
    let text = format!("route: {{receiver: a, routes: {routes}}}\nreceivers:\n{}{}", mails("a"), mails("b"));
    let moved = whole(&text);
    let targets = &moved.policies["a-b"].steps[0].targets;
    assert_eq!(
        (targets.len(), targets[0].as_str(), targets[19].as_str()),
        (20, "mail/a00@example.org", "mail/b04@example.org")
    );
    let rest: Vec<_> = (5..15).map(|n| format!("mail/b{n:02}@example.org")).collect();
    let want = format!(
        "are told together (`continue`) and have more than 20 targets; left out: {}",
        rest.join(", ")
    );
    assert_eq!(why(&moved, "receivers a, b"), [want]);
    assert!(moved.left.iter().all(|left| !left.what.starts_with("receiver ")), "{:?}", moved.left);
}

#[test]
fn ends_that_were_not_told_and_long_repetitions_are_said() {
    let moved = whole(
        "route: {receiver: a, repeat_interval: 10d, routes: [{matchers: [team=risk], receiver: b, repeat_interval: 7d}]}
receivers:
  - {name: a, email_configs: [{to: a@example.org}], webhook_configs: [{url: 'https://example.org'}]}
  - {name: b, slack_configs: [{channel: '#b', send_resolved: true}], pagerduty_configs: [{routing_key: x, send_resolved: false}]}
  - {name: c, pushover_configs: [{user_key: x, send_resolved: false}]}
",
    );
    let of_ends = why(&moved, "send_resolved");
    assert!(
        of_ends.len() == 1 && of_ends[0].starts_with("is off for a (email), b (pagerduty), as"),
        "{of_ends:?}"
    );
    assert_eq!(
        why(&moved, "route"),
        ["repeats after 864000 s; here after 604800 s, the longest that a step waits"]
    );
    assert_eq!(why(&moved, "route.routes[0] to b"), [""; 0]);
    assert_eq!(moved.policies["a"].steps[0].delay_s, 604_800);
}

const INTERVALS: &str = "time_intervals:
  - {name: night, time_intervals: [{times: [{start_time: '01:00', end_time: '02:00'}]}]}
  - {name: dawn, time_intervals: [{times: [{start_time: '05:00', end_time: '06:00'}]}]}
  - {name: month, time_intervals: [{days_of_month: ['1:5']}]}
";

fn windows(routes: &str) -> (Vec<String>, Vec<Left>) {
    let moved = moved(&format!("{INTERVALS}route:\n  receiver: a\n  routes:\n{routes}"));
    let windows = moved.silences.maintenance.iter();
    let windows = windows.map(|w| format!("{} {}", w.incidents, w.hours.clone().unwrap_or_default()));
    let of_routes = |left: &Left| left.what.starts_with("route.") || left.what.contains("month");
    (windows.collect(), moved.left.into_iter().filter(of_routes).collect())
}

/// Routes, the windows that come of them, and words of what is left. Without words nothing is.
type Case = (&'static str, Vec<&'static str>, Vec<&'static str>);

fn windows_are(cases: impl IntoIterator<Item = Case>) {
    for (routes, want, words) in cases {
        let (said, left) = windows(routes);
        assert_eq!(said, want, "{routes}: {left:#?}");
        for words in &words {
            assert!(left.iter().any(|left| left.why.contains(words)), "{routes}: no {words:?} in {left:#?}");
        }
        if words.is_empty() {
            assert!(
                left.iter().all(|left| left.why.contains("no route that was moved")),
                "{routes}: {left:#?}"
            );
        }
    }
}

#[test]
fn windows_leave_out_what_others_are_told_of() {
    windows_are([
        ("  - {matchers: [team=risk], receiver: b, mute_time_intervals: [night]}", vec!["owner risk 01:00-02:00"], vec![]),
        // What goes to a child, or to an earlier route, is not muted.
        (
            "  - {matchers: [family=drift], receiver: c}
  - {matchers: [team=risk], receiver: b, mute_time_intervals: [night], routes: [{matchers: [severity=critical]}]}",
            vec![
                "severity sev2 or sev3 or sev4, family latency or availability or traffic or data_quality or prediction \
                 or accuracy or calibration or deployment or telemetry or other, owner risk 01:00-02:00",
            ],
            vec![],
        ),
        // Where the earlier one is muted at the same time, it need not be left out.
        (
            "  - {matchers: [model=fraud], receiver: c, mute_time_intervals: [night, dawn]}
  - {matchers: [team=risk], receiver: b, mute_time_intervals: [night]}",
            vec!["model fraud 05:00-06:00", "model fraud 01:00-02:00", "owner risk 01:00-02:00"],
            vec![],
        ),
        // An earlier one takes some of them, and no condition says "not".
        (
            "  - {matchers: [model=fraud], receiver: c}
  - {matchers: [team=risk], receiver: b, mute_time_intervals: [night]}",
            vec![],
            vec!["model fraud goes to c before"],
        ),
        // An earlier one could not be said: whatever comes to it must not be muted.
        (
            "  - {matchers: ['model=~\"a[bc]\"'], receiver: c}
  - {matchers: [team=risk], receiver: b, mute_time_intervals: [night]}",
            vec![],
            vec!["no list of names", "some of everything come to route.routes[0] to c before"],
        ),
        (
            "  - {matchers: ['model=~\"a[bc]\"', team=~\"ri.*\"], receiver: c}
  - {matchers: [team=risk], receiver: b, mute_time_intervals: [night]}",
            vec![],
            vec!["what comes to route.routes[0] to c before could not be said"],
        ),
        (
            "  - {matchers: ['model=~\"a[bc]\"', severity=critical], receiver: c}
  - {matchers: [team=risk], receiver: b, mute_time_intervals: [night]}",
            vec!["severity sev2 or sev3 or sev4, owner risk 01:00-02:00"],
            vec!["no list of names", "some of severity sev1 come to route.routes[0] to c before"],
        ),
    ]);
}

#[test]
fn windows_go_as_far_as_routes_and_hours_can_be_said() {
    windows_are([
        // One that no incident ever comes to is no matter.
        (
            "  - {matchers: [cluster=eu], receiver: c}
  - {matchers: [team=risk], receiver: b, mute_time_intervals: [night]}",
            vec!["owner risk 01:00-02:00"],
            vec!["no label"],
        ),
        // It goes on to one that is told.
        (
            "  - {matchers: [team=risk], receiver: b, continue: true, mute_time_intervals: [night, dawn]}
  - {matchers: [severity=critical], receiver: c, mute_time_intervals: [dawn]}",
            vec![
                "severity sev1, owner risk 05:00-06:00",
                "owner risk 05:00-06:00",
                "severity sev2 or sev3 or sev4, owner risk 01:00-02:00",
                "severity sev1 05:00-06:00",
            ],
            vec!["b is muted at times at which c is not"],
        ),
        (
            "  - {matchers: ['model=\"a*\"'], receiver: b, mute_time_intervals: [night]}",
            vec![],
            vec!["takes more than that"],
        ),
        ("  - {receiver: b, mute_time_intervals: [night]}", vec![], vec!["takes every incident"]),
        (
            "  - {matchers: [team=risk], receiver: b, mute_time_intervals: [noon]}",
            vec![],
            vec!["no time interval \"noon\""],
        ),
        (
            "  - {matchers: [team=risk], receiver: b, mute_time_intervals: [month, dawn]}",
            vec!["owner risk 05:00-06:00"],
            vec!["days_of_month: 1:5"],
        ),
        (
            "  - {matchers: [team=risk], receiver: b, active_time_intervals: [month, dawn]}",
            vec![],
            vec!["days_of_month: 1:5"],
        ),
        (
            "  - {matchers: [team=risk], receiver: b, active_time_intervals: [night, dawn]}",
            vec!["owner risk 02:00-05:00", "owner risk 06:00-01:00"],
            vec![],
        ),
    ]);
}

/// A seeded sequence of numbers.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, n: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % n).expect("a small number")
    }
}

/// An incident as labels: severity, family, team, model.
type Labels = [&'static str; 4];

/// Label, operator, value.
type Test = (&'static str, &'static str, &'static str);

const TESTS: [Test; 12] = [
    ("severity", "=", "critical"),
    ("severity", "=", "warning"),
    ("severity", "!=", "critical"),
    ("family", "=", "drift"),
    ("family", "!=", "latency"),
    ("team", "=", "risk"),
    ("team", "=", "search"),
    ("team", "!=", "risk"),
    ("model", "=~", "fraud.*"),
    ("model", "=", "fraud-eu"),
    ("model", "!=", "fraud-eu"),
    ("cluster", "=", "eu"),
];

fn holds(all: &[Test], of: Labels) -> bool {
    all.iter().all(|(label, operator, value)| {
        let at = ["severity", "family", "team", "model"].iter().position(|known| known == label);
        let has = at.map_or("", |at| of[at]);
        match *operator {
            "=" => has == *value,
            "!=" => has != *value,
            _ => has.starts_with(value.trim_end_matches(".*")),
        }
    })
}

/// A route as Alertmanager walks it.
struct Node {
    tests: Vec<Test>,
    mutes: Vec<&'static str>,
    goes_on: bool,
    routes: Vec<Node>,
}

impl Node {
    fn new(random: &mut Seeded, depth: usize) -> Self {
        let tests = (0..1 + random.below(2)).map(|_| TESTS[random.below(12)]).collect();
        let mutes = [vec![], vec!["night"], vec!["dawn"], vec!["night", "dawn"]][random.below(4)].clone();
        let goes_on = random.below(3) == 0;
        let children = if depth == 0 { 0 } else { random.below(4) };
        Self { tests, mutes, goes_on, routes: (0..children).map(|_| Self::new(random, depth - 1)).collect() }
    }

    fn write(&self, indent: usize, text: &mut String) {
        let tests: Vec<_> = self.tests.iter().map(|(l, o, v)| format!("'{l}{o}\"{v}\"'")).collect();
        let (tests, mutes) = (tests.join(", "), self.mutes.join(", "));
        let pad = " ".repeat(indent);
        writeln!(
            text,
            "{pad}- matchers: [{tests}]\n{pad}  receiver: b\n{pad}  continue: {}\n{pad}  mute_time_intervals: [{mutes}]\n{pad}  routes:",
            self.goes_on
        )
        .expect("text");
        self.routes.iter().for_each(|route| route.write(indent + 4, text));
    }

    /// The routes whose receivers are told.
    fn told<'a>(&'a self, of: Labels, told: &mut Vec<&'a Self>) {
        let before = told.len();
        for route in self.routes.iter().filter(|route| holds(&route.tests, of)) {
            route.told(of, told);
            if !route.goes_on {
                break;
            }
        }
        if told.len() == before {
            told.push(self);
        }
    }
}

/// Whether conditions hold of what has these labels.
fn matches(conditions: &Matches, [severity, family, team, model]: Labels) -> bool {
    let Matches { severity: severities, family: families, owner, model: models, .. } = conditions;
    let word = |s: &wire::Severity| match s.name() {
        "sev1" => "critical",
        "sev2" => "error",
        "sev3" => "warning",
        _ => "info",
    };
    let glob = |pattern: &String| condition::glob(pattern, model);
    (severities.is_empty() || severities.iter().any(|s| word(s) == severity))
        && (families.is_empty() || families.iter().any(|f| f.name() == family))
        && (owner.is_empty() || owner.iter().any(|o| o == team))
        && (models.is_empty() || models.iter().any(glob))
}

fn all_labels() -> Vec<Labels> {
    let mut all = Vec::new();
    for severity in ["critical", "error", "warning", "info"] {
        for family in ["latency", "drift", "traffic"] {
            for team in ["risk", "search", "ranking"] {
                all.extend(["fraud-eu", "fraud-us", "rank"].map(|model| [severity, family, team, model]));
            }
        }
    }
    all
}

#[test]
fn nothing_is_muted_that_alertmanager_tells() {
    let (mut muted, mut missed) = (0, 0);
    for seed in 0..400 {
        let root = Node { tests: vec![], mutes: vec![], goes_on: false, ..Node::new(&mut Seeded(seed), 2) };
        let mut text = format!("{INTERVALS}route:\n  receiver: a\n  routes:\n");
        root.routes.iter().for_each(|route| route.write(4, &mut text));
        let silences = moved(&text).silences;
        for labels in all_labels() {
            let mut told = Vec::new();
            root.told(labels, &mut told);
            for (name, hours) in [("night", "01:00-02:00"), ("dawn", "05:00-06:00")] {
                let there = told.iter().all(|route| route.mutes.contains(&name));
                let mut windows = silences.maintenance.iter().filter(|w| w.hours.as_deref() == Some(hours));
                let here = windows.any(|window| matches(&window.incidents, labels));
                assert!(there || !here, "seed {seed}: {labels:?} is told in {name}:\n{text}\n{silences:#?}");
                muted += usize::from(here);
                missed += usize::from(there && !here);
            }
        }
    }
    assert!(muted > 5000, "{muted} muted as there, {missed} not");
}

#[test]
fn nothing_is_held_back_that_alertmanager_tells() {
    let (mut held, mut missed) = (0, 0);
    for seed in 0..200 {
        let random = &mut Seeded(seed);
        let mut side = || (0..random.below(3)).map(|_| TESTS[random.below(11)]).collect::<Vec<_>>();
        let (source, target) = (side(), side());
        let list = |tests: &[Test]| {
            tests.iter().map(|(l, o, v)| format!("'{l}{o}\"{v}\"'")).collect::<Vec<_>>().join(", ")
        };
        let text = format!(
            "route: {{receiver: a}}\ninhibit_rules: [{{source_matchers: [{}], target_matchers: [{}], equal: [family]}}]",
            list(&source),
            list(&target)
        );
        let rules = moved(&text).silences.inhibit;
        let all = all_labels();
        for up in &all {
            for child in all.iter().filter(|child| *child != up && child[1] == up[1]) {
                let two_sided = holds(&source, *child) && holds(&target, *up);
                let there = holds(&source, *up) && holds(&target, *child) && !two_sided;
                let here = rules.iter().any(|r| matches(&r.upstream, *up) && matches(&r.covers, *child));
                assert!(there || !here, "seed {seed}: {up:?} holds back {child:?}:\n{text}\n{rules:#?}");
                held += usize::from(here);
                missed += usize::from(there && !here);
            }
        }
    }
    assert!(held > 5000, "{held} held back as there, {missed} not");
}
