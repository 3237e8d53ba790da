//! The picture of one stream: what was counted against its reference, and the evidence below it.

mod table;

use wire::history::Verdict;
use wire::{Severity, Timestamp};

use crate::axis::{LEFT, RIGHT, Time, Values, WIDTH, joined};
use crate::columns::{Column, Columns};
use crate::text::{self, clipped, escape};

const TOP: f64 = 25.0;
const MIDDLE: f64 = 128.0;
/// The strip of evidence.
const STRIP: [f64; 2] = [151.0, 206.0];
const HEIGHT: f64 = 226.0;
/// D on the strip, as powers of ten.
const EVIDENCE: [f64; 2] = [-4.0, 1.0];
/// Seconds of a year.
const YEAR_S: f64 = 31_557_600.0;

/// One stream to be drawn.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// Unique on the page: names what the picture refers to within itself.
    pub id: usize,
    /// The sentence that says it.
    pub title: &'a str,
    pub columns: &'a Columns<Column>,
    /// Incidents of its family and model version, by opening.
    pub incidents: &'a [Marks<'a>],
    /// Deployments with their versions.
    pub deployments: &'a [(Timestamp, &'a str)],
    /// Least effect that matters, in shares of 1.
    pub least_effect: Option<f64>,
    /// Whether it looks in both directions.
    pub both_sides: bool,
    /// Event time to show.
    pub span: [Timestamp; 2],
}

/// One incident on a picture.
#[derive(Clone, Copy, Debug)]
pub struct Marks<'a> {
    pub id: &'a str,
    pub title: &'a str,
    pub severity: Severity,
    pub opened: Timestamp,
    /// `None` while it is open.
    pub cleared: Option<Timestamp>,
    /// It is about this stream, or another of the family.
    pub own: bool,
}

/// The picture with its title, its description and a table of its numbers.
///
/// Bounded: at most [`crate::COLUMNS_MAX`] columns, and as many marks of incidents as have room beside each other.
#[must_use]
pub fn stream(series: &Series<'_>) -> String {
    let [from, until] = series.span;
    let time = Time::new(from, until);
    let values = scale(series);
    let id = series.id;
    let mut svg = format!(
        "<figure class=\"plot\"><figcaption>{}</figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"t{id} d{id}\">\
         <title id=\"t{id}\">{}</title><desc id=\"d{id}\">{}</desc>\
         <defs><pattern id=\"h{id}\" class=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><path d=\"M0 0V6\"/></pattern></defs>",
        escape(series.title),
        escape(series.title),
        escape(&description(series)),
    );
    svg.push_str(&shaded(series, time));
    svg.push_str(&hatched(series, time));
    svg.push_str(&values.draw(text::points));
    svg.push_str(&levels(series, values));
    svg.push_str(&counted(series, time, values));
    svg.push_str(&evidence(series, time));
    svg.push_str(&deployed(series, time));
    svg.push_str(&marks(series, time));
    svg.push_str(&time.draw(STRIP[1]));
    svg.push_str("</svg>");
    svg.push_str(&table::numbers(series));
    svg.push_str("</figure>");
    svg
}

/// Room for the reference, the floor, the band and the columns as a whole; the spread within them may be cut.
fn scale(series: &Series<'_>) -> Values {
    let floor = series.least_effect.unwrap_or(0.01);
    let mut range = [if series.both_sides { -1.5 * floor } else { -0.5 * floor }, 1.5 * floor];
    let mut take = |value: f64| {
        if value.is_finite() {
            range = [range[0].min(value), range[1].max(value)];
        }
    };
    for column in series.columns.iter() {
        column.excess().into_iter().for_each(&mut take);
        if let Some(effect) = column.effect {
            // Far limits of few records say nothing worth the room.
            let far = 2.0 * effect.estimate.abs();
            [effect.lower, effect.upper].into_iter().for_each(|limit| take(limit.clamp(-far, far)));
        }
    }
    let [low, high] = range;
    let pad = 0.06 * (high - low);
    Values::new([low - pad, high + pad], TOP, MIDDLE)
}

fn levels(series: &Series<'_>, values: Values) -> String {
    let zero = values.y(0.0);
    let mut out = format!(
        "<path class=\"reference\" d=\"M{LEFT} {zero:.1}H{RIGHT}\"><title>the reference</title></path>\
         <text x=\"{LEFT}\" y=\"9\">points of share against the reference</text>"
    );
    let Some(least) = series.least_effect else { return out };
    let sides: &[f64] = if series.both_sides { &[1.0, -1.0] } else { &[1.0] };
    for side in sides {
        let y = values.y(side * least);
        let words = text::percent(least);
        put!(
            out,
            "<path class=\"floor\" data-least-effect=\"{least}\" d=\"M{LEFT} {y:.1}H{RIGHT}\"><title>least effect that \
             matters: {words}</title></path>"
        );
    }
    put!(
        out,
        "<text class=\"say\" x=\"{RIGHT}\" y=\"9\" text-anchor=\"end\">least effect {}</text>",
        text::percent(least)
    );
    out
}

