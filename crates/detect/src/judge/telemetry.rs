//! Incidents about what tocsin itself is given: a source partition that fell silent, a config file that is at fault.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::incident::Context;
use wire::{Change, Effect, Evidence, Family, Severity, Subject, SubjectKind, Timestamp};

use super::Effects;
use super::incident::{Case, Told, Whose};
use super::response::clip;
use crate::config::JudgeConfig;
use crate::progress::SourceId;
use crate::record::ConfigFile;

const SILENT: &str = "telemetry.silent";

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
        out.incidents.extend(case.tell(
            &whose,
            Change::Opened,
            end,
            told(config, title, SILENT, [pane, end]),
        ));
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
        let told = told(config, title, SILENT, [opened_at, at]);
        out.incidents.extend(case.tell(&whose(config, source), Change::Cleared, at, told));
        let reopen_ms = i64::from(config.judge.reopen_s) * 1000;
        self.cases.retain(|_, case| !case.is_over(at, reopen_ms));
    }
}

/// By name of the process. Bound: the processes whose config file was at fault of late.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ConfigFiles {
    /// With what was told last.
    cases: BTreeMap<String, (Case, String)>,
}

impl ConfigFiles {
    /// What a process found in its config file: a ticket for as long as that cannot be loaded. Not budgeted: it is a fact.
    pub(super) fn found(&mut self, config: &JudgeConfig, file: ConfigFile, out: &mut Effects) {
        let ConfigFile { instance, at, fault } = file;
        let whose = platform(config, format!("config/{instance}"));
        let reopen_ms = i64::from(config.judge.reopen_s) * 1000;
        if let Some(fault) = fault {
            let (case, known) = self.cases.entry(instance.clone()).or_default();
            let change = match &case.open {
                Some(_) if *known == fault => return,
                Some(_) => Change::Updated,
                None => Change::Opened,
            };
            if change == Change::Opened {
                case.open(&whose, Severity::Sev3, (at, at), reopen_ms);
            }
            let title = format!(
                "the config of process {instance} is at fault: {fault}; the one before stays in force"
            );
            let told = Told { title: clip(title), ..about_config(config, case, at) };
            out.incidents.extend(case.tell(&whose, change, at, told));
            *known = fault;
        } else {
            let Some((case, known)) = self.cases.get_mut(&instance) else { return };
            let title = format!("the config of process {instance} is fine again");
            let told = Told { title, ..about_config(config, case, at) };
            out.incidents.extend(case.tell(&whose, Change::Cleared, at, told));
            known.clear();
            self.cases.retain(|_, (case, _)| !case.is_over(at, reopen_ms));
        }
    }
}

/// All but the title. By clocks of processes, which may go back.
fn about_config(config: &JudgeConfig, case: &Case, at: Timestamp) -> Told {
    let since = case.open.as_ref().map_or(at, |open| open.opened_at.min(at));
    let mut told = told(config, String::new(), "telemetry.config", [since, at]);
    told.context.as_of.clear();
    told.context.incomplete = false;
    told
}

fn whose<'a>(config: &'a JudgeConfig, source: &SourceId) -> Whose<'a> {
    platform(config, format!("telemetry/{source}"))
}

fn platform(config: &JudgeConfig, name: String) -> Whose<'_> {
    let subject = Subject { kind: SubjectKind::Platform, name, version: None, segment: None };
    Whose { namespace: &config.namespace, subject, family: Family::Telemetry, drill: false }
}

pub(super) fn told(config: &JudgeConfig, title: String, statistic: &str, window: [Timestamp; 2]) -> Told {
    let evidence = Evidence {
        statistic: statistic.to_owned(),
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
