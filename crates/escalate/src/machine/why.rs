//! Why somebody was paged about an incident, or was not.

use std::fmt::Write as _;

use wire::response::ResponseChange;
use wire::{IncidentId, Timestamp};

use super::Machine;
use crate::desk::Desk;
use crate::mutes::{Muter, Verdict};
use crate::policy::{Plan, Policy, Position, Step, Whom};
use crate::state::{IncidentState, PageEntry, PageState, People, Waits};

impl Machine {
    /// The path of an incident to whom it pages, in sentences: route, policy, where people stand, each step with what came
    /// of it; and of `person` (a key of `people.toml`) whether they were paged, and why or why not. `None` if it is not
    /// known.
    #[must_use]
    pub fn why(&self, id: &IncidentId, person: Option<&str>) -> Option<Vec<String>> {
        let state = self.incidents.get(id)?;
        let policy = self.desk.policy(&state.bundle);
        let plan = policy.plan(&state.plan)?;
        let state = state.as_ref();
        let mut said = vec![route(state, &policy), follows(state)];
        said.extend(was_muted(state));
        said.push(stands(state, &self.desk));
        said.extend(self.desk.mutes.refused_by(&state.incident, self.desk.now));
        match person {
            None => {
                let steps = (0..).zip(&plan.steps);
                said.extend(steps.map(|(n, step)| self.says_step(n, step, state, &policy)));
                said.extend(state.pages.iter().filter_map(|page| self.says_told(state, page)));
            }
            Some(person) => said.extend(self.of_person(person, state, (&policy, plan))),
        }
        Some(said)
    }

    /// A step: when it pages, whom, and what became of its pages in this generation.
    fn says_step(&self, n: u32, step: &Step, state: &IncidentState, policy: &Policy) -> String {
        let now = self.desk.now;
        let at = state.pages_of_step(n).next().map(|page| page.decided_at);
        let whom =
            step.targets.iter().map(|whom| says_whom(whom, policy, at, now)).collect::<Vec<_>>().join(", ");
        let mut said = format!("step {}: {whom}", n + 1);
        if !step.when.is_always() {
            write!(said, ", if it is {}", step.when).expect("a string takes it");
        }
        let reached = step.targets.iter().flat_map(|w| policy.roster().reach(w, step.by, Some(now))).count();
        if reached == 0 {
            said.push_str(": nobody is behind it");
        }
        let mut any = false;
        for page in state.pages_of_step(n) {
            any = true;
            write!(said, "\n    {}", self.says_page(state, page)).expect("a string takes it");
        }
        if !any {
            said.push_str(": not paged");
        }
        said
    }

    /// A page of somebody who is told, and was not called.
    fn says_told(&self, state: &IncidentState, page: &PageEntry) -> Option<String> {
        let audience = page.told.as_ref().filter(|_| page.kind == wire::page::PageKind::Trigger)?;
        Some(format!("told beside them, as {audience}: {}", self.says_page(state, page)))
    }

    fn says_page(&self, state: &IncidentState, page: &PageEntry) -> String {
        let became = match &page.state {
            PageState::Intent => "waits for its turn".to_owned(),
            PageState::Held { until } if page.wait_until.is_some() => format!("waits until {until} (digest)"),
            PageState::Held { until } => {
                format!("goes with others at {until}: {}", self.left_alone(state, page))
            }
            PageState::Folded => "is said in a message for several".to_owned(),
            PageState::Sending { .. } => "is on its way".to_owned(),
            PageState::Retrying { at, reason } => format!("is tried again at {at}: {reason}"),
            PageState::Unknown { reason, .. } => format!("may have arrived: {reason}"),
            PageState::Delivered { .. } => "was taken".to_owned(),
            PageState::Failed { reason } => format!("failed: {reason}"),
            PageState::Cancelled { cause } => format!("was not sent: {cause}"),
        };
        let fallback = if page.fallback { " in place of one that failed" } else { "" };
        let PageEntry { receiver, target, decided_at, attempts, .. } = page;
        let tried = match attempts {
            0 => String::new(),
            1 => " (1 attempt)".to_owned(),
            n => format!(" ({n} attempts)"),
        };
        format!("{decided_at} {receiver}/{target}{fallback}: {became}{tried}")
    }

