//! What the tests share: a seeded generator, closeness, and the written form.

use serde::Serialize;

/// The splitmix64 generator: the same numbers on every machine.
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform over 0..1.
    pub(crate) fn uniform(&mut self) -> f64 {
        crate::math::float(self.bits() >> 11) / 2f64.powi(53)
    }

    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Events in `n` independent records.
    pub(crate) fn binomial(&mut self, n: u64, p: f64) -> u64 {
        (0..n).map(|_| u64::from(self.chance(p))).sum()
    }

    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// How often two samples of one distribution over ten equal bins are called different.
pub(crate) fn false_rate(n: u64, m: u64, differ: impl Fn(&[u64], &[u64]) -> bool) -> f64 {
    let trials = 2_000_u32;
    let mut draws = Draws::new(n ^ m << 20);
    let mut sample = |size: u64| {
        let mut counts = [0_u64; 10];
        for _ in 0..size {
            let bin = usize::try_from(draws.bits() % 10).expect("below ten");
            counts[bin] += 1;
        }
        counts
    };
    let alarms: u32 = (0..trials).map(|_| u32::from(differ(&sample(n), &sample(m)))).sum();
    f64::from(alarms) / f64::from(trials)
}

pub(crate) fn close(got: Option<f64>, want: Option<f64>) -> bool {
    match (got, want) {
        (Some(got), Some(want)) => (got - want).abs() <= 1e-9 * want.abs().max(1.0),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

pub(crate) fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("numbers can be written")
}
