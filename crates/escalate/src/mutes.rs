//! What keeps an incident from paging for a while: a silence, a window of maintenance, an incident upstream.
//!
//! Windows and rules of inhibition are part of the bundle in force. Silences and what is open upstream come by the control
//! topic, which every worker reads in the same order: what depends on which was first is the same for all.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::fmt;

use serde::{Deserialize, Serialize};
use wire::control::{Control, Silence, Upstream};
use wire::{Incident, IncidentId, Matches, SilenceId, Source, SubjectKind, Timestamp};

use crate::config::Same;
use crate::mutant::{self, Mutant};
use crate::schedule::{Hours, Span};

/// Most incidents upstream that are remembered. What is beyond covers nothing: too much is paged rather than too little.
const UPSTREAM_MAX: usize = 1000;
/// Most incidents of which a silence remembers that there was no room for them.
const REFUSED_MAX: usize = 10_000;

/// What a bundle says of when nobody is paged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quiet {
    pub(crate) windows: Vec<Window>,
    pub(crate) inhibitions: Vec<Inhibition>,
}

/// A window of maintenance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) name: String,
    pub(crate) of: Matches,
    pub(crate) hours: Hours,
    pub(crate) span: Span,
}

/// Which incidents come from which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inhibition {
    pub(crate) name: String,
    pub(crate) upstream: Matches,
    pub(crate) covers: Matches,
    pub(crate) same: Vec<Same>,
    pub(crate) lineage: bool,
    pub(crate) for_ms: i64,
}

/// What mutes an incident.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Muter {
    Silence(SilenceId),
    /// It has asked for its place in that silence, and has no answer yet.
    Asked(SilenceId),
    /// By the name of the window.
    Maintenance(String),
    /// The incident upstream.
    Upstream(IncidentId),
}

/// That nobody is paged about an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mute {
    pub(crate) by: Muter,
    /// When it ends, unless it is made to before.
    pub(crate) until: Timestamp,
    /// What it is, in words.
    pub(crate) says: String,
}

/// Whether an incident may page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pages,
    Muted(Mute),
    /// A silence matches it and has room: it must ask for its place.
    Asks(SilenceId),
}

/// What the control topic has said so far.
#[derive(Debug, Default)]
pub(crate) struct Mutes {
    silences: BTreeMap<SilenceId, Quieted>,
    /// In order of when each was first told: of the records, since compaction keeps no order of theirs.
    upstream: Vec<Told>,
    /// Keys of what belongs to a silence that has ended.
    strays: BTreeSet<String>,
}

#[derive(Debug)]
struct Told {
    upstream: Upstream,
    /// Nothing told before it covers it.
    covers: bool,
}

impl Told {
    fn place(&self) -> (Timestamp, &IncidentId) {
        (self.upstream.since, &self.upstream.incident.incident_id)
    }
}

/// A silence and what it mutes.
#[derive(Debug)]
struct Quieted {
    silence: Silence,
    /// Incidents that have a place in it; those that were listed with the generation in which they were.
    muted: BTreeMap<IncidentId, Option<u32>>,
    /// Incidents that asked when there was no more room: what they wrote goes with the silence.
    refused: BTreeSet<IncidentId>,
    /// Those of `muted` that are resolved.
    over: BTreeSet<IncidentId>,
    /// Since when nothing that it mutes has been open; `None` while something is.
    idle_since: Option<Timestamp>,
}

impl Muter {
    /// Whether a change in the control topic may have changed what it does.
    pub(crate) fn is_of(&self, changed: &Changed) -> bool {
        match (self, changed) {
            (Self::Silence(id) | Self::Asked(id), Changed::Silence(of))
            | (Self::Asked(id), Changed::Place(of)) => id == of,
            (Self::Upstream(id), Changed::Upstream(of)) => id == of,
            (Self::Silence(_) | Self::Asked(_) | Self::Maintenance(_) | Self::Upstream(_), _) => false,
        }
    }
}

/// What a record of the control topic may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Silence(SilenceId),
    /// One of its places was given, or there was none left; or what has one came or went.
    Place(SilenceId),
    Upstream(IncidentId),
}

