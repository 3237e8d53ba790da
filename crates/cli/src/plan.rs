//! `tocsin plan`: what the budget of a config comes to, before anything is started.

use std::sync::Arc;

use detect::judge::Judge;
use detect::judge::plan::{After, Bounds, Delay, Example, FleetPlan, Shape, Table, plan, tables};
use detect::reference::Reference;
use runtime::log::Log;
use runtime::past;

use crate::app::{AnyLog, open_log, settings};
use crate::args::PlanArgs;
use crate::config::{self, Checked};
use crate::failure::{Failure, Kind};
use crate::term::{Look, Out, span, thousands, visible};

/// # Errors
/// When the config is not right.
pub(crate) fn run(args: &PlanArgs, out: &Out) -> Result<(), Failure> {
    let checked = config::load(&args.config.config)?;
    let shape = Shape { versions: args.versions, features: args.features, rate: args.rate };
    let observed = if args.observed { Some(observed(&checked)?) } else { None };
    let plan = plan(&checked.judge, observed.as_ref().unwrap_or(&checked.references), shape);
    let tables = full(&checked, &plan);
    if out.json {
        out.json(&serde_json::json!({"plan": plan, "tables": tables}));
        return Ok(());
    }
    let lines = [budget(&plan, shape, args.observed), families(&plan), outside(&plan)];
    lines.into_iter().flatten().for_each(|line| out.line(line));
    if let Some(example) = &plan.example {
        out.line("");
        out.line(out.paint(Look::Bold, title(example)));
        delays(example).into_iter().for_each(|line| out.line(line));
    }
    memory(&tables).into_iter().for_each(|line| out.line(line));
    Ok(())
}

/// The fleet that the log knows, its references replaced by pinned ones of the config.
fn observed(checked: &Checked) -> Result<Vec<Reference>, Failure> {
    let references = match open_log(checked)? {
        AnyLog::Kafka(log) => of_log(&log, checked)?,
        AnyLog::Embedded(log) => of_log(&log, checked)?,
    };
    if references.is_empty() {
        let why = "the log knows of no model version that was judged within its last hour; without --observed a fleet is assumed";
        return Err(Failure::new(Kind::No, why));
    }
    let pinned = |known: &Reference| {
        let is_it = |r: &&Reference| {
            (&r.profile.model, &r.profile.version) == (&known.profile.model, &known.profile.version)
        };
        checked.references.iter().find(is_it).cloned()
    };
    Ok(references.into_iter().map(|known| pinned(&known).unwrap_or(known)).collect())
}

fn of_log<L: Log>(log: &L, checked: &Checked) -> Result<Vec<Reference>, Failure> {
    let settings = settings(checked);
    let mut references = vec![];
    let Some(partitions) = log.partitions(&settings.topics.state_judge)? else { return Ok(references) };
    for partition in 0..partitions {
        let state = past::judge_state(log, &settings, partition)?;
        let found = Judge::observed(partition, Arc::clone(&checked.judge), &state)
            .map_err(|e| Failure::new(Kind::CannotStart, format!("state of partition {partition}: {e}")))?;
        references.extend(found);
    }
    Ok(references)
}

/// The tables for versions with as many tests as the fleet's have on average.
fn full(checked: &Checked, plan: &FleetPlan) -> Vec<Table> {
    let telemetry = checked.telemetry.raw();
    let bounds =
        Bounds { ids: telemetry.duplicates.ids_max.into(), waiting: telemetry.labels.waiting_max.into() };
    let tests: usize = plan.families.iter().map(|family| family.tests).sum();
    let each = u64::try_from(tests / plan.versions.max(1)).unwrap_or(u64::MAX);
    tables(&checked.judge.judge, bounds, each)
}

fn budget(plan: &FleetPlan, shape: Shape, observed: bool) -> Vec<String> {
    let versions = plan.versions;
    let of = if observed {
        format!("{versions} model versions live in the log, by the references that judge them")
    } else if plan.pinned {
        format!("{versions} model versions with a pinned reference")
    } else {
        let Shape { features, rate, .. } = shape;
        format!(
            "no reference is pinned: {versions} model versions assumed, each with {features} features and {rate} predictions a second"
        )
    };
    vec![
        of,
        format!(
            "false pages a week: at most {} on average, of a budget of {}; false tickets: {} of {}",
            number(plan.allowed.pages),
            number(plan.budget.pages_per_week),
            number(plan.allowed.tickets),
            number(plan.budget.tickets_per_week),
        ),
        String::new(),
    ]
}

fn families(plan: &FleetPlan) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<14}{:>9}{:>9}{:>9}{:>13}{:>15}{:>19}",
        "family", "streams", "tests", "may page", "pages a week", "tickets a week", "least of a stream"
    )];
    lines.extend(plan.families.iter().map(|f| {
        let least = if f.paging > 0 { f.least.pages } else { f.least.tickets };
        format!(
            "{:<14}{:>9}{:>9}{:>9}{:>13}{:>15}{:>19}",
            f.family.name(),
            f.streams,
            f.tests,
            f.paging,
            number(f.allowed.pages),
            number(f.allowed.tickets),
            number(least),
        )
    }));
    let barred = plan.families.iter().filter(|f| f.not_calibrated > 0);
    lines.extend(barred.map(|f| {
        format!(
            "  {}: {} of {} streams are not calibrated: their spread still grows at the longest windows of their reference. They \
             ticket, and may page once a longer reference is built",
            f.family.name(),
            f.not_calibrated,
            f.streams
        )
    }));
    lines
}

