//! An address to send to, checked when the config is read.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;

/// An http or https address. Printed without its path and query, which often hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// https.
    pub tls: bool,
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    /// Path and query, never empty.
    pub path: String,
}

impl Endpoint {
    /// `Host` of a request: with brackets where the address needs them, without the port that the scheme implies.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == Self::default_port(self.tls) { host } else { format!("{host}:{}", self.port) }
    }

    /// The address, where the host is one and not a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    const fn default_port(tls: bool) -> u16 {
        if tls { 443 } else { 80 }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// The error does not repeat the address: it may hold a token.
    fn from_str(text: &str) -> Result<Self, String> {
        let form = "an address such as https://host/path";
        if text.len() > 2048 {
            return Err(format!("is {} bytes long, the most is 2048", text.len()));
        }
        let uri: Uri = text.parse().map_err(|_| format!("is not {form}"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(other) => return Err(format!("has the scheme {other}, not http or https")),
            None => return Err(format!("has no scheme: write {form}")),
        };
        if text.contains('#') {
            return Err("has a fragment (#…), which is never sent".into());
        }
        let authority = uri.authority().ok_or_else(|| format!("has no host: write {form}"))?;
        if authority.as_str().contains('@') {
            return Err("holds a user or password: secrets belong in secret_env or secret_file".into());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || (host.contains(':') && host.parse::<IpAddr>().is_err()) {
            return Err(format!("has no host: write {form}"));
        }
        let port = match authority.port() {
            Some(port) if port.as_u16() != 0 => port.as_u16(),
            Some(_) => return Err("has the port 0".into()),
            None if authority.as_str() != authority.host() => {
                return Err("has a port that is not a number from 1 to 65535".into());
            }
            None => Self::default_port(tls),
        };
        let path = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str).to_owned();
        Ok(Self { tls, host, port, path })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}/…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_addresses() {
        for (text, want) in [
            ("https://hooks.example.com/a?b=c", Ok(("https://hooks.example.com", "/a?b=c"))),
            ("http://[::1]:9093", Ok(("http://[::1]:9093", "/"))),
            ("HTTPS://Example.com:443/", Ok(("https://Example.com", "/"))),
            ("ftp://example.com", Err("scheme ftp")),
            ("example.com/hook", Err("is not")),
            ("/hook", Err("no scheme")),
            ("https://user:pw@example.com", Err("password")),
            ("https://example.com/#x", Err("fragment")),
            ("https:///path", Err("is not")),
            ("https://exa mple.com", Err("is not")),
            ("https://example.com:99999/", Err("port")),
            ("https://example.com:/", Err("port")),
            ("https://example.com:0/", Err("port 0")),
            ("", Err("is not")),
        ] {
            match (text.parse::<Endpoint>(), want) {
                (Ok(got), Ok((shown, path))) => {
                    assert_eq!((got.to_string().as_str(), got.path.as_str()), (shown, path), "{text}");
                }
                (Err(got), Err(part)) => assert!(got.contains(part), "{text}: {got}"),
                (got, want) => panic!("{text}: got {got:?}, want {want:?}"),
            }
        }
    }

    #[test]
    fn path_is_not_printed() {
        let endpoint: Endpoint = "https://example.com/services/T0/sekret?key=sekret".parse().unwrap();
        assert!(!format!("{endpoint} {endpoint:?}").contains("sekret"));
    }
}
