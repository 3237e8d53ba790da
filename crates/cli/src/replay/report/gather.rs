//! What a report keeps of panes and incidents as they come by.

use std::collections::BTreeMap;

use plot::{Column, Columns, Flow};
use wire::history::{Bin, History, StreamHistory, Verdict};
use wire::{Change, Family, Incident, IncidentId, Timestamp};

/// Streams that are followed. A column takes some 150 bytes, a stream at most 18 KB.
pub(super) const STREAMS_MAX: usize = 4_000;
/// Incidents that are kept; of more, the later ones are counted.
pub(super) const INCIDENTS_MAX: usize = 1_000;
/// Streams whose values are kept bin by bin.
const SPREADS_MAX: usize = 400;

/// Model and version.
pub(super) type Whose = (String, String);

#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) span: Option<[Timestamp; 2]>,
    pub(super) streams: BTreeMap<(Whose, Family, String), Stream>,
    pub(super) flows: BTreeMap<Whose, Columns<Flow>>,
    /// By opening.
    pub(super) incidents: Vec<Episode>,
    open: BTreeMap<(IncidentId, u32), usize>,
    /// Streams whose values are kept.
    spreads: usize,
    /// Streams and incidents beyond what is kept.
    pub(super) streams_left_out: u64,
    pub(super) incidents_left_out: u64,
}

/// One stream of one model version.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) columns: Columns<Column>,
    /// Highest D: page, ticket.
    pub(super) peak: [f64; 2],
    pub(super) judged: u64,
    pub(super) last: Option<Verdict>,
    /// Where its values lay while its last incident was open.
    pub(super) now: Option<Spread>,
}

/// Values by bin, and since when.
#[derive(Debug)]
pub(super) struct Spread {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) bins: Vec<Bin>,
}

/// One generation of an incident: how it opened, and as what it was last told.
#[derive(Debug)]
pub(super) struct Episode {
    pub(super) opened: Incident,
    pub(super) last: Incident,
}

impl Episode {
    pub(super) fn cleared(&self) -> Option<Timestamp> {
        (self.last.change == Change::Cleared).then_some(self.last.changed_at)
    }

    /// The worst that it was told as.
    pub(super) fn severity(&self) -> wire::Severity {
        self.opened.severity.min(self.last.severity)
    }

    pub(super) fn is_of(&self, (model, version): &Whose) -> bool {
        let subject = &self.opened.subject;
        subject.name == *model && subject.version.as_ref().is_none_or(|v| v == version)
    }

    /// Whether it was ever about this stream.
    pub(super) fn is_about(&self, family: Family, stream: &str) -> bool {
        let told = [&self.opened, &self.last];
        let mut names = told.iter().flat_map(|incident| &incident.evidence.contributors);
        self.opened.family == family && names.any(|contributor| contributor.name == stream)
    }
}

impl Gathered {
    pub(super) fn pane(&mut self, pane: &History) {
        if pane.segment.is_some() {
            return;
        }
        let span = self.span.get_or_insert(pane.window);
        *span = [span[0].min(pane.window[0]), span[1].max(pane.window[1])];
        let whose: Whose = (pane.model.clone(), pane.version.clone());
        for stream in &pane.streams {
            let key = (whose.clone(), stream.family, stream.name.clone());
            if self.streams.len() >= STREAMS_MAX && !self.streams.contains_key(&key) {
                self.streams_left_out += 1;
                continue;
            }
            self.streams.entry(key).or_default().pane(pane, stream);
        }
        for spread in &pane.distributions {
            let key = (whose.clone(), spread.family, spread.name.clone());
            if let Some(stream) = self.streams.get_mut(&key)
                && (stream.now.is_some() || self.spreads < SPREADS_MAX)
            {
                self.spreads += usize::from(stream.now.is_none());
                stream.spread(pane.window, &spread.bins);
            }
        }
        if self.flows.len() < STREAMS_MAX || self.flows.contains_key(&whose) {
            self.flows.entry(whose).or_default().push(Flow::of(pane));
        }
    }

    pub(super) fn incident(&mut self, incident: &Incident) {
        let key = (incident.incident_id.clone(), incident.generation);
        if let Some(&at) = self.open.get(&key) {
            let episode = &mut self.incidents[at];
            let severity = episode.last.severity.min(incident.severity);
            // What a clearing record tells is that it is over; how far it went stands in the one before.
            let evidence = match incident.change {
                Change::Cleared => episode.last.evidence.clone(),
                Change::Opened | Change::Updated => incident.evidence.clone(),
            };
            episode.last = Incident { severity, evidence, ..incident.clone() };
        } else if self.incidents.len() < INCIDENTS_MAX {
            self.open.insert(key, self.incidents.len());
            self.incidents.push(Episode { opened: incident.clone(), last: incident.clone() });
        } else if incident.change == Change::Opened {
            self.incidents_left_out += 1;
        }
    }
}

impl Stream {
    fn pane(&mut self, pane: &History, stream: &StreamHistory) {
        self.columns.push(Column::of(pane.window, stream));
        for (peak, now) in self.peak.iter_mut().zip(stream.peak) {
            *peak = peak.max(now);
        }
        self.judged += u64::from(stream.judged);
        self.last = Some(stream.verdict);
    }

    fn spread(&mut self, [from, until]: [Timestamp; 2], bins: &[Bin]) {
        let same = |old: &Spread| {
            old.until >= from && old.bins.iter().map(|b| &b.name).eq(bins.iter().map(|b| &b.name))
        };
        match self.now.as_mut().filter(|old| same(old)) {
            Some(old) => {
                old.until = until;
                old.bins
                    .iter_mut()
                    .zip(bins)
                    .for_each(|(sum, bin)| sum.now = sum.now.saturating_add(bin.now));
            }
            None => self.now = Some(Spread { from, until, bins: bins.to_vec() }),
        }
    }
}
