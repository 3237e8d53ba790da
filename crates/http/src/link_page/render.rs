//! The page of a link: one form, no script, nothing from elsewhere.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use wire::link::{Link, LinkAction};
use wire::page::PageKind;
use wire::response::{Response, ResponseChange};
use wire::{Incident, SubjectKind, Timestamp};

use super::html::Html;
use super::shown::{Other, Others, Sent, Shown, distance, moment, number};

const STYLE: &str = include_str!("style.css");
/// What moved most comes first, and nobody reads forty on a phone.
const CONTRIBUTORS_MAX: usize = 6;
/// Entries of the timeline, the latest.
const TIMELINE_MAX: usize = 40;

/// Nothing but this style, and a form to where the page is.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// What became of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Done(LinkAction),
    /// Durable, and not answered yet.
    Waiting,
    /// Written down, and it stops nothing yet.
    Noted(String),
    Refused(String),
}

/// What a page is made of, beside the incident.
pub(super) struct Around<'a> {
    pub(super) link: &'a Link,
    /// What the same message told of.
    pub(super) others: &'a Others,
    pub(super) notice: Option<&'a Notice>,
    /// What was typed and not taken.
    pub(super) draft: &'a str,
    /// Tells two submissions of the same form from two forms.
    pub(super) nonce: String,
    pub(super) now: Timestamp,
}

/// The page of an incident.
pub(super) fn incident(shown: &Shown, around: &Around<'_>) -> String {
    let incident = &shown.incident;
    let mut page = Html::default();
    let title = format!("{} {}", incident.severity.name().to_uppercase(), incident.title);
    begin(&mut page, &title, around.notice == Some(&Notice::Waiting));
    if let Some(notice) = around.notice {
        told(&mut page, notice);
    }
    head(&mut page, shown, around);
    if current(shown, around.link) {
        form(&mut page, shown, around);
    } else {
        page.raw("<p class=\"notice bad\" role=\"status\">This link is of an earlier alert of this incident, which came back since. \
                  Use the link in the later message to answer it.</p>");
    }
    others(&mut page, around.others);
    facts(&mut page, shown, around.now);
    timeline(&mut page, shown);
    page.raw("<footer><p>You act as <b>")
        .text(&around.link.person)
        .raw("</b>. The link works for this incident alone, until ");
    time(&mut page, around.link.expires_at);
    page.raw(": whoever has it may do the same.</p><p>tocsin · incident ")
        .text(incident.incident_id.as_str());
    page.raw("</p></footer>");
    end(page)
}

/// A page that says why there is nothing to see.
pub(super) fn plain(title: &str, text: &str) -> String {
    let mut page = Html::default();
    begin(&mut page, title, false);
    page.raw("<header><h1>").text(title).raw("</h1><p>").text(text).raw("</p></header>");
    end(page)
}

/// The page of an incident that another process has. Nothing is typed here, so that asking again loses nothing.
pub(super) fn elsewhere(link: &Link, said: bool, nonce: &str) -> String {
    let mut page = Html::default();
    begin(&mut page, "This process does not show the incident", true);
    if said {
        page.raw("<p class=\"notice good\" role=\"status\">Kept, and handed on to the process that has the incident, \
                  if it is still open. What became of it is shown once a process answers that has it.</p>");
    }
    page.raw("<header><h1>This process does not show the incident</h1><p>It may well be open: another process has it, or this one \
              has just started. This page asks again every two seconds.</p></header>");
    if link.actions.may(LinkAction::Acknowledge) && !said {
        page.raw(
            "<section><form method=\"post\" action=\"?\"><input type=\"hidden\" name=\"nonce\" value=\"",
        );
        page.text(nonce).raw("\"><button class=\"first\" name=\"do\" value=\"");
        page.raw(LinkAction::Acknowledge.name()).raw("\">Acknowledge: I have it</button></form>");
        page.raw("<p class=\"soft\">It is handed on to the process that has the incident.</p></section>");
    }
    page.raw("<footer><p>You act as <b>").text(&link.person).raw("</b>.</p><p>tocsin · incident ");
    page.text(link.incident_id.as_str()).raw("</p></footer>");
    end(page)
}

/// Whether the link is of the alert that is open now.
pub(super) fn current(shown: &Shown, link: &Link) -> bool {
    shown.incident.generation == link.generation
}

fn begin(page: &mut Html, title: &str, again: bool) {
    page.raw("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.raw("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"robots\" content=\"noindex\">");
    if again {
        page.raw("<meta http-equiv=\"refresh\" content=\"2\">");
    }
    page.raw("<title>").text(title).raw("</title><style>").raw(STYLE).raw("</style></head><body><main>");
}

fn end(mut page: Html) -> String {
    page.raw("</main></body></html>\n");
    page.into_string()
}

