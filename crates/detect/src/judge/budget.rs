//! Who may spend what: fleet → partition → model → version → family → stream, in proportion to event time.
//!
//! Everything here is known before the pane is seen: config, and which versions had traffic before it.

use wire::Family;

use crate::config::{BudgetSettings, JudgeSettings, ModelSettings};

const WEEK_MS: f64 = 604_800_000.0;

/// Families that are judged, in the tree of weights.
const FAMILIES: [Family; 7] = [
    Family::Latency,
    Family::Availability,
    Family::Traffic,
    Family::DataQuality,
    Family::Drift,
    Family::Prediction,
    Family::Accuracy,
];

/// Whether streams of this family hold a page D.
pub(super) fn may_page(family: Family, model: &ModelSettings) -> bool {
    let pages = match family {
        Family::Latency | Family::Availability | Family::Traffic | Family::Accuracy => true,
        Family::Drift | Family::Prediction => model.drift_may_page,
        Family::DataQuality
        | Family::Calibration
        | Family::Deployment
        | Family::Telemetry
        | Family::Other => false,
    };
    pages && model.tier < 4
}

/// A family's part of a version's budgets: page, ticket. What can never page holds no page weight: by config, or because
/// none of its streams is `calibrated`.
pub(super) fn of_family(
    judge: &JudgeSettings,
    model: &ModelSettings,
    family: Family,
    calibrated: impl Fn(Family) -> bool,
) -> [f64; 2] {
    let weight = |family: Family| {
        let settings = judge.family(family);
        if settings.enabled { settings.weight } else { 0.0 }
    };
    let pages = |family: Family| may_page(family, model) && calibrated(family);
    let paging = |family: Family| if pages(family) { weight(family) } else { 0.0 };
    let part = |own: f64, all: f64| if own > 0.0 { own / all } else { 0.0 };
    [
        part(paging(family), FAMILIES.into_iter().map(paging).sum()),
        part(weight(family), FAMILIES.into_iter().map(weight).sum()),
    ]
}

/// What a stream with this part of the partition may spend in `span_ms` of event time: page, ticket.
pub(super) fn grant(budget: &BudgetSettings, partitions: u32, part: [f64; 2], span_ms: i64) -> [f64; 2] {
    #[expect(clippy::cast_precision_loss, reason = "a span of days in milliseconds")]
    let weeks = span_ms.max(0) as f64 / WEEK_MS / f64::from(partitions);
    [budget.pages_per_week * part[0] * weeks, budget.tickets_per_week * part[1] * weeks]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_budget_is_given_twice_and_none_to_what_cannot_use_it() {
        for (name, model, latency) in [
            ("default", ModelSettings::default(), true),
            ("drift may page", ModelSettings { drift_may_page: true, ..ModelSettings::default() }, true),
            ("no latency", ModelSettings::default(), false),
        ] {
            let mut judge = JudgeSettings::default();
            judge.latency.enabled = latency;
            let sums = FAMILIES
                .map(|family| of_family(&judge, &model, family, |_| true))
                .into_iter()
                .fold([0.0; 2], |sum, [page, ticket]| [sum[0] + page, sum[1] + ticket]);
            assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-12), "{name}: {sums:?}");
            for family in FAMILIES {
                let [page, ticket] = of_family(&judge, &model, family, |_| true);
                assert_eq!(ticket > 0.0, judge.family(family).enabled, "{name}: {family}");
                let pages = may_page(family, &model) && judge.family(family).enabled;
                assert_eq!(page > 0.0, pages, "{name}: {family}");
            }
        }
        let judge = JudgeSettings::default();
        let pages =
            |family| of_family(&judge, &ModelSettings::default(), family, |f| f != Family::Accuracy)[0];
        assert!(pages(Family::Accuracy).abs() < 1e-12, "not calibrated");
        assert!((FAMILIES.into_iter().map(pages).sum::<f64>() - 1.0).abs() < 1e-12, "the others share it");
        let last = ModelSettings { tier: 4, ..ModelSettings::default() };
        assert!(of_family(&JudgeSettings::default(), &last, Family::Latency, |_| true)[0].abs() < 1e-12);
    }

    #[test]
    fn partitions_share_alike() {
        let budget = BudgetSettings { pages_per_week: 2.0, tickets_per_week: 8.0 };
        let [page, ticket] = grant(&budget, 4, [0.5, 0.25], 604_800_000);
        assert!((page - 0.25).abs() < 1e-12 && (ticket - 0.5).abs() < 1e-12);
    }
}
