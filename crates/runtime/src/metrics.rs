//! Every metric name, once. Units are in the names; labels are bounded (topics, reasons, roles, receivers).

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub const RECORDS: &str = "tocsin_records_total";
pub const DEAD_LETTERS: &str = "tocsin_deadletters_total";
pub const LAG: &str = "tocsin_lag_records";
pub const WATERMARK_AGE: &str = "tocsin_watermark_age_seconds";
pub const PANES_CLOSED: &str = "tocsin_panes_closed_total";
pub const PANE_LATENCY: &str = "tocsin_pane_latency_seconds";
pub const RECORDS_DROPPED: &str = "tocsin_records_dropped_total";
pub const CONTEXT_REFUSED: &str = "tocsin_context_refused_total";
pub const HISTORY_LEFT_OUT: &str = "tocsin_history_left_out_total";
pub const NOT_JUDGED: &str = "tocsin_panes_not_judged_total";
pub const PANES_TOO_LARGE: &str = "tocsin_panes_too_large_total";
pub const INCIDENTS_OPEN: &str = "tocsin_incidents_open";
pub const INCIDENTS: &str = "tocsin_incidents_total";
pub const PAGES: &str = "tocsin_pages_total";
pub const FAILED_OPEN: &str = "tocsin_failed_open_total";
pub const BUDGET_SPENT: &str = "tocsin_budget_spent";
pub const BUDGET_PER_WEEK: &str = "tocsin_budget_per_week";
pub const RESTORE: &str = "tocsin_restore_seconds";
pub const TRANSACTION: &str = "tocsin_transaction_seconds";
pub const TRANSACTIONS: &str = "tocsin_transactions_total";
pub const TABLE_SIZE: &str = "tocsin_table_size";
pub const TABLE_BOUND: &str = "tocsin_table_bound";
pub const NOT_COUNTED: &str = "tocsin_records_not_counted_total";
pub const ESCALATION: &str = "tocsin_escalation_total";
pub const INCIDENTS_KNOWN: &str = "tocsin_incidents_known";
pub const INCIDENTS_SILENT: &str = "tocsin_incidents_silent";
pub const INCIDENTS_MUTED: &str = "tocsin_incidents_muted";
pub const SILENCES: &str = "tocsin_silences";
pub const PAGES_PENDING: &str = "tocsin_pages_pending";
pub const BUILD_INFO: &str = "tocsin_build_info";
pub const READY: &str = "tocsin_ready";
pub const CONFIG_RELOADS: &str = "tocsin_config_reloads_total";
pub const CONFIG_REPLACED: &str = "tocsin_config_replaced_total";
pub const CONFIG_INFO: &str = "tocsin_config_info";
pub const CHECKPOINTS: &str = "tocsin_audit_checkpoints_total";
pub const HEARTBEATS: &str = "tocsin_heartbeats_total";
pub const CANARY: &str = "tocsin_canary_records_total";
pub const ACCESS: &str = "tocsin_access_total";
pub const INBOUND: &str = "tocsin_inbound_total";
pub const DATA_GAPS: &str = "tocsin_data_gaps_total";
pub const UNREADABLE: &str = "tocsin_records_unreadable_total";

/// Names every metric to the recorder; call once, after it is installed.
pub fn describe() {
    describe_counter!(RECORDS, "Telemetry records read, by source topic and kind");
    describe_counter!(DEAD_LETTERS, "Records that could not be decoded, by reason");
    describe_gauge!(LAG, "Records not yet read, by role, topic and partition");
    describe_counter!(RECORDS_DROPPED, "Records left out because their topic takes none so large, by topic");
    describe_counter!(
        HISTORY_LEFT_OUT,
        "Streams and measures of judged panes for which a history record had no room"
    );
    describe_counter!(CONTEXT_REFUSED, "Context records that no judge was told of, by reason");
    describe_gauge!(WATERMARK_AGE, Unit::Seconds, "Wall clock minus watermark; meaningless in fast replay");
    describe_counter!(PANES_CLOSED, "Panes judged");
    describe_counter!(
        NOT_JUDGED,
        "Parts of panes that came late or did not fit, and panes closed early or without all of their data, by reason"
    );
    describe_counter!(
        PANES_TOO_LARGE,
        "Partial panes beyond what a judge puts together: `halved` lost features, `lost` is not judged"
    );
    describe_histogram!(PANE_LATENCY, Unit::Seconds, "From the commit of a pane's last part to its verdict");
    describe_gauge!(INCIDENTS_OPEN, "Incidents whose signal is open, by severity and family");
    describe_counter!(INCIDENTS, "Incident records, by change, severity and family");
    describe_gauge!(BUDGET_SPENT, "False pages and tickets granted so far");
    describe_gauge!(BUDGET_PER_WEEK, "False pages and tickets that the operator allows a week");
    describe_histogram!(RESTORE, Unit::Seconds, "Time until the state of a partition was read back, by role");
    describe_histogram!(TRANSACTION, Unit::Seconds, "Time of one commit, by role");
    describe_counter!(TRANSACTIONS, "Transactions, by role and outcome");
    describe_gauge!(TABLE_SIZE, "Entries in a bounded table");
    describe_gauge!(TABLE_BOUND, "Most entries that a table may have");
    describe_counter!(
        NOT_COUNTED,
        "Predictions and labels that were not counted, or not as what they said they were, by reason"
    );
    describe_gauge!(BUILD_INFO, "Always 1; the version is a label");
    describe_gauge!(READY, "1 when the role has restored its state and is working");
    describe_counter!(CONFIG_RELOADS, "Looks at a config file that had changed or was asked for, by outcome");
    describe_counter!(
        CONFIG_REPLACED,
        "Configs that this process put in the place of another in a panes partition"
    );
    describe_gauge!(CONFIG_INFO, "1 for the digest of the config that judges a panes partition, else 0");
    describe_counter!(UNREADABLE, "Records of tocsin's own topics that are damaged or not ours, by topic");
    describe_counter!(DATA_GAPS, "Partitions whose committed offset had expired, by topic");
    describe_escalation();
}

fn describe_escalation() {
    describe_counter!(PAGES, "Attempts to page, by receiver and outcome");
    describe_counter!(FAILED_OPEN, "Takeovers after which pages left before all that waited was read");
    describe_counter!(
        HEARTBEATS,
        "Signs of life to the checker outside, by outcome: sent, withheld (something is not well here), failed"
    );
    describe_counter!(CANARY, "Telemetry of the canary, by outcome: written, failed");
    describe_counter!(
        CHECKPOINTS,
        "Checkpoints of the audit on their way into the file beside the chain, by outcome: written, failed, lost"
    );
    describe_counter!(
        ACCESS,
        "Requests that read or act on one incident, the audit or a person, by what and outcome"
    );
    describe_counter!(ESCALATION, "What the escalation machine did, turned away or cut short, by event");
    describe_gauge!(
        INCIDENTS_KNOWN,
        "Incidents by where people stand; the ended ones that are kept included"
    );
    describe_gauge!(INCIDENTS_SILENT, "Incidents that should page until owned, with no timer to; always 0");
    describe_gauge!(
        INCIDENTS_MUTED,
        "Incidents about which nobody is paged just now: silences, maintenance, upstream"
    );
    describe_counter!(
        INBOUND,
        "Events of PagerDuty and alerts of Alertmanager that were sent to this process, by what became of them"
    );
    describe_gauge!(SILENCES, "Silences that have not ended");
    describe_gauge!(PAGES_PENDING, "Pages not yet delivered, by receiver, waiting for room or on their way");
}
