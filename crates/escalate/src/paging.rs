//! Whom an incident pages next, and when: as the machine knows it, to be compared with what the audit says.

use serde::{Deserialize, Serialize};
use wire::{Change, Digest, Incident, Timestamp};

use crate::life::Stage;
use crate::machine::{Machine, around};
use crate::policy::{Addressed, Plan, Policy, Position};
use crate::state::{People, Waits};

/// Who is paged about an incident, if nothing happens meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paging {
    /// The bundle that it follows, or would.
    pub bundle: Digest,
    pub policy: String,
    /// Where people stand; `None` for an incident that is not known, and would open now.
    pub stage: Option<Stage>,
    /// The step that pages next; `None` while somebody has it, or nobody need be told.
    pub next: Option<NextStep>,
}

/// A step of a policy that is to page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextStep {
    #[serde(flatten)]
    pub at: Position,
    pub due: Timestamp,
    /// As `receiver/target`.
    pub targets: Vec<String>,
}

impl NextStep {
    /// What pages at `due` if the policy is at `from` then.
    pub(crate) fn of(
        policy: &Policy,
        plan: &Plan,
        incident: &Incident,
        from: Position,
        due: Timestamp,
    ) -> Self {
        let (at, targets) = step_that_pages(policy, plan, incident, from, due);
        Self { at, due, targets: targets.into_iter().map(|a| a.target.to_string()).collect() }
    }

    /// The first step of the policy that is right then, in the next round: what pages when a wait is over.
    pub(crate) fn anew(policy: &Policy, incident: &Incident, last: Position, due: Timestamp) -> Option<Self> {
        let plan = policy.plan(policy.route(incident))?;
        let from = Position { round: last.round.saturating_add(1), step: 0 };
        Some(Self::of(policy, plan, incident, from, due))
    }
}

/// The step that pages at a time where the policy is at `from`: a step that does not hold then, or that nobody is behind,
/// is passed over. The same as the machine does, which writes down what it passes over.
pub(crate) fn step_that_pages(
    policy: &Policy,
    plan: &Plan,
    incident: &Incident,
    from: Position,
    now: Timestamp,
) -> (Position, Vec<Addressed>) {
    let reached = |at: Position| {
        let step = plan.step(at);
        if !step.when.holds(incident, now) {
            return Vec::new();
        }
        let reached = step.targets.iter().flat_map(|whom| policy.roster().reach(whom, step.by, Some(now)));
        around(incident, (policy, plan, step), reached.collect(), now)
    };
    let (mut at, mut targets) = (from, reached(from));
    for _ in 0..plan.steps.len() {
        let Some(next) = plan.next(at).filter(|_| targets.is_empty()) else { break };
        at = next;
        targets = reached(at);
    }
    if targets.is_empty() {
        targets.extend(plan.fallback.iter().map(|t| Addressed { target: t.clone(), person: None }));
    }
    (at, targets)
}

impl Paging {
    /// Of an incident that nobody knows yet, under the policy in force.
    pub(crate) fn anew(policy: &Policy, incident: &Incident, now: Timestamp) -> Self {
        let name = policy.route(incident);
        let plan = policy.plan(name).filter(|_| incident.change != Change::Cleared);
        Self {
            bundle: policy.digest().clone(),
            policy: name.to_owned(),
            stage: None,
            next: plan.map(|plan| NextStep::of(policy, plan, incident, Position::default(), now)),
        }
    }

    /// The same with other names for the targets, as the audit has them.
    #[must_use]
    pub fn audited(mut self, pseudonym: &dyn Fn(&str) -> String) -> Self {
        for target in self.next.iter_mut().flat_map(|next| &mut next.targets) {
            *target = crate::config::of_target(target, pseudonym);
        }
        self
    }
}

impl Machine {
    /// Whom an incident pages next. One that is not known is looked at as if it came `now`.
    #[must_use]
    pub fn paging(&self, incident: &Incident, now: Timestamp) -> Paging {
        let Some(state) = self.known(&incident.incident_id) else {
            return Paging::anew(self.policy(), incident, now);
        };
        let policy = self.bundle(&state.bundle);
        let (incident, last) = (&state.incident, state.position);
        let next = match (&state.people, policy.plan(&state.plan)) {
            (People::Open { due: Some(due), waits: Waits::NextStep, .. }, Some(plan)) => {
                plan.next(last).map(|from| NextStep::of(&policy, plan, incident, from, *due))
            }
            (
                People::Open {
                    due: Some(due),
                    waits: Waits::Snooze | Waits::Assigned(_) | Waits::Muted(_),
                    ..
                },
                _,
            ) => NextStep::anew(&policy, incident, last, *due),
            (
                People::Open { .. }
                | People::Acknowledged { .. }
                | People::Mitigated { .. }
                | People::Resolved { .. }
                | People::Closed { .. },
                _,
            ) => None,
        };
        Paging {
            bundle: state.bundle.clone(),
            policy: state.plan.clone(),
            stage: Some(state.people.stage()),
            next,
        }
    }
}
