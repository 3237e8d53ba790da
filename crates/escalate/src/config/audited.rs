//! A bundle as it may stand where nothing can be taken back.

use std::collections::BTreeMap;

use super::{
    Bundle, CellConfig, ContactConfig, ENGINEER, LayerConfig, OverrideConfig, PeopleConfig, PersonConfig,
    PolicyConfig, RoleConfig, ScheduleConfig, SchedulesConfig, ShiftConfig, StakeholdersConfig, StepConfig,
    SwapConfig, TeamConfig, TemporaryConfig, TurnConfig,
};

/// Another name for a person, or for whoever a target is.
type Pseudonym<'a> = &'a dyn Fn(&str) -> String;

impl Bundle {
    /// The same bundle with pseudonyms for people and targets, and without what says nothing of who is paged: what they
    /// are called, where they live, how pages are worded. Routes and policies are what they were.
    ///
    /// Whatever is added to a bundle must be named here, since it may hold a person.
    pub(crate) fn audited(&self, pseudonym: Pseudonym<'_>) -> Self {
        let Self {
            namespace,
            route,
            policy,
            escalate,
            people,
            schedules,
            silences,
            stakeholders,
            templates: _,
        } = self;
        let policy = policy.iter().map(|(name, policy)| (name.clone(), of_policy(policy, pseudonym)));
        Self {
            namespace: namespace.clone(),
            route: route.clone(),
            policy: policy.collect(),
            escalate: escalate.clone(),
            people: of_people(people, pseudonym),
            schedules: of_schedules(schedules, pseudonym),
            silences: silences.clone(),
            stakeholders: of_stakeholders(stakeholders, pseudonym),
            templates: BTreeMap::new(),
        }
    }
}

fn of_stakeholders(stakeholders: &StakeholdersConfig, pseudonym: Pseudonym<'_>) -> StakeholdersConfig {
    let StakeholdersConfig { audiences, tell } = stakeholders;
    let cell = |(audience, cell): (&String, &CellConfig)| {
        let CellConfig { to, by, digest, nobody: _ } = cell;
        let to: Vec<String> = to.iter().map(|text| of_whom(text, pseudonym)).collect();
        let nobody = to.is_empty().then(|| "nobody".to_owned());
        (audience.clone(), CellConfig { to, by: *by, digest: digest.clone(), nobody })
    };
    let tell = tell.iter().map(|(severity, row)| (*severity, row.iter().map(cell).collect()));
    // Templates are not kept: there are those that every installation has.
    StakeholdersConfig { audiences: audiences.clone(), tell: tell.collect() }
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
    let steps = steps.iter().map(|StepConfig { targets, by, when, digest, delay_s }| {
        let targets = targets.iter().map(|text| of_whom(text, pseudonym)).collect();
        StepConfig { targets, by: *by, when: when.clone(), digest: digest.clone(), delay_s: *delay_s }
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
        let PersonConfig { name: _, zone: _, audience: _, contact, accounts, limits } = person;
        let contact = of_contact(contact, pseudonym);
        let (audience, accounts) = (ENGINEER.into(), all(accounts));
        (
            pseudonym(key),
            PersonConfig { name: None, zone: None, audience, contact, accounts, limits: *limits },
        )
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

fn of_schedules(schedules: &SchedulesConfig, pseudonym: Pseudonym<'_>) -> SchedulesConfig {
    let SchedulesConfig { schedule, holidays } = schedules;
    let schedule = schedule.iter().map(|(name, schedule)| (name.clone(), of_schedule(schedule, pseudonym)));
    SchedulesConfig { schedule: schedule.collect(), holidays: holidays.clone() }
}

fn of_schedule(schedule: &ScheduleConfig, pseudonym: Pseudonym<'_>) -> ScheduleConfig {
    let all = |names: &[String]| names.iter().map(|name| pseudonym(name)).collect::<Vec<_>>();
    let ScheduleConfig { zone, may_be_empty, layer, temporary, swap, overrides } = schedule;
    let layer = layer.iter().map(|layer| {
        let LayerConfig { name, level, people, turn, handover, from, until, only } = layer;
        LayerConfig {
            name: name.clone(),
            level: *level,
            people: people.iter().map(|turn| TurnConfig::Several(all(turn.people()))).collect(),
            turn: turn.clone(),
            handover: handover.clone(),
            from: from.clone(),
            until: until.clone(),
            only: only.clone(),
        }
    });
    let temporary = temporary.iter().map(|TemporaryConfig { from, until, shift }| {
        let shift = shift.iter().map(|ShiftConfig { from, until, people }| {
            let people = all(people);
            ShiftConfig { from: from.clone(), until: until.clone(), people }
        });
        TemporaryConfig { from: from.clone(), until: until.clone(), shift: shift.collect() }
    });
    let swap = swap.iter().map(|SwapConfig { from, until, between }| {
        let between = between.each_ref().map(|name| pseudonym(name));
        SwapConfig { from: from.clone(), until: until.clone(), between }
    });
    let overrides = overrides.iter().map(|over| {
        let OverrideConfig { from, until, people, instead_of, beside } = over;
        OverrideConfig {
            from: from.clone(),
            until: until.clone(),
            people: all(people),
            instead_of: instead_of.as_ref().map(|name| pseudonym(name)),
            beside: *beside,
        }
    });
    ScheduleConfig {
        zone: zone.clone(),
        may_be_empty: *may_be_empty,
        layer: layer.collect(),
        temporary: temporary.collect(),
        swap: swap.collect(),
        overrides: overrides.collect(),
    }
}

fn of_contact(contact: &ContactConfig, pseudonym: Pseudonym<'_>) -> ContactConfig {
    let all = |texts: &[String]| texts.iter().map(|text| of_target(text, pseudonym)).collect();
    let ContactConfig { page, chat, mail } = contact;
    ContactConfig { page: all(page), chat: all(chat), mail: all(mail) }
}

/// As a step names them: teams, roles and schedules keep their names.
fn of_whom(text: &str, pseudonym: Pseudonym<'_>) -> String {
    match text.split_once(':') {
        Some(("person", name)) => format!("person:{}", pseudonym(name)),
        Some(("team" | "role" | "schedule", _)) => text.to_owned(),
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
