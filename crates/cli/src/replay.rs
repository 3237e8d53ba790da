//! `tocsin replay`: what this config would have done with telemetry that was kept.

mod report;
mod scorecard;
mod truth;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use detect::collect::Role;
use detect::reference::{Built, Reference, ReferenceBuilder};
use detect::replay::{Replay, Told, Totals};
use serde::Serialize;
use wire::{Change, Incident, Timestamp};

use crate::args::ReplayArgs;
use crate::config::{self, Checked};
use crate::failure::{Failure, Kind};
use crate::input::Input;
use crate::term::{Look, Out, thousands, visible, warn};
use report::{About, Report};
use scorecard::Scorecard;
use truth::{Alarms, Clock, Truth};

/// Judges the input under the config, writes what was asked for, and says what came of it.
///
/// # Errors
/// When the config or a file cannot be read or written, or the reference cannot be built.
pub(crate) fn run(args: &ReplayArgs, out: &Out) -> Result<(), Failure> {
    let checked = config::load(&args.config.config).map_err(|faults| {
        let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::new(Kind::No, text.join("\n\n"))
    })?;
    let until = args.reference_until.as_deref().map(time).transpose()?;
    let truth = args.truth.as_deref().map(Truth::read).transpose()?;
    let input = Input::new(&args.input)?;
    let references = references(&checked, &input, until)?;
    let mut sinks = Sinks::open(args)?;
    let mut report = args.report.as_deref().map(Report::open).transpose()?;
    let mut replay =
        Replay::new(Arc::new(checked.telemetry.clone()), Arc::clone(&checked.judge), references, until);
    let mut tally = Tally::default();
    let lines = input.each_line("replay   ", |line| {
        let told = replay.record(Role::Predictions, line);
        if !told.is_empty() {
            tally.add(&told);
            report.iter_mut().for_each(|report| report.add(&told));
            sinks.write(&told)?;
        }
        Ok(true)
    })?;
    let (told, totals) = replay.finish();
    tally.add(&told);
    report.iter_mut().for_each(|report| report.add(&told));
    sinks.write(&told)?;
    sinks.finish()?;
    let scorecard =
        args.truth.clone().zip(truth).map(|(file, truth)| tally.score(file, &truth, totals.through));
    tally.say(out, lines, &totals, scorecard.as_ref());
    if let Some(report) = report {
        let file = report.write(&About {
            checked: &checked,
            input: &args.input,
            reference_until: until,
            records: lines,
            totals: &totals,
            scorecard: scorecard.as_ref(),
        })?;
        if !out.json {
            out.line(format!("Report: {}", file.display()));
        }
    }
    Ok(())
}

/// RFC 3339, or milliseconds since the epoch.
fn time(text: &str) -> Result<Timestamp, Failure> {
    let ms = text.parse::<i64>().ok().and_then(Timestamp::from_ms);
    ms.or_else(|| text.parse().ok()).ok_or_else(|| {
        let right = "2026-03-02T08:00:00Z, or milliseconds since 1970";
        Failure::new(Kind::Usage, format!("--reference-until {text}: no time; right would be {right}"))
    })
}

/// Pinned ones of the config, with those from the start of the input before them.
fn references(checked: &Checked, input: &Input, until: Option<Timestamp>) -> Result<Vec<Reference>, Failure> {
    let mut references = checked.references.as_ref().clone();
    let Some(until) = until else { return Ok(references) };
    let telemetry = Arc::new(checked.telemetry.clone());
    let mut builder = ReferenceBuilder::new(telemetry, Arc::clone(&checked.judge)).until(until);
    for pass in ["edges    ", "reference"] {
        if pass == "reference" {
            builder.next_pass();
        }
        input.each_line(pass, |line| {
            builder.record(Role::Predictions, line);
            Ok(!builder.is_complete())
        })?;
    }
    let Built { references: built, refused } = builder.finish();
    for (model, version, records) in &refused {
        warn(format!(
            "{} {}: {} records before {until} are too few for a reference (it takes about 1500): it learns one from what follows",
            visible(model),
            visible(version),
            thousands(*records),
        ));
    }
    if built.is_empty() && references.is_empty() {
        let why = format!("no model version has enough records before {until} for a reference");
        return Err(Failure::new(Kind::No, why));
    }
    references.extend(built);
    Ok(references)
}

