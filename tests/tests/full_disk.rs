//! A disk without room: it is said in plain words, nothing acknowledged is lost, and with room again all goes on, without
//! a restart.

use std::process::Command;

use tocsin_tests::fed::{Feed, as_it_is};
use tocsin_tests::process::Process;
use tocsin_tests::{home, stored, wait};
use wire::Timestamp;

/// Blocks of 512 bytes that a file may have: enough for a start.
const BLOCKS: u32 = 4096;
const MINUTE_MS: i64 = 60_000;

#[test]
fn without_room_it_waits_and_with_room_it_goes_on() {
    let home = home!("full");
    home.configure("namespace = \"full\"\n[telemetry]\nidle_s = 3600");
    let run = format!("trap '' XFSZ; ulimit -S -f {BLOCKS}; exec \"$0\" run --config tocsin.toml --json");
    let program = home.command(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", &run]).arg(program.get_program()).current_dir(home.folder());
    let process = Process::of(command).unwrap_or_else(|said| panic!("it did not start {said}"));
    process.until_ready();

    let mut feed = Feed::new(&[], 1.0);
    let refusal = (0..1000).find_map(|_| {
        let lines = feed.lines(MINUTE_MS / 6, as_it_is);
        let answer = process.telemetry(&lines).expect("it answers");
        (answer.status != 202).then_some((lines, answer))
    });
    let (lines, answer) = refusal.expect("there is an end to the room");
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.text.contains("no room on the disk"), "{}", answer.text);
    let told = wait::until("it is not ready, and says why", || {
        let answer = process.get("/readyz").ok().filter(|answer| answer.status == 503)?;
        answer.text.contains("no room on the disk").then_some(answer.text)
    });
    assert!(told.contains("tocsin.log"), "{told}");

    let pid = process.pid().as_raw_nonzero().to_string();
    let freed = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    assert!(freed.expect("prlimit of util-linux").success());
    process.until_ready();
    tocsin_tests::fed::post(&process, &lines);
    feed.play(&process, 10 * MINUTE_MS, 10_000, as_it_is);
    let records = feed.records;
    let late = feed.now.plus_ms(-2 * MINUTE_MS);
    wait::until("what came since is judged", || {
        let watermark: Timestamp = process.json("/v1/status")["watermark"].as_str()?.parse().ok()?;
        (watermark >= late).then_some(())
    });
    let (ended, said) = process.terminate();
    assert!(ended.success(), "{ended}: {said}");
    assert!(said.contains("no room on the disk"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let log = stored::embedded(&home.path("tocsin.log"));
    stored::assert_counted_once(&log, "full", records);
}
