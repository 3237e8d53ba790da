//! Pages of one incident: decided once, sent one at a time per alert, in order, under one key, until they end.

use wire::outbox::Outcome;
use wire::page::{Folded, Page, PageKind};
use wire::{AlertKey, NotificationId, Timestamp, id};

use crate::desk::{Desk, Health};
use crate::effect::Effect;
use crate::fold::Left;
use crate::mutant::{self, Mutant};
use crate::own::PAGES;
use crate::policy::Addressed;
use crate::state::{Alert, IncidentState, PageEntry, PageState};

/// Longest wait that a receiver may ask for.
const RETRY_AFTER_MAX_MS: i64 = 15 * 60_000;

/// For so long a receiver may put a page off without that being held against it.
const PATIENCE_MS: i64 = 10 * 60_000;

/// Longest reason of a receiver that is kept, in bytes.
const REASON_BYTES_MAX: usize = 500;

/// Full jitter: anything up to a cap that doubles from 1 s to 60 s. A hash of page and attempt, so a replay agrees.
fn backoff_ms(notification: &NotificationId, attempt: u32) -> i64 {
    let cap = 1000u64 << attempt.saturating_sub(1).min(6);
    let hash = id::sha256(&[b"backoff", notification.as_str().as_bytes(), &attempt.to_be_bytes()]);
    let word = u64::from_be_bytes(hash[..8].try_into().expect("eight bytes"));
    i64::try_from(word % cap.min(60_000)).expect("at most a minute") + 1
}

/// What a page is decided for.
pub(crate) struct Intent<'a> {
    pub(crate) kind: PageKind,
    pub(crate) to: &'a Addressed,
    /// Of the alert, which outlives its generation until it is resolved.
    pub(crate) generation: u32,
    pub(crate) escalates_at: Option<Timestamp>,
    pub(crate) fallback: bool,
    /// The audience that is told, where nobody is called.
    pub(crate) told: Option<&'a str>,
    /// It leaves no sooner, unless with a message to its place that leaves anyway.
    pub(crate) wait_until: Option<Timestamp>,
}

impl<'a> Intent<'a> {
    /// A page that leaves at once, to whoever is called or was.
    pub(crate) const fn of(
        kind: PageKind,
        to: &'a Addressed,
        generation: u32,
        escalates_at: Option<Timestamp>,
    ) -> Self {
        Self { kind, to, generation, escalates_at, fallback: false, told: None, wait_until: None }
    }
}

impl IncidentState {
    /// Writes down that a page is to be sent. The same page is never decided twice.
    pub(crate) fn intend(&mut self, desk: &mut Desk, intent: &Intent<'_>) {
        let kind = intent.kind;
        let unique = match kind {
            // Told once for a severity, whatever step has come by then.
            PageKind::Trigger if intent.told.is_some() => format!("told/{}", self.incident.severity.name()),
            PageKind::Trigger | PageKind::Resolve => kind.name().to_owned(),
            // These may come more than once in a step: told apart by what they are about.
            PageKind::Acknowledge => format!("acknowledge/{}", self.responses),
            PageKind::Update => format!("update/{}", self.incident.sequence),
        };
        self.intend_as(desk, intent, &unique);
    }

    /// The page of an intent, told apart from others of its step and target by `unique`.
    fn entry_of(&self, desk: &Desk, intent: &Intent<'_>, unique: &str) -> PageEntry {
        let Intent { kind, to, generation, escalates_at, fallback, told, wait_until } = *intent;
        let (receiver, name) = (to.target.receiver.as_str(), to.target.target.as_str());
        let at = self.position;
        PageEntry {
            notification_id: NotificationId::for_page(
                self.id(),
                generation,
                at.round,
                at.step,
                name,
                receiver,
                unique,
            ),
            alert_key: AlertKey::for_alert(self.id(), generation, receiver, name),
            kind,
            receiver: receiver.into(),
            target: name.into(),
            person: to.person.clone(),
            generation,
            at,
            sequence: self.incident.sequence,
            decided_at: desk.now,
            bundle: None,
            escalates_at,
            owner: self.people.owner().map(Into::into),
            notice: desk.notice.clone().filter(|_| kind == PageKind::Trigger),
            fallback,
            attempts: 0,
            begun_at: None,
            put_off: 0,
            minimal: false,
            told: told.map(Into::into),
            wait_until,
            fold: None,
            left: None,
            state: PageState::Intent,
            dirty: true,
        }
    }

