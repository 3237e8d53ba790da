//! Support for the tests beside it.

pub mod log_contract;
pub mod samples;

/// Whether checked-in files are rewritten from what is computed now.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests are set up by the environment")]
pub fn updating_golden() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}