fn outside(plan: &FleetPlan) -> Vec<String> {
    let mut lines = vec![String::new(), "not budgeted".to_owned()];
    lines.extend(plan.not_budgeted.iter().map(|one| format!("  {}: {}", one.what, one.why)));
    lines
}

fn title(example: &Example) -> String {
    let Example { model, version, rate, label_rate, .. } = example;
    format!(
        "expected delay for {} {}: {} predictions a second, {} labels",
        visible(model),
        visible(version),
        number(*rate),
        number(*label_rate)
    )
}

fn delays(example: &Example) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<14}{:>7}{:>9}{:>10}{:>7}  {:<30}{}",
        "family", "floors", "usual", "becomes", "d", "incident after", "page after"
    )];
    lines.extend(example.delays.iter().map(|delay| {
        let Delay { family, times, usual, becomes, d, ticket, page, .. } = delay;
        let percent = |share: f64| format!("{} %", number(100.0 * share));
        format!(
            "{:<14}{:>7}{:>9}{:>10}{:>7}  {:<30}{}",
            family.name(),
            format!("{times} x"),
            percent(*usual),
            percent(*becomes),
            number(*d),
            after(*ticket),
            after(*page),
        )
    }));
    lines.push(
        "floors: multiples of the least effect that pages, or opens where the family may not page".to_owned(),
    );
    lines
}

fn after(after: Option<After>) -> String {
    let told = |a: After| format!("{} records, {}", thousands(a.records), span(a.span_ms));
    after.map_or_else(|| "-".to_owned(), told)
}

fn memory(tables: &[Table]) -> Vec<String> {
    let mut lines = vec![String::new(), "memory of full tables".to_owned()];
    lines.extend(tables.iter().map(|t| {
        let (bound, each) = (thousands(t.bound), thousands(t.bytes_each));
        format!("  {:<56}{bound:>11} x {each:>7} B = {}", t.what, bytes(t.bytes))
    }));
    lines
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn bytes(n: u64) -> String {
    let of = |unit: u64| number(n as f64 / unit as f64);
    match n {
        0..1_000_000 => format!("{} kB", of(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", of(1_000_000)),
        1_000_000_000.. => format!("{} GB", of(1_000_000_000)),
    }
}

/// Three digits that matter.
fn number(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    if x.abs() >= 100.0 {
        return format!("{x:.0}");
    }
    if x.abs() < 0.001 {
        return format!("{x:.2e}");
    }
    let digits =
        if x.abs() >= 10.0 { 1 } else { 2 + usize::from(x.abs() < 1.0) + usize::from(x.abs() < 0.01) };
    let text = format!("{x:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (x, want) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.333_33, "0.333"),
            (5.0, "5"),
            (0.004_2, "0.0042"),
            (43.21, "43.2"),
            (1234.5, "1234"),
            (0.000_08, "8.00e-5"),
        ] {
            assert_eq!(number(x), want);
        }
        assert_eq!([bytes(20_000_000), bytes(1_500), bytes(4_000_000_000)], ["20 MB", "1.5 kB", "4 GB"]);
    }

    fn written(shape: Shape) -> Vec<String> {
        let checked = config::parse(std::path::Path::new("tocsin.toml"), config::TEMPLATE).expect("a config");
        let plan = plan(&checked.judge, &checked.references, shape);
        let example = plan.example.as_ref().expect("a version");
        let parts = [
            budget(&plan, shape, false),
            families(&plan),
            outside(&plan),
            delays(example),
            memory(&full(&checked, &plan)),
        ];
        parts.concat()
    }

    #[test]
    fn the_plan_of_the_config_that_init_writes() {
        let lines = written(Shape { versions: 3, features: 4, rate: 2.0 });
        let line = |start: &str| lines.iter().find(|line| line.starts_with(start)).expect(start).clone();
        assert!(line("no reference is pinned").contains("3 model versions"));
        assert!(line("false pages a week: at most 1 ").contains("false tickets: 5 of 5"));
        let words: Vec<String> = line("drift").split_whitespace().map(str::to_owned).collect();
        assert_eq!(
            words[1..4],
            ["12", "552", "0"],
            "four features of three versions, 23 tests on two sides, no page"
        );
        assert!(line("  collect: ids of predictions").contains(" = "));
        assert!(lines.iter().any(|line| line.starts_with("accuracy") && line.contains("records, ")));
    }

    /// Of four weeks.
    #[expect(clippy::cast_precision_loss, reason = "a test's own numbers")]
    fn rate_of(reference: &Reference) -> f64 {
        reference.records as f64 / 2_419_200.0
    }

    #[test]
    fn pinned_references_are_the_fleet() {
        let checked = config::parse(std::path::Path::new("tocsin.toml"), config::TEMPLATE).expect("a config");
        let references = crate::demo::references::checked_in().expect("the demo's references");
        let plan = plan(&checked.judge, &references, Shape { versions: 1, features: 1, rate: 1.0 });
        assert_eq!((plan.pinned, plan.versions), (true, references.len()));
        assert!((plan.allowed.pages - 1.0).abs() < 1e-9, "{:?}", plan.allowed);
        let example = plan.example.expect("a version");
        let rates: Vec<f64> = references.iter().map(rate_of).collect();
        assert!(
            rates.iter().any(|rate| (rate / example.rate - 1.0).abs() < 0.01),
            "{} of {rates:?}",
            example.rate
        );
        let known = example.delays.iter().filter(|delay| delay.d > 1.0).count();
        assert!(known > 0, "the spread is the reference's: {:?}", example.delays);
    }
}
