//! What is wrong with a config: where, what stands there, what would be right.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::de::{DeTable, DeValue};

/// One fault, with the line it is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub file: PathBuf,
    /// From 1; 0 when the file could not be read.
    pub line: usize,
    pub column: usize,
    /// The line as written. Empty where it may hold a secret.
    pub text: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Fault {
    /// A fault at a place in the text.
    #[must_use]
    pub fn at(file: &Path, source: &str, span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        let start = span.map_or(0, |s| s.start.min(source.len()));
        let before = source.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        let text = source.lines().nth(line - 1).unwrap_or_default();
        let text = if looks_secret(text) { String::new() } else { text.trim_end().to_owned() };
        Self { file: file.to_owned(), line, column, text, message: message.into() }
    }

    /// A fault of the table `[a.b]` or the key `a.b`, found by its name in the text.
    #[must_use]
    pub fn of_key(file: &Path, source: &str, path: &[Part<'_>], message: impl Into<String>) -> Self {
        Self::at(file, source, locate(source, path), message)
    }

    /// A file that cannot be read at all.
    #[must_use]
    pub fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        let message = format!("cannot be read: {error}; `tocsin init` writes one to start from");
        Self { file: file.to_owned(), line: 0, column: 0, text: String::new(), message }
    }
}

/// Keys that could hold a secret are never echoed, even where they are not allowed.
fn looks_secret(line: &str) -> bool {
    let key = line.to_lowercase();
    let named = ["secret_env", "secret_file", "token_sha256", "key_env", "key_file"];
    ["secret", "password", "token", "key", "passwd", "credential"].iter().any(|w| key.contains(w))
        && !named.iter().any(|w| key.contains(w))
}

/// One part of the way to a setting: a key of a table, or a place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Key(&'a str),
    Index(usize),
}

/// The span of the deepest part of `path` that is there.
fn locate(source: &str, path: &[Part<'_>]) -> Option<Range<usize>> {
    let document = DeTable::parse(source).ok()?;
    let (first, rest) = path.split_first()?;
    let Part::Key(key) = first else { return None };
    let (mut found, mut here) = child(document.get_ref(), key)?;
    for part in rest {
        let next = match (part, here) {
            (Part::Key(key), DeValue::Table(table)) => child(table, key),
            (Part::Index(index), DeValue::Array(list)) => list.get(*index).map(|v| (v.span(), v.get_ref())),
            _ => None,
        };
        let Some(next) = next else { break };
        (found, here) = next;
    }
    Some(found)
}

fn child<'a>(table: &'a DeTable<'a>, key: &str) -> Option<(Range<usize>, &'a DeValue<'a>)> {
    table.iter().find(|(k, _)| k.get_ref() == key).map(|(k, v)| (k.span(), v.get_ref()))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{}: {}", self.file.display(), self.message);
        }
        writeln!(f, "{}:{}:{}: {}", self.file.display(), self.line, self.column, self.message)?;
        if !self.text.is_empty() {
            let number = self.line.to_string();
            let margin = " ".repeat(number.len());
            writeln!(f, "{margin} |")?;
            writeln!(f, "{number} | {}", self.text)?;
            write!(f, "{margin} | {}^", " ".repeat(self.column.saturating_sub(1)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where() {
        let source = "a = 1\n\n[b]\nc = 2\n";
        let fault =
            Fault::of_key(Path::new("x.toml"), source, &[Part::Key("b"), Part::Key("c")], "c must be 3");
        assert_eq!((fault.line, fault.column), (4, 1));
        assert_eq!(fault.to_string(), "x.toml:4:1: c must be 3\n  |\n4 | c = 2\n  | ^");
    }

    #[test]
    fn never_echoes_a_secret() {
        let source = "password = \"hunter2\"\n";
        let fault = Fault::of_key(Path::new("x.toml"), source, &[Part::Key("password")], "unknown key");
        assert!(!fault.to_string().contains("hunter2"));
    }
}
