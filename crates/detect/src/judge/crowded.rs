//! A producer that invents names: what no table has room for is counted together, and a ticket says so by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::{Change, Evidence, Family, Severity, Subject, SubjectKind, Timestamp};

use super::Effects;
use super::incident::{Case, Told, Whose};
use super::model::Closed;
use super::response::clip;
use super::telemetry::told;
use crate::config::JudgeConfig;
use crate::pane::{FeatureCounts, OTHER, PaneCounts};
use crate::reference::baseline::float;

/// Values of one feature in a pane, that so many of them can say that they hardly repeat.
const VALUES_MIN: u64 = 30;

/// What there are more names of than are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Names {
    Models,
    Versions,
    Features,
    Categories,
    Segments,
}

/// By model and kind of name. Bound: the models of the partition, five each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Crowded {
    /// With the end of the last pane in which it was so.
    cases: BTreeMap<String, BTreeMap<Names, (Case, Timestamp)>>,
}

/// How much of what came in one pane had a name without room.
struct Crowd {
    over: u64,
    of: u64,
    /// The feature, or what cuts into segments, that is named.
    whose: Option<String>,
}

impl Crowded {
    /// Looks at one closed pane of a model, whose end is `end`. True if anything is to be kept.
    pub(super) fn pane(
        &mut self,
        config: &JudgeConfig,
        model: &str,
        panes: &Closed,
        end: Timestamp,
        out: &mut Effects,
    ) -> bool {
        let found = [
            (Names::Models, (model == OTHER).then(|| predictions(panes, |_| true)).flatten()),
            (
                Names::Versions,
                (model != OTHER).then(|| predictions(panes, |version| version == OTHER)).flatten(),
            ),
            (Names::Features, features(panes)),
            (Names::Categories, categories(panes)),
            (Names::Segments, segments(panes)),
        ];
        let mut changed = false;
        for (names, crowd) in found {
            match crowd {
                Some(crowd) => {
                    changed = true;
                    self.crowd(config, (model, names), &crowd, end, out);
                }
                None => changed |= self.calm(config, (model, names), end, out),
            }
        }
        changed
    }

    fn crowd(
        &mut self,
        config: &JudgeConfig,
        (model, names): (&str, Names),
        crowd: &Crowd,
        end: Timestamp,
        out: &mut Effects,
    ) {
        let known = self.cases.entry(model.to_owned()).or_default();
        let (case, last) = known.entry(names).or_default();
        *last = end;
        if case.open.is_some() {
            return;
        }
        let (whose, start) = (whose(config, model, names), end.plus_ms(-config.pane_ms));
        case.open(&whose, Severity::Sev3, (start, end), i64::from(config.judge.reopen_s) * 1000);
        let mut said = told(config, clip(names.words(model, crowd)), names.statistic(), [start, end]);
        said.evidence = Evidence {
            value: float(crowd.over) / float(crowd.of.max(1)),
            samples: crowd.of,
            ..said.evidence
        };
        said.context.incomplete = false;
        out.incidents.extend(case.tell(&whose, Change::Opened, end, said));
    }

    /// It was not so in a pane: after the time of recovery the ticket clears.
    fn calm(
        &mut self,
        config: &JudgeConfig,
        (model, names): (&str, Names),
        end: Timestamp,
        out: &mut Effects,
    ) -> bool {
        let Some(known) = self.cases.get_mut(model) else { return false };
        let Some((case, last)) = known.get_mut(&names) else { return false };
        if let Some(open) = &case.open {
            if end.since_ms(*last) < i64::from(config.judge.recovery_s) * 1000 {
                return false;
            }
            let since = open.opened_at;
            let title = format!("{model}: all {} are told apart again", names.plural());
            let said =
                Told { title: clip(title), ..told(config, String::new(), names.statistic(), [since, end]) };
            out.incidents.extend(case.tell(&whose(config, model, names), Change::Cleared, end, said));
            return true;
        }
        let over = case.is_over(end, i64::from(config.judge.reopen_s) * 1000);
        if over {
            known.remove(&names);
            if known.is_empty() {
                self.cases.remove(model);
            }
        }
        over
    }
}

