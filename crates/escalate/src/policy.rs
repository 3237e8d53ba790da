//! Who is paged, when, and until when: the config as a type that cannot be wrong.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wire::{Digest, Incident, Matches};

use crate::checkpoint::Checkpoints;
use crate::config::{Bundle, Class, ConfigErrors, EscalateConfig, LimitsConfig};
use crate::fold::{Manner, Manners, ReadBy, Readers, Spacing};
use crate::mutes::Quiet;
use crate::pace::Rates;
use crate::people::PeopleKey;
use crate::schedule::Schedule;
use crate::template::Templates;
use stakeholders::{Digest as Wait, Stakeholders};

mod check;
pub(crate) mod stakeholders;
mod taking;
mod when;
mod whom;

pub(crate) use taking::Taken;
pub use taking::Taking;
pub use when::When;
pub use whom::Whom;
pub(crate) use whom::{Addressed, Reader, Roster};

/// A checked bundle of routes, policies and limits. Only [`Policy::new`] builds one, so every one is total:
/// each incident has a route, each route a policy, each target a receiver.
#[derive(Clone, Debug)]
pub struct Policy {
    bundle: Bundle,
    digest: Digest,
    plans: BTreeMap<String, Plan>,
    roster: Roster,
    templates: Templates,
    quiet: Quiet,
    stakeholders: Stakeholders,
    /// Conditions, and the policy that they lead to.
    routes: Vec<(Matches, String)>,
    people_key: PeopleKey,
    forgotten: BTreeSet<String>,
    rates: Rates,
    readers: Readers,
    manners: Manners,
    checkpoints: Option<Checkpoints>,
}

/// One policy: steps that page one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// At least one.
    pub steps: Vec<Step>,
    /// Rounds through all steps before only the last one repeats, at least 1.
    pub repeat: u32,
    pub until_owned: bool,
    pub acknowledge_expires_ms: i64,
    pub mitigation_expires_ms: i64,
    pub fallback: Option<Target>,
    pub taking: Taking,
    /// Time in which whoever acknowledged must do something.
    pub respond_within_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// At least one, each once.
    pub targets: Vec<Whom>,
    pub by: Class,
    pub when: When,
    pub(crate) digest: Wait,
    pub delay_ms: i64,
}

/// A person, team or channel at one receiver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub receiver: String,
    pub target: String,
}

/// Round of a policy and step in it, from 0. Within a generation it only ever rises, so no page id comes twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    pub round: u32,
    pub step: u32,
}

impl Policy {
    /// Checks a bundle against the names of the receivers that exist.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place in the config.
    pub fn new(bundle: Bundle, receivers: &BTreeSet<String>) -> Result<Self, ConfigErrors> {
        Self::checked(bundle, Some(receivers))
    }

    /// A bundle that was checked when it was loaded: the receivers it names may be gone by now.
    pub(crate) fn again(bundle: Bundle) -> Result<Self, ConfigErrors> {
        Self::checked(bundle, None)
    }

    /// A bundle as the audit has it, under the digest that it had before people became pseudonyms.
    pub(crate) fn stated(bundle: Bundle, digest: Digest) -> Result<Self, ConfigErrors> {
        Ok(Self { digest, ..Self::again(bundle)? })
    }

    /// Another bundle, with the secrets of this one.
    ///
    /// # Errors
    /// Everything that is wrong with it but receivers that there are none of.
    pub fn renewed(&self, bundle: Bundle) -> Result<Self, ConfigErrors> {
        let (people_key, forgotten) = (self.people_key.clone(), self.forgotten.clone());
        let (rates, readers) = (self.rates.clone(), self.readers.clone());
        let (manners, checkpoints) = (self.manners.clone(), self.checkpoints.clone());
        Ok(Self { people_key, forgotten, rates, readers, manners, checkpoints, ..Self::again(bundle)? })
    }

