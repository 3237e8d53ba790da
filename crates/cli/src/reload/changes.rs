//! What of a changed config can be taken up while the process runs.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use crate::config::{Checked, Fault, Part};

/// Tables that are taken up.
const LIVE: [&str; 7] = ["judge", "budget", "models", "response", "route", "policy", "escalate"];
/// Those of them that say who is paged.
const PAGING: [&str; 4] = ["response", "route", "policy", "escalate"];
const RECEIVER: &str = "receiver";

/// What must stay as it is for anything of the file to be taken up: incidents and panes are told apart by it.
pub(super) fn fixed(file: &Path, source: &str, running: &Checked, new: &Checked) -> Vec<Fault> {
    let of = |checked: &Checked| {
        let (config, p) = (&checked.config, checked.config.log.partitions);
        let pane_s = config.telemetry.pane_ms() / 1000;
        [
            (&["namespace"][..], format!("{:?}", config.namespace)),
            (&["telemetry", "pane_s"], pane_s.to_string()),
            (&["log", "partitions", "telemetry"], p.telemetry.to_string()),
            (&["log", "partitions", "collect"], p.collect.to_string()),
            (&["log", "partitions", "judge"], p.judge.to_string()),
            (&["log", "partitions", "escalate"], p.escalate.to_string()),
        ]
    };
    let changed = of(running).into_iter().zip(of(new)).filter(|((_, runs), (_, said))| runs != said);
    changed
        .map(|((path, runs), (_, said))| {
            let key = path.join(".");
            let why = format!(
                "{key} = {said}, but this process runs with {runs}: restart to change {key}, or put it back"
            );
            let path: Vec<Part<'_>> = path.iter().map(|key| Part::Key(key)).collect();
            Fault { needs_restart: true, ..Fault::of_key(file, source, &path, why) }
        })
        .collect()
}

/// Keys of settings that differ from those the process started with and wait for the next start, in order. Both texts
/// are valid.
pub(super) fn needs_restart(started_with: &str, source: &str) -> Vec<String> {
    let (before, now) = (settings(started_with), settings(source));
    let differs = |key: &&String| before.get(*key) != now.get(*key);
    let mut changed: Vec<String> = before.keys().filter(differs).cloned().collect();
    changed.extend(now.keys().filter(|key| !before.contains_key(*key)).cloned());
    changed.sort();
    let pages_wait = of_receivers(&changed);
    changed.retain(|key| {
        let table = table_of(key);
        !LIVE.contains(&table) || (pages_wait && PAGING.contains(&table))
    });
    changed
}

/// Whether a receiver is among them.
pub(super) fn of_receivers(changed: &[String]) -> bool {
    changed.iter().any(|key| table_of(key) == RECEIVER)
}

fn table_of(key: &str) -> &str {
    key.split('.').next().unwrap_or_default()
}

/// Every setting by its key.
fn settings(source: &str) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    flatten("", source.parse::<Table>().unwrap_or_default(), &mut out);
    out
}

fn flatten(under: &str, table: Table, out: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let key = if under.is_empty() { key } else { format!("{under}.{key}") };
        if let Value::Table(table) = value {
            flatten(&key, table, out);
        } else {
            out.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{TEMPLATE, parse};

    fn checked(text: &str) -> Checked {
        parse(Path::new("tocsin.toml"), text).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    /// The config of `tocsin init` with this put over it.
    fn with(change: impl FnOnce(&mut Table)) -> String {
        let mut table: Table = TEMPLATE.parse().expect("TOML");
        change(&mut table);
        toml::to_string(&table).expect("tables are TOML")
    }

    fn set(table: &mut Table, path: &[&str], value: impl Into<Value>) {
        let (last, path) = path.split_last().expect("a key");
        let mut at = table;
        for key in path {
            let next = at.entry(*key).or_insert_with(|| Table::new().into());
            at = next.as_table_mut().expect("a table");
        }
        at.insert((*last).to_owned(), value.into());
    }

    #[test]
    fn thresholds_and_policies_are_live_and_the_rest_is_named() {
        let started = with(|_| ());
        for (path, want) in [
            (&["judge", "latency", "page_effect"][..], &[][..]),
            (&["models", "fraud", "owner"], &[]),
            (&["escalate", "lease_s"], &[]),
            (&["log", "commit_ms"], &["log.commit_ms"]),
            (&["telemetry", "labels", "per_pane"], &["telemetry.labels.per_pane"]),
            (&["references"], &["references"]),
            (&["receiver", "inbox", "keep"], &["receiver.inbox.keep"]),
        ] {
            let now = with(|table| set(table, path, 7));
            assert_eq!(needs_restart(&started, &now), want, "{path:?}");
        }
        let with_receiver = with(|table| {
            set(table, &["receiver", "second", "type"], "inbox");
            set(table, &["escalate", "lease_s"], 7);
            set(table, &["budget", "pages_per_week"], 7);
        });
        let want = ["escalate.lease_s", "receiver.second.type"];
        assert_eq!(needs_restart(&started, &with_receiver), want, "who is paged waits for its receivers");
    }

    #[test]
    fn what_incidents_are_told_apart_by_is_refused() {
        let running = checked(&with(|_| ()));
        let same = with(|table| set(table, &["log", "partitions", "judge"], 1));
        assert_eq!(fixed(Path::new("x.toml"), &same, &running, &checked(&same)), []);
        for (path, value) in [
            (&["namespace"][..], Value::from("other")),
            (&["telemetry", "pane_s"], 20.into()),
            (&["log", "partitions", "judge"], 3.into()),
        ] {
            let key = path.join(".");
            let text = with(|table| set(table, path, value));
            let faults = fixed(Path::new("x.toml"), &text, &running, &checked(&text));
            let [fault] = &faults[..] else { panic!("{key}: {faults:?}") };
            assert!(
                fault.needs_restart && fault.message.contains(&format!("restart to change {key}")),
                "{fault}"
            );
            assert!(fault.place(1).ends_with(&format!(": {key}")), "{}", fault.place(1));
        }
    }
}
