//! Everything that can be wrong with windows of maintenance and rules of inhibition.

use std::collections::BTreeSet;

use wire::{Matches, Timestamp};

use super::{Check, key};
use crate::config::{At, HoursConfig, InhibitConfig, MaintenanceConfig, SilencesConfig};
use crate::mutes::{Inhibition, Quiet, Window};
use crate::policy::whom::Roster;

/// Most windows, and most rules.
const RULES_MAX: usize = 200;
/// Most patterns of one condition.
const PATTERNS_MAX: usize = 200;
/// Longest that something upstream covers others.
const COVERS_S_MAX: u32 = 7 * 86_400;

impl Check<'_> {
    pub(super) fn silences(&mut self, config: &SilencesConfig, roster: &Roster) -> Quiet {
        let at = |list: &str| vec![key("silences"), key(list)];
        self.within(&at("maintenance"), "maintenance", config.maintenance.len(), &(0..=RULES_MAX));
        self.within(&at("inhibit"), "inhibit", config.inhibit.len(), &(0..=RULES_MAX));
        let mut names = BTreeSet::new();
        let mut windows = Vec::new();
        for (i, config) in config.maintenance.iter().enumerate() {
            let at = [at("maintenance"), vec![At::Index(i)]].concat();
            self.rule(&at, &config.name, &mut names);
            windows.push(self.window(&at, config, roster));
            self.ends(&at, &windows);
        }
        let mut inhibitions = Vec::new();
        for (i, config) in config.inhibit.iter().enumerate() {
            let at = [at("inhibit"), vec![At::Index(i)]].concat();
            self.rule(&at, &config.name, &mut names);
            inhibitions.push(self.inhibition(&at, config));
        }
        Quiet { windows, inhibitions }
    }

    fn rule(&mut self, at: &[At], name: &str, names: &mut BTreeSet<String>) {
        let at = [at, &[key("name")]].concat();
        if name.trim().is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            self.wrong(&at, "a name has 1 to 64 bytes, all of which can be seen".into());
        }
        if !names.insert(name.to_owned()) {
            self.wrong(&at, format!("{name:?} is the name of another one above"));
        }
    }

    fn window(&mut self, at: &[At], config: &MaintenanceConfig, roster: &Roster) -> Window {
        let path = |field: &str| [at, &[key(field)]].concat();
        self.conditions(&path("incidents"), &config.incidents, false);
        let zone = self.zone(at, config.zone.as_deref(), &roster.anyone.zone);
        let MaintenanceConfig { hours, days, holidays, .. } = config;
        let (hours, days, holidays) = (hours.clone(), days.clone(), holidays.clone());
        let hours = self.hours(at, &HoursConfig { hours, days, holidays }, &zone, roster);
        let span = self.span(at, config.from.as_deref(), config.until.as_deref(), &zone);
        Window { name: config.name.clone(), of: config.incidents.clone(), hours, span }
    }

    /// The last of these, with those before it that are of the same incidents and have no end, must leave an hour of the week.
    fn ends(&mut self, at: &[At], windows: &[Window]) {
        let Some(last) = windows.last().filter(|w| w.span.until == Timestamp::MAX) else { return };
        let mut week = vec![false; 7 * 1440];
        let with = windows.iter().filter(|w| w.of == last.of && w.span.until == Timestamp::MAX);
        with.for_each(|w| w.hours.mark(&mut week));
        if last.hours.is_always() || !week.contains(&false) {
            let why = "holds at every hour, by itself or with those above of the same incidents, and has no `until`, so nobody \
                       would ever be paged; say when it ends";
            self.wrong(at, why.into());
        }
    }

    fn inhibition(&mut self, at: &[At], config: &InhibitConfig) -> Inhibition {
        let path = |field: &str| [at, &[key(field)]].concat();
        self.conditions(&path("upstream"), &config.upstream, false);
        let narrowed = config.lineage || !config.same.is_empty();
        self.conditions(&path("covers"), &config.covers, narrowed);
        self.within(&path("for_s"), "for_s", config.for_s, &(60..=COVERS_S_MAX));
        let InhibitConfig { name, upstream, covers, same, lineage, for_s } = config.clone();
        Inhibition { name, upstream, covers, same, lineage, for_ms: i64::from(for_s) * 1000 }
    }

    /// Conditions that stand alone must leave something out, or nobody would be paged about anything.
    fn conditions(&mut self, at: &[At], of: &Matches, may_be_none: bool) {
        if of.is_everything() && !may_be_none {
            let why = "has no condition, so it would hold for every incident; name some, such as \
                       `{ model = [\"fraud*\"] }`";
            self.wrong(at, why.into());
        }
        self.patterns(at, of);
    }

    /// What no name could be, and what is too much.
    pub(super) fn patterns(&mut self, at: &[At], of: &Matches) {
        let Matches { severity: _, family: _, model, subject, segment, owner, tier, source: _, drill: _ } =
            of;
        for (field, list) in [("model", model), ("subject", subject), ("segment", segment), ("owner", owner)]
        {
            let at = [at, &[key(field)]].concat();
            self.within(&at, "patterns", list.len(), &(0..=PATTERNS_MAX));
            if let Some(i) = list.iter().position(|p| p.is_empty() || p.len() > 256) {
                let why = "a pattern has 1 to 256 bytes".to_owned();
                self.wrong(&[at, vec![At::Index(i)]].concat(), why);
            }
        }
        self.within(&[at, &[key("tier")]].concat(), "tiers", tier.len(), &(0..=PATTERNS_MAX));
    }
}
