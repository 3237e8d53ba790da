//! What makes a bundle of what was read: no incident without a route, no last step that may reach nobody.

use std::collections::{BTreeMap, BTreeSet};

use escalate::config::EscalateConfig;
use escalate::{Bundle, Policy, PolicyConfig, RouteConfig, StepConfig};

use super::moved::{AGAIN_S, INBOX, Moved, Names};
use super::{POLICY, SCHEDULES, receiver_names};

/// # Errors
/// When there is nothing in it at all.
pub(super) fn finish(mut moved: Moved) -> Result<Moved, String> {
    if moved.people.person.is_empty() && moved.policies.is_empty() {
        let mut why = "nothing in these files is a person or a policy that could be moved; docs/moving-in.md says which files it takes".to_owned();
        for left in &moved.left {
            why.push_str(&format!("\n  {}: {}: {}", left.file, left.what, left.why));
        }
        return Err(why);
    }
    empty_schedules(&mut moved);
    last_steps(&mut moved);
    if moved.policies.is_empty() {
        everybody(&mut moved);
    }
    last_route(&mut moved);
    if let Err(errors) = Policy::new(bundle(&moved), &receiver_names(&moved)) {
        for error in errors.0 {
            moved.left(
                POLICY,
                "the bundle",
                error.to_string(),
                "put it right: `tocsin check` says where it stands",
            );
        }
    }
    Ok(moved)
}

pub(super) fn bundle(moved: &Moved) -> Bundle {
    Bundle {
        namespace: "default".into(),
        route: moved.routes.clone(),
        policy: moved.policies.clone(),
        escalate: EscalateConfig::default(),
        people: moved.people.clone(),
        schedules: moved.schedules.clone(),
        silences: moved.silences.clone(),
        stakeholders: escalate::StakeholdersConfig::default(),
        templates: BTreeMap::new(),
    }
}

/// A schedule that leaves hours to nobody says that this is meant so, as it was where it came from.
fn empty_schedules(moved: &mut Moved) {
    for schedule in moved.schedules.schedule.values_mut() {
        schedule.may_be_empty = true;
    }
    let step = StepConfig { targets: vec![format!("{INBOX}/x")], delay_s: AGAIN_S, ..StepConfig::default() };
    let mut probe = bundle(moved);
    probe.route = vec![RouteConfig { policy: "x".into(), ..RouteConfig::default() }];
    probe.policy = BTreeMap::from([("x".to_owned(), PolicyConfig::of(vec![step]))]);
    let mut receivers = receiver_names(moved);
    receivers.insert(INBOX.into());
    // What is wrong with it is said once, at the end.
    let Ok(policy) = Policy::new(probe, &receivers) else { return };
    for (name, schedule) in policy.schedules() {
        let gap = schedule.gap().map(|gap| gap.says(schedule.zone()));
        if let Some(config) = moved.schedules.schedule.get_mut(name) {
            config.may_be_empty = gap.is_some();
        }
        if let Some(when) = gap {
            moved.left(
                SCHEDULES,
                format!("schedule {name}"),
                format!("nobody is on call by it {when}, so it says `may_be_empty = true`"),
                "add somebody and take that line out, unless it is meant so",
            );
        }
    }
}

/// A last step repeats until somebody owns the incident, so somebody must always be reached by it.
fn last_steps(moved: &mut Moved) {
    let mut names = Names::default();
    for team in moved.people.team.keys() {
        names.take(team);
    }
    let mut teams: BTreeMap<Vec<String>, String> = BTreeMap::new();
    let empty = |moved: &Moved, target: &String| {
        let name = target.strip_prefix("schedule:")?;
        let schedule = moved.schedules.schedule.get(name)?;
        schedule.may_be_empty.then(|| name.to_owned())
    };
    for (name, mut policy) in std::mem::take(&mut moved.policies) {
        let last = policy.steps.last().cloned().unwrap_or_default();
        let schedules: Option<Vec<String>> = last.targets.iter().map(|target| empty(moved, target)).collect();
        if let Some(schedules) = schedules.filter(|s| !s.is_empty()) {
            let people = people_of(moved, &schedules);
            let team = teams.entry(schedules.clone()).or_insert_with(|| names.take(&schedules.join("-")));
            moved.team(team, people);
            let target = format!("team:{team}");
            let step =
                StepConfig { targets: vec![target.clone()], delay_s: last.delay_s, ..StepConfig::default() };
            policy.steps.push(step);
            moved.left(
                POLICY,
                format!("policy {name}"),
                format!(
                    "its last step calls {}, by which nobody may be on call, and no incident may fall silent: a step that calls {target}, all who take turns there, was added",
                    schedules.join(" and ")
                ),
                "name whoever should be called then",
            );
        }
        moved.policies.insert(name, policy);
    }
}

fn people_of(moved: &Moved, schedules: &[String]) -> Vec<String> {
    let schedules = schedules.iter().filter_map(|name| moved.schedules.schedule.get(name));
    let turns = schedules.flat_map(|s| &s.layer).flat_map(|l| &l.people).flat_map(|turn| turn.people());
    turns.cloned().collect()
}

/// With people alone there is still somebody to page.
fn everybody(moved: &mut Moved) {
    let people = moved.people.person.keys().cloned().collect();
    let mut names = Names::default();
    for team in moved.people.team.keys() {
        names.take(team);
    }
    let team = names.take("everybody");
    moved.team(&team, people);
    let step =
        StepConfig { targets: vec![format!("team:{team}")], delay_s: AGAIN_S, ..StepConfig::default() };
    moved.policies.insert("everybody".into(), PolicyConfig::of(vec![step]));
    moved.left(
        POLICY,
        "policies",
        "there were none in these files: the policy everybody pages everybody",
        "give the file with the escalations too, or write your own into policy.toml",
    );
}

/// An incident that no other route takes goes to the policy that most routes lead to, or to the first.
fn last_route(moved: &mut Moved) {
    if moved.routes.last().is_some_and(RouteConfig::is_catch_all) {
        return;
    }
    let count = |name: &String| moved.routes.iter().filter(|route| route.policy == *name).count();
    let most = moved.policies.keys().map(count).max().unwrap_or(0);
    let Some(policy) = moved.policies.keys().find(|name| count(name) == most).cloned() else { return };
    moved.routes.push(RouteConfig { policy: policy.clone(), ..RouteConfig::default() });
    moved.left(
        POLICY,
        "routes",
        format!("an incident that no team's route takes has to go somewhere: it goes to {policy}"),
        "write another policy into the last [[route]]",
    );
    let led: BTreeSet<&String> = moved.routes.iter().map(|route| &route.policy).collect();
    let unled: Vec<String> = moved.policies.keys().filter(|name| !led.contains(name)).cloned().collect();
    if !unled.is_empty() {
        moved.left(
            POLICY,
            "routes",
            format!("no route leads to {}", unled.join(", ")),
            "add a [[route]] with `owner`, `model`, `family` or `severity` for each that is needed",
        );
    }
}
