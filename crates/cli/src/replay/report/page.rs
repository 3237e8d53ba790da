//! The page: what happened in a sentence, the incidents, the truth, the pictures, what could not be judged.

mod style;

use std::collections::BTreeMap;

use base64::Engine as _;
use plot::text::{self, clipped, escape};
use sha2::{Digest as _, Sha256};
use wire::{Effect, Family, Severity};

use super::About;
use super::gather::{Episode, Gathered, INCIDENTS_MAX};
use super::pictures;
use crate::replay::scorecard::Scorecard;
use crate::term::thousands;

/// Rows of incidents on the page.
const ROWS_MAX: usize = 300;
const NAME: usize = text::NAME_MAX;

/// The whole of it.
pub(super) fn page(gathered: &Gathered, about: &About<'_>) -> String {
    let css = format!("{}{}", plot::CSS, style::PAGE);
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(css.as_bytes()));
    let title = format!("Replay of {}", about.read.source);
    let truth = about.scorecard.map(truth).unwrap_or_default();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; base-uri \
         'none'; form-action 'none'\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"referrer\" content=\"no-referrer\"><title>{}</title><style>{css}</style></head><body>\
         <header><h1>{}</h1><p class=\"lead\">{}</p>{}</header><main>{}{truth}{}{}</main>\
         <footer>{}</footer></body></html>\n",
        escape(&title),
        escape(&title),
        summary(gathered, about),
        facts(gathered, about),
        incidents(gathered),
        pictures::pictures(gathered, about),
        unjudged(gathered),
        foot(about),
    )
}

/// The sentence that says it.
fn summary(gathered: &Gathered, about: &About<'_>) -> String {
    let all = gathered.incidents.len();
    let pages = gathered.incidents.iter().filter(|one| one.severity().pages()).count();
    let open = gathered.incidents.iter().filter(|one| one.cleared().is_none()).count();
    let [page, ticket] = about.read.totals.judged.granted;
    let what = match (all, pages) {
        (0, _) => "No incident was opened".to_owned(),
        (1, 0) => "1 incident was opened, a ticket".to_owned(),
        (1, _) => "1 incident was opened, a page".to_owned(),
        (all, pages) => format!("{all} incidents were opened, {pages} of them pages"),
    };
    let still = if open > 0 { format!(", {open} still open at the end") } else { String::new() };
    let mut text = format!(
        "{what}{still}. The budget granted {page:.3} false pages and {ticket:.3} false tickets over that time: no more \
         are expected, on average, where nothing has changed."
    );
    if let Some(card) = about.scorecard {
        text.push(' ');
        text.push_str(&card.sentence());
    }
    escape(&text)
}

/// From when to when, how much, under what.
fn facts(gathered: &Gathered, about: &About<'_>) -> String {
    let span = gathered.span.map_or_else(
        || "nothing".to_owned(),
        |[from, until]| format!("{} to {} UTC", text::minute(from), text::minute(until)),
    );
    let until = about.read.reference_until.map_or_else(
        || "pinned, or learned on the way".to_owned(),
        |until| format!("what came before {} UTC", text::minute(until)),
    );
    let budget = &about.checked.judge.budget;
    let rows = [
        ("Judged", span),
        ("Reference", until),
        ("Read", about.read.amount.clone()),
        (
            "Budget",
            format!(
                "{:.3} false pages and {:.3} false tickets a week",
                budget.pages_per_week, budget.tickets_per_week
            ),
        ),
    ];
    let rows: String =
        rows.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", escape(value))).collect();
    format!("<dl>{rows}</dl>")
}

fn incidents(gathered: &Gathered) -> String {
    if gathered.incidents.is_empty() {
        return String::new();
    }
    let mut order: Vec<&Episode> = gathered.incidents.iter().collect();
    order.sort_by_key(|one| (one.severity(), one.opened.changed_at));
    let rows: String = order.iter().take(ROWS_MAX).map(|one| row(one)).collect();
    let left = gathered.incidents.len().saturating_sub(ROWS_MAX) as u64 + gathered.incidents_left_out;
    let more = if left > 0 {
        format!(
            "<p class=\"note\">{} more are left out: the worst {ROWS_MAX} of the first {INCIDENTS_MAX} are shown. \
             <code>--incidents</code> writes all.</p>",
            thousands(left)
        )
    } else {
        String::new()
    };
    format!(
        "<section><h2>Incidents</h2><div class=\"wide\"><table class=\"incidents\"><thead><tr><th>severity</th><th>model</th>\
         <th>family</th><th>opened (UTC)</th><th>cleared</th><th class=\"n\">effect, its limits</th><th class=\"n\">D</th>\
         <th>what</th></tr></thead><tbody>{rows}</tbody></table></div>{more}<p class=\"note\">Effect: how far the share has \
         moved, in points, with its limits, when it was last told before it cleared. D: what the leading test holds of the \
         evidence when it opened; an alarm is at 1 for all tests together.</p></section>"
    )
}