    /// Why the place of a page is left alone.
    fn left_alone(&self, state: &IncidentState, page: &PageEntry) -> String {
        let person = page.person.as_deref();
        let limits = self.desk.current.limits_of(person);
        let of = |own: bool| match person.filter(|_| own) {
            Some(person) => format!("the limits of {person}"),
            None => "[escalate]".to_owned(),
        };
        match limits.per_hour {
            Some(most) if self.windows.within_an_hour(&state.place(page), self.desk.now) >= most as usize => {
                format!("its place got {most} pages within an hour (per_hour of {})", of(true))
            }
            Some(_) | None => {
                format!("its place got a page a moment before (fold_s of {})", of(limits.fold_s.is_some()))
            }
        }
    }

    /// Whether somebody was paged, and why or why not.
    fn of_person(
        &self,
        person: &str,
        state: &IncidentState,
        (policy, plan): (&Policy, &Plan),
    ) -> Vec<String> {
        let now = self.desk.now;
        let roster = policy.roster();
        let person = roster.person_of(person);
        if !roster.people.contains_key(person) {
            return vec![format!("{person} is nobody in people.toml of the bundle that it follows")];
        }
        // A schedule calls whoever is on call when it comes to that.
        let calls_them = |whom: &&Whom| roster.people(whom, None).contains(&person);
        let steps: Vec<(u32, &Step)> =
            (0..).zip(&plan.steps).filter(|(_, step)| step.targets.iter().any(|w| calls_them(&w))).collect();
        let pages: Vec<&PageEntry> =
            state.pages.iter().filter(|p| p.calls() && p.person.as_deref() == Some(person)).collect();
        let mut said = Vec::new();
        for (n, step) in &steps {
            let at = state.pages_of_step(*n).next().map(|page| page.decided_at);
            let by: Vec<String> =
                step.targets.iter().filter(calls_them).map(|whom| says_whom(whom, policy, at, now)).collect();
            let when =
                if step.when.is_always() { String::new() } else { format!(", if it is {}", step.when) };
            said.push(format!("{person} is called by step {}, as {}{when}", n + 1, by.join(" and ")));
        }
        for page in &pages {
            let Position { round, step } = page.at;
            said.push(format!(
                "paged by step {} of round {}: {}",
                step + 1,
                round + 1,
                self.says_page(state, page)
            ));
        }
        let told = state
            .pages
            .iter()
            .filter(|p| p.person.as_deref() == Some(person))
            .filter_map(|page| self.says_told(state, page));
        said.extend(told);
        match (pages.is_empty(), steps.first()) {
            (false, _) => (),
            (true, None) => said.push(format!("not paged: no step of policy {} calls {person}", state.plan)),
            (true, Some((first, _))) => said.push(not_yet(*first, state)),
        }
        said
    }
}

/// Which route took it, by its place and its conditions.
fn route(state: &IncidentState, policy: &Policy) -> String {
    let i = policy.route_of(&state.incident);
    let (conditions, names) = &policy.routes()[i];
    let (n, of) = (i + 1, policy.routes().len());
    let takes = if conditions.is_everything() {
        "which takes everything".to_owned()
    } else {
        format!("for {conditions}")
    };
    let as_it_is =
        if *names == state.plan { "" } else { " (as it is now; it follows the one that it came by)" };
    format!("route {n} of {of}, {takes}, leads to policy {names}{as_it_is}")
}

fn follows(state: &IncidentState) -> String {
    let Position { round, step } = state.position;
    let stands = if state.has_called_at(state.position) { "last paged:" } else { "it stands at" };
    format!("it follows {}; {stands} step {} of round {}", state.follows(), step + 1, round + 1)
}

