//! The fixed grid of bucket boundaries: 35 to an octave, `2^e · 2^(j/35)`.

/// Buckets to an octave. A ratio of 2^(1/35) between boundaries is an error of 0.0099 to the middle.
const PER_OCTAVE: i32 = 35;

const MANTISSA_BITS: u32 = 52;
const MANTISSA: u64 = (1 << MANTISSA_BITS) - 1;
const EXPONENT_BIAS: i32 = 1023;

/// Bits of the mantissa that choose a cell of [`FIRST`]. A cell (1/64) is narrower than the narrowest bucket
/// (0.02), so at most one boundary lies within it.
const CELL_BITS: u32 = 6;

/// Middle over lower boundary, `2r/(1 + r)` for r = 2^(1/35): equally far, in proportion, from both ends.
pub(super) const TO_MIDDLE: f64 = 1.009_901_778_953_003;

/// Mantissas at which the buckets of an octave start: `2^(j/35)` to the nearest bit, then a sentinel.
const STARTS: [u64; 36] = [
    0x0_0000_0000_0000,
    0x0_51ed_3525_4d7b,
    0x0_a57d_e9c1_6bc7,
    0x0_faba_81d4_e5df,
    0x1_51ab_8c56_eea2,
    0x1_aa59_c411_5e7d,
    0x2_04ce_1081_1781,
    0x2_6111_86ba_e675,
    0x2_bf2d_6a54_f7da,
    0x3_1f2b_2e54_f85d,
    0x3_8114_7622_f886,
    0x3_e4f3_1681_2c30,
    0x4_4ad1_1688_9e7b,
    0x4_b2b8_b0aa_f3c7,
    0x5_1cb4_53b9_536c,
    0x5_88ce_a3f0_93be,
    0x5_f712_7c0a_c32a,
    0x6_678a_ee56_29f8,
    0x6_da43_45d1_e0ad,
    0x7_4f47_0750_17a0,
    0x7_c6a1_f29e_2ce6,
    0x8_4060_03b2_ae5c,
    0x8_bc8d_73e1_6610,
    0x9_3b36_bb15_8fff,
    0x9_bc68_9112_58c0,
    0xa_402f_eeb9_c533,
    0xa_c69a_0f5a_241c,
    0xb_4fb4_7202_2b1a,
    0xb_db8c_dadb_e120,
    0xc_6a31_548e_794d,
    0xc_fbb0_31a7_41a5,
    0xd_9018_0e09_c9e4,
    0xe_2777_d067_6770,
    0xe_c1de_abbe_3c14,
    0xf_5f5c_20df_e5f2,
    u64::MAX,
];

/// The bucket that holds the first number of each cell.
const FIRST: [u8; 1 << CELL_BITS] = first_buckets();

const fn first_buckets() -> [u8; 1 << CELL_BITS] {
    let mut table = [0_u8; 1 << CELL_BITS];
    let (mut cell, mut bucket) = (0_usize, 0_u8);
    while cell < table.len() {
        let begins = (cell as u64) << (MANTISSA_BITS - CELL_BITS);
        while STARTS[bucket as usize + 1] <= begins {
            bucket += 1;
        }
        table[cell] = bucket;
        cell += 1;
    }
    table
}

/// The bucket of a positive number, by its bits. `None` below the smallest normal number.
pub(super) fn index(bits: u64) -> Option<i32> {
    let exponent = i32::try_from(bits >> MANTISSA_BITS).expect("at most twelve bits are left");
    if exponent == 0 {
        return None;
    }
    let mantissa = bits & MANTISSA;
    let cell = usize::try_from(mantissa >> (MANTISSA_BITS - CELL_BITS)).expect("six bits are left");
    let first = FIRST[cell];
    let within = i32::from(first) + i32::from(STARTS[usize::from(first) + 1] <= mantissa);
    Some((exponent - EXPONENT_BIAS) * PER_OCTAVE + within)
}

/// The lower boundary of a bucket, exactly. Infinite above the last bucket.
pub(super) fn boundary(index: i32) -> f64 {
    let exponent = index.div_euclid(PER_OCTAVE) + EXPONENT_BIAS;
    let within = usize::try_from(index.rem_euclid(PER_OCTAVE)).expect("a remainder is not negative");
    match u64::try_from(exponent) {
        Ok(exponent @ 1..=2046) => f64::from_bits(exponent << MANTISSA_BITS | STARTS[within]),
        Ok(0) | Err(_) => 0.0,
        Ok(_) => f64::INFINITY,
    }
}

/// Smallest and largest index a finite number can have.
pub(super) const INDICES: std::ops::RangeInclusive<i32> = -1022 * PER_OCTAVE..=1024 * PER_OCTAVE - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_powers_of_the_ratio_to_the_last_bits() {
        for (j, start) in STARTS[..35].iter().enumerate() {
            let boundary = f64::from_bits(1023 << 52 | start);
            let want = (std::f64::consts::LN_2 * crate::math::float_len(j) / 35.0).exp();
            assert!((boundary / want - 1.0).abs() < 1e-15, "{j}: {boundary} is not {want}");
        }
        let ratio = 2f64.powf(1.0 / 35.0);
        assert!((TO_MIDDLE - 2.0 * ratio / (1.0 + ratio)).abs() < 1e-15, "{}", 2.0 * ratio / (1.0 + ratio));
    }

    #[test]
    fn every_boundary_begins_its_own_bucket() {
        for i in INDICES {
            let lower = boundary(i);
            assert_eq!(index(lower.to_bits()), Some(i), "at the boundary {lower:e}");
            if i > *INDICES.start() {
                assert_eq!(index(lower.to_bits() - 1), Some(i - 1), "just below {lower:e}");
            }
        }
        assert_eq!(index(f64::MAX.to_bits()), Some(*INDICES.end()));
        assert_eq!(index(f64::MIN_POSITIVE.to_bits() - 1), None, "subnormal");
        assert!(boundary(INDICES.end() + 1).is_infinite());
    }
}
