//! One sample of every record, as the schemas' golden samples and as stuff for other tests.

use std::collections::BTreeMap;

use wire::audit::{AuditRecord, CHAIN_START};
use wire::checkpoint::Checkpoint;
use wire::command::{Action, Command, Principal, Role};
use wire::context::{ContextRecord, Deployment};
use wire::control::{Control, Listed, NewSilence, Silence, SilenceAsk, SilenceCommand};
use wire::deadletter::{DeadLetter, Reason};
use wire::forget::Forget;
use wire::history::{Bin, Distribution, History, StreamHistory, Verdict};
use wire::incident::{Context, Contributor};
use wire::label::{Label, LabelKind};
use wire::outbox::{OutboxRecord, OutboxState};
use wire::page::{Page, PageKind};
use wire::prediction::{Prediction, PredictionKind, Status, Value};
use wire::profile::{Category, FeatureFold, FeatureProfile, Profile, Stage, Task};
use wire::response::{Response, ResponseChange};
use wire::{
    AlertKey, Change, CommandId, Digest, Effect, Evidence, Family, Incident, Matches, NotificationId,
    Severity, SilenceId, Source, Subject, Timestamp,
};

/// # Panics
/// Never: the texts below are times.
#[must_use]
pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

#[must_use]
pub fn prediction() -> Prediction {
    Prediction {
        kind: PredictionKind::Prediction,
        prediction_id: "p-1".into(),
        event_time: at("2026-03-02T10:00:00.123Z"),
        model: "fraud".into(),
        version: Some("2026-02-27.1".into()),
        latency_ms: Some(41.7),
        status: Status::Ok,
        features: BTreeMap::from([
            ("amount".into(), Value::Number(120.5)),
            ("country".into(), Value::Text("DE".into())),
            ("is_new".into(), Value::Bool(false)),
            ("age".into(), Value::Null),
        ]),
        prediction: Some(Value::Text("deny".into())),
        score: Some(0.93),
        class_probs: BTreeMap::new(),
        segments: BTreeMap::from([("region".into(), "eu".into())]),
        weight: Some(1.0),
        trace_id: None,
    }
}

#[must_use]
pub fn label() -> Label {
    Label {
        kind: LabelKind::Label,
        prediction_id: "p-1".into(),
        event_time: at("2026-03-02T18:30:00Z"),
        value: Value::Text("approve".into()),
        model: None,
        version: None,
        prediction: None,
    }
}

#[must_use]
pub fn incident() -> Incident {
    let subject = Subject::model("fraud", "2026-02-27.1");
    let opened_at = at("2026-03-02T10:41:20Z");
    Incident {
        incident_id: Incident::id_of("default", Source::Detector, &subject, Family::Latency, opened_at),
        generation: 1,
        sequence: 1,
        change: Change::Opened,
        namespace: "default".into(),
        source: Source::Detector,
        severity: Severity::Sev2,
        family: Family::Latency,
        subject,
        opened_at,
        changed_at: opened_at,
        title: "fraud 2026-02-27.1 is slow: 31 % of requests take longer than 96 ms, normally 5 %".into(),
        evidence: Evidence {
            statistic: "latency.share_over".into(),
            value: 0.31,
            reference: 0.05,
            unit: "share".into(),
            effect: Effect { estimate: 0.26, lower: 0.18, upper: 0.34 },
            evidence: 4.2,
            samples: 120,
            window: [at("2026-03-02T10:40:20Z"), opened_at],
            contributors: vec![Contributor {
                name: "over q95".into(),
                detail: "above 96 ms: 5.0 % -> 31.0 %".into(),
                value: 0.31,
                reference: 0.05,
                evidence: 4.2,
                segment: None,
            }],
            profile: Some(Digest::of(&[b"profile"])),
        },
        context: Context {
            owner: Some("risk".into()),
            tier: Some(1),
            deployments: vec![sample_deployment()],
            config: Some(Digest::of(&[b"config"])),
            ..Context::default()
        },
        drill: false,
    }
}

