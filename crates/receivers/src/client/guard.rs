//! Which addresses may be connected to: a config must not turn tocsin into a way into the network around it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::endpoint::Endpoint;

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Public,
    Loopback,
    /// RFC 1918, unique local, carrier-grade NAT.
    Private,
    /// Link-local (where clouds keep credentials), multicast, unspecified, reserved: never a receiver.
    Never,
}

/// What a receiver may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Public addresses, over https.
    Public,
    /// Private and loopback addresses too; http on loopback.
    Private,
    /// Private and loopback addresses only, in clear too: for a mail relay of the own network.
    Inside,
    /// Whatever the operator wrote: for receivers that stand on the operator's own network.
    Open,
}

impl Guard {
    /// The guard of an address on the internet, or on a private network where that is allowed. The error calls it `what`.
    pub(crate) fn of(url: &Endpoint, allow_private: bool, what: &str) -> Result<Self, String> {
        let clear_is_fine = allow_private && is_this_machine(url);
        if !url.tls && !clear_is_fine {
            return Err(format!(
                "{what} must be https; plain http is for this machine only, with allow_private = true"
            ));
        }
        let guard = if allow_private { Self::Private } else { Self::Public };
        match url.ip().and_then(|ip| guard.refusal(ip, url.tls)) {
            Some(why) => Err(format!("{what}: {why}")),
            None => Ok(guard),
        }
    }

    /// Why `ip` is refused; `None` if it may be connected to.
    pub(crate) fn refusal(self, ip: IpAddr, tls: bool) -> Option<&'static str> {
        match (self, reach(ip), tls) {
            (_, Reach::Never, _) => {
                Some("link-local, multicast, unspecified and reserved addresses are never connected to")
            }
            (Self::Open, _, _)
            | (Self::Inside, Reach::Loopback | Reach::Private, _)
            | (Self::Private, Reach::Loopback, _)
            | (Self::Private, Reach::Private | Reach::Public, true)
            | (Self::Public, Reach::Public, true) => None,
            (Self::Inside, Reach::Public, _) => {
                Some("it is a public address, and nothing is sent to one in clear: use TLS")
            }
            (Self::Public, Reach::Loopback | Reach::Private, _) => {
                Some("it is a private or loopback address: set allow_private = true if that is meant")
            }
            (Self::Private | Self::Public, _, false) => {
                Some("plain http is for loopback only, with allow_private = true: use https")
            }
        }
    }
}

/// As it is written; what a name resolves to is seen when it is connected to.
pub(crate) fn is_this_machine(endpoint: &Endpoint) -> bool {
    endpoint.host == "localhost" || endpoint.ip().is_some_and(|ip| reach(ip) == Reach::Loopback)
}

fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    let [a, b, c, _] = ip.octets();
    if ip.is_loopback() {
        Reach::Loopback
    } else if ip.is_private() || (a == 100 && (64..128).contains(&b)) {
        Reach::Private
    } else if a == 0
        || a >= 224
        || ip.is_link_local()
        || ip.is_documentation()
        || (a == 198 && (18..20).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
    {
        Reach::Never
    } else {
        Reach::Public
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    if let Some(inner) = ip.to_ipv4_mapped() {
        return reach_v4(inner);
    }
    let s = ip.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    if ip.is_loopback() {
        Reach::Loopback
    } else if ip.is_unique_local() {
        Reach::Private
    } else if s[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        // NAT64: the gateway connects to the IPv4 address inside.
        v4(s[6], s[7])
    } else if s[0] == 0x2002 {
        // 6to4, likewise.
        v4(s[1], s[2])
    } else if s[0] & 0xe000 != 0x2000 || (s[0] == 0x2001 && (s[1] < 0x200 || s[1] == 0xdb8)) {
        // Outside 2000::/3 nothing is a public unicast address; 2001::/23 holds Teredo and other mechanisms.
        Reach::Never
    } else {
        Reach::Public
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_addresses() {
        for (want, addresses) in [
            (Reach::Loopback, &["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"][..]),
            (
                Reach::Private,
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "100.64.0.1",
                    "fd00::1",
                    "::ffff:10.1.1.1",
                    "64:ff9b::a00:1",
                    "2002:a00:1::",
                ],
            ),
            (
                Reach::Never,
                &[
                    "0.0.0.0",
                    "0.1.2.3",
                    "169.254.169.254",
                    "224.0.0.1",
                    "255.255.255.255",
                    "240.0.0.1",
                    "198.18.0.1",
                    "192.0.2.1",
                    "192.0.0.8",
                    "::",
                    "fe80::1",
                    "ff02::1",
                    "fec0::1",
                    "2001:db8::1",
                    "2001::1",
                    "::ffff:169.254.169.254",
                    "64:ff9b::a9fe:a9fe",
                    "::7f00:1",
                ],
            ),
            (
                Reach::Public,
                &[
                    "1.1.1.1",
                    "172.32.0.1",
                    "100.128.0.1",
                    "198.20.0.1",
                    "193.0.0.1",
                    "2606:4700::1111",
                    "2001:4860::8888",
                    "64:ff9b::101:101",
                ],
            ),
        ] {
            for text in addresses {
                assert_eq!(reach(text.parse().unwrap()), want, "{text}");
            }
        }
    }

    #[test]
    fn who_may_connect_where() {
        for (guard, address, tls, fine) in [
            (Guard::Public, "1.1.1.1", true, true),
            (Guard::Public, "1.1.1.1", false, false),
            (Guard::Public, "10.0.0.1", true, false),
            (Guard::Public, "127.0.0.1", true, false),
            (Guard::Private, "127.0.0.1", false, true),
            (Guard::Private, "10.0.0.1", true, true),
            (Guard::Private, "10.0.0.1", false, false),
            (Guard::Private, "1.1.1.1", true, true),
            (Guard::Private, "169.254.169.254", true, false),
            (Guard::Inside, "127.0.0.1", false, true),
            (Guard::Inside, "10.0.0.1", false, true),
            (Guard::Inside, "1.1.1.1", false, false),
            (Guard::Inside, "169.254.169.254", false, false),
            (Guard::Open, "10.0.0.1", false, true),
            (Guard::Open, "169.254.169.254", false, false),
        ] {
            let ip = address.parse().unwrap();
            assert_eq!(guard.refusal(ip, tls).is_none(), fine, "{guard:?} {address} tls {tls}");
        }
    }
}
