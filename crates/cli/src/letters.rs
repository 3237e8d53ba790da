//! `tocsin deadletters`: what could not be read, and why.

use http_api::DeadLetterPage;

use crate::args::{DeadLettersArgs, Global};
use crate::client::Client;
use crate::failure::{Failure, Kind};
use crate::term::{Look, Out, thousands, visible};

/// # Errors
/// When the server does not answer, or refuses.
pub(crate) fn list(args: &DeadLettersArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    let answer = Client::new(global)?.get(&format!("/v1/deadletters?limit={}", args.limit))?;
    let page: DeadLetterPage = serde_json::from_value(answer)
        .map_err(|e| Failure::new(Kind::Unreachable, format!("the answer cannot be read: {e}")))?;
    if out.json {
        page.letters.iter().for_each(|letter| out.json(letter));
        return Ok(());
    }
    if page.letters.is_empty() {
        out.line("No dead letter is kept: every record of the last 14 days could be read.");
        return Ok(());
    }
    if page.next.is_some() {
        out.line(out.paint(Look::Dim, format!("The last {}; --limit shows more.", page.letters.len())));
    }
    let place = |e: &http_api::DeadLetterEntry| {
        format!("{}/{} at {}", visible(&e.letter.topic), e.letter.partition, e.letter.offset)
    };
    let width = page.letters.iter().map(|e| place(e).chars().count()).max().unwrap_or(0) + 2;
    out.line(out.paint(
        Look::Dim,
        format!("{:<26}{:<width$}{:<13}{:>10}  WHAT WAS WRONG", "TIME", "RECORD", "REASON", "BYTES"),
    ));
    for entry in &page.letters {
        let at = entry.at.map_or_else(|| "–".to_owned(), |at| at.to_string());
        let (letter, place) = (&entry.letter, place(entry));
        out.line(format!(
            "{at:<26}{place:<width$}{:<13}{:>10}  {}",
            letter.reason.name(),
            thousands(letter.bytes),
            visible(&letter.detail)
        ));
    }
    Ok(())
}
