//! What one of several processes answers, and what it takes.

use std::ops::ControlFlow;

use escalate::life::{Signal, Stage};
use http_api::Backend as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use runtime::log::EmbeddedLog;
use runtime::log::{Isolation, TopicPartition};
use runtime::topics::{Partitions, owned};
use wire::command::{Commanded, Principal, Role};
use wire::{Digest, Incident, Severity, Source};

use super::*;

const CONFIG: &str = r#"
[http]
address = "127.0.0.1:0"
[receiver.inbox]
type = "inbox"
[[route]]
policy = "default"
[policy.default]
steps = [{ targets = ["inbox/ada"], delay_s = 3600 }]
[log.partitions]
escalate = 2
"#;

/// A process that works on the first of two partitions, without its worker.
pub(super) struct Process {
    pub(super) backend: Backend<EmbeddedLog>,
    _runtime: tokio::runtime::Runtime,
}

impl Process {
    pub(super) fn start(partitions: &[u32]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        let checked = crate::config::parse(std::path::Path::new("tocsin.toml"), CONFIG)
            .unwrap_or_else(|faults| panic!("{}", faults[0]));
        let (log, settings) = (EmbeddedLog::in_memory(), crate::app::settings(&checked));
        let of = Partitions { telemetry: 1, judge: 1, escalate: 2, collect: 1 };
        log.ensure_topics(&owned(&settings.topics, of, true), true).unwrap();
        let (views, clock) = (Arc::new(Views::default()), Clock::start());
        views.set_partitions("escalate", partitions.len(), 2);
        partitions.iter().for_each(|partition| views.meet(*partition, Vec::new()));
        let policy = Arc::clone(&checked.policy);
        let status = crate::reload::InForce::new(&checked, &policy, clock.now().wall).status;
        let keys = escalate::PublicKeys::default();
        let auditing = Auditing { keys, policy, names: true };
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let backend = Backend::new(log, &checked, auditing, settings, views, vec![], metrics, clock, status);
        Self { backend, _runtime: runtime }
    }

    /// As the worker shows it.
    pub(super) fn show(&self, incident: Incident) {
        let shown = Shown::of(&view(incident.clone()));
        self.backend.views.show(vec![(incident.incident_id, Some(shown))]);
    }

    /// What was written to a topic, in all of its partitions.
    fn written(&self, topic: &str) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for partition in 0..2 {
            let at = TopicPartition::new(topic, partition);
            let end = self.backend.log.ends(&at).unwrap().stable;
            let mut keep = |record: &runtime::log::Record<'_>| {
                all.extend(record.value.map(<[u8]>::to_vec));
                ControlFlow::Continue(())
            };
            self.backend.log.read(&at, 0, Some(end), Isolation::Committed, &mut |r| keep(&r)).unwrap();
        }
        all
    }

    pub(super) fn commands(&self) -> Vec<Command> {
        let command = |bytes: Vec<u8>| {
            let said = serde_json::from_slice(&bytes).unwrap();
            let Commanded::OnIncident(command) = said else { panic!("{said:?}") };
            command
        };
        self.written(&self.backend.settings.topics.commands).into_iter().map(command).collect()
    }

    /// As whoever finds it does, in the past.
    pub(super) fn is_open_on_the_log(&self, incident: &Incident) {
        let topic = self.backend.settings.topics.open.as_str();
        let mut record = NewRecord::new(topic, serde_json::to_vec(incident).unwrap());
        record.partition = Some(wire::partition::of_incident(&incident.incident_id, 2));
        record.key = Some(incident.incident_id.as_str().as_bytes().to_vec());
        self.backend.log.append(&[record]).unwrap();
    }
}

fn view(incident: Incident) -> escalate::IncidentView {
    let opened_at = incident.opened_at;
    let cleared = incident.change == wire::Change::Cleared;
    escalate::IncidentView {
        incident,
        signal: if cleared { Signal::Cleared } else { Signal::Open },
        stage: Stage::Open,
        owner: None,
        done_by: None,
        acknowledged_until: None,
        mitigated_until: None,
        next_step_at: None,
        snoozed_until: None,
        muted_until: None,
        muted_by: None,
        assigned_to: None,
        respond_by: None,
        taken_by: vec![],
        policy: "default".into(),
        bundle: Digest::of(&[b"bundle"]),
        round: 0,
        step: 0,
        since: opened_at,
        ended_at: None,
        pages: vec![],
        pages_dropped: 0,
        timeline: vec![],
        timeline_dropped: 0,
    }
}

/// An incident whose id belongs to this of two partitions.
pub(super) fn incident(partition: u32) -> Incident {
    let sample = include_str!("../../../../schemas/samples/incident.json");
    let incident: Incident = serde_json::from_str(sample).expect("a sample of this version");
    let ids = (0_u8..).map(|n| IncidentId::of(&[b"test", &[n]]));
    let incident_id =
        ids.into_iter().find(|id| wire::partition::of_incident(id, 2) == partition).expect("half of them");
    Incident { incident_id, ..incident }
}

