//! The part of `[http]` about links in messages.

use std::path::PathBuf;

use wire::link::{LinkActions, LinkKeys, Links, PublicUrl};

use super::{RawHttp, within};

/// Links in messages. Without a public address there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    pub public_url: Option<PublicUrl>,
    /// Where the keys are, if the config says it; whoever reads the environment and files reads them.
    pub key_env: Option<String>,
    pub key_file: Option<PathBuf>,
    pub valid_s: u64,
    pub actions: LinkActions,
}

impl LinkConfig {
    pub(super) fn of(raw: &RawHttp) -> Result<Self, String> {
        within("link_valid_s", raw.link_valid_s, 3600, 90 * 86_400)?;
        if raw.link_actions.is_empty() {
            return Err("link_actions is empty: without public_url there are no links".into());
        }
        let public_url = raw.public_url.as_deref().map(str::parse::<PublicUrl>).transpose();
        let public_url = public_url.map_err(|why| format!("public_url {why}"))?;
        // Where a proxy stands before it, whatever that lets through comes from this machine itself.
        if raw.token.is_empty() && public_url.as_ref().is_some_and(|url| !url.is_this_machine()) {
            return Err(
                "public_url is another address than this machine's, and no token is set: whoever comes through that \
                 address could do everything; add one under [[http.token]] (`tocsin token NAME --role admin` makes it)"
                    .into(),
            );
        }
        Ok(Self {
            public_url,
            key_env: raw.link_key_env.clone(),
            key_file: raw.link_key_file.clone(),
            valid_s: raw.link_valid_s,
            actions: LinkActions::of(&raw.link_actions),
        })
    }

    /// What makes the links of pages, under these keys; `None` without a public address.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "checked when it was read")]
    pub fn links(&self, keys: LinkKeys) -> Option<Links> {
        let public_url = self.public_url.clone()?;
        let valid_ms = i64::try_from(self.valid_s).expect("at most 90 days") * 1000;
        Some(Links { keys, public_url, valid_ms, actions: self.actions })
    }
}
