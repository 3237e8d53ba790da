//! One model: its versions, their references, its traffic, what surrounds it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::context::{ContextRecord, Feedback};
use wire::history::Verdict;
use wire::profile::Profile;
use wire::{Change, Effect, Evidence, Family, Severity, Subject, SubjectKind, Timestamp};

use super::closing::Closing;
use super::doubts::Doubts;
use super::incident::{Case, Told, Whose};
use super::learn::Learned;
use super::loaded::Loaded;
use super::stream::Stream;
use super::surroundings::Surroundings;
use super::traffic::{Heard, Traffic};
use super::version::Version;
use super::{Effects, budget, response, words};
use crate::config::{JudgeConfig, ModelSettings};
use crate::pane::PaneCounts;
use crate::reference::Reference;
use crate::reference::profile::for_version;

/// References kept of a model, most: those whose versions were seen last.
const REFERENCES_MAX: usize = 8;
/// Whoever had traffic so lately shares the budget.
const LIVE_MS: i64 = 3_600_000;
/// A version without traffic for so long is forgotten.
const FORGET_MS: i64 = 7 * 86_400_000;
/// How long after the highest watermark a profile begins: collectors must have read it by then.
const AHEAD_MS: i64 = 60_000;

/// Version and segment.
pub(super) type Name = (String, Option<String>);

/// The state of one model.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) versions: BTreeMap<Name, Version>,
    /// By the version they were taken from.
    pub(super) references: BTreeMap<String, Arc<Loaded>>,
    pub(super) surroundings: Surroundings,
    pub(super) traffic: Traffic,
    pub(super) case: Case,
    /// End of the last pane with a prediction.
    pub(super) last_seen: Timestamp,
    /// Too many calls rather than too few: what the open incident is about.
    pub(super) too_many: bool,
    /// Written under a key of its own.
    pub(super) doubts: Doubts,
}

/// Written beside its versions and references.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    surroundings: super::surroundings::Stored,
    traffic: Traffic,
    case: Case,
    last_seen: Timestamp,
    too_many: bool,
}

/// What closing a base pane of a model must know.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModelClosing<'a> {
    pub(super) config: &'a JudgeConfig,
    pub(super) name: &'a str,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) highest: Timestamp,
    pub(super) incomplete: bool,
    pub(super) last_of_config: bool,
    /// The model's part of the partition's budget.
    pub(super) part: f64,
}

/// Panes of one model that close together: by version and segment, then by profile digest.
pub(super) type Closed = BTreeMap<Name, Vec<(u64, PaneCounts)>>;

