//! `tocsin replay`: what this config would have done with telemetry that was kept.

mod past;
mod report;
mod scorecard;
mod truth;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use detect::reference::{Built, Reference, ReferenceBuilder};
use detect::replay::{Replay, Told, Totals};
use serde::Serialize;
use wire::{Change, Incident, Severity, Timestamp};

use crate::args::{From, ReplayArgs};
use crate::config::{self, Checked};
use crate::failure::{Failure, Kind};
use crate::input::{Input, time};
use crate::term::{Look, Out, thousands, visible, warn};
use report::{About, Report};
use scorecard::Scorecard;
use truth::{Alarms, Clock, Truth};

/// Judges the input under the config, writes what was asked for, and says what came of it.
///
/// # Errors
/// When the config, a file or the log cannot be read or written, or the reference cannot be built.
pub(crate) fn run(args: &ReplayArgs, out: &Out) -> Result<(), Failure> {
    let checked = config::load(&args.config.config)?;
    let truth = args.truth.as_deref().map(Truth::read).transpose()?;
    let mut taker = Taker {
        sinks: Sinks::open(args)?,
        report: args.report.as_deref().map(Report::open).transpose()?,
        tally: Tally::default(),
    };
    let read = match args.input.from {
        None | Some(From::Telemetry) => telemetry(args, &checked, &mut taker)?,
        Some(From::History) => past::history(args, &checked, &mut taker)?,
    };
    let Taker { sinks, report, mut tally } = taker;
    sinks.finish()?;
    let through = read.totals.through;
    let scorecard = args.truth.clone().zip(truth).map(|(file, truth)| tally.score(file, &truth, through));
    tally.say(out, &read, scorecard.as_ref());
    if let Some(report) = report {
        let file = report.write(&About { checked: &checked, read: &read, scorecard: scorecard.as_ref() })?;
        if !out.json {
            out.line(format!("Report: {}", file.display()));
        }
    }
    Ok(())
}

/// What was read, and what it came to.
struct Read {
    /// For people: names of files, or of the log.
    source: String,
    /// What was read, for people: `1,234 records`.
    amount: String,
    records: u64,
    totals: Totals,
    reference_until: Option<Timestamp>,
    /// What a config cannot change about what was read.
    fixed: Option<&'static str>,
}

/// Takes in what the cores tell.
struct Taker {
    sinks: Sinks,
    report: Option<Report>,
    tally: Tally,
}

impl Taker {
    fn take(&mut self, told: &Told) -> Result<(), Failure> {
        if told.is_empty() {
            return Ok(());
        }
        self.tally.add(told);
        self.report.iter_mut().for_each(|report| report.add(told));
        self.sinks.write(told)
    }
}

/// Collects and judges files of telemetry.
fn telemetry(args: &ReplayArgs, checked: &Checked, taker: &mut Taker) -> Result<Read, Failure> {
    let until = args.reference_until.as_deref().map(|text| time("--reference-until", text)).transpose()?;
    let input = args.input.open(checked)?;
    let references = references(checked, &input, until)?;
    let mut replay =
        Replay::new(Arc::new(checked.telemetry.clone()), Arc::clone(&checked.judge), references, until);
    let records = input.each_line("replay   ", |line| {
        taker.take(&replay.record_with(line.role, line.json, |name| line.headers.get(name)))?;
        Ok(true)
    })?;
    let (told, totals) = replay.finish();
    taker.take(&told)?;
    let dead = match totals.dead_letters {
        0 => String::new(),
        n => format!(", {} that could not be read", thousands(n)),
    };
    let amount = format!("{} records{dead}", thousands(records));
    Ok(Read { source: args.input.name(), amount, records, totals, reference_until: until, fixed: None })
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
            builder.record_with(line.role, line.json, |name| line.headers.get(name));
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
    /// With the most urgent severity that each had.
    opened: Vec<(Incident, Severity)>,
    alarms: Alarms,
    clock: Clock,
}

impl Tally {
    fn add(&mut self, told: &Told) {
        told.history.iter().for_each(|pane| self.clock.take(pane));
        for incident in &told.incidents {
            self.alarms.take(incident);
            if incident.change == Change::Opened {
                self.opened.push((incident.clone(), incident.severity));
                continue;
            }
            let is_it = |known: &Incident| {
                known.incident_id == incident.incident_id && known.generation == incident.generation
            };
            if let Some((_, worst)) = self.opened.iter_mut().rfind(|(known, _)| is_it(known)) {
                *worst = (*worst).min(incident.severity);
            }
        }
    }

    fn score(&mut self, file: PathBuf, truth: &Truth, through: Option<Timestamp>) -> Scorecard {
        self.clock.wind_up(through);
        Scorecard::new(file, truth, &self.alarms.all, &self.clock)
    }

    fn say(&self, out: &Out, read: &Read, scorecard: Option<&Scorecard>) {
        let totals = &read.totals;
        let [page, ticket] = totals.judged.granted;
        let pages = self.opened.iter().filter(|(_, worst)| worst.pages()).count();
        if out.json {
            let mut told = serde_json::json!({
                "records": read.records,
                "predictions": totals.collected.predictions,
                "labels": totals.collected.labels,
                "dead_letters": totals.dead_letters,
                "panes": totals.judged.panes,
                "opened": self.opened.len(),
                "pages": pages,
                "granted": {"page": page, "ticket": ticket},
                "through": totals.through,
            });
            if let Some(fixed) = read.fixed {
                told["fixed"] = fixed.into();
            }
            if let Some(scorecard) = scorecard {
                told["truth"] = serde_json::to_value(scorecard).expect("a scorecard is plain data");
            }
            out.json(&told);
            return;
        }
        for (incident, worst) in &self.opened {
            let look = if worst.pages() { Look::Red } else { Look::Yellow };
            let later = if *worst == incident.severity { String::new() } else { format!(" (later {worst})") };
            out.line(format!(
                "{}  {}  {}{later}",
                incident.changed_at,
                out.paint(look, incident.severity),
                visible(&incident.title)
            ));
        }
        out.line(format!(
            "{}, {} panes: {} incidents opened, {} of them pages. Granted: {page:.3} false pages, {ticket:.3} false tickets.",
            read.amount,
            thousands(totals.judged.panes),
            self.opened.len(),
            pages,
        ));
        read.fixed.iter().for_each(|fixed| out.line(fixed));
        scorecard.iter().for_each(|scorecard| scorecard.say(out));
    }
}
