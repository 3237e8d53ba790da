//! The one place that reads the environment, and secrets from files.

use std::path::Path;

/// A variable of the environment, if it is set and not empty.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the edge reads the environment, here and nowhere else")]
pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// The contents of a secret's file, without the line end that editors add.
///
/// # Errors
/// When it cannot be read; the text names the file and never what is in it.
pub(crate) fn file(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// `bytes` random bytes from the operating system.
///
/// # Errors
/// When the system has none to give.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], String> {
    use std::io::Read as _;
    let mut bytes = [0; N];
    let mut source = std::fs::File::open("/dev/urandom").map_err(|e| format!("/dev/urandom: {e}"))?;
    source.read_exact(&mut bytes).map_err(|e| format!("/dev/urandom: {e}"))?;
    Ok(bytes)
}
