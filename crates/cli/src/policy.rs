//! `tocsin policy`: what the tests of a response bundle say of it, and what a change of it would have done.

mod simulate;

use std::path::{Path, PathBuf};

use escalate::trial::{TrialsConfig, Verdict, check, run};
use serde::Serialize;

use crate::args::PolicyTestArgs;
use crate::config::{self, Checked, Fault, Part};
use crate::failure::{Failure, Kind};
use crate::term::{Look, Out, span, visible};

/// Where tests stand in a response bundle.
pub(crate) const TESTS: &str = "tests";

/// One test's verdict, and the file that it stands in.
#[derive(Serialize)]
struct Told<'a> {
    file: &'a Path,
    passed: bool,
    #[serde(flatten)]
    verdict: Verdict,
}

/// # Errors
/// When a test fails, or the config or a test is not right.
pub(crate) fn test(args: &PolicyTestArgs, out: &Out) -> Result<(), Failure> {
    let checked = config::load_without_secrets(&args.config.config)?;
    let files = files(&checked, &args.files)?;
    let (mut ran, mut failed) = (0, 0);
    for file in &files {
        for verdict in verdicts(&checked, file)? {
            ran += 1;
            failed += usize::from(!verdict.passed());
            if out.json {
                out.json(&Told { file, passed: verdict.passed(), verdict });
            } else {
                says(&verdict, out);
            }
        }
    }
    if !out.json {
        out.line(format!("{ran} tests, {failed} failed"));
    }
    if failed > 0 { Err(Failure::new(Kind::No, "")) } else { Ok(()) }
}

pub(crate) use simulate::run as simulate;

/// Those that were named, or all of the bundle's, in order.
fn files(checked: &Checked, named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let none = |why: String| Failure::new(Kind::No, why);
    let folder = checked.config.response.as_ref().map(|folder| checked.dir.join(folder).join(TESTS));
    let folder = folder.ok_or_else(|| {
        none("tests stand in the response bundle, which this config has not: name their files, or `tocsin init --response` writes a bundle".into())
    })?;
    let read = std::fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|e| none(format!("{}: no tests: {e}", folder.display())))?;
    let mut files: Vec<PathBuf> = read
        .into_iter()
        .map(|entry| entry.path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(none(format!("{}: no tests: it has no file that ends in .toml", folder.display())));
    }
    Ok(files)
}

/// What came of each test of a file.
fn verdicts(checked: &Checked, file: &Path) -> Result<Vec<Verdict>, Failure> {
    let source = std::fs::read_to_string(file)
        .map_err(|e| Failure::from(vec![Fault::of_file(file, format!("cannot be read: {e}"))]))?;
    let tests: TrialsConfig = toml::from_str(&source)
        .map_err(|e| Failure::from(vec![Fault::at(file, &source, e.span(), e.message().trim())]))?;
    let all = |key, why| Failure::from(vec![Fault::of_key(file, &source, &[Part::Key(key)], why)]);
    check(&tests.test).map_err(|bad| all(bad.key, bad.to_string()))?;
    let ran = tests.test.iter().enumerate().map(|(i, test)| {
        run(&checked.policy, test).map_err(|bad| {
            let path = [Part::Key("test"), Part::Index(i), Part::Key(bad.key)];
            Failure::from(vec![Fault::of_key(file, &source, &path, bad.why)])
        })
    });
    ran.collect()
}

fn says(verdict: &Verdict, out: &Out) {
    let name = visible(&verdict.name);
    if verdict.passed() {
        return out.line(out.paint(Look::Green, format!("✓ {name}")));
    }
    out.line(out.paint(Look::Red, format!("✗ {name}")));
    let line = |what: &str, (at, who): &(u32, String)| {
        out.line(format!("    {what:<10}  {:>10}  {}", span(i64::from(*at) * 1000), visible(who)));
    };
    verdict.missing.iter().for_each(|one| line("missing", one));
    verdict.unexpected.iter().for_each(|one| line("unexpected", one));
    if !verdict.missing.is_empty() {
        verdict.came.iter().for_each(|one| line("came", one));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty people, four teams, three zones: what the docs show is right, and keeps what it promises.
    #[test]
    fn the_example_of_a_company_does_what_its_tests_say() {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/company/tocsin.toml");
        let checked = config::load(&config).expect("it is right");
        let people = &checked.policy.bundle().people;
        assert_eq!((people.person.len(), people.team.len()), (20, 4));
        let files = files(&checked, &[]).expect("it has tests");
        let verdicts: Vec<Verdict> =
            files.iter().flat_map(|file| verdicts(&checked, file).expect("they can be read")).collect();
        let failed: Vec<_> = verdicts.iter().filter(|verdict| !verdict.passed()).collect();
        assert!(failed.is_empty() && verdicts.len() == 10, "{failed:?}");
    }
}
