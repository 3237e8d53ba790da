//! A simulated fleet of models that writes telemetry and knows what it did wrong.
//!
//! A pure core: no clock, no I/O, no threads. The same config gives the same bytes on every machine. It is realistic
//! where detectors break: days and weeks, bursts, correlated latency with a heavy tail, blips of errors, labels that
//! come late or never and sooner when the model was right, records out of order and twice, planned rollouts, rates
//! that differ by a factor of a hundred.
//!
//! ```
//! use tocsin_fleet::{Fleet, FleetConfig, Kind};
//!
//! let mut fleet = Fleet::new(&FleetConfig { seed: 7, ..FleetConfig::default() });
//! let record = fleet.advance();
//! assert_eq!(record.kind, Kind::Prediction);
//! assert!(record.json.starts_with(br#"{"kind":"prediction","prediction_id":""#));
//! ```

mod fleet;
mod json;
mod layout;
mod lineup;
mod moment;
mod rng;
mod scenario;
mod score;
mod source;
mod truth;

pub use fleet::{Fleet, FleetConfig, Kind, QUIET_MAX_MS, RATE_MAX, RATE_MIN, Record};
pub use lineup::{Category, FeatureKind, FeatureSpec, LabelSpec, ModelSpec, Task, lineup};
pub use scenario::{NoScenario, Scenario};
pub use score::{Found, Score, Seen, score};
pub use truth::{Benign, BenignKind, Change, ChangeKind, Truth, Urgency};
