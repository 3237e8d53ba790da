//! Text as mail carries it: quoted-printable in bodies, encoded words in headers, nothing but ASCII and short lines.
//!
//! Sources: RFC 2045, 6.7 (quoted-printable); RFC 2047 (encoded words); RFC 5322, 2.2.3 (folding).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest line of a body, without its line break.
const LINE_MAX: usize = 76;
/// Bytes of text in one encoded word: `=?UTF-8?B?` and `?=` leave 63 of 75 characters, which are 45 bytes in base64.
const WORD_BYTES_MAX: usize = 45;

/// `text`, whose lines end in `\n`, with lines of at most 76 characters that end in CRLF. No line is a lone dot, and no
/// text can make a boundary that holds `=_`.
pub(super) fn quoted_printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.lines() {
        let mut width = 0;
        let bytes = line.as_bytes();
        for (i, &byte) in bytes.iter().enumerate() {
            let last = i + 1 == bytes.len();
            let as_it_is = match byte {
                b'=' => false,
                // White space at the end of a line is lost on the way.
                b' ' | b'\t' => !last,
                // A dot alone would end the message, `From ` is changed by old servers: safe at the start of any line.
                b'.' | b'F' => width > 0,
                other => other.is_ascii_graphic(),
            };
            let needs = if as_it_is { 1 } else { 3 };
            // One place is kept for the `=` of a soft line break.
            if width + needs > LINE_MAX - usize::from(!last) {
                out.push_str("=\r\n");
                width = 0;
            }
            // At the start of what follows a soft break the same holds as at the start of a line.
            let as_it_is = as_it_is && !(width == 0 && matches!(byte, b'.' | b'F'));
            if as_it_is {
                out.push(char::from(byte));
                width += 1;
            } else {
                write!(out, "={byte:02X}").expect("writing to a string");
                width += 3;
            }
        }
        out.push_str("\r\n");
    }
    out
}

/// `text` as the value of a header that begins with `used` characters (`Subject: `): folded between words where it is
/// ASCII, else as encoded words, one a line. Line breaks and other control characters never come through as such.
pub(super) fn header_text(text: &str, used: usize) -> String {
    let plain = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && !text.contains("=?");
    let words: Vec<&str> = text.split(' ').collect();
    if plain && words.iter().all(|w| (1..LINE_MAX - used).contains(&w.len())) {
        return folded(&words, used);
    }
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.floor_char_boundary(WORD_BYTES_MAX);
        // The first line has the name of the header too.
        if words.is_empty() {
            end = rest.floor_char_boundary(WORD_BYTES_MAX.saturating_sub(used).max(4));
        }
        let (part, tail) = rest.split_at(end);
        words.push(format!("=?UTF-8?B?{}?=", STANDARD.encode(part)));
        rest = tail;
    }
    words.join("\r\n ")
}

fn folded(words: &[&str], used: usize) -> String {
    let (mut out, mut width) = (String::new(), used);
    for (i, word) in words.iter().enumerate() {
        if i > 0 {
            if width + 1 + word.len() > LINE_MAX {
                out.push_str("\r\n");
                width = 0;
            }
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += word.len();
    }
    out
}

/// For text between tags.
pub(super) fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader makes of quoted-printable.
    pub(in crate::smtp) fn decode(text: &str) -> String {
        let joined = text.replace("=\r\n", "");
        let (mut out, mut bytes) = (Vec::new(), joined.bytes());
        while let Some(byte) = bytes.next() {
            if byte == b'=' {
                let hex = [bytes.next().expect("two digits"), bytes.next().expect("two digits")];
                let hex = std::str::from_utf8(&hex).expect("ASCII");
                out.push(u8::from_str_radix(hex, 16).expect("hexadecimal"));
            } else {
                out.push(byte);
            }
        }
        String::from_utf8(out).expect("UTF-8").replace("\r\n", "\n")
    }

    /// What a reader makes of a header's value.
    pub(in crate::smtp) fn decode_header(value: &str) -> String {
        if !value.contains("=?") {
            return value.replace("\r\n", "");
        }
        let word = |word: &str| {
            let coded = word.strip_prefix("=?UTF-8?B?").and_then(|w| w.strip_suffix("?=")).expect("a word");
            String::from_utf8(STANDARD.decode(coded).expect("base64")).expect("whole characters")
        };
        value.split("\r\n ").map(word).collect()
    }

    #[test]
    fn known_texts() {
        for (text, want) in [
            ("plain\n", "plain\r\n"),
            ("Größe = 1", "Gr=C3=B6=C3=9Fe =3D 1\r\n"),
            (".\n..\n", "=2E\r\n=2E.\r\n"),
            ("From here", "=46rom here\r\n"),
            ("tail \nx", "tail=20\r\nx\r\n"),
            ("\n\n", "\r\n\r\n"),
            ("--=_b", "--=3D_b\r\n"),
        ] {
            assert_eq!(quoted_printable(text), want, "{text:?}");
        }
        assert_eq!(header_text("SEV2 fraud", 9), "SEV2 fraud");
        assert_eq!(header_text("SEV2 fraud", 70), "SEV2\r\n fraud");
        assert_eq!(header_text("Größe", 9), "=?UTF-8?B?R3LDtsOfZQ==?=");
        assert_eq!(decode_header(&header_text("=?UTF-8?B?eA==?=", 9)), "=?UTF-8?B?eA==?=");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_in_short_lines(
            text in "\\PC{0,3}[ .=F\\t_-]{0,3}\\PC{0,200}",
            unit in "\\PC", at in 70usize..80,
        ) {
            for text in [text, unit.repeat(at), format!("{}{unit}{unit}", "x".repeat(at))] {
                let coded = quoted_printable(&text);
                prop_assert!(coded.is_ascii() && !coded.contains("=_"));
                for line in coded.split_terminator("\r\n") {
                    prop_assert!(line.len() <= LINE_MAX, "{} in {line:?}", line.len());
                    prop_assert!(!line.starts_with('.') && !line.ends_with(' ') && !line.contains('\n'));
                }
                let want = if text.is_empty() { String::new() } else { format!("{text}\n") };
                prop_assert_eq!(decode(&coded), want);
            }
        }

        #[test]
        fn any_header_comes_back_and_none_adds_another(text in any::<String>(), unit in "\\PC", n in 0usize..120, used in 0usize..30) {
            for text in [text, unit.repeat(n), "x".repeat(n), "ab cde".repeat(n)] {
                let coded = header_text(&text, used);
                prop_assert!(coded.is_ascii());
                for (i, line) in coded.split("\r\n ").enumerate() {
                    prop_assert!(line.len() + if i == 0 { used } else { 1 } <= LINE_MAX + 2, "{line:?}");
                    prop_assert!(!line.contains(['\r', '\n']), "{line:?}");
                }
                let got = decode_header(&coded);
                prop_assert_eq!(got, text);
            }
        }
    }
}
