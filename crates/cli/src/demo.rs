//! `tocsin demo`: a simulated fleet, the whole product on it, and at the end what was found of what was planted.

pub(crate) mod references;
pub(crate) mod screen;
mod summary;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fleet::{Fleet, FleetConfig, Scenario, Truth};
use runtime::clock::Clock;
use runtime::log::{EmbeddedConfig, EmbeddedLog, LogError};
use runtime::views::Event;
use tokio::sync::broadcast::error::TryRecvError;
use wire::Timestamp;
use wire::topic::Topics;

use crate::app::{App, Options};
use crate::args::{DemoArgs, Role};
use crate::config::{self, Checked, TEMPLATE};
use crate::failure::{Failure, Kind};
use crate::feed::{self, Pace, Played};
use crate::term::{Look, Out, span, thousands};

/// Event time played beyond the story, so that its last pane closes.
const AFTER_MS: i64 = 120_000;
/// Longest wait for the last verdicts after the last record.
const SETTLE: Duration = Duration::from_secs(20);

/// # Errors
/// When it cannot start, when something planted was missed, or when anything else paged.
pub(crate) fn run(args: &DemoArgs, out: &Out) -> Result<(), Failure> {
    let usage = |message: String| Failure::new(Kind::Usage, message);
    let scenario: Scenario = args.scenario.parse().map_err(|e: fleet::NoScenario| usage(e.to_string()))?;
    if !(fleet::RATE_MIN..=1000.0).contains(&args.rate) {
        return Err(usage(format!("--rate {} must be {} to 1000", args.rate, fleet::RATE_MIN)));
    }
    if args.for_s == 0 {
        return Err(usage("--for 0: the story needs at least a second".to_owned()));
    }
    let config = FleetConfig { seed: args.seed, rate: args.rate, scenario, ..FleetConfig::default() };
    let stop = crate::signals::stop_on_ctrl_c()?;
    let stage = Stage::set(args)?;
    let checked = stage.config(args, &config, out)?;
    let log = EmbeddedLog::open(EmbeddedConfig::file(stage.dir.join(&checked.config.log.path)))?;
    let roles = vec![Role::Collect, Role::Judge, Role::Escalate];
    let options = Options { roles, stop: Arc::clone(&stop), client_file: None };
    let app = App::start(log.clone(), &checked, options)?;
    let played = play(&app, log, &config, args, &stop, out);
    let ended = app.stop();
    let clean = played?;
    ended?;
    if clean { Ok(()) } else { Err(Failure::new(Kind::No, "")) }
}

/// A new folder that nobody else can look into; fails where there is one already, which may be somebody else's.
fn private_dir(dir: &std::path::Path) -> std::io::Result<()> {
    let mut how = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut how, 0o700);
    how.create(dir)
}

/// The folder that the demo lives in; a temporary one goes with it.
struct Stage {
    dir: PathBuf,
    temporary: bool,
}

impl Stage {
    fn set(args: &DemoArgs) -> Result<Self, Failure> {
        let temporary = args.dir.is_none();
        let dir = args
            .dir
            .clone()
            .unwrap_or_else(|| std::env::temp_dir().join(format!("tocsin-demo-{}", std::process::id())));
        let made = if temporary { private_dir(&dir) } else { std::fs::create_dir_all(&dir) };
        made.map_err(|e| Failure::new(Kind::CannotStart, format!("{}: {e}", dir.display())))?;
        Ok(Self { dir, temporary })
    }

    /// The config that `init` writes, with this demo's address and references.
    fn config(&self, args: &DemoArgs, fleet: &FleetConfig, out: &Out) -> Result<Checked, Failure> {
        let file = self.dir.join("tocsin.toml");
        std::fs::write(&file, TEMPLATE)
            .map_err(|e| Failure::new(Kind::CannotStart, format!("{}: {e}", file.display())))?;
        let mut checked = config::load(&file).map_err(|faults| {
            Failure::new(
                Kind::CannotStart,
                faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            )
        })?;
        checked.config.http.address = free_address(&args.listen).map_err(|e| Failure::new(Kind::Usage, e))?;
        checked.references = Arc::new(references::pinned(&checked, fleet, out)?);
        Ok(checked)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.temporary {
            drop(std::fs::remove_dir_all(&self.dir));
        }
    }
}

/// The address as asked, or another port of the same host when that one is taken.
fn free_address(wanted: &str) -> Result<std::net::SocketAddr, String> {
    let address: std::net::SocketAddr = wanted
        .parse()
        .map_err(|_| format!("--listen {wanted:?} must be an address and a port: 127.0.0.1:7311"))?;
    if std::net::TcpListener::bind(address).is_ok() {
        return Ok(address);
    }
    let other = std::net::TcpListener::bind((address.ip(), 0)).and_then(|l| l.local_addr());
    other.map_err(|e| format!("--listen {wanted}: {e}"))
}

