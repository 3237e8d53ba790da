//! Addresses of mail, checked before they come near a command or a header.

/// Lengths by RFC 5321, 4.5.3.1.
const LOCAL_BYTES_MAX: usize = 64;
const ADDRESS_BYTES_MAX: usize = 254;
const DOMAIN_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// That this is one address and nothing else: no line break, no second recipient, no parameter.
///
/// # Errors
/// What is wrong with it, without repeating it.
pub(super) fn check_address(text: &str) -> Result<(), String> {
    let (local, domain) = text.rsplit_once('@').ok_or("is not an address of mail such as ann@example.com")?;
    if text.len() > ADDRESS_BYTES_MAX {
        return Err(format!("is {} bytes long, the most for an address is {ADDRESS_BYTES_MAX}", text.len()));
    }
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    let atoms = local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom));
    if !atoms || local.len() > LOCAL_BYTES_MAX {
        return Err(format!(
            "has something before the @ that is not 1 to {LOCAL_BYTES_MAX} letters, digits and signs of ASCII with single dots between them"
        ));
    }
    check_domain(domain).map_err(|why| format!("has a domain that {why}"))
}

/// That this is a name of a host, in ASCII.
///
/// # Errors
/// What would be right.
pub(super) fn check_domain(text: &str) -> Result<(), String> {
    let label = |part: &str| {
        (1..=LABEL_BYTES_MAX).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if text.len() <= DOMAIN_BYTES_MAX && text.split('.').all(label) {
        return Ok(());
    }
    Err("is not a name such as mail.example.com (letters, digits, - and dots; other scripts as xn--…)".into())
}

/// What stands after the @ of an address that was checked.
pub(super) fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_addresses() {
        let (local, label) = ("l".repeat(64), "d".repeat(63));
        for (text, fine) in [
            ("ann@example.com", true),
            ("ann.o'neil+pager@mail.example.co.uk", true),
            ("root@localhost", true),
            ("_=x/y@a-b.c", true),
            (&format!("{local}@{label}.example"), true),
            (&format!("{local}l@example.com"), false),
            (&format!("a@{label}d.example"), false),
            (&format!("{local}@{}com", "long.".repeat(50)), false),
            ("", false),
            ("ann", false),
            ("@example.com", false),
            ("ann@", false),
            ("ann@-a.com", false),
            ("ann@a..com", false),
            ("ann..b@a.com", false),
            (".ann@a.com", false),
            ("ann b@a.com", false),
            ("\"ann b\"@a.com", false),
            ("ann@[127.0.0.1]", false),
            ("ann@a.com,bob@b.com", false),
            ("ann@a.com>\r\nRCPT TO:<bob@b.com", false),
            ("ann@a.com\n", false),
            ("ann@a.com SIZE=1", false),
            ("<ann@a.com>", false),
            ("änn@a.com", false),
            ("ann@bücher.example", false),
        ] {
            assert_eq!(check_address(text).is_ok(), fine, "{text:?}: {:?}", check_address(text));
        }
    }

    proptest! {
        #[test]
        fn what_passes_can_stand_in_a_command(text in any::<String>(), tail in "[ -~\r\n\t]{0,4}") {
            for text in [text.clone(), format!("{text}@a.com"), format!("a{tail}@{text}"), format!("a@b.c{tail}")] {
                if check_address(&text).is_ok() {
                    prop_assert!(text.len() <= ADDRESS_BYTES_MAX);
                    prop_assert!(text.bytes().all(|b| b.is_ascii_graphic() && !b"<>,;:\"()[]\\".contains(&b)), "{text:?}");
                    prop_assert_eq!(text.matches('@').count(), 1);
                }
            }
        }
    }
}
