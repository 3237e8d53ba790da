//! The commands that need nothing but this machine: check, init, token, completions.

use std::path::{Path, PathBuf};

use escalate::schedule::{Gap, Span};
use runtime::clock::Clock;
use wire::Zone;

use crate::args::{CheckArgs, ConfigArgs, InitArgs, TokenArgs};
use crate::config::{self, Checked, TEMPLATE, audit, link};
use crate::failure::{Failure, Kind};
use crate::term::{Look, Out};

/// # Errors
/// Every fault of the config, as one text.
pub(crate) fn check(args: &CheckArgs, out: &Out) -> Result<(), Failure> {
    let CheckArgs { config: ConfigArgs { config: file }, without_secrets } = args;
    let load = if *without_secrets { config::load_without_secrets } else { config::load };
    match load(file) {
        Ok(checked) => {
            let (c, bundle) = (&checked.config, checked.policy.bundle());
            if out.json {
                out.json(&serde_json::json!({"valid": true, "digest": checked.judge.digest(), "faults": []}));
                return Ok(());
            }
            let file = file.display();
            out.line(out.paint(Look::Green, format!("{file} is right")));
            let log = c.log.brokers.as_ref().map_or_else(
                || format!("embedded log in {} (one process)", checked.dir.join(&c.log.path).display()),
                |brokers| format!("Kafka at {brokers}"),
            );
            out.line(format!("  log         {log}"));
            out.line(format!(
                "  budget      false pages a week for the whole fleet: {}, false tickets: {}",
                c.budget.pages_per_week, c.budget.tickets_per_week
            ));
            let references = match checked.references.len() {
                0 => "learned from the first healthy panes".to_owned(),
                n => format!("{n} pinned"),
            };
            out.line(format!("  references  {references}"));
            out.line(format!(
                "  routing     routes: {}, policies: {}, receivers: {}",
                bundle.route.len(),
                bundle.policy.len(),
                c.receiver.len()
            ));
            if let Some(folder) = &c.response {
                out.line(format!(
                    "  response    {}: people: {}, teams: {}, roles: {}, templates: {}; digest {}",
                    folder.display(),
                    bundle.people.person.len(),
                    bundle.people.team.len(),
                    bundle.people.role.len(),
                    bundle.templates.len(),
                    checked.policy.digest()
                ));
            }
            schedules(&checked).into_iter().for_each(|said| out.line(format!("  schedules   {said}")));
            let [people, links] = if *without_secrets {
                ["pseudonyms", "links"].map(|what| format!("{what} not looked at (--without-secrets)"))
            } else {
                [people(&checked), link::described(&checked)]
            };
            out.line(format!("  people      {people}"));
            out.line(format!("  http        {}", c.http.address));
            out.line(format!("  links       {links}"));
            out.line(format!("  digest      {}", checked.judge.digest()));
            Ok(())
        }
        Err(faults) if out.json => {
            out.json(&serde_json::json!({"valid": false, "faults": faults}));
            Err(Failure::new(Kind::No, ""))
        }
        Err(faults) => Err(faults.into()),
    }
}

/// How far ahead it is told that nobody is on call.
const GAPS_MS: i64 = 28 * 86_400_000;

/// What there is of schedules, and the next time in which nobody is on call, where that may be.
fn schedules(checked: &Checked) -> Vec<String> {
    let all = checked.policy.schedules();
    if all.is_empty() {
        return vec![];
    }
    let now = Clock::start().now().wall;
    let span = Span { from: now, until: now.plus_ms(GAPS_MS) };
    let gaps = all.iter().filter_map(|(name, schedule)| {
        let gap = schedule.gap_within(span)?;
        Some(format!("{name}: nobody {}", Gap::Once(gap).says(schedule.zone())))
    });
    let known = format!("{}, on clocks of the time zone database {}", all.len(), Zone::database());
    std::iter::once(known).chain(gaps).collect()
}

/// Where the secret of people's pseudonyms comes from.
fn people(checked: &Checked) -> String {
    let log = &checked.config.log;
    let key = match (checked.people_key_given, &log.brokers) {
        (true, _) => "pseudonyms in the audit under the secret of [audit]".to_owned(),
        (false, None) => {
            let file = audit::key_file(&checked.dir.join(&log.path));
            format!("pseudonyms in the audit under a secret in {}", file.display())
        }
        (false, Some(_)) => {
            "each process makes pseudonyms under a secret of its own: with several, give all the same \
                             one with [audit] people_key_env or people_key_file"
                .to_owned()
        }
    };
    match checked.config.audit.forget.len() {
        0 => key,
        n => format!("{key}; names to forget: {n}"),
    }
}

/// Writes files, and the folders that they stand in.
///
/// # Errors
/// When one is there and may not be overwritten: then none is written. When one cannot be.
pub(crate) fn write_new(files: &[(PathBuf, String)], force: bool) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(Kind::CannotStart, why);
    if let Some((there, _)) = files.iter().find(|(path, _)| path.exists() && !force) {
        return Err(failed(format!("{} is there already; --force overwrites it", there.display())));
    }
    for (path, text) in files {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        let written =
            folder.map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, text));
        written.map_err(|e| failed(format!("{}: {e}", path.display())))?;
    }
    Ok(())
}

/// # Errors
/// When the file is there already, or cannot be written.
pub(crate) fn init(args: &InitArgs, out: &Out) -> Result<(), Failure> {
    let text = if args.response { config::with_response() } else { TEMPLATE.to_owned() };
    if args.path == Path::new("-") {
        out.line(text.trim_end());
        return Ok(());
    }
    let dir = args.path.parent().unwrap_or(Path::new(".")).join("response");
    let mut files = vec![(args.path.clone(), text)];
    if args.response {
        files.extend(config::response::starting(&dir));
    }
    write_new(&files, args.force)?;
    if out.json {
        let written: Vec<_> = files.iter().map(|(path, _)| path).collect();
        out.json(&serde_json::json!({"written": written}));
    } else {
        let file = args.path.display();
        let with = if args.response { format!(" and {}", dir.display()) } else { String::new() };
        out.line(format!(
            "{file}{with} written. Next: `tocsin check --config {file}`, `tocsin run --config {file}`"
        ));
    }
    Ok(())
}

/// # Errors
/// When the role is unknown, or the system gives no randomness.
pub(crate) fn token(args: &TokenArgs, out: &Out) -> Result<(), Failure> {
    if args.role.is_none() && !args.ingest {
        return Err(Failure::new(
            Kind::Usage,
            "a token needs --role, --ingest or both: without, it could do nothing",
        ));
    }
    let roles = wire::command::Role::ALL.map(wire::command::Role::name);
    if let Some(role) = &args.role
        && !roles.contains(&role.as_str())
    {
        return Err(Failure::new(Kind::Usage, format!("--role {role} is none of {}", roles.join(", "))));
    }
    let random = crate::secrets::random::<32>().map_err(|e| Failure::new(Kind::CannotStart, e))?;
    let http_api::NewToken { token, sha256 } = http_api::generate_token(random);
    if out.json {
        out.json(&serde_json::json!({"token": token, "sha256": sha256, "name": args.name, "role": args.role, "ingest": args.ingest}));
        return Ok(());
    }
    out.line(format!(
        "{token}\n\nShown this once. What tocsin keeps is its hash; put this into the config:\n"
    ));
    out.line(format!("[[http.token]]\nname = {:?}", args.name));
    if let Some(role) = &args.role {
        out.line(format!("role = \"{role}\""));
    }
    if args.ingest {
        out.line("ingest = true");
    }
    out.line(format!("sha256 = \"{sha256}\""));
    Ok(())
}
