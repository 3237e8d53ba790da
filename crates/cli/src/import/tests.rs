//! Each source: what becomes of a small export, who is on call by it when, and that the bundle is one.

use escalate::Policy;

use super::*;

/// Before everything in the fixtures that is to come.
const NOW: &str = "2026-03-01T00:00:00Z";

macro_rules! exports {
    ($($file:literal),+) => {
        [$(Export {
            name: $file.rsplit_once('/').map_or($file, |(_, name)| name).to_owned(),
            text: include_str!(concat!("fixtures/", $file)).to_owned(),
        }),+]
    };
}

fn of_alertmanager() -> Vec<Export> {
    exports!["alertmanager/alertmanager.yml"].into()
}

fn of_oncall() -> Vec<Export> {
    exports![
        "oncall/users.json",
        "oncall/teams.json",
        "oncall/schedules.json",
        "oncall/on_call_shifts.json",
        "oncall/shift_swaps.json",
        "oncall/escalation_chains.json",
        "oncall/escalation_policies.json",
        "oncall/personal_notification_rules.json"
    ]
    .into()
}

fn of_opsgenie() -> Vec<Export> {
    exports![
        "opsgenie/users.json",
        "opsgenie/team-fraud.json",
        "opsgenie/schedules.json",
        "opsgenie/overrides-fraud.json",
        "opsgenie/escalations.json",
        "opsgenie/routing-rules-fraud.json"
    ]
    .into()
}

fn of_goalert() -> Vec<Export> {
    exports!["goalert/answer.json"].into()
}

fn moved(from: Pager, exports: &[Export]) -> Moved {
    import(from, exports, NOW.parse().expect("an instant")).expect("an import")
}

/// The bundle as `tocsin check` sees it, given the receivers that were named.
fn checked(moved: &Moved) -> Policy {
    Policy::new(finish::bundle(moved), &receiver_names(moved)).unwrap_or_else(|e| panic!("{e}"))
}

/// Every file that is written, against what is checked in; `UPDATE_GOLDEN=1` rewrites it.
fn golden(from: Pager, exports: &[Export], moved: &Moved) {
    let dir =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/import/fixtures").join(word(from)).join("moved");
    for (name, text) in files(from, exports, moved).expect("files") {
        let path = dir.join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(&dir).expect("a folder");
            fs::write(&path, &text).expect("a file");
        }
        let want = fs::read_to_string(&path).unwrap_or_default();
        assert!(text == want, "{} has changed; UPDATE_GOLDEN=1 rewrites it. Now:\n{text}", path.display());
    }
}

