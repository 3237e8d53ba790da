//! Everything that can be asked of the listener.

use wire::command::Role;

/// One thing that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// `{id}` stands for one segment.
    pub path: &'static str,
    pub access: Access,
    /// What it does, in a sentence.
    pub what: &'static str,
    pub endpoint: Endpoint,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone who reaches the listener.
    Open,
    /// Who may write telemetry and context.
    Ingest,
    /// Who has this role or one that includes it.
    Role(Role),
    /// Who shows what was signed, by us or for us: the request itself, which is checked where it is answered.
    Signed,
}

impl Access {
    /// The right by its name; `None` when none is needed.
    #[must_use]
    pub const fn needs(self) -> Option<&'static str> {
        match self {
            Self::Open | Self::Signed => None,
            Self::Ingest => Some("ingest"),
            Self::Role(role) => Some(role.name()),
        }
    }
}

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Telemetry,
    Context,
    Status,
    Incidents,
    Incident,
    Acknowledge,
    Mitigate,
    Resolve,
    Close,
    Note,
    Raise,
    Clear,
    Snooze,
    Assign,
    Merge,
    Repin,
    Why,
    Silences,
    SilencePreview,
    SilenceMake,
    SilenceEnd,
    CommandAnswer,
    Tail,
    Inbox,
    DeadLetters,
    Audit,
    AuditVerify,
    AuditAnchors,
    Forget,
    Metrics,
    Health,
    Ready,
    LinkPage,
    LinkAction,
    Slack,
    PagerDuty,
    Alertmanager,
}

const VIEWER: Access = Access::Role(Role::Viewer);
const RESPONDER: Access = Access::Role(Role::Responder);
const LEAD: Access = Access::Role(Role::Lead);
const ADMIN: Access = Access::Role(Role::Admin);

const fn get(path: &'static str, access: Access, endpoint: Endpoint, what: &'static str) -> Route {
    Route { method: "GET", path, access, what, endpoint }
}

const fn post(path: &'static str, access: Access, endpoint: Endpoint, what: &'static str) -> Route {
    Route { method: "POST", path, access, what, endpoint }
}

