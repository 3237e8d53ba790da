//! `tocsin reference build`: pinned references from telemetry of healthy days, of which either half is judged
//! against the other before they are written.

use std::path::Path;
use std::sync::Arc;

use detect::reference::{Built, Reference, ReferenceBuilder};
use detect::replay::{Replay, Told};
use wire::{Change, Incident, Severity, Subject, Timestamp};

use crate::args::ReferenceBuildArgs;
use crate::config::{self, Checked};
use crate::failure::{Failure, Kind};
use crate::input::Input;
use crate::term::{Out, thousands, visible, warn};

/// Reads the input twice to build them, and a few times more to look for trouble in it.
///
/// # Errors
/// When the config or a file cannot be read, or there is too little to learn from.
pub(crate) fn build(args: &ReferenceBuildArgs, out: &Out) -> Result<(), Failure> {
    let checked = config::load(&args.config.config)?;
    let input = args.input.open(&checked)?;
    let built = build_from(&checked, &input, ["edges    ", "reference"], |_| true)?;
    for (model, version, records) in &built.refused {
        let (model, version) = (visible(model), visible(version));
        let records = thousands(*records);
        warn(format!(
            "{model} {version}: {records} records are too few for a reference (it takes about 1500, and no reference was made)"
        ));
    }
    let mut references = built.references;
    if references.is_empty() {
        return Err(Failure::new(Kind::No, "no model version has enough records for a reference"));
    }
    let found = trouble(&checked, &input, input.each_line("halves   ", |_| Ok(true))?)?;
    let refuses = |trouble: &Trouble| !args.accept_trouble && references.iter().any(|r| trouble.refuses(r));
    found.iter().for_each(|trouble| warn(trouble.words(refuses(trouble))));
    if !args.accept_trouble {
        references.retain(|r| !found.iter().any(|trouble| trouble.refuses(r)));
    }
    if references.is_empty() {
        return Err(Failure::new(Kind::No, "no reference was written: each holds trouble of its own"));
    }
    write_all(&references, &args.out)?;
    for r in &references {
        let p = &r.profile;
        if out.json {
            let growing: Vec<String> = growing(r).collect();
            out.json(&serde_json::json!({
                "model": p.model,
                "version": p.version,
                "records": r.records,
                "digest": r.digest(),
                "not_calibrated": growing,
            }));
        } else {
            out.line(format!(
                "{} {}: {} records, {} to {}",
                p.model,
                p.version,
                thousands(r.records),
                r.window[0],
                r.window[1]
            ));
            let growing: Vec<String> = growing(r).collect();
            if !growing.is_empty() {
                warn(format!(
                    "{} {}: not calibrated, so it may ticket and not page: {}. Its spread still grows at the longest windows \
                     that this reference holds; build it from a longer time",
                    visible(&p.model),
                    visible(&p.version),
                    growing.join(", ")
                ));
            }
        }
    }
    Ok(())
}

/// Streams whose spread is not known well enough to page.
fn growing(reference: &Reference) -> impl Iterator<Item = String> {
    let growing = reference.streams.iter().filter(|stream| stream.growing);
    growing.map(|stream| format!("{} {}", stream.family.name(), visible(&stream.name)))
}

/// Event time from which a reference is refused for what one half of it says of the other.
const KNOWN_MS: i64 = 4 * 86_400_000;

/// An incident of the telemetry that a reference was built from, judged against the other half of it.
struct Trouble {
    opened: Incident,
    severity: Severity,
    cleared_at: Option<Timestamp>,
}

impl Trouble {
    /// A page: whoever wrote the budget would have been woken. A ticket is a thing that days do.
    /// In halves of less than two days each, an hour of the day is no trouble that the other half could know.
    fn refuses(&self, reference: &Reference) -> bool {
        let span_ms = reference.window[1].since_ms(reference.window[0]);
        self.severity.pages() && span_ms >= KNOWN_MS && self.is_of(reference)
    }

