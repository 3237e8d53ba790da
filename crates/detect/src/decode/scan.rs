//! A cursor over one JSON text: tokens as spans, nothing copied but strings with escapes.

use super::DecodeError;
use super::number;

/// Deepest nesting that is read.
pub(crate) const DEPTH_MAX: usize = 64;

/// Spans from here on lie in the scratch text.
const SCRATCH: u32 = 1 << 31;

/// Part of the record, or of the scratch text that holds its unescaped strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Bytes of the text.
    pub(crate) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// The text that the span means. Both texts are valid UTF-8 and spans lie between characters.
    pub(crate) fn of<'a>(self, record: &'a str, scratch: &'a str) -> &'a str {
        if self.start < SCRATCH {
            &record[self.start as usize..self.end as usize]
        } else {
            &scratch[(self.start - SCRATCH) as usize..(self.end - SCRATCH) as usize]
        }
    }
}

/// A value of the record. Arrays and objects are checked and passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Token {
    #[default]
    Absent,
    Null,
    Bool(bool),
    /// As written, and as a float: infinite if too large for one.
    Number(Span, f64),
    Text(Span),
    /// Array or object.
    Nested,
}

impl Token {
    /// Null says no more than absence.
    pub(crate) fn given(self) -> Option<Self> {
        match self {
            Self::Absent | Self::Null => None,
            Self::Bool(_) | Self::Number(..) | Self::Text(_) | Self::Nested => Some(self),
        }
    }
}

/// Cursor over the bytes of one record of less than 2^31 bytes.
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    scratch: &'a mut String,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl<'a> Scanner<'a> {
    /// `scratch` receives unescaped strings behind what it holds.
    pub(crate) fn new(record: &'a str, scratch: &'a mut String) -> Self {
        Self { bytes: record.as_bytes(), at: 0, scratch }
    }

    /// The text of a span that this scanner made out of `record`.
    pub(crate) fn text<'s>(&'s self, span: Span, record: &'s str) -> &'s str {
        span.of(record, self.scratch)
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(crate) fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Passes over `byte`, which must come next.
    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Result<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.malformed(what))
        }
    }

    /// Nothing but space may follow.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.skip_space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.malformed("text after the record")) }
    }

    /// Passes over the member name `name` and its colon, if that is what stands here. `name` needs no escapes.
    pub(crate) fn skip_name(&mut self, name: &str) -> Result<bool> {
        let (rest, length) = (&self.bytes[self.at..], name.len());
        let here = rest.len() > length + 1
            && rest[0] == b'"'
            && rest[length + 1] == b'"'
            && rest[1..=length] == *name.as_bytes();
        if here {
            self.at += length + 2;
            self.colon()?;
        }
        Ok(here)
    }

    fn colon(&mut self) -> Result<()> {
        self.skip_space();
        self.expect(b':', "no colon after a name")?;
        self.skip_space();
        Ok(())
    }

    /// Reads a member name and its colon, up to the value. The cursor is at the name.
    pub(crate) fn name(&mut self) -> Result<Span> {
        let name = self.string()?;
        self.colon()?;
        Ok(name)
    }

    /// Passes over `{`. False if the object is empty, and then it is done.
    pub(crate) fn open(&mut self) -> Result<bool> {
        self.expect(b'{', "no object")?;
        self.skip_space();
        let empty = self.peek() == Some(b'}');
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// After a member: true if another follows, at which the cursor then is.
    pub(crate) fn another(&mut self) -> Result<bool> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            Some(b'}') => {
                self.at += 1;
                Ok(false)
            }
            Some(_) | None => Err(self.malformed("no comma or end of object")),
        }
    }

    /// The value at the cursor, `depth` levels down.
    pub(crate) fn token(&mut self, depth: usize) -> Result<Token> {
        match self.peek() {
            Some(b'"') => Ok(Token::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => {
                let start = self.at;
                let (value, length) =
                    number::leading(&self.bytes[start..]).ok_or_else(|| self.malformed("no number"))?;
                self.at += length;
                Ok(Token::Number(self.span(start, self.at), value))
            }
            Some(b't') => self.literal(b"true", Token::Bool(true)),
            Some(b'f') => self.literal(b"false", Token::Bool(false)),
            Some(b'n') => self.literal(b"null", Token::Null),
            Some(b'{' | b'[') => {
                self.skip_nested(depth)?;
                Ok(Token::Nested)
            }
            Some(_) => Err(self.malformed("no value")),
            None => Err(self.malformed("cut short")),
        }
    }

    fn literal(&mut self, word: &[u8], token: Token) -> Result<Token> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(token)
        } else {
            Err(self.malformed("no value"))
        }
    }

    fn skip_nested(&mut self, depth: usize) -> Result<()> {
        if depth >= DEPTH_MAX {
            return Err(self.malformed("nested too deep"));
        }
        let mark = self.scratch.len();
        if self.peek() == Some(b'{') {
            let mut more = self.open()?;
            while more {
                self.name()?;
                self.token(depth + 1)?;
                more = self.another()?;
            }
        } else {
            self.skip_array(depth)?;
        }
        // Strings within are of no use.
        self.scratch.truncate(mark);
        Ok(())
    }

    fn skip_array(&mut self, depth: usize) -> Result<()> {
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.skip_space();
            self.token(depth + 1)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(_) | None => return Err(self.malformed("no comma or end of array")),
            }
        }
    }

    /// The string at the cursor, without its quotes.
    fn string(&mut self) -> Result<Span> {
        self.expect(b'"', "no string")?;
        let start = self.at;
        self.at += plain_length(&self.bytes[start..]);
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                Ok(self.span(start, self.at - 1))
            }
            Some(b'\\') => self.escaped(start),
            Some(_) => Err(self.malformed("control character in a string")),
            None => Err(self.malformed("cut short")),
        }
    }

    /// The rest of a string whose first escape is at the cursor; it goes to the scratch text.
    #[cold]
    fn escaped(&mut self, start: usize) -> Result<Span> {
        let begins = self.scratch.len();
        self.keep(start, self.at);
        loop {
            let from = self.at;
            self.at += plain_length(&self.bytes[from..]);
            self.keep(from, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    let offset = SCRATCH as usize;
                    return Ok(self.span(begins + offset, self.scratch.len() + offset));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let character = self.escape()?;
                    self.scratch.push(character);
                }
                Some(_) => return Err(self.malformed("control character in a string")),
                None => return Err(self.malformed("cut short")),
            }
        }
    }

    fn keep(&mut self, from: usize, to: usize) {
        let text =
            std::str::from_utf8(&self.bytes[from..to]).expect("cut at ASCII in a text that was checked");
        self.scratch.push_str(text);
    }

    /// The character of the escape whose backslash was passed.
    fn escape(&mut self) -> Result<char> {
        let byte = self.peek().ok_or_else(|| self.malformed("cut short"))?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(self.malformed("unknown escape")),
        })
    }

    /// The character of a `\u` escape, or of the two that make a pair.
    fn unicode(&mut self) -> Result<char> {
        let first = self.hex()?;
        let code = match first {
            0xD800..=0xDBFF => {
                if !self.bytes[self.at..].starts_with(b"\\u") {
                    return Err(self.malformed("half of a surrogate pair"));
                }
                self.at += 2;
                let second = self.hex()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(self.malformed("half of a surrogate pair"));
                }
                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| self.malformed("half of a surrogate pair"))
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or_else(|| self.malformed("cut short"))?;
        let code = digits.iter().try_fold(0, |n, b| Some(n << 4 | char::from(*b).to_digit(16)?));
        self.at += 4;
        code.ok_or_else(|| self.malformed("unknown escape"))
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let narrow = |at: usize| u32::try_from(at).expect("records and scratch are below 2^31 bytes");
        Span { start: narrow(start), end: narrow(end) }
    }

    #[cold]
    pub(crate) fn malformed(&self, what: &'static str) -> DecodeError {
        DecodeError::Malformed { what, at: self.at }
    }
}

