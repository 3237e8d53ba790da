//! The response bundle: a folder that the organisation owns, read and checked whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use escalate::config::{At, PolicyConfig, RouteConfig};
use escalate::{ConfigError, PeopleConfig, SchedulesConfig, SilencesConfig, StakeholdersConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::fault::Fault;
use super::parts;
use crate::policy::TESTS;

/// What `tocsin init --response` writes.
pub const PEOPLE: &str = include_str!("response/people.toml");
pub const POLICY: &str = include_str!("response/policy.toml");
pub const SCHEDULES: &str = include_str!("response/schedules.toml");
pub const SILENCES: &str = include_str!("response/silences.toml");
pub const STAKEHOLDERS: &str = include_str!("response/stakeholders.toml");
const FIRST_TESTS: &str = include_str!("response/first.toml");

const PEOPLE_FILE: &str = "people.toml";
const POLICY_FILE: &str = "policy.toml";
const SCHEDULES_FILE: &str = "schedules.toml";
const SILENCES_FILE: &str = "silences.toml";
const STAKEHOLDERS_FILE: &str = "stakeholders.toml";
/// The tables of a bundle, each in a file of its own.
const FILES: [&str; 5] = [PEOPLE_FILE, POLICY_FILE, SCHEDULES_FILE, SILENCES_FILE, STAKEHOLDERS_FILE];
const TEMPLATES: &str = "templates";
/// How a template's file ends; its name before that is the template's.
const TEMPLATE_END: &str = "txt";
/// Largest file of the bundle, in bytes.
const FILE_MAX: u64 = 4 << 20;

/// The files of a bundle as they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    dir: PathBuf,
    /// Those of [`FILES`] that are there.
    files: BTreeMap<&'static str, String>,
    templates: BTreeMap<String, String>,
}

/// What stands in them.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub route: Vec<RouteConfig>,
    pub policy: BTreeMap<String, PolicyConfig>,
    pub people: PeopleConfig,
    pub schedules: SchedulesConfig,
    pub silences: SilencesConfig,
    pub stakeholders: StakeholdersConfig,
    pub templates: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    route: Vec<RouteConfig>,
    policy: BTreeMap<String, PolicyConfig>,
}

/// The files to start from, by their paths under `dir`.
pub(crate) fn starting(dir: &Path) -> Vec<(PathBuf, String)> {
    let templates = escalate::BUILT_IN_TEMPLATES.map(|(audience, text)| {
        (dir.join(TEMPLATES).join(format!("{audience}.{TEMPLATE_END}")), text.to_owned())
    });
    let files = [
        (PEOPLE_FILE, PEOPLE),
        (POLICY_FILE, POLICY),
        (SCHEDULES_FILE, SCHEDULES),
        (SILENCES_FILE, SILENCES),
        (STAKEHOLDERS_FILE, STAKEHOLDERS),
    ];
    let tests = (dir.join(TESTS).join("first.toml"), FIRST_TESTS.to_owned());
    let files = files.map(|(name, text)| (dir.join(name), text.to_owned()));
    files.into_iter().chain([tests]).chain(templates).collect()
}