fn sample_deployment() -> Deployment {
    Deployment {
        model: "fraud".into(),
        version: "2026-02-27.1".into(),
        event_time: at("2026-02-27T09:00:00Z"),
        change: "deployed".into(),
        by: Some("release".into()),
        commit: Some("3c2f6e1".into()),
        image: None,
    }
}

#[must_use]
pub fn deployment() -> ContextRecord {
    ContextRecord::Deployment(sample_deployment())
}

#[must_use]
pub fn profile() -> Profile {
    Profile {
        model: "fraud".into(),
        version: "2026-02-27.1".into(),
        digest: Digest::new(""),
        effective_from: at("2026-03-01T00:00:00Z"),
        stage: Stage::Final,
        latency_edges: vec![41.0, 96.0, 150.0],
        latency_objective_ms: Some(150.0),
        features: vec![
            FeatureProfile {
                name: "amount".into(),
                fold: FeatureFold::Numeric {
                    centre: 60.0,
                    scale: 45.0,
                    edges: vec![12.5, 60.0, 180.25],
                    atoms: vec![0.0],
                },
                public: false,
            },
            FeatureProfile {
                name: "country".into(),
                fold: FeatureFold::Category {
                    known: vec![Category { hash: 7, name: Some("DE".into()) }],
                    other: vec![9],
                },
                public: true,
            },
        ],
        prediction: None,
        score: None,
        task: Task::Classification,
        error_edges: vec![],
        delay_edges_ms: vec![600_000],
        score_edges: vec![],
    }
    .sealed()
}

#[must_use]
pub fn history() -> History {
    History {
        model: "fraud".into(),
        version: "2026-02-27.1".into(),
        segment: None,
        window: [at("2026-03-02T10:41:10Z"), at("2026-03-02T10:41:20Z")],
        predictions: 20,
        status: BTreeMap::from([("ok".into(), 20)]),
        latency_ms: BTreeMap::from([("p50".into(), 40.2), ("p99".into(), 180.0)]),
        labels: 14,
        measures: BTreeMap::from([("accuracy".into(), 0.97)]),
        streams: vec![StreamHistory {
            family: Family::Latency,
            name: "over q95".into(),
            verdict: Verdict::Degraded,
            k: 6,
            n: 20,
            reference: 0.05,
            before: [0.2, 0.7],
            after: [1.4, 4.2],
            granted: [1e-6, 5e-6],
            judged: 1,
            peak: [1.4, 4.2],
            effect: Some(Effect { estimate: 0.25, lower: 0.11, upper: 0.39 }),
        }],
        distributions: vec![Distribution {
            family: Family::Drift,
            name: "amount".into(),
            bins: vec![
                Bin { name: "below 120".into(), reference: 0.9, now: 13 },
                Bin { name: "120 or more".into(), reference: 0.1, now: 7 },
            ],
        }],
        left_out: 0,
        incomplete: false,
        profile: Some(Digest::of(&[b"profile"])),
        config: Some(Digest::of(&[b"config"])),
    }
}

#[must_use]
pub fn command() -> Command {
    Command {
        command_id: CommandId::of(&[b"command"]),
        incident_id: incident().incident_id,
        issued_at: at("2026-03-02T10:42:03Z"),
        principal: Principal { name: "ada".into(), role: Role::Responder },
        action: Action::Acknowledge { for_s: Some(3600), note: Some("on it".into()) },
    }
}

#[must_use]
pub fn response() -> Response {
    Response {
        incident_id: incident().incident_id,
        generation: 1,
        sequence: 1,
        change: ResponseChange::Acknowledged,
        at: at("2026-03-02T10:42:03.150Z"),
        by: "p-4u2k7d".into(),
        why: Some("on it".into()),
        until: Some(at("2026-03-02T11:42:03.150Z")),
        to: None,
        not_actionable: false,
    }
}