    /// As `intend`, told apart from others of its step and target by `unique`.
    pub(crate) fn intend_as(&mut self, desk: &mut Desk, intent: &Intent<'_>, unique: &str) {
        let Intent { kind, told, .. } = *intent;
        let page = self.entry_of(desk, intent, unique);
        if self.pages.iter().any(|p| p.notification_id == page.notification_id) {
            return;
        }
        // Only what calls somebody can pile up; of the rest each alert has one of a kind.
        let max = desk.current.limits().pages_max as usize;
        if kind == PageKind::Trigger && self.pages.iter().filter(|p| !p.state.is_final()).count() >= max {
            desk.count.pages_refused += 1;
            desk.note(self.id(), "page.refused", None, None, format!("{max} pages of it are on their way"));
            let (part, why) = (self.id().to_string(), format!("an incident has {max} pages on their way"));
            desk.health.push(Health::Broken { what: PAGES.into(), part, why });
            return;
        }
        let calls = page.calls();
        if calls {
            self.call_instead(desk, &page.alert_key, intent.wait_until);
            self.end_before(desk, intent, &page.alert_key);
        }
        let on_its_way = kind == PageKind::Trigger && self.trigger_on_its_way(&page.alert_key, calls);
        self.alerts.entry(page.alert_key.clone()).or_insert_with(|| Alert::of(&page));
        if calls && let Some(alert) = self.alerts.get_mut(&page.alert_key) {
            alert.told = None;
        }
        desk.count.pages_intended += 1;
        let action = if told.is_some() { "tell.intended" } else { "page.intended" };
        desk.note(self.id(), action, None, "intent".to_owned(), says(&page));
        if self.pages.is_empty() {
            // Most incidents page once; a first push makes room for four.
            self.pages.reserve_exact(1);
        }
        self.pages.push(page);
        if on_its_way {
            let last = self.pages.len() - 1;
            self.end(desk, last, cancelled("an earlier page to this target is still on its way"));
        }
    }

    /// A trigger to this alert has not ended, and nothing decided since takes it back. Where it `calls`, one that tells is none.
    fn trigger_on_its_way(&self, key: &AlertKey, calls: bool) -> bool {
        let live = self.pages.iter().rev().filter(|p| p.alert_key == *key && !p.state.is_final());
        let live = live.filter(|p| !calls || p.told.is_none());
        live.map(|p| p.kind).find(|k| matches!(k, PageKind::Trigger | PageKind::Resolve))
            == Some(PageKind::Trigger)
    }

    /// Whoever was to be told of it, or called for their hours, is called by then.
    fn call_instead(&mut self, desk: &mut Desk, key: &AlertKey, wait_until: Option<Timestamp>) {
        let by = wait_until.unwrap_or(desk.now);
        for i in 0..self.pages.len() {
            let page = &self.pages[i];
            let waits = page.attempts == 0 && page.wait_until.is_some_and(|until| until > by);
            if page.alert_key == *key && (page.tells() || waits) && page.state.is_idle() {
                self.end(desk, i, cancelled("they are called about it sooner"));
            }
        }
    }

    /// Ends pages that have no attempt under way and are of these kinds. What others are told of it goes on as long as there is
    /// something to tell.
    pub(crate) fn cancel(&mut self, desk: &mut Desk, kinds: &[PageKind], cause: &str) {
        for i in 0..self.pages.len() {
            let page = &self.pages[i];
            let goes_on = page.tells() && self.wants(page);
            // An end that a call waits for goes with it.
            let with_it = kinds.contains(&PageKind::Trigger) && self.behind(i).is_some();
            if page.state.is_idle() && (kinds.contains(&page.kind) && !goes_on || with_it) {
                self.end(desk, i, cancelled(cause));
            }
        }
    }