impl Folder {
    /// Reads all files of the bundle. A file that is none of it is a fault: it would be left out without a word.
    ///
    /// # Errors
    /// Every file that cannot be read, or has no place.
    pub fn read(dir: &Path) -> Result<Self, Vec<Fault>> {
        let mut folder = Self { dir: dir.to_owned(), ..Self::default() };
        let mut faults = Vec::new();
        for path in entries(dir)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let table = FILES.into_iter().find(|file| *file == name);
            let read = match name.as_str() {
                _ if table.is_some() => text(&path).map(|text| folder.files.extend(table.map(|t| (t, text)))),
                TEMPLATES => folder.read_templates(&path),
                // They say what it does and decide nothing: `tocsin policy test` reads them.
                TESTS if path.is_dir() => Ok(()),
                other if may_stand_beside(&path, other) => Ok(()),
                _ => Err(vec![odd(
                    &path,
                    &format!("{} and the folders templates and tests", FILES.join(", ")),
                )]),
            };
            faults.extend(read.err().into_iter().flatten());
        }
        if !folder.files.contains_key(POLICY_FILE) && faults.is_empty() {
            let message =
                "is not there: it says which incident goes to whom; `tocsin init --response` writes one";
            faults.push(of_file(&dir.join(POLICY_FILE), message));
        }
        if faults.is_empty() { Ok(folder) } else { Err(faults) }
    }

    fn read_templates(&mut self, dir: &Path) -> Result<(), Vec<Fault>> {
        for path in entries(dir)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match path.extension().and_then(|e| e.to_str()) {
                Some(TEMPLATE_END) => {
                    let stem = name.trim_end_matches(".txt").to_owned();
                    self.templates.insert(stem, text(&path)?);
                }
                _ if may_stand_beside(&path, &name) => (),
                _ => {
                    return Err(vec![odd(
                        &path,
                        "AUDIENCE.txt and AUDIENCE.KIND.txt, such as engineer.resolve.txt",
                    )]);
                }
            }
        }
        Ok(())
    }

    /// Everything that was read, so that a change of any of it is seen.
    #[must_use]
    pub fn whole(&self) -> String {
        let files = self.files.iter().map(|(name, text)| (*name, text));
        let templates = self.templates.iter().map(|(name, text)| (name.as_str(), text));
        files.chain(templates).map(|(name, text)| format!("{name}\0{}\0{text}\0", text.len())).collect()
    }

    /// # Errors
    /// What is no TOML, or has no such settings.
    pub fn parse(&self) -> Result<Response, Vec<Fault>> {
        let people = self.of(PEOPLE_FILE);
        let schedules = self.of(SCHEDULES_FILE);
        let silences = self.of(SILENCES_FILE);
        let stakeholders = self.of(STAKEHOLDERS_FILE);
        let policy = self.of::<PolicyFile>(POLICY_FILE);
        match (people, schedules, silences, stakeholders, policy) {
            (Ok(people), Ok(schedules), Ok(silences), Ok(stakeholders), Ok(PolicyFile { route, policy })) => {
                let templates = self.templates.clone();
                Ok(Response { route, policy, people, schedules, silences, stakeholders, templates })
            }
            (people, schedules, silences, stakeholders, policy) => {
                let faults =
                    [people.err(), schedules.err(), silences.err(), stakeholders.err(), policy.err()];
                Err(faults.into_iter().flatten().collect())
            }
        }
    }

    /// What stands in one of the files; its default where there is none.
    fn of<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, Fault> {
        let text = self.files.get(name);
        text.map_or_else(|| Ok(T::default()), |text| parse(&self.dir.join(name), text))
    }

    /// Where in these files something is that is wrong with the bundle; `None` if it is in none of them.
    #[must_use]
    pub fn fault(&self, error: &ConfigError) -> Option<Fault> {
        let (At::Key(first), rest) = error.path.split_first()? else { return None };
        let why = error.why.as_str();
        match first.as_str() {
            "people" => Some(self.in_file(PEOPLE_FILE, rest, why)),
            "schedules" => Some(self.in_file(SCHEDULES_FILE, rest, why)),
            "silences" => Some(self.in_file(SILENCES_FILE, rest, why)),
            "stakeholders" => Some(self.in_file(STAKEHOLDERS_FILE, rest, why)),
            "route" | "policy" => Some(self.in_file(POLICY_FILE, &error.path, why)),
            "templates" => {
                let Some(At::Key(name)) = rest.first() else {
                    return Some(of_file(&self.dir.join(TEMPLATES), why));
                };
                let file = self.dir.join(TEMPLATES).join(format!("{name}.{TEMPLATE_END}"));
                Some(in_template(&file, self.templates.get(name).map_or("", String::as_str), why))
            }
            _ => None,
        }
    }

    fn in_file(&self, name: &str, path: &[At], why: &str) -> Fault {
        let source = self.files.get(name).map_or("", String::as_str);
        Fault::of_key(&self.dir.join(name), source, &parts(path), why)
    }
}

/// A template's fault begins with its line where it has one.
fn in_template(file: &Path, source: &str, why: &str) -> Fault {
    let line = why.strip_prefix("line ").and_then(|rest| rest.split_once(": "));
    let line = line.and_then(|(line, why)| Some((line.parse::<usize>().ok()?, why)));
    let Some((line, why)) = line else { return Fault::at(file, source, Some(0..0), why) };
    let start: usize = source.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    Fault::at(file, source, Some(start..start), why)
}

fn parse<T: DeserializeOwned>(file: &Path, source: &str) -> Result<T, Fault> {
    toml::from_str(source).map_err(|e| Fault::at(file, source, e.span(), e.message().trim()))
}

fn of_file(file: &Path, message: &str) -> Fault {
    Fault::of_file(file, message.to_owned())
}

fn odd(path: &Path, known: &str) -> Fault {
    of_file(path, &format!("has no place in a response bundle, which holds {known}"))
}

/// What people keep in such folders.
fn may_stand_beside(path: &Path, name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || path.extension().is_some_and(|e| e == "md")
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, Vec<Fault>> {
    let read = std::fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(entries) => {
            let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
            paths.sort();
            Ok(paths)
        }
        Err(e) => {
            let message = format!("cannot be read: {e}; `tocsin init --response` writes such a folder");
            Err(vec![of_file(dir, &message)])
        }
    }
}

fn text(path: &Path) -> Result<String, Vec<Fault>> {
    let fault = |message: String| vec![of_file(path, &message)];
    let size = std::fs::metadata(path).map_or(0, |m| m.len());
    if size > FILE_MAX {
        return Err(fault(format!("has {size} bytes, and the most is {FILE_MAX}")));
    }
    std::fs::read_to_string(path).map_err(|e| fault(format!("cannot be read: {e}")))
}

#[cfg(test)]
mod tests;
