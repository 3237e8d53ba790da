//! A bundle as it may stand where nothing can be taken back.

use std::collections::BTreeMap;

use super::{
    Bundle, ContactConfig, ENGINEER, PeopleConfig, PersonConfig, PolicyConfig, RoleConfig, StepConfig,
    TeamConfig,
};

/// Another name for a person, or for whoever a target is.
type Pseudonym<'a> = &'a dyn Fn(&str) -> String;

impl Bundle {
    /// The same bundle with pseudonyms for people and targets, and without what says nothing of who is paged: what they
    /// are called, where they live, how pages are worded. Routes and policies are what they were.
    ///
    /// Whatever is added to a bundle must be named here, since it may hold a person.
    pub(crate) fn audited(&self, pseudonym: Pseudonym<'_>) -> Self {
        let Self { namespace, route, policy, escalate, people, templates: _ } = self;
        let policy = policy.iter().map(|(name, policy)| (name.clone(), of_policy(policy, pseudonym)));
        Self {
            namespace: namespace.clone(),
            route: route.clone(),
            policy: policy.collect(),
            escalate: escalate.clone(),
            people: of_people(people, pseudonym),
            templates: BTreeMap::new(),
        }
    }
}

fn of_policy(policy: &PolicyConfig, pseudonym: Pseudonym<'_>) -> PolicyConfig {
    let PolicyConfig {
        steps,
        repeat,
        until_owned,
        acknowledge_expires_s,
        mitigation_expires_s,
        fallback,
        acknowledge_by,
        acknowledge_quorum,
        acknowledge_each,
        respond_within_s,
    } = policy;
    let steps = steps.iter().map(|StepConfig { targets, by, when, delay_s }| {
        let targets = targets.iter().map(|text| of_whom(text, pseudonym)).collect();
        StepConfig { targets, by: *by, when: when.clone(), delay_s: *delay_s }
    });
    PolicyConfig {
        steps: steps.collect(),
        repeat: *repeat,
        until_owned: *until_owned,
        acknowledge_expires_s: *acknowledge_expires_s,
        mitigation_expires_s: *mitigation_expires_s,
        fallback: fallback.as_ref().map(|text| of_whom(text, pseudonym)),
        acknowledge_by: acknowledge_by.iter().map(|text| of_whom(text, pseudonym)).collect(),
        acknowledge_quorum: *acknowledge_quorum,
        acknowledge_each: *acknowledge_each,
        respond_within_s: *respond_within_s,
    }
}

fn of_people(people: &PeopleConfig, pseudonym: Pseudonym<'_>) -> PeopleConfig {
    let all = |names: &[String]| names.iter().map(|name| pseudonym(name)).collect::<Vec<_>>();
    let PeopleConfig { zone, person, team, role } = people;
    let person = person.iter().map(|(key, person)| {
        let PersonConfig { name: _, zone: _, audience: _, contact, accounts } = person;
        let contact = of_contact(contact, pseudonym);
        let (audience, accounts) = (ENGINEER.into(), all(accounts));
        (pseudonym(key), PersonConfig { name: None, zone: None, audience, contact, accounts })
    });
    let team = team.iter().map(|(key, team)| {
        let TeamConfig { people, contact, zone: _, audience: _ } = team;
        let contact = of_contact(contact, pseudonym);
        let team = TeamConfig { people: all(people), contact, zone: None, audience: ENGINEER.into() };
        (key.clone(), team)
    });
    let role = role.iter().map(|(key, RoleConfig { people })| {
        let people = all(people);
        (key.clone(), RoleConfig { people })
    });
    PeopleConfig { zone: zone.clone(), person: person.collect(), team: team.collect(), role: role.collect() }
}

fn of_contact(contact: &ContactConfig, pseudonym: Pseudonym<'_>) -> ContactConfig {
    let all = |texts: &[String]| texts.iter().map(|text| of_target(text, pseudonym)).collect();
    let ContactConfig { page, chat, mail } = contact;
    ContactConfig { page: all(page), chat: all(chat), mail: all(mail) }
}

/// As a step names them: teams and roles keep their names.
fn of_whom(text: &str, pseudonym: Pseudonym<'_>) -> String {
    match text.split_once(':') {
        Some(("person", name)) => format!("person:{}", pseudonym(name)),
        Some(("team" | "role", _)) => text.to_owned(),
        _ => of_target(text, pseudonym),
    }
}

/// `receiver/target`: what stands after the `/` may be a person.
pub(crate) fn of_target(text: &str, pseudonym: Pseudonym<'_>) -> String {
    match text.split_once('/') {
        Some((receiver, target)) => format!("{receiver}/{}", pseudonym(target)),
        None => pseudonym(text),
    }
}
