//! What an importer makes of another pager's export: a response bundle, and what it could not make.

use std::collections::{BTreeMap, BTreeSet};

use escalate::config::{ContactConfig, LimitsConfig, PersonConfig, ScheduleConfig, TeamConfig};
use escalate::{PeopleConfig, PolicyConfig, RouteConfig, SchedulesConfig, SilencesConfig, StepConfig};
use receivers::SmtpConfig;
use serde::Serialize;
use serde_json::Value;
use wire::Zone;

use super::said_too;

/// Names under which every source's people and channels are reached.
pub(super) const MAIL: &str = "mail";
pub(super) const SLACK: &str = "slack";
pub(super) const INBOX: &str = "inbox";
/// Time until the next round where the source has an end and tocsin goes on.
pub(super) const AGAIN_S: u32 = 900;
/// Longest time between two steps.
pub(super) const DELAY_MAX_S: u32 = 7 * 86_400;
/// Most targets of a step.
pub(super) const TARGETS_MAX: usize = 20;
/// Most bytes of a name.
const NAME_MAX: usize = 64;

/// The bundle, the receivers that it needs, and what is left for a person to do.
#[derive(Clone, Debug, Default)]
pub(super) struct Moved {
    pub people: PeopleConfig,
    pub schedules: SchedulesConfig,
    pub routes: Vec<RouteConfig>,
    pub policies: BTreeMap<String, PolicyConfig>,
    pub silences: SilencesConfig,
    pub receivers: BTreeMap<String, Receiver>,
    pub left: Vec<Left>,
}

/// A `[receiver.NAME]` that `tocsin.toml` needs, as lines of TOML without its head. Never with a secret in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Receiver(pub Vec<String>);

/// Something that could not be mapped, or means something else now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Left {
    /// Where it stands.
    pub file: String,
    /// Which thing of that file.
    pub what: String,
    /// Why it is not as it was.
    pub why: String,
    /// What to do about it by hand.
    pub instead: String,
}

/// Somebody, as a source knows them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Somebody<'a> {
    pub file: &'a str,
    pub key: &'a str,
    pub name: &'a str,
    pub zone: Option<&'a str>,
    pub mail: Option<&'a str>,
    /// Id of their account there.
    pub slack: Option<&'a str>,
}

/// Names that are in use: each thing has one of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// A name that a bundle takes, after the one of the source.
    pub(super) fn take(&mut self, wish: &str) -> String {
        let name = key_of(wish);
        let name = if name.is_empty() { "unnamed".to_owned() } else { name };
        let numbered = (2..).map(|n| format!("{}-{n}", cut(&name, NAME_MAX - 6)));
        let mut all = std::iter::once(name.clone()).chain(numbered);
        let free = all.find(|name| self.0.insert(name.clone()));
        free.expect("there are more numbers than names")
    }
}

/// Letters and digits in lower case, and `-` for what a name cannot have.
pub(super) fn key_of(text: &str) -> String {
    let mut key = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        let good = c.is_alphanumeric() || matches!(c, '_' | '.' | '@' | '/');
        if good {
            key.push(c);
        } else if !key.is_empty() && !key.ends_with('-') {
            key.push('-');
        }
    }
    cut(key.trim_end_matches('-'), NAME_MAX).to_owned()
}

fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl Moved {
    pub(super) fn left(
        &mut self,
        file: &str,
        what: impl Into<String>,
        why: impl Into<String>,
        instead: impl Into<String>,
    ) {
        let left = Left { file: file.into(), what: what.into(), why: why.into(), instead: instead.into() };
        if !self.left.contains(&left) {
            self.left.push(left);
        }
    }

    /// Adds somebody under their key. Without a way to reach them they have the inbox, which wakes nobody: a rotation
    /// stays whole, and what is to be done is said.
    pub(super) fn person(&mut self, somebody: Somebody<'_>) {
        let Somebody { file, key, name, zone, mail, slack } = somebody;
        let what = format!("person {key}");
        let mut contact = ContactConfig::default();
        let mut accounts = Vec::new();
        if let Some(slack) = slack.filter(|id| !id.is_empty()) {
            contact.page.push(format!("{SLACK}/{slack}"));
            contact.chat.push(format!("{SLACK}/{slack}"));
            accounts.push(format!("slack:{slack}"));
            self.needs(SLACK);
        }
        match mail.filter(|mail| !mail.is_empty()) {
            Some(mail) if SmtpConfig::refuses_target(mail).is_none() => {
                contact.page.push(format!("{MAIL}/{mail}"));
                contact.mail.push(format!("{MAIL}/{mail}"));
                self.needs(MAIL);
            }
            Some(mail) => self.left(
                file,
                what.as_str(),
                format!("{mail:?} is no address that tocsin mails to"),
                "write another into contact.mail",
            ),
            None => (),
        }
        if contact.page.is_empty() {
            contact.page.push(format!("{INBOX}/{key}"));
            self.needs(INBOX);
            let why =
                "has no address that tocsin can reach; pages for them go to the inbox, which wakes nobody";
            self.left(file, what.as_str(), why, "write what wakes them into contact.page");
        }
        let zone = zone.filter(|zone| !zone.is_empty());
        let known = zone.filter(|zone| Zone::named(zone).is_some());
        if let (Some(zone), None) = (zone, known) {
            let instead = "write its name of the IANA database into `zone`";
            self.left(file, what.as_str(), format!("there is no time zone {zone:?}"), instead);
        }
        let person = PersonConfig {
            name: (name != key && !name.is_empty()).then(|| name.to_owned()),
            zone: known.map(str::to_owned),
            audience: escalate::config::ENGINEER.to_owned(),
            contact,
            accounts,
            limits: LimitsConfig::default(),
        };
        self.people.person.insert(key.to_owned(), person);
    }

    /// Says what of somebody's ways to be reached is none of tocsin's.
    pub(super) fn not_reached_by(&mut self, file: &str, key: &str, ways: &BTreeSet<&str>) {
        if ways.is_empty() {
            return;
        }
        let ways = ways.iter().copied().collect::<Vec<_>>().join(" and ");
        let instead = "page them through a receiver that can, such as one of type pagerduty: its target goes first into contact.page";
        self.left(
            file,
            format!("person {key}"),
            format!("is reached by {ways} there, which tocsin cannot do"),
            instead,
        );
    }

    /// Says in which order somebody is told there; `when` says of what.
    pub(super) fn told_in_order(&mut self, file: &str, key: &str, when: &str, order: &[String]) {
        let order = order.join(", ");
        let why = format!("is told{when} in an order there: {order}; here by all of contact.page at once");
        let instead = "nothing, or steps with `by = \"chat\"` or `by = \"mail\"` before the one that pages";
        self.left(file, format!("person {key}"), why, instead);
    }

    /// Says which fields something has that nobody reads.
    pub(super) fn not_known(
        &mut self,
        file: &str,
        what: &str,
        rest: &BTreeMap<String, Value>,
        known: &[&str],
    ) {
        if let Some(fields) = said_too(rest, known) {
            self.left(file, what, format!("has {fields}, which is not known"), "look at it there");
        }
    }

    pub(super) fn team(&mut self, key: &str, people: Vec<String>) {
        let team = TeamConfig {
            people: once(people),
            contact: ContactConfig::default(),
            zone: None,
            audience: escalate::config::ENGINEER.to_owned(),
        };
        self.people.team.insert(key.to_owned(), team);
    }

    /// One of the receivers that all sources share.
    pub(super) fn needs(&mut self, receiver: &str) {
        let lines: &[&str] = match receiver {
            MAIL => &[
                "type = \"smtp\"",
                "host = \"mail.example.com\"              # your mail server",
                "from = \"tocsin@example.com\"",
                "username = \"tocsin\"",
                "password_env = \"TOCSIN_MAIL_PASSWORD\"  # the variable that holds its password",
            ],
            SLACK => &[
                "type = \"slack\"",
                "token_env = \"SLACK_BOT_TOKEN\"          # the variable that holds the token of a bot (xoxb-…, scope chat:write)",
            ],
            _ => &["type = \"inbox\"                         # kept to be looked at; it wakes nobody"],
        };
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        self.receivers.entry(receiver.to_owned()).or_insert(Receiver(lines));
    }

    /// Adds a policy of these steps, or says why there is none.
    pub(super) fn policy(&mut self, file: &str, what: &str, name: &str, steps: Steps, rounds: u32) -> bool {
        let Steps { mut steps, first_s } = steps;
        if first_s > 0 && !steps.is_empty() {
            let why = format!("waited {first_s} s before it told anybody; tocsin's first step pages at once");
            self.left(file, what, why, "nothing, or a longer `delay_s` of its first step");
        }
        if steps.len() > 20 {
            let why = format!("has {} steps, and a policy 20: the later are left out", steps.len());
            self.left(file, what, why, "lead what they called into the last step");
            steps.truncate(20);
        }
        let room = 50 / steps.len().max(1);
        for step in &mut steps {
            let most = room.clamp(1, TARGETS_MAX);
            if step.targets.len() > most {
                let rest = step.targets.split_off(most).join(", ");
                let why = format!("a step names more than {most} targets; left out: {rest}");
                self.left(file, what, why, "name a team in their place");
            }
        }
        if steps.is_empty() {
            let why = "nobody is told by it whom tocsin could page";
            self.left(file, what, why, "write a [policy.NAME] for it, if something led to it");
            return false;
        }
        let policy = PolicyConfig { repeat: rounds.clamp(1, 1000), ..PolicyConfig::of(steps) };
        self.policies.insert(name.to_owned(), policy);
        true
    }

    pub(super) fn schedule(
        &mut self,
        file: &str,
        what: &str,
        name: &str,
        mut schedule: ScheduleConfig,
    ) -> bool {
        schedule.layer.retain(|layer| layer.people.iter().any(|turn| !turn.people().is_empty()));
        if schedule.layer.is_empty() {
            let why = "has nothing in it that could be moved";
            self.left(file, what, why, "write a [schedule.NAME] for it, if something calls it");
            return false;
        }
        self.schedules.schedule.insert(name.to_owned(), schedule);
        true
    }
}

