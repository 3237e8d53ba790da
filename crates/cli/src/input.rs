//! Telemetry that was kept, read with a line of progress: files of JSON Lines, plain or packed with gzip or zstd, or of
//! Parquet, or the topics of a log.

#[cfg(feature = "parquet")]
mod parquet;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use detect::collect::Role;
use runtime::clock::Clock;
use runtime::log::{EmbeddedLog, Headers, KafkaLog, Log};
use runtime::past::{Line, Telemetry};
use wire::Timestamp;

use crate::app::{AnyLog, open_log, settings, sources};
use crate::args::{From, InputArgs};
use crate::config::Checked;
use crate::failure::{Failure, Kind};
use crate::term::{status, thousands};

/// A line longer than this is no record; it is cut, and fails to decode.
const LINE_MAX: u64 = 16 << 20;
/// Lines between two looks at the clock.
const LOOK_EVERY: u64 = 4096;
const REDRAW: Duration = Duration::from_millis(200);

/// Telemetry that can be read several times, and is the same each time.
pub(crate) enum Input {
    Files(Files),
    Kafka(Telemetry<KafkaLog>),
    Embedded(Telemetry<EmbeddedLog>),
}

/// Files that are read one after the other as one stream.
#[derive(Debug)]
pub(crate) struct Files {
    files: Vec<(PathBuf, u64)>,
    bytes: u64,
}

impl Input {
    /// Opens each file once, so that a wrong name is known before anything is read.
    ///
    /// # Errors
    /// When one is not there or cannot be read.
    pub(crate) fn files(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let length = File::open(path).and_then(|file| file.metadata()).map_err(|e| cannot(path, &e))?;
            if length.is_dir() {
                let why = format!("{}: a folder; name the files in it", path.display());
                return Err(Failure::new(Kind::Usage, why));
            }
            files.push((path.clone(), length.len()));
        }
        let bytes = files.iter().map(|(_, length)| length).sum();
        Ok(Self::Files(Files { files, bytes }))
    }

    /// What the telemetry topics of the config hold now, of records that were written within `range`.
    ///
    /// # Errors
    /// When the log cannot be opened, or has no such topic.
    pub(crate) fn topics(checked: &Checked, range: [Option<Timestamp>; 2]) -> Result<Self, Failure> {
        let sources = sources(checked, &settings(checked).topics);
        Ok(match open_log(checked)? {
            AnyLog::Kafka(log) => Self::Kafka(Telemetry::new(log, &sources, range)?),
            AnyLog::Embedded(log) => Self::Embedded(Telemetry::new(log, &sources, range)?),
        })
    }

    /// Hands each record to `each`, until it answers `false` or all is read; lines that are empty are none. Returns the
    /// records handed.
    ///
    /// # Errors
    /// When a file or the log cannot be read to its end, and those of `each`.
    pub(crate) fn each_line(
        &self,
        what: &str,
        mut each: impl FnMut(Line<'_>) -> Result<bool, Failure>,
    ) -> Result<u64, Failure> {
        match self {
            Self::Files(files) => files.each_line(what, |json| {
                each(Line { role: Role::Predictions, json, headers: Headers::default() })
            }),
            Self::Kafka(telemetry) => each_record(telemetry, what, each),
            Self::Embedded(telemetry) => each_record(telemetry, what, each),
        }
    }
}

impl InputArgs {
    /// The files, or the telemetry topics.
    ///
    /// # Errors
    /// As [`Input::files`] and [`Input::topics`]; the history is no telemetry.
    pub(crate) fn open(&self, checked: &Checked) -> Result<Input, Failure> {
        match self.from {
            None => Input::files(&self.input),
            Some(From::Telemetry) => Input::topics(checked, self.range()?),
            Some(From::History) => {
                let why = "--from history: it holds counts, and this needs telemetry; right would be --from telemetry";
                Err(Failure::new(Kind::Usage, why))
            }
        }
    }

    /// Times since when and until when.
    ///
    /// # Errors
    /// When one is no time.
    pub(crate) fn range(&self) -> Result<[Option<Timestamp>; 2], Failure> {
        let since = self.since.as_deref().map(|text| time("--since", text)).transpose()?;
        Ok([since, self.until.as_deref().map(|text| time("--until", text)).transpose()?])
    }

    /// For people.
    pub(crate) fn name(&self) -> String {
        let name = |path: &PathBuf| {
            let last = path.file_name().map(|name| name.to_string_lossy().into_owned());
            last.unwrap_or_else(|| path.display().to_string())
        };
        match (self.from, self.input.as_slice()) {
            (Some(From::History), _) => "history".to_owned(),
            (Some(From::Telemetry), _) | (None, []) => "telemetry".to_owned(),
            (None, [one]) => name(one),
            (None, [first, rest @ ..]) => format!("{} and {} more", name(first), rest.len()),
        }
    }
}

