//! Targets against the receivers that they are for.

use std::collections::BTreeMap;

use escalate::config::{At, Bundle, ContactConfig};
use escalate::{ConfigError, Manner, ReadBy};
use receivers::ReceiverConfig;

use super::Config;

/// Targets of policies and contacts of people that their receivers can never page, each where it stands.
pub(super) fn check(bundle: &Bundle, receivers: &BTreeMap<String, ReceiverConfig>) -> Vec<ConfigError> {
    let mut check = Check { receivers, errors: Vec::new() };
    for (name, policy) in &bundle.policy {
        let of = [key("policy"), key(name)];
        for (i, step) in policy.steps.iter().enumerate() {
            let at = [&of[..], &[key("steps"), At::Index(i), key("targets")]].concat();
            check.list(&at, &step.targets);
        }
        let at = [&of[..], &[key("fallback")]].concat();
        policy.fallback.iter().for_each(|text| check.one(&at, text));
    }
    for (name, person) in &bundle.people.person {
        check.contacts(&[key("people"), key("person"), key(name)], &person.contact);
    }
    for (name, team) in &bundle.people.team {
        check.contacts(&[key("people"), key("team"), key(name)], &team.contact);
    }
    for (severity, row) in &bundle.stakeholders.tell {
        for (audience, cell) in row {
            let at = [key("stakeholders"), key("tell"), key(severity.name()), key(audience), key("to")];
            check.list(&at, &cell.to);
        }
    }
    check.errors
}

fn key(name: &str) -> At {
    At::Key(name.into())
}

struct Check<'a> {
    receivers: &'a BTreeMap<String, ReceiverConfig>,
    errors: Vec<ConfigError>,
}

impl Check<'_> {
    fn contacts(&mut self, of: &[At], contact: &ContactConfig) {
        for (class, texts) in [("page", &contact.page), ("chat", &contact.chat), ("mail", &contact.mail)] {
            self.list(&[of, &[key("contact"), key(class)]].concat(), texts);
        }
    }

    fn list(&mut self, at: &[At], texts: &[String]) {
        for (i, text) in texts.iter().enumerate() {
            self.one(&[at, &[At::Index(i)]].concat(), text);
        }
    }

    /// One that names no receiver of ours is found elsewhere.
    fn one(&mut self, at: &[At], text: &str) {
        let Some((receiver, target)) = text.split_once('/') else { return };
        let refusal = self.receivers.get(receiver).and_then(|receiver| receiver.refuses_target(target));
        self.errors.extend(refusal.map(|why| ConfigError { path: at.to_vec(), why }));
    }
}

/// How fast attempts may begin at each receiver that has a limit. Each partition has its own share of it.
pub(super) fn rates(config: &Config) -> escalate::Rates {
    let partitions = config.log.partitions.escalate.max(1);
    let share = |rate: u32| (rate / partitions).max(1);
    let all = config.receiver.iter();
    all.filter_map(|(name, receiver)| Some((name.clone(), share(receiver.rate_per_minute()?)))).collect()
}

/// What reads what each receiver gets.
pub(super) fn readers(config: &Config) -> escalate::Readers {
    let read_by = |receiver: &ReceiverConfig| match receiver {
        ReceiverConfig::Slack(_) | ReceiverConfig::Teams(_) | ReceiverConfig::Smtp(_) => ReadBy::People,
        ReceiverConfig::PagerDuty(_)
        | ReceiverConfig::Opsgenie(_)
        | ReceiverConfig::Webhook(_)
        | ReceiverConfig::Inbox(_) => ReadBy::Pagers,
        ReceiverConfig::Alertmanager(_) | ReceiverConfig::Topic(_) | ReceiverConfig::Heartbeat(_) => {
            ReadBy::Programs
        }
    };
    config.receiver.iter().map(|(name, receiver)| (name.clone(), read_by(receiver))).collect()
}

