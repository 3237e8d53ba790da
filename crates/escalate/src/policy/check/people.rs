//! Everything that can be wrong with people, teams and roles.

use std::collections::{BTreeMap, BTreeSet};

use wire::Zone;

use super::{Check, FOLD_S, hint, key};
use crate::config::{At, Class, ContactConfig, ENGINEER, LimitsConfig, PeopleConfig};
use crate::policy::when::no_zone;
use crate::policy::whom::{Reader, Roster, Team};
use crate::schedule::Calendars;
use crate::template::Templates;

/// Most people, teams and roles, and most contacts of one in a class.
const PEOPLE_MAX: usize = 5000;
const CONTACTS_MAX: usize = 5;

impl Check<'_> {
    pub(super) fn people(&mut self, config: &PeopleConfig) -> Roster {
        let at = |table: &str, name: &str| [key("people"), key(table), key(name)];
        for (table, n) in
            [("person", config.person.len()), ("team", config.team.len()), ("role", config.role.len())]
        {
            self.within(&[key("people"), key(table)], table, n, &(0..=PEOPLE_MAX));
        }
        let zone = self.zone(&[key("people")], config.zone.as_deref(), &Zone::UTC);
        let anyone = Reader {
            name: String::new(),
            zone: zone.clone(),
            audience: ENGINEER.into(),
            contacts: BTreeMap::new(),
            limits: LimitsConfig::default(),
        };
        let mut roster = Roster {
            people: BTreeMap::new(),
            teams: BTreeMap::new(),
            roles: BTreeMap::new(),
            schedules: BTreeMap::new(),
            calendars: Calendars::default(),
            accounts: BTreeMap::new(),
            anyone,
        };
        for (name, person) in &config.person {
            let path = at("person", name);
            self.name(&path, name);
            let reader = Reader {
                name: person.name.clone().unwrap_or_else(|| name.clone()),
                zone: self.zone(&path, person.zone.as_deref(), &zone),
                audience: person.audience.clone(),
                contacts: self.contacts(&path, &person.contact),
                limits: person.limits,
            };
            self.often(&path, person.limits);
            if reader.contacts.is_empty() {
                self.wrong(&path, "has no contact: add one, such as `contact.page = [\"pager/ada\"]`".into());
            }
            roster.people.insert(name.clone(), reader);
            for account in &person.accounts {
                let known = config.person.contains_key(account)
                    || roster.accounts.insert(account.clone(), name.clone()).is_some();
                if known {
                    let why = format!("{account:?} is another person's: each name is one person");
                    self.wrong(&[path.as_slice(), &[key("accounts")]].concat(), why);
                }
            }
        }
        for (name, team) in &config.team {
            let path = at("team", name);
            self.name(&path, name);
            self.members(&path, &team.people, &roster, true);
            let channels = Reader {
                name: name.clone(),
                zone: self.zone(&path, team.zone.as_deref(), &zone),
                audience: team.audience.clone(),
                contacts: self.contacts(&path, &team.contact),
                limits: LimitsConfig::default(),
            };
            roster.teams.insert(name.clone(), Team { people: team.people.clone(), channels });
        }
        for (name, role) in &config.role {
            let path = at("role", name);
            self.name(&path, name);
            self.members(&path, &role.people, &roster, false);
            roster.roles.insert(name.clone(), role.people.clone());
        }
        roster
    }

    /// How often a person wants to be paged.
    fn often(&mut self, path: &[At], limits: LimitsConfig) {
        let at = |name: &str| [path, &[key("limits"), key(name)]].concat();
        limits.fold_s.iter().for_each(|s| self.within(&at("fold_s"), "seconds", *s, &FOLD_S));
        limits.per_hour.iter().for_each(|n| self.within(&at("per_hour"), "pages", *n, &(6..=3600)));
    }

    /// That everybody is spoken to by a template that there is.
    pub(super) fn audiences(&mut self, config: &PeopleConfig, templates: &Templates) {
        let people = config.person.iter().map(|(name, person)| ("person", name, &person.audience));
        let teams = config.team.iter().map(|(name, team)| ("team", name, &team.audience));
        for (table, name, audience) in people.chain(teams) {
            if !templates.knows(audience) {
                let at = [key("people"), key(table), key(name), key("audience")];
                self.wrong(&at, no_template(audience));
            }
        }
    }

    pub(super) fn name(&mut self, path: &[At], name: &str) {
        let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '/');
        if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
            self.wrong(path, "a name has 1 to 64 letters, digits and `-`, `_`, `.`, `@`, `/`".into());
        }
    }

    pub(super) fn zone(&mut self, path: &[At], name: Option<&str>, default: &Zone) -> Zone {
        let Some(name) = name else { return default.clone() };
        Zone::named(name).unwrap_or_else(|| {
            self.wrong(&[path, &[key("zone")]].concat(), no_zone(name));
            default.clone()
        })
    }

    fn contacts(&mut self, path: &[At], config: &ContactConfig) -> BTreeMap<Class, Vec<super::Target>> {
        let mut contacts = BTreeMap::new();
        for class in Class::ALL {
            let path = [path, &[key("contact"), key(class.name())]].concat();
            let texts = config.of(class);
            self.within(&path, "contacts", texts.len(), &(0..=CONTACTS_MAX));
            let targets: Vec<_> = texts
                .iter()
                .enumerate()
                .filter_map(|(i, text)| self.target(&[path.as_slice(), &[At::Index(i)]].concat(), text))
                .collect();
            if !targets.is_empty() {
                contacts.insert(class, targets);
            }
        }
        contacts
    }

    fn members(&mut self, path: &[At], people: &[String], roster: &Roster, needs_some: bool) {
        let path = [path, &[key("people")]].concat();
        if needs_some && people.is_empty() {
            self.wrong(&path, "nobody is in it".into());
        }
        let mut seen = BTreeSet::new();
        for (i, person) in people.iter().enumerate() {
            let path = [path.as_slice(), &[At::Index(i)]].concat();
            if !roster.people.contains_key(person) {
                let hint = hint(person, roster.people.keys().map(String::as_str), "[person.NAME]");
                self.wrong(&path, format!("there is no person {person:?}; {hint}"));
            } else if !seen.insert(person) {
                self.wrong(&path, format!("{person:?} stands twice here; name them once"));
            }
        }
    }
}

/// What is said of an audience that nothing speaks to.
pub(super) fn no_template(audience: &str) -> String {
    format!(
        "there is no template for the audience {audience:?}; add one, or use engineer, scientist or business"
    )
}
