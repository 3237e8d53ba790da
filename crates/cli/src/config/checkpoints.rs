//! How the audit chain is signed: the key, how often, and where checkpoints go.

use std::path::{Path, PathBuf};

use escalate::{Checkpoints, PublicKeys, SigningKey};
use receivers::{Secret, SecretSource};

use super::audit::{AuditConfig, own_key};
use super::{Checked, LogConfig};

/// The key that nobody has given, beside the log.
const KEY_FILE: &str = "tocsin.checkpoint.key";

/// Where checkpoints go when nothing else is said, beside the log.
const LINES_FILE: &str = "tocsin.checkpoints.jsonl";

impl AuditConfig {
    /// The key that the config names, if it names one, and how often it signs.
    ///
    /// # Errors
    /// What is wrong in these settings; never what is in the key.
    pub(super) fn checkpoints(&self, dir: &Path) -> Result<Option<Checkpoints>, String> {
        let every_s = self.checkpoint_s;
        if !(1..=86_400).contains(&every_s) {
            return Err(format!("checkpoint_s = {every_s} is not between 1 and 86400"));
        }
        PublicKeys::new(&self.checkpoint_public_keys)
            .map_err(|why| format!("checkpoint_public_keys: {why}"))?;
        let (env, file) = (self.checkpoint_key_env.clone(), self.checkpoint_key_file.clone());
        let Some(source) = SecretSource::of("checkpoint_key", env, file)? else { return Ok(None) };
        let key = signing("checkpoint_key", &super::secret(&source, dir)?)?;
        Ok(Some(self.signed_with(key)))
    }

    fn signed_with(&self, key: SigningKey) -> Checkpoints {
        Checkpoints { key, every_ms: i64::from(self.checkpoint_s) * 1000 }
    }

    /// The file that checkpoints are appended to.
    pub(crate) fn checkpoint_path(&self, dir: &Path, log: &LogConfig) -> PathBuf {
        match &self.checkpoint_file {
            Some(file) => dir.join(file),
            None => dir.join(&log.path).with_file_name(LINES_FILE),
        }
    }
}

fn signing(what: &str, secret: &Secret) -> Result<SigningKey, String> {
    SigningKey::of_hex(secret.reveal())
        .ok_or_else(|| format!("{what} is not 32 bytes in hexadecimal, as `openssl rand -hex 32` makes them"))
}

/// Where a process that was given no key keeps the one that it makes.
#[must_use]
pub(crate) fn key_file(log: &Path) -> PathBuf {
    log.with_file_name(KEY_FILE)
}

/// The key in the file beside the log; a new one, which only this user can read, when there is none.
///
/// # Errors
/// When it can be neither read nor made, or is no key.
pub(crate) fn own(checked: &Checked) -> Result<Checkpoints, String> {
    let file = key_file(&checked.dir.join(&checked.config.log.path));
    let key = signing(&file.display().to_string(), &own_key(&file)?)?;
    Ok(checked.config.audit.signed_with(key))
}

/// Public keys whose checkpoints this process believes: of the key that signs here, given or made earlier, and those of
/// the config.
///
/// # Errors
/// When the key beside the log cannot be read.
pub(crate) fn known(checked: &Checked, policy: &escalate::Policy) -> Result<PublicKeys, String> {
    let mut keys = checked.config.audit.checkpoint_public_keys.clone();
    let file = key_file(&checked.dir.join(&checked.config.log.path));
    match policy.public_key() {
        Some(key) => keys.push(key.to_owned()),
        None if file.exists() => {
            keys.push(signing(&file.display().to_string(), &own_key(&file)?)?.public().to_owned());
        }
        None => (),
    }
    PublicKeys::new(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_key_must_be_one_and_is_never_shown() {
        let dir = std::env::temp_dir().join(format!("tocsin-signing-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("key"), format!("{}\n", "5a".repeat(32))).unwrap();
        std::fs::write(dir.join("short"), "sesame").unwrap();
        let of =
            |file: &str| AuditConfig { checkpoint_key_file: Some(file.into()), ..AuditConfig::default() };
        assert_eq!(AuditConfig::default().checkpoints(&dir), Ok(None));
        let given = of("key").checkpoints(&dir).unwrap().unwrap();
        assert_eq!((given.key.public().len(), given.every_ms), (64, 600_000));
        let why = of("short").checkpoints(&dir).unwrap_err();
        assert!(why.contains("openssl rand -hex 32") && !why.contains("sesame"), "{why}");
        for (bad, says) in [
            (AuditConfig { checkpoint_s: 0, ..of("key") }, "checkpoint_s = 0 is not between"),
            (AuditConfig { checkpoint_public_keys: vec!["ab".into()], ..of("key") }, "is no public key"),
            (AuditConfig { checkpoint_key_env: Some("K".into()), ..of("key") }, "checkpoint_key"),
        ] {
            let why = bad.checkpoints(&dir).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
