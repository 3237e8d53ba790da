//! Storms: pages that go to a place while that is left alone become one.
//!
//! The first of them is held until then and gathers the others, which are folded into it and need nothing more. If it is
//! taken back, another speaks for the rest; if it fails, each of them fails.

use std::collections::{BTreeMap, BTreeSet};

use wire::page::{Folded, FoldedIncident, PageKind};
use wire::text::clip;
use wire::{IncidentId, NotificationId, Severity, Timestamp};

use super::{Machine, seen};
use crate::desk::Desk;
use crate::fold::{Place, Spacing, Windows};
use crate::outbox::cancelled;
use crate::policy::Target;
use crate::state::{FoldPart, InFold, IncidentState, PageEntry, PageState};

/// Most that one page speaks for: what is folded beyond it goes with another page at the same time.
const MEMBERS_MAX: usize = 10_000;

/// Pages that fail with the one that spoke for them, by one input; what is left does at once after it.
const FAIL_MAX: usize = 1000;

/// Longest title of an incident in the list, in bytes.
const TITLE_MAX: usize = 150;

/// Severity, incident and page: the worst first.
type Member = (Severity, IncidentId, NotificationId);

/// Messages that go for several.
#[derive(Debug, Default)]
pub(crate) struct Folds {
    /// Messages that gather others, by place and by when they leave.
    gathering: BTreeSet<(Place, Timestamp, NotificationId)>,
    /// The page that gathers, by what its message is called.
    open: BTreeMap<NotificationId, Member>,
    members: BTreeMap<NotificationId, BTreeSet<Member>>,
    /// Those whose page failed.
    failed: BTreeSet<NotificationId>,
}

impl Folds {
    pub(crate) fn file(&mut self, id: &IncidentId, InFold { fold, page, part }: &InFold) {
        match part {
            FoldPart::Gathers { place, until, severity } => {
                self.gathering.insert((place.clone(), *until, fold.clone()));
                self.open.insert(fold.clone(), (*severity, id.clone(), page.clone()));
            }
            FoldPart::Failed => drop(self.failed.insert(fold.clone())),
            FoldPart::Member(severity) => {
                let member = (*severity, id.clone(), page.clone());
                self.members.entry(fold.clone()).or_default().insert(member);
            }
        }
    }

    pub(crate) fn unfile(&mut self, id: &IncidentId, InFold { fold, page, part }: &InFold) {
        match part {
            FoldPart::Gathers { place, until, severity: _ } => {
                self.gathering.remove(&(place.clone(), *until, fold.clone()));
                self.open.remove(fold);
            }
            FoldPart::Failed => drop(self.failed.remove(fold)),
            FoldPart::Member(severity) => {
                if let Some(members) = self.members.get_mut(fold) {
                    members.remove(&(*severity, id.clone(), page.clone()));
                    if members.is_empty() {
                        self.members.remove(fold);
                    }
                }
            }
        }
    }

    fn members(&self, fold: &NotificationId) -> impl Iterator<Item = &Member> {
        self.members.get(fold).into_iter().flatten()
    }

    /// The message to this place that leaves by then, if it has room.
    fn open_at(&self, place: &Place, by: Timestamp) -> Option<(&NotificationId, Timestamp)> {
        let first = (place.clone(), Timestamp::MIN, NotificationId::new(String::new()));
        let in_time = self.gathering.range(first..).take_while(|(at, until, _)| at == place && *until <= by);
        let has_room = |fold: &NotificationId| self.members.get(fold).is_none_or(|m| m.len() < MEMBERS_MAX);
        in_time.map(|(_, until, fold)| (fold, *until)).find(|(fold, _)| has_room(fold))
    }

    fn has_left(&self, fold: &NotificationId) -> bool {
        !self.open.contains_key(fold)
    }

    /// Those whose page failed, and that some have not been told of.
    fn failing(&self) -> impl Iterator<Item = &NotificationId> {
        self.failed.iter().filter(|fold| self.members.contains_key(*fold))
    }
}

/// What became of a page that spoke for others, other than that it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Parted {
    fold: NotificationId,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Failed,
    /// It is not sent. It had waited until then, or had left.
    TakenBack(Option<Timestamp>),
}

