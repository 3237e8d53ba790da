//! People of GoAlert: by which contact methods they are told, and by which rules how late.

use serde::Deserialize;

use super::{Dest, Known, OLDER, kind};
use crate::import::moved::{Names, Somebody};
use crate::import::{Item, given};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    id: String,
    name: String,
    #[serde(default, deserialize_with = "given")]
    email: String,
    #[serde(default, deserialize_with = "given")]
    contact_methods: Vec<Method>,
    /// `None` where nobody asked for them.
    notification_rules: Option<Vec<Rule>>,
}

/// As older and newer releases write one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Method {
    id: Option<String>,
    r#type: Option<String>,
    value: Option<String>,
    dest: Option<Dest>,
    #[serde(default)]
    disabled: bool,
}

/// How late somebody is told by a contact method.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    delay_minutes: u64,
    contact_method: Option<OfMethod>,
}

#[derive(Deserialize)]
struct OfMethod {
    id: String,
}

impl Method {
    /// Its kind in short, and where it leads.
    fn way(&self) -> (&str, &str) {
        if let Some(Dest { r#type, args }) = &self.dest {
            return (kind(r#type), args.values().next().map_or("", String::as_str));
        }
        let way = match self.r#type.as_deref().unwrap_or_default() {
            "EMAIL" => "email",
            "SLACK_DM" => "slack",
            "SMS" => "sms",
            "VOICE" => "voice",
            "WEBHOOK" => "webhook",
            other => other,
        };
        (way, self.value.as_deref().unwrap_or_default())
    }
}

impl Rule {
    fn is_of(&self, method: &Method) -> bool {
        self.contact_method.as_ref().is_some_and(|of| Some(&of.id) == method.id.as_ref())
    }
}

impl Known {
    pub(super) fn user(&mut self, item: &Item, names: &mut Names) {
        let Some(user) = item.as_a::<User>("user", &mut self.moved) else { return };
        if self.people.contains_key(&user.id) {
            return;
        }
        let key = names.take(&user.name);
        let methods: Vec<_> = user.contact_methods.iter().filter(|m| !m.disabled).collect();
        let ways: Vec<_> = methods.iter().map(|m| m.way()).collect();
        let of = |kind: &str| ways.iter().find(|(way, to)| *way == kind && !to.is_empty()).map(|(_, to)| *to);
        let mail = of("email").or(Some(user.email.as_str()));
        let somebody =
            Somebody { file: &item.file, key: &key, name: &user.name, zone: None, mail, slack: of("slack") };
        self.moved.person(somebody);
        let own = ["email", "slack", "webhook"];
        let others = ways.iter().map(|(way, _)| *way).filter(|way| !own.contains(way)).collect();
        self.moved.not_reached_by(&item.file, &key, &others);
        // Its address may hold a secret.
        if of("webhook").is_some() {
            let why = "has a webhook of their own there";
            let instead = "a [receiver.NAME] of type webhook, and NAME/x in contact.page";
            self.moved.left(&item.file, format!("person {key}"), why, instead);
        }
        match user.notification_rules {
            Some(rules) => self.rules(&item.file, &key, &methods, rules),
            None => {
                let why = "came without their notification rules, which say how late each is told by what";
                self.moved.left(&item.file, "users", why, OLDER);
            }
        }
        self.people.insert(user.id, key);
    }

    fn rules(&mut self, file: &str, key: &str, methods: &[&Method], mut rules: Vec<Rule>) {
        // Nobody is told by a method that is disabled.
        rules.retain(|rule| methods.iter().any(|method| rule.is_of(method)));
        rules.sort_by_key(|rule| rule.delay_minutes);
        let way = |rule: &Rule| methods.iter().find(|method| rule.is_of(method)).map_or("", |m| m.way().0);
        if rules.iter().any(|rule| rule.delay_minutes > 0) {
            let says = |rule: &Rule| match rule.delay_minutes {
                0 => format!("{} at once", way(rule)),
                minutes => format!("{} after {} s", way(rule), minutes.saturating_mul(60)),
            };
            self.moved.told_in_order(file, key, "", &rules.iter().map(says).collect::<Vec<_>>());
        }
        let unruled = methods.iter().filter(|method| !rules.iter().any(|rule| rule.is_of(method)));
        let unruled = unruled.map(|method| method.way().0).filter(|way| ["email", "slack"].contains(way));
        let unruled: Vec<_> = unruled.collect();
        if !unruled.is_empty() {
            let why = format!(
                "has no rule there that tells them by {}; here it is in contact.page",
                unruled.join(" and ")
            );
            self.moved.left(
                file,
                format!("person {key}"),
                why,
                "take it out of contact.page, if it should not page them",
            );
        }
    }
}
