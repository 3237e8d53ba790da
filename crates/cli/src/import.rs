//! `tocsin import`: what another pager exports becomes the people, schedules and policies of a response bundle. What
//! cannot be moved is said, each with what to do about it; nothing is left out without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use escalate::{PolicyConfig, RouteConfig, SilencesConfig};
use runtime::clock::Clock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use wire::Timestamp;

use crate::args::{ImportArgs, Pager};
use crate::failure::{Failure, Kind};
use crate::small::write_new;
use crate::term::{Look, Out, visible};
use moved::{Left, Moved, Receiver};

mod alertmanager;
mod finish;
mod goalert;
mod moved;
mod oncall;
mod opsgenie;
mod turns;

/// Largest file that is read, in bytes.
const FILE_MAX: u64 = 64 << 20;
const PEOPLE: &str = "people.toml";
const SCHEDULES: &str = "schedules.toml";
const POLICY: &str = "policy.toml";
const SILENCES: &str = "silences.toml";
/// What a bundle takes beside its own files: notes.
const NOTES: &str = "MOVED.md";

/// A file of the export: its name without folders, and what is in it.
#[derive(Clone, Debug)]
struct Export {
    name: String,
    text: String,
}

/// One thing of an export, and the file that it came in.
#[derive(Clone, Debug)]
struct Item {
    file: String,
    value: Value,
}

/// `policy.toml`.
#[derive(Serialize)]
struct PolicyFile<'a> {
    route: &'a [RouteConfig],
    policy: &'a BTreeMap<String, PolicyConfig>,
}

/// # Errors
/// When a file cannot be read, is none that the pager exports, or would be overwritten.
pub(crate) fn run(args: &ImportArgs, out: &Out) -> Result<(), Failure> {
    let exports = args.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let now = Clock::start().now().wall;
    let moved = import(args.from, &exports, now).map_err(|why| Failure::new(Kind::No, why))?;
    let files = files(args.from, &exports, &moved).map_err(|why| Failure::new(Kind::No, why))?;
    write_new(&within(&args.out, &files), args.force)?;
    if out.json {
        out.json(&told(&moved, &args.out, &files));
    } else {
        say(args, &moved, &files).iter().for_each(|(look, line)| out.line(out.paint(*look, line)));
    }
    Ok(())
}

/// # Errors
/// What in the files is not as the pager writes it.
fn import(from: Pager, exports: &[Export], now: Timestamp) -> Result<Moved, String> {
    let moved = match from {
        Pager::Alertmanager => alertmanager::read(exports, now)?,
        Pager::Oncall => oncall::read(exports, now)?,
        Pager::Opsgenie => opsgenie::read(exports, now)?,
        Pager::Goalert => goalert::read(exports, now)?,
    };
    finish::finish(moved)
}

fn read(path: &Path) -> Result<Export, Failure> {
    let failed = |why: String| Failure::new(Kind::No, format!("{}: {why}", path.display()));
    let size = fs::metadata(path).map_or(0, |m| m.len());
    if size > FILE_MAX {
        return Err(failed(format!("has {size} bytes, and the most is {FILE_MAX}")));
    }
    let text = fs::read_to_string(path).map_err(|e| failed(format!("cannot be read: {e}")))?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(Export { name, text })
}

/// All things in a list, or in what an interface wraps around one: `results`, `data`. One alone is a list of one.
fn items(exports: &[Export], moved: &mut Moved) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for Export { name, text } in exports {
        let value: Value = serde_json::from_str(text).map_err(|e| format!("{name}: is no JSON: {e}"))?;
        let more = value.get("next").or_else(|| value.pointer("/paging/next")).is_some_and(|v| !v.is_null());
        if more {
            moved.left(
                name,
                "the list",
                "goes on: this is one page of it",
                "fetch the others too (`next` says where), and give all files at once",
            );
        }
        let inner = if let Value::Object(mut map) = value {
            let inner = map.remove("results").or_else(|| map.remove("data"));
            inner.unwrap_or(Value::Object(map))
        } else {
            value
        };
        let list = if let Value::Array(list) = inner { list } else { vec![inner] };
        items.extend(list.into_iter().map(|value| Item { file: name.clone(), value }));
    }
    Ok(items)
}

