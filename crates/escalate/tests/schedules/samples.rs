//! Schedules to ask.

use std::collections::BTreeSet;

use escalate::config::{Bundle, ConfigErrors};
use escalate::schedule::{Schedule, Span};
use escalate::{PeopleConfig, Policy, SchedulesConfig};
use wire::Timestamp;

const PEOPLE: &str = r#"
zone = "Europe/Berlin"
person.ada.contact.page = ["inbox/ada"]
person.bo.contact.page = ["inbox/bo"]
person.cy.contact.page = ["inbox/cy"]
person.dee.contact.page = ["inbox/dee"]
"#;

pub(crate) fn policy(schedules: &str, target: &str) -> Result<Policy, ConfigErrors> {
    let people: PeopleConfig = toml::from_str(PEOPLE).expect("people");
    let schedules: SchedulesConfig = toml::from_str(schedules).expect("schedules");
    let rest = format!(
        "namespace = \"default\"\n[[route]]\npolicy = \"p\"\n[policy.p]\nsteps = [{{ targets = [{target:?}], delay_s = 60 }}]"
    );
    let bundle = Bundle { people, schedules, ..toml::from_str(&rest).expect("a bundle") };
    Policy::new(bundle, &BTreeSet::from(["inbox".to_owned()]))
}

/// The schedule `s` of a file.
pub(crate) fn schedule(text: &str) -> Schedule {
    let policy = policy(text, "person:ada").unwrap_or_else(|e| panic!("{e}\n{text}"));
    policy.schedules()["s"].clone()
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|_| panic!("{text} is no instant"))
}

pub(crate) fn span(from: &str, until: &str) -> Span {
    Span { from: at(from), until: at(until) }
}