impl Names {
    fn plural(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Versions => "versions",
            Self::Features => "features",
            Self::Categories => "categories",
            Self::Segments => "segments",
        }
    }

    fn statistic(self) -> &'static str {
        match self {
            Self::Models => "telemetry.models_over",
            Self::Versions => "telemetry.versions_over",
            Self::Features => "telemetry.features_over",
            Self::Categories => "telemetry.categories_over",
            Self::Segments => "telemetry.segments_over",
        }
    }

    fn words(self, model: &str, crowd: &Crowd) -> String {
        let percent = 100.0 * float(crowd.over) / float(crowd.of.max(1));
        match self {
            Self::Models => format!(
                "telemetry names more models than models_max: {} predictions of further ones are counted together and not told apart",
                crowd.over
            ),
            Self::Versions => format!(
                "{model}: more versions than versions_max: {percent:.0} % of predictions are of further ones, counted together"
            ),
            Self::Features => format!(
                "{model}: more features than features_max: {} values of further ones are not looked at",
                crowd.over
            ),
            Self::Categories => format!(
                "{model}: {} has more categories than categories_max, and {percent:.0} % of its values are of further ones: rather an id than a feature",
                crowd.whose.as_deref().unwrap_or("a feature")
            ),
            Self::Segments => format!(
                "{model}: more segments than segments_max: {percent:.0} % of predictions are of further ones by {}, counted together",
                crowd.whose.as_deref().unwrap_or("a feature")
            ),
        }
    }
}

fn whose<'a>(config: &'a JudgeConfig, model: &str, names: Names) -> Whose<'a> {
    let name = format!("telemetry/{model}/{}", names.plural());
    let subject = Subject { kind: SubjectKind::Platform, name, version: None, segment: None };
    Whose { namespace: &config.namespace, subject, family: Family::Telemetry, drill: false }
}

/// What was counted of whole versions.
fn versions(panes: &Closed) -> impl Iterator<Item = (&str, &PaneCounts)> {
    let whole = panes.iter().filter(|((_, segment), _)| segment.is_none());
    whole.flat_map(|((version, _), parts)| parts.iter().map(move |(_, counts)| (version.as_str(), counts)))
}

fn predictions(panes: &Closed, is_over: impl Fn(&str) -> bool) -> Option<Crowd> {
    let (mut over, mut of) = (0_u64, 0_u64);
    for (version, counts) in versions(panes) {
        of = of.saturating_add(counts.predictions);
        if is_over(version) {
            over = over.saturating_add(counts.predictions);
        }
    }
    (over > 0).then_some(Crowd { over, of, whose: None })
}

fn features(panes: &Closed) -> Option<Crowd> {
    let over =
        versions(panes).fold(0_u64, |sum, (_, counts)| sum.saturating_add(counts.quality.features_over));
    let of = versions(panes).fold(0_u64, |sum, (_, counts)| sum.saturating_add(counts.predictions));
    (over > 0).then_some(Crowd { over, of, whose: None })
}

/// The first feature of which most values are of categories that had no room.
fn categories(panes: &Closed) -> Option<Crowd> {
    versions(panes).find_map(|(_, counts)| {
        counts.features.iter().find_map(|feature| match feature {
            FeatureCounts::Raw(raw) => {
                let (over, of) = (raw.categories.over(), raw.categories.total());
                let crowd = || Crowd { over, of, whose: Some(raw.name.clone()) };
                (of >= VALUES_MIN && over > of / 2).then(crowd)
            }
            // What no reference knows is a matter of drift.
            FeatureCounts::Numeric(_) | FeatureCounts::Category(_) => None,
        })
    })
}