impl IncidentState {
    pub(super) fn place(&self, page: &PageEntry) -> Place {
        let target = Target { receiver: page.receiver.clone(), target: page.target.clone() };
        Place { target, calls: page.calls(), drill: self.incident.drill }
    }

    /// What its pages are to messages that go for several.
    pub(crate) fn folds(&self) -> Vec<InFold> {
        let part = |p: &PageEntry| match p.state {
            PageState::Held { until } => {
                Some(FoldPart::Gathers { place: self.place(p), until, severity: self.incident.severity })
            }
            PageState::Folded => Some(FoldPart::Member(self.incident.severity)),
            PageState::Failed { .. } => Some(FoldPart::Failed),
            PageState::Intent
            | PageState::Sending { .. }
            | PageState::Retrying { .. }
            | PageState::Unknown { .. }
            | PageState::Delivered { .. }
            | PageState::Cancelled { .. } => None,
        };
        let of = |p: &PageEntry| {
            let (fold, page) = (p.fold.clone()?, p.notification_id.clone());
            Some(InFold { fold, page, part: part(p)? })
        };
        self.pages.iter().filter_map(of).collect()
    }

    /// It waits until then, and gathers others.
    fn hold_page(&mut self, desk: &mut Desk, page: &NotificationId, fold: NotificationId, until: Timestamp) {
        let Some(i) = self.nth(page) else { return };
        self.pages[i].fold = Some(fold);
        desk.count.pages_held += 1;
        let why = format!("its place is left alone until {until}");
        self.enter(desk, i, PageState::Held { until }, Some(&why));
    }

    /// Another page speaks for it.
    fn fold_page(&mut self, desk: &mut Desk, page: &NotificationId, fold: NotificationId) {
        let Some(i) = self.nth(page) else { return };
        let why = format!("with {fold}");
        self.pages[i].fold = Some(fold);
        desk.count.pages_folded += 1;
        self.enter(desk, i, PageState::Folded, Some(&why));
    }

    /// It speaks for the others from now on.
    fn lead_page(&mut self, desk: &mut Desk, page: &NotificationId, until: Option<Timestamp>) {
        let Some(i) = self.nth(page) else { return };
        let until = until.filter(|until| *until > desk.now);
        let state = until.map_or(PageState::Intent, |until| PageState::Held { until });
        self.enter(desk, i, state, Some("the page that spoke for it was taken back"));
    }

    /// These are worth a page at once.
    fn free_pages(&mut self, desk: &mut Desk, pages: &[NotificationId]) {
        for page in pages {
            let Some(i) = self.nth(page) else { continue };
            let fold = self.pages[i].fold.take();
            // Another speaks for those that it spoke for, at their time.
            if let (PageState::Held { until }, Some(fold)) = (&self.pages[i].state, fold) {
                desk.parted.push(Parted { fold, how: How::TakenBack(Some(*until)) });
            }
            self.pages[i].wait_until = None;
            self.enter(desk, i, PageState::Intent, Some("it has become worse"));
        }
    }

    /// The page that spoke for it failed.
    fn fail_page(&mut self, desk: &mut Desk, page: &NotificationId) {
        let Some(i) = self.nth(page) else { return };
        self.pages[i].fold = None;
        if self.wants(&self.pages[i]) {
            self.fail(desk, i, "the page that spoke for it failed");
        } else {
            self.end(
                desk,
                i,
                cancelled("the page that spoke for it failed, and it need not arrive any more"),
            );
        }
    }

    /// A page ends. If it spoke for others, that is theirs too.
    pub(crate) fn part(&self, desk: &mut Desk, i: usize, end: &PageState) {
        let page = &self.pages[i];
        let Some(fold) = page.fold.clone().filter(|_| page.state != PageState::Folded) else { return };
        let how = match (end, &page.state) {
            (PageState::Failed { .. }, _) => How::Failed,
            (PageState::Cancelled { .. }, PageState::Held { until }) => How::TakenBack(Some(*until)),
            (PageState::Cancelled { .. }, _) => How::TakenBack(None),
            _ => return,
        };
        desk.parted.push(Parted { fold, how });
    }
}

