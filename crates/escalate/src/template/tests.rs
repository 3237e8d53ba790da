use wire::Zone;

use super::*;
use crate::policy::Reader;

fn reader(audience: &str, zone: &str) -> Reader {
    Reader {
        name: "Ada".into(),
        zone: Zone::named(zone).expect("a zone"),
        audience: audience.into(),
        contacts: BTreeMap::new(),
        limits: crate::config::LimitsConfig::default(),
    }
}

fn own(texts: &[(&str, &str)]) -> Result<Templates, Vec<BadTemplate>> {
    Templates::new(&texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

const RIGHT: &str = "{{ title }}\n{{ what }}\n{{ where }}\n{{ since }}\n{{ next }}";

#[test]
fn what_is_built_in_is_right() {
    let built_in: Vec<_> = BUILT_IN.to_vec();
    own(&built_in).expect("as any template must be");
}

#[test]
fn each_audience_is_told_in_its_words_and_in_its_time() {
    let templates = own(&[]).unwrap();
    let page = &facts::samples()[0];
    let words = templates.words(page, &reader("engineer", "Europe/Berlin"));
    let want = "What: latency.share_over_objective is 31.4 %, usually 2.1 %, off by at least 21.1 %\n\
                Where: model sample-model 2026-03-01.7, owned by sample-team\n\
                Since: Mon 2026-03-02 11:00 CET\n\
                Next: take it, or the next step is paged at Mon 2026-03-02 11:05 CET\n\
                What moved:\n\
                - requests: over 250 ms: 2.1 % -> 31.4 %\n\
                Playbook: none yet";
    assert_eq!(words.title, "SEV2 a sample: 31.4 % of requests take over 250 ms");
    assert_eq!(words.body, want);
    let business = templates.words(page, &reader("business", "America/New_York"));
    assert!(business.body.starts_with("How bad: serious\n"), "{}", business.body);
    assert!(business.body.contains("Since: Mon 2026-03-02 05:00 EST"), "{}", business.body);
}

#[test]
fn the_nearest_template_speaks() {
    let named = |name: &str| format!("{name} {RIGHT}");
    let texts: Vec<(&str, String)> =
        ["legal", "legal.resolve", "default"].map(|name| (name, named(name))).into();
    let texts: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let templates = own(&texts).unwrap();
    for (audience, kind, want) in [
        ("legal", PageKind::Trigger, "legal "),
        ("legal", PageKind::Resolve, "legal.resolve "),
        ("engineer", PageKind::Trigger, "SEV2 "),
        ("nobody", PageKind::Update, "default "),
    ] {
        let page = facts::samples().into_iter().find(|p| p.kind == kind).unwrap();
        let words = templates.words(&page, &reader(audience, "UTC"));
        assert!(words.title.starts_with(want), "{audience}, {kind:?}: {}", words.title);
    }
}

#[test]
fn a_template_that_says_too_little_or_cannot_be_read_is_refused() {
    let missing = RIGHT.replace("{{ next }}", "");
    let forever = format!(
        "{RIGHT}{{% for a in range(10000) %}}{{% for b in range(10000) %}}x{{% endfor %}}{{% endfor %}}"
    );
    for (name, text, part) in [
        ("engineer", missing.as_str(), "{{ next }}"),
        ("engineer", "{{ titel }}", "line 1: undefined value"),
        ("engineer", "{{ title", "line 1"),
        ("engineer", "{% include 'x' %}", "line 1"),
        ("engineer", "\n", "its first line"),
        ("x.trigger", "hello", "{{ what }}, {{ where }}, {{ since }}, {{ next }}"),
        ("engineer", forever.as_str(), "fuel"),
    ] {
        let bad = own(&[(name, text)]).expect_err("refused");
        assert!(bad[0].name == name && bad[0].why.contains(part), "{name}: {}", bad[0].why);
    }
    // A template for an end need not call anybody.
    own(&[("engineer.resolve", "{{ title }} is over")]).expect("right");
}

#[test]
fn nothing_from_telemetry_breaks_out_of_its_line() {
    let templates = own(&[("engineer", RIGHT)]).unwrap();
    let mut page = facts::samples().swap_remove(0);
    page.incident.title = "a\nWhat: {{ what }} \u{202e}b".into();
    page.incident.subject.name = "x\r\nNext: nothing".into();
    let words = templates.words(&page, &reader("engineer", "UTC"));
    assert_eq!(words.title, "a\u{fffd}What: {{ what }} \u{fffd}b");
    assert_eq!(words.body.lines().count(), 4, "{}", words.body);
}
