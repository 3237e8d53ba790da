//! What people know a model by, over time: how much traffic, how slow.

use wire::Timestamp;
use wire::history::History;

use crate::axis::{LEFT, RIGHT, Time, Values, WIDTH, joined};
use crate::columns::{Columns, Merge, float};
use crate::text::{self, escape};

const TOP: f64 = 16.0;
const BOTTOM: f64 = 96.0;
const HEIGHT: f64 = 116.0;
const QUANTILES: [&str; 3] = ["p50", "p95", "p99"];

/// Traffic and latency of some panes of a model version.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    pub from: Timestamp,
    pub until: Timestamp,
    pub predictions: u64,
    /// Predictions of panes with latencies, and the sum over these of each quantile's logarithm.
    weight: f64,
    logs: [f64; 3],
}

/// Which of it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Predictions a second.
    Traffic,
    /// p50, p95 and p99 in milliseconds, on a logarithmic scale.
    Latency,
}

impl Flow {
    #[must_use]
    pub fn of(pane: &History) -> Self {
        let [from, until] = pane.window;
        let mut flow = Self { from, until, predictions: pane.predictions, weight: 0.0, logs: [0.0; 3] };
        let quantiles =
            QUANTILES.map(|name| pane.latency_ms.get(name).copied().filter(|ms| *ms > 0.0 && ms.is_finite()));
        if let [Some(a), Some(b), Some(c)] = quantiles {
            flow.weight = float(pane.predictions.max(1));
            flow.logs = [a, b, c].map(|ms| flow.weight * ms.log10());
        }
        flow
    }

    /// The quantiles, as powers of ten of a millisecond.
    fn latency(&self) -> Option<[f64; 3]> {
        (self.weight > 0.0).then(|| self.logs.map(|sum| sum / self.weight))
    }

    fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of some years")]
        let ms = self.until.since_ms(self.from).max(1) as f64;
        float(self.predictions) * 1000.0 / ms
    }

    fn lines(&self, shown: Shown) -> Vec<f64> {
        match shown {
            Shown::Traffic => vec![self.rate()],
            Shown::Latency => self.latency().map_or_else(Vec::new, |latency| latency.to_vec()),
        }
    }
}

impl Merge for Flow {
    fn plus(self, later: Self) -> Self {
        let mut logs = self.logs;
        logs.iter_mut().zip(later.logs).for_each(|(sum, more)| *sum += more);
        Self {
            from: self.from.min(later.from),
            until: self.until.max(later.until),
            predictions: self.predictions.saturating_add(later.predictions),
            weight: self.weight + later.weight,
            logs,
        }
    }
}

