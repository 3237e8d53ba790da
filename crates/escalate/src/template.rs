//! Pages in words: a template for each audience, checked when it is loaded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use wire::page::{Folded, FoldedIncident, Page, PageKind, PageText};
use wire::text::{clip, printable};

use crate::config::ENGINEER;
use facts::Facts;

mod facts;

/// For whom there is no template of their own.
const DEFAULT: &str = "default";

/// What there is without a file.
pub const BUILT_IN: [(&str, &str); 3] = [
    (ENGINEER, include_str!("template/engineer.txt")),
    ("scientist", include_str!("template/scientist.txt")),
    ("business", include_str!("template/business.txt")),
];

/// Longest title and body, in bytes: less than any receiver that shows them takes.
const TITLE_MAX: usize = 300;
const BODY_MAX: usize = 8000;

/// Longest template, in bytes, and how many there may be.
pub(crate) const TEMPLATE_MAX: usize = 16_000;
pub(crate) const TEMPLATES_MAX: usize = 200;

/// Steps that one rendering may take: a loop within a loop over what moved is a tenth of it.
const FUEL: u64 = 100_000;

/// What a page that calls somebody must say, and by which name a template knows it.
const MUST: [&str; 4] = ["what", "where", "since", "next"];

/// All templates of a bundle, the built-in ones among them.
#[derive(Clone)]
pub(crate) struct Templates(Arc<Environment<'static>>);

/// What is wrong with a template.
#[derive(Debug)]
pub(crate) struct BadTemplate {
    pub(crate) name: String,
    pub(crate) why: String,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.templates().map(|(name, _)| name)).finish()
    }
}

impl Templates {
    /// # Errors
    /// Every template that cannot be used.
    pub(crate) fn new(own: &BTreeMap<String, String>) -> Result<Self, Vec<BadTemplate>> {
        let mut env = Environment::new();
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_fuel(Some(FUEL));
        let mut bad = Vec::new();
        let texts = BUILT_IN.map(|(name, text)| (name.to_owned(), text.to_owned()));
        for (name, text) in texts.into_iter().chain(own.clone()) {
            if let Err(error) = env.add_template_owned(name.clone(), text) {
                bad.push(BadTemplate { name, why: says(&error) });
            }
        }
        let templates = Self(Arc::new(env));
        for name in own.keys().filter(|name| !bad.iter().any(|b| b.name == **name)).collect::<Vec<_>>() {
            if let Err(why) = templates.lint(name) {
                bad.push(BadTemplate { name: name.clone(), why });
            }
        }
        if bad.is_empty() { Ok(templates) } else { Err(bad) }
    }

    /// Whether somebody of this audience is spoken to in words of their own.
    pub(crate) fn knows(&self, audience: &str) -> bool {
        self.0.get_template(audience).is_ok()
    }

    /// Tries a template on pages of every kind that it is for, with everything there can be, and with nothing.
    fn lint(&self, name: &str) -> Result<(), String> {
        let kind = name.split_once('.').map(|(_, kind)| kind);
        for page in facts::samples() {
            if kind.is_some_and(|kind| kind != page.kind.name()) {
                continue;
            }
            let facts = Facts::of(&page, "Ada", &wire::Zone::UTC);
            let text = self.render(name, &Value::from(Serde(&facts))).map_err(|error| says(&error))?;
            if text.title.is_empty() {
                return Err("its first line is the title of the page, and it is empty".into());
            }
            let said = format!("{}\n{}", text.title, text.body);
            let missing: Vec<_> = MUST
                .iter()
                .zip(facts.must())
                .filter(|(_, value)| page.kind == PageKind::Trigger && !said.contains(value))
                .map(|(name, _)| format!("{{{{ {name} }}}}"))
                .collect();
            if !missing.is_empty() {
                let missing = missing.join(", ");
                return Err(format!("a page that calls somebody must say {missing}: put it in"));
            }
            if text.body.len() > BODY_MAX / 2 {
                return Err(format!(
                    "it makes {} bytes of a usual page; the most is {BODY_MAX}",
                    text.body.len()
                ));
            }
        }
        Ok(())
    }

    /// The words of a page for whoever reads it: by the template of their audience and of this kind of page, of their
    /// audience, of this kind, or of all.
    pub(crate) fn words(&self, page: &Page, reader: &crate::policy::Reader) -> PageText {
        let kind = page.kind.name();
        let facts = Facts::of(page, &reader.name, &reader.zone);
        let value = Value::from(Serde(&facts));
        let names = [
            format!("{}.{kind}", reader.audience),
            reader.audience.clone(),
            format!("{DEFAULT}.{kind}"),
            DEFAULT.to_owned(),
            ENGINEER.to_owned(),
        ];
        let mut rendered = names.iter().filter(|name| self.knows(name)).map(|name| self.render(name, &value));
        // What was linted can still fail on what nobody thought of: then the built-in words must do.
        let plain = || PageText { title: page.incident.title.clone(), body: facts.must().join("\n") };
        let text = rendered.find_map(Result::ok).unwrap_or_else(plain);
        match &page.folded {
            Some(folded) => for_several(text, folded),
            None => text,
        }
    }

    fn render(&self, name: &str, facts: &Value) -> Result<PageText, minijinja::Error> {
        let text = self.0.get_template(name)?.render(facts)?;
        let (title, body) = text.trim().split_once('\n').unwrap_or((text.trim(), ""));
        Ok(PageText {
            title: clip(title.trim(), TITLE_MAX).into_owned(),
            body: clip(body.trim(), BODY_MAX).into_owned(),
        })
    }
}

/// The words of a page that speaks for others too. No template can leave them out.
fn for_several(text: PageText, folded: &Folded) -> PageText {
    let PageText { title, body } = text;
    let others = folded.others;
    let mut said = format!("Besides this one, {others} more ");
    said.push_str(if others == 1 {
        "came in the meantime:"
    } else {
        "came in the meantime, the worst first:"
    });
    for other in &folded.listed {
        let FoldedIncident { severity, incident_id, title } = other;
        let line = format!("\n- {} {} ({incident_id})", severity.name(), printable(title));
        said.push_str(&line);
    }
    let unlisted = (others as usize).saturating_sub(folded.listed.len());
    if unlisted > 0 {
        said.push_str(&format!(
            "\n- and {unlisted} that are not listed here: the page of this incident lists all"
        ));
    }
    let body = clip(&body, BODY_MAX - said.len().min(BODY_MAX / 2)).into_owned();
    PageText {
        title: clip(&format!("{} incidents: {title}", u64::from(others) + 1), TITLE_MAX).into_owned(),
        body: format!("{body}\n\n{said}"),
    }
}

/// Where and what, without the name: whoever shows it knows that.
fn says(error: &minijinja::Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), |d| format!("{}: {d}", error.kind()));
    let unknown = error.kind() == minijinja::ErrorKind::UndefinedError;
    let what = if unknown { format!("{what}; known are {}", Facts::NAMES.join(", ")) } else { what };
    error.line().map_or_else(|| what.clone(), |line| format!("line {line}: {what}"))
}

#[cfg(test)]
mod tests;
