//! Everything that can be wrong with who is told beside those who are called, and with what may wait.

use std::collections::{BTreeMap, BTreeSet};

use wire::Severity;

use super::people::no_template;
use super::{Check, key};
use crate::config::{At, CellConfig, DigestConfig, HoursConfig, StakeholdersConfig};
use crate::policy::stakeholders::{Cell, Digest, Stakeholders};
use crate::policy::whom::Roster;
use crate::template::Templates;

const AUDIENCES_MAX: usize = 20;
/// Most that are told by one cell.
const TOLD_MAX: usize = 20;
/// Longest that a message may wait, beside its hours: a day.
const WITHIN_S_MAX: u32 = 86_400;
const NOBODY_BYTES_MAX: usize = 500;

impl Check<'_> {
    pub(super) fn stakeholders(&mut self, config: &StakeholdersConfig, roster: &Roster) -> Stakeholders {
        if config.is_empty() {
            return Stakeholders::default();
        }
        let at = vec![key("stakeholders"), key("audiences")];
        self.within(&at, "audiences", config.audiences.len(), &(1..=AUDIENCES_MAX));
        let mut names = BTreeSet::new();
        for (i, audience) in config.audiences.iter().enumerate() {
            if !names.insert(audience) {
                let at = [at.as_slice(), &[At::Index(i)]].concat();
                self.wrong(&at, format!("{audience:?} stands twice here; name it once"));
            }
        }
        let mut told = BTreeMap::new();
        for severity in [Severity::Sev1, Severity::Sev2, Severity::Sev3, Severity::Sev4] {
            let at = vec![key("stakeholders"), key("tell"), key(severity.name())];
            let has_row = config.tell.contains_key(&severity);
            let none = BTreeMap::new();
            let row = config.tell.get(&severity).unwrap_or(&none);
            for audience in row.keys().filter(|audience| !names.contains(audience)) {
                let at = [at.as_slice(), &[key(audience)]].concat();
                self.wrong(&at, format!("{audience:?} is none of `audiences`"));
            }
            let mut cells = Vec::new();
            for audience in &config.audiences {
                let cell = [at.as_slice(), &[key(audience)]].concat();
                match row.get(audience) {
                    Some(config) => cells.push(self.cell(&cell, audience, config, roster)),
                    None => {
                        let severity = severity.name();
                        let place = if has_row { at.as_slice() } else { &at[..1] };
                        let why = format!(
                            "nothing says what {audience} is told of a {severity}: write `[tell.{severity}]` with \
                             `{audience} = {{ to = [\"receiver/target\"] }}`, or `{{ nobody = \"why\" }}`"
                        );
                        self.wrong(place, why);
                    }
                }
            }
            told.insert(severity, cells);
        }
        Stakeholders(told)
    }

    fn cell(&mut self, at: &[At], audience: &str, config: &CellConfig, roster: &Roster) -> Cell {
        let CellConfig { to, by, digest, nobody } = config;
        let path = |field: &str| [at, &[key(field)]].concat();
        match nobody {
            Some(why) if !to.is_empty() || !digest.is_at_once() => {
                self.wrong(at, format!("it is nobody ({why}), and somebody: leave one out"));
            }
            Some(why) => self.within(&path("nobody"), "bytes", why.trim().len(), &(1..=NOBODY_BYTES_MAX)),
            None => self.within(&path("to"), "to", to.len(), &(1..=TOLD_MAX)),
        }
        let whom = self.whom(&path("to"), "here", to, roster);
        for (i, whom) in whom.iter().enumerate() {
            if roster.reach(whom, *by, None).is_empty() {
                let why =
                    format!("{whom} has no contact of the class {}, so nobody would be told", by.name());
                self.wrong(&[path("to").as_slice(), &[At::Index(i)]].concat(), why);
            }
        }
        let digest = self.digest(&path("digest"), digest, roster);
        Cell { audience: audience.to_owned(), to: whom, by: *by, digest }
    }

    /// What may wait.
    pub(super) fn digest(&mut self, at: &[At], config: &DigestConfig, roster: &Roster) -> Digest {
        let DigestConfig { within_s, hours, days, holidays, zone } = config;
        self.within(&[at, &[key("within_s")]].concat(), "seconds", *within_s, &(0..=WITHIN_S_MAX));
        let zone = self.zone(at, zone.as_deref(), &roster.anyone.zone);
        let (hours, days, holidays) = (hours.clone(), days.clone(), holidays.clone());
        let hours = self.hours(at, &HoursConfig { hours, days, holidays }, &zone, roster);
        Digest { within_ms: i64::from(*within_s) * 1000, hours }
    }

    /// That each is spoken to by a template that there is.
    pub(super) fn told_audiences(&mut self, config: &StakeholdersConfig, templates: &Templates) {
        // What is read back from where it was kept has no templates of its own.
        let asked = if self.receivers.is_some() { config.audiences.as_slice() } else { &[] };
        for (i, audience) in asked.iter().enumerate() {
            if !templates.knows(audience) {
                let at = [key("stakeholders"), key("audiences"), At::Index(i)];
                self.wrong(&at, no_template(audience));
            }
        }
    }
}
