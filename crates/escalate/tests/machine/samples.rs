//! Incidents, commands and settings to test with.

use std::collections::BTreeSet;
use std::sync::Arc;

use escalate::{Bundle, Policy};
use wire::command::{Action, Command, Principal, Role};
use wire::control::{SilenceAsk, SilenceCommand};
use wire::{
    Change, CommandId, Effect, Evidence, Family, Incident, IncidentId, Severity, SilenceId, Source, Subject,
    Timestamp,
};

/// The start of every script.
pub(crate) const T0: i64 = 1_772_445_600_000;

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(T0 + ms).expect("a time of our century")
}

/// Two steps to people by `pager`, the third to the lead by `phone`; tickets go to a channel, twice.
pub(crate) const SETTINGS: &str = r#"
    namespace = "default"

    [[route]]
    severity = ["sev3", "sev4"]
    policy = "ticket"

    [[route]]
    severity = ["sev1"]
    policy = "all-hands"

    [[route]]
    policy = "page"

    [policy.page]
    steps = [
      { targets = ["pager/ana", "pager/bo"], delay_s = 60 },
      { targets = ["pager/lead"], delay_s = 120 },
    ]
    repeat = 2
    acknowledge_expires_s = 600
    mitigation_expires_s = 900
    fallback = "phone/desk"

    [policy.all-hands]
    steps = [{ targets = ["pager/ana", "phone/chief"], delay_s = 30 }]
    acknowledge_expires_s = 600

    [policy.ticket]
    steps = [{ targets = ["board/ml"], delay_s = 3600 }]
    until_owned = false
    repeat = 2
"#;

pub(crate) fn bundle(settings: &str) -> Bundle {
    toml::from_str(settings).expect("settings parse")
}

pub(crate) fn receivers() -> BTreeSet<String> {
    ["pager", "phone", "board"].map(String::from).into()
}

pub(crate) fn policy(settings: &str) -> Arc<Policy> {
    Arc::new(Policy::new(bundle(settings), &receivers()).expect("settings are right"))
}

/// The opening record of an incident about `model`.
pub(crate) fn opened(model: &str, severity: Severity) -> Incident {
    let subject = Subject::model(model, "v1");
    let evidence = Evidence {
        statistic: "latency.share_over_objective".into(),
        value: 0.1 + 0.2,
        reference: 0.05,
        unit: "share".into(),
        effect: Effect { estimate: 0.25, lower: 0.2, upper: 1.0 / 3.0 },
        evidence: 1.7e-3,
        samples: 1200,
        window: [at(-60_000), at(0)],
        contributors: vec![],
        profile: None,
    };
    Incident {
        incident_id: Incident::id_of("default", Source::Detector, &subject, Family::Latency, at(0)),
        generation: 1,
        sequence: 1,
        change: Change::Opened,
        namespace: "default".into(),
        source: Source::Detector,
        severity,
        family: Family::Latency,
        subject,
        opened_at: at(0),
        changed_at: at(0),
        title: format!("{model}: too slow"),
        evidence,
        context: wire::incident::Context::default(),
        drill: false,
    }
}

/// The next record of the same incident.
pub(crate) fn next(last: &Incident, change: Change, severity: Severity) -> Incident {
    Incident { sequence: last.sequence + 1, change, severity, ..last.clone() }
}

/// It opens again in a later generation.
pub(crate) fn reopened(last: &Incident, severity: Severity) -> Incident {
    Incident { generation: last.generation + 1, ..next(last, Change::Opened, severity) }
}

pub(crate) fn command(id: &str, incident: &IncidentId, who: &str, action: Action) -> Command {
    Command {
        command_id: CommandId::new(id),
        incident_id: incident.clone(),
        issued_at: at(0),
        principal: Principal { name: who.into(), role: Role::Responder },
        action,
    }
}

pub(crate) fn silence(id: &str, silence: &SilenceId, who: &str, ask: SilenceAsk) -> SilenceCommand {
    SilenceCommand {
        command_id: CommandId::new(id),
        silence_id: silence.clone(),
        issued_at: at(0),
        principal: Principal { name: who.into(), role: Role::Responder },
        ask,
    }
}

pub(crate) fn acknowledge(for_s: Option<u64>) -> Action {
    Action::Acknowledge { for_s, note: Some("on it".into()) }
}

pub(crate) fn mitigate() -> Action {
    Action::Mitigate { for_s: None, note: Some("rolled back".into()) }
}

pub(crate) fn resolve() -> Action {
    Action::Resolve { reason: Some("fixed".into()), not_actionable: false }
}
