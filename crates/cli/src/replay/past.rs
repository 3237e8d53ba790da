//! `tocsin replay --from history`: what was counted once is judged again.

use std::ops::ControlFlow;
use std::sync::Arc;

use detect::record::{PanesRecord, RecordError};
use detect::replay::{HistoryReplay, Told, Totals};
use runtime::log::Log;
use runtime::past;
use wire::Timestamp;

use super::{Read, Taker};
use crate::app::{AnyLog, open_log, settings};
use crate::args::ReplayArgs;
use crate::config::Checked;
use crate::failure::{Failure, Kind};
use crate::input::Bar;
use crate::term::{thousands, warn};

/// What stays as it was.
const FIXED: &str = "Fixed when it was counted, whatever the config says now: pane_s, segments and everything else of [telemetry], \
                     and the edges of bins. References are the pinned ones, else those that are in force now.";

/// Judges the panes that the log of the config holds. Incidents are taken in order of time, panes by partition.
///
/// # Errors
/// When the log cannot be opened or read, holds no panes, or panes that this config cannot judge.
pub(super) fn history(args: &ReplayArgs, checked: &Checked, taker: &mut Taker) -> Result<Read, Failure> {
    let range = args.input.range()?;
    match open_log(checked)? {
        AnyLog::Kafka(log) => of(&log, checked, range, taker),
        AnyLog::Embedded(log) => of(&log, checked, range, taker),
    }
}

fn of<L: Log>(
    log: &L,
    checked: &Checked,
    range: [Option<Timestamp>; 2],
    taker: &mut Taker,
) -> Result<Read, Failure> {
    let settings = settings(checked);
    let topic = &settings.topics.panes;
    let partitions = log.partitions(topic)?.ok_or_else(|| {
        Failure::new(
            Kind::No,
            format!("the log has no topic {topic}: nothing was counted yet; start tocsin run first"),
        )
    })?;
    if partitions != settings.judge_partitions {
        let why = format!(
            "{topic} has {partitions} partitions and the config {}: put [log] back as it was when it was made",
            settings.judge_partitions
        );
        return Err(Failure::new(Kind::No, why));
    }
    let mut ends = vec![];
    for partition in 0..partitions {
        let of = past::panes_ends(log, &settings, partition)?;
        ends.push((of.start, of.stable));
    }
    let whole = ends.iter().map(|(from, to)| u64::try_from(to - from).unwrap_or(0)).sum();
    let mut bar = Bar::new("replay   ", whole);
    let mut found = Found::default();
    for (partition, ends) in (0..partitions).zip(ends) {
        let state = past::judge_state(log, &settings, partition)?;
        let known =
            HistoryReplay::new(partition, Arc::clone(&checked.judge), &checked.references, &state, range);
        let mut replay = known.map_err(|e| {
            Failure::new(Kind::CannotStart, format!("references of partition {partition}: {e}"))
        })?;
        let mut ended = Ok(());
        past::panes(log, &settings, partition, ends, &mut |offset, record| {
            bar.draw(found.read, found.read);
            match found.one(&mut replay, taker, offset, record) {
                Ok(()) => ControlFlow::Continue(()),
                Err(failure) => {
                    ended = Err(failure);
                    ControlFlow::Break(())
                }
            }
        })?;
        ended?;
        found.finish(replay, taker)?;
    }
    bar.clear();
    found.read(taker, topic)
}

#[derive(Default)]
struct Found {
    read: u64,
    damaged: u64,
    first: Option<Timestamp>,
    totals: Totals,
    told: Told,
}

impl Found {
    fn one(
        &mut self,
        replay: &mut HistoryReplay,
        taker: &mut Taker,
        offset: i64,
        record: Result<PanesRecord, RecordError>,
    ) -> Result<(), Failure> {
        self.read += 1;
        let record = match record {
            Ok(record) => record,
            Err(e @ RecordError::TooNew { .. }) => {
                return Err(Failure::new(
                    Kind::No,
                    format!("panes at offset {offset}: {e}; replay with the version that wrote it"),
                ));
            }
            Err(RecordError::Empty | RecordError::Damaged(_) | RecordError::DamagedJson(_)) => {
                self.damaged += 1;
                return Ok(());
            }
        };
        let told = replay.record(offset, record).map_err(|e| Failure::new(Kind::No, e.to_string()))?;
        self.take(told, taker)
    }

    /// Panes go on at once. Incidents wait for those of the other partitions.
    fn take(&mut self, told: Told, taker: &mut Taker) -> Result<(), Failure> {
        self.told.incidents.extend(told.incidents);
        taker.take(&Told { incidents: vec![], history: told.history })
    }

    fn finish(&mut self, replay: HistoryReplay, taker: &mut Taker) -> Result<(), Failure> {
        self.damaged += replay.broken();
        self.first = [self.first, replay.first()].into_iter().flatten().min();
        let (told, totals) = replay.finish();
        let (all, one) = (&mut self.totals.judged, totals.judged);
        all.panes += one.panes;
        all.late += one.late;
        all.misshapen += one.misshapen;
        all.granted = [all.granted[0] + one.granted[0], all.granted[1] + one.granted[1]];
        self.totals.through = self.totals.through.max(totals.through);
        self.take(told, taker)
    }

    fn read(mut self, taker: &mut Taker, topic: &str) -> Result<Read, Failure> {
        let Some(first) = self.first else {
            let why = format!("{topic} holds no panes of that time: nothing was counted, or it has expired");
            return Err(Failure::new(Kind::No, why));
        };
        self.told.incidents.sort_by(|a, b| {
            (a.changed_at, &a.incident_id, a.sequence).cmp(&(b.changed_at, &b.incident_id, b.sequence))
        });
        taker.take(&self.told)?;
        if self.damaged > 0 {
            warn(format!(
                "{} records of {topic} could not be read and are left out",
                thousands(self.damaged)
            ));
        }
        let until = self.totals.through.map_or(String::new(), |until| format!(" to {until}"));
        let amount = format!("{} records of {topic}, from {first}{until}", thousands(self.read));
        Ok(Read {
            source: "history".to_owned(),
            amount,
            records: self.read,
            totals: self.totals,
            reference_until: None,
            fixed: Some(FIXED),
        })
    }
}
