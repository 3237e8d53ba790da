//! Secrets of `[http]`: keys of the links in messages, given or made at the first start and kept beside the log; and those of
//! PagerDuty's webhooks, which are given or not there.

use std::path::{Path, PathBuf};

use http_api::{HttpConfig, LinkConfig, PagerDutySecrets};
use receivers::SecretSource;
use wire::link::LinkKeys;

use super::{Checked, audit};

/// The file of a key that nobody has given, beside the log.
const KEY_FILE: &str = "tocsin.link.key";

/// The keys that the config names, if it names any.
///
/// # Errors
/// When they are not there, or one is too short; never what is in them.
pub(super) fn given(config: &LinkConfig, dir: &Path) -> Result<Option<LinkKeys>, String> {
    let (env, file) = (config.key_env.clone(), config.key_file.clone());
    let Some(source) = SecretSource::of("link_key", env, file)? else { return Ok(None) };
    let keys = LinkKeys::read(super::secret(&source, dir)?.reveal());
    keys.map(Some).map_err(|why| format!("link_key: {why}"))
}

/// The keys of a process that starts: its own where links are on and none is given.
///
/// # Errors
/// When its own can be neither read nor made.
pub(crate) fn keys(checked: &Checked) -> Result<Option<LinkKeys>, String> {
    if checked.link_keys.is_some() || checked.config.http.link.public_url.is_none() {
        return Ok(checked.link_keys.clone());
    }
    let file = key_file(checked);
    if checked.config.log.brokers.is_some() {
        let file = file.display();
        tracing::warn!(%file, "links are signed with this process's own key, and no other process knows them: give all the same with [http] link_key_file");
    }
    let key = audit::own_key(&file)?;
    LinkKeys::read(key.reveal()).map(Some).map_err(|why| format!("{}: {why}", file.display()))
}

/// The secrets of PagerDuty's webhooks. Without any, none of them is believed.
///
/// # Errors
/// When they are not there, or one is too short; never what is in them.
pub(crate) fn pagerduty(config: &HttpConfig, dir: &Path) -> Result<PagerDutySecrets, String> {
    let (env, file) = (config.pagerduty_secret_env.clone(), config.pagerduty_secret_file.clone());
    let Some(source) = SecretSource::of("pagerduty_secret", env, file)? else {
        return Ok(PagerDutySecrets::default());
    };
    PagerDutySecrets::read(super::secret(&source, dir)?.reveal())
        .map_err(|why| format!("pagerduty_secret: {why}"))
}

fn key_file(checked: &Checked) -> PathBuf {
    checked.dir.join(&checked.config.log.path).with_file_name(KEY_FILE)
}

/// Whether pages carry links, and whose key signs them.
#[must_use]
pub(crate) fn described(checked: &Checked) -> String {
    let Some(url) = &checked.config.http.link.public_url else {
        return "none in messages: [http] public_url = \"https://…\" puts one into each".to_owned();
    };
    let key = match (&checked.link_keys, &checked.config.log.brokers) {
        (Some(_), _) => "under the key of [http]".to_owned(),
        (None, None) => format!("under a key in {}", key_file(checked).display()),
        (None, Some(_)) => {
            "each process under a key of its own: with several, give all the same one with [http] \
                            link_key_env or link_key_file"
                .to_owned()
        }
    };
    let hours = checked.config.http.link.valid_s / 3600;
    format!("{}/i/… in messages, for {hours} hours, {key}", url.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{TEMPLATE, parse};

    fn checked(dir: &Path, http: &str) -> Result<Checked, String> {
        let text = TEMPLATE.replacen("\n[http]\n", &format!("\n[http]\n{http}\n"), 1);
        let text = if text.contains(http) { text } else { format!("{text}\n[http]\n{http}\n") };
        parse(&dir.join("tocsin.toml"), &text).map_err(|faults| faults[0].to_string())
    }

    #[test]
    fn a_key_is_given_or_made_once() {
        let dir = std::env::temp_dir().join(format!("tocsin-link-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("two"), "a new key, yet_secret\nan_old_key_as_secret\n").unwrap();
        std::fs::write(dir.join("good"), "a_new_key_yet_secret\nan_old_key_as_secret\n").unwrap();
        let off = checked(&dir, "").unwrap();
        assert!(keys(&off).unwrap().is_none() && !dir.join(KEY_FILE).exists(), "no links, no key");
        assert!(described(&off).starts_with("none in messages"));

        let url = "public_url = \"http://127.0.0.1:7311\"";
        let own = checked(&dir, url).unwrap();
        let link = wire::link::Link {
            incident_id: wire::IncidentId::new("a"),
            generation: 1,
            person: "ada".into(),
            actions: own.config.http.link.actions,
            expires_at: wire::Timestamp::EPOCH,
        };
        let [first, again] = [(); 2].map(|()| keys(&own).unwrap().unwrap().sign(&link).unwrap());
        assert_eq!(first, again, "a restart signs the same");
        assert!(described(&own).ends_with("tocsin.link.key"), "{}", described(&own));

        let given = checked(&dir, &format!("{url}\nlink_key_file = \"good\"")).unwrap();
        assert_ne!(keys(&given).unwrap().unwrap().sign(&link).unwrap(), first);
        let short = checked(&dir, &format!("{url}\nlink_key_file = \"two\"")).unwrap_err();
        assert!(short.contains("link_key: key 1 has fewer than 16") && !short.contains("secret"), "{short}");
        let absent = checked(&dir, &format!("{url}\nlink_key_env = \"TOCSIN_NO_SUCH\"")).unwrap_err();
        assert!(absent.contains("no variable TOCSIN_NO_SUCH"), "{absent}");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn secrets_of_pagerduty_are_given_or_there_are_none() {
        let dir = std::env::temp_dir().join(format!("tocsin-pagerduty-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("two"), "the_next_secret_is_new\nthe_old_secret_is_old\n").unwrap();
        std::fs::write(dir.join("short"), "sesame\n").unwrap();
        for (http, want) in [
            ("", Ok("PagerDutySecrets(0)")),
            ("pagerduty_secret_file = \"two\"", Ok("PagerDutySecrets(2)")),
            ("pagerduty_secret_file = \"short\"", Err("pagerduty_secret: secret 1 has fewer than 16")),
            ("pagerduty_secret_file = \"gone\"", Err("gone")),
            ("pagerduty_secret_env = \"TOCSIN_NO_SUCH\"", Err("no variable TOCSIN_NO_SUCH")),
            ("pagerduty_secret_env = \"A\"\npagerduty_secret_file = \"two\"", Err("keep one")),
        ] {
            let config: HttpConfig = toml::from_str(http).unwrap();
            match (pagerduty(&config, &dir), want) {
                (Ok(read), Ok(shown)) => assert_eq!(format!("{read:?}"), shown, "{http}"),
                (Err(why), Err(part)) => {
                    assert!(why.contains(part) && !why.contains("sesame"), "{http}: {why}")
                }
                (got, want) => panic!("{http}: got {got:?}, want {want:?}"),
            }
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
