//! `[audit]`: under which pseudonyms people are in it, and who is forgotten.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use receivers::{Secret, SecretSource};
use schemars::JsonSchema;
use serde::Deserialize;

/// People in the audit chain, which cannot be changed later, and how it is signed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Variable of the environment that holds the secret under which names become pseudonyms: at least 16 characters,
    /// the same for every process with the role escalate. Without one, a process makes its own beside its log.
    pub people_key_env: Option<String>,
    /// File that holds it, relative to this config.
    pub people_key_file: Option<PathBuf>,
    /// Names of people to forget, as their tokens had them: on its next start a process removes them from its state and
    /// never writes them there again.
    pub forget: BTreeSet<String>,
    /// Variable of the environment that holds the key that signs checkpoints of the chain (Ed25519): 32 bytes in
    /// hexadecimal, as `openssl rand -hex 32` makes them. Without one, a process makes its own beside its log.
    pub checkpoint_key_env: Option<String>,
    /// File that holds it, relative to this config.
    pub checkpoint_key_file: Option<PathBuf>,
    /// Public keys whose checkpoints are believed beside the one that signs here: earlier ones, and those of other
    /// processes. `tocsin audit key` shows one.
    pub checkpoint_public_keys: Vec<String>,
    /// Shortest time between two checkpoints, in seconds.
    pub checkpoint_s: u32,
    /// File that checkpoints are appended to, relative to this config: keep it, or a copy, where whoever can write to
    /// the log cannot. Without one, `tocsin.checkpoints.jsonl` beside the log.
    pub checkpoint_file: Option<PathBuf>,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            people_key_env: None,
            people_key_file: None,
            forget: BTreeSet::new(),
            checkpoint_key_env: None,
            checkpoint_key_file: None,
            checkpoint_public_keys: Vec::new(),
            checkpoint_s: 600,
            checkpoint_file: None,
        }
    }
}

/// Fewest characters of the secret: whoever has the chain may try secrets as fast as they can.
const KEY_CHARS_MIN: usize = 16;

/// The file of a secret that nobody has given, beside the log.
const KEY_FILE: &str = "tocsin.people.key";

impl AuditConfig {
    /// The secret that the config names, if it names one.
    ///
    /// # Errors
    /// When it is not there, or too short; never what is in it.
    pub(super) fn key(&self, dir: &Path) -> Result<Option<Secret>, String> {
        let (env, file) = (self.people_key_env.clone(), self.people_key_file.clone());
        let Some(source) = SecretSource::of("people_key", env, file)? else { return Ok(None) };
        long_enough("people_key", super::secret(&source, dir)?).map(Some)
    }
}

fn long_enough(what: &str, key: Secret) -> Result<Secret, String> {
    if key.reveal().chars().count() < KEY_CHARS_MIN {
        return Err(format!("{what} has fewer than {KEY_CHARS_MIN} characters: it could be guessed"));
    }
    Ok(key)
}

/// Where a process that was given no secret keeps the one that it makes.
#[must_use]
pub(crate) fn key_file(log: &Path) -> PathBuf {
    log.with_file_name(KEY_FILE)
}

/// The secret in `file`; a new one, which only this user can read, when there is no such file.
///
/// # Errors
/// When it can be neither read nor made, or is too short.
pub(crate) fn own_key(file: &Path) -> Result<Secret, String> {
    use std::io::{ErrorKind, Write as _};
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |e: std::io::Error| format!("{}: {e}", file.display());
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut made) => {
            let key = wire::id::hex(&crate::secrets::random::<32>()?);
            made.write_all(key.as_bytes()).and_then(|()| made.sync_all()).map_err(failed)?;
            Ok(Secret::new(&key))
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            let key = Secret::new(&crate::secrets::file(file)?);
            long_enough(&file.display().to_string(), key)
                .map_err(|why| format!("{why}; without the file, a new one is made"))
        }
        Err(e) => Err(failed(e)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_for_its_owner_alone() {
        let dir = std::env::temp_dir().join(format!("tocsin-people-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = key_file(&dir.join("tocsin.log"));
        let made = own_key(&file).unwrap();
        assert_eq!((made.reveal().len(), own_key(&file).unwrap().reveal()), (64, made.reveal()));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&file, "").unwrap();
        assert!(own_key(&file).unwrap_err().contains("fewer than 16"), "cut by a crash");
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(own_key(&file).is_err(), "no folder");
    }

    #[test]
    fn a_given_secret_must_be_there_and_long() {
        let dir = std::env::temp_dir().join(format!("tocsin-people-given-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("long"), "sixteen letters!\n").unwrap();
        std::fs::write(dir.join("short"), "sesame\n").unwrap();
        let of = |file: &str| AuditConfig { people_key_file: Some(file.into()), ..AuditConfig::default() };
        assert_eq!(AuditConfig::default().key(&dir).map(|key| key.is_none()), Ok(true));
        assert_eq!(of("long").key(&dir).unwrap().unwrap().reveal(), "sixteen letters!");
        let short = of("short").key(&dir).unwrap_err();
        assert!(short.contains("people_key has fewer than 16") && !short.contains("sesame"), "{short}");
        assert!(of("absent").key(&dir).is_err());
        let both = AuditConfig { people_key_env: Some("K".into()), ..of("long") };
        assert!(both.key(&dir).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
