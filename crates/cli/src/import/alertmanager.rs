//! Alertmanager: its config file, from the root of the routes to the receivers.

use std::collections::{BTreeMap, BTreeSet};

use escalate::{PolicyConfig, RouteConfig, StepConfig};
use receivers::{OpsgenieConfig, SmtpConfig};
use serde::Deserialize;
use serde_json::Value;
use wire::Timestamp;

use super::moved::{DELAY_MAX_S, INBOX, MAIL, Moved, Names, Receiver, SLACK, TARGETS_MAX, key_of, once};
use super::{Export, given, said_too};

mod condition;
mod matchers;
mod quiet;
mod routes;
#[cfg(test)]
mod tests;
mod times;

use routes::{OUTCOMES_MAX, Outcome, Route, Tree};

#[derive(Deserialize)]
struct Config {
    #[serde(default, deserialize_with = "given")]
    global: BTreeMap<String, Value>,
    route: Route,
    #[serde(default, deserialize_with = "given")]
    receivers: Vec<Named>,
    #[serde(default, deserialize_with = "given")]
    inhibit_rules: Vec<Value>,
    #[serde(default, deserialize_with = "given")]
    time_intervals: Vec<Intervals>,
    /// As older releases call them.
    #[serde(default, deserialize_with = "given")]
    mute_time_intervals: Vec<Intervals>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Clone, Deserialize)]
struct Named {
    name: String,
    /// `slack_configs`, `email_configs`, …
    #[serde(flatten)]
    kinds: BTreeMap<String, Vec<BTreeMap<String, Value>>>,
}

#[derive(Deserialize)]
struct Intervals {
    name: String,
    #[serde(default, deserialize_with = "given")]
    time_intervals: Vec<Value>,
}

/// Settings that say only how something is sent there, or that tocsin has its own of.
const OF_SENDING: &[&str] = &[
    "send_resolved",
    "http_config",
    "tls_config",
    "require_tls",
    "hello",
    "max_alerts",
    "timeout",
    "from",
    "smarthost",
    "auth_username",
    "auth_password",
    "auth_password_file",
    "auth_secret",
    "auth_secret_file",
    "auth_identity",
    "channel",
    "api_url",
    "api_url_file",
    "app_token",
    "app_token_file",
    "routing_key",
    "routing_key_file",
    "service_key",
    "service_key_file",
    "url",
    "url_file",
    "webhook_url",
    "webhook_url_file",
    "api_key",
    "api_key_file",
    "responders",
    "user_key",
    "user_key_file",
    "token",
    "token_file",
    "to",
    "client",
    "client_url",
    "severity",
    "username",
    "icon_emoji",
    "icon_url",
    "short_fields",
    "link_names",
    "mrkdwn_in",
];

struct Reader<'a> {
    file: &'a str,
    global: &'a BTreeMap<String, Value>,
    moved: Moved,
    names: Names,
    /// Targets of each receiver.
    targets: BTreeMap<String, Vec<String>>,
    /// Receivers that are not told of an end, and their kinds.
    without_end: BTreeSet<String>,
}

/// # Errors
/// When there is not one file, or it is no config of an Alertmanager.
pub(super) fn read(exports: &[Export], now: Timestamp) -> Result<Moved, String> {
    let [Export { name: file, text }] = exports else {
        return Err("an Alertmanager has one config: give that file alone".into());
    };
    let value: Value = serde_saphyr::from_str(text).map_err(|e| format!("{file}: is no YAML: {e}"))?;
    let config: Config =
        serde_json::from_value(value).map_err(|e| format!("{file}: is no config of an Alertmanager: {e}"))?;
    let mut reader = Reader {
        file,
        global: &config.global,
        moved: Moved::default(),
        names: Names::default(),
        targets: BTreeMap::new(),
        without_end: BTreeSet::new(),
    };
    for taken in [MAIL, SLACK, INBOX, "opsgenie", "alertmanager"] {
        reader.names.take(taken);
    }
    for receiver in &config.receivers {
        let targets = reader.receiver(receiver);
        reader.targets.insert(receiver.name.clone(), targets);
    }
    let outcomes = reader.outcomes(&config.route);
    let intervals: Vec<_> = config.time_intervals.iter().chain(&config.mute_time_intervals).collect();
    let mut names = Names::default();
    reader.windows(&outcomes, &intervals, &mut names, now);
    reader.inhibit_rules(&config.inhibit_rules, &mut names);
    reader.routes(outcomes);
    reader.not_moved(&config);
    Ok(reader.moved)
}

