//! Checks of single settings, so that an error points at the value and says what would be right.

use std::fmt::Display;

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::{FamilySettings, JudgeSettings};

fn within<'de, D, T>(from: D, low: T, high: T) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialOrd + Display + Copy,
{
    let value = T::deserialize(from)?;
    if low <= value && value <= high {
        Ok(value)
    } else {
        Err(D::Error::custom(format_args!("{value} is not within {low} to {high}")))
    }
}

macro_rules! within {
    ($($name:ident: $type:ty = $low:literal ..= $high:literal),+ $(,)?) => {
        $(pub(super) fn $name<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
            within(from, $low, $high)
        })+
    };
}

within! {
    pane_min: u32 = 1..=10_000,
    pane_max_s: u32 = 60..=86_400,
    warmup_records: u64 = 500..=10_000_000,
    warmup_s: u32 = 600..=2_419_200,
    reopen_s: u32 = 0..=604_800,
    recovery_s: u32 = 0..=86_400,
    gone_s: u32 = 300..=604_800,
    open_panes_max: usize = 100..=1_000_000,
    keys_max: usize = 1..=1_000_000,
    latency_slack: f64 = 0.0..=1.0,
    per_week: f64 = 0.0..=10_000.0,
    tier: u8 = 1..=4,
}

pub(super) fn weight<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let weight = f64::deserialize(from)?;
    if weight > 0.0 && weight <= 1000.0 {
        Ok(weight)
    } else {
        Err(D::Error::custom(format_args!("{weight} is not above 0 and at most 1000")))
    }
}

pub(super) fn objective<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let ms = f64::deserialize(from)?;
    if ms > 0.0 && ms.is_finite() {
        Ok(Some(ms))
    } else {
        Err(D::Error::custom(format_args!("{ms} is not a latency in milliseconds above 0")))
    }
}

pub(super) fn zone_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    match super::zone(&name) {
        Some(_) => Ok(name),
        None => {
            Err(D::Error::custom(format_args!("no time zone {name:?}; it is written like \"Europe/Berlin\"")))
        }
    }
}

/// One family's table. What is not said keeps the family's own default. Effects are differences of shares (0.01 is
/// one record in a hundred); it is the lower limit of the effect, not its estimate, that must reach them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FamilySettings")]
pub(super) struct RawFamily {
    /// Whether the family is judged at all.
    enabled: Option<bool>,
    /// Least effect that opens an incident, as a share.
    least_effect: Option<f64>,
    /// Least effect that pages (where the family may page), as a share.
    page_effect: Option<f64>,
    /// Effect from which a model of tier 1 is `sev1`, as a share.
    sev1_effect: Option<f64>,
    /// Least records since the change began.
    least_records: Option<u64>,
    /// The family's part of a model's budgets, compared with other families'. Above 0, at most 1000.
    weight: Option<f64>,
}

fn family<'de, D: Deserializer<'de>>(from: D, base: FamilySettings) -> Result<FamilySettings, D::Error> {
    let raw = RawFamily::deserialize(from)?;
    let settings = FamilySettings {
        enabled: raw.enabled.unwrap_or(base.enabled),
        least_effect: raw.least_effect.unwrap_or(base.least_effect),
        page_effect: raw.page_effect.unwrap_or(base.page_effect),
        sev1_effect: raw.sev1_effect.unwrap_or(base.sev1_effect),
        least_records: raw.least_records.unwrap_or(base.least_records),
        weight: raw.weight.unwrap_or(base.weight),
    };
    if !(settings.weight > 0.0 && settings.weight <= 1000.0) {
        let why = format_args!("weight = {} is not above 0 and at most 1000", settings.weight);
        return Err(D::Error::custom(why));
    }
    let effects = [
        ("least_effect", settings.least_effect),
        ("page_effect", settings.page_effect),
        ("sev1_effect", settings.sev1_effect),
    ];
    for (name, value) in effects {
        if !(0.0..=1.0).contains(&value) {
            return Err(D::Error::custom(format_args!("{name} = {value} is not a share between 0 and 1")));
        }
    }
    for pair in effects.windows(2) {
        if pair[0].1 > pair[1].1 {
            return Err(D::Error::custom(format_args!(
                "{} = {} must not be above {} = {}",
                pair[0].0, pair[0].1, pair[1].0, pair[1].1
            )));
        }
    }
    Ok(settings)
}

macro_rules! families {
    ($($name:ident),+ $(,)?) => {
        $(pub(super) fn $name<'de, D: Deserializer<'de>>(from: D) -> Result<FamilySettings, D::Error> {
            family(from, JudgeSettings::default().$name)
        })+
    };
}

families!(latency, availability, traffic, data_quality, drift, prediction, accuracy);
