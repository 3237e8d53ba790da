//! Settings of loops that work on one partition of each topic.

use std::sync::Arc;
use std::time::Duration;

use runtime::settings::Settings;
use wire::topic::Topics;

pub(crate) fn settings(commit_every: Duration, hold_max: Duration) -> Settings {
    Settings {
        namespace: "default".into(),
        instance: "test".into(),
        topics: Arc::new(Topics::of("default")),
        judge_partitions: 1,
        escalate_partitions: 1,
        collect_partitions: 1,
        commit_every,
        progress_every: Duration::from_secs(60),
        idle: Duration::from_secs(3600),
        hold_max,
    }
}
