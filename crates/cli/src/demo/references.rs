//! What the simulated fleet looks like when it is healthy.
//!
//! At rate 1 the references are checked in: 28 simulated days, built by the same code as `tocsin reference build`
//! (`cargo run --release --example demo_references` rewrites them). At another rate, whose traffic is another, they are
//! built before the demo begins.

use std::io::{IsTerminal as _, Read as _};
use std::sync::Arc;

use detect::collect::Role;
use detect::reference::{Reference, ReferenceBuilder};
use fleet::{Fleet, FleetConfig, Scenario};

use crate::config::Checked;
use crate::failure::{Failure, Kind};
use crate::term::{self, Out};

const CHECKED_IN: &[u8] = include_bytes!("references.json.gz");
const DAY_MS: i64 = 86_400_000;
/// How long the fleet is watched for a reference.
pub(crate) const DAYS: i64 = 28;
/// Seed of the healthy fleet: no story has it.
const SEED: u64 = 0x7031;

/// References for a fleet of this rate.
///
/// # Errors
/// When they cannot be built.
pub(crate) fn pinned(checked: &Checked, fleet: &FleetConfig, out: &Out) -> Result<Vec<Reference>, Failure> {
    if (fleet.rate - 1.0).abs() < 1e-9 {
        return checked_in();
    }
    #[expect(clippy::cast_possible_truncation, reason = "a number of days")]
    let days = ((DAYS as f64) / fleet.rate.max(1.0)).ceil().max(4.0) as i64;
    if !out.json {
        out.line(format!(
            "Watching {days} healthy days of the fleet at rate {} first, to know what is normal.",
            fleet.rate
        ));
    }
    build(checked, fleet.rate, days)
}

pub(crate) fn checked_in() -> Result<Vec<Reference>, Failure> {
    let broken =
        |e: &dyn std::fmt::Display| Failure::new(Kind::CannotStart, format!("the demo's references: {e}"));
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(CHECKED_IN).read_to_end(&mut text).map_err(|e| broken(&e))?;
    serde_json::from_slice(&text).map_err(|e| broken(&e))
}

/// Builds references from a healthy fleet that ends where the demo's stories begin.
///
/// # Errors
/// When there is too little to learn from.
pub(crate) fn build(checked: &Checked, rate: f64, days: i64) -> Result<Vec<Reference>, Failure> {
    let start = FleetConfig::default().start.plus_ms(-days * DAY_MS);
    let config = FleetConfig { seed: SEED, start, rate, scenario: Scenario::Steady, quiet_ms: 0 };
    let end = start.plus_ms(days * DAY_MS);
    let mut builder = ReferenceBuilder::new(Arc::new(checked.telemetry.clone()), Arc::clone(&checked.judge));
    each(&config, end, "learning how to fold", |json| builder.record(Role::Predictions, json));
    builder.next_pass();
    each(&config, end, "folding", |json| builder.record(Role::Predictions, json));
    if std::io::stderr().is_terminal() {
        term::status("");
    }
    let built = builder.finish();
    match built.refused.first() {
        None => Ok(built.references),
        Some((model, version, n)) => {
            let why = format!("the demo's references: {model} {version} has only {n} records");
            Err(Failure::new(Kind::CannotStart, why))
        }
    }
}

fn each(config: &FleetConfig, end: wire::Timestamp, what: &str, mut take: impl FnMut(&[u8])) {
    let mut fleet = Fleet::new(config);
    let (show, total) = (std::io::stderr().is_terminal(), end.since_ms(config.start).max(1));
    let mut n = 0u64;
    loop {
        let record = fleet.advance();
        if record.arrival >= end {
            return;
        }
        take(record.json);
        n += 1;
        if show && n.is_multiple_of(100_000) {
            let percent = record.arrival.since_ms(config.start) * 100 / total;
            term::status(&format!("{what}: {percent} %"));
        }
    }
}