impl Item {
    fn has(&self, key: &str) -> bool {
        self.value.get(key).is_some()
    }

    /// As one of the things that the source has; what it is not is said.
    fn as_a<T: DeserializeOwned>(&self, what: &str, moved: &mut Moved) -> Option<T> {
        match serde_json::from_value(self.value.clone()) {
            Ok(read) => Some(read),
            Err(e) => {
                let name = self.value.get("name").or_else(|| self.value.get("id")).map(Value::to_string);
                let what = format!("{what} {}", name.unwrap_or_default());
                moved.left(
                    &self.file,
                    what.trim_end(),
                    format!("is not written as is known: {e}"),
                    "move it by hand",
                );
                None
            }
        }
    }
}

/// What is given; where it is `null`, as if it were not there.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// Fields that nobody asked for and that say something: neither empty, nor off, nor none.
fn said_too(rest: &BTreeMap<String, Value>, known: &[&str]) -> Option<String> {
    let says = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    };
    let fields = rest.iter().filter(|(key, value)| !known.contains(&key.as_str()) && says(value));
    let fields: Vec<_> = fields.map(|(key, _)| key.as_str()).collect();
    (!fields.is_empty()).then(|| fields.join(", "))
}

const fn called(from: Pager) -> &'static str {
    match from {
        Pager::Alertmanager => "Alertmanager",
        Pager::Oncall => "Grafana OnCall",
        Pager::Opsgenie => "Opsgenie",
        Pager::Goalert => "GoAlert",
    }
}