impl Machine {
    /// Takes up how places are left alone since pages of this incident left.
    pub(super) fn restore_windows(windows: &mut Windows, state: &IncidentState) {
        for page in &state.pages {
            if let Some(left) = page.left {
                windows.restore(state.place(page), left);
            }
        }
    }

    /// How the place of a page that calls is left alone after it; `None` where each goes by itself.
    fn spacing(&self, page: &PageEntry) -> Option<Spacing> {
        let first = page.kind == PageKind::Trigger && page.attempts == 0;
        first.then(|| self.desk.current.spacing(&page.receiver, page.person.as_deref())).flatten()
    }

    /// Begins as many attempts as the receivers have room for and their rates allow: those that call somebody first, of
    /// these the longest decided.
    pub(super) fn start_waiting(&mut self) {
        if self.desk.owner.is_none() {
            return;
        }
        let max = self.desk.current.limits().in_flight_max;
        let receivers: Vec<String> = self.index.waiting.keys().cloned().collect();
        self.pace.due = None;
        for receiver in receivers {
            while let Some((_, _, id, page)) = self.index.next(&receiver, max) {
                if self.goes_with_others(&id, &page) {
                    continue;
                }
                if !self.pace.take(&receiver, self.desk.current.rates(), self.desk.now) {
                    break;
                }
                self.begin(&id, &page);
            }
        }
    }

    /// Whether a page that could leave now goes with others later.
    fn goes_with_others(&mut self, id: &IncidentId, page: &NotificationId) -> bool {
        let Some((place, until)) = self.held_until(id, page) else { return false };
        // A program gets each by itself, if later.
        let apart = self.desk.current.reads_each(&place.target.receiver);
        let open = self
            .index
            .folds
            .open_at(&place, until)
            .filter(|_| !apart)
            .map(|(fold, until)| (fold.clone(), until));
        let Some((fold, until)) = open else {
            // One that was freed from a message of its name begins another.
            let is_taken =
                self.index.folds.open.contains_key(page) || self.index.folds.members.contains_key(page);
            let now = self.desk.now.as_ms();
            let fold = if is_taken { NotificationId::new(format!("{page}-{now}")) } else { page.clone() };
            self.with(id, |state, desk| state.hold_page(desk, page, fold, until));
            return true;
        };
        // The worst speaks for the others.
        let severity = self.incidents.get(id).map(|state| state.incident.severity);
        let leads = self.index.folds.open.get(&fold).cloned();
        match leads.filter(|(lead, ..)| severity.is_some_and(|severity| severity < *lead)) {
            Some((_, lead, its)) => {
                self.with(&lead, |state, desk| state.fold_page(desk, &its, fold.clone()));
                self.with(id, |state, desk| state.hold_page(desk, page, fold, until));
            }
            None => drop(self.with(id, |state, desk| state.fold_page(desk, page, fold))),
        }
        true
    }

    fn held_until(&self, id: &IncidentId, page: &NotificationId) -> Option<(Place, Timestamp)> {
        let state = self.incidents.get(id)?;
        // One that has a message is on its way.
        let entry = state.pages.iter().find(|p| p.notification_id == *page && p.fold.is_none())?;
        let place = state.place(entry);
        // What its place knows of already comes as often as the policy says.
        let is_known =
            state.alerts.get(&entry.alert_key).is_some_and(|alert| alert.open && alert.told.is_none());
        let alone = self.spacing(entry).filter(|_| !is_known);
        let alone = alone.and_then(|_| self.windows.until(&place, state.incident.severity, self.desk.now));
        let waits = entry.wait_until.filter(|until| *until > self.desk.now);
        alone.into_iter().chain(waits).max().map(|until| (place, until))
    }

    /// Begins the next attempt of a page.
    fn begin(&mut self, id: &IncidentId, page: &NotificationId) {
        let Some(state) = self.incidents.get(id) else { return };
        let Some(entry) = state.pages.iter().find(|p| p.notification_id == *page) else { return };
        let folded = entry.fold.as_ref().and_then(|fold| self.folded((id, entry.calls()), fold));
        let severities = folded.iter().flat_map(|f| &f.listed).map(|other| other.severity);
        let worst = severities.chain([state.incident.severity]).min().unwrap_or(state.incident.severity);
        let left_alone = self.spacing(entry).map(|spacing| (state.place(entry), spacing));
        drop(state);
        let now = self.desk.now;
        let left = left_alone.map(|(place, spacing)| self.windows.sent(&place, worst, spacing, now));
        self.with(id, |state, desk| state.start(desk, page, (folded, left)));
    }