/// Lines over time, with a table of their numbers. Time without panes is a gap.
#[must_use]
pub fn flow(id: usize, title: &str, columns: &Columns<Flow>, span: [Timestamp; 2], shown: Shown) -> String {
    let time = Time::new(span[0], span[1]);
    let all = || columns.iter().flat_map(|column| column.lines(shown));
    let high = all().fold(f64::MIN, f64::max);
    let low = match shown {
        Shown::Traffic => 0.0,
        Shown::Latency => all().fold(f64::MAX, f64::min) - 0.05,
    };
    let values = Values::new([low, high + 0.05 * (high - low)], TOP, BOTTOM);
    let mut paths = [String::new(), String::new(), String::new()];
    let mut rows = String::new();
    let mut end: Option<Timestamp> = None;
    for column in columns.iter() {
        let x = 0.5 * (time.x(column.from) + time.x(column.until));
        let step = if end.is_some_and(|end| joined(end, [column.from, column.until])) { 'L' } else { 'M' };
        let lines = column.lines(shown);
        for (path, value) in paths.iter_mut().zip(&lines) {
            put!(path, "{step}{x:.1} {:.1}", values.y(*value));
        }
        // A column without this kind of number breaks the line.
        end = (!lines.is_empty()).then_some(column.until);
        let cells: String = lines.iter().map(|value| format!("<td>{}</td>", words(shown, *value))).collect();
        put!(rows, "<tr><td>{}</td>{cells}</tr>", text::minute(column.from));
    }
    let (axis, heads) = match shown {
        Shown::Traffic => ("predictions a second", "<th>predictions a second</th>"),
        Shown::Latency => {
            ("ms, logarithmic: — p50, - - p95, ··· p99", "<th>p50 ms</th><th>p95 ms</th><th>p99 ms</th>")
        }
    };
    let drawn: String =
        paths.iter().enumerate().map(|(i, d)| format!("<path class=\"line p{i}\" d=\"{d}\"/>")).collect();
    let ticks = match shown {
        Shown::Traffic => values.ticks(),
        Shown::Latency => values.log_ticks(),
    };
    let title = escape(title);
    format!(
        "<figure class=\"plot\"><figcaption>{title}</figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"t{id}\"><title id=\"t{id}\">{title}: {axis}</title>\
         <text x=\"{LEFT}\" y=\"9\">{axis}</text>{}{drawn}{}<path class=\"reference\" d=\"M{RIGHT} {TOP}\"/></svg>\
         <details><summary>Numbers</summary><div class=\"numbers\"><table><thead><tr><th>from (UTC)</th>{heads}</tr></thead>\
         <tbody>{rows}</tbody></table></div></details></figure>",
        values.draw_at(&ticks, |value| words(shown, value)),
        time.draw(BOTTOM),
    )
}

fn words(shown: Shown, value: f64) -> String {
    let value = match shown {
        Shown::Traffic => value,
        Shown::Latency => 10.0_f64.powf(value),
    };
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 1.0 => format!("{v:.1}"),
        v if v > 0.0 => format!("{v:.3}"),
        _ => "0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pane(i: i64, predictions: u64, p50: Option<f64>) -> Flow {
        let at = |i: i64| Timestamp::EPOCH.plus_ms(i * 60_000);
        let latency = p50.map(|ms| [("p50", ms), ("p95", 10.0 * ms), ("p99", 100.0 * ms)]);
        Flow::of(&History {
            model: "m".into(),
            version: "v".into(),
            segment: None,
            window: [at(i), at(i + 1)],
            predictions,
            status: [].into(),
            latency_ms: latency.into_iter().flatten().map(|(name, ms)| (name.to_owned(), ms)).collect(),
            labels: 0,
            measures: [].into(),
            streams: vec![],
            distributions: vec![],
            left_out: 0,
            incomplete: false,
            profile: None,
            config: None,
        })
    }

    #[test]
    fn merged_panes_keep_their_rate_and_level() {
        let both = pane(0, 60, Some(10.0)).plus(pane(1, 180, None));
        assert!((both.rate() - 2.0).abs() < 1e-9);
        assert!(both.latency().is_some_and(|l| (l[0] - 1.0).abs() < 1e-9 && (l[2] - 3.0).abs() < 1e-9));
    }

    #[test]
    fn lines_and_their_numbers() {
        let mut columns = Columns::default();
        for (i, pane) in
            [pane(0, 60, Some(10.0)), pane(1, 0, None), pane(2, 60, Some(20.0))].into_iter().enumerate()
        {
            columns.push(Flow { from: Timestamp::EPOCH.plus_ms(60_000 * i64::try_from(i).unwrap()), ..pane });
        }
        let span = [Timestamp::EPOCH, Timestamp::EPOCH.plus_ms(180_000)];
        let latency = flow(1, "<m>", &columns, span, Shown::Latency);
        assert!(
            latency.contains("<td>10.0</td><td>100</td><td>1000</td>") && latency.contains("&lt;m&gt;"),
            "{latency}"
        );
        assert!(flow(2, "m", &columns, span, Shown::Traffic).contains("<td>1.0</td>"));
        for shown in [Shown::Traffic, Shown::Latency] {
            let empty = flow(3, "m", &Columns::default(), span, shown);
            assert!(!empty.contains("NaN") && !empty.contains("inf"), "{empty}");
        }
    }
}