impl Model {
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            versions: BTreeMap::new(),
            references: BTreeMap::new(),
            surroundings: Surroundings::default(),
            traffic: Traffic::new(),
            case: Case::default(),
            last_seen: at,
            too_many: false,
            doubts: Doubts::default(),
        }
    }

    /// Keeps its references, and by which of them each version is judged, and forgets what was judged. Nothing counts as
    /// live before it is seen.
    pub(super) fn start_anew(&mut self, at: Timestamp, settings: &ModelSettings) {
        let unseen = at.plus_ms(-LIVE_MS - 1);
        self.last_seen = unseen;
        for ((_, segment), version) in &mut self.versions {
            let loaded = version.reference_of.as_ref().and_then(|of| self.references.get(of));
            version.start_anew(loaded, settings, unseen, segment.is_none());
        }
    }

    /// References of the versions that are live at `at`, under their own names.
    pub(super) fn observed(&self, at: Timestamp) -> impl Iterator<Item = Reference> {
        let live = move |version: &Version| at.since_ms(version.last_seen) <= LIVE_MS;
        let versions = self.versions.iter().filter(move |((_, segment), v)| segment.is_none() && live(v));
        versions.filter_map(|((name, _), version)| {
            let loaded = self.references.get(version.reference_of.as_ref()?)?;
            let mut reference = loaded.reference.clone();
            reference.profile.version.clone_from(name);
            Some(reference)
        })
    }

    pub(super) fn store(&self) -> Stored {
        Stored {
            surroundings: self.surroundings.store(),
            traffic: self.traffic.clone(),
            case: self.case.clone(),
            last_seen: self.last_seen,
            too_many: self.too_many,
        }
    }

    /// Puts back what was stored beside versions and references, which may have come before.
    pub(super) fn restore(&mut self, stored: Stored) -> Result<(), serde_json::Error> {
        self.surroundings = Surroundings::restore(&stored.surroundings)?;
        self.traffic = stored.traffic;
        self.case = stored.case;
        self.last_seen = stored.last_seen;
        self.too_many = stored.too_many;
        Ok(())
    }

    /// Whether it had traffic lately: who shares the budget.
    pub(super) fn is_live(&self, at: Timestamp) -> bool {
        self.case.open.is_some() || at.since_ms(self.last_seen) <= LIVE_MS
    }

    pub(super) fn add_context(&mut self, record: ContextRecord) {
        match record {
            ContextRecord::Feedback(feedback) => self.doubt(feedback),
            ContextRecord::Deployment(_)
            | ContextRecord::Lineage(_)
            | ContextRecord::Profile(_)
            | ContextRecord::ProfilePart(_) => self.surroundings.add(record),
        }
    }

    /// Somebody said that an incident was not actionable. Of a stream that is not judged it says nothing.
    fn doubt(&mut self, feedback: Feedback) {
        let judged = match &feedback.version {
            None => feedback.family == Family::Traffic && feedback.stream == self.traffic.last.name,
            Some(version) => self.versions.get(&(version.clone(), None)).is_some_and(|version| {
                let is_it = |s: &Stream| s.last.family == feedback.family && s.last.name == feedback.stream;
                version.streams.iter().any(is_it)
            }),
        };
        if judged {
            self.doubts.count(feedback);
            self.bar();
        }
    }

    /// Streams that are not calibrated may page no more. Safe to repeat.
    pub(super) fn bar(&mut self) {
        for (version, family, name) in self.doubts.barred() {
            let Some(version) = version else {
                self.traffic.spend_page();
                continue;
            };
            let version = self.versions.get_mut(&(version.to_owned(), None));
            let streams = version.into_iter().flat_map(|version| &mut version.streams);
            streams.filter(|s| s.last.family == family && s.last.name == name).for_each(Stream::bar);
        }
    }

    /// A pinned reference: its profile is published, and the version is judged by it from `at` on.
    pub(super) fn pin(
        &mut self,
        config: &JudgeConfig,
        reference: Reference,
        at: Timestamp,
        out: &mut Effects,
    ) {
        let profile = reference.profile.clone();
        self.doubts.begin(None, at);
        let loaded = Arc::new(Loaded::new(reference));
        self.references.insert(profile.version.clone(), Arc::clone(&loaded));
        while self.references.len() > REFERENCES_MAX {
            let oldest = self.references.keys().min_by_key(|v| (self.seen(v), (*v).clone())).cloned();
            match oldest.filter(|version| *version != profile.version) {
                Some(version) => drop(self.references.remove(&version)),
                None => break,
            }
        }
        let settings = config.model(&profile.model);
        if let Some(version) = self.versions.get_mut(&(profile.version.clone(), None)) {
            version.judge_by(&profile.version, &loaded, &profile, settings);
            self.doubts.begin(Some(&profile.version), at);
        }
        out.context.push(ContextRecord::Profile(Box::new(profile)));
    }

    fn seen(&self, version: &str) -> Option<Timestamp> {
        self.versions.get(&(version.to_owned(), None)).map(|v| v.last_seen)
    }

    /// The reference of the version that was seen last, if any has one.
    fn latest_reference(&self) -> Option<(String, Arc<Loaded>)> {
        let latest = self.references.keys().max_by_key(|v| (self.seen(v), (*v).clone()))?;
        Some((latest.clone(), Arc::clone(&self.references[latest])))
    }

    /// Closes one base pane for every version and for the model's traffic.
    pub(super) fn close(&mut self, at: ModelClosing<'_>, mut panes: Closed, out: &mut Effects) -> Vec<Name> {
        let calls = panes
            .iter()
            .filter(|((_, segment), _)| segment.is_none())
            .flat_map(|(_, parts)| parts)
            .fold(0_u64, |sum, (_, counts)| sum.saturating_add(counts.predictions));
        let sharing = self.sharing(at.start);
        for name in panes.keys() {
            if !self.versions.contains_key(name) {
                self.meet(at, name, out);
            }
        }
        if calls > 0 {
            self.last_seen = at.end;
        }
        let mut touched = vec![];
        let names: Vec<Name> = self.versions.keys().cloned().collect();
        for name in names {
            let parts = panes.remove(&name).unwrap_or_default();
            let version = self.versions.get_mut(&name).expect("its own key");
            let closing = Closing {
                config: at.config,
                settings: at.config.model(at.name),
                model: at.name,
                version: &name.0,
                start: at.start,
                end: at.end,
                highest: at.highest,
                incomplete: at.incomplete,
                last_of_config: at.last_of_config,
                part: at.part / sharing,
                model_seen: self.last_seen,
                traffic_pages: !self.doubts.bars_traffic(),
                surroundings: &self.surroundings,
                segment: name.1.as_deref(),
            };
            if parts.is_empty() && version.is_quiet() {
                continue;
            }
            let learned = version.close(&closing, &parts, out);
            self.take_learned(at, &name, learned, out);
            touched.push(name);
        }
        self.judge_traffic(at, calls, out);
        touched
    }

    /// Versions that had traffic lately: they share the model's budget.
    fn sharing(&self, at: Timestamp) -> f64 {
        let live =
            |((_, segment), v): (&Name, &Version)| segment.is_none() && at.since_ms(v.last_seen) <= LIVE_MS;
        let count = self.versions.iter().filter(|(name, version)| live((name, version))).count();
        crate::reference::baseline::float(count.max(1) as u64)
    }

    /// A version not seen before: judged by its own reference, or by the last version's, or it learns.
    fn meet(&mut self, at: ModelClosing<'_>, name: &Name, out: &mut Effects) {
        let own = self.references.get(&name.0).map(|loaded| (name.0.clone(), Arc::clone(loaded)));
        let by = if name.1.is_some() { None } else { own.or_else(|| self.latest_reference()) };
        let mut version = Version::new(at.start, name.1.is_none() && by.is_none());
        if let Some((of, loaded)) = by {
            let profile = if of == name.0 {
                loaded.reference.profile.clone()
            } else {
                let profile = for_version(&loaded.reference.profile, &name.0, ahead(at));
                out.context.push(ContextRecord::Profile(Box::new(profile.clone())));
                profile
            };
            version.judge_by(&of, &loaded, &profile, at.config.model(at.name));
            self.doubts.begin(Some(&name.0), at.start);
        }
        self.versions.insert(name.clone(), version);
    }

    fn take_learned(&mut self, at: ModelClosing<'_>, name: &Name, learned: Learned, out: &mut Effects) {
        match learned {
            Learned::Nothing => (),
            Learned::Profile(profile) => out.context.push(ContextRecord::Profile(profile)),
            Learned::Reference(reference) => {
                let profile: Profile = reference.profile.clone();
                let loaded = Arc::new(Loaded::new(*reference));
                self.references.insert(name.0.clone(), Arc::clone(&loaded));
                out.learned.push((at.name.to_owned(), name.0.clone()));
                if let Some(version) = self.versions.get_mut(name) {
                    version.judge_by(&name.0, &loaded, &profile, at.config.model(at.name));
                }
                self.doubts.begin(Some(&name.0), at.end);
                self.doubts.begin(None, at.end);
            }
        }
    }

    /// Forgets versions that have long had no traffic. Returns their names, and the slices that they were learning.
    pub(super) fn forget(&mut self, at: Timestamp) -> Vec<(Name, Vec<i64>)> {
        let gone = |v: &Version| at.since_ms(v.last_seen) > FORGET_MS && !v.has_open();
        let names: Vec<Name> =
            self.versions.iter().filter(|(_, v)| gone(v)).map(|(name, _)| name.clone()).collect();
        let mut forgotten = vec![];
        for name in names {
            let version = self.versions.remove(&name).expect("its own key");
            if name.1.is_none() {
                self.doubts.end(Some(&name.0));
            }
            let cells = version.learning.map(|learning| learning.cell_numbers()).unwrap_or_default();
            forgotten.push((name, cells));
        }
        forgotten
    }

    fn judge_traffic(&mut self, at: ModelClosing<'_>, calls: u64, out: &mut Effects) {
        let Some((_, loaded)) = self.latest_reference() else { return };
        let settings = at.config.judge.family(Family::Traffic);
        let Some(reference) = loaded.reference.traffic.as_ref().filter(|_| settings.enabled) else { return };
        if at.incomplete {
            self.traffic.skip(Verdict::NoData);
            return;
        }
        let model = at.config.model(at.name);
        let span_ms = at.end.since_ms(at.start);
        let middle = loaded.civil_ms(at.start.plus_ms(span_ms / 2));
        #[expect(clippy::cast_precision_loss, reason = "a pane is seconds to minutes long")]
        let due = Traffic::expected(reference, middle) * span_ms as f64 / 1000.0;
        let barred = self.doubts.bars_traffic();
        let part =
            budget::of_family(&at.config.judge, model, Family::Traffic, |f| f != Family::Traffic || !barred)
                .map(|weight| at.part * weight);
        let mut grants = budget::grant(&at.config.budget, at.config.partitions, part, span_ms);
        if let Some(open) = &self.case.open {
            grants[1] = 0.0;
            if open.severity.pages() {
                grants[0] = 0.0;
            }
        }
        if model.tier == 4 {
            grants[0] = 0.0;
        }
        out.granted = [out.granted[0] + grants[0], out.granted[1] + grants[1]];
        let heard = self.traffic.pane(reference, (at.start, calls, due), grants, self.case.open.is_some());
        if barred {
            self.traffic.last.verdict = Verdict::NotCalibrated;
        }
        let page = (heard.page >= 1.0 && !heard.too_many && heard.effect[1] >= settings.page_effect)
            .then_some(if model.tier == 1 && heard.effect[1] >= settings.sev1_effect {
                Severity::Sev1
            } else {
                Severity::Sev2
            });
        let subject =
            Subject { kind: SubjectKind::Model, name: at.name.to_owned(), version: None, segment: None };
        let whose =
            Whose { namespace: &at.config.namespace, subject, family: Family::Traffic, drill: model.drill };
        let Some(change) = self.traffic_change(at, &whose, &heard, page, reference) else { return };
        self.tell_traffic(at, &whose, change, out);
    }

    /// What the pane changes, with the numbers to tell.
    fn traffic_change(
        &mut self,
        at: ModelClosing<'_>,
        whose: &Whose<'_>,
        heard: &Heard,
        page: Option<Severity>,
        reference: &crate::reference::TrafficReference,
    ) -> Option<(Change, Heard)> {
        let settings = at.config.judge.family(Family::Traffic);
        let reopen_ms = i64::from(at.config.judge.reopen_s) * 1000;
        let recovery_ms = i64::from(at.config.judge.recovery_s) * 1000;
        match &mut self.case.open {
            None => {
                let alarm =
                    (heard.ticket >= 1.0 && heard.effect[1] >= settings.least_effect) || page.is_some();
                if !alarm {
                    return None;
                }
                let severity = page.unwrap_or(Severity::Sev3);
                self.case.open(whose, severity, (at.start, at.end), reopen_ms);
                self.too_many = heard.too_many;
                self.traffic.alarmed(severity.pages());
                self.traffic.last.verdict = Verdict::Degraded;
                Some((Change::Opened, *heard))
            }
            Some(open) => {
                self.traffic.last.verdict = Verdict::Degraded;
                if let Some(severity) = page.filter(|severity| *severity < open.severity) {
                    open.severity = severity;
                    self.traffic.alarmed(true);
                    self.too_many = false;
                    return Some((Change::Updated, *heard));
                }
                let back = self.traffic.is_back(reference, self.too_many, at.end, recovery_ms)?;
                self.traffic.restart();
                let level = crate::reference::baseline::float(back.calls) / back.due;
                let effect = if self.too_many { level - 1.0 } else { 1.0 - level };
                Some((
                    Change::Cleared,
                    Heard { effect: [effect; 3], since: back, too_many: self.too_many, ..*heard },
                ))
            }
        }
    }

    fn tell_traffic(
        &mut self,
        at: ModelClosing<'_>,
        whose: &Whose<'_>,
        (change, heard): (Change, Heard),
        out: &mut Effects,
    ) {
        let from = heard.since.from.unwrap_or(at.start);
        let span_s = crate::reference::baseline::float(at.end.since_ms(from).max(1).unsigned_abs()) / 1000.0;
        let (calls, due) = (heard.since.calls, heard.since.due);
        let name = at.name;
        let spell = words::span(at.end.since_ms(from));
        let came = format!("{calls} requests in {spell}, about {due:.0} expected");
        let title = match change {
            Change::Cleared => format!("{name}: traffic is back: {came}"),
            Change::Opened | Change::Updated if calls == 0 => {
                format!("{name}: no requests for {spell}, about {due:.0} expected")
            }
            Change::Opened | Change::Updated if heard.too_many => {
                format!("{name}: more requests than usual: {came}")
            }
            Change::Opened | Change::Updated => format!("{name}: fewer requests than usual: {came}"),
        };
        let [estimate, lower, upper] = heard.effect;
        let evidence = Evidence {
            statistic: "traffic.calls".to_owned(),
            value: crate::reference::baseline::float(calls) / span_s,
            reference: due / span_s,
            unit: "1/s".to_owned(),
            effect: Effect { estimate, lower, upper },
            evidence: heard.page.max(heard.ticket),
            samples: calls,
            window: [from, at.end],
            contributors: vec![],
            profile: None,
        };
        let opened_at = self.case.open.as_ref().map_or(at.end, |open| open.opened_at);
        let context = response::surround(
            at.config.model(name),
            at.config,
            &self.surroundings,
            (opened_at, at.end),
            false,
        );
        let told = Told { title: response::clip(title), evidence, context };
        out.incidents.extend(self.case.tell(whose, change, at.end, told));
    }
}

/// A pane start that no collector has reached yet.
fn ahead(at: ModelClosing<'_>) -> Timestamp {
    let pane_ms = at.config.pane_ms;
    at.highest.plus_ms(AHEAD_MS + pane_ms).floor_to(pane_ms).plus_ms(pane_ms)
}