/// Line, spread within the columns, band and estimate.
fn counted(series: &Series<'_>, time: Time, values: Values) -> String {
    let (mut whiskers, mut line, mut estimate) = (String::new(), String::new(), String::new());
    let (mut dots, mut band) = (String::new(), String::new());
    let mut before: Option<Timestamp> = None;
    for column in series.columns.iter() {
        let (a, b) = (time.x(column.from), time.x(column.until));
        let x = 0.5 * (a + b);
        if let Some(excess) = column.excess() {
            let y = values.y(excess);
            let [low, high] = column.range.map(|v| values.y(v));
            put!(whiskers, "M{x:.1} {low:.1}V{high:.1}");
            let joined = before.is_some_and(|before| joined(before, [column.from, column.until]));
            put!(line, "{}{x:.1} {y:.1}", if joined { 'L' } else { 'M' });
            if !joined {
                put!(dots, "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.3\"/>");
            }
            before = Some(column.until);
        }
        if let Some(effect) = column.effect {
            let [lower, upper] = [effect.lower, effect.upper].map(|v| values.y(v));
            put!(band, "M{a:.1} {lower:.1}H{b:.1}V{upper:.1}H{a:.1}Z");
            put!(estimate, "M{a:.1} {:.1}H{b:.1}", values.y(effect.estimate));
        }
    }
    format!(
        "<path class=\"band\" d=\"{band}\"><title>effect since the change began, with its limits: what the gate \
         reads</title></path><path class=\"whisker\" d=\"{whiskers}\"/><path class=\"line\" d=\"{line}\"/>{dots}\
         <path class=\"estimate\" d=\"{estimate}\"/>"
    )
}

/// D of pages and of tickets, as steps, against the alarm at 1.
fn evidence(series: &Series<'_>, time: Time) -> String {
    let values = Values::new(EVIDENCE, STRIP[0], STRIP[1]);
    let alarm = values.y(0.0);
    let mut paths = [String::new(), String::new()];
    let mut ends = [f64::MIN; 2];
    for column in series.columns.iter().filter(|column| column.judged > 0) {
        let (a, b) = (time.x(column.from), time.x(column.until));
        for (i, path) in paths.iter_mut().enumerate().filter(|(i, _)| column.peak[*i] > 0.0) {
            let y = values.y(column.peak[i].log10());
            // What follows at once is a step; a gap is a gap.
            if a - ends[i] < 0.1 {
                put!(path, "V{y:.1}H{b:.1}")
            } else {
                put!(path, "M{a:.1} {y:.1}H{b:.1}")
            }
            ends[i] = b;
        }
    }
    let [page, ticket] = paths;
    format!(
        "<text x=\"{LEFT}\" y=\"{:.1}\">evidence D: — page, - - ticket</text>\
         <text class=\"say\" x=\"{RIGHT}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>{}\
         <path class=\"floor\" d=\"M{LEFT} {alarm:.1}H{RIGHT}\"><title>an alarm is at 1</title></path>\
         <path class=\"d1\" d=\"{ticket}\"/><path class=\"d0\" d=\"{page}\"/>",
        STRIP[0] - 6.0,
        STRIP[0] - 6.0,
        budget(series),
        values.draw(|v| match v {
            v if v.abs() < 0.5 => "1".to_owned(),
            v if v > 0.5 => "10".to_owned(),
            // The lowest would stand on the words of the time axis.
            v if v < EVIDENCE[0] + 0.5 => String::new(),
            v => format!("1e{v:.0}"),
        }),
    )
}

/// What reaching 1 costs, in words.
fn budget(series: &Series<'_>) -> String {
    let (mut granted, mut seconds) = ([0.0; 2], 0.0);
    for column in series.columns.iter().filter(|column| column.judged > 0) {
        granted = [granted[0] + column.granted[0], granted[1] + column.granted[1]];
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of some years")]
        let ms = column.until.since_ms(column.from) as f64;
        seconds += ms / 1000.0;
    }
    let each = |granted: f64| text::span((seconds / granted).min(100_000.0 * YEAR_S));
    match granted {
        [page, _] if page > 0.0 => format!("alarm at 1: one false page in {}", each(page)),
        [_, ticket] if ticket > 0.0 => format!("alarm at 1: one false ticket in {}", each(ticket)),
        _ => "alarm at 1".to_owned(),
    }
}

