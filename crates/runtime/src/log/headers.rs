//! A record's headers, wherever they lie.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::message::{BorrowedHeaders, Headers as _};

use super::embedded::EncodedHeaders;

/// Name and value of one header to write.
pub type Header = (Cow<'static, str>, Vec<u8>);

/// The headers of a record that was read, in the order written.
#[derive(Clone, Copy, Default)]
pub struct Headers<'a>(Source<'a>);

#[derive(Clone, Copy, Default)]
enum Source<'a> {
    #[default]
    None,
    Slice(&'a [Header]),
    Encoded(EncodedHeaders<'a>),
    Kafka(&'a BorrowedHeaders),
}

impl<'a> Headers<'a> {
    /// Headers in memory, as records to write have them.
    #[must_use]
    pub fn of(headers: &'a [Header]) -> Self {
        Self(Source::Slice(headers))
    }

    pub(crate) fn encoded(headers: EncodedHeaders<'a>) -> Self {
        Self(Source::Encoded(headers))
    }

    pub(crate) fn kafka(headers: &'a BorrowedHeaders) -> Self {
        Self(Source::Kafka(headers))
    }

    /// Names and values. A name that is not UTF-8 is left out.
    #[must_use]
    pub fn iter(&self) -> HeaderIter<'a> {
        HeaderIter { source: self.0, next: 0 }
    }

    /// Value of the first header of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: a value may be anything, and nothing raw belongs in a log.
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

/// See [`Headers::iter`].
#[derive(Clone)]
pub struct HeaderIter<'a> {
    source: Source<'a>,
    next: usize,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::None => None,
            Source::Slice(headers) => {
                let (name, value) = headers.get(self.next)?;
                self.next += 1;
                Some((name.as_ref(), value.as_slice()))
            }
            Source::Encoded(headers) => headers.next(),
            Source::Kafka(headers) => {
                while self.next < headers.count() {
                    let at = self.next;
                    self.next += 1;
                    // The client library asserts that names are UTF-8, and producers are not ours to trust.
                    let found = catch_unwind(AssertUnwindSafe(|| headers.try_get(at)));
                    if let Ok(Some(header)) = found {
                        return Some((header.key, header.value.unwrap_or_default()));
                    }
                }
                None
            }
        }
    }
}
