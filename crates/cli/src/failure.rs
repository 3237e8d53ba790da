//! Why a command did not do what it was asked, and the exit status that scripts see.

use std::fmt;
use std::process::ExitCode;

use crate::config::Fault;

/// Exit status by kind; `tocsin --help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer is no: config invalid, chain broken, trouble missed.
    No = 1,
    Usage = 2,
    Unreachable = 3,
    Refused = 4,
    NotFound = 5,
    CannotStart = 6,
    /// Asked to end, it was not done in time.
    Unfinished = 7,
}

/// What is printed to standard error, and the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub kind: Kind,
    pub message: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    #[must_use]
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A config that is not right, with everything that is wrong with it.
impl From<Vec<Fault>> for Failure {
    fn from(faults: Vec<Fault>) -> Self {
        let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Self::new(Kind::No, text.join("\n\n"))
    }
}

impl From<runtime::log::LogError> for Failure {
    fn from(error: runtime::log::LogError) -> Self {
        use std::error::Error as _;
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            message.push_str(": ");
            message.push_str(&inner.to_string());
            cause = inner.source();
        }
        Self::new(Kind::CannotStart, message)
    }
}