    fn checked(bundle: Bundle, receivers: Option<&BTreeSet<String>>) -> Result<Self, ConfigErrors> {
        let check::Checked { plans, roster, templates, quiet, stakeholders, routes } =
            check::all(&bundle, receivers)?;
        let text = serde_json::to_vec(&bundle).expect("a bundle has text keys only");
        Ok(Self {
            digest: Digest::of(&[&text]),
            bundle,
            plans,
            roster,
            templates,
            quiet,
            stakeholders,
            routes,
            people_key: PeopleKey::default(),
            forgotten: BTreeSet::new(),
            rates: Rates::new(),
            readers: Readers::new(),
            manners: Manners::new(),
            checkpoints: None,
        })
    }

    /// Sets the secret under which names of people become pseudonyms. Without one, whoever
    /// can guess a name can recognise it in the audit log. The same for all partitions, kept outside the log.
    /// Under another key people get other pseudonyms; those they had are still known.
    #[must_use]
    pub fn with_people_key(mut self, key: &[u8]) -> Self {
        self.people_key = PeopleKey::new(key);
        self
    }

    /// The key in `people.toml` of whoever acts under this name; the name itself if it is nobody's.
    #[must_use]
    pub fn person_of<'a>(&'a self, name: &'a str) -> &'a str {
        self.roster.person_of(name)
    }

    /// As whom a person, or whoever a target is, appears in the audit.
    #[must_use]
    pub fn pseudonym(&self, name: &str) -> String {
        crate::people::Directory::pseudonym(&self.people_key, name)
    }

    /// Sets whose names are forgotten: a worker that starts removes them from its state, and none is written there
    /// again. What the chain says of them stays, under pseudonyms that nothing leads from to a name any more.
    #[must_use]
    pub fn with_forgotten(mut self, names: BTreeSet<String>) -> Self {
        self.forgotten = names;
        self
    }

    /// Sets how fast attempts may begin at each receiver. It delays pages and decides nothing about them, so it is no part
    /// of the bundle.
    #[must_use]
    pub fn with_rates(mut self, rates: Rates) -> Self {
        self.rates = rates;
        self
    }

    /// Sets what reads what the receivers get, and so which pages are folded. It delays pages and decides nothing about them,
    /// so it is no part of the bundle.
    #[must_use]
    pub fn with_readers(mut self, readers: Readers) -> Self {
        self.readers = readers;
        self
    }

    /// Sets what receivers make of pages about an alert that they know. It decides nothing about who is called, so it is no part
    /// of the bundle.
    #[must_use]
    pub fn with_manners(mut self, manners: Manners) -> Self {
        self.manners = manners;
        self
    }