/// When nobody was paged about it for a time that is over.
fn was_muted(state: &IncidentState) -> impl Iterator<Item = String> {
    let is_muted = matches!(state.people, People::Open { waits: Waits::Muted(_), .. });
    let times: Vec<_> = state.timeline.iter().filter(|said| said.change == ResponseChange::Muted).collect();
    let over = times.len() - usize::from(is_muted && !times.is_empty());
    times.into_iter().take(over).map(|said| {
        let until =
            said.until.map_or_else(String::new, |until| format!(" until {until} or an end before that"));
        let why = said.why.as_deref().map_or_else(String::new, |why| format!(": {why}"));
        format!("nobody was paged from {}{until}{why}", said.at)
    })
}

fn stands(state: &IncidentState, desk: &Desk) -> String {
    let name = |p: &str| desk.people.name(p).to_owned();
    match &state.people {
        People::Open { due: Some(at), waits: Waits::Snooze, .. } => {
            format!("nobody is paged until {at}: it was put off")
        }
        People::Open { due: Some(at), waits: Waits::Muted(by), .. } => {
            let says = match desk.verdict(&state.incident) {
                Verdict::Muted(mute) if mute.by == *by => mute.says,
                Verdict::Muted(_) | Verdict::Asks(_) | Verdict::Pages => by.to_string(),
            };
            let made = match by {
                Muter::Silence(id) => desk.mutes.silence(id),
                Muter::Asked(_) | Muter::Maintenance(_) | Muter::Upstream(_) => None,
            };
            let made = made.map_or_else(String::new, |silence| format!(", made by {}", name(&silence.by)));
            format!("nobody is paged until {at}: {says}{made}")
        }
        People::Open { due: Some(at), waits: Waits::Assigned(to), .. } => {
            format!(
                "it was handed to {}; if they do not take it, it pages from the first step at {at}",
                name(to)
            )
        }
        People::Open { due: Some(at), .. } => format!("nobody has it; the next step is paged at {at}"),
        People::Open { due: None, .. } => "nobody has it, and it was told as often as its policy says".into(),
        People::Acknowledged { by, until, .. } => {
            format!("{} has it until {until}, so no step is paged", name(by))
        }
        People::Mitigated { by, until } => {
            format!("{} has contained it until {until}, so no step is paged", name(by))
        }
        People::Resolved { by } => format!("{} resolved it, so no step is paged", name(by)),
        People::Closed { by } => format!("{} closed it, so no step is paged", name(by)),
    }
}

impl IncidentState {
    /// The calls of a step in this generation, the first one first.
    fn pages_of_step(&self, step: u32) -> impl Iterator<Item = &PageEntry> {
        let generation = self.incident.generation;
        self.pages.iter().filter(move |p| p.at.step == step && p.generation == generation && p.calls())
    }
}

/// Whom a step names; of a schedule who was on call when it paged first, or is now, and why.
fn says_whom(whom: &Whom, policy: &Policy, paged: Option<Timestamp>, now: Timestamp) -> String {
    let Whom::Schedule(name) = whom else { return whom.to_string() };
    let Some(schedule) = policy.schedules().get(name) else { return whom.to_string() };
    let on = schedule.at(paged.unwrap_or(now));
    let people = if on.people.is_empty() { "nobody".to_owned() } else { on.people.join(" and ") };
    let by = on.by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let by = if by.is_empty() { "no layer holds".to_owned() } else { format!("by {by}") };
    let when = paged.map_or_else(String::new, |at| format!(" at {at}"));
    format!("{whom} ({people} on call{when}, {by})")
}

/// Why nobody has come to a step that would call them.
fn not_yet(first: u32, state: &IncidentState) -> String {
    let step = first + 1;
    match state.escalates_at() {
        Some(at) if state.position.step + 1 == first => format!("not paged yet: step {step} is, at {at}"),
        Some(_) => format!("not paged yet: it has not come to step {step}"),
        None => format!("not paged: it did not come to step {step}"),
    }
}