    /// Takes back resolves that have not left, since the alerts are to stay open.
    pub(crate) fn cancel_resolves(&mut self, desk: &mut Desk, cause: &str) {
        for i in 0..self.pages.len() {
            let page = &self.pages[i];
            if page.state.is_idle()
                && page.kind == PageKind::Resolve
                && page.generation == self.incident.generation
            {
                if let Some(alert) = self.alerts.get_mut(&page.alert_key) {
                    alert.open = true;
                }
                self.end(desk, i, cancelled(cause));
            }
        }
    }

    /// Where it keeps a page.
    pub(crate) fn nth(&self, page: &NotificationId) -> Option<usize> {
        self.pages.iter().position(|p| p.notification_id == *page)
    }

    /// Moves one page on, with its audit record.
    pub(crate) fn enter(&mut self, desk: &mut Desk, i: usize, state: PageState, why: Option<&str>) {
        let page = &mut self.pages[i];
        let before = page.state.name().to_owned();
        let action = match &state {
            PageState::Intent => "page.due",
            PageState::Held { .. } => "page.held",
            PageState::Folded => "page.folded",
            PageState::Sending { .. } => "page.sending",
            PageState::Retrying { .. } => "page.retrying",
            PageState::Unknown { .. } => "page.unknown",
            PageState::Delivered { .. } => "page.delivered",
            PageState::Failed { .. } => "page.failed",
            PageState::Cancelled { .. } => "page.cancelled",
        };
        let after = state.name().to_owned();
        page.state = state;
        page.dirty = true;
        let says = why.map_or_else(|| says(page), |why| format!("{}: {why}", says(page)));
        let id = self.id().clone();
        desk.note(&id, action, before, after, says);
    }

    /// Ends a page for good.
    pub(crate) fn end(&mut self, desk: &mut Desk, i: usize, state: PageState) {
        let why = match &state {
            PageState::Cancelled { cause: why } | PageState::Failed { reason: why } => Some(why.clone()),
            PageState::Delivered { .. }
            | PageState::Folded
            | PageState::Intent
            | PageState::Held { .. }
            | PageState::Sending { .. }
            | PageState::Retrying { .. }
            | PageState::Unknown { .. } => None,
        };
        desk.count.pages_cancelled += u64::from(matches!(state, PageState::Cancelled { .. }));
        self.part(desk, i, &state);
        self.enter(desk, i, state, why.as_deref());
    }

    /// Begins the next attempt of a page that was waiting for room; it speaks for these others too.
    pub(crate) fn start(
        &mut self,
        desk: &mut Desk,
        notification: &NotificationId,
        (folded, left): (Option<Folded>, Option<Left>),
    ) {
        let Some(owner) = desk.owner.clone() else { return };
        let Some(i) = self.nth(notification) else { return };
        let lease_ms = u64::from(desk.current.limits().lease_s) * 1000;
        let until = desk.now.plus_ms(i64::try_from(lease_ms).unwrap_or(i64::MAX));
        self.pages[i].attempts += 1;
        self.pages[i].begun_at = Some(desk.now);
        self.pages[i].left = left.or(self.pages[i].left);
        if self.pages[i].tells() {
            // It may have waited for hours.
            self.pages[i].owner = self.people.owner().map(Into::into);
        }
        if self.pages[i].kind == PageKind::Trigger {
            // What was folded, and leaves after all, may have none any more.
            let page = &self.pages[i];
            self.alerts.entry(page.alert_key.clone()).or_insert_with(|| Alert::of(page)).open = true;
        }
        desk.count.attempts += 1;
        let attempt = self.pages[i].attempts;
        self.enter(
            desk,
            i,
            PageState::Sending { lease_ms, owner, until },
            Some(&format!("attempt {attempt}")),
        );
        let page = Page { folded, ..self.page(&self.pages[i], &desk.people) };
        let page = Box::new(self.worded(page, &desk.policy(&self.bundle)));
        desk.sends.push(Effect::Send { page, attempt, lease_ms });
    }