/// Bytes before the first quote, backslash or control character; eight at a time.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut length = 0;
    for eight in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(eight.try_into().expect("eight bytes"));
        // The lowest high bit that is set marks the first byte that is zero, or below 0x20.
        let zero = |w: u64| w.wrapping_sub(ONES) & !w;
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let stops =
            (zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | control)
                & HIGHS;
        if stops != 0 {
            return length + stops.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let rest = bytes[length..].iter().take_while(|&&b| b != b'"' && b != b'\\' && b >= 0x20).count();
    length + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn plain_length_is_that_of_the_plain_loop(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let want = bytes.iter().take_while(|&&b| b != b'"' && b != b'\\' && b >= 0x20).count();
            prop_assert_eq!(plain_length(&bytes), want);
        }

        #[test]
        fn strings_agree_with_serde_json(text in any::<String>()) {
            let json = serde_json::to_string(&text).expect("text");
            let mut scratch = String::new();
            let mut scanner = Scanner::new(&json, &mut scratch);
            let Ok(Token::Text(span)) = scanner.token(0) else { panic!("a string") };
            scanner.end().expect("nothing follows");
            prop_assert_eq!(span.of(&json, &scratch), text);
        }

        #[test]
        fn agrees_with_serde_json_on_what_is_json(
            text in "[\\[\\]{}:, \"\\\\ntrue0-9.eE-]{0,24}|\"(\\\\u[dD][89abcdefABCDEF][0-9a-f]{2}|\\\\u[0-9a-f]{4}|[a-z]){0,3}\"",
        ) {
            let mut scratch = String::new();
            let mut scanner = Scanner::new(&text, &mut scratch);
            scanner.skip_space();
            let ours = scanner.token(0).and_then(|_| scanner.end());
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            let too_large = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
            prop_assert!(ours.is_ok() == theirs.is_ok() || too_large, "{text}: {ours:?} {theirs:?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for (levels, fine) in [(DEPTH_MAX, true), (DEPTH_MAX + 1, false), (100_000, false)] {
            let text = "[".repeat(levels) + &"]".repeat(levels);
            let mut scratch = String::new();
            assert_eq!(Scanner::new(&text, &mut scratch).token(0).is_ok(), fine, "{levels} levels");
        }
    }
}