fn told(page: &mut Html, notice: &Notice) {
    match notice {
        Notice::Done(action) => {
            page.raw("<p class=\"notice good\" role=\"status\">").text(done(*action)).raw("</p>");
        }
        Notice::Waiting => {
            page.raw("<p class=\"notice good\" role=\"status\">Kept. It takes effect in a moment; this page looks again.</p>");
        }
        Notice::Noted(why) => {
            page.raw("<p class=\"notice bad\" role=\"status\">Written down: ").text(why).raw(".</p>");
        }
        Notice::Refused(why) => {
            page.raw("<p class=\"notice bad\" role=\"alert\">Not done: ").text(why).raw(".</p>");
        }
    }
}

const fn done(action: LinkAction) -> &'static str {
    match action {
        LinkAction::Acknowledge => "You acknowledged it.",
        LinkAction::Mitigate => "You said that the harm is contained for now.",
        LinkAction::Resolve => "You resolved it.",
        LinkAction::Note => "Your note is in the timeline.",
    }
}

fn head(page: &mut Html, shown: &Shown, around: &Around<'_>) {
    let incident = &shown.incident;
    page.raw("<header><p><span class=\"tag ").raw(incident.severity.name()).raw("\">");
    page.text(&incident.severity.name().to_uppercase()).raw("</span>");
    if incident.drill {
        page.raw("<span class=\"tag\">DRILL</span>");
    }
    page.raw("<span class=\"tag soft\">")
        .text(&shown.stage)
        .raw("</span></p><h1>")
        .text(&incident.title)
        .raw("</h1><p>");
    let (owner, now) = (shown.owner.as_deref(), around.now);
    match shown.stage.as_str() {
        "acknowledged" => holds(page, owner, " has it", shown.acknowledged_until, now),
        "mitigated" => holds(page, owner, " has contained it", shown.mitigated_until, now),
        "resolved" | "closed" => {
            page.raw("Done").raw(if shown.done_by.is_some() { ", said " } else { "." });
            page.text(shown.done_by.as_deref().unwrap_or_default());
            page.raw(if shown.done_by.is_some() { "." } else { "" });
        }
        _ => {
            page.raw("<b>Nobody has it yet.</b>");
            if let Some(to) = &shown.assigned_to {
                page.raw(" It was handed to <b>").text(to).raw("</b>.");
            }
        }
    }
    page.raw("</p></header>");
}

fn holds(page: &mut Html, owner: Option<&str>, how: &'static str, until: Option<Timestamp>, now: Timestamp) {
    page.raw("<b>").text(owner.unwrap_or("somebody")).raw("</b>").raw(how);
    if let Some(until) = until {
        page.raw(" until ");
        time(page, until);
        page.raw(" <span class=\"soft\">(").text(&distance(until, now)).raw(")</span>");
    }
    page.raw(".");
}

fn form(page: &mut Html, shown: &Shown, around: &Around<'_>) {
    let actions: Vec<_> =
        shown.left_to_do().iter().copied().filter(|action| around.link.actions.may(*action)).collect();
    if actions.is_empty() {
        return;
    }
    // The address is that of the page, without what it said last.
    page.raw("<section><form method=\"post\" action=\"?\"><input type=\"hidden\" name=\"nonce\" value=\"");
    page.text(&around.nonce).raw("\">");
    // Who was woken by it finds this without looking for it; a note is written before it is sent.
    let (first, others) = match actions.split_first() {
        Some((first, others)) if *first != LinkAction::Note => (Some(first), others),
        Some(_) | None => (None, actions.as_slice()),
    };
    if let Some(first) = first {
        button(page, *first, "first", shown, around);
    }
    page.raw(
        "<label for=\"text\">Note or reason <span class=\"soft\">(goes with any of these)</span></label>",
    );
    page.raw("<textarea id=\"text\" name=\"text\" maxlength=\"4000\">").text(around.draft).raw("</textarea>");
    if actions.contains(&LinkAction::Resolve) {
        page.raw("<label class=\"check\"><input type=\"checkbox\" name=\"not_actionable\" value=\"1\">");
        page.raw("<span>When resolving: there was nothing to do about it</span></label>");
    }
    page.raw("<div class=\"buttons\">");
    for action in others {
        button(page, *action, "", shown, around);
    }
    page.raw("</div></form></section>");
}

fn button(page: &mut Html, action: LinkAction, class: &'static str, shown: &Shown, around: &Around<'_>) {
    page.raw("<button class=\"").raw(class).raw("\" name=\"do\" value=\"").raw(action.name()).raw("\">");
    page.raw(label(action, shown, &around.link.person)).raw("</button>");
}

