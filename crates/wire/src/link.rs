//! Links in messages: a token that says which incident, who, what may be done and until when.
//!
//! It is signed with a key that is in no topic, so that nobody can make one of what the log holds. Whoever has a link may
//! do what it says: it is a secret, and belongs into the message it was made for and nowhere else.
//!
//! Form: base64 for addresses, without padding, of version, what may be done, generation (4 bytes), end in seconds since
//! 1970 (5 bytes), length of the incident's id, the id, the person, and the first 16 bytes of HMAC-SHA256 over all of it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::page::Page;
use crate::{IncidentId, Timestamp};

/// Where the page of a link is, below the public address.
pub const LINK_PATH: &str = "/i/";
/// Longest id or person that a link names, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// More than the longest token that can be made.
const TOKEN_CHARS_MAX: usize = 1024;

const VERSION: u8 = 1;
/// Version, actions, generation, end, length of the id.
const HEAD_BYTES: usize = 1 + 1 + 4 + 5 + 1;
/// Half of a SHA-256, as RFC 2104 advises at least.
const TAG_BYTES: usize = 16;
/// The same key signs nothing else by accident.
const DOMAIN: &[u8] = b"tocsin link\0";

const KEYS_MAX: usize = 4;
/// Whoever has a link may try keys as fast as they can.
const KEY_CHARS_MIN: usize = 16;

/// What a link may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkAction {
    Acknowledge,
    Mitigate,
    Resolve,
    Note,
}

impl LinkAction {
    pub const ALL: [Self; 4] = [Self::Acknowledge, Self::Mitigate, Self::Resolve, Self::Note];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Mitigate => "mitigate",
            Self::Resolve => "resolve",
            Self::Note => "note",
        }
    }

    /// By its name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Acknowledge => 1,
            Self::Mitigate => 2,
            Self::Resolve => 4,
            Self::Note => 8,
        }
    }
}

/// A set of what may be done. Bits that this version does not know mean nothing to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkActions(u8);

impl LinkActions {
    #[must_use]
    pub fn of(actions: &[LinkAction]) -> Self {
        Self(actions.iter().fold(0, |all, action| all | action.bit()))
    }

    /// What is left of them for whoever is told, and was not called.
    #[must_use]
    pub const fn notes_only(self) -> Self {
        Self(self.0 & LinkAction::Note.bit())
    }

    #[must_use]
    pub const fn may(self, action: LinkAction) -> bool {
        self.0 & action.bit() != 0
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub incident_id: IncidentId,
    /// What came back since is another alert, with links of its own.
    pub generation: u32,
    /// Who acts: the person who was called, or the target of the page where that is no person.
    pub person: String,
    pub actions: LinkActions,
    pub expires_at: Timestamp,
}

/// Why a token opens nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not one of ours, or changed on its way. It is not said in which way: that would help who makes them up.
    #[error("this is no link of ours")]
    Invalid,
    /// One of ours, whose time is over.
    #[error("this link ended at {}", .0.expires_at)]
    Expired(Box<Link>),
}

/// The keys that sign links: the first signs, each is known, so that a key can be changed while its links still work.
#[derive(Clone)]
pub struct LinkKeys {
    keys: Vec<Vec<u8>>,
}

impl LinkKeys {
    /// From keys of at least 16 characters separated by white space, the newest first. The error holds nothing of them.
    ///
    /// # Errors
    /// When there is none, one is too short, or there are more than four.
    pub fn read(text: &str) -> Result<Self, String> {
        let keys: Vec<_> = text.split_whitespace().collect();
        if let Some(i) = keys.iter().position(|key| key.chars().count() < KEY_CHARS_MIN) {
            let nth = i + 1;
            return Err(format!("key {nth} has fewer than {KEY_CHARS_MIN} characters: it could be guessed"));
        }
        match keys.len() {
            0 => Err(format!("it is empty: write at least {KEY_CHARS_MIN} characters")),
            1..=KEYS_MAX => Ok(Self { keys: keys.into_iter().map(|key| key.as_bytes().to_vec()).collect() }),
            n => Err(format!("it holds {n} keys, the most is {KEYS_MAX}")),
        }
    }

