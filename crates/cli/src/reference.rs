//! `tocsin reference build`: pinned references from telemetry of healthy days.

use std::path::Path;
use std::sync::Arc;

use detect::collect::Role;
use detect::reference::{Reference, ReferenceBuilder};

use crate::args::ReferenceBuildArgs;
use crate::config;
use crate::failure::{Failure, Kind};
use crate::input::Input;
use crate::term::{Out, thousands, visible, warn};

/// Reads the input twice: once to learn how to fold it, once to fold it.
///
/// # Errors
/// When the config or a file cannot be read, or there is too little to learn from.
pub(crate) fn build(args: &ReferenceBuildArgs, out: &Out) -> Result<(), Failure> {
    let checked = config::load(&args.config.config).map_err(|faults| {
        let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::new(Kind::No, text.join("\n\n"))
    })?;
    let mut builder = ReferenceBuilder::new(Arc::new(checked.telemetry.clone()), Arc::clone(&checked.judge));
    let input = Input::new(&args.input)?;
    for pass in ["edges    ", "reference"] {
        if pass == "reference" {
            builder.next_pass();
        }
        input.each_line(pass, |line| {
            builder.record(Role::Predictions, line);
            Ok(true)
        })?;
    }
    let built = builder.finish();
    for (model, version, records) in &built.refused {
        let (model, version) = (visible(model), visible(version));
        let records = thousands(*records);
        warn(format!(
            "{model} {version}: {records} records are too few for a reference (it takes about 1500, and no reference was made)"
        ));
    }
    let references = built.references;
    if references.is_empty() {
        return Err(Failure::new(Kind::No, "no model version has enough records for a reference"));
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