impl Window {
    /// When it ends, if `at` is within it.
    fn until(&self, at: Timestamp) -> Option<Timestamp> {
        if at < self.span.from || at >= self.span.until || !self.hours.holds(at) {
            return None;
        }
        // Looked at again then: the next hours may begin where these end.
        let next = self.hours.ends(at, at.plus_ms(8 * 86_400_000)).min();
        Some(next.unwrap_or(self.span.until).min(self.span.until))
    }
}

impl Inhibition {
    /// Whether `child` comes from `parent`.
    fn covers(&self, parent: &Incident, child: &Incident) -> bool {
        // An exercise is no reason not to page about what is none, nor is tocsin's own trouble unless that is meant.
        parent.incident_id != child.incident_id
            && (!parent.drill || child.drill)
            && mutes(&self.upstream, parent)
            && self.covers.holds(child)
            && self.same.iter().all(|same| same.holds(parent, child))
            && (!self.lineage || is_upstream(parent, child))
    }
}

impl Same {
    fn holds(self, a: &Incident, b: &Incident) -> bool {
        fn both<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
            a.is_some() && a == b
        }
        fn model(i: &Incident) -> Option<&str> {
            (i.subject.kind == SubjectKind::Model).then_some(i.subject.name.as_str())
        }
        match self {
            Self::Model => both(model(a), model(b)),
            Self::Owner => both(a.context.owner.as_ref(), b.context.owner.as_ref()),
            Self::Segment => both(a.subject.segment.as_ref(), b.subject.segment.as_ref()),
            Self::Tier => both(a.context.tier, b.context.tier),
            Self::Family => a.family == b.family,
        }
    }
}

/// Whether the lineage of one names the subject of the other.
fn is_upstream(parent: &Incident, child: &Incident) -> bool {
    let lineage = child.context.lineage.iter().flat_map(|lineage| &lineage.upstream);
    let of = &parent.subject;
    lineage.into_iter().any(|up| (up.kind, &up.name) == (of.kind, &of.name))
}

impl Quiet {
    /// Whether others may come from an incident, by any rule.
    pub(crate) fn is_upstream(&self, incident: &Incident) -> bool {
        self.inhibitions.iter().any(|rule| mutes(&rule.upstream, incident))
    }

    /// The window that an incident is in.
    fn window(&self, incident: &Incident, now: Timestamp) -> Option<Mute> {
        let of = self.windows.iter().filter(|w| mutes(&w.of, incident));
        // The one that lasts longest, so that the end of another is nothing.
        let (until, name) = of.filter_map(|w| Some((w.until(now)?, w.name.clone()))).max()?;
        let says = format!("maintenance {name:?}");
        Some(Mute { by: Muter::Maintenance(name), until, says })
    }

    /// The rule by which one incident covers another, and until when.
    fn rule(&self, up: &Upstream, child: &Incident, now: Timestamp) -> Option<(Timestamp, &str)> {
        let rules = self.inhibitions.iter().filter(|rule| rule.covers(&up.incident, child));
        let ends = rules.map(|rule| (up.since.plus_ms(rule.for_ms), rule.name.as_str()));
        ends.filter(|(until, _)| now < *until).max()
    }
}

impl Quieted {
    /// What it is called in words.
    fn says(&self) -> String {
        let Silence { silence_id, of, reason, .. } = &self.silence;
        format!("silence {silence_id} of {of}: {reason}")
    }

    /// Whether it has a place for an incident, and may still have one.
    fn place(&self, incident: &Incident) -> Place {
        if !self.silence.of.holds(incident) {
            return Place::None;
        }
        match self.muted.get(&incident.incident_id) {
            Some(Some(listed)) if self.silence.until_resolved && incident.generation > *listed => Place::None,
            Some(_) => Place::Has,
            None if self.silence.until_resolved => Place::None,
            None if self.has_room() => Place::Free,
            None => Place::Full,
        }
    }

