//! Data quality: nulls, missing features, wrong types, shapes that are not supported, duplicates, no version.

use wire::Family;
use wire::profile::Profile;

use super::features::{self, At};
use super::{Count, Counting, Event, Failure, Fault, RecordFault, StreamPlan, TestPlan};
use crate::pane::{FeatureCounts, PaneCounts};

pub(super) fn plan(profile: &Profile) -> Vec<StreamPlan> {
    let alone = |event| TestPlan::new(event, -1);
    let mut streams: Vec<_> = features::all(profile)
        .map(|(at, feature)| StreamPlan {
            family: Family::DataQuality,
            name: feature.name.clone(),
            tests: [Fault::Null, Fault::Missing, Fault::Invalid]
                .map(|fault| alone(Event::Faulty(at, fault)))
                .to_vec(),
        })
        .collect();
    streams.push(StreamPlan {
        family: Family::DataQuality,
        name: "records".into(),
        tests: [RecordFault::Unsupported, RecordFault::Duplicate, RecordFault::UnknownVersion]
            .map(|fault| alone(Event::Record(fault)))
            .to_vec(),
    });
    streams
}

/// Raw panes name their features, so they answer too.
pub(super) fn count_feature(
    fault: Fault,
    at: At,
    with: Counting<'_>,
    counts: &PaneCounts,
    folded: bool,
) -> Option<Count> {
    let feature = if folded { features::of(at, counts) } else { features::raw(at, with.profile, counts) };
    // A call that failed has no prediction to lack: that is the availability family's to say.
    let failed = match at {
        At::Feature(_) => 0,
        At::Prediction | At::Score => super::availability::count(Failure::Any, counts).k,
    };
    let asked = counts.predictions.saturating_sub(failed);
    let Some(feature) = feature else {
        // A raw pane does not mention a feature that none of its records has.
        let missing = if fault == Fault::Missing { asked } else { 0 };
        return (!folded && features::is_raw(counts)).then(|| Count::new(missing, asked));
    };
    let (nulls, invalid) = match feature {
        FeatureCounts::Raw(c) => (c.nulls, c.invalid),
        FeatureCounts::Numeric(c) => (c.nulls, c.invalid),
        FeatureCounts::Category(c) => (c.nulls, c.invalid),
    };
    let missing = feature.missing(counts.predictions).saturating_sub(failed);
    let k = match fault {
        Fault::Null => nulls,
        Fault::Missing => missing,
        Fault::Invalid => invalid,
    };
    Some(Count::new(k, asked))
}

pub(super) fn count_record(fault: RecordFault, counts: &PaneCounts) -> Count {
    let quality = &counts.quality;
    match fault {
        RecordFault::Unsupported => {
            Count::new(quality.unsupported.saturating_add(quality.features_over), counts.predictions)
        }
        RecordFault::Duplicate => {
            Count::new(quality.duplicates, counts.predictions.saturating_add(quality.duplicates))
        }
        RecordFault::UnknownVersion => Count::new(quality.unknown_version, counts.predictions),
    }
}
