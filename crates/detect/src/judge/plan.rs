//! What a config promises before anything is started: who may spend what, what stays outside, how soon a change of some
//! size is found, and how much memory full tables take.

mod delay;
mod fleet;
mod memory;

use serde::Serialize;
use wire::Family;

use super::budget;
use crate::config::{BudgetSettings, JudgeConfig};
use crate::reference::Reference;
use delay::delays;
use fleet::Planned;

pub use delay::{After, Delay};
pub use fleet::Shape;
pub use memory::{Bounds, Table, tables};

/// Families in the order in which they are told of.
const FAMILIES: [Family; 7] = [
    Family::Latency,
    Family::Availability,
    Family::Traffic,
    Family::DataQuality,
    Family::Drift,
    Family::Prediction,
    Family::Accuracy,
];

/// What the budget of a config comes to for a fleet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FleetPlan {
    /// As configured.
    pub budget: BudgetSettings,
    /// False pages and tickets a week that the bound allows: the sum of what all streams are granted. What no stream may
    /// spend is no part of it.
    pub allowed: Spend,
    pub versions: usize,
    /// Whether the versions are those of pinned references; else they are of the assumed shape.
    pub pinned: bool,
    pub families: Vec<FamilyPlan>,
    /// The version that delays are worked out for: the one in the middle by traffic.
    pub example: Option<Example>,
    /// What opens incidents without a budget, and why.
    pub not_budgeted: Vec<NotBudgeted>,
}

/// A week's pages and tickets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spend {
    pub pages: f64,
    pub tickets: f64,
}

impl Spend {
    fn add(&mut self, [pages, tickets]: [f64; 2]) {
        self.pages += pages;
        self.tickets += tickets;
    }
}

/// The streams of one family.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FamilyPlan {
    pub family: Family,
    pub streams: usize,
    /// Rates that are tested, of all its streams; one that may move either way counts twice.
    pub tests: usize,
    /// Streams that may page.
    pub paging: usize,
    /// Streams that their family would let page, and whose reference is too short to say how far days differ.
    pub not_calibrated: usize,
    /// All of its streams together, a week.
    pub allowed: Spend,
    /// The stream that may spend least, a week.
    pub least: Spend,
}

/// One model version, with how soon its streams find what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    pub model: String,
    pub version: String,
    /// Predictions, and labelled ones, a second.
    pub rate: f64,
    pub label_rate: f64,
    pub delays: Vec<Delay>,
}

/// Something that opens incidents without spending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NotBudgeted {
    pub what: &'static str,
    pub why: &'static str,
}

const NOT_BUDGETED: [NotBudgeted; 3] = [
    NotBudgeted {
        what: "telemetry: a source partition that nobody reads any more",
        why: "a fact; a ticket, never a page",
    },
    NotBudgeted {
        what: "self: tocsin's own troubles, such as a receiver that takes no pages",
        why: "facts; they may page, around that receiver",
    },
    NotBudgeted {
        what: "incidents of people and of other systems",
        why: "they decide themselves; their severity is theirs",
    },
];

/// Works out what `config` comes to for the versions that have a pinned reference, or, where there is none, for a fleet
/// of the assumed shape.
///
/// Cost: some tenths of a second, whatever the fleet: delays are worked out for one version.
#[must_use]
pub fn plan(config: &JudgeConfig, references: &[Reference], shape: Shape) -> FleetPlan {
    let fleet = fleet::versions(config, references, shape);
    let mut families: Vec<FamilyPlan> = vec![];
    let mut allowed = Spend::default();
    for family in FAMILIES.into_iter().filter(|family| config.judge.family(*family).enabled) {
        let of = of_family(config, &fleet, family);
        if of.streams > 0 {
            allowed.add([of.allowed.pages, of.allowed.tickets]);
            families.push(of);
        }
    }
    FleetPlan {
        budget: config.budget,
        allowed,
        versions: fleet.len(),
        pinned: !references.is_empty(),
        families,
        example: middle(&fleet).map(|version| example(config, version)),
        not_budgeted: NOT_BUDGETED.to_vec(),
    }
}

/// What a week grants to a stream that has this part of a version's or model's budget.
fn weekly(config: &JudgeConfig, part: [f64; 2]) -> [f64; 2] {
    const WEEK_MS: i64 = 604_800_000;
    budget::grant(&config.budget, config.partitions, part, WEEK_MS)
}

fn of_family(config: &JudgeConfig, fleet: &[Planned], family: Family) -> FamilyPlan {
    let least = Spend { pages: f64::INFINITY, tickets: f64::INFINITY };
    let mut out = FamilyPlan {
        family,
        streams: 0,
        tests: 0,
        paging: 0,
        not_calibrated: 0,
        allowed: Spend::default(),
        least,
    };
    for version in fleet {
        let settings = config.model(&version.model);
        let may_page = budget::may_page(family, settings);
        let paging = if may_page { version.calibrated(family) } else { 0 };
        let pages = paging > 0;
        let (streams, tests) = version.streams(family);
        if streams == 0 {
            continue;
        }
        // A model's traffic is one stream for all of its versions.
        let part = if family == Family::Traffic { version.of_model } else { version.part() };
        let count = crate::reference::baseline::float(streams as u64);
        let all = budget::of_family(&config.judge, settings, family, |family| version.calibrated(family) > 0)
            .map(|weight| part * weight);
        let mut spend = weekly(config, all);
        if !pages {
            spend[0] = 0.0;
        }
        out.streams += streams;
        out.tests += tests;
        out.paging += paging;
        out.not_calibrated += if may_page { streams - paging } else { 0 };
        out.allowed.add(spend);
        if pages {
            out.least.pages =
                out.least.pages.min(spend[0] / crate::reference::baseline::float(paging as u64));
        }
        out.least.tickets = out.least.tickets.min(spend[1] / count);
    }
    if out.paging == 0 {
        out.least.pages = 0.0;
    }
    out
}

fn middle(fleet: &[Planned]) -> Option<&Planned> {
    let mut by_rate: Vec<&Planned> = fleet.iter().collect();
    by_rate.sort_by(|a, b| a.rate.total_cmp(&b.rate).then_with(|| a.model.cmp(&b.model)));
    by_rate.get(by_rate.len() / 2).copied()
}

fn example(config: &JudgeConfig, version: &Planned) -> Example {
    let delays = FAMILIES
        .into_iter()
        .filter(|family| config.judge.family(*family).enabled)
        .flat_map(|family| delays(config, version, family))
        .collect();
    Example {
        model: version.model.clone(),
        version: version.version.clone(),
        rate: version.rate,
        label_rate: version.label_rate,
        delays,
    }
}

#[cfg(test)]
mod tests;