    fn has_room(&self) -> bool {
        if mutant::is(Mutant::PlaceNotAwaited) {
            return true;
        }
        self.muted.len() < self.silence.incidents_max as usize
    }

    fn until(&self) -> Timestamp {
        let unmatched = self.idle_since.zip(self.silence.unmatched_s);
        let idle = unmatched.map(|(since, s)| since.plus_ms(i64::from(s) * 1000));
        idle.map_or(self.silence.until, |idle| idle.min(self.silence.until))
    }

    fn reckon(&mut self, at: Timestamp) {
        let open = self.muted.keys().any(|id| !self.over.contains(id));
        self.idle_since = if open { None } else { self.idle_since.or(Some(at)) };
    }
}

enum Place {
    None,
    Has,
    Free,
    Full,
}

impl Mutes {
    /// Takes in a record of the control topic, in its order; an empty one takes back what stood under its key.
    pub(crate) fn take(&mut self, key: &str, control: Option<Control>) -> Option<Changed> {
        match control {
            None => self.take_back(key),
            Some(Control::Silence(silence)) => {
                let id = silence.silence_id.clone();
                let btree_map::Entry::Vacant(place) = self.silences.entry(id.clone()) else { return None };
                let max = silence.incidents_max as usize;
                let listed = silence.listed.iter().take(max);
                let muted: BTreeMap<_, _> =
                    listed.map(|l| (l.incident_id.clone(), Some(l.generation))).collect();
                let idle_since = muted.is_empty().then_some(silence.made_at);
                let (refused, over) = (BTreeSet::new(), BTreeSet::new());
                place.insert(Quieted { silence: *silence, muted, refused, over, idle_since });
                Some(Changed::Silence(id))
            }
            Some(Control::Claim(claim)) => {
                let Some(quieted) = self.silences.get_mut(&claim.silence_id) else {
                    self.strays.insert(key.to_owned());
                    return None;
                };
                if quieted.muted.contains_key(&claim.incident_id) {
                    return None;
                }
                if quieted.has_room() {
                    quieted.muted.insert(claim.incident_id, None);
                    quieted.reckon(claim.at);
                } else if quieted.refused.len() < REFUSED_MAX {
                    quieted.refused.insert(claim.incident_id);
                }
                Some(Changed::Place(claim.silence_id))
            }
            Some(Control::Over(over)) => {
                let Some(quieted) = self.silences.get_mut(&over.silence_id) else {
                    self.strays.insert(key.to_owned());
                    return None;
                };
                quieted.over.insert(over.incident_id);
                quieted.reckon(over.at);
                Some(Changed::Place(over.silence_id))
            }
            Some(Control::Upstream(upstream)) => {
                let id = upstream.incident.incident_id.clone();
                let room = self.upstream.len() < UPSTREAM_MAX;
                match self.upstream.iter_mut().find(|known| known.upstream.incident.incident_id == id) {
                    Some(known) => known.upstream = *upstream,
                    None if room => self.upstream.push(Told { upstream: *upstream, covers: false }),
                    None => return None,
                }
                self.upstream.sort_by(|a, b| a.place().cmp(&b.place()));
                Some(Changed::Upstream(id))
            }
        }
    }

