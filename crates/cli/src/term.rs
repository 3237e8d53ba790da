//! Words on a terminal: colour only where a person is looking, nothing that breaks a pipe.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

/// Standard output, written to so that a closed pipe ends quietly.
#[derive(Debug)]
pub(crate) struct Out {
    colour: bool,
    pub json: bool,
}

/// How a word looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Plain,
    Bold,
    Dim,
    Red,
    Yellow,
    Green,
    Cyan,
}

impl Look {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Red => "\x1b[1;31m",
            Self::Yellow => "\x1b[33m",
            Self::Green => "\x1b[32m",
            Self::Cyan => "\x1b[36m",
        }
    }
}

impl Out {
    #[must_use]
    pub(crate) fn new(json: bool) -> Self {
        let plain = crate::secrets::env("NO_COLOR").is_some();
        Self { colour: io::stdout().is_terminal() && !plain && !json, json }
    }

    /// The text in a look, if this terminal shows it.
    #[must_use]
    pub(crate) fn paint(&self, look: Look, text: impl Display) -> String {
        if self.colour && look != Look::Plain {
            format!("{}{text}\x1b[0m", look.code())
        } else {
            text.to_string()
        }
    }

    /// One line. A reader that has gone away ends the program as it would any other filter.
    pub(crate) fn line(&self, text: impl Display) {
        let mut out = io::stdout().lock();
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }

    /// One JSON object on a line.
    pub(crate) fn json(&self, value: &impl serde::Serialize) {
        self.line(serde_json::to_string(value).unwrap_or_else(|e| format!("{{\"error\":\"{e}\"}}")));
    }
}

/// One line of warning on standard error, beside what a command answers.
pub(crate) fn warn(text: impl Display) {
    let mut err = io::stderr().lock();
    drop(writeln!(err, "warning: {text}"));
}

/// Rewrites the status line on standard error; an empty text clears it.
pub(crate) fn status(text: &str) {
    let mut err = io::stderr().lock();
    // A terminal that has gone away has nobody to tell.
    drop(write!(err, "\r\x1b[2K{text}").and_then(|()| err.flush()));
}

/// Makes control characters and direction marks of foreign text visible, so that a title cannot rewrite the screen.
#[must_use]
pub(crate) fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// `1 h 20 min`, `35 s`: the two largest units.
#[must_use]
pub(crate) fn span(ms: i64) -> String {
    let s = ms / 1000;
    match s {
        i64::MIN..=-1 => format!("-{}", span(-ms)),
        0..=119 => format!("{s} s"),
        120..=7199 => match s % 60 {
            0 => format!("{} min", s / 60),
            rest => format!("{} min {rest} s", s / 60),
        },
        7200..=172_799 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

/// `12,345`.
#[must_use]
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_for_people() {
        for (ms, want) in [
            (0, "0 s"),
            (119_999, "119 s"),
            (180_000, "3 min"),
            (185_000, "3 min 5 s"),
            (7_260_000, "2 h 1 min"),
            (200_000_000, "2 d 7 h"),
            (-5_000, "-5 s"),
        ] {
            assert_eq!(span(ms), want);
        }
    }

    #[test]
    fn numbers_for_people() {
        for (n, want) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(n), want);
        }
    }

    #[test]
    fn foreign_text_cannot_rewrite_the_screen() {
        assert_eq!(visible("a\x1b[2Jb\u{202e}c"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
