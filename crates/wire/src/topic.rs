//! The topics, by role. Names are `tocsin.<what>.v1`; a namespace other than `default` goes in between.

/// Names of every topic of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    pub telemetry: String,
    pub context: String,
    pub panes: String,
    pub history: String,
    pub incidents: String,
    pub open: String,
    pub responses: String,
    pub commands: String,
    pub control: String,
    pub outbox: String,
    pub audit: String,
    pub deadletters: String,
    pub state_collect: String,
    pub state_judge: String,
    pub state_escalate: String,
}

impl Topics {
    #[must_use]
    pub fn of(namespace: &str) -> Self {
        let middle = if namespace == "default" { String::new() } else { format!("{namespace}.") };
        let name = |what: &str| format!("tocsin.{middle}{what}.v1");
        Self {
            telemetry: name("telemetry"),
            context: name("context"),
            panes: name("panes"),
            history: name("history"),
            incidents: name("incidents"),
            open: name("open"),
            responses: name("responses"),
            commands: name("commands"),
            control: name("control"),
            outbox: name("outbox"),
            audit: name("audit"),
            deadletters: name("deadletters"),
            state_collect: name("state.collect"),
            state_judge: name("state.judge"),
            state_escalate: name("state.escalate"),
        }
    }
}