    /// Keys of what was written for a silence that had ended already: nobody else takes them back.
    pub(crate) fn take_strays(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.strays)
    }

    fn take_back(&mut self, key: &str) -> Option<Changed> {
        self.strays.remove(key);
        let (kind, which) = key.split_once('/')?;
        match kind {
            "silence" => {
                let id = SilenceId::new(which);
                self.silences.remove(&id)?;
                Some(Changed::Silence(id))
            }
            "over" => {
                let (silence, incident) = which.split_once('/')?;
                let quieted = self.silences.get_mut(&SilenceId::new(silence))?;
                if quieted.over.remove(&IncidentId::new(incident)) {
                    quieted.idle_since = None;
                }
                None
            }
            "upstream" => {
                let id = IncidentId::new(which);
                let known = self.upstream.len();
                self.upstream.retain(|up| up.upstream.incident.incident_id != id);
                (self.upstream.len() < known).then_some(Changed::Upstream(id))
            }
            _ => None,
        }
    }

    /// Whether an incident may page now. What tocsin says of itself is muted only by what names `self` as its source.
    pub(crate) fn verdict(&self, incident: &Incident, quiet: &Quiet, now: Timestamp) -> Verdict {
        if let Some(mute) = quiet.window(incident, now) {
            return Verdict::Muted(mute);
        }
        if incident.source != Source::Own
            && let Some(mute) = self.covered(incident, quiet, now)
        {
            return Verdict::Muted(mute);
        }
        let mut asks = None;
        for (id, quieted) in &self.silences {
            if now >= quieted.until() || !mutes(&quieted.silence.of, incident) {
                continue;
            }
            match quieted.place(incident) {
                Place::Has => {
                    let (by, until, says) =
                        (Muter::Silence(id.clone()), quieted.silence.until, quieted.says());
                    return Verdict::Muted(Mute { by, until, says });
                }
                Place::Free => asks = Some(id.clone()),
                Place::None | Place::Full => (),
            }
        }
        asks.map_or(Verdict::Pages, Verdict::Asks)
    }

    /// What covers an incident: of those upstream that nothing told before them covers, the one that lasts longest.
    fn covered(&self, incident: &Incident, quiet: &Quiet, now: Timestamp) -> Option<Mute> {
        if quiet.inhibitions.is_empty() {
            return None;
        }
        let rules = self.upstream.iter().filter(|up| up.covers).filter_map(|Told { upstream, .. }| {
            let (until, rule) = quiet.rule(upstream, incident, now)?;
            Some((until, rule, &upstream.incident))
        });
        let (until, rule, up) = rules.max_by_key(|(until, ..)| *until)?;
        let says = format!("{:?}: incident {} upstream is open, {}", rule, up.incident_id, up.subject);
        Some(Mute { by: Muter::Upstream(up.incident_id.clone()), until, says })
    }

    /// Decides which of what is upstream covers others: what nothing that was told before it covers. So of two that come
    /// from each other one always pages.
    /// Returns those of which that is another now.
    ///
    /// Cost: the square of how many there are, times the rules.
    pub(crate) fn settle(&mut self, quiet: &Quiet) -> Vec<Changed> {
        let mut changed = Vec::new();
        for i in 0..self.upstream.len() {
            let (before, rest) = self.upstream.split_at_mut(i);
            let Some(told) = rest.first_mut() else { break };
            let child = &told.upstream.incident;
            let covers = |up: &Told| {
                up.covers && quiet.inhibitions.iter().any(|rule| rule.covers(&up.upstream.incident, child))
            };
            let is = !before.iter().any(covers);
            if std::mem::replace(&mut told.covers, is) != is {
                changed.push(Changed::Upstream(child.incident_id.clone()));
            }
        }
        changed
    }

    /// Every silence that there is.
    pub(crate) fn all(&self) -> Vec<Changed> {
        self.silences.keys().cloned().map(Changed::Silence).collect()
    }

    /// What has a place in a silence that ends when nothing matches it, and whether it knows that it is resolved.
    pub(crate) fn watched(&self, id: &SilenceId) -> Vec<(IncidentId, bool)> {
        let watches = self.silences.get(id).filter(|q| q.silence.unmatched_s.is_some());
        let of = watches.into_iter().flat_map(|q| q.muted.keys().map(|id| (id.clone(), q.over.contains(id))));
        of.collect()
    }

    /// Silences that mute an incident, and do not know yet that it is resolved.
    pub(crate) fn that_have(&self, id: &IncidentId) -> Vec<SilenceId> {
        let watches = |q: &Quieted| q.silence.unmatched_s.is_some();
        let have = |q: &Quieted| watches(q) && q.muted.contains_key(id) && !q.over.contains(id);
        self.silences.iter().filter(|(_, q)| have(q)).map(|(id, _)| id.clone()).collect()
    }

    /// Why a silence that matches an incident does not mute it.
    pub(crate) fn refused_by(&self, incident: &Incident, now: Timestamp) -> Option<String> {
        let full = |q: &&Quieted| {
            let holds = now < q.until() && mutes(&q.silence.of, incident);
            holds && matches!(q.place(incident), Place::Full)
        };
        self.silences.values().find(full).map(|q| {
            let (id, max) = (&q.silence.silence_id, q.silence.incidents_max);
            format!("silence {id} matches it, and has its {max} incidents")
        })
    }

    /// How many silences there are.
    pub(crate) fn silences(&self) -> usize {
        self.silences.len()
    }

    pub(crate) fn silence(&self, id: &SilenceId) -> Option<&Silence> {
        self.silences.get(id).map(|q| &q.silence)
    }

    /// What is listed by silences among these.
    pub(crate) fn listed_by(&self, changed: &[Changed]) -> Vec<IncidentId> {
        let silence = |changed: &Changed| match changed {
            Changed::Silence(id) => self.silence(id),
            Changed::Place(_) | Changed::Upstream(_) => None,
        };
        let listed = changed.iter().filter_map(silence).flat_map(|silence| &silence.listed);
        listed.map(|listed| listed.incident_id.clone()).collect()
    }

    /// When the first silence ends, but for those that are being ended.
    pub(crate) fn deadline(&self, but: &BTreeSet<SilenceId>) -> Option<Timestamp> {
        self.silences.iter().filter(|(id, _)| !but.contains(*id)).map(|(_, q)| q.until()).min()
    }

    /// Silences that have ended by now.
    pub(crate) fn ended(&self, now: Timestamp) -> Vec<(SilenceId, &'static str)> {
        let ended = self.silences.iter().filter(|(_, q)| q.until() <= now);
        let why = |q: &Quieted| {
            if q.silence.until <= now { "its time is over" } else { "nothing matched it any more" }
        };
        ended.map(|(id, q)| (id.clone(), why(q))).collect()
    }

    /// Keys of all that belongs to a silence, its own first.
    pub(crate) fn keys(&self, id: &SilenceId) -> Vec<String> {
        let Some(quieted) = self.silences.get(id) else { return Vec::new() };
        let claims =
            quieted.muted.iter().filter(|(_, listed)| listed.is_none()).map(|(incident, _)| incident);
        let claims = claims.chain(&quieted.refused).map(|incident| Control::claim_key(id, incident));
        let over = quieted.over.iter().map(|incident| Control::over_key(id, incident));
        [Control::silence_key(id)].into_iter().chain(claims).chain(over).collect()
    }

    /// Whether a silence has it that an incident is resolved.
    pub(crate) fn is_over(&self, silence: &SilenceId, incident: &IncidentId) -> bool {
        self.silences.get(silence).is_some_and(|q| q.over.contains(incident))
    }
}

