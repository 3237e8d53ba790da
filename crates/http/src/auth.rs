//! Who is asking: tokens, and what stands in for them on one's own machine.

use std::fmt;
use std::hint::black_box;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{Method, Uri};
use sha2::{Digest as _, Sha256};
use wire::command::{Principal, Role};
use wire::id;

use crate::config::TokenConfig;
use crate::problem::Problem;
use crate::routes::Access;

const PREFIX: &str = "tocsin_";

/// A new token. It is shown once and kept nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What its holder shows: `Authorization: Bearer …`.
    pub token: String,
    /// What the config holds.
    pub sha256: String,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewToken({})", self.sha256)
    }
}

/// The token of 256 random bits.
#[must_use]
pub fn generate_token(random: [u8; 32]) -> NewToken {
    let token = format!("{PREFIX}{}", id::base32(&random));
    let sha256 = id::hex(&Sha256::digest(token.as_bytes()));
    NewToken { token, sha256 }
}

/// Someone who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub name: String,
    pub role: Option<Role>,
    pub ingest: bool,
}

impl Caller {
    /// Everyone on a loopback address while no token is set.
    #[must_use]
    pub fn local() -> Self {
        Self { name: "local".into(), role: Some(Role::Admin), ingest: true }
    }

    #[must_use]
    pub fn may(&self, access: Access) -> bool {
        match access {
            Access::Open | Access::Signed => true,
            Access::Ingest => self.ingest,
            Access::Role(role) => self.role.is_some_and(|own| own >= role),
        }
    }

    /// Who a command says it is from; `None` for who has no role.
    #[must_use]
    pub fn principal(&self) -> Option<Principal> {
        self.role.map(|role| Principal { name: self.name.clone(), role })
    }
}

/// What is known of who asks. Every request carries it among its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    Known(Caller),
    /// No token was shown.
    Nobody,
    /// A token was shown that is none of ours.
    Unknown,
}

impl Auth {
    /// Whether it may be done; else the answer, which names what is missing.
    pub fn check(&self, access: Access) -> Result<(), Problem> {
        let Some(needs) = access.needs() else { return Ok(()) };
        match self {
            Self::Known(caller) if caller.may(access) => Ok(()),
            Self::Known(caller) => Err(Problem::new(
                403,
                "forbidden",
                format!("{} may not do this: it needs the right {needs}", caller.name),
            )
            .needs(needs)
            .fix("use a token that has it, or ask whoever keeps the config")),
            Self::Nobody => Err(Problem::new(401, "no-token", "this needs a token, and none was shown")
                .at("header Authorization")
                .needs(needs)
                .fix("Authorization: Bearer tocsin_…")),
            Self::Unknown => Err(Problem::new(401, "unknown-token", "this token is not known here")
                .at("header Authorization")
                .needs(needs)
                .fix("`tocsin token` makes one; its sha256 belongs under [[http.token]]")),
        }
    }
}

/// Who holds which token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    known: Vec<TokenConfig>,
    /// Without a token everyone may do everything. Only ever true on a loopback address.
    open: bool,
}

impl Tokens {
    pub(crate) fn new(known: Vec<TokenConfig>, open: bool) -> Self {
        Self { known, open }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    pub(crate) fn identify(&self, headers: &HeaderMap) -> Auth {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (shown.next(), shown.next()) else {
            return match headers.contains_key(AUTHORIZATION) {
                true => Auth::Unknown,
                false if self.open => Auth::Known(Caller::local()),
                false => Auth::Nobody,
            };
        };
        let token = value.to_str().ok().and_then(|text| text.split_once(' ')).and_then(|(scheme, token)| {
            let token = token.trim();
            let fine =
                scheme.eq_ignore_ascii_case("bearer") && token.starts_with(PREFIX) && token.len() <= 128;
            fine.then_some(token)
        });
        let found = token.and_then(|token| self.find(&Sha256::digest(token.as_bytes()).into()));
        match found {
            Some(token) => {
                Auth::Known(Caller { name: token.name.clone(), role: token.role, ingest: token.ingest })
            }
            None => Auth::Unknown,
        }
    }

    /// Compares with every token, all bytes of each, so that time tells nothing about any.
    fn find(&self, hash: &[u8; 32]) -> Option<&TokenConfig> {
        let mut found = None;
        for (i, token) in self.known.iter().enumerate() {
            let differs = token.sha256.iter().zip(hash).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
            if black_box(differs == 0) {
                found = Some(i);
            }
        }
        found.map(|i| &self.known[i])
    }
}

/// Refuses what a browser sends on behalf of a foreign page.
///
/// Without a token the only thing that tells a person on this machine from a page that they have open is where the
/// request says it goes and comes from: the host must be this machine's own (a foreign name that resolves to 127.0.0.1
/// is how pages get around the browser's rule of the same origin). With or without tokens, a change must not come from another origin.
pub(crate) fn refuse_foreign(
    open: bool,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let host = headers.get(HOST).and_then(|h| h.to_str().ok()).or(uri.authority().map(|a| a.as_str()));
    if open && !host.is_some_and(is_own_host) {
        return Err(Problem::new(
            403,
            "foreign-host",
            "without a token only this machine's own names are answered",
        )
        .at("header Host")
        .fix("call localhost, 127.0.0.1 or [::1], or set a token under [[http.token]]"));
    }
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("null"));
    let origin =
        text(ORIGIN.as_str()).map(|o| o.split_once("://").map_or("null", |(_, authority)| authority));
    let foreign = origin.is_some_and(|origin| !host.is_some_and(|host| host.eq_ignore_ascii_case(origin)))
        || text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    if foreign {
        return Err(Problem::new(
            403,
            "foreign-origin",
            "a page from elsewhere may not change anything here",
        )
        .at("headers Origin and Sec-Fetch-Site")
        .fix("call from the same origin, or from outside a browser"));
    }
    Ok(())
}