    /// Takes in what came of the last attempt of a page. True when it mattered.
    pub(crate) fn outcome(
        &mut self,
        desk: &mut Desk,
        notification: &NotificationId,
        attempt: u32,
        outcome: Outcome,
    ) -> bool {
        let Some(i) = self.nth(notification) else { return false };
        let page = &self.pages[i];
        let delivered = matches!(outcome, Outcome::Delivered { .. });
        let (lease_ms, until) = match &page.state {
            PageState::Sending { lease_ms, until, .. } => (*lease_ms, *until),
            // The answer came after all, before the page was sent again.
            PageState::Unknown { lease_ms, until, .. } if delivered => (*lease_ms, *until),
            PageState::Unknown { .. }
            | PageState::Intent
            | PageState::Held { .. }
            | PageState::Folded
            | PageState::Retrying { .. }
            | PageState::Delivered { .. }
            | PageState::Failed { .. }
            | PageState::Cancelled { .. } => return false,
        };
        let by_class = desk.count.outcomes.entry(page.receiver.clone()).or_default();
        *by_class.entry(outcome.class()).or_default() += 1;
        match outcome {
            Outcome::Delivered { reference } => {
                desk.count.pages_delivered += 1;
                let what = format!("receiver/{}", page.receiver);
                desk.health.push(Health::Fine { what, part: page.target.clone() });
                let reference = reference.map(|r| desk.bounded(&r, REASON_BYTES_MAX));
                if let Some(alert) = self.alerts.get_mut(&self.pages[i].alert_key)
                    && alert.reference.is_none()
                {
                    alert.reference.clone_from(&reference);
                }
                self.end(desk, i, PageState::Delivered { reference });
                let (page, call) = (&self.pages[i], self.behind(i));
                if let Some(alert) = self.alerts.get_mut(&page.alert_key) {
                    alert.reached |= page.kind == PageKind::Trigger;
                    alert.anew &= page.kind != PageKind::Resolve;
                }
                if page.kind == PageKind::Resolve && call.is_none() {
                    self.resolve_once_more(desk, i, lease_ms);
                }
            }
            Outcome::RetryAfter { ms, reason } => {
                let wait = i64::try_from(ms).unwrap_or(i64::MAX).clamp(1, RETRY_AFTER_MAX_MS);
                // It works, and has said when: for some time that is no failure.
                let waited_ms = desk.now.since_ms(self.pages[i].decided_at);
                self.pages[i].put_off += u32::from(waited_ms < PATIENCE_MS);
                self.again(desk, i, wait, &reason);
            }
            Outcome::Retry { reason } => {
                let wait = backoff_ms(notification, attempt);
                self.again(desk, i, wait, &reason);
            }
            Outcome::Unknown { reason } => {
                let reason = desk.bounded(&reason, REASON_BYTES_MAX);
                let why = reason.clone();
                self.may_come_late(i, until, lease_ms);
                self.enter(desk, i, PageState::Unknown { reason, lease_ms, until }, Some(&why));
            }
            Outcome::Reject { reason } if !self.pages[i].minimal => self.make_smaller(desk, i, &reason),
            Outcome::Config { reason } | Outcome::Reject { reason } => self.fail(desk, i, &reason),
        }
        true
    }

    /// Refused as it was, for its size or for something in it: once more at once, under the same key, with only what must
    /// be said.
    fn make_smaller(&mut self, desk: &mut Desk, i: usize, reason: &str) {
        if let Some(over) = self.given_up(desk, i, reason) {
            return over.carry_out(self, desk, i);
        }
        self.pages[i].minimal = true;
        let reason = desk.bounded(reason, REASON_BYTES_MAX);
        self.enter(desk, i, PageState::Intent, Some(&format!("once more in its smallest form: {reason}")));
    }