/// A silence as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceView {
    pub silence: Silence,
    /// When it ends as things stand.
    pub ends_at: Timestamp,
    /// What has a place in it.
    pub muted: Vec<IncidentId>,
}

/// The silences that all records of the control topic come to, in order of their ids.
#[must_use]
pub fn silences(told: impl IntoIterator<Item = (String, Option<Control>)>) -> Vec<SilenceView> {
    let mut mutes = Mutes::default();
    told.into_iter().for_each(|(key, control)| drop(mutes.take(&key, control)));
    let view = |q: Quieted| {
        let (ends_at, muted) = (q.until(), q.muted.into_keys().collect());
        SilenceView { silence: q.silence, ends_at, muted }
    };
    mutes.silences.into_values().map(view).collect()
}

/// Whether conditions mean an incident: tocsin's own only where they say so.
#[must_use]
pub fn mutes(of: &Matches, incident: &Incident) -> bool {
    of.holds(incident) && (incident.source != Source::Own || of.source.contains(&Source::Own))
}

/// As the audit has it.
impl fmt::Display for Muter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence(id) | Self::Asked(id) => write!(f, "silence {id}"),
            Self::Maintenance(name) => write!(f, "maintenance {name:?}"),
            Self::Upstream(id) => write!(f, "incident {id} upstream"),
        }
    }
}
