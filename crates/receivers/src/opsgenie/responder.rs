//! Who is to respond, as a target names them.

use serde::Serialize;

/// The target that leaves it to the integration's own routing.
const DEFAULT: &str = "default";
const KINDS: [&str; 4] = ["team", "user", "escalation", "schedule"];

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Responder<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    by: By<'a>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum By<'a> {
    Id(&'a str),
    Name(&'a str),
    /// Users have no name that is theirs alone, but the address that they log in with.
    Username(&'a str),
}

impl<'a> Responder<'a> {
    /// `None` if the integration decides.
    ///
    /// # Errors
    /// What would be right, without repeating it.
    pub(super) fn of(target: &'a str) -> Result<Option<Self>, String> {
        if target == DEFAULT {
            return Ok(None);
        }
        let parts = target.split_once(':').filter(|(_, name)| !name.trim().is_empty());
        let known = parts.and_then(|(kind, name)| Some((KINDS.into_iter().find(|k| *k == kind)?, name)));
        let Some((kind, name)) = known else {
            return Err(format!(
                "is not team:NAME, user:ADDRESS, escalation:NAME or schedule:NAME, nor {DEFAULT}, by which the integration decides"
            ));
        };
        let by = match kind {
            "user" if name.contains('@') => By::Username(name),
            "user" => By::Id(name),
            _ if is_uuid(name) => By::Id(name),
            _ => By::Name(name),
        };
        Ok(Some(Self { kind, by }))
    }
}

/// The form of ids: groups of 8, 4, 4, 4 and 12 hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let hex = |part: &str| part.bytes().all(|b| b.is_ascii_hexdigit());
    text.split('-').all(hex) && text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_target_names_who_is_to_respond() {
        let uuid = "4513b7ea-3b91-438f-b7e4-e3e54af9147c";
        for (target, want) in [
            ("team:risk", json!({"type": "team", "name": "risk"})),
            ("team:Risk & Fraud", json!({"type": "team", "name": "Risk & Fraud"})),
            ("team:a:b", json!({"type": "team", "name": "a:b"})),
            ("escalation:nights", json!({"type": "escalation", "name": "nights"})),
            ("schedule:primary", json!({"type": "schedule", "name": "primary"})),
            ("user:ada@example.org", json!({"type": "user", "username": "ada@example.org"})),
            ("user:5b10ac8d82e05b22cc7d4ef5", json!({"type": "user", "id": "5b10ac8d82e05b22cc7d4ef5"})),
            (&format!("team:{uuid}"), json!({"type": "team", "id": uuid})),
            (&format!("schedule:{uuid}0"), json!({"type": "schedule", "name": format!("{uuid}0")})),
        ] {
            let got = Responder::of(target).unwrap_or_else(|why| panic!("{target} {why}"));
            assert_eq!(serde_json::to_value(got).expect("JSON"), want, "{target}");
        }
        assert_eq!(Responder::of("default"), Ok(None));
    }

    #[test]
    fn what_names_nobody_is_refused() {
        for target in ["", "risk", "team:", "user: ", "Team:risk", "group:risk", "Default", ":risk"] {
            let why = Responder::of(target).expect_err(target);
            assert!(why.contains("team:NAME") && why.contains("default"), "{why}");
        }
    }
}
