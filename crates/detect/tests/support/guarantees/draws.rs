//! Seeded numbers, the same on every machine.

/// The splitmix64 generator.
pub struct Draws(u64);

impl Draws {
    /// One for each (seed, stream): neighbours share nothing.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Self(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ stream);
        Self(mixed.bits() ^ stream.rotate_left(32))
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform over 0..1.
    pub fn uniform(&mut self) -> f64 {
        float(self.bits() >> 11) / 2f64.powi(53)
    }

    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }

    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Events in `n` independent records; by the normal law beyond 20,000, where it is right to a part in a thousand.
    pub fn binomial(&mut self, n: u64, p: f64) -> u64 {
        if n <= 20_000 {
            return (0..n).map(|_| u64::from(self.chance(p))).sum();
        }
        let (mean, sd) = (float(n) * p, (float(n) * p * (1.0 - p)).sqrt());
        whole((mean + sd * self.normal()).round().clamp(0.0, float(n)))
    }

    /// A share of the law Beta(a, b), by two gamma numbers (Marsaglia & Tsang 2000).
    pub fn beta(&mut self, a: f64, b: f64) -> f64 {
        let (x, y) = (self.gamma(a), self.gamma(b));
        x / (x + y)
    }

    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let u = 1.0 - self.uniform();
            return self.gamma(shape + 1.0) * u.powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.uniform()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }
}

/// Binomial counts by table: one uniform number and a few comparisons each.
pub struct Counts(Vec<f64>);

impl Counts {
    pub fn new(n: u64, p: f64) -> Self {
        let mut chance = (1.0 - p).powf(float(n));
        let mut sum = 0.0;
        let cdf = (0..=n).map(|k| {
            sum += chance;
            chance *= float(n - k) / float(k + 1) * p / (1.0 - p);
            sum
        });
        Self(cdf.collect())
    }

    pub fn draw(&self, draws: &mut Draws) -> u64 {
        let u = draws.uniform();
        (self.0.partition_point(|sum| *sum <= u).min(self.0.len() - 1)) as u64
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub fn float(n: u64) -> f64 {
    n as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count that was made a float")]
pub fn whole(x: f64) -> u64 {
    x as u64
}

/// The limits between which the mean of a Poisson count lies with 95 % confidence (Byar's approximation).
pub fn poisson_limits(count: u64) -> [f64; 2] {
    let side = |n: f64, z: f64| n * (1.0 - 1.0 / (9.0 * n) + z / (3.0 * n.sqrt())).powi(3);
    let n = float(count);
    [if count == 0 { 0.0 } else { side(n, -1.96).max(0.0) }, side(n + 1.0, 1.96)]
}

/// The middle one; of an even number the larger of the two.
pub fn median<T: Copy + PartialOrd>(of: &mut [T]) -> Option<T> {
    of.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    of.get(of.len() / 2).copied()
}
