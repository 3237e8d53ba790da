//! Many features at once: fixed random directions.

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::math::float_len;

/// Random directions through standardised features. A change of how features go together, which no single
/// feature shows, moves the distribution along some of them.
///
/// Directions of signs (+1 or −1) over √features, drawn from the seed, so a profile needs to hold only the seed
/// and the shape. Lengths are kept on average (Achlioptas, "Database-friendly random projections", 2003).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Shape", into = "Shape")]
pub struct Projection {
    shape: Shape,
    /// One row a direction, entries ±1.
    signs: Array2<f64>,
}

/// What a projection is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    pub seed: u64,
    pub features: u32,
    pub directions: u32,
}

/// Most entries a projection has (2 MB): 64 directions through 4,096 features.
pub const ENTRIES_MAX: u64 = 1 << 18;

/// A shape with more than [`ENTRIES_MAX`] entries: no profile may ask for that much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a projection of {directions} directions through {features} features exceeds {ENTRIES_MAX} entries")]
pub struct TooLarge {
    pub features: u32,
    pub directions: u32,
}

impl Projection {
    /// The projection of that seed and shape: the same on every machine.
    ///
    /// # Errors
    /// If it would have more than [`ENTRIES_MAX`] entries.
    pub fn new(shape: Shape) -> Result<Self, TooLarge> {
        let Shape { seed, features, directions } = shape;
        let refuse = || TooLarge { features, directions };
        if u64::from(features) * u64::from(directions) > ENTRIES_MAX {
            return Err(refuse());
        }
        let mut state = seed;
        let rows = usize::try_from(directions).map_err(|_| refuse())?;
        let size = (rows, usize::try_from(features).map_err(|_| refuse())?);
        let signs =
            Array2::from_shape_simple_fn(size, || if split_mix(&mut state) >> 63 == 0 { 1.0 } else { -1.0 });
        Ok(Self { shape, signs })
    }

    /// What it was made from.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// One coordinate a direction. A missing or non-finite feature counts as 0, its centre.
    ///
    /// # Panics
    /// If the number of features differs.
    #[must_use]
    pub fn project(&self, standardised: &[f64]) -> Array1<f64> {
        assert_eq!(standardised.len(), self.signs.ncols(), "one value a feature");
        let scale = 1.0 / float_len(standardised.len()).max(1.0).sqrt();
        // Summed in order, not by a library routine that may pick another order on another machine.
        let along = |row: ndarray::ArrayView1<'_, f64>| {
            let parts = row.iter().zip(standardised).filter(|(_, x)| x.is_finite());
            scale * parts.map(|(sign, x)| sign * x).sum::<f64>()
        };
        self.signs.outer_iter().map(along).collect()
    }
}

impl TryFrom<Shape> for Projection {
    type Error = TooLarge;

    fn try_from(shape: Shape) -> Result<Self, TooLarge> {
        Self::new(shape)
    }
}

impl From<Projection> for Shape {
    fn from(projection: Projection) -> Self {
        projection.shape
    }
}

/// The next number of the splitmix64 sequence.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Draws, bytes, close};

    const SHAPE: Shape = Shape { seed: 7, features: 16, directions: 64 };

    #[test]
    fn the_same_seed_gives_the_same_directions() {
        let projection = Projection::new(SHAPE).expect("small");
        let back: Projection = postcard::from_bytes(&bytes(&projection)).expect("just written");
        assert_eq!(back, projection);
        assert!(bytes(&projection).len() <= 8, "only the shape is written");
        assert_ne!(projection, Projection::new(Shape { seed: 8, ..SHAPE }).expect("small"));
        // Written down, so that no release changes what profiles in use mean.
        let first: Vec<f64> = projection.signs.row(0).iter().take(8).copied().collect();
        assert_eq!(first, [1.0, 1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn lengths_are_kept_on_average() {
        let projection = Projection::new(SHAPE).expect("small");
        let mut draws = Draws::new(1);
        let (mut before, mut after) = (0.0, 0.0);
        for _ in 0..200 {
            let x: Vec<f64> = (0..16).map(|_| draws.normal()).collect();
            before += x.iter().map(|x| x * x).sum::<f64>() / 16.0;
            after += projection.project(&x).iter().map(|x| x * x).sum::<f64>() / 64.0;
        }
        assert!((after / before - 1.0).abs() < 0.1, "{after} against {before}");
    }

    #[test]
    fn what_is_missing_counts_as_its_centre() {
        let projection = Projection::new(SHAPE).expect("small");
        let mut x = vec![0.0; 16];
        x[3] = 2.0;
        let known = projection.project(&x);
        x[5] = f64::NAN;
        x[6] = f64::INFINITY;
        let missing = projection.project(&x);
        assert!(known.iter().zip(&missing).all(|(a, b)| close(Some(*a), Some(*b))));
        assert!(known.iter().all(|along| close(Some(along.abs()), Some(0.5))), "2 over the root of 16");
    }

    #[test]
    fn a_shape_beyond_its_bound_is_refused() {
        let huge = Shape { seed: 1, features: u32::MAX, directions: u32::MAX };
        assert!(Projection::new(huge).is_err());
        assert!(postcard::from_bytes::<Projection>(&bytes(&huge)).is_err());
    }
}
