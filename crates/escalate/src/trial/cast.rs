//! The incidents of a test, and what it calls them.

use std::collections::BTreeSet;

use wire::context::Lineage;
use wire::incident::Context;
use wire::{Change, Incident, IncidentId, Subject, Timestamp};

use super::{BadTrial, TrialConfig, TrialIncident, bad};
use crate::machine::said;
use crate::policy::Policy;

/// The first one, and those in `also`, in the order of the file.
pub(super) struct Cast<'a> {
    configs: Vec<&'a TrialIncident>,
    pub(super) incidents: Vec<Incident>,
}

impl<'a> Cast<'a> {
    /// As each opens, at so many seconds by `at`.
    pub(super) fn of(
        policy: &Policy,
        test: &'a TrialConfig,
        at: impl Fn(u32) -> Timestamp,
    ) -> Result<Self, BadTrial> {
        if test.incident.after_s != 0 {
            return Err(bad("incident", "it opens at `at`: after_s is for those in `also`"));
        }
        let mut cast = Self { configs: Vec::new(), incidents: Vec::new() };
        let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
        let first = [&test.incident].into_iter().map(|first| (first, None));
        for (what, nth) in first.chain(test.also.iter().enumerate().map(|(i, also)| (also, Some(i)))) {
            let wrong = |why: String| BadTrial { nth, ..bad(nth.map_or("incident", |_| "also"), why) };
            let incident = opened(policy, what, at(what.after_s)).map_err(wrong)?;
            if let Some(name) = what.name.as_deref().filter(|name| !names.insert(*name)) {
                return Err(wrong(format!("{name:?} is the name of another incident")));
            }
            if !ids.insert(incident.incident_id.clone()) {
                let why =
                    "it is another of the test once more: give it a model, family or segment of its own";
                return Err(wrong(why.into()));
            }
            cast.configs.push(what);
            cast.incidents.push(incident);
        }
        Ok(cast)
    }

    /// When each opens, in seconds.
    pub(super) fn opens(&self) -> impl Iterator<Item = (u32, usize)> {
        self.configs.iter().enumerate().map(|(i, what)| (what.after_s, i))
    }

    /// The one of that name; the first, without.
    pub(super) fn called(
        &mut self,
        name: Option<&str>,
        key: &'static str,
    ) -> Result<&mut Incident, BadTrial> {
        let i = name.map_or(Ok(0), |name| self.nth(name, key))?;
        Ok(&mut self.incidents[i])
    }

    pub(super) fn id(&self, name: &str, key: &'static str) -> Result<&IncidentId, BadTrial> {
        self.nth(name, key).map(|i| &self.incidents[i].incident_id)
    }

    fn nth(&self, name: &str, key: &'static str) -> Result<usize, BadTrial> {
        let named = |what: &&TrialIncident| what.name.as_deref() == Some(name);
        self.configs.iter().position(named).ok_or_else(|| {
            let known: Vec<_> = self.configs.iter().filter_map(|what| what.name.as_deref()).collect();
            let known = if known.is_empty() { "none has a name".to_owned() } else { known.join(", ") };
            bad(key, format!("there is no incident {name:?} in this test: {known}"))
        })
    }

    /// Its name, or what it is about; `None` if it is none of the test.
    pub(super) fn says(&self, id: &IncidentId) -> Option<String> {
        let i = self.incidents.iter().position(|incident| incident.incident_id == *id)?;
        Some(self.configs[i].name.clone().unwrap_or_else(|| self.incidents[i].subject.to_string()))
    }

    /// It is about one incident: which need not be told.
    pub(super) const fn is_one(&self) -> bool {
        self.incidents.len() == 1
    }
}

fn opened(policy: &Policy, what: &TrialIncident, at: Timestamp) -> Result<Incident, String> {
    let TrialIncident { name: _, after_s: _, severity, family, model, kind, segment, .. } = what;
    let TrialIncident { owner, tier, upstream, source, drill, .. } = what;
    let subject = Subject { kind: *kind, name: model.clone(), version: None, segment: segment.clone() };
    let upstream = upstream.iter().map(|text| named(text)).collect::<Result<Vec<_>, _>>()?;
    let lineage =
        (!upstream.is_empty()).then(|| Lineage { subject: subject.clone(), event_time: at, upstream });
    let namespace = policy.namespace();
    Ok(Incident {
        incident_id: Incident::id_of(namespace, *source, &subject, *family, at),
        generation: 1,
        sequence: 1,
        change: Change::Opened,
        namespace: namespace.into(),
        source: *source,
        severity: *severity,
        family: *family,
        subject,
        opened_at: at,
        changed_at: at,
        title: format!("{model}: a test of the policy"),
        evidence: said("said by a test".into(), at),
        context: Context { owner: owner.clone(), tier: *tier, lineage, ..Context::default() },
        drill: *drill,
    })
}

/// A subject as rules of inhibition name it.
fn named(text: &str) -> Result<Subject, String> {
    let parts = text.split_once(':').and_then(|(kind, name)| Some((kind.parse().ok()?, name)));
    let (kind, name) = parts
        .filter(|(_, name)| !name.is_empty())
        .ok_or_else(|| format!("upstream: {text:?} is not a subject such as \"dependency:feature-store\""))?;
    Ok(Subject { kind, name: name.to_owned(), version: None, segment: None })
}