    /// The token of a link: the same bytes each time. `None` when its names are too long to stand in an address.
    #[must_use]
    pub fn sign(&self, link: &Link) -> Option<String> {
        let (id, person) = (link.incident_id.as_str().as_bytes(), link.person.as_bytes());
        let id_length = u8::try_from(id.len()).ok().filter(|n| usize::from(*n) <= NAME_BYTES_MAX)?;
        if person.len() > NAME_BYTES_MAX {
            return None;
        }
        let seconds = u64::try_from(link.expires_at.as_ms().div_euclid(1000)).unwrap_or(0).to_be_bytes();
        let mut bytes = vec![VERSION, link.actions.0];
        bytes.extend(link.generation.to_be_bytes());
        bytes.extend(&seconds[3..]);
        bytes.push(id_length);
        bytes.extend(id);
        bytes.extend(person);
        let tag = mac(self.keys.first()?, &bytes).finalize().into_bytes();
        bytes.extend(&tag[..TAG_BYTES]);
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What a token says, if one of the keys signed it and its time is not over. Takes as long for any that is not ours.
    ///
    /// # Errors
    /// When it is not ours, or over.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Link, LinkError> {
        if token.len() > TOKEN_CHARS_MAX {
            return Err(LinkError::Invalid);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| LinkError::Invalid)?;
        let (said, tag) = bytes.split_last_chunk::<TAG_BYTES>().ok_or(LinkError::Invalid)?;
        // Every key is tried, whichever it was.
        let ours = |key: &Vec<u8>| mac(key, said).verify_truncated_left(tag).is_ok();
        if !self.keys.iter().fold(false, |known, key| ours(key) | known) {
            return Err(LinkError::Invalid);
        }
        let link = read(said).ok_or(LinkError::Invalid)?;
        if link.expires_at <= now { Err(LinkError::Expired(Box::new(link))) } else { Ok(link) }
    }
}

impl fmt::Debug for LinkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkKeys({})", self.keys.len())
    }
}

fn mac(key: &[u8], said: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(DOMAIN);
    mac.update(said);
    mac
}

fn read(said: &[u8]) -> Option<Link> {
    let (head, names) = said.split_first_chunk::<HEAD_BYTES>()?;
    let [VERSION, actions, g0, g1, g2, g3, s0, s1, s2, s3, s4, id_length] = *head else { return None };
    let (id, person) = names.split_at_checked(id_length.into())?;
    let seconds = i64::from_be_bytes([0, 0, 0, s0, s1, s2, s3, s4]);
    Some(Link {
        incident_id: IncidentId::new(str::from_utf8(id).ok()?),
        generation: u32::from_be_bytes([g0, g1, g2, g3]),
        person: str::from_utf8(person).ok()?.to_owned(),
        actions: LinkActions(actions),
        expires_at: Timestamp::EPOCH.plus_ms(seconds.checked_mul(1000)?),
    })
}

/// Under which address people reach the listener, as `https://tocsin.example.com`: without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    local: bool,
}

impl PublicUrl {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Only this machine is reached by it.
    #[must_use]
    pub const fn is_this_machine(&self) -> bool {
        self.local
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "an address such as https://tocsin.example.com";
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(format!("is not {FORM}")),
        };
        if text.len() > 256 {
            return Err(format!("is {} bytes long, the most is 256", text.len()));
        }
        let fine = |b: u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~' | b':' | b'/' | b'[' | b']')
        };
        if !rest.bytes().all(fine) {
            return Err(format!("holds what is neither of a host nor of a path: write {FORM}"));
        }
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !authority.ends_with(']') => (host, Some(port)),
            Some(_) | None => (authority, None),
        };
        if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
            return Err("has a port that is not a number from 1 to 65535".into());
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address = bare.parse::<std::net::IpAddr>().ok();
        if bare.is_empty() || (bare.contains(':') && address.is_none()) {
            return Err(format!("has no host: write {FORM}"));
        }
        let local = bare.eq_ignore_ascii_case("localhost") || address.is_some_and(|ip| ip.is_loopback());
        if !tls && !local {
            return Err("must be https: whoever reads a link on its way may do what it says".into());
        }
        Ok(Self { text: text.trim_end_matches('/').to_owned(), local })
    }
}

/// Makes the links of pages.
#[derive(Clone, Debug)]
pub struct Links {
    pub keys: LinkKeys,
    pub public_url: PublicUrl,
    /// How long a link works, from when its page was decided.
    pub valid_ms: i64,
    pub actions: LinkActions,
}

impl Links {
    /// The link of a page, the same on every attempt. `None` when the names in it are too long.
    #[must_use]
    pub fn of(&self, page: &Page) -> Option<PageLink> {
        let token = self.keys.sign(&Link {
            incident_id: page.incident.incident_id.clone(),
            generation: page.incident.generation,
            person: page.person.as_ref().unwrap_or(&page.target).clone(),
            actions: if page.told.is_some() { self.actions.notes_only() } else { self.actions },
            expires_at: page.decided_at.plus_ms(self.valid_ms),
        })?;
        Some(PageLink(format!("{}{LINK_PATH}{token}", self.public_url.as_str())))
    }
}