impl Reader<'_> {
    fn left(&mut self, what: impl Into<String>, why: impl Into<String>, instead: impl Into<String>) {
        self.moved.left(self.file, what, why, instead);
    }

    /// Where its pages go.
    fn receiver(&mut self, receiver: &Named) -> Vec<String> {
        let what = format!("receiver {}", receiver.name);
        let mut targets = Vec::new();
        for (kind, configs) in &receiver.kinds {
            let short = kind.strip_suffix("_configs").unwrap_or(kind);
            for config in configs {
                if !tells_end(short, config) {
                    self.without_end.insert(format!("{} ({short})", receiver.name));
                }
                match short {
                    "email" => targets.extend(self.mail(&what, config)),
                    "slack" => targets.extend(self.slack(&what, config)),
                    "pagerduty" => targets.push(self.pagerduty(&receiver.name, config)),
                    "webhook" => targets.push(self.webhook(&receiver.name)),
                    "opsgenie" => targets.extend(self.opsgenie(&what, &receiver.name, config)),
                    "msteamsv2" | "msteams" => targets.push(self.teams(&what, &receiver.name, short)),
                    _ => targets.push(self.through_alertmanager(&what, &receiver.name, short)),
                }
                if let Some(fields) = said_too(config, OF_SENDING).filter(|_| short != "webhook") {
                    let why = format!("{short}: {fields}: how a message looks, which tocsin's templates say");
                    self.left(what.as_str(), why, "a template in `templates/`, if its own words do not do");
                }
            }
        }
        if targets.is_empty() {
            self.moved.needs(INBOX);
            let why = "tells nobody; here it leads to the inbox, which wakes nobody";
            self.left(
                what,
                why,
                "nothing, or a `severity` in its routes: sev1 and sev2 should reach somebody",
            );
            targets.push(format!("{INBOX}/{}", key_of(&receiver.name)));
        }
        self.at_most(format!("receiver {}", receiver.name), "has", targets)
    }

    /// As many as a step takes. The others get no step of their own: it would come later than theirs, and not at all after
    /// an acknowledgement.
    fn at_most(&mut self, what: String, has: &str, targets: Vec<String>) -> Vec<String> {
        let mut targets = once(targets);
        if targets.len() > TARGETS_MAX {
            let rest = targets.split_off(TARGETS_MAX).join(", ");
            let why = format!("{has} more than {TARGETS_MAX} targets; left out: {rest}");
            self.left(what, why, "name them in a second step");
        }
        targets
    }

    fn mail(&mut self, what: &str, config: &BTreeMap<String, Value>) -> Vec<String> {
        let text = |key: &str, global: &str| {
            let value = config.get(key).or_else(|| self.global.get(global));
            value.and_then(Value::as_str).map(str::to_owned)
        };
        let (host, from) = (text("smarthost", "smtp_smarthost"), text("from", "smtp_from"));
        let user = text("auth_username", "smtp_auth_username");
        let to = text("to", "").unwrap_or_default();
        let tls = config.get("require_tls").or_else(|| self.global.get("smtp_require_tls"));
        if tls.and_then(Value::as_bool) == Some(false) {
            let why = "mails without TLS; here the server must offer STARTTLS";
            self.left(what, why, "`tls = \"none\"` in [receiver.mail], for a server at a private address");
        }
        let (host, port) = match host.as_deref().map(|host| host.rsplit_once(':')) {
            Some(Some((host, port))) => (host.to_owned(), port.parse::<u16>().ok()),
            Some(None) | None => (host.unwrap_or_else(|| "mail.example.com".to_owned()), None),
        };
        let mut lines = vec!["type = \"smtp\"".to_owned(), format!("host = {host:?}")];
        lines.extend(port.filter(|port| *port != 587).map(|port| format!("port = {port}")));
        lines.extend((port == Some(465)).then(|| "tls = \"implicit\"".to_owned()));
        lines.push(format!("from = {:?}", address(&from.unwrap_or_else(|| "tocsin@example.com".into()))));
        if let Some(user) = user {
            lines.push(format!("username = {user:?}"));
            lines.push(
                "password_env = \"TOCSIN_MAIL_PASSWORD\"  # the variable that holds its password".into(),
            );
        }
        let made = Receiver(lines);
        let known = self.moved.receivers.entry(MAIL.to_owned()).or_insert_with(|| made.clone());
        if *known != made {
            let why =
                "mails through another server, or from another address, than the first; here there is one";
            self.left(
                what,
                why,
                "a second [receiver.NAME] of type smtp, and its name before the / of its targets",
            );
        }
        let mut targets = Vec::new();
        for to in to.split(',').map(address).filter(|to| !to.is_empty()) {
            if SmtpConfig::refuses_target(&to).is_none() {
                targets.push(format!("{MAIL}/{to}"));
            } else {
                self.left(
                    what,
                    format!("mails {to:?}, which is no address here"),
                    "name an address in its place",
                );
            }
        }
        targets
    }

    fn slack(&mut self, what: &str, config: &BTreeMap<String, Value>) -> Option<String> {
        let channel = config.get("channel").and_then(Value::as_str).unwrap_or_default();
        self.moved.needs(SLACK);
        self.left(
            "Slack",
            "posts through an incoming webhook there; a bot posts to every channel here",
            "a bot's token in SLACK_BOT_TOKEN, invited to these channels; or `webhook_env` with the webhook's address, which has one channel",
        );
        if channel.is_empty() || channel.contains("{{") {
            let why = format!("posts to {channel:?}, which is no channel by itself");
            self.left(what, why, "`slack/CHANNEL` in its policy");
            return None;
        }
        Some(format!("{SLACK}/{channel}"))
    }

    fn pagerduty(&mut self, name: &str, config: &BTreeMap<String, Value>) -> String {
        let key = self.names.take(name);
        let mut lines = vec![
            "type = \"pagerduty\"".to_owned(),
            format!(
                "routing_key_env = \"{}\"  # the variable that holds its integration key",
                variable(&key, "ROUTING_KEY")
            ),
        ];
        if config.contains_key("service_key") || config.contains_key("service_key_file") {
            lines.push(
                "# it used a service_key (Events API v1): make an integration of Events API v2 for it".into(),
            );
        }
        self.moved.receivers.insert(key.clone(), Receiver(lines));
        format!("{key}/{}", key_of(name))
    }

    /// Its address may hold a secret, so it is not repeated.
    fn webhook(&mut self, name: &str) -> String {
        let key = self.names.take(name);
        let lines = vec![
            "type = \"webhook\"".to_owned(),
            "url = \"https://…\"  # the address of its webhook_configs, if what is there takes tocsin's pages".to_owned(),
            format!("secret_env = \"{}\"  # the variable that holds a secret to sign with", variable(&key, "SECRET")),
        ];
        self.moved.receivers.insert(key.clone(), Receiver(lines));
        self.left(
            format!("receiver {name}"),
            "its webhook takes Alertmanager's JSON; tocsin's is another, and signed",
            "let what is there read it (docs/receivers/webhook.md), or keep Alertmanager in between",
        );
        format!("{key}/{}", key_of(name))
    }

    /// Whoever its alerts have as responders is the target.
    fn opsgenie(&mut self, what: &str, name: &str, config: &BTreeMap<String, Value>) -> Vec<String> {
        let own = ["api_key", "api_key_file"].iter().any(|key| config.contains_key(*key));
        let key = if own { self.names.take(&format!("{name}-opsgenie")) } else { "opsgenie".to_owned() };
        let mut lines = vec![
            "type = \"opsgenie\"".to_owned(),
            format!(
                "api_key_env = \"{}\"  # the variable that holds the key of its integration",
                variable(&key, "API_KEY")
            ),
        ];
        let url =
            config.get("api_url").or_else(|| self.global.get("opsgenie_api_url")).and_then(Value::as_str);
        lines.extend(url.map(|url| format!("url = {:?}", url.trim_end_matches('/'))));
        self.moved.receivers.entry(key.clone()).or_insert(Receiver(lines));
        let responders = config.get("responders").and_then(Value::as_array).into_iter().flatten();
        let mut targets = Vec::new();
        for responder in responders {
            let text = |key: &str| responder.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            let whom = text("username").or_else(|| text("name")).or_else(|| text("id")).unwrap_or_default();
            let target = format!("{}:{whom}", text("type").unwrap_or("team"));
            match OpsgenieConfig::refuses_target(&target) {
                None => targets.push(format!("{key}/{target}")),
                Some(why) => self.left(what, why, "name the responder in its policy"),
            }
        }
        if targets.is_empty() {
            targets.push(format!("{key}/default"));
        }
        targets
    }

    /// The address of its workflow is a secret.
    fn teams(&mut self, what: &str, name: &str, kind: &str) -> String {
        let key = self.names.take(&format!("{name}-teams"));
        let lines = vec![
            "type = \"teams\"".to_owned(),
            format!(
                "url_env = \"{}\"  # the variable that holds the address of its workflow",
                variable(&key, "URL")
            ),
        ];
        self.moved.receivers.insert(key.clone(), Receiver(lines));
        if kind == "msteams" {
            let why = "posts through a connector of Office 365, and these have ended";
            self.left(what, why, "make a workflow for its channel (docs/receivers/teams.md)");
        }
        format!("{key}/{}", key_of(name))
    }

    /// What tocsin has no receiver for stays with the Alertmanager that is there.
    fn through_alertmanager(&mut self, what: &str, name: &str, kind: &str) -> String {
        let lines = ["type = \"alertmanager\"", "urls = [\"http://localhost:9093\"]  # every peer of it"];
        let receiver = Receiver(lines.map(str::to_owned).to_vec());
        self.moved.receivers.insert("alertmanager".to_owned(), receiver);
        let label = key_of(name);
        self.left(
            what,
            format!(
                "is of kind {kind}, which tocsin has not: its pages go on to the Alertmanager that is there"
            ),
            format!("a route there with `target = {label:?}` that leads to it"),
        );
        format!("alertmanager/{label}")
    }

    fn outcomes(&mut self, root: &Route) -> Vec<Outcome> {
        let mut tree = Tree::new(self.file);
        let outcomes = tree.root(root);
        self.moved.left.append(&mut tree.left);
        outcomes
    }

    fn routes(&mut self, mut outcomes: Vec<Outcome>) {
        outcomes.retain(|outcome| outcome.said);
        if outcomes.len() > OUTCOMES_MAX {
            let why = format!("come to {} routes, and the most is {OUTCOMES_MAX}", outcomes.len());
            self.left("routes", why, "fewer of them with `continue`");
            let last = outcomes.pop();
            outcomes.truncate(OUTCOMES_MAX - 1);
            outcomes.extend(last);
        }
        let mut policies: BTreeMap<(Vec<String>, u64), String> = BTreeMap::new();
        let mut names = Names::default();
        let mut routes: Vec<RouteConfig> = Vec::new();
        for outcome in outcomes {
            let repeat = outcome.repeat_s;
            let key = (outcome.receivers.clone(), repeat);
            let policy =
                policies.entry(key).or_insert_with(|| names.take(&outcome.receivers.join(" "))).clone();
            if !self.moved.policies.contains_key(&policy) {
                let made = self.policy(&outcome.receivers, repeat);
                self.moved.policies.insert(policy.clone(), made);
            }
            let route = outcome.condition.route(policy);
            // What an earlier one takes whole never comes to this one.
            if !routes.iter().any(|earlier| earlier.is_catch_all() || *earlier == route) {
                routes.push(route);
            }
        }
        let led: BTreeSet<&String> = routes.iter().map(|route| &route.policy).collect();
        self.moved.policies.retain(|name, _| led.contains(name));
        self.moved.routes = routes;
    }

    /// It tells them, and tells them again as often as Alertmanager did.
    fn policy(&mut self, receivers: &[String], repeat_s: u64) -> PolicyConfig {
        let mut targets = Vec::new();
        for receiver in receivers {
            match self.targets.get(receiver) {
                Some(known) => targets.extend(known.iter().cloned()),
                None => {
                    let why = "a route leads to it, and there is none of that name";
                    self.left(format!("receiver {receiver}"), why, "name somebody in its policy");
                }
            }
        }
        if targets.is_empty() {
            self.moved.needs(INBOX);
            targets.push(format!("{INBOX}/{}", key_of(&receivers.join(" "))));
        }
        let what = format!("receivers {}", receivers.join(", "));
        let targets = self.at_most(what, "are told together (`continue`) and have", targets);
        let delay_s = u32::try_from(repeat_s).unwrap_or(DELAY_MAX_S).clamp(1, DELAY_MAX_S);
        PolicyConfig::of(vec![StepConfig { targets, delay_s, ..StepConfig::default() }])
    }

    /// What tocsin does in another way, or not at all.
    fn not_moved(&mut self, config: &Config) {
        if !self.without_end.is_empty() {
            let all = self.without_end.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let why = format!(
                "is off for {all}, as it is for email and slack where it is not said: here whoever was paged is told of the end"
            );
            self.left("send_resolved", why, "nothing: there is no setting that leaves the end out");
        }
        if let Some(fields) = said_too(&config.rest, &["templates"]) {
            self.left("the file", format!("has {fields}, which is not known"), "look at it there");
        }
        if config.rest.contains_key("templates") {
            self.left(
                "templates",
                "are Go templates",
                "write your own into `templates/`, if tocsin's do not do",
            );
        }
    }
}

/// Whether it is told that something is over. What goes on to the Alertmanager that is there is as it was.
fn tells_end(kind: &str, config: &BTreeMap<String, Value>) -> bool {
    let by_itself = match kind {
        "email" | "slack" => false,
        "pagerduty" | "webhook" | "opsgenie" | "msteamsv2" | "msteams" => true,
        _ => return true,
    };
    config.get("send_resolved").and_then(Value::as_bool).unwrap_or(by_itself)
}

/// A list without its quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(map) => {
            map.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect::<Vec<_>>().join(", ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// The variable for a secret of a receiver.
fn variable(receiver: &str, of: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("TOCSIN_{}_{of}", receiver.chars().map(upper).collect::<String>())
}

/// `ann@example.org` of `Ann <ann@example.org>`.
fn address(text: &str) -> String {
    let inner = text.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(inner, _)| inner);
    inner.unwrap_or(text).trim().to_owned()
}