fn is_own_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    name.eq_ignore_ascii_case("localhost") || matches!(name, "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn held(name: &str, random: u8, role: Option<Role>, ingest: bool) -> (TokenConfig, String) {
        let made = generate_token([random; 32]);
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(&Sha256::digest(made.token.as_bytes()));
        assert_eq!(id::hex(&sha256), made.sha256);
        (TokenConfig { name: name.into(), role, ingest, sha256 }, made.token)
    }

    #[test]
    fn a_token_is_all_of_its_bits() {
        let made = generate_token([7; 32]);
        assert_eq!(made.token.len(), PREFIX.len() + 52);
        assert_ne!(made, generate_token([8; 32]));
        assert!(!format!("{made:?}").contains(&made.token));
    }

    #[test]
    fn who_shows_what_is_who() {
        let (ann, ann_token) = held("ann", 1, Some(Role::Responder), false);
        let (svc, svc_token) = held("svc", 2, None, true);
        let tokens = Tokens::new(vec![ann, svc], false);
        let known = |name: &str, role, ingest| Auth::Known(Caller { name: name.into(), role, ingest });
        for (header, want) in [
            (Some(format!("Bearer {ann_token}")), known("ann", Some(Role::Responder), false)),
            (Some(format!("bearer  {svc_token} ")), known("svc", None, true)),
            (Some(format!("Basic {ann_token}")), Auth::Unknown),
            (Some(ann_token.clone()), Auth::Unknown),
            (Some(format!("Bearer {}", &ann_token[..ann_token.len() - 1])), Auth::Unknown),
            (Some(format!("Bearer {ann_token}a")), Auth::Unknown),
            (Some(format!("Bearer {}", ann_token.to_uppercase())), Auth::Unknown),
            (Some("Bearer ".into()), Auth::Unknown),
            (Some(String::new()), Auth::Unknown),
            (None, Auth::Nobody),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(text) = &header {
                headers.insert(AUTHORIZATION, HeaderValue::from_str(text).unwrap());
            }
            assert_eq!(tokens.identify(&headers), want, "{header:?}");
        }
        let mut two = HeaderMap::new();
        for token in [&ann_token, &svc_token] {
            two.append(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        }
        assert_eq!(tokens.identify(&two), Auth::Unknown, "two tokens are none");
    }

    #[test]
    fn on_ones_own_machine_no_token_is_everything_and_a_wrong_one_nothing() {
        let tokens = Tokens::new(vec![], true);
        assert_eq!(tokens.identify(&HeaderMap::new()), Auth::Known(Caller::local()));
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer tocsin_x"));
        assert_eq!(tokens.identify(&headers), Auth::Unknown);
    }

    #[test]
    fn roles_include_those_before_them() {
        for own in Role::ALL {
            let caller = Caller { name: "x".into(), role: Some(own), ingest: false };
            for asked in Role::ALL {
                assert_eq!(caller.may(Access::Role(asked)), asked <= own);
            }
            assert!(caller.may(Access::Open) && !caller.may(Access::Ingest));
        }
    }

    #[test]
    fn foreign_pages_are_refused() {
        let long = "127.0.0.1.evil.example";
        for (open, method, host, origin, site, fine) in [
            (true, "GET", Some("127.0.0.1:7311"), None, None, true),
            (true, "GET", Some("LOCALHOST:7311"), None, None, true),
            (true, "GET", Some("[::1]:7311"), None, None, true),
            (true, "GET", Some("[::1]"), None, None, true),
            (true, "GET", Some("evil.example:7311"), None, None, false),
            (true, "GET", Some(long), None, None, false),
            (true, "GET", Some("127.0.0.1:evil"), None, None, false),
            (true, "GET", None, None, None, false),
            (false, "GET", Some("tocsin.example"), None, None, true),
            (true, "POST", Some("localhost:7311"), None, None, true),
            (true, "POST", Some("localhost:7311"), Some("http://localhost:7311"), Some("same-origin"), true),
            (true, "POST", Some("localhost:7311"), Some("http://localhost:8080"), None, false),
            (true, "POST", Some("localhost:7311"), Some("https://evil.example"), None, false),
            (true, "POST", Some("localhost:7311"), Some("null"), None, false),
            (true, "POST", Some("localhost:7311"), None, Some("cross-site"), false),
            (true, "POST", Some("localhost:7311"), None, Some("same-site"), false),
            (true, "POST", Some("localhost:7311"), None, Some("none"), true),
            (false, "POST", Some("tocsin.example"), Some("https://evil.example"), None, false),
            (false, "POST", Some("tocsin.example"), Some("https://tocsin.example"), None, true),
            (false, "POST", None, Some("https://tocsin.example"), None, false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("host", host), ("origin", origin), ("sec-fetch-site", site)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            let method: Method = method.parse().unwrap();
            let got = refuse_foreign(open, &method, &Uri::from_static("/"), &headers);
            assert_eq!(got.is_ok(), fine, "{open} {method} {headers:?}");
        }
    }
}
