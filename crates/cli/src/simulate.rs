//! `tocsin simulate`: the fleet of the demo, written to any Kafka.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleet::{Fleet, FleetConfig, Scenario};
use runtime::log::{Cleanup, KafkaConfig, KafkaLog, Log as _, TopicSpec};
use wire::Timestamp;

use crate::args::SimulateArgs;
use crate::failure::{Failure, Kind};
use crate::feed::{self, Pace, Played};
use crate::term::{Out, thousands};

/// Writes a scenario to Kafka; a second Ctrl-C is not needed, the first ends it after the batch under way.
///
/// # Errors
/// When an argument is wrong or Kafka cannot be reached.
pub(crate) fn run(args: &SimulateArgs, out: &Out) -> Result<(), Failure> {
    let (config, pace) = plan(args)?;
    let mut kafka = KafkaConfig::new(&args.brokers);
    kafka.client_id = "tocsin-simulate".to_owned();
    let log = KafkaLog::connect(kafka)?;
    let spec = TopicSpec::new(args.topic.as_str(), args.partitions, Cleanup::Delete { retention_ms: None });
    if log.partitions(&args.topic)?.is_none() {
        log.ensure_topics(&[spec], true)?;
    }
    let mut fleet = Fleet::new(&config);
    write_truth(args, &fleet)?;
    let stop = crate::signals::stop_on_ctrl_c()?;
    let played = Arc::new(Played::default());
    let progress = progress(out, pace, Arc::clone(&played), Arc::clone(&stop));
    let done = feed::play(&log, &args.topic, &mut fleet, pace, &played, &stop);
    stop.store(true, Ordering::Relaxed);
    drop(progress.join());
    done?;
    let records = played.records.load(Ordering::Relaxed);
    let through = played.through().unwrap_or(pace.start);
    if out.json {
        out.json(&serde_json::json!({"records": records, "through": through, "topic": args.topic, "seed": args.seed}));
    } else {
        out.line(format!(
            "{} records to {} · event time {} to {through}",
            thousands(records),
            args.topic,
            pace.start
        ));
    }
    Ok(())
}

fn plan(args: &SimulateArgs) -> Result<(FleetConfig, Pace), Failure> {
    let usage = |message: String| Failure::new(Kind::Usage, message);
    if args.scenario == "help" {
        let list: Vec<String> =
            Scenario::ALL.iter().map(|s| format!("  {:<16} {}", s.name(), s.about())).collect();
        return Err(usage(format!("scenarios:\n{}", list.join("\n"))));
    }
    let scenario: Scenario = args.scenario.parse().map_err(|e: fleet::NoScenario| usage(e.to_string()))?;
    let start: Timestamp =
        args.start.parse().map_err(|_| usage(format!("--start {:?} is not RFC 3339", args.start)))?;
    if !(fleet::RATE_MIN..=fleet::RATE_MAX).contains(&args.rate) {
        return Err(usage(format!(
            "--rate {} must be {} to {}",
            args.rate,
            fleet::RATE_MIN,
            fleet::RATE_MAX
        )));
    }
    if !args.speed.is_finite() || args.speed < 0.0 {
        return Err(usage(format!("--speed {} must be 0 or more", args.speed)));
    }
    let quiet_ms = args.quiet.as_deref().map_or(Ok(0), feed::duration_ms).map_err(usage)?;
    let length = match &args.for_ {
        Some(text) => feed::duration_ms(text).map_err(usage)?,
        None => quiet_ms + scenario.length_ms(),
    };
    let config = FleetConfig { seed: args.seed, start, rate: args.rate, scenario, quiet_ms };
    Ok((config, Pace { start, end: start.plus_ms(length), speed: args.speed }))
}

fn write_truth(args: &SimulateArgs, fleet: &Fleet) -> Result<(), Failure> {
    let Some(path) = &args.truth else { return Ok(()) };
    let text = serde_json::to_string_pretty(fleet.truth()).expect("a truth is plain data");
    std::fs::write(path, text)
        .map_err(|e| Failure::new(Kind::CannotStart, format!("{}: {e}", path.display())))
}

/// A line a second on a terminal; nothing in a pipe.
fn progress(
    out: &Out,
    pace: Pace,
    played: Arc<Played>,
    stop: Arc<AtomicBool>,
) -> std::thread::JoinHandle<()> {
    let show = !out.json && std::io::stderr().is_terminal();
    std::thread::spawn(move || {
        let total = pace.end.since_ms(pace.start).max(1);
        while show && !stop.load(Ordering::Relaxed) && !played.done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(500));
            let Some(through) = played.through() else { continue };
            let records = thousands(played.records.load(Ordering::Relaxed));
            let percent = through.since_ms(pace.start) * 100 / total;
            crate::term::status(&format!("{records} records · event time {through} · {percent} %"));
        }
        if show {
            crate::term::status("");
        }
    })
}