fn label(action: LinkAction, shown: &Shown, person: &str) -> &'static str {
    let mine = shown.owner.as_deref() == Some(person);
    match (action, shown.stage.as_str()) {
        (LinkAction::Acknowledge, "acknowledged") if mine => "Hold it longer",
        (LinkAction::Acknowledge, "acknowledged") => "Take it over",
        (LinkAction::Acknowledge, _) => "Acknowledge: I have it",
        (LinkAction::Mitigate, "mitigated") => "Contained for longer",
        (LinkAction::Mitigate, _) => "Mitigated",
        (LinkAction::Resolve, _) => "Resolve",
        (LinkAction::Note, _) => "Add note",
    }
}

/// The rest of a message that went for several incidents: each has its own page.
fn others(page: &mut Html, others: &Others) {
    if others.of.is_empty() {
        return;
    }
    page.raw("<section><h2>In the same message</h2><ul class=\"others\">");
    for Other { severity, title, stage, token } in &others.of {
        page.raw("<li><span class=\"tag ")
            .raw(severity.name())
            .raw("\">")
            .text(&severity.name().to_uppercase());
        page.raw("</span> ");
        match token {
            // Where we are, wherever a proxy has put it: the address is relative.
            Some(token) => page.raw("<a href=\"").text(token).raw("\">").text(title).raw("</a>"),
            None => page.text(title),
        };
        page.raw(" <span class=\"soft\">").text(stage).raw("</span></li>");
    }
    if let Some(next) = others.next {
        page.raw("<li><a href=\"?others=").shown(next).raw("\">and more</a> <span class=\"soft\">of ");
        page.shown(others.total).raw("</span></li>");
    }
    page.raw("</ul></section>");
}

fn facts(page: &mut Html, shown: &Shown, now: Timestamp) {
    let incident = &shown.incident;
    page.raw("<section><h2>What is known</h2><dl>");
    what(page, incident);
    page.raw("<dt>Where</dt><dd>");
    place(page, incident);
    page.raw("</dd><dt>Since</dt><dd>");
    time(page, incident.opened_at);
    page.raw(" <span class=\"soft\">(").text(&distance(incident.opened_at, now)).raw(")</span>");
    if shown.signal == "cleared" {
        page.raw(", cleared ");
        time(page, incident.changed_at);
    }
    page.raw("</dd><dt>Evidence</dt><dd>");
    evidence(page, incident);
    page.raw("</dd><dt>Next</dt><dd>");
    next(page, shown, now);
    page.raw("</dd></dl></section>");
}

fn what(page: &mut Html, incident: &Incident) {
    let e = &incident.evidence;
    page.raw("<dt>What</dt><dd>").text(&e.statistic).raw(" is <b>").text(&number(e.value, &e.unit));
    page.raw("</b>, normally ").text(&number(e.reference, &e.unit)).raw("</dd>");
}

fn place(page: &mut Html, incident: &Incident) {
    let subject = &incident.subject;
    let kind = match subject.kind {
        SubjectKind::Model => "model ",
        SubjectKind::Dataset => "dataset ",
        SubjectKind::Dependency => "dependency ",
        SubjectKind::Platform => "platform ",
    };
    page.raw(kind).raw("<b>").text(&subject.name).raw("</b>");
    for (name, part) in [(", version ", &subject.version), (", segment ", &subject.segment)] {
        if let Some(part) = part {
            page.raw(name).raw("<b>").text(part).raw("</b>");
        }
    }
    match &incident.context.owner {
        Some(owner) => page.raw(", owned by <b>").text(owner).raw("</b>"),
        None => page.raw(", without an owner"),
    };
}

fn evidence(page: &mut Html, incident: &Incident) {
    let e = &incident.evidence;
    page.raw("off by ").text(&number(e.effect.estimate, &e.unit)).raw(" (between ");
    page.text(&number(e.effect.lower, &e.unit)).raw(" and ").text(&number(e.effect.upper, &e.unit));
    page.raw("), ").shown(e.samples).raw(" records, D = ").text(&number(e.evidence, ""));
    page.raw(" <span class=\"soft\">(an alarm is at 1)</span><ul>");
    for c in e.contributors.iter().take(CONTRIBUTORS_MAX) {
        page.raw("<li>").text(&c.name).raw(": ").text(&c.detail).raw("</li>");
    }
    if let Some(more) = e.contributors.len().checked_sub(CONTRIBUTORS_MAX).filter(|n| *n > 0) {
        page.raw("<li class=\"soft\">and ").shown(more).raw(" more</li>");
    }
    for d in &incident.context.deployments {
        page.raw("<li>deployment: ")
            .text(&d.model)
            .raw(" ")
            .text(&d.version)
            .raw(" ")
            .text(&d.change)
            .raw(", ");
        time(page, d.event_time);
        if let Some(by) = &d.by {
            page.raw(" by ").text(by);
        }
        page.raw("</li>");
    }
    page.raw("</ul>");
    if incident.context.incomplete {
        page.raw("<p class=\"soft\">Some of the data behind it is missing.</p>");
    }
}

