//! Promise 2 in simulation: whatever dies, stands still or is refused, what is told is what would have been told.

use std::time::Duration;

use tocsin_tests::simulation::laws;
use tocsin_tests::simulation::story::{Telling, tell};

fn telling(seed: u64, trouble: bool) -> Telling {
    let processes = if trouble { 3 } else { 1 };
    Telling { seed, processes, trouble, hold_max: Duration::from_secs(120), bug: None, prepare: || () }
}

#[test]
fn one() {
    let from: u64 = tocsin_tests::env("SEED").and_then(|s| s.parse().ok()).unwrap_or(1);
    let many: u64 = tocsin_tests::env("SEEDS").and_then(|s| s.parse().ok()).unwrap_or(1);
    let mut bad = 0;
    for seed in from..from + many {
        let calm = tell(&telling(seed, false));
        assert!(calm.failures.is_empty());
        let told = tell(&telling(seed, true));
        if let Err(broken) = laws::all(&told, &calm) {
            bad += 1;
            if tocsin_tests::env("SHOW").is_some() { laws::show(&told); laws::differ(&told, &calm); }
            println!("seed {seed}: {}: {}\n   kills {} failures {:?}", broken.law, &broken.how[..broken.how.len().min(700)], told.kills, told.failures);
        }
    }
    assert_eq!(bad, 0, "of {many}");
}
