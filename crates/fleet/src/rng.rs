//! Random numbers with the same bits on every machine: the generator is integer arithmetic, and what is made of
//! it uses only exact operations and `libm`'s logarithm and exponential, never the platform's.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Rng {
    bits: Xoshiro256PlusPlus,
    /// The polar method makes normals in pairs.
    spare: Option<f64>,
}

impl Rng {
    /// The `stream`-th independent stream of a seed, so that one part of the fleet that draws more or less does
    /// not move another.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mixed = mix(seed ^ mix(stream.wrapping_add(0x9e37_79b9_7f4a_7c15)));
        Self { bits: Xoshiro256PlusPlus::seed_from_u64(mixed), spare: None }
    }

    /// Uniform in [0, 1), 53 bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in [low, high).
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform in 0..n.
    ///
    /// # Panics
    /// If `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "a choice needs something to choose from");
        let wide = u128::from(self.bits.next_u64()) * n as u128;
        usize::try_from(wide >> 64).expect("less than n")
    }

    /// Exponential with mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.unit())
    }

    /// Normal with mean 0 and deviation 1. Source: Marsaglia's polar method.
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(z) = self.spare.take() {
            return z;
        }
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let scale = (-2.0 * libm::log(square) / square).sqrt();
                self.spare = Some(y * scale);
                return x * scale;
            }
        }
    }
}

/// A bijection of 64 bits in which every bit depends on every other. Source: SplitMix64's finaliser.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        const N: u32 = 200_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..N {
            let x = draw();
            sum += x;
            squares += x * x;
        }
        let mean = sum / f64::from(N);
        (mean, (squares / f64::from(N) - mean * mean).sqrt())
    }

    #[test]
    fn draws_have_their_moments() {
        let mut rng = Rng::new(1, 2);
        for (name, (mean, sd), want) in [
            ("unit", moments(|| rng.unit()), (0.5, 0.2887)),
            ("exponential", moments(|| rng.exponential()), (1.0, 1.0)),
            ("normal", moments(|| rng.normal()), (0.0, 1.0)),
            ("below", moments(|| rng.below(3) as f64), (1.0, 0.8165)),
        ] {
            assert!((mean - want.0).abs() < 0.01 && (sd - want.1).abs() < 0.01, "{name}: {mean} {sd}");
        }
    }

    #[test]
    fn streams_of_a_seed_differ() {
        let first = |seed, stream| Rng::new(seed, stream).bits.next_u64();
        assert_eq!(first(7, 0), first(7, 0));
        assert_ne!(first(7, 0), first(7, 1));
        assert_ne!(first(7, 0), first(8, 0));
    }
}
