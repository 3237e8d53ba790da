//! What a template can say.

use serde::Serialize;
use wire::incident::{Context, Contributor};
use wire::page::{Page, PageKind};
use wire::text::{clip, printable};
use wire::{
    AlertKey, Change, Effect, Evidence, Family, Incident, NotificationId, Severity, Source, Subject,
    Timestamp, Zone,
};

/// Longest single value, in bytes.
const VALUE_MAX: usize = 1000;

/// Contributors told of at most.
const MOVED_MAX: usize = 10;

/// Values by name. Texts are one line each, whatever the telemetry holds.
#[derive(Debug, Serialize)]
pub(super) struct Facts {
    kind: &'static str,
    /// `acknowledged: `, `resolved: ` or nothing, for in front of the title.
    over: &'static str,
    /// `DRILL `, or nothing.
    drill: &'static str,
    severity: &'static str,
    how_bad: &'static str,
    family: &'static str,
    title: String,
    what: String,
    r#where: String,
    since: String,
    next: String,
    evidence: String,
    samples: u64,
    moved: Vec<Moved>,
    deployed: String,
    model: String,
    version: String,
    team: String,
    tier: String,
    /// Who has it; empty if nobody has.
    owner: String,
    /// Who reads it.
    reader: String,
    incident: String,
    generation: u32,
}

#[derive(Debug, Serialize)]
struct Moved {
    name: String,
    detail: String,
}

impl Facts {
    pub(super) const NAMES: [&str; 23] = [
        "kind",
        "over",
        "drill",
        "severity",
        "how_bad",
        "family",
        "title",
        "what",
        "where",
        "since",
        "next",
        "evidence",
        "samples",
        "moved",
        "deployed",
        "model",
        "version",
        "team",
        "tier",
        "owner",
        "reader",
        "incident",
        "generation",
    ];

    pub(super) fn of(page: &Page, reader: &str, zone: &Zone) -> Self {
        let incident = &page.incident;
        let context = &incident.context;
        let moved = incident.evidence.contributors.iter().take(MOVED_MAX);
        let deployed: Vec<_> = context
            .deployments
            .iter()
            .map(|d| line(&format!("{} {} {} at {}", d.model, d.version, d.change, zone.shows(d.event_time))))
            .collect();
        Self {
            kind: page.kind.name(),
            over: match page.kind {
                PageKind::Trigger | PageKind::Update => "",
                PageKind::Acknowledge => "acknowledged: ",
                PageKind::Resolve => "resolved: ",
            },
            drill: if incident.drill { "DRILL " } else { "" },
            severity: incident.severity.name(),
            how_bad: how_bad(incident.severity),
            family: incident.family.name(),
            title: line(&incident.title),
            what: line(&what(incident)),
            r#where: line(&place(incident)),
            since: zone.shows(incident.opened_at),
            next: line(&next(page, zone)),
            evidence: format!("{:.2}", incident.evidence.evidence),
            samples: incident.evidence.samples,
            moved: moved.map(|c| Moved { name: line(&c.name), detail: line(&c.detail) }).collect(),
            deployed: line(&deployed.join("; ")),
            model: line(&incident.subject.name),
            version: line(incident.subject.version.as_deref().unwrap_or("")),
            team: line(context.owner.as_deref().unwrap_or("")),
            tier: context.tier.map_or_else(String::new, |tier| tier.to_string()),
            owner: line(page.owner.as_deref().unwrap_or("")),
            reader: line(reader),
            incident: incident.incident_id.to_string(),
            generation: incident.generation,
        }
    }

    /// What a page that calls somebody must say.
    pub(super) fn must(&self) -> [&str; 4] {
        [&self.what, &self.r#where, &self.since, &self.next]
    }
}

fn line(text: &str) -> String {
    clip(&printable(text), VALUE_MAX).into_owned()
}

const fn how_bad(severity: Severity) -> &'static str {
    match severity {
        Severity::Sev1 => "critical",
        Severity::Sev2 => "serious",
        Severity::Sev3 => "not urgent",
        Severity::Sev4 => "for the record",
    }
}

/// Signal and value against reference; where nothing was measured, what is said.
fn what(incident: &Incident) -> String {
    if incident.source != Source::Detector && incident.source != Source::Drill {
        return incident.title.clone();
    }
    let Evidence { statistic, value, reference, unit, effect, .. } = &incident.evidence;
    let number = |x: f64| {
        if unit == "share" { format!("{:.1} %", x * 100.0) } else { format!("{x:.3} {unit}") }
    };
    // The smallest size that the effect can have, as far as is known.
    let least = effect.lower.max(-effect.upper).max(0.0);
    let [value, reference, least_said] = [*value, *reference, least].map(number);
    let off = if least > 0.0 { format!(", off by at least {least_said}") } else { String::new() };
    format!("{statistic} is {value}, usually {reference}{off}")
}

