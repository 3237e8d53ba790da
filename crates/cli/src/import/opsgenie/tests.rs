//! What is not known of an answer is named.

use super::*;

fn moved(text: &str) -> Moved {
    let export = Export { name: "x.json".into(), text: text.into() };
    read(&[export], "2026-03-01T00:00:00Z".parse().expect("an instant")).expect("an import")
}

/// One of each kind; every one of them has a field more than is known.
const ALL: &str = r#"[
  {"id": "u1", "username": "ada@example.org", "fullName": "Ada", "role": {"name": "User"}, "mutedUntil": "2027-01-01",
   "userContacts": [{"contactMethod": "email", "to": "ada@example.org", "quiet": true}]},
  {"id": "t1", "name": "Risk", "description": "", "region": "eu",
   "members": [{"user": {"id": "u1", "username": "ada@example.org"}, "role": "user", "shadow": true}]},
  {"id": "s1", "name": "Nights", "timezone": "UTC", "enabled": true, "backup": "u1", "rotations": [
    {"id": "r1", "name": "All", "startDate": "2026-01-05T08:00:00Z", "type": "weekly", "length": 1, "skipHolidays": true,
     "participants": [{"type": "user", "id": "u1", "username": "ada@example.org"}],
     "timeRestriction": {"type": "time-of-day", "inverted": true,
       "restriction": {"startHour": 8, "startMin": 0, "endHour": 18, "endMin": 0, "everyOther": 2}}}]},
  {"_parent": {"id": "s1"}, "alias": "swap", "user": {"type": "user", "id": "u1"}, "partial": true,
   "startDate": "2027-02-08T08:00:00Z", "endDate": "2027-02-10T08:00:00Z", "rotations": []},
  {"id": "e1", "name": "Esc", "description": "", "ownerTeam": {"id": "t1", "name": "Risk"}, "quorum": 2,
   "rules": [{"condition": "if-not-acked", "notifyType": "default", "delay": {"timeAmount": 0, "timeUnit": "minutes"},
              "recipient": {"type": "user", "id": "u1"}, "priority": "P1"}],
   "repeat": {"waitInterval": 10, "count": 2, "backoff": 2}},
  {"id": "x1", "name": "Default", "isDefault": true, "order": 0, "criteria": {"type": "match-all"}, "delayAlert": 5,
   "notify": {"type": "escalation", "id": "e1", "name": "Esc"}}
]"#;

#[test]
fn fields_that_are_not_known_are_named() {
    let moved = moved(ALL);
    let said: Vec<_> = moved.left.iter().filter(|left| left.why.ends_with(", which is not known")).collect();
    let said: Vec<_> = said.iter().map(|left| format!("{} {}", left.what, left.why)).collect();
    let want = [
        "person ada has mutedUntil",
        "person ada, email has quiet",
        "team Risk has region",
        "team Risk, a member has shadow",
        "schedule Nights has backup",
        "schedule Nights, rotation All has skipHolidays",
        "schedule Nights, rotation All, timeRestriction has inverted",
        "schedule Nights, rotation All, timeRestriction has everyOther",
        "override swap has partial",
        "escalation Esc has quorum",
        "escalation Esc, a rule has priority",
        "escalation Esc, repeat has backoff",
        "routing rule Default has delayAlert",
    ];
    assert_eq!(said, want.map(|want| format!("{want}, which is not known")));
}
