//! Settings: what is refused, and what the refusal says; where routes lead.

use escalate::Policy;
use wire::{Family, Severity, Source};

use crate::samples::{SETTINGS, bundle, opened, policy, receivers};

const BASE: &str = r#"
    namespace = "default"
    [[route]]
    policy = "page"
    [policy.page]
    steps = [{ targets = ["pager/ana"], delay_s = 60 }]
"#;

fn refusal(settings: &str) -> String {
    Policy::new(bundle(settings), &receivers()).expect_err("must be refused").to_string()
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    for (from, to, want) in [
        (
            "pager/ana",
            "pagr/ana",
            r#"policy.page.steps[0].targets[0]: "pagr/ana": there is no receiver "pagr"; did you mean "pager"?"#,
        ),
        ("pager/ana", "elsewhere/ana", r#"known: "board", "pager", "phone""#),
        (
            "pager/ana",
            "pager",
            r#"policy.page.steps[0].targets[0]: "pager" is not `receiver/target`, such as "inbox/on-call""#,
        ),
        ("pager/ana", "pager/", "is not `receiver/target`"),
        (r#""pager/ana""#, r#""pager/ana", "pager/ana""#, "stands twice in this step"),
        (
            "policy = \"page\"",
            "policy = \"pages\"",
            r#"route[0].policy: there is no policy "pages"; did you mean "page"?"#,
        ),
        (
            "policy = \"page\"",
            "policy = \"page\"\nmodel = [\"fraud\"]",
            "would reach nobody; end with a [[route]] without",
        ),
        (
            "[policy.page]",
            "[[route]]\npolicy = \"page\"\n[policy.page]",
            "route[0]: has no condition, so no route after it is ever asked; put it last",
        ),
        (
            "delay_s = 60",
            "delay_s = 0",
            "policy.page.steps[0].delay_s: delay_s = 0 is not between 1 and 604800",
        ),
        (
            "[policy.page]",
            "[policy.page]\nrepeat = 0",
            "policy.page.repeat: repeat = 0 is not between 1 and 1000",
        ),
        ("[policy.page]", "[policy.page]\nuntil_owned = false", "falls silent (until_owned = false)"),
        (
            "[policy.page]",
            "[policy.page]\nfallback = \"pager/bo\"",
            "would fail with them; name another receiver",
        ),
        ("[{ targets = [\"pager/ana\"], delay_s = 60 }]", "[]", "steps = 0 is not between 1 and 20"),
        (
            "[policy.page]",
            "[escalate]\nlease_s = 1\n[policy.page]",
            "escalate.lease_s: lease_s = 1 is not between 2 and 300",
        ),
    ] {
        assert!(BASE.contains(from), "{from}");
        let got = refusal(&BASE.replace(from, to));
        assert!(got.contains(want), "{to}\n  got  {got}\n  want {want}");
    }
    let unknown: Result<escalate::Bundle, _> =
        toml::from_str(&BASE.replace("[policy.page]", "[policy.page]\nrepat = 2"));
    assert!(unknown.unwrap_err().to_string().contains("repat"), "unknown fields are refused");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let wrong = BASE.replace("pager/ana", "pagr/ana").replace("delay_s = 60", "delay_s = 0");
    assert_eq!(refusal(&wrong).lines().count(), 2);
}

#[test]
fn a_page_cannot_be_routed_into_silence() {
    let silent = SETTINGS.replace("[\"sev3\", \"sev4\"]", "[\"sev2\", \"sev4\"]");
    assert!(refusal(&silent).contains("route[0].policy: sev1 and sev2 can come this way"));
    // Drills may.
    policy(&silent.replace("severity = [\"sev2\", \"sev4\"]", "drill = true"));
}

#[test]
fn the_first_route_that_matches_decides() {
    let settings = r#"
        namespace = "default"
        [[route]]
        drill = true
        policy = "drill"
        [[route]]
        source = ["self"]
        policy = "own"
        [[route]]
        model = ["fraud*"]
        severity = ["sev1", "sev2"]
        policy = "fraud"
        [[route]]
        family = ["drift"]
        owner = ["data-*"]
        policy = "data"
        [[route]]
        policy = "rest"
        [policy.drill]
        steps = [{ targets = ["board/drill"], delay_s = 60 }]
        [policy.own]
        steps = [{ targets = ["phone/ops"], delay_s = 60 }]
        [policy.fraud]
        steps = [{ targets = ["pager/fraud"], delay_s = 60 }]
        [policy.data]
        steps = [{ targets = ["pager/data"], delay_s = 60 }]
        [policy.rest]
        steps = [{ targets = ["pager/rest"], delay_s = 60 }]
    "#;
    let policy = policy(settings);
    let route = |change: &dyn Fn(&mut wire::Incident)| {
        let mut incident = opened("fraud-eu", Severity::Sev2);
        change(&mut incident);
        policy.route(&incident).to_owned()
    };
    let owner = |name: &str| Some(name.to_owned());
    assert_eq!(route(&|_| ()), "fraud");
    assert_eq!(route(&|i| i.drill = true), "drill");
    assert_eq!(route(&|i| i.source = Source::Own), "own");
    assert_eq!(route(&|i| i.severity = Severity::Sev3), "rest");
    assert_eq!(route(&|i| i.subject.kind = wire::SubjectKind::Dataset), "rest", "names of models only");
    let drift = |who: Option<String>| {
        route(&|i| {
            i.subject.name = "rank".into();
            i.family = Family::Drift;
            i.context.owner.clone_from(&who);
        })
    };
    assert_eq!(drift(owner("data-science")), "data");
    assert_eq!(drift(owner("web")), "rest");
    assert_eq!(drift(None), "rest", "an unknown owner goes to whoever takes the rest");
}

#[test]
fn the_digest_names_the_settings() {
    let one = policy(SETTINGS);
    assert_eq!(one.digest(), policy(SETTINGS).digest());
    assert_ne!(one.digest(), policy(&SETTINGS.replace("delay_s = 60", "delay_s = 61")).digest());
}

#[test]
fn settings_have_a_schema() {
    let schema = serde_json::to_value(schemars::schema_for!(escalate::Bundle)).unwrap();
    assert!(schema["$defs"]["PolicyConfig"]["properties"]["steps"]["description"].is_string());
    let view = serde_json::to_value(schemars::schema_for!(escalate::IncidentView)).unwrap();
    assert!(view["properties"]["acknowledged_until"].is_object());
}

#[test]
fn what_is_wrong_with_when_nobody_is_paged_is_named() {
    let maintenance = |more: &str| format!("{SETTINGS}\n[[silences.maintenance]]\nname = \"work\"\n{more}");
    let inhibit = |more: &str| format!("{SETTINGS}\n[[silences.inhibit]]\nname = \"store\"\n{more}");
    let of = "incidents = { model = [\"fraud\"] }";
    for (settings, want) in [
        (maintenance("incidents = {}\nhours = \"02:00-03:00\""), "has no condition"),
        (maintenance(of), "nobody would ever be paged"),
        (maintenance(&format!("{of}\nhours = \"00:00-24:00\"")), "nobody would ever be paged"),
        (
            maintenance(&format!(
                "{of}\nhours = \"00:00-12:00\"\n[[silences.maintenance]]\nname = \"too\"\n{of}\nhours = \"12:00-24:00\""
            )),
            "with those above",
        ),
        (maintenance(&format!("{of}\nhours = \"2-3\"")), "is not a span"),
        (maintenance(&format!("{of}\ndays = [\"holiday\"]")), "of which calendar"),
        (maintenance(&format!("{of}\nhours = \"02:00-03:00\"\nzone = \"Mars\"")), "no time zone"),
        (maintenance(&format!("{of}\nuntil = \"soon\"")), "is not a time"),
        (
            maintenance(&format!("{of}\nfrom = \"2026-03-02 10:00\"\nuntil = \"2026-03-02 09:00\"")),
            "is not after `from`",
        ),
        (maintenance("incidents = { model = [\"\"] }\nhours = \"02:00-03:00\""), "1 to 256 bytes"),
        (inhibit("upstream = {}\nsame = [\"owner\"]"), "has no condition"),
        (inhibit("upstream = { model = [\"a\"] }"), "has no condition"),
        (inhibit("upstream = { model = [\"a\"] }\nlineage = true\nfor_s = 5"), "not between 60 and 604800"),
        (
            format!(
                "{}\n[[silences.maintenance]]\nname = \"store\"\n{of}\nhours = \"02:00-03:00\"",
                inhibit("upstream = { model = [\"a\"] }\nlineage = true")
            ),
            "is the name of another one",
        ),
    ] {
        let wrong = refusal(&settings);
        assert!(wrong.contains(want), "{want}: {wrong}");
    }
    let unknown = maintenance("incidents = { modell = [\"fraud\"] }\nhours = \"02:00-03:00\"");
    let refused = toml::from_str::<escalate::Bundle>(&unknown).expect_err("no such condition").to_string();
    assert!(refused.contains("modell"), "{refused}");
}

#[test]
fn each_condition_of_a_route_is_asked() {
    let routed = |condition: &str, change: &dyn Fn(&mut wire::Incident)| {
        let settings = format!(
            "namespace = \"default\"\n[[route]]\n{condition}\npolicy = \"special\"\n[[route]]\npolicy = \"rest\"\n\
             [policy.special]\nsteps = [{{ targets = [\"pager/a\"], delay_s = 60 }}]\n\
             [policy.rest]\nsteps = [{{ targets = [\"pager/b\"], delay_s = 60 }}]\n"
        );
        let mut incident = opened("fraud", Severity::Sev2);
        incident.context.tier = Some(2);
        incident.context.owner = Some("risk".into());
        let before = policy(&settings).route(&incident).to_owned();
        change(&mut incident);
        (before, policy(&settings).route(&incident).to_owned())
    };
    type Change = fn(&mut wire::Incident);
    let cases: [(&str, Change); 12] = [
        ("severity = [\"sev1\"]", |i| i.severity = Severity::Sev1),
        ("family = [\"drift\", \"traffic\"]", |i| i.family = Family::Traffic),
        ("model = [\"rank*\"]", |i| i.subject.name = "ranker".into()),
        ("subject = [\"dependency:*\"]", |i| i.subject.kind = wire::SubjectKind::Dependency),
        ("subject = [\"model:rank@v1\"]", |i| i.subject.name = "rank".into()),
        ("segment = [\"region=*\"]", |i| i.subject.segment = Some("region=emea".into())),
        ("owner = [\"search\"]", |i| i.context.owner = Some("search".into())),
        ("tier = [1, 3]", |i| i.context.tier = Some(3)),
        ("source = [\"import\"]", |i| i.source = Source::Import),
        ("drill = true", |i| i.drill = true),
        // All of them must hold.
        ("tier = [1]\nsegment = [\"region=emea\"]", |i| {
            (i.context.tier, i.subject.segment) = (Some(1), Some("region=emea".into()));
        }),
        ("tier = [1]\nmodel = [\"fraud\"]", |i| i.context.tier = Some(1)),
    ];
    for (condition, change) in cases {
        let want = ("rest".to_owned(), "special".to_owned());
        assert_eq!(routed(condition, &change), want, "{condition}");
    }
    let (_, half) = routed("tier = [1]\nsegment = [\"region=emea\"]", &|i| i.context.tier = Some(1));
    assert_eq!(half, "rest", "one of two conditions");
    let (_, unknown) = routed("tier = [2]\nmodel = [\"fraud\"]", &|i| i.context.tier = None);
    assert_eq!(unknown, "rest", "a tier that nobody knows is none");
}
