//! Whom a step calls, and where that reaches somebody.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wire::{Timestamp, Zone};

use super::Target;
use crate::config::{Class, LimitsConfig};
use crate::schedule::{Calendars, Schedule};

/// Whom a step of a policy names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    /// A place at a receiver, as it is.
    At(Target),
    Person(String),
    Team(String),
    Role(String),
    /// Whoever is on call.
    Schedule(String),
}

/// Where a page goes, and who is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Addressed {
    pub(crate) target: Target,
    /// Key of the person; `None` for a channel.
    pub(crate) person: Option<String>,
}

/// Who reads a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reader {
    /// As messages name them.
    pub(crate) name: String,
    pub(crate) zone: Zone,
    pub(crate) audience: String,
    pub(crate) contacts: BTreeMap<Class, Vec<Target>>,
    pub(crate) limits: LimitsConfig,
}

/// A team: its people, and its own channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Team {
    pub(crate) people: Vec<String>,
    pub(crate) channels: Reader,
}

/// Everybody, as `people.toml` has them. Only a check builds one: every name in it leads somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roster {
    pub(crate) people: BTreeMap<String, Reader>,
    pub(crate) teams: BTreeMap<String, Team>,
    pub(crate) roles: BTreeMap<String, Vec<String>>,
    pub(crate) schedules: BTreeMap<String, Schedule>,
    pub(crate) calendars: Calendars,
    /// Other names under which people act.
    pub(crate) accounts: BTreeMap<String, String>,
    /// For whoever reads a channel that is nobody's.
    pub(crate) anyone: Reader,
}

impl Whom {
    /// Reads `receiver/target`, `person:NAME`, `team:NAME`, `role:NAME` or `schedule:NAME`; `None` if it is none of them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        match text.split_once(':') {
            Some(("person", name)) => named(name).map(Self::Person),
            Some(("team", name)) => named(name).map(Self::Team),
            Some(("role", name)) => named(name).map(Self::Role),
            Some(("schedule", name)) => named(name).map(Self::Schedule),
            _ => {
                let (receiver, target) = text.split_once('/')?;
                let target = Target { receiver: named(receiver)?, target: named(target)? };
                Some(Self::At(target))
            }
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(target) => write!(f, "{target}"),
            Self::Person(name) => write!(f, "person:{name}"),
            Self::Team(name) => write!(f, "team:{name}"),
            Self::Role(name) => write!(f, "role:{name}"),
            Self::Schedule(name) => write!(f, "schedule:{name}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.receiver, self.target)
    }
}

impl Roster {
    /// Key of whoever acts under this name; the name itself if it is nobody's.
    pub(crate) fn person_of<'a>(&'a self, name: &'a str) -> &'a str {
        // Buttons name an account with the name that people know after it: `slack:U0123/ada`.
        let account = name.split_once('/').map_or(name, |(account, _)| account);
        self.accounts.get(name).or_else(|| self.accounts.get(account)).map_or(name, String::as_str)
    }

    /// The keys of who is meant by this at a time; without one, of everybody who ever may be.
    pub(crate) fn people(&self, whom: &Whom, at: Option<Timestamp>) -> Vec<&str> {
        let named = match whom {
            Whom::At(_) => None,
            Whom::Person(name) => {
                return self.people.get_key_value(name).map(|(k, _)| k.as_str()).into_iter().collect();
            }
            Whom::Team(name) => self.teams.get(name).map(|team| &team.people),
            Whom::Role(name) => self.roles.get(name),
            Whom::Schedule(name) => {
                let Some(schedule) = self.schedules.get(name) else { return vec![] };
                return at
                    .map_or_else(|| schedule.everybody().into_iter().collect(), |at| schedule.at(at).people);
            }
        };
        named.into_iter().flatten().map(String::as_str).collect()
    }

    /// Whether somebody is meant by this at a time.
    pub(crate) fn includes(&self, whom: &Whom, person: &str, at: Timestamp) -> bool {
        self.people(whom, Some(at)).contains(&person)
    }

    /// Where these are reached at a time, each place once, in order; without one, wherever they ever may be. Empty when
    /// nobody is.
    pub(crate) fn reach(&self, whom: &Whom, class: Class, at: Option<Timestamp>) -> Vec<Addressed> {
        let place = |target: &Target| Addressed { target: target.clone(), person: None };
        let people = self.people(whom, at).into_iter().flat_map(|person| self.person(person, class));
        let places: Vec<Addressed> = match whom {
            Whom::At(target) => vec![place(target)],
            Whom::Team(name) => {
                let channels = self.teams.get(name).and_then(|team| team.channels.contacts.get(&class));
                channels.into_iter().flatten().map(place).collect()
            }
            Whom::Person(_) | Whom::Role(_) | Whom::Schedule(_) => vec![],
        };
        let mut seen = BTreeSet::new();
        people.chain(places).filter(|a| seen.insert(a.target.clone())).collect()
    }

    fn person(&self, name: &str, class: Class) -> Vec<Addressed> {
        let contacts = self.people.get(name).and_then(|reader| reader.contacts.get(&class));
        let of = |target: &Target| Addressed { target: target.clone(), person: Some(name.to_owned()) };
        contacts.into_iter().flatten().map(of).collect()
    }

    /// Who reads what is sent there.
    pub(crate) fn reader(&self, receiver: &str, target: &str, person: Option<&str>) -> &Reader {
        if let Some(reader) = person.and_then(|p| self.people.get(p)) {
            return reader;
        }
        let has = |reader: &Reader| {
            reader.contacts.values().flatten().any(|t| t.receiver == receiver && t.target == target)
        };
        let team = self.teams.values().map(|team| &team.channels).find(|channels| has(channels));
        team.unwrap_or(&self.anyone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_written() {
        let at = |receiver: &str, target: &str| {
            Some(Whom::At(Target { receiver: receiver.into(), target: target.into() }))
        };
        for (text, want) in [
            ("person:ada", Some(Whom::Person("ada".into()))),
            ("team:risk/eu", Some(Whom::Team("risk/eu".into()))),
            ("role:lead", Some(Whom::Role("lead".into()))),
            ("schedule:risk", Some(Whom::Schedule("risk".into()))),
            ("slack/#a:b", at("slack", "#a:b")),
            ("mail/ada@example.org", at("mail", "ada@example.org")),
            ("person:", None),
            ("/x", None),
            ("x/", None),
            ("x", None),
        ] {
            let got = Whom::parse(text);
            assert_eq!(got, want, "{text}");
            assert!(got.is_none_or(|whom| whom.to_string() == text), "{text}");
        }
    }

    #[test]
    fn an_account_is_known_with_and_without_the_name_behind_it() {
        let anyone = Reader {
            name: "x".into(),
            zone: Zone::UTC,
            audience: "x".into(),
            contacts: BTreeMap::new(),
            limits: LimitsConfig::default(),
        };
        let accounts = BTreeMap::from([("slack:U0123".to_owned(), "ada".to_owned())]);
        let roster = Roster {
            people: BTreeMap::new(),
            teams: BTreeMap::new(),
            roles: BTreeMap::new(),
            schedules: BTreeMap::new(),
            calendars: Calendars::default(),
            accounts,
            anyone,
        };
        for (name, want) in [
            ("slack:U0123", "ada"),
            ("slack:U0123/ada.l", "ada"),
            ("slack:U01234/ada.l", "slack:U01234/ada.l"),
            ("grace", "grace"),
        ] {
            assert_eq!(roster.person_of(name), want);
        }
    }
}
