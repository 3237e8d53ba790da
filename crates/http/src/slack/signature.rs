//! Signatures of what Slack sends.
//!
//! Source: docs.slack.dev, "Verifying requests from Slack".

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How far the time in a request may be from ours, in seconds: what is older may be a repeat by somebody else.
const SKEW_S: u64 = 300;

/// The time in `x-slack-request-timestamp`, if it is near `now` (both in seconds).
pub(super) fn fresh(timestamp: &str, now: i64) -> bool {
    let digits = (1..=12).contains(&timestamp.len()) && timestamp.bytes().all(|b| b.is_ascii_digit());
    digits && timestamp.parse::<i64>().is_ok_and(|at| at.abs_diff(now) <= SKEW_S)
}

/// Whether `signature` (`v0=` and the hexadecimal of HMAC-SHA256 over `v0:timestamp:body`) was made with this secret. Takes
/// as long whatever is wrong with it.
pub(super) fn is_signed(secret: &[u8], timestamp: &str, body: &[u8], signature: &str) -> bool {
    let Some(tag) = signature.strip_prefix("v0=").and_then(from_hex) else { return false };
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(b"v0:");
    mac.update(timestamp.as_bytes());
    mac.update(b":");
    mac.update(body);
    mac.verify_slice(&tag).is_ok()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let pairs = text.as_bytes().chunks_exact(2);
    if text.len() != 64 {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(pairs) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What Slack's documentation works through.
    const SECRET: &[u8] = b"8f742231b10e8888abcd99yyyzzz85a5";
    const TIMESTAMP: &str = "1531420618";
    const BODY: &[u8] = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F\
hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a\
0bc887a14d10d2c447fce8b6703c";
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

    #[test]
    fn the_documented_example() {
        assert!(is_signed(SECRET, TIMESTAMP, BODY, SIGNATURE));
        assert!(!is_signed(b"another", TIMESTAMP, BODY, SIGNATURE));
        assert!(!is_signed(SECRET, "1531420619", BODY, SIGNATURE));
        for wrong in [
            "",
            "v0=",
            &SIGNATURE[..66],
            &SIGNATURE.replace("v0", "v1"),
            &format!("{SIGNATURE}0"),
            &SIGNATURE[3..],
        ] {
            assert!(!is_signed(SECRET, TIMESTAMP, BODY, wrong), "{wrong}");
        }
    }

    #[test]
    fn five_minutes_either_way() {
        for (timestamp, now, want) in [
            (TIMESTAMP, 1_531_420_618, true),
            (TIMESTAMP, 1_531_420_918, true),
            (TIMESTAMP, 1_531_420_919, false),
            (TIMESTAMP, 1_531_420_318, true),
            (TIMESTAMP, 1_531_420_317, false),
            ("", 0, false),
            ("-1", 0, false),
            ("1e3", 1000, false),
            ("99999999999999999999", 0, false),
        ] {
            assert_eq!(fresh(timestamp, now), want, "{timestamp} at {now}");
        }
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8, tag in any::<bool>()) {
            let (mut body, mut signature) = (BODY.to_vec(), SIGNATURE.as_bytes().to_vec());
            let changed = if tag { &mut signature } else { &mut body };
            let n = at.index(changed.len());
            changed[n] ^= 1 << bit;
            // Hexadecimal reads the same in capitals.
            prop_assume!(!signature.eq_ignore_ascii_case(SIGNATURE.as_bytes()) || !tag);
            prop_assert!(!is_signed(SECRET, TIMESTAMP, &body, &String::from_utf8_lossy(&signature)));
        }
    }
}
