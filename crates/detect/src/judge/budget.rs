//! Who may spend what: fleet → partition → model → version → family → stream, in proportion to event time.
//!
//! Everything here is known before the pane is seen: config, and which versions had traffic before it.

use wire::Family;

use crate::config::BudgetSettings;

const WEEK_MS: f64 = 604_800_000.0;

/// A family's part of a version's budget: page, ticket. Each column sums to 1.
const FAMILIES: [(Family, [f64; 2]); 7] = [
    (Family::Latency, [0.25, 0.15]),
    (Family::Availability, [0.3, 0.15]),
    (Family::Traffic, [0.2, 0.1]),
    (Family::DataQuality, [0.0, 0.15]),
    (Family::Drift, [0.03, 0.2]),
    (Family::Prediction, [0.02, 0.1]),
    (Family::Accuracy, [0.2, 0.15]),
];

/// Page and ticket weights of a family.
pub(super) fn of_family(family: Family) -> [f64; 2] {
    FAMILIES.iter().find(|(f, _)| *f == family).map_or([0.0; 2], |(_, weights)| *weights)
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
    fn whatever_may_page_has_something_to_spend_on_it() {
        for (family, [page, ticket]) in FAMILIES {
            assert!(ticket > 0.0 && (page > 0.0) == (family != Family::DataQuality), "{family}");
        }
    }

    #[test]
    fn no_budget_is_given_twice() {
        for column in 0..2 {
            let sum: f64 = FAMILIES.iter().map(|(_, weights)| weights[column]).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }
        let budget = BudgetSettings { pages_per_week: 2.0, tickets_per_week: 8.0 };
        let [page, ticket] = grant(&budget, 4, [0.5, 0.25], 604_800_000);
        assert!((page - 0.25).abs() < 1e-12 && (ticket - 0.5).abs() < 1e-12);
    }
}
