//! What an incident says to people: names, shares, edges; never a value or category of a private feature.

use wire::Family;
use wire::profile::{FeatureFold, FeatureProfile, Profile};

use crate::family::{At, Event, Failure, Fault, LabelMiss, Place, RecordFault};

/// A share as people read it: `0.4 %`, `12 %`.
pub(super) fn percent(share: f64) -> String {
    let p = 100.0 * share;
    if p >= 9.95 {
        format!("{p:.0} %")
    } else if p >= 0.095 {
        format!("{p:.1} %")
    } else {
        format!("{p:.2} %")
    }
}

/// A number as people read it: three significant digits or so.
pub(super) fn number(x: f64) -> String {
    let size = x.abs();
    if size >= 1e6 || (size > 0.0 && size < 1e-3) {
        format!("{x:.2e}")
    } else if size >= 100.0 {
        format!("{x:.0}")
    } else if size >= 10.0 {
        format!("{x:.1}")
    } else {
        format!("{x:.3}")
    }
}

/// Why an incident of this family is over although nothing came back.
pub(super) fn turned_off(family: Family) -> String {
    format!("{family} is not judged any more: it was turned off in the config")
}

/// A span of time as people read it: `40 s`, `12 min`, `3.5 h`.
pub(super) fn span(ms: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a span of days in milliseconds")]
    let s = ms as f64 / 1000.0;
    if s < 120.0 {
        format!("{s:.0} s")
    } else if s < 7200.0 {
        format!("{:.0} min", s / 60.0)
    } else {
        format!("{:.1} h", s / 3600.0)
    }
}

/// Whether the complement of what is counted is told: a share below a high edge that falls is better said as a share
/// above it that rises.
pub(super) fn is_inverted(event: Event, expected: f64) -> bool {
    matches!(event, Event::Value(_, Place::Below(_))) && expected > 0.5
}

/// What is counted, in words that fit before a colon; whether its complement was meant.
pub(super) fn event(profile: &Profile, event: Event, expected: f64) -> (String, bool) {
    match event {
        Event::Slow(edge) => {
            let at = profile.latency_edges.get(edge).copied().unwrap_or_default();
            let objective = profile.latency_objective_ms.is_some_and(|o| o.total_cmp(&at).is_eq());
            (format!("over {} ms{}", number(at), if objective { " (the objective)" } else { "" }), false)
        }
        Event::Failed(failure) => (failed(failure).to_owned(), false),
        Event::Faulty(_, Fault::Null) => ("null".into(), false),
        Event::Faulty(_, Fault::Missing) => ("missing".into(), false),
        Event::Faulty(_, Fault::Invalid) => ("of another type".into(), false),
        Event::Record(RecordFault::Unsupported) => {
            ("features of a shape that is not supported".into(), false)
        }
        Event::Record(RecordFault::Duplicate) => ("duplicates".into(), false),
        Event::Record(RecordFault::UnknownVersion) => ("without a version".into(), false),
        Event::Value(at, place) => match feature(profile, at) {
            Some(feature) => value(feature, place, expected),
            None => ("values".into(), false),
        },
        Event::Label(LabelMiss::Wrong { delay, .. } | LabelMiss::WrongInDelay { delay }) => {
            (format!("wrong{}", took(profile, delay)), false)
        }
        Event::Label(LabelMiss::WrongInBand { band }) => (format!("wrong{}", sure(profile, band)), false),
        Event::Label(LabelMiss::WrongInDelays) => ("wrong".into(), false),
        Event::Label(LabelMiss::WrongInAll) if profile.score_edges.is_empty() => ("wrong".into(), false),
        Event::Label(LabelMiss::WrongInAll) => ("wrong (for such scores)".into(), false),
        Event::Label(LabelMiss::Off { delay, edge }) => {
            (format!("{}{}", off(profile, edge), took(profile, delay)), false)
        }
        Event::Label(LabelMiss::OffInAll { edge }) => (off(profile, edge), false),
    }
}

fn off(profile: &Profile, edge: usize) -> String {
    format!("off by more than {}", number(profile.error_edges.get(edge).copied().unwrap_or_default()))
}

fn failed(failure: Failure) -> &'static str {
    match failure {
        Failure::Any => "failed",
        Failure::Error => "error",
        Failure::Timeout => "timeout",
        Failure::Rejected => "rejected",
    }
}

fn feature(profile: &Profile, at: At) -> Option<&FeatureProfile> {
    match at {
        At::Feature(i) => profile.features.get(i),
        At::Prediction => profile.prediction.as_ref(),
        At::Score => profile.score.as_ref(),
    }
}

