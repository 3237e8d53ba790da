//! Numbers for metrics.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::life::Stage;

/// How things stand on one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Known incidents by where people stand; those that ended and are still kept included.
    pub stages: BTreeMap<Stage, u64>,
    /// Incidents that have not ended, against `incidents_max`.
    pub live: u64,
    pub ended: u64,
    pub incidents_max: u64,
    /// Answers to commands that are remembered, against `commands_max`: the oldest makes room.
    pub commands: u64,
    pub commands_max: u64,
    /// Incidents nobody owns, with no escalation timer although their policy pages until owned. Always 0.
    pub silent: u64,
    /// Incidents about which nobody is paged, for a silence, maintenance or something upstream.
    pub muted: u64,
    /// Silences that have not ended.
    pub silences: u64,
    /// Pages that may leave as soon as their receiver has room, by receiver.
    pub waiting: BTreeMap<String, u64>,
    /// Attempts under way, by receiver.
    pub in_flight: BTreeMap<String, u64>,
    /// Since this process took the partition.
    pub total: Counters,
}

/// Events since this process took the partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Incident records taken in.
    pub incidents: u64,
    /// Inputs that changed nothing, having been taken in before.
    pub duplicates: u64,
    /// Incident records whose predecessor never came.
    pub gaps: u64,
    /// Incidents turned away because `incidents_max` was reached.
    pub incidents_refused: u64,
    pub commands_accepted: u64,
    pub commands_refused: u64,
    pub pages_intended: u64,
    pub pages_cancelled: u64,
    /// Pages not decided because an incident had `pages_max` on their way.
    pub pages_refused: u64,
    /// Pages that waited a moment, to go with others: the page that speaks for them all.
    pub pages_held: u64,
    /// Pages for which another speaks.
    pub pages_folded: u64,
    /// Pages that were begun after somebody had answered, and before that was known.
    pub pages_crossed: u64,
    pub pages_delivered: u64,
    pub pages_failed: u64,
    /// Pages that went to the fallback.
    pub fallbacks: u64,
    pub attempts: u64,
    /// Outcomes of attempts, by receiver and class.
    pub outcomes: BTreeMap<String, BTreeMap<&'static str, u64>>,
    /// Attempts that had no outcome when their lease ended.
    pub leases_expired: u64,
    /// Outcomes that came when they no longer mattered.
    pub outcomes_late: u64,
    /// Steps that paged late and were spread out.
    pub catch_ups: u64,
    pub acknowledgements_expired: u64,
    /// Ends of alerts said once more, after a takeover or a request without an answer.
    pub resolves_repeated: u64,
    /// Acknowledged, and nothing done in the time that the policy gives.
    pub unanswered: u64,
    /// Responses that left the timeline in memory; the topic has them.
    pub timeline_dropped: u64,
    /// Texts of people or receivers that were cut to their bound.
    pub texts_cut: u64,
    /// tocsin's own incidents opened.
    pub own_incidents: u64,
    /// Incidents muted, each time anew.
    pub muted: u64,
}