    /// Sets how the audit chain is signed; without it there are no checkpoints.
    #[must_use]
    pub fn with_checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = Some(checkpoints);
        self
    }

    /// The public key of what signs the audit chain; `None` where nothing does.
    #[must_use]
    pub fn public_key(&self) -> Option<&str> {
        self.checkpoints.as_ref().map(|checkpoints| checkpoints.key.public())
    }

    /// Of the whole bundle; recorded with each page that was decided under it.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    #[must_use]
    pub const fn limits(&self) -> &EscalateConfig {
        &self.bundle.escalate
    }

    /// Name of the policy that an incident goes to, by the first route that matches.
    #[must_use]
    pub fn route(&self, incident: &Incident) -> &str {
        &self.routes[self.route_of(incident)].1
    }

    /// Place of that route.
    pub(crate) fn route_of(&self, incident: &Incident) -> usize {
        let found = self.routes.iter().position(|(conditions, _)| conditions.holds(incident));
        found.expect("the last route matches everything")
    }

    /// Conditions of each route and the policy that they lead to, in order.
    pub(crate) fn routes(&self) -> &[(Matches, String)] {
        &self.routes
    }

    /// When nobody is paged although something fires.
    pub(crate) const fn quiet(&self) -> &Quiet {
        &self.quiet
    }

    /// Who is told beside those who are called.
    pub(crate) const fn stakeholders(&self) -> &Stakeholders {
        &self.stakeholders
    }

    /// The policy of that name.
    #[must_use]
    pub fn plan(&self, name: &str) -> Option<&Plan> {
        self.plans.get(name)
    }

    /// As written.
    #[must_use]
    pub const fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    pub(crate) const fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Whether what reads a receiver wants every incident by itself.
    pub(crate) fn reads_each(&self, receiver: &str) -> bool {
        self.readers.get(receiver) == Some(&ReadBy::Programs)
    }

    pub(crate) fn manner(&self, receiver: &str) -> Manner {
        self.manners.get(receiver).copied().unwrap_or_default()
    }

    /// How often somebody wants to be paged, as far as they say.
    pub(crate) fn limits_of(&self, person: Option<&str>) -> LimitsConfig {
        let reader = person.and_then(|person| self.roster.people.get(person));
        reader.map(|reader| reader.limits).unwrap_or_default()
    }

    /// How a place is left alone after a page that calls; `None` where each goes by itself.
    pub(crate) fn spacing(&self, receiver: &str, person: Option<&str>) -> Option<Spacing> {
        let limits = self.limits_of(person);
        let folds = match self.readers.get(receiver).copied().unwrap_or_default() {
            ReadBy::Programs => false,
            ReadBy::Pagers => person.is_some(),
            ReadBy::People => true,
        };
        let gap_ms = i64::from(limits.fold_s.unwrap_or(self.bundle.escalate.fold_s)) * 1000;
        let spacing = Spacing { gap_ms, per_hour: limits.per_hour };
        (folds && (gap_ms > 0 || limits.per_hour.is_some())).then_some(spacing)
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.bundle.namespace
    }

    pub(crate) const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The time zone of whoever has none of their own.
    #[must_use]
    pub const fn zone(&self) -> &wire::Zone {
        &self.roster.anyone.zone
    }

    /// Who is on call when, by the names of the schedules.
    #[must_use]
    pub const fn schedules(&self) -> &BTreeMap<String, Schedule> {
        &self.roster.schedules
    }

    /// What a person is called in messages; their key, if they have no other name.
    #[must_use]
    pub fn called<'a>(&'a self, person: &'a str) -> &'a str {
        self.roster.people.get(person).map_or(person, |reader| &reader.name)
    }

    pub(crate) const fn templates(&self) -> &Templates {
        &self.templates
    }

    pub(crate) const fn people_key(&self) -> &PeopleKey {
        &self.people_key
    }

    pub(crate) const fn checkpoints(&self) -> Option<&Checkpoints> {
        self.checkpoints.as_ref()
    }

    pub(crate) const fn forgotten(&self) -> &BTreeSet<String> {
        &self.forgotten
    }
}

impl Plan {
    /// What comes after `at` if nobody owns the incident. `None` when a ticket has been told often enough.
    #[must_use]
    pub fn next(&self, at: Position) -> Option<Position> {
        let last = self.last();
        let round = at.round.saturating_add(1);
        if at.step < last {
            Some(Position { round: at.round, step: at.step + 1 })
        } else if round < self.repeat {
            Some(Position { round, step: 0 })
        } else {
            // The last step repeats: an incident nobody owns must never fall silent.
            self.until_owned.then_some(Position { round, step: last })
        }
    }

    /// The step at `at`; the last one if there are fewer.
    #[must_use]
    pub fn step(&self, at: Position) -> &Step {
        &self.steps[at.step.min(self.last()) as usize]
    }

    fn last(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_gone_through_and_then_the_last_step_repeats() {
        let step = |name: &str| Step {
            targets: vec![Whom::At(Target { receiver: "inbox".into(), target: name.into() })],
            by: Class::Page,
            when: When::always(),
            digest: Wait::at_once(),
            delay_ms: 1000,
        };
        let plan = |until_owned| Plan {
            steps: vec![step("a"), step("b")],
            repeat: 2,
            until_owned,
            acknowledge_expires_ms: 1,
            mitigation_expires_ms: 1,
            fallback: None,
            taking: Taking::by_anyone(),
            respond_within_ms: None,
        };
        let walk = |plan: Plan| {
            let mut at = Some(Position::default());
            std::iter::from_fn(move || {
                let here = at?;
                at = plan.next(here);
                Some((here.round, here.step))
            })
            .take(6)
            .collect::<Vec<_>>()
        };
        assert_eq!(walk(plan(true)), [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (3, 1)]);
        assert_eq!(walk(plan(false)), [(0, 0), (0, 1), (1, 0), (1, 1)]);
    }
}
