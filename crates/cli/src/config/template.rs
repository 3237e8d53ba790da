//! What `tocsin init` writes.

/// A commented config that works as it stands: embedded log, a local inbox, false pages at most one a week.
pub const TEMPLATE: &str = include_str!("tocsin.toml");

/// The same, with who is paged in a folder of its own.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "a test reads the template")]
pub fn with_response() -> String {
    let begins = "# ── Who is paged";
    let ends = "# ── Where pages go";
    let (before, rest) = TEMPLATE.split_once(begins).expect("a section of the template");
    let (_, after) = rest.split_once(ends).expect("a section of the template");
    let named = "# Who is paged, and what they are told: people.toml, policy.toml and templates in this folder.\n\
                 response = \"response\"\n\n# ── Where records live";
    format!("{before}{ends}{after}").replacen("# ── Where records live", named, 1)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Fault, load, parse, response};
    use super::*;

    fn say(faults: &[Fault]) -> String {
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn passes_its_own_check() {
        if let Err(faults) = parse(Path::new("tocsin.toml"), TEMPLATE) {
            panic!("{}", say(&faults));
        }
    }

    #[test]
    fn passes_with_a_folder_too() {
        let dir = std::env::temp_dir().join(format!("tocsin-init-{}", std::process::id()));
        let file = dir.join("tocsin.toml");
        std::fs::create_dir_all(&dir).expect("a folder");
        std::fs::write(&file, with_response()).expect("a file");
        for (path, text) in response::starting(&dir.join("response")) {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        match load(&file) {
            Ok(checked) => assert_eq!(checked.policy.bundle().people.person.len(), 2),
            Err(faults) => panic!("{}", say(&faults)),
        }
        std::fs::remove_dir_all(&dir).expect("its own folder");
    }
}
