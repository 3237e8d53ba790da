//! Incidents as a flood of them comes, whom they page, and a receiver that notes when the first byte of a page is here.

use std::fmt::Write as _;
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::Sender;
use std::time::Instant;

use crate::web::{listen, read_request};
use wire::incident::Context;
use wire::{Change, Effect, Evidence, Family, Incident, IncidentId, Severity, Source, Subject, Timestamp};

/// The secret of the webhook that [`config`] names, in the form of Standard Webhooks.
pub const SECRET: &str = "whsec_YSBzZWNyZXQgdGhhdCBvbmx5IHRoZSBiZW5jaCBoYXMu";

/// One of many incidents, of one of `owners` owners.
#[must_use]
pub fn incident(namespace: &str, n: usize, owners: usize, at: Timestamp) -> Incident {
    let subject = Subject::model(format!("model-{n}"), "1");
    Incident {
        incident_id: IncidentId::new(format!("flood{n}")),
        generation: 1,
        sequence: 1,
        change: Change::Opened,
        namespace: namespace.into(),
        source: Source::Detector,
        severity: Severity::Sev2,
        family: Family::Latency,
        subject,
        opened_at: at,
        changed_at: at,
        title: format!("model-{n} 1 is slow: 31 % of requests take longer than 96 ms, normally 5 %"),
        evidence: Evidence {
            statistic: "latency.share_over".into(),
            value: 0.31,
            reference: 0.05,
            unit: "share".into(),
            effect: Effect { estimate: 0.26, lower: 0.18, upper: 0.34 },
            evidence: 4.2,
            samples: 120,
            window: [at.plus_ms(-60_000), at],
            contributors: vec![],
            profile: None,
        },
        context: Context { owner: Some(owner(n % owners)), ..Context::default() },
        drill: false,
    }
}

fn owner(n: usize) -> String {
    format!("team-{n}")
}

/// The config that `tocsin init` writes, with a policy and a target of the webhook at `url` for each owner.
///
/// # Panics
/// Never: writing to a string.
#[must_use]
pub fn config(text: &str, url: &str, secret_file: &str, owners: usize) -> String {
    let (mut routes, mut policies) = (String::new(), String::new());
    for n in 0..owners {
        let owner = owner(n);
        writeln!(routes, "[[route]]\nowner = [\"{owner}\"]\npolicy = \"{owner}\"\n").expect("a string");
        writeln!(
            policies,
            "[policy.{owner}]\nsteps = [{{ targets = [\"hook/{owner}\"], delay_s = 3600 }}]\n"
        )
        .expect("a string");
    }
    let receiver = format!(
        "[receiver.hook]\ntype = \"webhook\"\nurl = \"{url}\"\nallow_private = true\nsecret_file = \"{secret_file}\"\n\n"
    );
    let limits = "[escalate]\nincidents_max = 1000000\n\n";
    text.replacen("[[route]]\n", &format!("{routes}[[route]]\n"), 1)
        .replace("[receiver.inbox]\n", &format!("{policies}{limits}{receiver}[receiver.inbox]\n"))
}

/// Takes every page, and says of each incident when the first byte of its page came. Ends with its process.
///
/// # Panics
/// Without a free port.
#[must_use]
pub fn receive(arrived: Sender<(usize, Instant)>) -> String {
    listen(move |stream| serve(stream, &arrived))
}

fn serve(mut stream: &TcpStream, arrived: &Sender<(usize, Instant)>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some((first, body)) = read_request(&mut reader)? {
        let body = String::from_utf8_lossy(&body);
        let id = body.split_once("\"flood").and_then(|(_, rest)| rest.split('"').next()?.parse().ok());
        if let Some(id) = id {
            // Nobody may be listening any more.
            arrived.send((id, first)).unwrap_or_default();
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
    Ok(())
}