/// As the command line has it.
fn word(from: Pager) -> String {
    from.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The files of the bundle by their names.
fn files(from: Pager, exports: &[Export], moved: &Moved) -> Result<Vec<(&'static str, String)>, String> {
    let names: Vec<_> = exports.iter().map(|export| export.name.as_str()).collect();
    let head = |what: &str| {
        format!(
            "# {what} Moved here from {} by `tocsin import {}`: {}.\n# What could not be moved stands in {NOTES}. `tocsin check` says whether this file is right.\n\n",
            called(from),
            word(from),
            visible(&names.join(", ")),
        )
    };
    let failed = |e: toml::ser::Error| format!("cannot be written as TOML: {e}");
    let people = toml::to_string(&moved.people).map_err(failed)?;
    let schedules = toml::to_string(&moved.schedules).map_err(failed)?;
    let policy = PolicyFile { route: &moved.routes, policy: &moved.policies };
    let policy = toml::to_string(&policy).map_err(failed)?;
    let mut files = vec![
        (PEOPLE, head("Who there is.") + &people),
        (SCHEDULES, head("Who is on call when.") + &schedules),
        (POLICY, head("Which incident goes to whom, and until when.") + &policy),
    ];
    if !moved.silences.is_empty() {
        let silences = toml::to_string(&moved.silences).map_err(failed)?;
        files.push((SILENCES, head("When nobody is paged although something fires.") + &silences));
    }
    files.push((NOTES, notes(from, moved)));
    Ok(files)
}

fn notes(from: Pager, moved: &Moved) -> String {
    let mut text = format!("# Moved from {}\n\n## For tocsin.toml\n\n```toml\n", called(from));
    text.push_str(&receivers(&moved.receivers));
    text.push_str("```\n\n## Left for you\n\n");
    for Left { file, what, why, instead } in &moved.left {
        let [file, what, why] = [file, what, why].map(|text| visible(text));
        text += &format!("- **{file}: {what}** {why}. {}.\n", sentence(to_do(instead)));
    }
    if moved.left.is_empty() {
        text.push_str("Nothing.\n");
    }
    text
}

/// The tables of the receivers.
fn receivers(receivers: &BTreeMap<String, Receiver>) -> String {
    let mut tables = Vec::new();
    for (name, Receiver(lines)) in receivers {
        let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let name = if bare { name.clone() } else { format!("{name:?}") };
        tables.push(format!("[receiver.{name}]\n{}\n", lines.join("\n")));
    }
    tables.join("\n")
}

fn to_do(instead: &str) -> &str {
    if instead == "nothing" { "nothing to do" } else { instead }
}

fn sentence(text: &str) -> String {
    let mut letters = visible(text);
    if let Some(first) = letters.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    letters
}

/// The files under a folder.
fn within(dir: &Path, files: &[(&str, String)]) -> Vec<(PathBuf, String)> {
    files.iter().map(|(name, text)| (dir.join(name), text.clone())).collect()
}

fn told(moved: &Moved, out: &Path, files: &[(&str, String)]) -> Value {
    let written: Vec<PathBuf> = files.iter().map(|(name, _)| out.join(name)).collect();
    let tables: BTreeMap<_, _> = moved
        .receivers
        .iter()
        .map(|(name, receiver)| (name, receivers(&BTreeMap::from([(name.clone(), receiver.clone())]))))
        .collect();
    serde_json::json!({
        "written": written,
        "people": moved.people.person.len(),
        "teams": moved.people.team.len(),
        "schedules": moved.schedules.schedule.len(),
        "policies": moved.policies.len(),
        "routes": moved.routes.len(),
        "maintenance": moved.silences.maintenance.len(),
        "inhibit": moved.silences.inhibit.len(),
        "receivers": tables,
        "left": moved.left,
    })
}

fn say(args: &ImportArgs, moved: &Moved, files: &[(&str, String)]) -> Vec<(Look, String)> {
    let SilencesConfig { maintenance, inhibit } = &moved.silences;
    let silences = if moved.silences.is_empty() {
        String::new()
    } else {
        format!(", windows of maintenance: {}, rules of inhibition: {}", maintenance.len(), inhibit.len())
    };
    let mut lines = vec![(
        Look::Green,
        format!(
            "moved from {}: people: {}, teams: {}, schedules: {}, policies: {}, routes: {}{silences}",
            called(args.from),
            moved.people.person.len(),
            moved.people.team.len(),
            moved.schedules.schedule.len(),
            moved.policies.len(),
            moved.routes.len()
        ),
    )];
    let names: Vec<_> = files.iter().map(|(name, _)| args.out.join(name).display().to_string()).collect();
    lines.push((Look::Plain, format!("written: {}", names.join(", "))));
    if !moved.receivers.is_empty() {
        lines.push((Look::Plain, String::new()));
        lines.push((Look::Bold, "add to tocsin.toml, beside `response`, what is not there yet:".into()));
        let indented = |line: &str| if line.is_empty() { String::new() } else { format!("  {line}") };
        lines.extend(receivers(&moved.receivers).lines().map(|line| (Look::Plain, indented(line))));
    }
    lines.push((Look::Plain, String::new()));
    let left = match moved.left.len() {
        0 => "nothing is left for you".to_owned(),
        n => format!("left for you: {n} (in {NOTES} too)"),
    };
    lines.push((Look::Bold, left));
    for Left { file, what, why, instead } in &moved.left {
        lines.push((Look::Yellow, format!("  {}: {}", visible(file), visible(what))));
        lines.push((Look::Plain, format!("    {}", visible(why))));
        lines.push((Look::Dim, format!("    → {}", visible(to_do(instead)))));
    }
    let next = format!(
        "next: `response = \"{}\"` in tocsin.toml, then `tocsin check` and `tocsin oncall --days 14`; what is different here for all: docs/moving-in.md",
        args.out.display()
    );
    lines.extend([(Look::Plain, String::new()), (Look::Plain, next)]);
    lines
}

/// The names of the receivers that a bundle may call.
fn receiver_names(moved: &Moved) -> BTreeSet<String> {
    moved.receivers.keys().cloned().collect()
}

#[cfg(test)]
mod tests;
