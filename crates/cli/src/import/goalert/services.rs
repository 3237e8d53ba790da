//! Services of GoAlert: whom their alerts go to, and by what they take them.

use escalate::RouteConfig;
use serde::Deserialize;

use super::{Known, OLDER};
use crate::import::Item;
use crate::import::moved::owners;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    name: String,
    #[serde(alias = "escalationPolicyID")]
    escalation_policy_id: String,
    /// `None` where nobody asked for them.
    integration_keys: Option<Vec<Key>>,
    heartbeat_monitors: Option<Vec<Monitor>>,
}

/// An address that takes alerts. It is a secret, and not asked for.
#[derive(Deserialize)]
struct Key {
    name: String,
    #[serde(default)]
    r#type: String,
}

/// What alerts when nothing comes for so long.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Monitor {
    name: String,
    timeout_minutes: u64,
}

impl Known {
    /// Incidents of the owner that a service is named after go where its alerts went.
    pub(super) fn service(&mut self, item: &Item) {
        let Some(service) = item.as_a::<Service>("service", &mut self.moved) else { return };
        let what = format!("service {}", service.name);
        self.taken_by(&item.file, &what, &service);
        match self.policies.get(&service.escalation_policy_id) {
            Some(policy) => {
                let route = RouteConfig {
                    owner: owners(&service.name),
                    policy: policy.clone(),
                    ..RouteConfig::default()
                };
                if !self.moved.routes.contains(&route) {
                    self.moved.routes.push(route);
                }
            }
            None => self.moved.left(
                &item.file,
                what,
                "follows an escalation policy that was not moved",
                "add a [[route]] for it",
            ),
        }
    }

    /// By what alerts come to it there: tocsin raises its own.
    fn taken_by(&mut self, file: &str, what: &str, service: &Service) {
        let Service { integration_keys, heartbeat_monitors, .. } = service;
        if integration_keys.is_none() || heartbeat_monitors.is_none() {
            let why =
                "came without their integration keys or heartbeat monitors, by which alerts come to them";
            self.moved.left(file, "services", why, OLDER);
        }
        let keys = integration_keys.iter().flatten().map(|key| format!("{} ({})", key.name, key.r#type));
        let keys: Vec<_> = keys.collect();
        if !keys.is_empty() {
            let why = format!("takes alerts by integration keys, which tocsin has not: {}", keys.join(", "));
            let instead = "let an Alertmanager send what comes by them (docs/receivers/from-alertmanager.md), or `tocsin declare`";
            self.moved.left(file, what, why, instead);
        }
        let monitors = heartbeat_monitors.iter().flatten();
        let monitors =
            monitors.map(|m| format!("{} (none for {} s)", m.name, m.timeout_minutes.saturating_mul(60)));
        let monitors: Vec<_> = monitors.collect();
        if !monitors.is_empty() {
            let why = format!(
                "alerts when heartbeats stay away, which tocsin waits for none of: {}",
                monitors.join(", ")
            );
            let instead = "let something outside wait for them, and an Alertmanager tell of it (docs/receivers/from-alertmanager.md)";
            self.moved.left(file, what, why, instead);
        }
    }
}
