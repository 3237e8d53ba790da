//! Elementary functions with the same bits on every machine.
//!
//! The standard library asks the platform's C library, whose last digit differs between versions.
//! A verdict replayed elsewhere must agree to the byte, so the cores use one pure-Rust version.

pub(crate) fn exp(x: f64) -> f64 {
    libm::exp(x)
}

pub(crate) fn exp_m1(x: f64) -> f64 {
    libm::expm1(x)
}

pub(crate) fn ln(x: f64) -> f64 {
    libm::log(x)
}

pub(crate) fn ln_1p(x: f64) -> f64 {
    libm::log1p(x)
}

/// `x · 2^power`, without an intermediate overflow.
pub(crate) fn scale_by_power_of_two(x: f64, power: i32) -> f64 {
    libm::scalbn(x, power)
}

/// A count as a float. Exact below 2^53 (nine thousand million million records).
#[expect(clippy::cast_precision_loss, reason = "counts of records stay far below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// A length as a float.
pub(crate) fn float_len(length: usize) -> f64 {
    float(length as u64)
}
