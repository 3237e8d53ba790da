//! Text into HTML that holds only what was meant: what the program says is written as it is, everything else escaped.

use std::fmt::Write as _;

/// A page as it grows. Only text that stands in the program can be written unescaped: it is `'static`.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup of ours.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text of anybody, fit for elements and for attributes in double quotes. What is not seen (control characters, those
    /// that turn the direction of text) is replaced, so that no name hides what follows.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                c if c.is_control() || is_hidden(c) => self.0.push(char::REPLACEMENT_CHARACTER),
                c => self.0.push(c),
            }
        }
        self
    }

    pub(super) fn shown(&mut self, value: impl std::fmt::Display) -> &mut Self {
        let mut text = String::new();
        write!(text, "{value}").expect("writing to a string");
        self.text(&text)
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

const fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_becomes_markup(text in any::<String>()) {
            let mut html = Html::default();
            html.text(&text);
            let got = html.into_string();
            prop_assert!(!got.contains(['<', '>', '"', '\'']));
            let unseen = |c: char| (c.is_control() && c != '\n' && c != '\t') || is_hidden(c);
            prop_assert!(!got.contains(unseen));
            // Each & begins one of the entities written above.
            for rest in got.split('&').skip(1) {
                prop_assert!(["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|e| rest.starts_with(e)), "{}", got);
            }
        }
    }
}