/// Of what cuts into segments, that by which most predictions are of segments that had no room.
fn segments(panes: &Closed) -> Option<Crowd> {
    let mut over: BTreeMap<&str, u64> = BTreeMap::new();
    for ((_, segment), parts) in panes {
        let further = segment.as_deref().and_then(|segment| segment.strip_suffix(OTHER)?.strip_suffix('='));
        if let Some(by) = further {
            let of = over.entry(by).or_default();
            *of = parts.iter().fold(*of, |sum, (_, counts)| sum.saturating_add(counts.predictions));
        }
    }
    let (by, over) = over.into_iter().max_by_key(|(_, over)| *over).filter(|(_, over)| *over > 0)?;
    let of = versions(panes).fold(0_u64, |sum, (_, counts)| sum.saturating_add(counts.predictions));
    Some(Crowd { over, of, whose: Some(by.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pane::RawCounts;
    use wire::Incident;

    fn counted(predictions: u64) -> PaneCounts {
        PaneCounts { predictions, ..PaneCounts::empty(None, 8) }
    }

    fn panes<const N: usize>(versions: [(&str, PaneCounts); N]) -> Closed {
        versions
            .into_iter()
            .map(|(version, counts)| ((version.to_owned(), None), vec![(0, counts)]))
            .collect()
    }

    /// One pane after the other from the first on: what was told.
    fn story(panes: impl IntoIterator<Item = (&'static str, Closed)>) -> (Vec<Incident>, Crowded) {
        let config = JudgeConfig::default();
        let (mut crowded, mut out) = (Crowded::default(), Effects::default());
        for (minute, (model, pane)) in (1..).zip(panes) {
            crowded.pane(&config, model, &pane, Timestamp::EPOCH.plus_ms(minute * 60_000), &mut out);
        }
        (out.incidents, crowded)
    }

    #[test]
    fn a_version_without_room_is_one_ticket_that_clears() {
        let both = || panes([("1", counted(30)), (OTHER, counted(10))]);
        let calm = || panes([("1", counted(40))]);
        let many =
            std::iter::repeat_with(both).take(3).chain(std::iter::repeat_with(calm).take(9)).chain([both()]);
        let (told, crowded) = story(many.map(|pane| ("fraud", pane)));
        let said: Vec<_> =
            told.iter().map(|i| (i.change, i.severity, i.title.as_str(), i.generation)).collect();
        let words = "fraud: more versions than versions_max: 25 % of predictions are of further ones, counted together";
        assert_eq!(
            said,
            [
                (Change::Opened, Severity::Sev3, words, 1),
                (Change::Cleared, Severity::Sev3, "fraud: all versions are told apart again", 1),
                (Change::Opened, Severity::Sev3, words, 2),
            ]
        );
        assert_eq!((told[0].evidence.value, told[0].evidence.samples), (0.25, 40));
        assert_eq!(told[0].subject.name, "telemetry/fraud/versions");
        assert_eq!(crowded.cases.len(), 1);
    }

    #[test]
    fn models_features_and_categories_are_named_too() {
        let mut wide = counted(10);
        wide.quality.features_over = 70;
        let mut ids = counted(200);
        let mut raw = RawCounts::new("user".to_owned(), 4);
        (0..200).for_each(|hash| raw.categories.count(hash, || None));
        ids.features.push(FeatureCounts::Raw(Box::new(raw)));
        let mut few = counted(200);
        let mut raw = RawCounts::new("country".to_owned(), 4);
        (0..200).for_each(|i| raw.categories.count(i % 5, || None));
        few.features.push(FeatureCounts::Raw(Box::new(raw)));
        for (model, pane, words) in [
            (OTHER, panes([("1", counted(7))]), Some("more models than models_max: 7 predictions")),
            ("m", panes([("1", wide)]), Some("m: more features than features_max: 70 values")),
            (
                "m",
                panes([("1", ids)]),
                Some("m: user has more categories than categories_max, and 98 % of its values"),
            ),
            ("m", panes([("1", few)]), None),
            ("m", panes([("1", counted(5))]), None),
        ] {
            let (told, _) = story([(model, pane)]);
            let titles: Vec<&str> = told.iter().map(|i| i.title.as_str()).collect();
            assert_eq!(titles.len(), usize::from(words.is_some()), "{titles:?}");
            assert!(words.is_none_or(|words| titles[0].contains(words)), "{titles:?}");
        }
    }

    #[test]
    fn segments_without_room_are_named_by_what_cuts_them() {
        let cut = |further| {
            let mut panes = panes([("1", counted(40))]);
            for (segment, predictions) in [
                ("country=de", 40 - further),
                ("country=__other__", further),
                ("device=__other__", further / 2),
            ] {
                panes.insert(("1".to_owned(), Some(segment.to_owned())), vec![(0, counted(predictions))]);
            }
            ("m", panes)
        };
        let (told, _) = story([cut(0), cut(30)]);
        let titles: Vec<&str> = told.iter().map(|i| i.title.as_str()).collect();
        assert_eq!(
            titles,
            [
                "m: more segments than segments_max: 75 % of predictions are of further ones by country, counted together"
            ]
        );
        assert_eq!(told[0].subject.name, "telemetry/m/segments");
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let crowd = || ("m", panes([(OTHER, counted(1))]));
        let calm = || ("m", panes([("1", counted(1))]));
        let reopen = i64::from(JudgeConfig::default().judge.reopen_s) / 60;
        let quiet = std::iter::repeat_with(calm).take(usize::try_from(reopen).expect("small") + 20);
        let (told, crowded) = story([crowd()].into_iter().chain(quiet));
        assert_eq!((told.len(), crowded), (2, Crowded::default()));
    }
}
