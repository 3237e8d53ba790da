//! Secrets: named in config, read by the caller, never printed.

use std::fmt;
use std::path::PathBuf;

/// Where a secret is. The config holds this, never the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// Name of an environment variable.
    Env(String),
    /// A file that only tocsin can read. White space around its content is ignored.
    File(PathBuf),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

impl SecretSource {
    /// From the two fields of a config table, `{field}_env` and `{field}_file`; `None` if neither is set.
    ///
    /// # Errors
    /// When both are set, or what is set can be neither a name nor a path.
    pub fn of(field: &str, env: Option<String>, file: Option<PathBuf>) -> Result<Option<Self>, String> {
        match (env, file) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(format!("{field}_env and {field}_file are both set: keep one")),
            (Some(name), None) => {
                let fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
                // What was written may be the secret itself: it is not repeated.
                if name.is_empty()
                    || name.len() > 128
                    || !name.chars().all(fine)
                    || name.starts_with("whsec_")
                {
                    return Err(format!(
                        "{field}_env is not the name of an environment variable (letters, digits and _): the secret itself does not belong here"
                    ));
                }
                Ok(Some(Self::Env(name)))
            }
            (None, Some(path)) if path.as_os_str().is_empty() => {
                Err(format!("{field}_file is empty: it is the path of a file that holds the secret"))
            }
            (None, Some(path)) => Ok(Some(Self::File(path))),
        }
    }
}

/// Reads a secret. Given by the caller, so that the environment is read in one place of the program. The error says
/// what is wrong with the place, never with the value.
pub type Secrets<'a> = dyn Fn(&SecretSource) -> Result<Secret, String> + 'a;

/// A value that is never printed, compared or written anywhere but into a request.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// White space around it is dropped: files end in a line break.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The value itself. Keep it out of everything that people or machines read.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_one_of_two() {
        let env = |name: &str| SecretSource::of("secret", Some(name.into()), None);
        assert_eq!(env("HOOK_1"), Ok(Some(SecretSource::Env("HOOK_1".into()))));
        assert_eq!(SecretSource::of("secret", None, None), Ok(None));
        assert!(SecretSource::of("secret", Some("A".into()), Some("b".into())).is_err());
        assert!(SecretSource::of("secret", None, Some("".into())).is_err());
        for pasted in ["whsec_dGhpcyBpcyB0aGUgc2VjcmV0", "s3cr+/=", "", "a b"] {
            let refused = env(pasted).expect_err("not a name");
            assert!(pasted.is_empty() || !refused.contains(pasted), "{refused}");
        }
    }

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new(" hunter2\n");
        assert_eq!(secret.reveal(), "hunter2");
        assert!(!format!("{secret:?}{secret:#?}{secret}").contains("hunter2"));
    }
}
