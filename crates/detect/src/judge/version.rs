//! One model version: its streams, its incidents, what it learns, what it tells of each pane.

mod trial;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::profile::Profile;
use wire::{Digest, Family, Severity, Timestamp};

use super::Effects;
use super::closing::Closing;
use super::history::Gather;
use super::incident::Case;
use super::learn::{Learned, Learning, Pupil};
use super::loaded::Loaded;
use super::reload::Reload;
use super::stream::{Judged, Least, Rule, Stream, Terms, signed};
use super::words::is_inverted;
use super::{budget, response};
use crate::config::ModelSettings;
use crate::family::{Counting, count, is_slow};
use crate::pane::PaneCounts;
use crate::reference::baseline::float;
use wire::history::Verdict;

pub use trial::Trial;

/// How much less a reference of another version knows of this one.
const INHERITED: f64 = 1.5;
/// Least records and event time of a judged pane of the slow families.
const SLOW_RECORDS: u64 = 30;
const SLOW_MS: i64 = 60_000;

/// The state of one (model, version), or of one of its segments (which is told of and not judged).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) streams: Vec<Stream>,
    pub(super) cases: BTreeMap<Family, Case>,
    pub(super) learning: Option<Learning>,
    pub(super) gather: Gather,
    /// The version whose reference it is judged against.
    pub(super) reference_of: Option<String>,
    /// The profile that its panes should be folded under.
    pub(super) profile: Option<Digest>,
    folded_by: u64,
    pub(super) first_seen: Timestamp,
    /// End of the last pane with predictions, and with anything.
    pub(super) last_seen: Timestamp,
    #[serde(skip)]
    pub(super) loaded: Option<Arc<Loaded>>,
    /// Slices of a reference that was learned: their state is removed.
    #[serde(skip)]
    pub(super) learned_cells: Vec<i64>,
}

impl Version {
    pub(super) fn new(at: Timestamp, learns: bool) -> Self {
        Self {
            streams: vec![],
            cases: BTreeMap::new(),
            learning: learns.then(Learning::new),
            gather: Gather::default(),
            reference_of: None,
            profile: None,
            folded_by: 0,
            first_seen: at,
            last_seen: at,
            loaded: None,
            learned_cells: vec![],
        }
    }

    /// From here on judged against this reference, under this profile.
    pub(super) fn judge_by(
        &mut self,
        of: &str,
        loaded: &Arc<Loaded>,
        profile: &Profile,
        settings: &ModelSettings,
    ) {
        self.reference_of = Some(of.to_owned());
        self.folded_by = profile.short_digest();
        self.profile = Some(profile.digest.clone());
        self.learned_cells
            .extend(self.learning.take().map(|learning| learning.cell_numbers()).unwrap_or_default());
        self.load(loaded, settings);
    }

    fn load(&mut self, loaded: &Arc<Loaded>, settings: &ModelSettings) {
        self.streams = loaded
            .rules
            .iter()
            .map(|rule| Stream::new(rule, rule.is_calibrated() && budget::may_page(rule.family(), settings)))
            .collect();
        self.loaded = Some(Arc::clone(loaded));
    }

    /// Judged by what it is judged by, from `at` on, as if nothing had been.
    pub(super) fn start_anew(
        &mut self,
        loaded: Option<&Arc<Loaded>>,
        settings: &ModelSettings,
        at: Timestamp,
        learns: bool,
    ) {
        let before = std::mem::replace(self, Self::new(at, learns && loaded.is_none()));
        if let Some(loaded) = loaded {
            (self.reference_of, self.profile, self.folded_by) =
                (before.reference_of, before.profile, before.folded_by);
            self.load(loaded, settings);
        }
    }

    /// After a restart: the reference again. False where the state does not fit it.
    pub(super) fn rejoin(&mut self, loaded: &Arc<Loaded>) -> bool {
        let fits = self.streams.len() == loaded.rules.len()
            && self.streams.iter().zip(&loaded.rules).all(|(stream, rule)| stream.fits(rule));
        if fits {
            self.loaded = Some(Arc::clone(loaded));
        }
        fits
    }

    /// Nothing waits and nothing is open: time alone changes nothing.
    pub(super) fn is_quiet(&self) -> bool {
        self.gather.is_empty() && !self.has_open() && self.streams.iter().all(|s| s.from.is_none())
    }

    pub(super) fn has_open(&self) -> bool {
        self.cases.values().any(|case| case.open.is_some())
    }