fn row(one: &Episode) -> String {
    let (first, last) = (&one.opened, &one.last);
    let effect = &last.evidence.effect;
    let severity = one.severity();
    let (class, shape) = mark(severity);
    let version = first.subject.version.as_deref().unwrap_or("all versions");
    format!(
        "<tr><td data-l=\"severity\"><span class=\"{class}\">{shape} {severity}</span></td><td data-l=\"model\">{} {}</td>\
         <td data-l=\"family\">{}</td><td data-l=\"opened\">{}</td><td data-l=\"cleared\">{}</td>\
         <td data-l=\"effect\" class=\"n\">{}</td><td data-l=\"D\" class=\"n\">{}</td><td class=\"what\">{}</td></tr>",
        clipped(&first.subject.name, NAME),
        clipped(version, NAME),
        words(first.family),
        text::minute(first.changed_at),
        one.cleared().map_or_else(|| "still open".to_owned(), text::minute),
        effect_words(&last.evidence.unit, first.family, *effect),
        evidence_words(first.evidence.evidence),
        clipped(&first.title, 300),
    )
}

/// Shares in points, traffic against what was expected, anything else as it is.
fn effect_words(unit: &str, family: Family, of: Effect) -> String {
    if family == Family::Traffic {
        return format!("{:+.0} % [{:+.0}, {:+.0}]", 100.0 * of.estimate, 100.0 * of.lower, 100.0 * of.upper);
    }
    if unit == "share" {
        let [estimate, lower, upper] = [of.estimate, of.lower, of.upper].map(text::points);
        return format!("{estimate} [{lower}, {upper}]");
    }
    format!("{:+.2} [{:+.2}, {:+.2}] {}", of.estimate, of.lower, of.upper, clipped(unit, 20))
}

fn evidence_words(d: f64) -> String {
    if d < 1000.0 { format!("{d:.1}") } else { format!("{d:.0e}") }
}

/// Class and shape of a severity: never colour alone.
pub(super) fn mark(severity: Severity) -> (&'static str, char) {
    if severity.pages() { ("is-page", '▲') } else { ("is-ticket", '■') }
}

pub(super) fn words(family: Family) -> String {
    family.name().replace('_', " ")
}

fn truth(card: &Scorecard) -> String {
    let kinds: String = card
        .kinds
        .iter()
        .map(|k| {
            let delay = match (k.delay_s, k.delay_predictions) {
                (Some(s), Some(n)) => format!("{}, {n:.0} predictions", text::span(s)),
                (None, _) | (_, None) => "–".to_owned(),
            };
            let verdict = if k.found == k.due { "✓" } else { "✗" };
            format!(
                "<tr><td>{}</td><td>{}</td><td>{verdict} {} of {}</td><td>{delay}</td><td class=\"n\">{:.2}</td></tr>",
                escape(k.family),
                clipped(&k.kind, NAME),
                k.found,
                k.due,
                k.dummy_found
            )
        })
        .collect();
    let families: String = card
        .families
        .iter()
        .map(|f| {
            let rate = f.false_per_model_day.map_or_else(
                || "no quiet time".to_owned(),
                |rate| format!("{rate:.2} over {:.1} days", f.quiet_model_days),
            );
            format!(
                "<tr><td>{}</td><td class=\"n\">{}</td><td>{rate}</td><td class=\"n\">{:.1}</td></tr>",
                escape(f.family),
                f.false_incidents,
                f.dummy_false
            )
        })
        .collect();
    format!(
        "<section><h2>Against what is known</h2><p>{}</p><div class=\"wide\"><table><thead><tr><th>family</th><th>change</th>\
         <th>found</th><th>median delay</th><th class=\"n\">dummy finds</th></tr></thead><tbody>{kinds}</tbody></table></div>\
         <div class=\"wide\"><table><thead><tr><th>family</th><th class=\"n\">false incidents</th><th>a model-day</th>\
         <th class=\"n\">dummy's false</th></tr></thead><tbody>{families}</tbody></table></div>\
         <p class=\"note\">The dummy raises as many incidents of the same streams at fixed intervals; its numbers are means \
         over {} offsets. It shows what chance would have found.</p></section>",
        escape(&card.sentence()),
        card.dummy_offsets
    )
}

/// Streams that were never judged, by why.
fn unjudged(gathered: &Gathered) -> String {
    let mut of: BTreeMap<(&str, &str, &'static str), Vec<String>> = BTreeMap::new();
    for (((model, version), family, name), stream) in &gathered.streams {
        let Some(why) = stream.last.and_then(plot::unjudged).filter(|_| stream.judged == 0) else { continue };
        of.entry((model, version, why)).or_default().push(format!("{} {name}", words(*family)));
    }
    if of.is_empty() && gathered.streams_left_out == 0 {
        return String::new();
    }
    let rows: String = of
        .iter()
        .take(ROWS_MAX)
        .map(|((model, version, why), names)| {
            let shown: Vec<String> = names.iter().take(12).map(|name| clipped(name, NAME)).collect();
            let more = names.len().saturating_sub(shown.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!(
                "<tr><td>{} {}</td><td>{why}</td><td class=\"n\">{}</td><td class=\"what\">{}{more}</td></tr>",
                clipped(model, NAME),
                clipped(version, NAME),
                names.len(),
                shown.join(", ")
            )
        })
        .collect();
    format!(
        "<section><h2>Not judged</h2><p>Silence here is not health: these streams had no verdict but why there is none.</p>\
         <div class=\"wide\"><table><thead><tr><th>model</th><th>why</th><th class=\"n\">streams</th><th>which</th></tr></thead>\
         <tbody>{rows}</tbody></table></div></section>"
    )
}

fn foot(about: &About<'_>) -> String {
    format!(
        "<p>Written by tocsin {}. Config {}. Event time, UTC. The same files and config give the same page.</p>",
        escape(env!("CARGO_PKG_VERSION")),
        escape(about.checked.judge.digest().as_str())
    )
}