#[must_use]
pub fn page() -> Page {
    let incident = incident();
    Page {
        notification_id: NotificationId::for_page(
            &incident.incident_id,
            1,
            0,
            0,
            "on-call",
            "hook",
            "trigger",
        ),
        alert_key: AlertKey::for_alert(&incident.incident_id, 1, "hook", "on-call"),
        kind: PageKind::Trigger,
        receiver: "hook".into(),
        target: "on-call".into(),
        round: 0,
        step: 0,
        incident,
        decided_at: at("2026-03-02T10:41:21Z"),
        escalates_at: Some(at("2026-03-02T10:46:21Z")),
        owner: None,
        person: None,
        told: None,
        notice: None,
        folded: None,
        text: None,
        thread: None,
        minimal: false,
        link: None,
    }
}

#[must_use]
pub fn outbox() -> OutboxRecord {
    OutboxRecord {
        page: page(),
        state: OutboxState::Sending { attempt: 1, lease_ms: 20_000, owner: "1".into() },
        attempts: 1,
        at: at("2026-03-02T10:41:21Z"),
        bundle: Digest::of(&[b"bundle"]),
    }
}

#[must_use]
pub fn audit() -> AuditRecord {
    let mut record = AuditRecord {
        partition: 0,
        sequence: 1,
        at: at("2026-03-02T10:41:21Z"),
        actor: "tocsin".into(),
        action: "incident.opened".into(),
        incident_id: Some(incident().incident_id),
        before: None,
        after: Some("sev2 latency".into()),
        why: Some("route 2, policy default".into()),
        content: None,
        previous: CHAIN_START.into(),
        hash: String::new(),
    };
    record.hash = record.digest();
    record
}

/// Of that record; what signs it is no key.
#[must_use]
pub fn checkpoint() -> Checkpoint {
    Checkpoint {
        namespace: "default".into(),
        partition: 0,
        sequence: 1,
        hash: audit().hash,
        at: at("2026-03-02T10:50:00Z"),
        key: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".into(),
        signature: "00".repeat(64),
    }
}

#[must_use]
pub fn silence_command() -> SilenceCommand {
    let new = NewSilence {
        of: Matches { model: vec!["fraud*".into()], ..Matches::default() },
        for_s: 7200,
        until_resolved: false,
        unmatched_s: Some(1800),
        incidents_max: 10,
        listed: vec![Listed { incident_id: incident().incident_id, generation: 1 }],
        reason: "rolling out 2026-03-02.3".into(),
    };
    SilenceCommand {
        command_id: CommandId::new("0c1b2d3e"),
        silence_id: SilenceId::of(&[b"sample"]),
        issued_at: at("2026-03-02T10:42:03Z"),
        principal: Principal { name: "ana".into(), role: Role::Responder },
        ask: SilenceAsk::Make(Box::new(new)),
    }
}

#[must_use]
pub fn control() -> Control {
    Control::Silence(Box::new(Silence {
        silence_id: SilenceId::of(&[b"sample"]),
        of: Matches { model: vec!["fraud*".into()], ..Matches::default() },
        made_at: at("2026-03-02T10:42:03.020Z"),
        until: at("2026-03-02T12:42:03.020Z"),
        until_resolved: false,
        unmatched_s: Some(1800),
        incidents_max: 10,
        listed: vec![Listed { incident_id: incident().incident_id, generation: 1 }],
        by: "p-ifyhq4kvqz2nxbw3".into(),
        reason: "rolling out 2026-03-02.3".into(),
    }))
}

#[must_use]
pub fn forget() -> Forget {
    let command_id = CommandId::of(&[b"forget"]);
    Forget {
        name: Forget::digest(&command_id, "ada"),
        command_id,
        partition: 0,
        issued_at: at("2026-03-02T10:42:03Z"),
        principal: Principal { name: "root".into(), role: Role::Admin },
        pseudonym: "p-4u2k7d".into(),
    }
}

#[must_use]
pub fn dead_letter() -> DeadLetter {
    DeadLetter {
        topic: "tocsin.telemetry.v1".into(),
        partition: 3,
        offset: 4711,
        reason: Reason::Missing,
        detail: "prediction_id is missing".into(),
        bytes: 212,
    }
}