    fn is_of(&self, reference: &Reference) -> bool {
        let Subject { name, version, .. } = &self.opened.subject;
        let same = version.as_ref().is_none_or(|version| *version == reference.profile.version);
        *name == reference.profile.model && same
    }

    fn words(&self, refused: bool) -> String {
        let until = self.cleared_at.map_or_else(|| "the end".to_owned(), |at| at.to_string());
        let so = if refused {
            "a reference that holds it takes trouble for normal, so it is not written: leave that time out, or say --accept-trouble"
        } else {
            "leave that time out if it was trouble"
        };
        format!("{}, from {} to {until}: {so}", visible(&self.opened.title), self.opened.opened_at)
    }
}

/// Judges either half of the telemetry against references of the other: what a reference holds looks normal to itself.
fn trouble(checked: &Checked, input: &Input, lines: u64) -> Result<Vec<Trouble>, Failure> {
    let mut found = vec![];
    for (name, second) in [("1st half ", false), ("2nd half ", true)] {
        let in_half = |line: u64| (line >= lines / 2) == second;
        // A half with too little of a version says nothing of it.
        let references = build_from(checked, input, [name, name], in_half)?.references;
        found.extend(judge_by(checked, &references, input, name, |line| !in_half(line))?);
    }
    Ok(found)
}

/// Incidents of those lines, of versions that the references know.
fn judge_by(
    checked: &Checked,
    references: &[Reference],
    input: &Input,
    name: &str,
    wanted: impl Fn(u64) -> bool,
) -> Result<Vec<Trouble>, Failure> {
    let telemetry = Arc::new(checked.telemetry.clone());
    let mut replay = Replay::new(telemetry, Arc::clone(&checked.judge), references.to_vec(), None);
    let mut found: Vec<Trouble> = vec![];
    let mut hear = |told: &Told| {
        for incident in &told.incidents {
            let known = found.iter_mut().find(|trouble| trouble.opened.incident_id == incident.incident_id);
            let Some(trouble) = known else {
                let (opened, severity) = (incident.clone(), incident.severity);
                found.push(Trouble { opened, severity, cleared_at: None });
                continue;
            };
            trouble.severity = trouble.severity.min(incident.severity);
            trouble.cleared_at = (incident.change == Change::Cleared).then_some(incident.changed_at);
        }
    };
    let mut at = 0;
    input.each_line(name, |line| {
        if wanted(at) {
            hear(&replay.record_with(line.role, line.json, |name| line.headers.get(name)));
        }
        at += 1;
        Ok(true)
    })?;
    hear(&replay.finish().0);
    found.retain(|trouble| references.iter().any(|reference| trouble.is_of(reference)));
    Ok(found)
}

/// References of the wanted lines, in two passes: one to learn how to fold them, one to fold them.
fn build_from(
    checked: &Checked,
    input: &Input,
    names: [&str; 2],
    wanted: impl Fn(u64) -> bool,
) -> Result<Built, Failure> {
    let mut builder = ReferenceBuilder::new(Arc::new(checked.telemetry.clone()), Arc::clone(&checked.judge));
    for (pass, name) in names.into_iter().enumerate() {
        if pass == 1 {
            builder.next_pass();
        }
        let mut at = 0;
        input.each_line(name, |line| {
            if wanted(at) {
                builder.record_with(line.role, line.json, |name| line.headers.get(name));
            }
            at += 1;
            Ok(true)
        })?;
    }
    Ok(builder.finish())
}

/// One file a reference, named after its model and version.
fn write_all(references: &[Reference], folder: &Path) -> Result<(), Failure> {
    let cannot =
        |path: &Path, e: &std::io::Error| Failure::new(Kind::CannotStart, format!("{}: {e}", path.display()));
    std::fs::create_dir_all(folder).map_err(|e| cannot(folder, &e))?;
    for r in references {
        let path = folder.join(format!("{}@{}.json", plain(&r.profile.model), plain(&r.profile.version)));
        let text = serde_json::to_vec(r).expect("a reference is plain data");
        std::fs::write(&path, text).map_err(|e| cannot(&path, &e))?;
    }
    Ok(())
}

/// A name as a file can have it.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}