/// The table. The router, the check of rights and the tests read it.
pub const ROUTES: &[Route] = &[
    post(
        "/v1/telemetry",
        Access::Ingest,
        Endpoint::Telemetry,
        "Write predictions and labels; answered once they are durable",
    ),
    post(
        "/v1/context",
        Access::Ingest,
        Endpoint::Context,
        "Write deployments and lineage; answered once they are durable",
    ),
    get("/v1/status", VIEWER, Endpoint::Status, "What runs, how far it is, what is open"),
    get(
        "/v1/incidents",
        VIEWER,
        Endpoint::Incidents,
        "List incidents: ?state=open|cleared|all&severity=sev1,sev2&limit=&cursor=",
    ),
    post(
        "/v1/incidents",
        RESPONDER,
        Endpoint::Raise,
        "Raise an incident that no detector found: {title, severity, source?, family?, subject?, owner?, opened_at?, drill?}",
    ),
    get("/v1/incidents/{id}", VIEWER, Endpoint::Incident, "One incident with its pages and who has it"),
    post("/v1/incidents/{id}/ack", RESPONDER, Endpoint::Acknowledge, "Take an incident: {for_s?, note?}"),
    post(
        "/v1/incidents/{id}/mitigate",
        RESPONDER,
        Endpoint::Mitigate,
        "Say that the harm is contained: {for_s?, note?}",
    ),
    post(
        "/v1/incidents/{id}/resolve",
        RESPONDER,
        Endpoint::Resolve,
        "Say that people are done with it: {reason?, not_actionable?}",
    ),
    post(
        "/v1/incidents/{id}/close",
        RESPONDER,
        Endpoint::Close,
        "Close a resolved incident: {reason, not_actionable?}",
    ),
    post("/v1/incidents/{id}/note", RESPONDER, Endpoint::Note, "Write a note: {text}"),
    post(
        "/v1/incidents/{id}/clear",
        RESPONDER,
        Endpoint::Clear,
        "Say that what was raised so is over: {reason?}",
    ),
    post(
        "/v1/incidents/{id}/snooze",
        RESPONDER,
        Endpoint::Snooze,
        "Page nobody for a time: {for_s, reason?}",
    ),
    post("/v1/incidents/{id}/assign", RESPONDER, Endpoint::Assign, "Hand it to somebody: {to, note?}"),
    post(
        "/v1/incidents/{id}/merge",
        RESPONDER,
        Endpoint::Merge,
        "Work on another incident in its place: {into, reason?}",
    ),
    post(
        "/v1/incidents/{id}/repin",
        RESPONDER,
        Endpoint::Repin,
        "Follow the response bundle in force from now on: {reason?}",
    ),
    get(
        "/v1/incidents/{id}/why",
        VIEWER,
        Endpoint::Why,
        "Why a person was paged about it, or was not: ?person=; without one, whom each step pages",
    ),
    get("/v1/silences", VIEWER, Endpoint::Silences, "Silences that have not ended, with what they mute"),
    post(
        "/v1/silences/preview",
        RESPONDER,
        Endpoint::SilencePreview,
        "Say which open incidents a silence would mute: {of}",
    ),
    post(
        "/v1/silences",
        RESPONDER,
        Endpoint::SilenceMake,
        "Page nobody about what matches: {of, for_s, listed, reason, incidents_max?, until_resolved?, unmatched_s?}",
    ),
    post("/v1/silences/{id}/end", RESPONDER, Endpoint::SilenceEnd, "End a silence: {reason?}"),
    get(
        "/v1/commands/{id}",
        VIEWER,
        Endpoint::CommandAnswer,
        "What became of a command: accepted, refused and why, or unknown",
    ),
    get(
        "/v1/tail",
        VIEWER,
        Endpoint::Tail,
        "Follow incidents, pages and status as lines of JSON or server-sent events: ?from=",
    ),
    get("/v1/inbox", VIEWER, Endpoint::Inbox, "Pages in the built-in inbox, newest first"),
    get(
        "/v1/deadletters",
        VIEWER,
        Endpoint::DeadLetters,
        "The last records that could not be read, and why, the newest last: ?limit=&cursor=",
    ),
    get("/v1/audit", LEAD, Endpoint::Audit, "Records of the audit chain: ?incident=&limit=&cursor="),
    get(
        "/v1/audit/verify",
        VIEWER,
        Endpoint::AuditVerify,
        "Check every record of the audit chain against the one before it",
    ),
    post(
        "/v1/audit/anchors",
        VIEWER,
        Endpoint::AuditAnchors,
        "Check the audit chain against checkpoints that were kept elsewhere: {anchors?, public_keys?}",
    ),
    post(
        "/v1/people/forget",
        ADMIN,
        Endpoint::Forget,
        "Forget a person: {name}; the audit keeps a pseudonym that leads to no name",
    ),
    get("/metrics", VIEWER, Endpoint::Metrics, "Metrics in Prometheus' text format"),
    get("/healthz", Access::Open, Endpoint::Health, "Whether the process answers"),
    get("/readyz", Access::Open, Endpoint::Ready, "Whether each role does its work"),
    get("/i/{token}", Access::Signed, Endpoint::LinkPage, "The page of a link in a message; changes nothing"),
    post(
        "/i/{token}",
        Access::Signed,
        Endpoint::LinkAction,
        "Answer through that page: acknowledge, mitigate, resolve, note",
    ),
    post("/v1/inbound/slack", Access::Signed, Endpoint::Slack, "Take the press of a button in Slack"),
    post(
        "/v1/inbound/pagerduty",
        Access::Signed,
        Endpoint::PagerDuty,
        "Take a webhook of PagerDuty: what is acknowledged or resolved there is so here",
    ),
    post(
        "/v1/inbound/alertmanager",
        RESPONDER,
        Endpoint::Alertmanager,
        "Take a webhook of Alertmanager (version 4): what fires is raised, what is resolved is over",
    ),
];

/// Whether what is at this path is let in by what it shows and by nothing that a browser adds of itself, such as being on
/// this machine: then it matters neither where it comes from nor under which name the listener was reached.
pub(crate) fn is_signed(path: &str) -> bool {
    ROUTES.iter().filter(|route| route.access == Access::Signed).any(|route| {
        let (start, rest) = route.path.split_once('{').unwrap_or((route.path, ""));
        if rest.is_empty() { path == start } else { path.starts_with(start) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_paths() {
        for (path, want) in [
            ("/i/abc", true),
            ("/v1/inbound/slack", true),
            ("/v1/inbound/pagerduty", true),
            ("/v1/inbound/alertmanager", false),
            ("/i", false),
            ("/v1/incidents", false),
            ("/", false),
            ("/ix", false),
        ] {
            assert_eq!(is_signed(path), want, "{path}");
        }
    }
}