    /// Closes one base pane: what came in it, by profile digest. Returns what was learned.
    pub(super) fn close(
        &mut self,
        at: &Closing<'_>,
        panes: &[(u64, PaneCounts)],
        out: &mut Effects,
    ) -> Learned {
        let mut learned = Learned::Nothing;
        for (digest, counts) in panes {
            if counts.predictions > 0 {
                self.last_seen = at.end;
            }
            self.gather.add(
                at,
                *digest,
                counts,
                self.loaded.as_deref(),
                &mut self.streams,
                self.profile.as_ref(),
                out,
            );
            self.gather_streams(at, *digest, counts);
            if let Some(learning) = &mut self.learning {
                let pupil = Pupil {
                    model: at.model,
                    version: at.version,
                    settings: at.settings,
                    judge: &at.config.judge,
                    pane_ms: at.config.pane_ms,
                    highest: at.highest,
                };
                match learning.pane(pupil, (at.start, at.end), *digest, counts) {
                    Learned::Nothing => (),
                    news @ (Learned::Profile(_) | Learned::Reference(_)) => learned = news,
                }
            }
        }
        if let Some(loaded) = self.loaded.clone() {
            self.judge(at, &loaded, out);
        }
        let (loaded, profile) = (self.loaded.as_deref(), self.profile.as_ref());
        self.gather.flush_if_due(at, loaded, &mut self.streams, profile, out);
        self.cases.retain(|_, case| !case.is_over(at.end, i64::from(at.config.judge.reopen_s) * 1000));
        learned
    }

    fn gather_streams(&mut self, at: &Closing<'_>, digest: u64, counts: &PaneCounts) {
        let Some(loaded) = &self.loaded else { return };
        let with =
            Counting { profile: &loaded.reference.profile, latency_slack: at.config.judge.latency_slack };
        let folded = digest == self.folded_by;
        let mut scratch = vec![];
        let judged = |rule: &Rule| at.config.judge.family(rule.family()).enabled;
        for (stream, rule) in self.streams.iter_mut().zip(&loaded.rules).filter(|(_, rule)| judged(rule)) {
            scratch.clear();
            scratch.extend(rule.plan.tests.iter().map(|test| count(test.event, with, counts, folded)));
            stream.keep(rule, &mut scratch, at.start);
            if scratch.iter().flatten().any(|count| count.n > 0) {
                stream.gather(&scratch, at.start, at.end);
            }
        }
    }

    /// Judges the streams that have gathered enough, family by family.
    fn judge(&mut self, at: &Closing<'_>, loaded: &Arc<Loaded>, out: &mut Effects) {
        let mut judged: BTreeMap<Family, Vec<(usize, Judged)>> = BTreeMap::new();
        let recovery_ms = i64::from(at.config.judge.recovery_s) * 1000;
        let streams_of = |family| loaded.rules.iter().filter(move |rule| rule.family() == family);
        let barred = self.streams.iter().zip(&loaded.rules).filter(|(stream, _)| stream.is_barred());
        let barred: Vec<&Rule> = barred.map(|(_, rule)| rule).filter(|rule| rule.is_calibrated()).collect();
        let calibrated = |family| {
            let out = barred.iter().filter(|rule| rule.family() == family).count();
            streams_of(family).filter(|rule| rule.is_calibrated()).count() - out
        };
        let pages = |family| (family == Family::Traffic && at.traffic_pages) || calibrated(family) > 0;
        for index in 0..self.streams.len() {
            let rule = &loaded.rules[index];
            let family = rule.family();
            self.streams[index].reach(at.end);
            if !at.config.judge.family(family).enabled || !is_due(&self.streams[index], family, at) {
                continue;
            }
            let case = self.cases.entry(family).or_default();
            let stream = &mut self.streams[index];
            let [page, ticket] = budget::of_family(&at.config.judge, at.settings, family, pages);
            let share = |weight: f64, streams: usize| at.part * weight / float(streams.max(1) as u64);
            let part = [share(page, calibrated(family)), share(ticket, streams_of(family).count())];
            let mut grants = budget::grant(&at.config.budget, at.config.partitions, part, stream.span_ms());
            if let Some(open) = &case.open {
                grants[1] = 0.0;
                // A page of a model of the first tier may still become one of the first severity.
                if open.severity == Severity::Sev1 || (open.severity.pages() && at.settings.tier != 1) {
                    grants[0] = 0.0;
                }
            }
            if !stream.may_page() {
                grants[0] = 0.0;
            }
            out.granted = [out.granted[0] + grants[0], out.granted[1] + grants[1]];
            let settings = at.config.judge.family(family);
            let middle = stream.from.unwrap_or(at.start).plus_ms(stream.span_ms() / 2);
            let terms = Terms {
                grants,
                widen: widened(family, self.reference_of.as_deref() == Some(at.version)),
                about: case
                    .open
                    .as_ref()
                    .and_then(|open| open.parts.iter().find(|part| part.stream == index))
                    .map(|part| part.test),
                learn: case.open.is_none(),
                civil_ms: loaded.civil_ms(middle),
            };
            for part in case.open.iter_mut().flat_map(|open| &mut open.parts).filter(|p| p.stream == index) {
                let null = stream.null(rule, part.test, terms);
                let panes = (stream.from.unwrap_or(at.start), at.end);
                part.follow(stream.pending[part.test], null, panes, recovery_ms);
            }
            let one = stream.judge(rule, terms, Least::of(settings));
            judged.entry(family).or_default().push((index, one));
        }
        for family in Family::ALL {
            let judged = judged.remove(family).unwrap_or_default();
            if let Some(case) = self.cases.get_mut(family) {
                let behind_ms = at.model_seen.since_ms(self.last_seen);
                response::respond(case, at, loaded, (*family, judged), &mut self.streams, behind_ms, out);
            }
        }
        self.set_verdicts(at);
    }