fn value(feature: &FeatureProfile, place: Place, expected: f64) -> (String, bool) {
    match (&feature.fold, place) {
        (FeatureFold::Numeric { edges, .. }, Place::Below(edge)) => {
            let at = number(edges.get(edge).copied().unwrap_or_default());
            if is_inverted(Event::Value(At::Score, place), expected) {
                (format!("{at} or more"), true)
            } else {
                (format!("below {at}"), false)
            }
        }
        (FeatureFold::Numeric { edges, .. }, Place::Bin(bin)) => {
            let at = |i: usize| number(edges.get(i).copied().unwrap_or_default());
            (format!("from {} to {}", at(bin.saturating_sub(1)), at(bin)), false)
        }
        (FeatureFold::Numeric { atoms, .. }, Place::Atom(atom)) => {
            match atoms.get(atom).filter(|_| feature.public) {
                Some(at) => (format!("equal to {}", number(*at)), false),
                None => ("one frequent value".into(), false),
            }
        }
        (FeatureFold::Category { known, .. }, Place::Known(i)) => match known.get(i) {
            Some(category) => match category.name.as_ref().filter(|_| feature.public) {
                Some(name) => (short(name), false),
                None => (format!("category #{:08x}", category.hash >> 32), false),
            },
            None => ("a category".into(), false),
        },
        (_, Place::Rare) => ("rare categories".into(), false),
        (_, Place::New) => ("new categories".into(), false),
        (FeatureFold::Numeric { .. } | FeatureFold::Category { .. }, _) => ("values".into(), false),
    }
}

/// One of `of` bins of a feature: those between edges, or the known categories, the rare and the new.
pub(super) fn bin(feature: &FeatureProfile, at: usize, of: usize) -> String {
    match &feature.fold {
        FeatureFold::Numeric { edges, .. } => {
            let edge = |i: usize| edges.get(i).map(|edge| number(*edge));
            match (at.checked_sub(1).and_then(edge), edge(at)) {
                (None, None) => "all".to_owned(),
                (None, Some(to)) => format!("below {to}"),
                (Some(from), Some(to)) => format!("{from} to {to}"),
                (Some(from), None) => format!("{from} or more"),
            }
        }
        FeatureFold::Category { .. } if at + 1 == of => "new".to_owned(),
        FeatureFold::Category { .. } if at + 2 == of => "rare".to_owned(),
        FeatureFold::Category { .. } => value(feature, Place::Known(at), 0.0).0,
    }
}

/// A public category's name, at most 40 characters of it.
fn short(name: &str) -> String {
    let cut: String = name.chars().take(40).collect();
    if cut.len() < name.len() { format!("\"{cut}…\"") } else { format!("\"{cut}\"") }
}

/// A band of the score, in words.
fn sure(profile: &Profile, band: usize) -> String {
    let at = |i: usize| profile.score_edges.get(i).map(|edge| number(*edge));
    match (band.checked_sub(1).and_then(at), at(band)) {
        (None, None) => String::new(),
        (None, Some(to)) => format!(" (scores below {to})"),
        (Some(from), Some(to)) => format!(" (scores from {from} to {to})"),
        (Some(from), None) => format!(" (scores of {from} or more)"),
    }
}

fn took(profile: &Profile, stratum: usize) -> String {
    let edges = &profile.delay_edges_ms;
    let at = |i: usize| edges.get(i).copied();
    match (stratum.checked_sub(1).and_then(at), at(stratum)) {
        (None, None) => String::new(),
        (None, Some(to)) => format!(" (labels within {})", span(to)),
        (Some(from), Some(to)) => format!(" (labels after {} to {})", span(from), span(to)),
        (Some(from), None) => format!(" (labels after {} or more)", span(from)),
    }
}

/// Name of what is measured, for machines.
pub(super) fn statistic(event: Event) -> &'static str {
    match event {
        Event::Slow(_) => "latency.share_over",
        Event::Failed(Failure::Any) => "availability.failed_share",
        Event::Failed(Failure::Error) => "availability.error_share",
        Event::Failed(Failure::Timeout) => "availability.timeout_share",
        Event::Failed(Failure::Rejected) => "availability.rejected_share",
        Event::Faulty(_, Fault::Null) => "data_quality.null_share",
        Event::Faulty(_, Fault::Missing) => "data_quality.missing_share",
        Event::Faulty(_, Fault::Invalid) => "data_quality.invalid_share",
        Event::Record(RecordFault::Unsupported) => "data_quality.unsupported_share",
        Event::Record(RecordFault::Duplicate) => "data_quality.duplicate_share",
        Event::Record(RecordFault::UnknownVersion) => "data_quality.unknown_version_share",
        Event::Value(At::Feature(_), _) => "drift.share",
        Event::Value(At::Prediction | At::Score, _) => "prediction.share",
        Event::Label(
            LabelMiss::Wrong { .. }
            | LabelMiss::WrongInDelay { .. }
            | LabelMiss::WrongInBand { .. }
            | LabelMiss::WrongInDelays
            | LabelMiss::WrongInAll,
        ) => "accuracy.wrong_share",
        Event::Label(LabelMiss::Off { .. } | LabelMiss::OffInAll { .. }) => "accuracy.off_share",
    }
}

