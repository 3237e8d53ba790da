//! The form of labelled cases: streams of one model with changes planted at known times.

use serde::Deserialize;
use serde_json::Value;
use wire::{Family, Timestamp};

use super::{Alarm, Clock, Fate, Outcome, Planted, Span, along, length_ms};

/// Predictions within which a repeat of a counted false alarm is the same false alarm.
const SAME_ALARM: f64 = 500.0;
/// The last records may be so far from the case's end.
const END_SLACK_MS: i64 = 120_000;

/// Times are milliseconds since 1970; what is not read here is ignored.
#[derive(Debug, Deserialize)]
pub(in crate::replay) struct Case {
    warmup_until: Ms,
    end: Ms,
    changes: Vec<Change>,
    /// Settling time, in which nothing counts.
    #[serde(default)]
    ignore: Vec<[Ms; 2]>,
    scored_families: Vec<Group>,
    /// Time of every `ts_every`th prediction.
    #[serde(default)]
    ts_index: Vec<Ms>,
    #[serde(default)]
    ts_every: u32,
    #[serde(default)]
    n_predictions: u32,
}

#[derive(Clone, Debug, Deserialize)]
struct Change {
    start: Ms,
    end: Ms,
    detect_by: Ms,
    /// Families that must answer.
    signals: Vec<Group>,
    /// Families that may.
    #[serde(default)]
    may: Vec<Group>,
    kind: String,
    /// A number, or words.
    #[serde(default)]
    size: Value,
    #[serde(default)]
    feature: Option<String>,
    #[serde(default)]
    optional: bool,
    /// Only this one is hurt.
    #[serde(default)]
    version: Option<String>,
}

/// Families as cases know them: drift is all of inputs and predictions, errors all that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Group {
    Latency,
    Errors,
    Drift,
    Accuracy,
}

impl Group {
    const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Errors => "errors",
            Self::Drift => "drift",
            Self::Accuracy => "accuracy",
        }
    }

    /// `None` for what cases say nothing about.
    const fn of(family: Family) -> Option<Self> {
        match family {
            Family::Latency => Some(Self::Latency),
            Family::Availability => Some(Self::Errors),
            Family::Drift | Family::Prediction | Family::DataQuality => Some(Self::Drift),
            Family::Accuracy => Some(Self::Accuracy),
            Family::Traffic
            | Family::Calibration
            | Family::Deployment
            | Family::Telemetry
            | Family::Other => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "f64")]
struct Ms(Timestamp);

impl TryFrom<f64> for Ms {
    type Error = String;

    fn try_from(ms: f64) -> Result<Self, String> {
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and is then refused as no time")]
        let whole = ms.round() as i64;
        Timestamp::from_ms(whole)
            .map(Self)
            .ok_or_else(|| format!("{ms} is no time in milliseconds since 1970"))
    }
}