    /// Goes over to another config, of which `at` is the beginning. What was learned and what was spent stays. True if it
    /// changed.
    pub(super) fn reload(&mut self, at: &Closing<'_>, reload: Reload<'_>, out: &mut Effects) -> bool {
        let Some(loaded) = self.loaded.clone() else { return false };
        let mut changed = false;
        for (family, case) in &mut self.cases {
            if reload.turns_off(*family) {
                changed |= response::turn_off(case, at, &loaded, *family, out);
            }
        }
        for (stream, rule) in self.streams.iter_mut().zip(&loaded.rules) {
            let family = rule.family();
            let may_page = rule.is_calibrated() && budget::may_page(family, at.settings);
            changed |= stream.let_page(rule, may_page);
            let [before, now] = [reload.before, reload.config].map(|config| config.judge.family(family));
            changed |= stream.change_floors(Least::of(before), Least::of(now));
            if reload.turns_off(family) {
                changed = true;
                stream.turn_off();
            }
        }
        changed
    }

    fn set_verdicts(&mut self, at: &Closing<'_>) {
        let gone = at.end.since_ms(self.last_seen) > i64::from(at.config.judge.pane_max_s) * 1000;
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let family = stream.last.family;
            let open = self.cases.get(&family).and_then(|case| case.open.as_ref());
            let part = open.and_then(|open| open.parts.iter().find(|part| part.stream == index));
            if let Some(part) = part {
                let event = self.loaded.as_ref().map(|l| l.rules[index].plan.tests[part.test].event);
                let inverted = event.is_some_and(|event| is_inverted(event, part.reference));
                let effect = part.now().map_or(part.effect, |now| now.effect);
                stream.last.effect = Some(signed(effect, part.side, inverted));
            }
            let part = part.is_some();
            let rule = self.loaded.as_ref().map(|loaded| &loaded.rules[index]);
            let growing =
                rule.is_some_and(|rule| !rule.is_calibrated()) && budget::may_page(family, at.settings);
            let uncalibrated = growing || stream.is_barred();
            stream.last.verdict = match stream.last.verdict {
                _ if part && matches!(family, Family::Drift | Family::Prediction) => Verdict::Drifting,
                _ if part => Verdict::Degraded,
                _ if gone => Verdict::NoData,
                Verdict::Drifting | Verdict::Degraded | Verdict::Ok | Verdict::NotCalibrated
                    if uncalibrated =>
                {
                    Verdict::NotCalibrated
                }
                Verdict::Drifting | Verdict::Degraded | Verdict::Ok => Verdict::Ok,
                other @ (Verdict::WarmingUp
                | Verdict::InsufficientData
                | Verdict::NoData
                | Verdict::NotCalibrated
                | Verdict::InvalidInput) => other,
            };
        }
    }
}

/// Failures and faults of records are the service's, whatever the version; what a model does is its own.
fn widened(family: Family, own: bool) -> f64 {
    if own || matches!(family, Family::Availability | Family::DataQuality) { 1.0 } else { INHERITED }
}

/// Whether what was gathered is judged now. Depends on counts of records alone, never on what they hold.
fn is_due(stream: &Stream, family: Family, at: &Closing<'_>) -> bool {
    let config = at.config;
    let (n, span_ms) = (stream.gathered(), stream.span_ms());
    if n == 0 {
        return false;
    }
    let pane_min = u64::from(config.judge.pane_min);
    let enough = if is_slow(family) {
        n >= pane_min.max(SLOW_RECORDS) && span_ms >= SLOW_MS
    } else if family == Family::Availability {
        // A failure says more than a slow request.
        n >= pane_min.div_ceil(2)
    } else {
        n >= pane_min
    };
    enough || at.last_of_config || span_ms >= i64::from(config.judge.pane_max_s) * 1000
}