/// RFC 3339, or milliseconds since the epoch.
pub(crate) fn time(option: &str, text: &str) -> Result<Timestamp, Failure> {
    let ms = text.parse::<i64>().ok().and_then(Timestamp::from_ms);
    ms.or_else(|| text.parse().ok()).ok_or_else(|| {
        let right = "2026-03-02T08:00:00Z, or milliseconds since 1970";
        Failure::new(Kind::Usage, format!("{option} {text}: no time; right would be {right}"))
    })
}

fn each_record<L: Log>(
    telemetry: &Telemetry<L>,
    what: &str,
    mut each: impl FnMut(Line<'_>) -> Result<bool, Failure>,
) -> Result<u64, Failure> {
    let mut bar = Bar::new(what, telemetry.len());
    let (mut records, mut ended) = (0_u64, Ok(()));
    telemetry.each(&mut |line| {
        records += 1;
        if records.is_multiple_of(LOOK_EVERY) {
            bar.draw(records, records);
        }
        match each(line) {
            Ok(true) => ControlFlow::Continue(()),
            Ok(false) => ControlFlow::Break(()),
            Err(failure) => {
                ended = Err(failure);
                ControlFlow::Break(())
            }
        }
    })?;
    bar.clear();
    ended.map(|()| records)
}

impl Files {
    fn each_line(
        &self,
        what: &str,
        mut each: impl FnMut(&[u8]) -> Result<bool, Failure>,
    ) -> Result<u64, Failure> {
        let mut bar = Bar::new(what, self.bytes);
        let (mut lines, mut before) = (0_u64, 0);
        'files: for (path, length) in &self.files {
            let read = Rc::new(Cell::new(0));
            let mut reader = open(path, Rc::clone(&read)).map_err(|e| cannot(path, &e))?;
            let mut line = Vec::new();
            loop {
                line.clear();
                let n = reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line);
                if n.map_err(|e| cannot(path, &e))? == 0 {
                    break;
                }
                let text = line.trim_ascii();
                if text.is_empty() {
                    continue;
                }
                lines += 1;
                if lines.is_multiple_of(LOOK_EVERY) {
                    bar.draw(before + read.get(), lines);
                }
                if !each(text)? {
                    break 'files;
                }
            }
            before += length;
        }
        bar.clear();
        Ok(lines)
    }
}

fn cannot(path: &Path, e: &io::Error) -> Failure {
    Failure::new(Kind::CannotStart, format!("{}: {e}", path.display()))
}

fn open(path: &Path, read: Rc<Cell<u64>>) -> io::Result<Box<dyn BufRead>> {
    let file = Counted { inner: File::open(path)?, read };
    let packed = path.extension().and_then(|e| e.to_str());
    Ok(match packed {
        Some("gz") => Box::new(BufReader::with_capacity(1 << 17, flate2::read::MultiGzDecoder::new(file))),
        Some("zst") => Box::new(BufReader::with_capacity(1 << 17, zstd::Decoder::new(file)?)),
        Some("parquet") => return rows(path, file),
        Some(_) | None => Box::new(BufReader::with_capacity(1 << 17, file)),
    })
}

#[cfg(feature = "parquet")]
fn rows(path: &Path, file: Counted) -> io::Result<Box<dyn BufRead>> {
    let length = file.inner.metadata()?.len();
    Ok(Box::new(BufReader::with_capacity(1 << 17, parquet::open(path, length, file.read)?)))
}

#[cfg(not(feature = "parquet"))]
fn rows(_: &Path, _: Counted) -> io::Result<Box<dyn BufRead>> {
    Err(io::Error::other(
        "this build reads no Parquet; one that does is made with cargo build --release --features parquet",
    ))
}

/// Counts the bytes that were taken from the file, packed as they are.
struct Counted {
    inner: File,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(into)?;
        self.read.set(self.read.get() + n as u64);
        Ok(n)
    }
}

/// One line on a terminal; nothing where nobody looks.
pub(crate) struct Bar<'a> {
    what: &'a str,
    bytes: u64,
    clock: Clock,
    drawn: Option<Duration>,
    shown: bool,
}

impl<'a> Bar<'a> {
    /// Of `bytes` in all, or whatever else is counted.
    pub(crate) fn new(what: &'a str, bytes: u64) -> Self {
        let shown = io::stderr().is_terminal();
        Self { what, bytes, clock: Clock::start(), drawn: None, shown }
    }

    pub(crate) fn draw(&mut self, read: u64, lines: u64) {
        let now = self.clock.now().mono;
        if !self.shown || self.drawn.is_some_and(|at| now.saturating_sub(at) < REDRAW) {
            return;
        }
        self.drawn = Some(now);
        let percent = (100 * read).checked_div(self.bytes).unwrap_or(0).min(100);
        let filled = usize::try_from(percent / 4).expect("at most 25");
        let rate = u64::try_from(u128::from(lines) * 1000 / now.as_millis().max(1)).unwrap_or(u64::MAX);
        status(&format!(
            "{} {:█<filled$}{:░<rest$} {percent:>3} %  {} records, {} a second",
            self.what,
            "",
            "",
            thousands(lines),
            thousands(rate),
            rest = 25 - filled
        ));
    }

    pub(crate) fn clear(&self) {
        if self.drawn.is_some() {
            status("");
        }
    }
}
