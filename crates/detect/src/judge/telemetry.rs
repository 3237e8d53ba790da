//! Incidents about the telemetry itself: a source partition that fell silent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::incident::Context;
use wire::{Change, Effect, Evidence, Family, Severity, Subject, SubjectKind, Timestamp};

use super::Effects;
use super::incident::{Case, Told, Whose};
use crate::config::JudgeConfig;
use crate::progress::SourceId;

/// By source partition. Bound: the source partitions that were given up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Telemetry {
    cases: BTreeMap<SourceId, Case>,
}

impl Telemetry {
    /// Nothing was heard of a source partition for too long: a ticket that names it. Not budgeted: it is a fact.
    pub(super) fn silent(
        &mut self,
        config: &JudgeConfig,
        source: &SourceId,
        pane: Timestamp,
        out: &mut Effects,
    ) {
        let case = self.cases.entry(source.clone()).or_default();
        if case.open.is_some() {
            return;
        }
        let end = pane.plus_ms(config.pane_ms);
        let whose = whose(config, source);
        case.open(&whose, Severity::Sev3, (pane, end), i64::from(config.judge.reopen_s) * 1000);
        let title = format!("telemetry of {source} is not read any more; panes close without it");
        out.incidents.extend(case.tell(&whose, Change::Opened, end, told(config, title, [pane, end])));
    }

    /// It speaks again.
    pub(super) fn spoke(
        &mut self,
        config: &JudgeConfig,
        source: &SourceId,
        at: Timestamp,
        out: &mut Effects,
    ) {
        let Some(case) = self.cases.get_mut(source) else { return };
        let Some(opened_at) = case.open.as_ref().map(|open| open.opened_at) else { return };
        let at = at.max(opened_at);
        let title = format!("telemetry of {source} is read again");
        let told = told(config, title, [opened_at, at]);
        out.incidents.extend(case.tell(&whose(config, source), Change::Cleared, at, told));
        let reopen_ms = i64::from(config.judge.reopen_s) * 1000;
        self.cases.retain(|_, case| !case.is_over(at, reopen_ms));
    }
}

fn whose<'a>(config: &'a JudgeConfig, source: &SourceId) -> Whose<'a> {
    let subject = Subject {
        kind: SubjectKind::Platform,
        name: format!("telemetry/{source}"),
        version: None,
        segment: None,
    };
    Whose { namespace: &config.namespace, subject, family: Family::Telemetry }
}

fn told(config: &JudgeConfig, title: String, window: [Timestamp; 2]) -> Told {
    let evidence = Evidence {
        statistic: "telemetry.silent".to_owned(),
        value: 0.0,
        reference: 0.0,
        unit: String::new(),
        effect: Effect::default(),
        evidence: 0.0,
        samples: 0,
        window,
        contributors: vec![],
        profile: None,
    };
    let context = Context {
        as_of: [("panes".to_owned(), window[1])].into(),
        config: Some(config.digest().clone()),
        incomplete: true,
        ..Context::default()
    };
    Told { title, evidence, context }
}