/// One line for a person: whose, what, how much against what is usual.
pub(super) fn title(
    subject: &str,
    family: Family,
    stream: &str,
    what: &str,
    shares: [f64; 2],
    more: usize,
) -> String {
    let [value, usual] = shares.map(percent);
    let line = match family {
        Family::Latency => format!("{subject}: {value} of requests take {what}, usually at most {usual}"),
        Family::Availability if what == "failed" => {
            format!("{subject}: {value} of requests fail, usually {usual}")
        }
        Family::Availability => format!("{subject}: {value} of requests end in {what}, usually {usual}"),
        Family::DataQuality if stream == "records" => {
            format!("{subject}: {value} of records are {what}, usually {usual}")
        }
        Family::DataQuality => {
            format!("{subject}: {stream} is {what} in {value} of records, usually {usual}")
        }
        Family::Accuracy => format!("{subject}: {value} of labelled predictions are {what}, usually {usual}"),
        Family::Drift
        | Family::Prediction
        | Family::Traffic
        | Family::Calibration
        | Family::Deployment
        | Family::Telemetry
        | Family::Other => format!("{subject}: {stream} has moved: {what} in {value}, usually {usual}"),
    };
    match more {
        0 => line,
        1 => format!("{line}; one more has moved"),
        n => format!("{line}; {n} more have moved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::profile::{Category, Stage, Task};
    use wire::{Digest, Timestamp};

    fn profile(public: bool) -> Profile {
        let category = |name: &str| Category { hash: 0xabcd_ef01_2345_6789, name: Some(name.to_owned()) };
        let feature = |name: &str, fold| FeatureProfile { name: name.into(), fold, public };
        Profile {
            model: "m".into(),
            version: "v".into(),
            digest: Digest::new("d"),
            effective_from: Timestamp::EPOCH,
            stage: Stage::Final,
            latency_edges: vec![50.0, 120.5],
            latency_objective_ms: Some(50.0),
            features: vec![
                feature(
                    "age",
                    FeatureFold::Numeric { centre: 0.0, scale: 1.0, edges: vec![18.0, 65.0], atoms: vec![] },
                ),
                feature("country", FeatureFold::Category { known: vec![category("DE")], other: vec![] }),
            ],
            prediction: None,
            score: None,
            task: Task::Classification,
            error_edges: vec![],
            delay_edges_ms: vec![300_000, 7_200_000],
            score_edges: vec![],
        }
    }

    #[test]
    fn events_in_words() {
        let of = |at, place| Event::Value(At::Feature(at), place);
        for (what, expected, want) in [
            (Event::Slow(0), 0.5, "over 50.0 ms (the objective)"),
            (Event::Slow(1), 0.5, "over 120 ms"),
            (of(0, Place::Below(0)), 0.1, "below 18.0"),
            (of(0, Place::Below(1)), 0.9, "65.0 or more"),
            (of(0, Place::Bin(1)), 0.5, "from 18.0 to 65.0"),
            (of(1, Place::Known(0)), 0.5, "\"DE\""),
            (of(1, Place::New), 0.0, "new categories"),
            (Event::Label(LabelMiss::WrongInDelay { delay: 0 }), 0.1, "wrong (labels within 5 min)"),
            (
                Event::Label(LabelMiss::Wrong { delay: 1, band: 0 }),
                0.1,
                "wrong (labels after 5 min to 2.0 h)",
            ),
            (Event::Label(LabelMiss::WrongInDelay { delay: 2 }), 0.1, "wrong (labels after 2.0 h or more)"),
            (Event::Label(LabelMiss::WrongInAll), 0.1, "wrong"),
        ] {
            assert_eq!(event(&profile(true), what, expected).0, want);
        }
    }

    #[test]
    fn bins_have_names() {
        let public = profile(true);
        let names = |feature: usize, of: usize| -> Vec<String> {
            (0..of).map(|at| bin(&public.features[feature], at, of)).collect()
        };
        assert_eq!(names(0, 3), ["below 18.0", "18.0 to 65.0", "65.0 or more"]);
        assert_eq!(names(1, 3), ["\"DE\"", "rare", "new"]);
        assert_eq!(bin(&profile(false).features[1], 0, 3), "category #abcdef01");
    }

    #[test]
    fn no_category_of_a_private_feature_is_named() {
        let (said, _) = event(&profile(false), Event::Value(At::Feature(1), Place::Known(0)), 0.5);
        assert_eq!(said, "category #abcdef01");
    }

    #[test]
    fn numbers_are_short() {
        for (share, want) in
            [(0.0004, "0.04 %"), (0.004, "0.4 %"), (0.0314, "3.1 %"), (0.125, "12 %"), (1.0, "100 %")]
        {
            assert_eq!(percent(share), want);
        }
        for (x, want) in
            [(0.5, "0.500"), (12.34, "12.3"), (1234.5, "1234"), (1.5e9, "1.50e9"), (-3.0, "-3.000")]
        {
            assert_eq!(number(x), want);
        }
        for (ms, want) in [(40_000, "40 s"), (720_000, "12 min"), (12_600_000, "3.5 h")] {
            assert_eq!(span(ms), want);
        }
    }
}
