//! A pinned reference: what a model's healthy records look like.

use serde::{Deserialize, Serialize};
use wire::profile::Profile;

/// The profile of a model version and what its tests compare against.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    pub profile: Profile,
}
