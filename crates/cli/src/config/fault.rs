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
    /// The setting at that place, as `table.key`, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// It would be right for a process that starts anew.
    #[serde(skip)]
    pub needs_restart: bool,
}

/// Longest key that is named to others, in characters.
const KEY_CHARS_MAX: usize = 100;

impl Fault {
    /// A fault at a place in the text.
    #[must_use]
    pub fn at(file: &Path, source: &str, span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        let key = span.clone().and_then(|span| key_at(source, span));
        let start = span.map_or(0, |s| s.start.min(source.len()));
        let before = source.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        let text = source.lines().nth(line - 1).unwrap_or_default();
        let text = if looks_secret(text) { String::new() } else { text.trim_end().to_owned() };
        Self { file: file.to_owned(), line, column, text, message: message.into(), key, needs_restart: false }
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
        Self::of_file(file, message)
    }

    /// A fault of a file or folder as a whole.
    #[must_use]
    pub fn of_file(file: &Path, message: String) -> Self {
        let (file, text) = (file.to_owned(), String::new());
        Self { file, line: 0, column: 0, text, message, key: None, needs_restart: false }
    }

    /// Where it is, and of how many it is the first: for those who may not see what stands there.
    #[must_use]
    pub fn place(&self, faults: usize) -> String {
        let mut place = self.file.display().to_string();
        if self.line == 0 {
            place.push_str(" cannot be read");
        } else {
            place.push_str(&format!(":{}", self.line));
        }
        if let Some(key) = &self.key {
            let clean = |c: &char| !c.is_control();
            place.extend(": ".chars().chain(key.chars().filter(clean).take(KEY_CHARS_MAX)));
        }
        if faults > 1 {
            place.push_str(&format!(" (and {} more)", faults - 1));
        }
        place
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

/// The setting whose key or value holds this span, the deepest one.
fn key_at(source: &str, span: Range<usize>) -> Option<String> {
    let document = DeTable::parse(source).ok()?;
    within(document.get_ref(), &span)
}

fn within(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let holds = |of: Range<usize>| of.start <= span.start && span.end <= of.end;
    table.iter().find_map(|(key, value)| {
        // A table is in several places; what is below it need not lie within it.
        let below = match value.get_ref() {
            DeValue::Table(table) => within(table, span),
            DeValue::Array(list) => list.iter().find_map(|item| {
                let DeValue::Table(table) = item.get_ref() else { return None };
                within(table, span)
            }),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => None,
        };
        let key_text = key.get_ref();
        below
            .map(|below| format!("{key_text}.{below}"))
            .or_else(|| (holds(key.span()) || holds(value.span())).then(|| key_text.to_string()))
    })
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
    fn names_the_setting_and_never_what_stands_there() {
        let source = "a = 1\n[b.c]\nd = \"xyzzy\"\n[[e]]\nf = { g = 2 }\n";
        for (wrong, want) in [
            ("\"xyzzy\"", ":3: b.c.d"),
            ("d", ":3: b.c.d"),
            ("2", ":5: e.f.g"),
            ("1\n", ":1"),
            ("c", ":2: b.c"),
        ] {
            let start = source.find(wrong).expect("it is there");
            let fault = Fault::at(Path::new("x"), source, Some(start..start + wrong.len()), "xyzzy is wrong");
            assert_eq!(fault.place(1), format!("x{want}"), "{wrong}");
        }
        let cut = &source[..source.len() - 4];
        let fault = Fault::at(Path::new("x"), cut, Some(cut.len()..cut.len()), "it ends");
        assert_eq!(fault.place(3), "x:5 (and 2 more)", "what is no TOML has no keys");
    }

    #[test]
    fn never_echoes_a_secret() {
        let source = "password = \"hunter2\"\n";
        let fault = Fault::of_key(Path::new("x.toml"), source, &[Part::Key("password")], "unknown key");
        assert!(!fault.to_string().contains("hunter2"));
    }
}