/// What each receiver makes of pages about an alert that it knows.
pub(super) fn manners(config: &Config) -> escalate::Manners {
    let manner = |receiver: &ReceiverConfig| match receiver {
        ReceiverConfig::Alertmanager(_) => Manner::Stands,
        ReceiverConfig::PagerDuty(_) | ReceiverConfig::Opsgenie(_) => Manner::CallsOnce,
        ReceiverConfig::Slack(_)
        | ReceiverConfig::Teams(_)
        | ReceiverConfig::Smtp(_)
        | ReceiverConfig::Webhook(_)
        | ReceiverConfig::Inbox(_)
        | ReceiverConfig::Topic(_)
        | ReceiverConfig::Heartbeat(_) => Manner::Messages,
    };
    config.receiver.iter().map(|(name, receiver)| (name.clone(), manner(receiver))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_share_a_rate() {
        let of = |partitions: u32| {
            let text = format!(
                "route = [{{ policy = \"p\" }}]\n[policy.p]\nsteps = [{{ targets = [\"pd/a\"], delay_s = 60 }}]\n\
                 [receiver.pd]\ntype = \"pagerduty\"\nrouting_key_env = \"PD\"\n[receiver.inbox]\ntype = \"inbox\"\n\
                 [log.partitions]\nescalate = {partitions}\n"
            );
            rates(&toml::from_str(&text).expect("a config"))
        };
        assert_eq!(of(1), escalate::Rates::from([("pd".to_owned(), 100)]));
        assert_eq!(of(3)["pd"], 33);
        assert_eq!(of(200)["pd"], 1);
    }

    #[test]
    fn a_target_of_mail_is_an_address() {
        let mail: ReceiverConfig =
            toml::from_str("type = \"smtp\"\nhost = \"mail.example.com\"\nfrom = \"a@example.com\"")
                .expect("mail");
        let receivers = BTreeMap::from([("mail".to_owned(), mail)]);
        let with = |target: &str, fallback: &str, contact: &str| {
            let text = format!(
                "namespace = \"default\"\nroute = [{{ policy = \"p\" }}]\n\
                 [policy.p]\nfallback = \"{fallback}\"\nsteps = [{{ targets = [\"inbox/a\", \"{target}\"], delay_s = 60 }}]\n\
                 [people.person.ann]\ncontact.mail = [\"{contact}\"]\n"
            );
            let errors = check(&toml::from_str(&text).expect("a bundle"), &receivers);
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let fine = "mail/ann@example.org";
        assert_eq!(with(fine, "other/b", fine), [""; 0]);
        let why = "\"oncall\" is not an address of mail such as ann@example.com";
        for (got, at) in [
            (with("mail/oncall", "other/b", fine), "policy.p.steps[0].targets[1]"),
            (with("person:ann", "mail/oncall", fine), "policy.p.fallback"),
            (with(fine, fine, "mail/oncall"), "people.person.ann.contact.mail[0]"),
        ] {
            assert_eq!(got, [format!("{at}: {why}")]);
        }
    }

    #[test]
    fn a_target_of_opsgenie_is_who_responds() {
        let opsgenie: ReceiverConfig =
            toml::from_str("type = \"opsgenie\"\napi_key_env = \"OG\"").expect("an integration");
        let receivers = BTreeMap::from([("opsgenie".to_owned(), opsgenie)]);
        let with = |target: &str| {
            let text = format!(
                "namespace = \"default\"\nroute = [{{ policy = \"p\" }}]\n\
                 [policy.p]\nsteps = [{{ targets = [\"{target}\"], delay_s = 60 }}]\n"
            );
            let errors = check(&toml::from_str(&text).expect("a bundle"), &receivers);
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        for fine in ["opsgenie/team:risk", "opsgenie/user:ada@example.org", "opsgenie/default"] {
            assert_eq!(with(fine), [""; 0]);
        }
        let why = with("opsgenie/risk").concat();
        assert!(why.starts_with("policy.p.steps[0].targets[0]: \"risk\" is not team:NAME"), "{why}");
    }
}