pub(super) fn ada() -> Principal {
    Principal { name: "ada".into(), role: Role::Responder }
}

fn acknowledge(incident: &Incident) -> NewCommand {
    NewCommand {
        command_id: Some(CommandId::new("k-1")),
        incident: incident.incident_id.to_string(),
        principal: ada(),
        action: Action::Acknowledge { for_s: None, note: None },
    }
}

#[test]
fn only_what_is_known_to_have_ended_is_not_found() {
    let process = Process::start(&[0]);
    let (here, elsewhere, backend) = (incident(0), incident(1), &process.backend);
    let id = here.incident_id.as_str();
    assert!(
        matches!(backend.incident(id), Err(BackendError::NotFound { .. })),
        "it is this one's, and is not there"
    );
    let elsewhere_id = elsewhere.incident_id.as_str();
    // Of a few letters nobody can tell whose it is.
    for id in [elsewhere_id, &elsewhere_id[..5], &id[..5], "x"] {
        let refused = [
            backend.incident(id).map(drop),
            backend.why(id, None).map(drop),
            backend.command(NewCommand { incident: id.into(), ..acknowledge(&elsewhere) }).map(drop),
        ];
        for refused in refused {
            assert!(matches!(refused, Err(BackendError::Elsewhere { here: 1, of: 2 })), "{id}: {refused:?}");
        }
    }
    process.show(here.clone());
    assert_eq!(backend.incident(id).unwrap()["incident"]["incident_id"], id);

    let whole = Process::start(&[0, 1]);
    for id in [id, elsewhere_id, &id[..5], "x"] {
        assert!(matches!(whole.backend.incident(id), Err(BackendError::NotFound { .. })), "{id}");
    }
    // A partition that another process takes over takes its incidents along.
    whole.show(elsewhere.clone());
    whole.backend.views.forget(1, &|id| wire::partition::of_incident(id, 2) == 1);
    assert!(matches!(whole.backend.incident(elsewhere_id), Err(BackendError::Elsewhere { .. })));
}

#[test]
fn a_command_is_handed_on_unless_it_was_said_of_an_earlier_alert() {
    for partitions in [vec![0], vec![]] {
        let process = Process::start(&partitions);
        let elsewhere = Incident { generation: 3, ..incident(1) };
        let receipt = process.backend.hand_on(acknowledge(&elsewhere), 3).unwrap();
        assert_eq!((receipt.command_id.as_str(), receipt.repeated), ("k-1", false));
        process.is_open_on_the_log(&elsewhere);
        process.backend.hand_on(acknowledge(&elsewhere), 3).unwrap();
        let earlier = process.backend.hand_on(acknowledge(&elsewhere), 2);
        assert!(matches!(earlier, Err(BackendError::EarlierAlert)), "{earlier:?}");
        let commands = process.commands();
        assert_eq!(commands.len(), 2, "{commands:?}");
        assert!(commands.iter().all(|c| c.incident_id == elsewhere.incident_id && c.principal == ada()));
    }
}

#[test]
fn what_is_merged_need_not_be_in_one_process() {
    let process = Process::start(&[0]);
    let (here, elsewhere) = (incident(0), incident(1));
    process.show(here.clone());
    let merge = || {
        let into = elsewhere.incident_id.clone();
        process
            .backend
            .command(NewCommand { action: Action::Merge { into, reason: None }, ..acknowledge(&here) })
    };
    assert!(matches!(merge(), Err(BackendError::Elsewhere { .. })));
    process.is_open_on_the_log(&elsewhere);
    merge().unwrap();
    assert_eq!(process.commands().len(), 1);
}

fn declared(title: &str, severity: Severity) -> NewIncident {
    NewIncident {
        command_id: None,
        principal: ada(),
        source: Source::Human,
        severity,
        family: wire::Family::Other,
        subject: wire::Subject {
            kind: wire::SubjectKind::Model,
            name: "fraud".into(),
            version: None,
            segment: None,
        },
        title: title.into(),
        owner: None,
        opened_at: None,
        drill: false,
    }
}

/// As the machine makes it of the command.
fn opened(command: &Command) -> Incident {
    let Action::Raise(raised) = &command.action else { panic!("{command:?}") };
    Incident {
        incident_id: command.incident_id.clone(),
        generation: 1,
        change: wire::Change::Opened,
        source: raised.source,
        severity: raised.severity,
        family: raised.family,
        subject: raised.subject.clone(),
        title: raised.title.clone(),
        opened_at: raised.opened_at,
        drill: raised.drill || raised.source == Source::Drill,
        ..incident(0)
    }
}

