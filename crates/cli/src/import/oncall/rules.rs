//! How people of Grafana OnCall are told: rules of their own, one list of them for what is important and one for the rest.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Known;
use crate::import::{Item, given};

/// A way to tell somebody, or a wait before the next.
#[derive(Deserialize)]
struct Rule {
    user_id: String,
    #[serde(default, deserialize_with = "given")]
    position: i64,
    r#type: Option<String>,
    /// Seconds of a wait.
    duration: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    important: bool,
}

/// What a rule does.
enum Does {
    Tells(String),
    Waits,
    Other,
}

impl Rule {
    fn does(&self) -> Does {
        match self.r#type.as_deref().unwrap_or_default() {
            "wait" => Does::Waits,
            other => {
                other.strip_prefix("notify_by_").map_or(Does::Other, |way| Does::Tells(way.replace('_', " ")))
            }
        }
    }

    fn says(&self) -> String {
        match self.does() {
            Does::Tells(way) => way,
            Does::Waits => self.duration.map_or_else(|| "wait".to_owned(), |s| format!("wait {s} s")),
            Does::Other => format!("{:?}", self.r#type.as_deref().unwrap_or_default()),
        }
    }
}

impl Known {
    pub(super) fn rules(&mut self, items: Vec<&Item>) {
        let mut ways: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
        let mut lists: BTreeMap<(String, bool), Vec<Rule>> = BTreeMap::new();
        for item in items {
            let Some(rule) = item.as_a::<Rule>("personal notification rule", &mut self.moved) else {
                continue;
            };
            let Some(key) = self.people.get(&rule.user_id) else {
                let why = "are of somebody who is not among the users of these files";
                let instead = "give all pages of the users too";
                self.moved.left(&item.file, "personal notification rules", why, instead);
                continue;
            };
            let (_, ways) = ways.entry(key.clone()).or_insert_with(|| (item.file.clone(), BTreeSet::new()));
            match rule.does() {
                Does::Tells(way) if way != "email" && way != "slack" => _ = ways.insert(way),
                Does::Tells(_) | Does::Waits | Does::Other => (),
            }
            lists.entry((key.clone(), rule.important)).or_default().push(rule);
        }
        for (key, (file, ways)) in ways {
            self.moved.not_reached_by(&file, &key, &ways.iter().map(String::as_str).collect());
            for (important, when) in [(false, ""), (true, " of what is important")] {
                let mut rules = lists.remove(&(key.clone(), important)).unwrap_or_default();
                rules.sort_by_key(|rule| rule.position);
                // Without a wait they are told by all of them at once there too.
                if rules.iter().any(|rule| !matches!(rule.does(), Does::Tells(_))) {
                    let order: Vec<_> = rules.iter().map(Rule::says).collect();
                    self.moved.told_in_order(&file, &key, when, &order);
                }
            }
        }
    }
}
