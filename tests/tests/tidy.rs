//! The shape of the house: which crate may know which, and how large a file may grow.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every arrow between our crates. An arrow that is not here is a design decision, not an import.
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("stats", &[]),
    ("detect", &["stats", "wire"]),
    ("escalate", &["wire"]),
    ("plot", &["stats", "wire"]),
    ("receivers", &["wire"]),
    ("http-api", &["wire"]),
    ("fleet", &["wire"]),
    ("runtime", &["detect", "escalate", "receivers", "wire"]),
    ("tocsin", &["detect", "escalate", "fleet", "http-api", "plot", "receivers", "runtime", "stats", "wire"]),
];

/// Most lines of code (no comments, no blanks) of a source file.
const LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of the workspace").to_owned()
}

fn manifest(dir: &Path) -> toml::Table {
    let path = dir.join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Alias by folder: `crates/http` is called `http-api`, `crates/cli` is `tocsin`, the rest as their folders.
fn alias(folder: &str) -> &str {
    match folder {
        "http" => "http-api",
        "cli" => "tocsin",
        other => other,
    }
}

#[test]
fn arrows_point_one_way() {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut seen = 0;
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let dir = entry.unwrap().path();
        let folder = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let name = alias(&folder);
        let may = allowed.get(name).unwrap_or_else(|| panic!("crates/{folder} has no place in ARROWS"));
        let table = manifest(&dir);
        let ours =
            table["dependencies"].as_table().unwrap().keys().filter(|d| allowed.contains_key(d.as_str()));
        for dependency in ours {
            assert!(may.contains(&dependency.as_str()), "crates/{folder} must not depend on {dependency}");
        }
        seen += 1;
    }
    assert_eq!(seen, ARROWS.len(), "ARROWS names a crate that is gone");
}

#[test]
fn rdkafka_is_used_in_the_runtime_alone() {
    for (path, text) in sources() {
        if !path.starts_with(root().join("crates/runtime/src/log")) {
            let used =
                text.lines().any(|l| l.trim_start().starts_with("use rdkafka") || l.contains(" rdkafka::"));
            assert!(
                !used || path.starts_with(root().join("benches")),
                "{} speaks to Kafka itself",
                path.display()
            );
        }
    }
}

#[test]
fn cores_do_no_io() {
    let banned = [
        "std::fs",
        "std::net",
        "std::thread",
        "std::time::Instant",
        "SystemTime",
        "tokio",
        "async fn",
        "HashMap",
    ];
    for core in ["stats", "detect", "escalate", "plot"] {
        for (path, text) in sources() {
            if !path.starts_with(root().join("crates").join(core).join("src")) {
                continue;
            }
            for word in banned {
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                let used = code.lines().any(|l| !l.trim_start().starts_with("//") && l.contains(word));
                assert!(!used, "{} uses {word}: a core decides, the edge acts", path.display());
            }
        }
    }
}

#[test]
fn files_are_read_in_one_sitting() {
    for (path, text) in sources() {
        let code = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//")).count();
        assert!(
            code <= LINES_MAX,
            "{} has {code} lines of code; which second idea is in it?",
            path.display()
        );
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 20, "the walk found next to nothing");
    found
}