fn next(page: &mut Html, shown: &Shown, now: Timestamp) {
    if let Some(at) = shown.respond_by {
        page.raw("unless whoever has it writes a note, mitigates or resolves, the next step is paged at ");
        time(page, at);
        page.raw("<br>");
    }
    if let Some(at) = shown.snoozed_until {
        page.raw("snoozed: nobody is paged until ");
        time(page, at);
        page.raw("<br>");
    }
    let at = shown.next_step_at.or(shown.acknowledged_until).or(shown.mitigated_until);
    match (shown.stage.as_str(), at) {
        ("resolved" | "closed", _) => {
            page.raw("nothing");
        }
        ("open", Some(at)) => {
            page.raw("unless somebody takes it, the next step is paged at ");
            time(page, at);
            page.raw(" <span class=\"soft\">(").text(&distance(at, now)).raw(")</span>");
        }
        ("open", None) if shown.snoozed_until.is_some() => {
            page.raw("then it pages from the first step");
        }
        ("open", None) => {
            page.raw("nobody else is paged by a timer");
        }
        (_, Some(at)) => {
            page.raw("it is paged again from the first step at ");
            time(page, at);
            page.raw(", unless it is over by then");
        }
        (_, None) => {
            page.raw("nothing by a timer");
        }
    }
    page.raw("<br><span class=\"soft\">Playbook: none yet</span>");
}

/// Pages and people's steps in one order.
fn timeline(page: &mut Html, shown: &Shown) {
    enum Entry<'a> {
        Page(&'a Sent),
        Step(&'a Response),
    }
    let pages = shown.pages.iter().map(|sent| (sent.decided_at, Entry::Page(sent)));
    let steps = shown.timeline.iter().map(|step| (step.at, Entry::Step(step)));
    let mut entries: Vec<_> = steps.chain(pages).collect();
    // Stable: at the same moment the step comes before the pages that it caused.
    entries.sort_by_key(|(at, _)| *at);
    page.raw("<section><h2>So far</h2><ul class=\"log\">");
    let earlier = entries.len().saturating_sub(TIMELINE_MAX);
    if earlier > 0 {
        page.raw("<li><span></span><span class=\"soft\">")
            .shown(earlier)
            .raw(" earlier entries are not shown</span></li>");
    }
    for (at, entry) in entries.into_iter().skip(earlier) {
        page.raw("<li>");
        time(page, at);
        page.raw("<span class=\"said\">");
        match entry {
            Entry::Page(sent) => paged(page, sent),
            Entry::Step(step) => stepped(page, step),
        }
        page.raw("</span></li>");
    }
    page.raw("</ul></section>");
}

fn paged(page: &mut Html, sent: &Sent) {
    page.raw(match sent.kind {
        PageKind::Trigger => "paged ",
        PageKind::Acknowledge => "told of the acknowledgement: ",
        PageKind::Update => "told of news: ",
        PageKind::Resolve => "told that it is over: ",
    });
    page.raw("<b>").text(&sent.target).raw("</b> by ").text(&sent.receiver);
    page.raw(" <span class=\"soft\">(").text(&sent.state.is).raw(")</span>");
}

fn stepped(page: &mut Html, step: &Response) {
    page.raw(match step.change {
        ResponseChange::Opened => "opened",
        ResponseChange::Acknowledged => "acknowledged",
        ResponseChange::Seen => "seen",
        ResponseChange::Unanswered => "no answer in time",
        ResponseChange::Snoozed => "snoozed",
        ResponseChange::Muted => "muted",
        ResponseChange::Assigned => "handed over",
        ResponseChange::Merged => "merged",
        ResponseChange::Repinned => "put under the policies of today",
        ResponseChange::AcknowledgementExpired => "the acknowledgement ran out",
        ResponseChange::Mitigated => "mitigated",
        ResponseChange::Resolved => "resolved",
        ResponseChange::Closed => "closed",
        ResponseChange::Noted => "note",
    });
    if step.not_actionable {
        page.raw(", not actionable");
    }
    if let Some(to) = &step.to {
        page.raw(" to <b>").text(to).raw("</b>");
    }
    page.raw(" by <b>").text(&step.by).raw("</b>");
    if let Some(why) = &step.why {
        page.raw(": ").text(why);
    }
}

fn time(page: &mut Html, at: Timestamp) {
    page.raw("<time datetime=\"").shown(at).raw("\">").text(&moment(at)).raw("</time>");
}

#[cfg(test)]
mod tests;