/// True when all was found and nothing else paged.
fn play(
    app: &App,
    log: EmbeddedLog,
    config: &FleetConfig,
    args: &DemoArgs,
    stop: &Arc<AtomicBool>,
    out: &Out,
) -> Result<bool, Failure> {
    let mut events = app.views.subscribe();
    let fleet = Fleet::new(config);
    let truth = fleet.truth().clone();
    let length_ms = truth.end.since_ms(truth.start);
    #[expect(clippy::cast_precision_loss, reason = "a ratio for pace")]
    let speed = length_ms as f64 / 1000.0 / args.for_s as f64;
    let pace = Pace { start: truth.start, end: truth.end.plus_ms(AFTER_MS), speed };
    introduce(app, &truth, args, speed, out);
    while !app.is_ready() && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let played = Arc::new(Played::default());
    let feed = start_feed(log, fleet, pace, Arc::clone(&played), Arc::clone(stop));
    let mut record = summary::Record::default();
    let clock = Clock::start();
    let (mut next_status, mut fed_at) = (Duration::ZERO, None);
    loop {
        let mut quiet = true;
        loop {
            match events.try_recv() {
                Ok(event) => {
                    quiet = false;
                    clear_status(out);
                    record.take(&event);
                    screen::show(out, &event);
                }
                Err(TryRecvError::Lagged(n)) => out.line(format!("           ({n} events not shown)")),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let now = clock.now().mono;
        if now >= next_status {
            next_status = now + Duration::from_millis(500);
            status(app, &played, speed, out);
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if played.done.load(Ordering::Relaxed) {
            let since = *fed_at.get_or_insert(now);
            let judged = app.views.watermark().is_some_and(|w| w >= truth.end);
            if quiet && (judged && now > since + Duration::from_secs(1) || now > since + SETTLE) {
                break;
            }
        }
        if quiet {
            std::thread::sleep(Duration::from_millis(30));
        }
    }
    clear_status(out);
    let through = played.through().unwrap_or(truth.start).min(truth.end);
    let clean = summary::print(out, &truth, &record, through);
    if args.stay && !stop.load(Ordering::Relaxed) {
        stay(app, stop, &mut events, out);
    }
    stop.store(true, Ordering::Relaxed);
    let fed = feed.join().map_err(|_| Failure::new(Kind::CannotStart, "the simulated fleet panicked"))?;
    fed?;
    Ok(clean)
}

fn start_feed(
    log: EmbeddedLog,
    mut fleet: Fleet,
    pace: Pace,
    played: Arc<Played>,
    stop: Arc<AtomicBool>,
) -> JoinHandle<Result<(), LogError>> {
    std::thread::spawn(move || {
        let topic = Topics::of("default").telemetry;
        feed::play(&log, &topic, &mut fleet, pace, &played, &stop)
    })
}

fn stay(app: &App, stop: &AtomicBool, events: &mut tokio::sync::broadcast::Receiver<Event>, out: &Out) {
    if !out.json {
        out.line(format!("\nStill running at {}; Ctrl-C ends it.", app.address));
    }
    while !stop.load(Ordering::Relaxed) {
        while let Ok(event) = events.try_recv() {
            screen::show(out, &event);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn introduce(app: &App, truth: &Truth, args: &DemoArgs, speed: f64, out: &Out) {
    let address = &app.address;
    if out.json {
        out.json(&serde_json::json!({
            "demo": {"scenario": truth.scenario, "seed": truth.seed, "address": address, "speed": speed,
                     "start": truth.start, "end": truth.end}
        }));
        return;
    }
    let length = span(truth.end.since_ms(truth.start));
    out.line(out.paint(Look::Bold, format!("tocsin {} demo", env!("CARGO_PKG_VERSION"))));
    out.line(format!(
        "  {length} of a simulated fleet in {} s: event time runs {speed:.0} times faster than the clock.",
        args.for_s
    ));
    out.line(
        "  collector, judge and escalation worker in this process, on one file; pages go to a local inbox.",
    );
    out.line("");
    for m in fleet::lineup() {
        let purpose = m.purpose.split(';').next().unwrap_or_default();
        let rate = m.rate_per_s * args.rate;
        out.line(format!("  {:<9}{purpose:<38}{rate:>5}/s   tier {}, owned by {}", m.name, m.tier, m.owner));
    }
    out.line("");
    out.line(format!("  listening   {address}"));
    out.line("  post telemetry from a second terminal:");
    out.line(out.paint(
        Look::Cyan,
        format!(
            "    curl -s {address}/v1/telemetry -H 'content-type: application/json' -d '{}'",
            example(truth.start)
        ),
    ));
    out.line(format!(
        "  follow it   {} tail        list it   {} incidents",
        screen::program(),
        screen::program()
    ));
    out.line("");
}

fn example(at: Timestamp) -> String {
    format!(
        r#"{{"prediction_id":"mine-1","event_time":"{at}","model":"mine","version":"1","latency_ms":41.7,"prediction":"yes"}}"#
    )
}

fn status(app: &App, played: &Played, speed: f64, out: &Out) {
    if out.json || !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        return;
    }
    let views = &app.views;
    let open = views.incidents.iter().filter(|shown| shown.is_open).count();
    let at = played.through().map(screen::clock).unwrap_or_default();
    let fed = played.records.load(Ordering::Relaxed);
    let judged = views.panes.load(Ordering::Relaxed);
    let behind = match (played.through(), views.watermark()) {
        (Some(fed), Some(judged)) => {
            format!(" · judged to {} ({} behind)", screen::clock(judged), span(fed.since_ms(judged)))
        }
        _ => String::new(),
    };
    crate::term::status(&format!(
        "{at} (×{speed:.0}) · {} records · {} panes{behind} · {open} open",
        thousands(fed),
        thousands(judged)
    ));
}

fn clear_status(out: &Out) {
    if !out.json && std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        crate::term::status("");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_replaced() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let wanted = taken.local_addr().unwrap();
        let got = free_address(&wanted.to_string()).unwrap();
        assert_ne!(got, wanted);
        assert_eq!(got.ip(), wanted.ip());
        assert!(free_address("nowhere").is_err());
    }
}