/// Where records go, one JSON object a line.
struct Sinks {
    incidents: Option<Lines>,
    streams: Option<Lines>,
}

struct Lines {
    path: PathBuf,
    out: Box<dyn Write>,
}

impl Sinks {
    fn open(args: &ReplayArgs) -> Result<Self, Failure> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(Lines::create).transpose();
        Ok(Self { incidents: open(&args.incidents)?, streams: open(&args.streams)? })
    }

    fn write(&mut self, told: &Told) -> Result<(), Failure> {
        if let Some(lines) = &mut self.incidents {
            told.incidents.iter().try_for_each(|incident| lines.write(incident))?;
        }
        if let Some(lines) = &mut self.streams {
            told.history.iter().try_for_each(|history| lines.write(history))?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Failure> {
        let all = [self.incidents, self.streams].into_iter().flatten();
        for mut lines in all {
            lines.out.flush().map_err(|e| cannot(&lines.path, &e))?;
        }
        Ok(())
    }
}

impl Lines {
    fn create(path: &Path) -> Result<Self, Failure> {
        let out: Box<dyn Write> = if path == Path::new("-") {
            Box::new(BufWriter::new(std::io::stdout()))
        } else {
            Box::new(BufWriter::new(File::create(path).map_err(|e| cannot(path, &e))?))
        };
        Ok(Self { path: path.to_owned(), out })
    }

    fn write(&mut self, record: &impl Serialize) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(record).expect("a record is plain data");
        line.push(b'\n');
        self.out.write_all(&line).map_err(|e| cannot(&self.path, &e))
    }
}

fn cannot(path: &Path, e: &std::io::Error) -> Failure {
    Failure::new(Kind::CannotStart, format!("{}: {e}", path.display()))
}

/// What is said at the end.
#[derive(Default)]
struct Tally {
    opened: Vec<Incident>,
    pages: u64,
    alarms: Alarms,
    clock: Clock,
}

impl Tally {
    fn add(&mut self, told: &Told) {
        told.history.iter().for_each(|pane| self.clock.take(pane));
        for incident in &told.incidents {
            self.alarms.take(incident);
            if incident.change == Change::Opened {
                self.opened.push(incident.clone());
                self.pages += u64::from(incident.severity.pages());
            }
        }
    }

    fn score(&mut self, file: PathBuf, truth: &Truth, through: Option<Timestamp>) -> Scorecard {
        self.clock.wind_up(through);
        Scorecard::new(file, truth, &self.alarms.all, &self.clock)
    }

    fn say(&self, out: &Out, lines: u64, totals: &Totals, scorecard: Option<&Scorecard>) {
        let [page, ticket] = totals.judged.granted;
        if out.json {
            let mut told = serde_json::json!({
                "records": lines,
                "predictions": totals.collected.predictions,
                "labels": totals.collected.labels,
                "dead_letters": totals.dead_letters,
                "panes": totals.judged.panes,
                "opened": self.opened.len(),
                "pages": self.pages,
                "granted": {"page": page, "ticket": ticket},
                "through": totals.through,
            });
            if let Some(scorecard) = scorecard {
                told["truth"] = serde_json::to_value(scorecard).expect("a scorecard is plain data");
            }
            out.json(&told);
            return;
        }
        for incident in &self.opened {
            let look = if incident.severity.pages() { Look::Red } else { Look::Yellow };
            out.line(format!(
                "{}  {}  {}",
                incident.changed_at,
                out.paint(look, incident.severity),
                visible(&incident.title)
            ));
        }
        let dead = match totals.dead_letters {
            0 => String::new(),
            n => format!(", {} that could not be read", thousands(n)),
        };
        out.line(format!(
            "{} records{dead}, {} panes: {} incidents opened, {} of them pages. Granted: {page:.3} false pages, {ticket:.3} false tickets.",
            thousands(lines),
            thousands(totals.judged.panes),
            self.opened.len(),
            self.pages,
        ));
        scorecard.iter().for_each(|scorecard| scorecard.say(out));
    }
}
