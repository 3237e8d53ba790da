//! Another config while it judges: taken in as a record, in force from a pane boundary on.
//!
//! The pane that closes next is still judged by the config before it, and with it whatever streams had gathered: so every
//! judged pane was granted, tested and told of under one config, known before anything of it was judged.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::{Change, Effect, Evidence, Family, Subject, SubjectKind, Timestamp};

use super::closing::Closing;
use super::incident::{Told, Whose};
use super::model::{Model, Name};
use super::traffic::Traffic;
use super::{Effects, Judge, response, words};
use crate::config::{JudgeConfig, Rules};

/// The config that comes into force with the pane that starts at `from`, or the first one after it.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) from: Timestamp,
    pub(super) config: Arc<JudgeConfig>,
}

/// The rules in force and those to come, as JSON, which gains fields.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    in_force: Vec<u8>,
    next: Option<(Timestamp, Vec<u8>)>,
}

/// Where one config gives way to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reload<'a> {
    pub(super) before: &'a JudgeConfig,
    pub(super) config: &'a JudgeConfig,
    /// Start of the first pane under the new one.
    pub(super) at: Timestamp,
}

impl Reload<'_> {
    /// Whether a family is judged no more.
    pub(super) fn turns_off(&self, family: Family) -> bool {
        self.before.judge.family(family).enabled && !self.config.judge.family(family).enabled
    }
}

impl Judge {
    /// The config in force.
    #[must_use]
    pub fn config(&self) -> &JudgeConfig {
        &self.config
    }

    /// The config that comes into force at a pane boundary, and the first pane that it judges.
    #[must_use]
    pub fn next_config(&self) -> Option<(&JudgeConfig, Timestamp)> {
        self.next.as_ref().map(|next| (&*next.config, next.from))
    }

    /// Takes in what to judge by. Repeated, it changes nothing.
    pub(super) fn reload(&mut self, rules: Rules) {
        let config = self.config.under(rules);
        let last = self.next.as_ref().map_or(&self.config, |next| &next.config);
        if config.digest() == last.digest() {
            return;
        }
        self.dirty.config = true;
        if config.digest() == self.config.digest() {
            self.next = None;
            return;
        }
        let config = Arc::new(config);
        match self.next_pane {
            Some(pane) => self.next = Some(Next { from: pane.plus_ms(self.config.pane_ms), config }),
            // Nothing was judged yet.
            None => {
                self.next = None;
                self.config = config;
            }
        }
    }

    /// Before the pane that starts at `start` closes: what comes into force with it.
    pub(super) fn come_into_force(&mut self, start: Timestamp) {
        let Some(next) = self.next.take_if(|next| next.from <= start) else { return };
        let before = std::mem::replace(&mut self.config, next.config);
        self.dirty.config = true;
        let config = Arc::clone(&self.config);
        let reload = Reload { before: &before, config: &config, at: start };
        for (name, model) in &mut self.models {
            let versions = model.reload(name, reload, &mut self.out);
            self.dirty.versions.extend(versions.into_iter().map(|version| (name.clone(), version)));
            self.dirty.models.insert(name.clone());
        }
    }

    /// Whether the pane that ends at `end` is the last one of its config.
    pub(super) fn is_last_of_config(&self, end: Timestamp) -> bool {
        self.next.as_ref().is_some_and(|next| next.from == end)
    }

    pub(super) fn store_config(&self) -> Stored {
        let json =
            |config: &JudgeConfig| serde_json::to_vec(&config.rules()).expect("settings are plain data");
        let next = self.next.as_ref().map(|next| (next.from, json(&next.config)));
        Stored { in_force: json(&self.config), next }
    }

    /// Puts back what was in force and what was to come.
    pub(super) fn restore_config(&mut self, stored: &Stored) -> Result<(), serde_json::Error> {
        let config = |json: &[u8]| -> Result<_, serde_json::Error> {
            Ok(Arc::new(self.config.under(serde_json::from_slice(json)?)))
        };
        let in_force = config(&stored.in_force)?;
        let next = match &stored.next {
            Some((from, json)) => Some(Next { from: *from, config: config(json)? }),
            None => None,
        };
        (self.config, self.next, self.config_is_kept) = (in_force, next, true);
        Ok(())
    }
}

impl Model {
    /// Goes over to another config. Returns the versions that this changed.
    fn reload(&mut self, name: &str, reload: Reload<'_>, out: &mut Effects) -> Vec<Name> {
        let Reload { before: _, config, at } = reload;
        let mut changed = vec![];
        for (key, version) in &mut self.versions {
            let closing = Closing {
                config,
                settings: config.model(name),
                model: name,
                version: &key.0,
                start: at,
                end: at,
                highest: at,
                incomplete: false,
                last_of_config: false,
                part: 0.0,
                model_seen: self.last_seen,
                traffic_pages: !self.doubts.bars_traffic(),
                surroundings: &self.surroundings,
                segment: key.1.as_deref(),
            };
            if version.reload(&closing, reload, out) {
                changed.push(key.clone());
            }
        }
        if reload.turns_off(Family::Traffic) {
            self.turn_traffic_off(name, reload, out);
        } else if config.model(name).tier == 4 {
            self.traffic.spend_page();
        }
        changed
    }

    fn turn_traffic_off(&mut self, name: &str, Reload { config, at, .. }: Reload<'_>, out: &mut Effects) {
        self.traffic = Traffic::new();
        let Some(open) = &self.case.open else { return };
        let opened_at = open.opened_at;
        let evidence = Evidence {
            statistic: "traffic.calls".to_owned(),
            value: 0.0,
            reference: 0.0,
            unit: "1/s".to_owned(),
            effect: Effect::default(),
            evidence: 0.0,
            samples: 0,
            window: [at, at],
            contributors: vec![],
            profile: None,
        };
        let context =
            response::surround(config.model(name), config, &self.surroundings, (opened_at, at), false);
        let title = response::clip(format!("{name}: {}", words::turned_off(Family::Traffic)));
        let subject =
            Subject { kind: SubjectKind::Model, name: name.to_owned(), version: None, segment: None };
        let drill = config.model(name).drill;
        let whose = Whose { namespace: &config.namespace, subject, family: Family::Traffic, drill };
        out.incidents.extend(self.case.tell(&whose, Change::Cleared, at, Told { title, evidence, context }));
    }
}