    /// Another attempt after `wait_ms`, unless it is no longer wanted or there were enough.
    fn again(&mut self, desk: &mut Desk, i: usize, wait_ms: i64, reason: &str) {
        if let Some(over) = self.given_up(desk, i, reason) {
            return over.carry_out(self, desk, i);
        }
        let reason = desk.bounded(reason, REASON_BYTES_MAX);
        let at = desk.now.plus_ms(wait_ms);
        self.enter(desk, i, PageState::Retrying { at, reason: reason.clone() }, Some(&reason));
    }

    /// Why no further attempt follows, if none does.
    fn given_up(&self, desk: &Desk, i: usize, reason: &str) -> Option<GivenUp> {
        let page = &self.pages[i];
        if !self.wants(page) {
            return Some(GivenUp::NotWanted);
        }
        // Who has it and that it is over is told for as long as it takes: nothing else would stop a pager over there.
        let lasts =
            matches!(page.kind, PageKind::Acknowledge | PageKind::Resolve) && self.behind(i).is_none();
        let enough = page.attempts.saturating_sub(page.put_off) >= desk.current.limits().attempts_max;
        (enough && !lasts)
            .then(|| GivenUp::Enough(format!("no success in {} attempts; last: {reason}", page.attempts)))
    }

    /// Whether a page that has not been delivered still should be.
    pub(crate) fn wants(&self, page: &PageEntry) -> bool {
        match page.kind {
            PageKind::Trigger if page.told.is_some() => {
                self.is_live() && page.generation == self.incident.generation
            }
            PageKind::Trigger if mutant::is(Mutant::AcknowledgementOvertaken) => true,
            PageKind::Trigger => self.is_paging() && page.generation == self.incident.generation,
            PageKind::Acknowledge => self.people.owner().is_some(),
            PageKind::Update => self.alerts.get(&page.alert_key).is_some_and(|a| a.open),
            PageKind::Resolve => true,
        }
    }

    /// A page that will not arrive. A page that calls somebody goes to the fallback at once.
    pub(crate) fn fail(&mut self, desk: &mut Desk, i: usize, reason: &str) {
        let reason = desk.bounded(reason, REASON_BYTES_MAX);
        desk.count.pages_failed += 1;
        let call = self.behind(i);
        self.end(desk, i, PageState::Failed { reason: reason.clone() });
        if let Some(call) = call.filter(|call| self.pages[*call].state.is_idle()) {
            // It would call nobody: to the fallback with it.
            self.fail(desk, call, &reason);
        }
        let page = &self.pages[i];
        let what = format!("receiver/{}", page.receiver);
        desk.health.push(Health::Broken { what, part: page.target.clone(), why: reason });
        if !page.calls() || page.fallback || !self.wants(page) {
            return;
        }
        let policy = desk.policy(&self.bundle);
        let fallback = policy.plan(&self.plan).and_then(|plan| plan.fallback.as_ref());
        let Some(target) = fallback.filter(|f| f.receiver != page.receiver) else { return };
        // A later step may be the one under way by now.
        let (generation, escalates_at) = (page.generation, self.escalates_at());
        desk.count.fallbacks += 1;
        let kind = PageKind::Trigger;
        let to = &Addressed { target: target.clone(), person: None };
        self.intend(desk, &Intent { fallback: true, ..Intent::of(kind, to, generation, escalates_at) });
    }

