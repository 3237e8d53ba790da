//! Signatures of what PagerDuty sends.

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::config::from_hex;
use crate::trusted::PagerDutySecrets;

/// Most signatures that are looked at: PagerDuty shows one for each secret that a subscription has just now.
const SIGNATURES_MAX: usize = 8;

/// The signatures that the request shows, which are `v1=` and the hexadecimal of HMAC-SHA256 over the body. Others are left.
pub(super) fn shown(headers: &HeaderMap) -> Vec<[u8; 32]> {
    let all = headers.get_all("x-pagerduty-signature").iter().filter_map(|value| value.to_str().ok());
    let each = all.flat_map(|value| value.split(',')).filter_map(|one| one.trim().strip_prefix("v1="));
    each.filter_map(from_hex).take(SIGNATURES_MAX).collect()
}

/// Whether one of these was made with one of the secrets. Takes as long whichever it was, and whatever is wrong.
pub(super) fn is_signed(secrets: &PagerDutySecrets, body: &[u8], signatures: &[[u8; 32]]) -> bool {
    let mut signed = false;
    for secret in secrets.each() {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
        mac.update(body);
        for signature in signatures {
            signed |= mac.clone().verify_slice(signature).is_ok();
        }
    }
    signed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4231, test case 2.
    const SHORT_SECRET: &[u8] = b"Jefe";
    const BODY: &[u8] = b"what do ya want for nothing?";
    const TAG: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const SECRET: &str = "a_secret_of_16_and_more";

    fn header(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-pagerduty-signature", value.parse().expect("a header"));
        headers
    }

    fn sign(secret: &[u8], body: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
        mac.update(body);
        mac.finalize().into_bytes().into()
    }

    #[test]
    fn the_known_tag_is_read_as_it_is_shown() {
        assert_eq!(shown(&header(&format!("v1={TAG}"))), [sign(SHORT_SECRET, BODY)]);
        let other = "ab".repeat(32);
        for (value, count) in [
            (format!("v1={other},v1={TAG}"), 2),
            (format!("v1={other}, v1={TAG}"), 2),
            (format!("v2={other},v1={TAG}"), 1),
            (format!("v1={}", TAG.to_uppercase()), 1),
            ([format!("v1={TAG}").as_str(); 20].join(","), 8),
            (String::new(), 0),
            ("v1=".into(), 0),
            (TAG.into(), 0),
            (format!("v1={TAG}0"), 0),
            (format!("v0={TAG}"), 0),
        ] {
            assert_eq!(shown(&header(&value)).len(), count, "{value}");
        }
    }

    #[test]
    fn any_secret_and_any_signature_will_do() {
        let next = "the_next_secret_is_new";
        let both = PagerDutySecrets::read(&format!("{SECRET} {next}")).expect("long");
        let [old, new] = [SECRET, next].map(|secret| sign(secret.as_bytes(), BODY));
        for (secrets, signatures, want) in [
            (&both, vec![old], true),
            (&both, vec![new], true),
            (&both, vec![[0; 32], new], true),
            (&both, vec![[0; 32]], false),
            (&both, vec![], false),
            (&PagerDutySecrets::read(SECRET).expect("long"), vec![new], false),
            (&PagerDutySecrets::default(), vec![old, sign(b"", BODY)], false),
        ] {
            assert_eq!(is_signed(secrets, BODY, &signatures), want, "{secrets:?} {signatures:?}");
        }
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8, tag in any::<bool>()) {
            let secrets = PagerDutySecrets::read(SECRET).expect("long");
            let (mut body, mut signature) = (BODY.to_vec(), sign(SECRET.as_bytes(), BODY));
            let changed: &mut [u8] = if tag { &mut signature } else { &mut body };
            let n = at.index(changed.len());
            changed[n] ^= 1 << bit;
            prop_assert!(!is_signed(&secrets, &body, &[signature]));
        }
    }
}