impl Case {
    pub(super) fn families(&self) -> Vec<&'static str> {
        self.scored_families.iter().map(|group| group.name()).collect()
    }

    pub(super) fn family_of(&self, family: Family) -> Option<&'static str> {
        Group::of(family).filter(|group| self.scored_families.contains(group)).map(Group::name)
    }

    /// Changes that must be found, one for each family that must find them.
    fn needed(&self) -> impl Iterator<Item = (Group, &Change)> {
        let due = |group: &Group| {
            let group = *group;
            self.changes
                .iter()
                .filter(move |c| !c.optional && c.signals.contains(&group))
                .map(move |c| (group, c))
        };
        self.scored_families.iter().flat_map(due)
    }

    pub(super) fn planted(&self) -> Vec<Planted> {
        let one = |(group, change): (Group, &Change)| {
            let size = match &change.size {
                Value::Null => String::new(),
                Value::String(text) => format!(" {text}"),
                other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                    format!(" {other}")
                }
            };
            let of = change.feature.as_deref().map(|feature| format!(" of {feature}")).unwrap_or_default();
            let hurt = change.version.as_deref().map(|version| format!(" ({version})")).unwrap_or_default();
            Planted {
                family: group.name(),
                kind: format!("{}{size}", change.kind),
                what: format!("{}{size}{of}{hurt}", change.kind),
                start: change.start.0,
                detect_by: change.detect_by.0,
            }
        };
        self.needed().map(one).collect()
    }

    pub(super) fn judge(&self, alarms: &[Alarm], clock: &Clock, span: Span) -> Outcome {
        let points = self.points();
        let position = |at: Timestamp| match points.len() {
            0 | 1 => clock.position(None, at),
            _ => along(&points, at.as_ms()),
        };
        let opened = |i: &usize| !alarms[*i].rose && alarms[*i].at >= self.warmup_until.0;
        let mut order: Vec<usize> = (0..alarms.len()).filter(opened).collect();
        order.sort_by_key(|&i| alarms[i].at);
        let fate = |(group, change): (Group, &Change)| {
            let hit = order.iter().copied().find(|&i| {
                let (alarm, version) = (&alarms[i], change.version.as_deref());
                let own = version.is_none() || alarm.version.is_none() || alarm.version.as_deref() == version;
                let in_time = change.start.0 <= alarm.at && alarm.at <= change.detect_by.0;
                Group::of(alarm.family) == Some(group) && in_time && own
            });
            let due = span.through.plus_ms(END_SLACK_MS) >= change.detect_by.0;
            match hit {
                Some(alarm) => {
                    let at = alarms[alarm].at;
                    let predictions = position(at) - position(change.start.0);
                    Fate::Found { alarm, delay_ms: at.since_ms(change.start.0), predictions }
                }
                None if due => Fate::Missed,
                None => Fate::NotDue,
            }
        };
        let of = |i: usize| Group::of(alarms[i].family).filter(|group| self.scored_families.contains(group));
        Outcome {
            fates: self.needed().map(fate).collect(),
            wrong: self.wrong(alarms, &order, span, position),
            unscored: order.iter().copied().filter(|&i| of(i).is_none()).collect(),
        }
    }

    /// Alarms in quiet time; close repeats are one.
    fn wrong(
        &self,
        alarms: &[Alarm],
        order: &[usize],
        span: Span,
        position: impl Fn(Timestamp) -> f64,
    ) -> Vec<(&'static str, usize)> {
        let mut wrong = vec![];
        for group in &self.scored_families {
            let quiet = self.quiet(*group, span);
            let mut counted: Vec<(Option<&str>, f64)> = vec![];
            for &i in order.iter().filter(|&&i| Group::of(alarms[i].family) == Some(*group)) {
                let (alarm, version) = (&alarms[i], alarms[i].version.as_deref());
                let hurt = self.changes.iter().filter(|c| c.signals.contains(group) && c.version.is_some());
                let mut own = hurt.filter(|c| version.is_none() || c.version.as_deref() == version);
                let excused = own.any(|c| c.start.0 <= alarm.at && alarm.at < c.end.0);
                if excused || !quiet.iter().any(|[from, to]| *from <= alarm.at && alarm.at < *to) {
                    continue;
                }
                let now = position(alarm.at);
                let last = counted.iter().rev().find(|(of, _)| *of == version);
                if last.is_none_or(|(_, before)| now - before > SAME_ALARM) {
                    counted.push((version, now));
                    wrong.push((group.name(), i));
                }
            }
        }
        wrong.sort_by_key(|(_, i)| *i);
        wrong
    }

    /// Time in which an alarm is false, whatever the version.
    fn quiet(&self, group: Group, span: Span) -> Vec<[Timestamp; 2]> {
        let span = Span { from: span.from.max(self.warmup_until.0), through: span.through.min(self.end.0) };
        let excused = |c: &&Change| {
            let must = c.signals.contains(&group);
            (must && c.version.is_none()) || (!must && (c.optional || c.may.contains(&group)))
        };
        let changes = self.changes.iter().filter(excused).map(|c| [c.start.0, c.end.0]);
        span.without(changes.chain(self.ignore.iter().map(|[a, b]| [a.0, b.0])))
    }

    pub(super) fn quiet_ms(&self, family: &str, span: Span) -> i64 {
        let group = self.scored_families.iter().find(|group| group.name() == family);
        group.map_or(0, |group| length_ms(&self.quiet(*group, span)))
    }

    /// Running count of predictions; empty when the case does not have it.
    fn points(&self) -> Vec<(i64, f64)> {
        let every = f64::from(self.ts_every);
        let mut points: Vec<(i64, f64)> = vec![];
        let mut count = 0.0;
        for at in &self.ts_index {
            points.push((at.0.as_ms(), count));
            count += every;
        }
        if points.last().is_some_and(|(at, _)| *at < self.end.0.as_ms()) {
            points.push((self.end.0.as_ms(), f64::from(self.n_predictions)));
        }
        points
    }
}
