//! What a model's healthy records look like: a profile to fold by, and the rate and spread of every test.

pub mod baseline;
pub mod build;
pub mod cells;
pub mod profile;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::profile::Profile;
use wire::{Digest, Family, Timestamp};

pub use build::{Built, ReferenceBuilder};

/// The reference of one model version. JSON is its public form: `tocsin reference build` writes it, config pins it.
///
/// Holds counts and edges, no record. Size: some 400 bytes a test with hours of the day, 40 without.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    pub profile: Profile,
    /// Event time it was taken from: start, end.
    pub window: [Timestamp; 2],
    /// Predictions it was taken from.
    pub records: u64,
    /// Labelled predictions it was taken from.
    pub labels: u64,
    /// Time zone whose hours of the day `hours` are, and whose days of the week `week` are.
    pub timezone: String,
    /// In the order of the plan of `profile`.
    pub streams: Vec<StreamReference>,
    /// Calls of the model, all its versions together. Absent when there was too little to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficReference>,
}

/// What one stream's tests compare with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StreamReference {
    pub family: Family,
    pub name: String,
    /// Its spread still grows at the longest windows that the reference holds: how far days differ is not known from it, so
    /// the stream may ticket and not page (`not calibrated`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub growing: bool,
    pub tests: Vec<TestReference>,
}

/// One rate and its spread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestReference {
    /// Records of the event.
    pub k: u64,
    /// Records that would be of the event if all were as much worse as is tolerated (latency: 5 % slower). The null.
    pub tolerated: u64,
    /// Records that could have been.
    pub n: u64,
    /// Design effect: how many records are worth one independent record, over a long window.
    pub d: f64,
    /// What evidence is divided by beside `d`: how much further than such a spread explains it rises over the reference itself.
    /// Only of families judged by the recursion that learn their spread.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub tail: f64,
    /// Design effect within an hour of the day: how far the hours' own rates may be trusted.
    pub d_hour: f64,
    /// Design effects at windows of 1, 2, 4, … 64 minutes, as far as the reference is four times as long. Only of
    /// latency, which is judged by windows of all these ages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<f64>,
    /// `tolerated` and `n` by hour of the day. Absent below a week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// By how much the log odds of `tolerated` are more on each day of the week than its hours say, from Monday. Absent below
    /// two weeks, and where weekdays do not surely differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub week: Option<[f64; 7]>,
}

fn one() -> f64 {
    1.0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::float_cmp,
    reason = "serde's form; 1 is written as it is"
)]
fn is_one(tail: &f64) -> bool {
    *tail == 1.0
}

/// Counts by hour of the day, from midnight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hours {
    pub k: [u64; 24],
    pub n: [u64; 24],
}

/// How often a model is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrafficReference {
    /// Calls a second by hour of the day; all equal below three days.
    pub hours: Vec<f64>,
    /// By how many times more it is called on each day of the week than its hours say, from Monday. Absent as in tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub week: Option<[f64; 7]>,
    /// Lowest and highest level over an hour or more, as shares of what the hours expect: days differ.
    pub level: [f64; 2],
    /// Variance over mean of counts around their level: bursts.
    pub d: f64,
}

impl Reference {
    /// Of all of it.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "plain data always becomes JSON")]
    pub fn digest(&self) -> Digest {
        Digest::of(&[&serde_json::to_vec(self).expect("a reference is plain data")])
    }
}