    /// What a message goes for beside its own incident, as things stand: those that somebody took meanwhile are left out.
    fn folded(&self, (own, calls): (&IncidentId, bool), fold: &NotificationId) -> Option<Folded> {
        let paging = |(_, id, _): &&Member| {
            let seen = self.incidents.seen_of(id, |state| seen(state, &self.desk));
            seen.is_some_and(|seen| if calls { seen.paging } else { seen.live })
        };
        let mut members: Vec<&Member> = self.index.folds.members(fold).filter(paging).collect();
        // Two steps may have called the same place about one.
        members.retain(|(_, id, _)| id != own);
        members.dedup_by(|a, b| a.1 == b.1);
        let listed = members.iter().take(Folded::LISTED_MAX).filter_map(|(severity, id, _)| {
            let title = clip(&self.incidents.get(id)?.incident.title, TITLE_MAX).into_owned();
            Some(FoldedIncident { severity: *severity, incident_id: id.clone(), title })
        });
        let others = u32::try_from(members.len()).unwrap_or(u32::MAX);
        (others > 0).then(|| Folded { into: fold.clone(), others, listed: listed.collect() })
    }

    /// Before an incident becomes worse than it was: what of it waits to go with others leaves, if its place was told of
    /// nothing as bad.
    pub(super) fn free_if_worse(&mut self, id: &IncidentId, severity: Severity) {
        let Some(state) = self.incidents.get(id).filter(|state| severity < state.incident.severity) else {
            return;
        };
        let waits = |p: &&PageEntry| {
            let gathers = matches!(p.state, PageState::Held { .. });
            let joins = p.state == PageState::Folded
                && p.fold.as_ref().is_some_and(|fold| !self.index.folds.has_left(fold));
            // Who is told is told anew.
            p.told.is_none()
                && (gathers || joins)
                && self.windows.until(&state.place(p), severity, self.desk.now).is_none()
        };
        let freed: Vec<_> = state.pages.iter().filter(waits).map(|p| p.notification_id.clone()).collect();
        drop(state);
        if !freed.is_empty() {
            self.with(id, |state, desk| state.free_pages(desk, &freed));
        }
    }

    /// What the end of a page that spoke for others is to them.
    pub(super) fn part(&mut self) {
        self.pass_on_all();
        let mut left = FAIL_MAX;
        while let Some(fold) = self.failing.first().filter(|_| left > 0).cloned() {
            let members: Vec<Member> = self.index.folds.members(&fold).take(left).cloned().collect();
            left -= members.len();
            for (_, id, page) in &members {
                self.with(id, |state, desk| state.fail_page(desk, page));
            }
            if self.index.folds.members(&fold).next() == members.first() {
                self.failing.remove(&fold);
            }
        }
        // What went to a fallback may have taken back what somebody there was to be told.
        self.pass_on_all();
    }

    fn pass_on_all(&mut self) {
        while let Some(Parted { fold, how }) = self.desk.parted.pop() {
            match how {
                How::Failed => drop(self.failing.insert(fold)),
                How::TakenBack(until) => self.pass_on(&fold, until),
            }
        }
    }

    /// After a takeover: those of a page that failed, and have not been told of it.
    pub(super) fn part_again(&mut self) {
        self.failing.extend(self.index.folds.failing().cloned());
    }

    /// The worst that still calls somebody speaks for the rest.
    fn pass_on(&mut self, fold: &NotificationId, until: Option<Timestamp>) {
        let calls = |(_, id, page): &&Member| {
            let state = self.incidents.get(id);
            state.is_some_and(|s| s.pages.iter().any(|p| p.notification_id == *page && s.wants(p)))
        };
        let next = self.index.folds.members(fold).find(calls).cloned();
        if let Some((_, id, page)) = next {
            self.with(&id, |state, desk| state.lead_page(desk, &page, until));
        }
    }
}
