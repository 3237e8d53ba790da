//! The pictures of a report, grouped by model and family, those with incidents first.

use std::collections::{BTreeMap, BTreeSet};

use plot::text::{self, clipped, escape};
use plot::{Marks, Series, Shown};
use wire::{Family, Timestamp};

use super::About;
use super::gather::{Episode, Gathered, Stream, Whose};
use super::page::words;
use crate::term::thousands;

/// Streams that are drawn; some 35 KB each.
const PICTURES_MAX: usize = 80;
/// Evidence from which a stream without an incident is worth a picture.
const WORTH: f64 = 0.1;

/// One stream to show.
struct Shows<'a> {
    whose: &'a Whose,
    family: Family,
    name: &'a str,
    stream: &'a Stream,
    incidents: usize,
}

impl Shows<'_> {
    fn evidence(&self) -> f64 {
        self.stream.peak[0].max(self.stream.peak[1])
    }
}

/// All of them, and what was left out.
pub(super) fn pictures(gathered: &Gathered, about: &About<'_>) -> String {
    let Some(span) = gathered.span else { return String::new() };
    let mut shows: Vec<Shows<'_>> = gathered
        .streams
        .iter()
        .map(|((whose, family, name), stream)| {
            let own = |one: &&Episode| one.is_of(whose) && one.is_about(*family, name);
            let incidents = gathered.incidents.iter().filter(own).count();
            Shows { whose, family: *family, name, stream, incidents }
        })
        .collect();
    let all = shows.len();
    shows.retain(|one| one.incidents > 0 || one.evidence() >= WORTH);
    let worth = shows.len();
    // What had an incident goes before what came near one.
    shows.sort_by(|a, b| {
        (b.incidents > 0).cmp(&(a.incidents > 0)).then(b.evidence().total_cmp(&a.evidence()))
    });
    shows.truncate(PICTURES_MAX);
    let mut models: BTreeMap<&Whose, Vec<Shows<'_>>> = BTreeMap::new();
    for one in shows {
        models.entry(one.whose).or_default().push(one);
    }
    // Model-wide trouble has a picture too, though no stream of a version is in it.
    let troubled =
        gathered.flows.keys().filter(|whose| gathered.incidents.iter().any(|one| one.is_of(whose)));
    troubled.take(PICTURES_MAX).for_each(|whose| {
        models.entry(whose).or_default();
    });
    let mut order: Vec<(&Whose, Vec<Shows<'_>>)> = models.into_iter().collect();
    let worst = |whose: &Whose| {
        gathered
            .incidents
            .iter()
            .filter(|one| one.is_of(whose))
            .map(Episode::severity)
            .min()
            .map_or(9, |s| s as u8)
    };
    order.sort_by_key(|(whose, _)| (worst(whose), *whose));
    let mut next = Ids(0);
    let sections: String =
        order.iter().map(|(whose, shows)| section(whose, shows, gathered, about, span, &mut next)).collect();
    format!("<section><h2>Streams</h2>{sections}{}</section>", left_out(all, worth, gathered))
}

/// Names of pictures, unique on the page.
struct Ids(usize);

impl Ids {
    fn next(&mut self) -> usize {
        self.0 += 1;
        self.0
    }
}

fn left_out(all: usize, worth: usize, gathered: &Gathered) -> String {
    let mut notes = vec![];
    let quiet = all - worth;
    if quiet > 0 {
        notes.push(format!(
            "{} streams are not drawn: their evidence never reached a tenth of an alarm.",
            thousands(quiet as u64)
        ));
    }
    if worth > PICTURES_MAX {
        notes.push(format!(
            "{} more with some evidence are left out, those with least; <code>--streams</code> writes all of them.",
            thousands((worth - PICTURES_MAX) as u64)
        ));
    }
    if gathered.streams_left_out > 0 {
        notes.push(format!(
            "There were more than {} streams; what came beyond that in {} panes is not in this page.",
            thousands(super::gather::STREAMS_MAX as u64),
            thousands(gathered.streams_left_out)
        ));
    }
    notes.iter().map(|note| format!("<p class=\"note\">{note}</p>")).collect()
}

fn section(
    whose: &Whose,
    shows: &[Shows<'_>],
    gathered: &Gathered,
    about: &About<'_>,
    span: [Timestamp; 2],
    ids: &mut Ids,
) -> String {
    let (model, version) = whose;
    let mut out = format!(
        "<h3>{} {}</h3><div class=\"grid\">",
        clipped(model, text::NAME_MAX),
        clipped(version, text::NAME_MAX)
    );
    let of: Vec<&Episode> = gathered.incidents.iter().filter(|one| one.is_of(whose)).collect();
    let families: BTreeSet<Family> = of.iter().map(|one| one.opened.family).collect();
    if let Some(flow) = gathered.flows.get(whose) {
        for (family, shown, what) in
            [(Family::Traffic, Shown::Traffic, "traffic"), (Family::Latency, Shown::Latency, "latency")]
        {
            if families.contains(&family) {
                let title = titled(&of, family, None, &format!("{model} {version}: {what}"));
                out.push_str(&card(&plot::flow(ids.next(), &title, flow, span, shown)));
            }
        }
    }
    let mut by_family: Vec<&Shows<'_>> = shows.iter().collect();
    let rank = |family: Family| (!families.contains(&family), family);
    by_family.sort_by(|a, b| {
        rank(a.family).cmp(&rank(b.family)).then(b.incidents.cmp(&a.incidents)).then(a.name.cmp(b.name))
    });
    for one in by_family {
        out.push_str(&card(&picture(one, &of, about, span, ids)));
    }
    out.push_str("</div>");
    out
}

fn card(inner: &str) -> String {
    format!("<div class=\"card\">{inner}</div>")
}

/// The sentence of the first incident that a picture is about, and how many more there are.
fn titled(of: &[&Episode], family: Family, stream: Option<&str>, otherwise: &str) -> String {
    let about = |one: &&&Episode| {
        one.opened.family == family && stream.is_none_or(|stream| one.is_about(family, stream))
    };
    let mut own = of.iter().filter(about);
    let Some(first) = own.next() else { return otherwise.to_owned() };
    match own.count() {
        0 => first.opened.title.clone(),
        more => format!("{} (and {more} more)", first.opened.title),
    }
}

fn picture(
    one: &Shows<'_>,
    of: &[&Episode],
    about: &About<'_>,
    span: [Timestamp; 2],
    ids: &mut Ids,
) -> String {
    let (model, version) = one.whose;
    let what = format!("{} {}", words(one.family), one.name);
    let near = format!("{model} {version}: {what}, no incident; evidence reached {:.2}", one.evidence());
    let title = titled(of, one.family, Some(one.name), &near);
    let marks: Vec<Marks<'_>> = of
        .iter()
        .filter(|episode| episode.opened.family == one.family)
        .map(|episode| Marks {
            id: episode.opened.incident_id.as_str(),
            title: &episode.opened.title,
            severity: episode.severity(),
            opened: episode.opened.changed_at,
            cleared: episode.cleared(),
            own: episode.is_about(one.family, one.name),
        })
        .collect();
    let deployments: BTreeMap<Timestamp, &str> = of
        .iter()
        .flat_map(|episode| &episode.opened.context.deployments)
        .map(|deployment| (deployment.event_time, deployment.version.as_str()))
        .collect();
    let deployments: Vec<(Timestamp, &str)> = deployments.into_iter().collect();
    let mut out = plot::stream(&Series {
        id: ids.next(),
        title: &title,
        columns: &one.stream.columns,
        incidents: &marks,
        deployments: &deployments,
        least_effect: Some(about.checked.judge.judge.family(one.family).least_effect),
        both_sides: detect::family::sides(one.family).len() > 1,
        span,
    });
    if let Some(now) = &one.stream.now {
        let title = format!(
            "{}: values from {} to {} UTC",
            one.name,
            text::minute(now.from),
            text::minute(now.until)
        );
        out.push_str(&plot::distribution(ids.next(), &title, &now.bins));
    }
    format!("<p class=\"note\">{}</p>{out}", escape(&what))
}