/// The address at which the target of a page may answer it. Never printed: whoever has it may act.
#[derive(Clone, PartialEq, Eq)]
pub struct PageLink(String);

impl PageLink {
    /// The address itself. Keep it out of everything but the message. Letters, digits and signs that neither JSON, HTML,
    /// mail nor Slack escapes.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// `text` up to where it repeats this link or the larger part of it: what a receiver answers is recorded.
    #[must_use]
    pub fn cut_from<'a>(&self, text: &'a str) -> &'a str {
        let token = self.0.rfind('/').map_or(self.0.as_str(), |at| &self.0[at + 1..]);
        // Version, actions, generation and end: by themselves they say nothing, and any longer part begins so.
        let start = &token[..token.len().min(14)];
        text.find(start).map_or(text, |at| &text[..at])
    }
}

impl fmt::Debug for PageLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageLink(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "sixteen letters!";

    fn keys(text: &str) -> LinkKeys {
        LinkKeys::read(&text.replace(' ', "_").replace('|', " ")).expect("keys")
    }

    fn link() -> Link {
        Link {
            incident_id: IncidentId::of(&[b"a"]),
            generation: 2,
            person: "ada".into(),
            actions: LinkActions::of(&LinkAction::ALL),
            expires_at: "2026-03-09T10:01:01Z".parse().expect("a time"),
        }
    }

    fn before() -> Timestamp {
        link().expires_at.plus_ms(-1)
    }

    /// The bytes of a token stay the same for ever: links that were sent must go on working.
    #[test]
    fn a_known_token() {
        let token = keys(KEY).sign(&link()).expect("short names");
        assert_eq!(token, "AQ8AAAACAGmuml0aaG1tdzd2ZXFwcHc3a2hicXNkdXlneHpwcHFhZGGPxJjBuDZvtp1UibE8j3ie");
        assert_eq!(keys(KEY).verify(&token, before()), Ok(link()));
    }

    #[test]
    fn its_end_is_its_end() {
        let token = keys(KEY).sign(&link()).expect("short names");
        for (ms, works) in [(-1, true), (0, false), (1, false)] {
            let got = keys(KEY).verify(&token, link().expires_at.plus_ms(ms));
            let want = if works { Ok(link()) } else { Err(LinkError::Expired(Box::new(link()))) };
            assert_eq!(got, want, "{ms}");
        }
    }

    #[test]
    fn a_key_can_be_changed_while_its_links_work() {
        let (old, new, both) =
            (keys(KEY), keys("another key, as long"), keys(&format!("another key, as long|{KEY}")));
        let [by_old, by_new] = [&old, &new].map(|k| k.sign(&link()).expect("short names"));
        assert_eq!(both.sign(&link()).as_ref(), Some(&by_new), "the first signs");
        for (keys, token, works) in [
            (&both, &by_old, true),
            (&both, &by_new, true),
            (&new, &by_new, true),
            (&new, &by_old, false),
            (&old, &by_new, false),
        ] {
            assert_eq!(keys.verify(token, before()).is_ok(), works);
        }
        assert!(!format!("{both:?}").contains("key,"));
    }

    #[test]
    fn keys_are_long_enough_and_few() {
        for (text, part) in [
            ("", "it is empty"),
            ("sesame", "key 1 has fewer than 16"),
            ("0123456789abcdef sesame", "key 2 has fewer than 16"),
            (&["0123456789abcdef"; 5].join(" "), "5 keys"),
        ] {
            let why = LinkKeys::read(text).expect_err(text);
            assert!(why.contains(part) && !why.contains("sesame"), "{why}");
        }
    }

    #[test]
    fn no_link_of_names_that_are_too_long() {
        let long = "ä".repeat(101);
        assert_eq!(keys(KEY).sign(&Link { person: long.clone(), ..link() }), None);
        assert_eq!(keys(KEY).sign(&Link { incident_id: IncidentId::new(long), ..link() }), None);
    }

    #[test]
    fn public_addresses() {
        for (text, want) in [
            ("https://tocsin.example.com", Ok(("https://tocsin.example.com", false))),
            ("https://tocsin.example.com/", Ok(("https://tocsin.example.com", false))),
            ("https://ops.example.com:8443/tocsin/", Ok(("https://ops.example.com:8443/tocsin", false))),
            ("https://[2001:db8::1]/x", Ok(("https://[2001:db8::1]/x", false))),
            ("http://127.0.0.1:7311", Ok(("http://127.0.0.1:7311", true))),
            ("http://[::1]:7311", Ok(("http://[::1]:7311", true))),
            ("http://localhost", Ok(("http://localhost", true))),
            ("http://tocsin.example.com", Err("must be https")),
            ("tocsin.example.com", Err("such as https://")),
            ("https://", Err("has no host")),
            ("https://:80", Err("has no host")),
            ("https://a:0", Err("port")),
            ("https://a:99999", Err("port")),
            ("https://user:pw@example.com", Err("neither of a host")),
            ("https://example.com/?a=b", Err("neither of a host")),
            ("https://example.com/\"><script>", Err("neither of a host")),
        ] {
            let got = text.parse::<PublicUrl>();
            match (&got, want) {
                (Ok(url), Ok((text, local))) => {
                    assert_eq!((url.as_str(), url.is_this_machine()), (text, local))
                }
                (Err(why), Err(part)) => assert!(why.contains(part), "{text}: {why}"),
                (got, want) => panic!("{text}: got {got:?}, want {want:?}"),
            }
        }
    }

    #[test]
    fn a_link_never_prints_and_is_cut_out() {
        let url = format!("https://a.example/i/{}", keys(KEY).sign(&link()).expect("short names"));
        let page_link = PageLink(url.clone());
        assert_eq!(format!("{page_link:?}"), "PageLink(…)");
        for end in [url.len(), url.len() - 1, url.len() - 30] {
            let echoed = format!("no such field: {}", &url[..end]);
            assert_eq!(page_link.cut_from(&echoed), "no such field: https://a.example/i/");
        }
        assert_eq!(page_link.cut_from("nothing of it"), "nothing of it");
    }

    fn any_link() -> impl Strategy<Value = Link> {
        ("[a-z2-7]{1,40}", any::<u32>(), "\\PC{0,40}", 0u8..16, 0i64..100_000_000_000).prop_map(
            |(id, generation, person, actions, seconds)| Link {
                incident_id: IncidentId::new(id),
                generation,
                person,
                actions: LinkActions(actions),
                expires_at: Timestamp::EPOCH.plus_ms(seconds * 1000),
            },
        )
    }

    proptest! {
        #[test]
        fn reads_as_it_was_signed(link in any_link()) {
            let token = keys(KEY).sign(&link).expect("short names");
            prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(keys(KEY).verify(&token, link.expires_at.plus_ms(-1)), Ok(link));
        }

        /// In the bytes, and in the characters that stand for them: there is one way to write each token.
        #[test]
        fn any_flipped_bit_is_refused(link in any_link(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let token = keys(KEY).sign(&link).expect("short names");
            let mut bytes = URL_SAFE_NO_PAD.decode(&token).expect("ours");
            let n = at.index(bytes.len());
            bytes[n] ^= 1 << bit;
            let changed = URL_SAFE_NO_PAD.encode(bytes);
            prop_assert_eq!(keys(KEY).verify(&changed, Timestamp::EPOCH), Err(LinkError::Invalid));
            let mut text = token.into_bytes();
            let n = at.index(text.len());
            text[n] ^= 1 << bit;
            let changed = String::from_utf8_lossy(&text);
            prop_assert_eq!(keys(KEY).verify(&changed, Timestamp::EPOCH), Err(LinkError::Invalid));
        }

        /// What one link says is not what another says: nothing runs together.
        #[test]
        fn two_links_share_no_token(a in any_link(), b in any_link()) {
            prop_assert_eq!(a == b, keys(KEY).sign(&a) == keys(KEY).sign(&b));
        }

        #[test]
        fn what_is_cut_or_longer_is_refused(link in any_link(), cut in 0usize..100, more in "[A-Za-z0-9_-]{1,8}") {
            let token = keys(KEY).sign(&link).expect("short names");
            let shorter = &token[..token.len().saturating_sub(1 + cut)];
            for changed in [shorter, &format!("{token}{more}"), &format!("{token}="), &format!("{more}{token}")] {
                prop_assert_eq!(keys(KEY).verify(changed, Timestamp::EPOCH), Err(LinkError::Invalid));
            }
        }

        #[test]
        fn any_text_is_refused(text in any::<String>()) {
            prop_assert_eq!(keys(KEY).verify(&text, Timestamp::EPOCH), Err(LinkError::Invalid));
        }
    }
}