/// Incidents from open to close: those of this stream strongly, others of its family thinly. What overlaps is one.
fn shaded(series: &Series<'_>, time: Time) -> String {
    let mut out = String::new();
    for (own, pages) in [(true, false), (true, true), (false, false), (false, true)] {
        let of = series.incidents.iter().filter(|one| one.own == own && one.severity.pages() == pages);
        let ends = of.map(|one| [time.x(one.opened), time.x(one.cleared.unwrap_or(series.span[1]))]);
        let mut spans: Vec<[f64; 2]> = ends.map(|[a, b]| [a, b.max(a + 1.0)]).collect();
        spans.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let mut drawn: Vec<[f64; 2]> = vec![];
        for [a, b] in spans {
            match drawn.last_mut() {
                Some(last) if a <= last[1] + 0.5 => last[1] = last[1].max(b),
                Some(_) | None => drawn.push([a, b]),
            }
        }
        let (top, whose) =
            if own { (TOP, "incident of this stream") } else { (STRIP[1] - 3.0, "another of the family") };
        let class = if pages { "page" } else { "ticket" };
        if !drawn.is_empty() {
            let boxes: String = drawn
                .iter()
                .map(|[a, b]| format!("M{a:.1} {top:.1}H{b:.1}V{:.1}H{a:.1}Z", STRIP[1]))
                .collect();
            put!(out, "<path class=\"{class} shade\" d=\"{boxes}\"><title>{whose}: {class}</title></path>");
        }
    }
    out
}

/// Openings: a triangle for a page, a square for a ticket. Those that would cover each other are one mark, the worst.
fn marks(series: &Series<'_>, time: Time) -> String {
    let mut groups: Vec<(f64, &Marks<'_>, usize)> = vec![];
    for one in series.incidents.iter().filter(|one| one.own) {
        let x = time.x(one.opened);
        match groups.last_mut().filter(|(at, ..)| (x - at).abs() < 5.0) {
            Some((_, worst, more)) => {
                *more += 1;
                if one.severity < worst.severity {
                    *worst = one;
                }
            }
            None => groups.push((x, one, 0)),
        }
    }
    let mut out = String::new();
    for (x, one, more) in groups {
        let (class, shape) = if one.severity.pages() {
            ("page", format!("M{x:.1} 22l-5 -8h10z"))
        } else {
            ("ticket", format!("M{:.1} 15h7v7h-7z", x - 3.5))
        };
        let others = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        put!(
            out,
            "<path class=\"{class} mark\" data-incident=\"{}\" d=\"{shape}\"><title>{class} {}: {}{others}</title></path>",
            clipped(one.id, 64),
            text::minute(one.opened),
            clipped(one.title, 300)
        );
    }
    out
}

fn deployed(series: &Series<'_>, time: Time) -> String {
    let mut out = String::new();
    for (at, version) in
        series.deployments.iter().filter(|(at, _)| series.span[0] <= *at && *at <= series.span[1])
    {
        let x = time.x(*at);
        put!(
            out,
            "<path class=\"edge\" d=\"M{x:.1} {TOP}V{}\"><title>deployed</title></path><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            STRIP[1],
            x + 2.0,
            MIDDLE - 2.0,
            clipped(version, 12)
        );
    }
    out
}

/// Why a stream was not judged, in words; `None` where it was.
#[must_use]
pub fn unjudged(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Ok | Verdict::Drifting | Verdict::Degraded => None,
        Verdict::NoData => Some("no data"),
        Verdict::InsufficientData => Some("too little data"),
        Verdict::WarmingUp => Some("warming up"),
        Verdict::NotCalibrated => Some("not calibrated"),
        Verdict::InvalidInput => Some("invalid input"),
    }
}

/// Spans that could not be judged: hatched, and named where there is room. Time that no pane covers is no data.
fn hatched(series: &Series<'_>, time: Time) -> String {
    let mut spans: Vec<(Timestamp, Timestamp, &str)> = vec![];
    let mut add = |from: Timestamp, until: Timestamp, why: &'static str| match spans.last_mut() {
        Some((_, end, before)) if *before == why && *end == from => *end = until,
        _ => spans.push((from, until, why)),
    };
    let mut end = series.span[0];
    for column in series.columns.iter() {
        if end < column.from {
            add(end, column.from, "no data");
        }
        if let Some(why) = unjudged(column.verdict) {
            add(column.from, column.until, why);
        }
        end = end.max(column.until);
    }
    if end < series.span[1] {
        add(end, series.span[1], "no data");
    }
    let mut out = String::new();
    for (from, until, why) in spans {
        let (a, b) = (time.x(from), time.x(until));
        // Panes end a little after records do: what cannot be seen is not drawn.
        if b - a < 1.5 {
            continue;
        }
        put!(
            out,
            "<rect x=\"{a:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"url(#h{})\"><title>{why}</title></rect>",
            b - a,
            MIDDLE - TOP,
            series.id
        );
        if b - a > 60.0 {
            put!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{why}</text>",
                0.5 * (a + b),
                MIDDLE - 6.0
            );
        }
    }
    out
}

fn description(series: &Series<'_>) -> String {
    let [from, until] = series.span.map(text::minute);
    let peak = series.columns.iter().fold([0.0_f64; 2], |p, c| [p[0].max(c.peak[0]), p[1].max(c.peak[1])]);
    let own = series.incidents.iter().filter(|one| one.own).count();
    format!(
        "From {from} to {until} UTC. Evidence reached {:.3} for pages and {:.3} for tickets; an alarm is at 1. Incidents \
         of this stream: {own}. The numbers are in the table below.",
        peak[0], peak[1]
    )
}

#[cfg(test)]
mod tests;