/// How incidents may name an owner: as the source does, and as this bundle does.
pub(super) fn owners(name: &str) -> Vec<String> {
    once(vec![name.to_owned(), key_of(name)])
}

/// Each once, in their order.
pub(super) fn once(mut people: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    people.retain(|person| seen.insert(person.clone()));
    people
}

/// Steps of a policy as they are read: who is told, and how long it waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps {
    steps: Vec<StepConfig>,
    /// Waited before anybody was told.
    first_s: u32,
}

impl Steps {
    /// These are told at once, together with whoever was told since the last wait.
    pub(super) fn tell(&mut self, targets: impl IntoIterator<Item = String>) {
        let mut targets: Vec<String> = targets.into_iter().collect();
        if targets.is_empty() {
            return;
        }
        match self.steps.last_mut().filter(|step| step.delay_s == 0) {
            Some(step) => {
                step.targets.append(&mut targets);
                step.targets = once(std::mem::take(&mut step.targets));
            }
            None => self.steps.push(StepConfig { targets: once(targets), ..StepConfig::default() }),
        }
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        let seconds = u32::try_from(seconds).unwrap_or(DELAY_MAX_S);
        let waited = self.steps.last_mut().map_or(&mut self.first_s, |step| &mut step.delay_s);
        *waited = waited.saturating_add(seconds).min(DELAY_MAX_S);
    }

    /// The last step waits so long for the next round, where nothing else is said.
    pub(super) fn ends(mut self, again_s: u32) -> Self {
        if let Some(step) = self.steps.last_mut().filter(|step| step.delay_s == 0) {
            step.delay_s = again_s.clamp(1, DELAY_MAX_S);
        }
        self
    }

    /// Time after the last of them.
    pub(super) fn last_wait(&self) -> u32 {
        self.steps.iter().rev().map(|step| step.delay_s).find(|s| *s > 0).unwrap_or(AGAIN_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_a_bundle_takes_and_each_is_one() {
        let mut names = Names::default();
        for (wish, want) in [
            ("Platform: Primary (EU)", "platform-primary-eu"),
            ("platform primary EU", "platform-primary-eu-2"),
            ("ada@example.org", "ada@example.org"),
            ("Zoë", "zoë"),
            ("***", "unnamed"),
            ("", "unnamed-2"),
        ] {
            assert_eq!(names.take(wish), want, "{wish:?}");
        }
        assert!(
            names.take(&"é".repeat(99)).len() <= NAME_MAX && names.take(&"é".repeat(99)).len() <= NAME_MAX
        );
    }

    #[test]
    fn what_is_told_without_a_wait_between_is_one_step() {
        let mut steps = Steps::default();
        let tell = |steps: &mut Steps, who: &str| steps.tell([who.to_owned()]);
        steps.wait(60);
        tell(&mut steps, "a/1");
        tell(&mut steps, "a/2");
        tell(&mut steps, "a/1");
        steps.wait(300);
        steps.wait(60);
        tell(&mut steps, "a/3");
        let steps = steps.ends(AGAIN_S);
        let told: Vec<_> = steps.steps.iter().map(|s| (s.targets.join(" "), s.delay_s)).collect();
        assert_eq!(told, [("a/1 a/2".to_owned(), 360), ("a/3".to_owned(), AGAIN_S)]);
        assert_eq!(steps.first_s, 60);
    }
}