/// What is said stands in docs/moving-in.md as it is said.
fn documented(from: Pager, exports: &[Export], moved: &Moved) {
    let names: Vec<_> = exports.iter().map(|export| export.name.clone()).collect();
    let command = format!("$ tocsin import {} {}\n", word(from), names.join(" "));
    let files = files(from, exports, moved).expect("files");
    let args = ImportArgs { from, files: vec![], out: "response".into(), force: false };
    let said: Vec<_> = say(&args, moved, &files).into_iter().map(|(_, line)| line).collect();
    let said = said.join("\n") + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/moving-in.md");
    let page = fs::read_to_string(&path).expect("a page");
    let (before, rest) = page.split_once(&command).unwrap_or_else(|| panic!("the page has no {command}"));
    let (block, after) = rest.split_once("```").expect("the block ends");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{before}{command}{said}```{after}")).expect("written");
        return;
    }
    assert!(block == said, "docs/moving-in.md differs; UPDATE_GOLDEN=1 rewrites it. Now:\n{said}");
}

/// What is written reads back as what was meant, and its receivers are such.
fn reads_back(from: Pager, exports: &[Export], moved: &Moved) {
    let files = files(from, exports, moved).expect("files");
    let of =
        |name: &str| files.iter().find(|(n, _)| *n == name).map(|(_, text)| text.as_str()).expect("a file");
    assert_eq!(toml::from_str::<escalate::PeopleConfig>(of(PEOPLE)).expect("people"), moved.people);
    assert_eq!(
        toml::from_str::<escalate::SchedulesConfig>(of(SCHEDULES)).expect("schedules"),
        moved.schedules
    );
    let policy: toml::Table = toml::from_str(of(POLICY)).expect("a policy");
    let routes: Vec<RouteConfig> = policy["route"].clone().try_into().expect("routes");
    let policies: BTreeMap<String, PolicyConfig> = policy["policy"].clone().try_into().expect("policies");
    assert_eq!((routes, policies), (moved.routes.clone(), moved.policies.clone()));
    let silences = files.iter().find(|(name, _)| *name == SILENCES);
    let silences = silences.map(|(_, text)| toml::from_str::<SilencesConfig>(text).expect("silences"));
    assert_eq!(silences.unwrap_or_default(), moved.silences);
    for (name, Receiver(lines)) in &moved.receivers {
        // An address that nobody may repeat is left to be filled in.
        let text = lines.join("\n").replace("https://…", "https://example.org/");
        let read = toml::from_str::<::receivers::ReceiverConfig>(&text);
        assert!(read.is_ok(), "{name}: {read:?}\n{text}");
    }
}

/// No secret of the fixtures is anywhere in what is written or said.
fn keeps_secrets(from: Pager, exports: &[Export], moved: &Moved) {
    let all: String = files(from, exports, moved).expect("files").into_iter().map(|(_, text)| text).collect();
    let all = all + &serde_json::to_string(&told(moved, Path::new("out"), &[])).expect("JSON");
    for secret in ["swordfish", "open-sesame", "0123456789abcdef", "fedcba9876543210", "+1555", "301234567"] {
        assert!(!all.contains(secret), "{secret} in\n{all}");
    }
}

fn all_of(from: Pager, exports: &[Export]) -> (Moved, Policy) {
    let moved = moved(from, exports);
    let policy = checked(&moved);
    reads_back(from, exports, &moved);
    keeps_secrets(from, exports, &moved);
    golden(from, exports, &moved);
    documented(from, exports, &moved);
    (moved, policy)
}

fn on_call(policy: &Policy, schedule: &str, cases: &[(&str, &str)]) {
    for (at, want) in cases {
        let got = policy.schedules()[schedule].at(at.parse().expect("an instant")).people.join(" ");
        assert_eq!(got, *want, "{schedule} at {at}");
    }
}

/// Whether something of that name was left, with these words in why.
fn left(moved: &Moved, what: &str, words: &str) {
    let found = moved.left.iter().any(|l| l.what.contains(what) && l.why.contains(words));
    assert!(found, "no {what:?} with {words:?} in {:#?}", moved.left);
}

fn steps(moved: &Moved, policy: &str) -> Vec<(String, u32)> {
    moved.policies[policy].steps.iter().map(|s| (s.targets.join(" "), s.delay_s)).collect()
}

#[test]
fn alertmanager_moves() {
    let (moved, _) = all_of(Pager::Alertmanager, &of_alertmanager());
    let of = |route: &RouteConfig| {
        let severity: Vec<_> = route.severity.iter().map(|s| s.name()).collect();
        format!(
            "{} {} {} → {}",
            severity.join(","),
            route.model.join(","),
            route.owner.join(","),
            route.policy
        )
    };
    let routes: Vec<_> = moved.routes.iter().map(of).collect();
    // A route that goes on is in front of each that it goes on to; one by a label that incidents have not is left out.
    assert_eq!(
        routes,
        [
            "sev1 fraud-*,chargeback risk → risk-channel-risk-pager",
            "sev1  risk → risk-channel-platform-pager",
            "sev3  risk → risk-channel-tickets",
            "sev4  risk → risk-channel-null",
            "  risk → risk-channel",
            "sev3,sev4  ranking → ranking-channel",
            "sev1  search → search-channel",
            "  search → search-channel",
            "sev1 fraud-*,chargeback  → risk-pager",
            "sev1   → platform-pager",
            "sev3   → tickets",
            "sev4   → null",
            "   → ml-mail",
        ]
    );
    assert_eq!(
        steps(&moved, "risk-channel-risk-pager"),
        [("risk-channel-opsgenie/team:Risk slack/#risk-alerts risk-pager/risk-pager".to_owned(), 1800)]
    );
    assert_eq!(steps(&moved, "ml-mail"), [("mail/ml@example.org mail/lead@example.org".to_owned(), 43_200)]);
    assert_eq!(steps(&moved, "null"), [("inbox/null".to_owned(), 43_200)]);
    left(&moved, "route.routes[6] to platform-pager", "no label \"cluster\"");
    windows_and_rules_moved(&moved);
    left(&moved, "receiver platform-pager", "pushover");
    left(
        &moved,
        "send_resolved",
        "ranking-channel (slack), risk-channel (slack), search-channel (slack), as",
    );
    assert_eq!(
        moved.receivers.keys().collect::<Vec<_>>(),
        [
            "alertmanager",
            "inbox",
            "mail",
            "platform-pager",
            "platform-pager-teams",
            "risk-channel-opsgenie",
            "risk-pager",
            "slack",
            "tickets"
        ]
    );
}

/// What is muted, and that nothing more is: risk's tickets go to a channel that is told at night too, and no condition says
/// "not of risk", so those of all others are paged at night as well.
fn windows_and_rules_moved(moved: &Moved) {
    let SilencesConfig { maintenance, inhibit } = &moved.silences;
    let windows: Vec<_> = maintenance
        .iter()
        .map(|w| {
            let times = [w.hours.clone(), Some(w.days.join(",")), w.zone.clone(), w.from.clone()];
            let times: Vec<_> = times.into_iter().flatten().filter(|text| !text.is_empty()).collect();
            format!("{}: {}: {}", w.name, w.incidents, times.join(" "))
        })
        .collect();
    assert_eq!(
        windows,
        [
            "ranking-channel-nights: severity sev3 or sev4, owner ranking: 20:00-06:30 Europe/Berlin",
            "ranking-channel-quarter-ends: severity sev3 or sev4, owner ranking: UTC 2026-12-24 00:00",
            "search-channel-outside-office: severity sev2 or sev3 or sev4, owner search: \
             00:00-09:00 mon,tue,wed,thu,fri America/New_York",
            "search-channel-outside-office-2: severity sev2 or sev3 or sev4, owner search: sat,sun America/New_York",
            "search-channel-outside-office-3: severity sev2 or sev3 or sev4, owner search: \
             17:00-24:00 mon,tue,wed,thu,fri America/New_York",
        ]
    );
    let rules: Vec<_> =
        inhibit.iter().map(|r| format!("{} covers {}, {:?}", r.upstream, r.covers, r.same)).collect();
    assert_eq!(
        rules,
        [
            "severity sev1 covers severity sev3, [Model]",
            "family telemetry covers family drift, [Model, Segment]",
        ]
    );
    assert!(inhibit.iter().all(|rule| rule.for_s == 86_400));
    left(
        moved,
        "route.routes[5] to tickets",
        "severity sev3, owner risk goes to risk-channel, tickets before",
    );
    left(moved, "route.routes[5] to tickets", "at times at which risk-channel is not");
    left(moved, "time interval quarter-ends", "days_of_month: -1");
    left(moved, "inhibit_rules", "at most 86400 s");
    left(moved, "inhibit_rules[1]", "an expression that is no list");
    left(moved, "inhibit_rules[3]", "team is not \"platform\"");
    left(moved, "inhibit_rules[4]", "`equal` has cluster");
}

#[test]
fn grafana_oncall_moves() {
    let (moved, policy) = all_of(Pager::Oncall, &of_oncall());
    on_call(
        &policy,
        "risk",
        &[
            // By the week from Monday 09:00 in Berlin, the second of them first; on the 29th summer time begins.
            ("2026-03-29T12:00:00Z", "ada"),
            ("2026-03-30T06:59:59Z", "ada"),
            // Office hours are above it, and pass from day to day, over weekends.
            ("2026-03-30T07:00:00Z", "dee"),
            ("2026-03-30T14:59:59Z", "dee"),
            ("2026-03-30T15:00:00Z", "bo"),
            ("2026-03-31T10:00:00Z", "ada"),
            ("2026-04-03T10:00:00Z", "dee"),
            ("2026-04-06T10:00:00Z", "ada"),
            // Bo's turn, taken over.
            ("2027-03-01T16:00:00Z", "cy-young"),
            // A single shift of the highest level.
            ("2027-06-04T13:00:00Z", "ada"),
            ("2027-06-04T17:00:00Z", "cy-young"),
        ],
    );
    on_call(
        &policy,
        "weekends",
        &[
            // In UTC all year, every second week.
            ("2026-01-10T07:59:59Z", ""),
            ("2026-01-10T08:00:00Z", "bo"),
            ("2026-01-11T19:59:59Z", "bo"),
            ("2026-01-17T12:00:00Z", ""),
            ("2026-01-24T12:00:00Z", "cy-young ada"),
            ("2026-07-11T08:00:00Z", "cy-young ada"),
            ("2026-07-12T20:00:00Z", ""),
            ("2027-02-06T12:00:00Z", "ada"),
        ],
    );
    assert_eq!(
        steps(&moved, "risk"),
        [
            ("schedule:risk".to_owned(), 300),
            ("person:ada person:bo".to_owned(), 900),
            ("team:risk".to_owned(), 900),
        ]
    );
    assert_eq!(moved.policies["risk"].repeat, 6);
    assert_eq!(
        steps(&moved, "weekend"),
        [("schedule:weekends".to_owned(), 900), ("team:weekends".to_owned(), 900),]
    );
    assert_eq!(moved.routes[0].owner, ["Risk", "risk"]);
    left(&moved, "schedule Ranking", "calendar that Grafana fetches");
    left(&moved, "shift quarter ends", "months");
    left(&moved, "chain risk", "webhook");
    left(&moved, "chain weekend", "from 08:00:00Z to 20:00:00Z");
    left(&moved, "team Ranking", "none of the users");
    left(&moved, "person ada", "phone");
    left(&moved, "person ada", "is told in an order there: slack, wait 300 s, phone call; here");
    left(&moved, "person bo", "is told of what is important in an order there: email, wait 60 s; here");
    left(&moved, "person dee", "inbox");
    left(&moved, "a shift swap", "nobody has taken it");
}

#[test]
fn opsgenie_moves() {
    let (moved, policy) = all_of(Pager::Opsgenie, &of_opsgenie());
    on_call(
        &policy,
        "fraud_schedule",
        &[
            // Both rotations are on call together; the weekend is one stretch until Monday 09:00, in summer time too.
            ("2026-03-27T15:59:59Z", "bo"),
            ("2026-03-27T16:00:00Z", "bo cy"),
            ("2026-03-28T12:00:00Z", "bo cy"),
            ("2026-03-30T06:59:59Z", "bo cy"),
            ("2026-03-30T07:00:00Z", "ada"),
            ("2026-04-06T06:59:59Z", "ada cy"),
            ("2026-04-06T07:00:00Z", "bo"),
            // Somebody else for two days.
            ("2027-02-08T07:59:59Z", "ada cy"),
            ("2027-02-08T08:00:00Z", "ada"),
            ("2027-02-10T08:00:00Z", "bo"),
        ],
    );
    on_call(
        &policy,
        "payments_schedule",
        &[
            // Twelve hours by day, twelve of nobody, by the clock of New York; summer time begins on the 8th of March.
            ("2026-03-07T13:00:00Z", "cy"),
            ("2026-03-08T11:59:59Z", ""),
            ("2026-03-08T12:00:00Z", "cy"),
            ("2026-03-09T00:00:00Z", ""),
            // Two days of a team, from twelve to half past one; two of nobody who was moved.
            ("2026-01-06T17:30:00Z", "cy ada bo"),
            ("2026-01-07T17:30:00Z", "cy"),
        ],
    );
    assert_eq!(
        steps(&moved, "fraud_escalation"),
        [
            ("schedule:fraud_schedule".to_owned(), 300),
            ("person:bo".to_owned(), 600),
            ("team:fraud".to_owned(), 600),
        ]
    );
    assert_eq!(moved.policies["fraud_escalation"].repeat, 3);
    assert_eq!(
        steps(&moved, "payments_escalation"),
        [("schedule:payments_schedule".to_owned(), 480), ("team:payments_schedule".to_owned(), 480),]
    );
    assert_eq!(moved.routes[0].owner, ["Fraud", "fraud"]);
    left(&moved, "user gone@example.org", "blocked");
    left(&moved, "person cy", "not among the users");
    left(&moved, "schedule Old_schedule", "disabled");
    left(&moved, "escalation Payments_escalation", "if-not-closed");
    left(&moved, "escalation Payments_escalation", "\"next\"");
    left(&moved, "escalation Payments_escalation", "120 s");
    left(&moved, "escalation Payments_escalation", "Old_schedule, which was not moved");
    left(&moved, "rotation Lunch", "escalation Payments_escalation takes a turn");
    left(&moved, "routing rule At night", "Payments_escalation");
    left(&moved, "person ada", "voice");
}

#[test]
fn goalert_moves() {
    let (moved, policy) = all_of(Pager::Goalert, &of_goalert());
    on_call(
        &policy,
        "fraud",
        &[
            // Twelve hours each by the clock; Bo has the turn that ends in the evening of the 1st of March.
            ("2026-03-01T18:59:59Z", "bo"),
            ("2026-03-01T19:00:00Z", "cy"),
            ("2026-03-02T07:30:00Z", "ada-lovelace"),
            // Beside whoever has it, from nine to five on working days, and in the night from Friday.
            ("2026-03-02T08:00:00Z", "ada-lovelace dee"),
            ("2026-03-02T16:00:00Z", "ada-lovelace"),
            ("2026-03-07T00:59:59Z", "ada-lovelace dee"),
            ("2026-03-07T01:00:00Z", "ada-lovelace"),
            // The night in which summer time begins has eleven hours, and the hand-over stays at eight.
            ("2026-03-28T19:00:00Z", "cy"),
            ("2026-03-29T05:59:59Z", "cy"),
            ("2026-03-29T06:00:00Z", "ada-lovelace"),
            ("2026-10-25T06:59:59Z", "cy"),
            ("2026-10-25T07:00:00Z", "ada-lovelace"),
            // Fixed shifts in place of all, cut at their end.
            ("2027-12-24T12:00:00Z", "bo"),
            ("2027-12-26T07:59:59Z", "cy"),
        ],
    );
    let plain = {
        let mut plain = moved.clone();
        let config = plain.schedules.schedule.get_mut("fraud").expect("a schedule");
        (config.swap, config.overrides) = (vec![], vec![]);
        checked(&plain)
    };
    let at = |policy: &Policy, at: &str| {
        policy.schedules()["fraud"].at(at.parse().expect("an instant")).people.join(" ")
    };
    for hour in
        ["2027-03-01T12:00:00Z", "2027-03-01T20:00:00Z", "2027-03-02T06:00:00Z", "2027-03-02T12:00:00Z"]
    {
        let swapped =
            at(&plain, hour).replace("bo", "?").replace("ada-lovelace", "bo").replace('?', "ada-lovelace");
        assert_eq!(at(&policy, hour), swapped, "each has the other's turns at {hour}");
    }
    for hour in ["2027-05-01T12:00:00Z", "2027-05-01T20:00:00Z", "2027-05-02T06:30:00Z"] {
        let replaced = at(&plain, hour).replace("bo", "ada-lovelace").replace("cy", "bo");
        assert_eq!(at(&policy, hour), replaced, "both are about whom the rules name at {hour}");
    }
    assert!(at(&policy, "2027-04-01T20:00:00Z").ends_with(" dee"), "beside whoever has it");
    on_call(
        &policy,
        "rotation-lead",
        &[
            // From a day that a month has not: the last of it here.
            ("2026-03-31T12:59:59Z", "ada-lovelace"),
            ("2026-03-31T13:00:00Z", "dee"),
        ],
    );
    assert_eq!(
        steps(&moved, "fraud"),
        [
            ("schedule:fraud".to_owned(), 300),
            ("person:dee slack/C0FRAUD".to_owned(), 600),
            ("schedule:rotation-lead".to_owned(), 900),
        ]
    );
    assert_eq!(moved.policies["fraud"].repeat, 3);
    assert_eq!(moved.routes[0].owner, ["Fraud API", "fraud-api"]);
}

#[test]
fn goalert_leaves() {
    let (moved, _) = all_of(Pager::Goalert, &of_goalert());
    left(&moved, "person ada-lovelace", "sms");
    left(&moved, "person cy", "webhook of their own");
    left(&moved, "person ada-lovelace", "email at once, sms after 300 s");
    left(
        &moved,
        "service Fraud API",
        "integration keys, which tocsin has not: Grafana (grafana), Prometheus",
    );
    left(&moved, "service Fraud API", "nightly batch (none for 1800 s)");
    left(&moved, "escalation policy Fraud", "webhook");
    left(&moved, "schedule Fraud", "over");
    left(&moved, "escalation policy Fraud, rotation Lead", "last day");
}

#[test]
fn what_is_no_export_is_said() {
    let one = |name: &str, text: &str| [Export { name: name.into(), text: text.into() }];
    for (from, text, words) in [
        (Pager::Alertmanager, "route: [", "x: is no YAML"),
        (Pager::Alertmanager, "receivers: []", "missing field `route`"),
        (Pager::Oncall, "{", "x: is no JSON"),
        (Pager::Oncall, "[{\"colour\": \"blue\"}]", "nothing in these files"),
        (Pager::Opsgenie, "{\"data\": []}", "nothing in these files"),
        (Pager::Goalert, "{\"errors\": [{\"message\": \"no\"}], \"data\": null}", "answered with errors"),
    ] {
        let said = import(from, &one("x", text), Timestamp::EPOCH).map(|_| ()).expect_err("refused");
        assert!(said.contains(words), "{said}");
    }
    let two = [one("a", "route: {}"), one("b", "route: {}")].concat();
    assert!(import(Pager::Alertmanager, &two, Timestamp::EPOCH).is_err());
}

#[test]
fn a_page_of_a_list_says_that_there_are_more() {
    let users = include_str!("fixtures/oncall/users.json");
    let more =
        users.replace("\"next\": null", "\"next\": \"https://oncall.example.org/api/v1/users/?page=2\"");
    let moved = moved(Pager::Oncall, &[Export { name: "users.json".into(), text: more }]);
    left(&moved, "the list", "one page");
    left(&moved, "policies", "pages everybody");
    assert_eq!(checked(&moved).bundle().people.team["everybody"].people.len(), 4);
}

#[test]
fn nothing_is_overwritten_unless_asked() {
    let dir = std::env::temp_dir().join(format!("tocsin-import-{}", std::process::id()));
    let exports = of_goalert();
    let moved = moved(Pager::Goalert, &exports);
    let files = files(Pager::Goalert, &exports, &moved).expect("files");
    let files = within(&dir, &files);
    write_new(&files, false).expect("written");
    let again = write_new(&files, false).expect_err("refused");
    assert!(again.message.contains("--force"), "{again}");
    write_new(&files, true).expect("overwritten");
    // A bundle takes all of it.
    assert!(crate::config::response::Folder::read(&dir).and_then(|folder| folder.parse()).is_ok());
    fs::remove_dir_all(&dir).expect("its own folder");
}