#[test]
fn only_the_same_trouble_said_again_is_a_repeat() {
    let model = |version: Option<&str>, segment: Option<&str>| wire::Subject {
        version: version.map(Into::into),
        segment: segment.map(Into::into),
        ..declared("", Severity::Sev4).subject
    };
    let said = || declared("odd score", Severity::Sev3);
    let by = |source| NewIncident { source, ..said() };
    for (what, first, second, repeated) in [
        ("the same", said(), said(), true),
        ("less bad", said(), declared("odd score", Severity::Sev4), true),
        ("worse", said(), declared("odd score", Severity::Sev1), false),
        ("another title", said(), declared("fraud is down", Severity::Sev3), false),
        ("another title and worse", said(), declared("fraud is down", Severity::Sev1), false),
        ("after an exercise", NewIncident { drill: true, ..said() }, said(), false),
        ("an exercise", said(), NewIncident { drill: true, ..said() }, false),
        ("a version", said(), NewIncident { subject: model(Some("7"), None), ..said() }, false),
        ("a segment", said(), NewIncident { subject: model(None, Some("emea")), ..said() }, false),
        (
            "another kind",
            said(),
            NewIncident {
                subject: wire::Subject { kind: wire::SubjectKind::Dataset, ..model(None, None) },
                ..said()
            },
            false,
        ),
        ("a family", said(), NewIncident { family: wire::Family::Latency, ..said() }, false),
        ("another source", said(), by(Source::Dependency), false),
        (
            "a dependency in other words",
            by(Source::Dependency),
            NewIncident { title: "still odd".into(), ..by(Source::Dependency) },
            true,
        ),
        (
            "a dependency, worse",
            by(Source::Dependency),
            NewIncident { severity: Severity::Sev2, ..by(Source::Dependency) },
            false,
        ),
        ("one drill", by(Source::Drill), by(Source::Drill), true),
    ] {
        let process = Process::start(&[0, 1]);
        let at = process.backend.now();
        let at_once = |new| NewIncident { opened_at: Some(at), ..new };
        process.backend.raise(at_once(first)).unwrap();
        process.show(opened(&process.commands()[0]));
        let receipt = process.backend.raise(at_once(second)).unwrap();
        assert_eq!(receipt.repeated, repeated, "{what}");
        let commands = process.commands();
        assert_eq!(commands.len(), if repeated { 1 } else { 2 }, "{what}");
        let ids: std::collections::BTreeSet<_> = commands.iter().map(|c| &c.incident_id).collect();
        assert_eq!(ids.len(), commands.len(), "what is known already is refused: {what}");
    }
    // Longer than what an incident keeps.
    let process = Process::start(&[0, 1]);
    let long = "ä".repeat(400);
    process.backend.raise(declared(&long, Severity::Sev3)).unwrap();
    let mut kept = opened(&process.commands()[0]);
    kept.title.truncate(300);
    process.show(kept);
    assert!(process.backend.raise(declared(&long, Severity::Sev3)).unwrap().repeated);
}

/// As Alertmanager says it: with its start.
fn alert(process: &Process, s: i64) -> NewIncident {
    NewIncident {
        source: Source::Import,
        opened_at: Some(process.backend.now().plus_ms(s * 1000)),
        ..declared("ProbeFailure", Severity::Sev1)
    }
}

#[test]
fn what_ends_is_written_after_what_raised_it_whoever_has_it() {
    // Here and not shown yet, or at another process.
    for works_on in [&[0, 1][..], &[0], &[1]] {
        let process = Process::start(works_on);
        let alert = alert(&process, -60);
        let over = |was: &NewIncident| process.backend.over("f1", was.clone(), "resolved".into());
        let raised = process.backend.import("f1", alert.clone()).unwrap().incident_id;
        let receipt = over(&alert).unwrap();
        assert_eq!((receipt.incident_id, receipt.repeated), (raised, false));
        let written: Vec<Action> = process.commands().into_iter().map(|command| command.action).collect();
        assert!(matches!(written[..], [Action::Raise(_), Action::Clear { .. }]), "{written:?}");
        let without_start = over(&NewIncident { opened_at: None, ..alert });
        assert!(matches!(without_start, Err(BackendError::NotFound { .. })), "{without_start:?}");
    }
}

#[test]
fn what_has_ended_is_not_ended_again() {
    let process = Process::start(&[0, 1]);
    let alert = alert(&process, -60);
    let over = |was: &NewIncident| process.backend.over("f1", was.clone(), "resolved".into());
    process.backend.import("f1", alert.clone()).unwrap();
    let raised = process.commands().remove(0);
    process.show(opened(&raised));
    // Another start of the same alert: a restart over there began it anew.
    let later = NewIncident { opened_at: alert.opened_at.map(|at| at.plus_ms(7)), ..alert.clone() };
    assert_eq!(over(&later).unwrap().incident_id, raised.incident_id);
    process.show(Incident { change: wire::Change::Cleared, ..opened(&raised) });
    assert!(over(&alert).unwrap().repeated, "it has ended");
}
