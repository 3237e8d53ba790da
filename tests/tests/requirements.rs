//! `docs/requirements.md` names tests that are there, for requirements (`R…`) and for complaints (`C…`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

#[test]
fn each_requirement_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of the workspace");
    let text = fs::read_to_string(root.join("docs/requirements.md")).unwrap();
    let (mut named, mut missing) = (0, vec![]);
    for row in text.lines().filter(|line| line.starts_with("| R") || line.starts_with("| C")) {
        let requirement = row.split('|').nth(1).unwrap_or_default().trim();
        let tests: Vec<_> =
            row.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(".rs::")).collect();
        if tests.is_empty() {
            missing.push(format!("{requirement} names no test"));
        }
        for (file, function) in tests {
            named += 1;
            let source = fs::read_to_string(root.join(format!("{file}.rs"))).unwrap_or_default();
            // `*` stands for all of a file.
            let there = source.contains(&format!("fn {function}("))
                || (function == "*" && source.contains("#[test]"));
            if !there {
                missing.push(format!("{requirement}: {file}.rs has no test {function}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(named >= 90, "only {named} tests are named");
}
