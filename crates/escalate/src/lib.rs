//! Incidents into pages: who, when, and until someone owns it.
//!
//! [`Machine`] is the escalation of one partition: an event-sourced state machine without clock, randomness or I/O.
//! Inputs are incidents, commands, outcomes of sends and ticks, each with the time it was taken in; outputs are
//! effects that the runtime commits in one transaction and then carries out. Timers are data in the state.

mod answers;
pub mod audit;
mod checkpoint;
pub mod config;
mod counts;
mod desk;
mod effect;
mod ends;
mod fold;
mod index;
pub mod life;
mod machine;
pub mod mutant;
mod mutes;
mod outbox;
mod own;
mod pace;
mod paging;
mod people;
mod policy;
mod rebuild;
pub mod rehearsal;
pub mod schedule;
mod shelf;
mod state;
mod store;
mod template;
pub mod trial;
mod view;

pub use answers::Answer;
pub use audit::{Anchor, Broken, Checker, Verified, Voucher, Witness, verify};
pub use checkpoint::{Checkpoints, Disbelief, PublicKeys, SigningKey};
pub use config::{
    Bundle, ConfigError, ConfigErrors, EscalateConfig, PeopleConfig, PolicyConfig, RouteConfig,
    SchedulesConfig, SilencesConfig, StakeholdersConfig, StepConfig,
};
pub use counts::{Counters, Counts};
pub use effect::{Effect, Input, Loaded};
pub use fold::{Manner, Manners, ReadBy, Readers};
pub use life::{Decision, Event, Signal, Stage};
pub use machine::{Machine, kept_subject, kept_title};
pub use mutes::{SilenceView, mutes, silences};
pub use pace::Rates;
pub use paging::{NextStep, Paging};
pub use policy::{Plan, Policy, Position, Step, Taking, Target, When, Whom};
pub use rebuild::{CannotTell, rebuild};
pub use state::Timer;
pub use store::{StateError, anchor};
pub use template::BUILT_IN as BUILT_IN_TEMPLATES;
pub use view::{IncidentView, PageView};
