//! `tocsin run`: the real thing.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use runtime::log::{Log, NewRecord};
use wire::topic::Topics;

use crate::app::{AnyLog, App, Options, open_log};
use crate::args::RunArgs;
use crate::client::client_file;
use crate::config::{self, Checked};
use crate::failure::{Failure, Kind};
use crate::signals::Asked;
use crate::term::{Out, thousands};

/// Runs until a signal, or until a role fails.
///
/// # Errors
/// When the config is wrong, the log cannot be opened, or a role fails.
pub(crate) fn run(args: &RunArgs, out: &Out) -> Result<(), Failure> {
    let file = &args.config.config;
    let (source, checked) = config::load_with_text(file)?;
    let asked = crate::signals::stop_and_reload()?;
    match open_log(&checked)? {
        AnyLog::Kafka(log) => serve(log, (source, &checked), args, &asked, out),
        AnyLog::Embedded(log) => serve(log, (source, &checked), args, &asked, out),
    }
}

fn serve<L: Log>(
    log: L,
    (source, checked): (String, &Checked),
    args: &RunArgs,
    Asked { stop, reload }: &Asked,
    out: &Out,
) -> Result<(), Failure> {
    let path = checked.dir.join(&checked.config.log.path);
    let mut roles = args.roles.clone();
    roles.sort_unstable();
    roles.dedup();
    let options = Options { roles, stop: Arc::clone(stop), client_file: Some(client_file(&path)) };
    let mut app = App::start(log.clone(), checked, options)?;
    app.watch(log.clone(), (args.config.config.clone(), source), checked, Arc::clone(reload))?;
    announce(&app, checked, args, out);
    for input in &args.input {
        let n = read_file(&log, checked, input, stop)?;
        tracing::info!(file = %input.display(), records = n, "telemetry file read");
    }
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
    }
    tracing::info!("finishing: last commits, then out");
    app.stop()
}

fn announce(app: &App, checked: &Checked, args: &RunArgs, out: &Out) {
    let log = &checked.config.log;
    let roles: Vec<&str> = args.roles.iter().map(|r| r.name()).collect();
    if out.json {
        out.json(&serde_json::json!({"running": roles, "address": app.address, "brokers": log.brokers, "config": checked.judge.digest()}));
        return;
    }
    match &log.brokers {
        Some(brokers) => out.line(format!("tocsin runs {} on Kafka at {brokers}", roles.join(", "))),
        None => out.line(format!(
            "tocsin runs {} on the embedded log in {}: durable, for this one process on this one machine. \
             Feed it by HTTP or --input; name [log] brokers to use a Kafka.",
            roles.join(", "),
            checked.dir.join(&log.path).display()
        )),
    }
    out.line(format!("listening at {} · Ctrl-C ends it", app.address));
}

/// Appends a file of JSON Lines to the telemetry topic, in batches.
fn read_file<L: Log>(log: &L, checked: &Checked, file: &Path, stop: &AtomicBool) -> Result<u64, Failure> {
    let cannot = |e: std::io::Error| Failure::new(Kind::CannotStart, format!("{}: {e}", file.display()));
    let topics = Topics::of(&checked.config.namespace);
    let topic: Arc<str> = checked.telemetry.raw().topic.clone().unwrap_or(topics.telemetry).into();
    let mut reader = BufReader::new(std::fs::File::open(file).map_err(cannot)?);
    let mut decoder = checked.telemetry.decoder().map_err(|e| Failure::new(Kind::No, e.to_string()))?;
    let (mut batch, mut total, mut line) = (Vec::new(), 0u64, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(cannot)?;
        let text = line.trim_ascii();
        if !text.is_empty() {
            let mut record = NewRecord::new(Arc::clone(&topic), text);
            let key = crate::backend::key_of(&mut decoder, text, &detect::decode::Attributes::default());
            record.key = key.map(String::into_bytes);
            batch.push(record);
        }
        if batch.len() >= 5_000 || (read == 0 && !batch.is_empty()) {
            log.append(&batch)?;
            total += batch.len() as u64;
            batch.clear();
        }
        if read == 0 || stop.load(Ordering::Relaxed) {
            tracing::debug!(records = thousands(total), "end of the file");
            return Ok(total);
        }
    }
}
