//! Ends of alerts that are not the last word: said before a call where an alert calls once, and said again where something may
//! arrive behind them.

use wire::AlertKey;
use wire::Timestamp;
use wire::page::PageKind;

use crate::desk::Desk;
use crate::fold::Manner;
use crate::mutant::{self, Mutant};
use crate::outbox::Intent;
use crate::state::{IncidentState, PageEntry, PageState};

impl IncidentState {
    /// What people had stopped ends where it calls once, so that the trigger behind calls again.
    pub(crate) fn end_before(&mut self, desk: &mut Desk, intent: &Intent<'_>, key: &AlertKey) {
        let is_on_its_way =
            |p: &PageEntry| p.alert_key == *key && p.kind == PageKind::Resolve && !p.state.is_final();
        let anew = self.alerts.get(key).is_some_and(|alert| alert.open && alert.anew);
        if anew && !self.pages.iter().any(is_on_its_way) {
            let end = Intent::of(PageKind::Resolve, intent.to, intent.generation, None);
            self.intend_as(desk, &end, &format!("resolve/anew/{}", self.responses));
        }
    }

    /// The call that waits for this end, if it is no last one.
    pub(crate) fn behind(&self, i: usize) -> Option<usize> {
        let end = &self.pages[i];
        let waits = |p: &PageEntry| p.alert_key == end.alert_key && p.calls() && !p.state.is_final();
        let mut after = (i + 1..self.pages.len()).filter(|_| end.kind == PageKind::Resolve);
        after.find(|j| waits(&self.pages[*j]))
    }

    /// What was sent may arrive when its lease is over, behind what is sent then: for as long again.
    pub(crate) fn may_come_late(&mut self, i: usize, until: Timestamp, lease_ms: u64) {
        let page = &self.pages[i];
        if page.kind != PageKind::Resolve
            && let Some(alert) = self.alerts.get_mut(&page.alert_key)
        {
            alert.late_until = Some(until.plus_ms(i64::try_from(lease_ms).unwrap_or(i64::MAX)));
            alert.reached |= page.kind == PageKind::Trigger;
        }
    }

    /// Says the end of an alert once more, when what was on its way before has had its time to arrive.
    pub(crate) fn resolve_once_more(&mut self, desk: &mut Desk, i: usize, lease_ms: u64) {
        let page = &self.pages[i];
        let Some(alert) = self.alerts.get_mut(&page.alert_key) else { return };
        let late_until = alert.late_until.take();
        if !std::mem::take(&mut alert.haunted) && late_until.is_none_or(|late| late <= desk.now) {
            return;
        }
        if mutant::is(Mutant::ResolveNotRepeated) {
            return;
        }
        let (to, generation) = (alert.addressed(), page.generation);
        desk.count.resolves_repeated += 1;
        let intent = Intent::of(PageKind::Resolve, &to, generation, None);
        let known = self.pages.len();
        self.intend_as(desk, &intent, "resolve/again");
        if self.pages.len() > known {
            let reason = "what was sent before may have opened it again".to_owned();
            let at = desk.now.plus_ms(i64::try_from(lease_ms).unwrap_or(i64::MAX));
            self.enter(desk, known, PageState::Retrying { at, reason: reason.clone() }, Some(&reason));
        }
    }

    /// People had stopped its calls, wherever that was: who is called from now on is called again.
    pub(crate) fn call_anew(&mut self, desk: &Desk) {
        for alert in self.alerts.values_mut() {
            alert.anew |= alert.open && desk.current.manner(&alert.receiver) == Manner::CallsOnce;
        }
    }
}