/// Model, version, owner.
fn place(incident: &Incident) -> String {
    let subject = &incident.subject;
    let mut said = format!("{} {}", subject.kind.name(), subject.name);
    for part in [&subject.version, &subject.segment].into_iter().flatten() {
        said.push(' ');
        said.push_str(part);
    }
    match &incident.context.owner {
        Some(owner) => format!("{said}, owned by {owner}"),
        None => format!("{said}, owned by nobody that is known"),
    }
}

fn next(page: &Page, zone: &Zone) -> String {
    let next = what_next(page, zone);
    match &page.notice {
        Some(notice) => format!("{notice}; {next}"),
        None => next,
    }
}

fn what_next(page: &Page, zone: &Zone) -> String {
    if page.told.is_some() && page.kind == PageKind::Trigger {
        return match &page.owner {
            Some(owner) => format!("{owner} has it; you need do nothing"),
            None => "those on call are called; you need do nothing".into(),
        };
    }
    match (page.kind, &page.owner, page.escalates_at) {
        (PageKind::Resolve, ..) => "nothing, it is over".into(),
        (_, Some(owner), Some(at)) => format!("{owner} has it; the next step is paged at {}", zone.shows(at)),
        (_, Some(owner), None) => format!("{owner} has it"),
        (_, None, Some(at)) => format!("take it, or the next step is paged at {}", zone.shows(at)),
        (_, None, None) => "nobody has it yet: take it".into(),
    }
}

/// Pages to try templates on: of each kind, with everything that there can be, and with as little as there can be.
pub(super) fn samples() -> Vec<Page> {
    let at = Timestamp::EPOCH.plus_ms(1_772_445_600_000);
    let subject = Subject::model("sample-model", "2026-03-01.7");
    let evidence = sample_evidence(at);
    let full = Incident {
        incident_id: Incident::id_of("sample", Source::Detector, &subject, Family::Latency, at),
        generation: 1,
        sequence: 1,
        change: Change::Opened,
        namespace: "sample".into(),
        source: Source::Detector,
        severity: Severity::Sev2,
        family: Family::Latency,
        subject,
        opened_at: at,
        changed_at: at,
        title: "a sample: 31.4 % of requests take over 250 ms".into(),
        evidence,
        context: Context { owner: Some("sample-team".into()), tier: Some(1), ..Context::default() },
        drill: false,
    };
    let mut bare = Incident { context: Context::default(), drill: true, ..full.clone() };
    bare.subject.version = None;
    bare.evidence.contributors.clear();
    let kinds = [PageKind::Trigger, PageKind::Acknowledge, PageKind::Update, PageKind::Resolve];
    let page = |incident: &Incident, kind: PageKind, rich: bool| Page {
        notification_id: NotificationId::for_page(
            &incident.incident_id,
            1,
            0,
            0,
            "ada",
            "pager",
            kind.name(),
        ),
        alert_key: AlertKey::for_alert(&incident.incident_id, 1, "pager", "ada"),
        kind,
        receiver: "pager".into(),
        target: "ada".into(),
        round: 0,
        step: 0,
        incident: incident.clone(),
        decided_at: at,
        escalates_at: rich.then(|| at.plus_ms(300_000)),
        owner: (kind == PageKind::Acknowledge).then(|| "Grace".into()),
        person: rich.then(|| "ada".into()),
        told: None,
        notice: None,
        folded: None,
        text: None,
        thread: None,
        minimal: false,
        link: None,
    };
    kinds.iter().flat_map(|kind| [page(&full, *kind, true), page(&bare, *kind, false)]).collect()
}

fn sample_evidence(at: Timestamp) -> Evidence {
    Evidence {
        statistic: "latency.share_over_objective".into(),
        value: 0.314,
        reference: 0.021,
        unit: "share".into(),
        effect: Effect { estimate: 0.293, lower: 0.211, upper: 0.373 },
        evidence: 12.5,
        samples: 812,
        window: [at, at.plus_ms(60_000)],
        contributors: vec![Contributor {
            name: "requests".into(),
            detail: "over 250 ms: 2.1 % -> 31.4 %".into(),
            value: 0.314,
            reference: 0.021,
            evidence: 3.0,
            segment: None,
        }],
        profile: None,
    }
}