    /// Moves on what waited for `now`: attempts whose lease ended, retries that are due.
    pub(crate) fn page_timers(&mut self, desk: &mut Desk) {
        for i in 0..self.pages.len() {
            if let PageState::Sending { until, lease_ms, .. } = self.pages[i].state
                && until <= desk.now
            {
                self.may_come_late(i, until, lease_ms);
            }
            let reason = match &self.pages[i].state {
                PageState::Held { until } if *until <= desk.now => {
                    "its place was left alone long enough".to_owned()
                }
                PageState::Sending { until, .. } if *until <= desk.now => {
                    desk.count.leases_expired += 1;
                    "no outcome before the lease ended".to_owned()
                }
                PageState::Unknown { until, reason, .. } if *until <= desk.now => reason.clone(),
                PageState::Retrying { at, reason } if *at <= desk.now => reason.clone(),
                PageState::Sending { .. }
                | PageState::Unknown { .. }
                | PageState::Retrying { .. }
                | PageState::Intent
                | PageState::Held { .. }
                | PageState::Folded
                | PageState::Delivered { .. }
                | PageState::Failed { .. }
                | PageState::Cancelled { .. } => continue,
            };
            match self.given_up(desk, i, &reason) {
                Some(over) => over.carry_out(self, desk, i),
                None => self.enter(desk, i, PageState::Intent, Some(&reason)),
            }
        }
    }

    /// After a takeover: what was on its way may still be, for a full lease counted from now.
    pub(crate) fn restart_leases(&mut self, desk: &Desk) -> u64 {
        let mut restarted = 0;
        for page in &mut self.pages {
            match &mut page.state {
                PageState::Sending { lease_ms, until, .. } | PageState::Unknown { lease_ms, until, .. } => {
                    let lease_ms = if mutant::is(Mutant::LeaseNotWaitedOut) { 0 } else { *lease_ms };
                    *until = desk.now.plus_ms(i64::try_from(lease_ms).unwrap_or(i64::MAX));
                    restarted += 1;
                    if page.kind != PageKind::Resolve
                        && let Some(alert) = self.alerts.get_mut(&page.alert_key)
                    {
                        alert.haunted = true;
                        alert.reached |= page.kind == PageKind::Trigger;
                    }
                }
                PageState::Intent
                | PageState::Held { .. }
                | PageState::Folded
                | PageState::Retrying { .. }
                | PageState::Delivered { .. }
                | PageState::Failed { .. }
                | PageState::Cancelled { .. } => (),
            }
        }
        restarted
    }

    /// What has not been tried yet carries the newest word of the signal when it leaves.
    pub(crate) fn refresh_pages(&mut self) {
        let (generation, sequence) = (self.incident.generation, self.incident.sequence);
        for page in &mut self.pages {
            let waits = matches!(page.state, PageState::Intent | PageState::Held { .. });
            if waits && page.attempts == 0 && page.generation == generation {
                page.sequence = sequence;
                page.dirty = true;
            }
        }
    }
}

/// Why a page gets no further attempt.
enum GivenUp {
    NotWanted,
    Enough(String),
}

impl GivenUp {
    fn carry_out(self, incident: &mut IncidentState, desk: &mut Desk, i: usize) {
        match self {
            Self::NotWanted => {
                let cause = format!("{}: it need not arrive any more", incident.people.stage().name());
                incident.end(desk, i, cancelled(&cause));
            }
            Self::Enough(reason) => incident.fail(desk, i, &reason),
        }
    }
}

pub(crate) fn cancelled(cause: &str) -> PageState {
    PageState::Cancelled { cause: cause.into() }
}

/// A page in the audit log. Its target may be a person, and stands under the same id in the outbox only.
fn says(page: &PageEntry) -> String {
    let PageEntry { notification_id, receiver, kind, at, generation, .. } = page;
    let kind = kind.name();
    format!(
        "{kind} {notification_id} by {receiver}, generation {generation} round {} step {}",
        at.round, at.step
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn backoff_stays_within_its_cap_and_spreads() {
        for attempt in 1..=30 {
            let cap = (1000i64 << (attempt - 1).min(6)).min(60_000);
            let waits: BTreeSet<i64> = (0..200)
                .map(|n| {
                    backoff_ms(&NotificationId::new(format!("page-{n}")), u32::try_from(attempt).unwrap())
                })
                .collect();
            assert!(waits.iter().all(|w| (1..=cap).contains(w)), "attempt {attempt}");
            assert!(
                waits.first().unwrap() * 10 < cap && waits.last().unwrap() * 10 > cap * 9,
                "not jittered"
            );
        }
    }
}
