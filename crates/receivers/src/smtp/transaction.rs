//! One message to one recipient, from the greeting to the answer after the final dot.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wire::outbox::Outcome;

use super::dialogue::Dialogue;
use super::reply::{Hidden, Reply, Stage, outcome_of};
use super::{Smtp, SmtpTls};
use crate::client::Failure;
use crate::client::reach::{handshake, reach};
use crate::client::stream::Stream;
use crate::secret::Secret;

/// A name and its password.
pub(super) struct Login {
    pub(super) name: String,
    pub(super) password: Secret,
}

impl Login {
    /// As AUTH PLAIN sends it.
    fn plain(&self) -> String {
        STANDARD.encode(format!("\0{}\0{}", self.name, self.password.reveal()))
    }

    /// The password in every form in which a server is told it, and so may repeat it.
    fn forms(&self) -> [String; 3] {
        let password = self.password.reveal();
        [password.to_owned(), STANDARD.encode(password), self.plain()]
    }
}

/// What is to be sent.
pub(super) struct Mail<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) message: &'a [u8],
}

/// A server that is spoken to on someone's behalf.
struct Server<'a> {
    dialogue: Dialogue,
    who: &'a str,
    hidden: Hidden<'a>,
}

impl Server<'_> {
    /// Takes the next answer; one that is not wanted ends the attempt.
    async fn hear(&mut self, stage: Stage) -> Result<Reply, Outcome> {
        let reply = self.dialogue.reply().await.map_err(|why| self.lost(&why))?;
        match outcome_of(stage, &reply, self.who, &self.hidden) {
            None => Ok(reply),
            Some(outcome) => Err(outcome),
        }
    }

    /// Says a line and takes its answer.
    async fn ask(&mut self, stage: Stage, line: &str) -> Result<Reply, Outcome> {
        self.dialogue.say(line).await.map_err(|why| self.lost(&why))?;
        self.hear(stage).await
    }

    /// Before the final dot: a server that was cut off there has nothing.
    fn lost(&self, why: &str) -> Outcome {
        Outcome::Retry { reason: format!("{}: {why}", self.who) }
    }
}

impl Smtp {
    /// Hands `mail` to the server. `handed_over` becomes true just before the final dot leaves: until then nobody has it.
    pub(super) async fn transact(&self, mail: &Mail<'_>, handed_over: &mut bool) -> Result<(), Outcome> {
        let who = self.who();
        let failed = |failure| match failure {
            Failure::NotWritten(why) | Failure::NoAnswer(why) => {
                Outcome::Retry { reason: format!("{who}: {why}") }
            }
            Failure::Refused(why) => Outcome::Config { reason: format!("{who}: {why}") },
        };
        let dialogue = self.connect().await.map_err(failed)?;
        let hidden = Hidden {
            secrets: self.login.iter().flat_map(Login::forms).collect(),
            names: vec![mail.to, mail.to.split('@').next().unwrap_or_default()],
        };
        let mut server = Server { dialogue, who: &who, hidden };
        server.hear(Stage::Greeting).await?;
        let hello = format!("EHLO {}", self.domain);
        let mut offers = server.ask(Stage::Hello, &hello).await?;
        if self.mode == SmtpTls::Starttls {
            if !offers.offers("STARTTLS", "") {
                let why = "it does not offer STARTTLS, and nothing is sent in clear";
                return Err(Outcome::Config { reason: format!("{who}: {why}") });
            }
            server.ask(Stage::StartTls, "STARTTLS").await?;
            let Some(tls) = &self.tls else {
                return Err(Outcome::Config { reason: format!("{who}: TLS is not set up") });
            };
            server.dialogue = server.dialogue.secure(tls, &self.host).await.map_err(failed)?;
            // What it said in clear may have been said by another.
            offers = server.ask(Stage::Hello, &hello).await?;
        }
        if let Some(login) = &self.login {
            log_in(&mut server, &offers, login).await?;
        }
        if let Some(max) = offers.size_max().filter(|max| *max < mail.message.len()) {
            let bytes = mail.message.len();
            let reason = format!("{who} takes {max} bytes, and the message has {bytes}");
            return Err(Outcome::Reject { reason });
        }
        server.ask(Stage::Sender, &format!("MAIL FROM:<{}>", mail.from)).await?;
        server.ask(Stage::Recipient, &format!("RCPT TO:<{}>", mail.to)).await?;
        server.ask(Stage::Data, "DATA").await?;
        server.dialogue.write(&dots_doubled(mail.message)).await.map_err(|why| server.lost(&why))?;
        *handed_over = true;
        let after = |why: String| Outcome::Unknown { reason: format!("{who}: {why} after the message") };
        server.dialogue.write(b".\r\n").await.map_err(after)?;
        let reply = server.dialogue.reply().await.map_err(after)?;
        if let Some(outcome) = outcome_of(Stage::Message, &reply, &who, &server.hidden) {
            return Err(outcome);
        }
        // It has the message, whatever becomes of the goodbye.
        drop(server.dialogue.say("QUIT").await);
        Ok(())
    }

    async fn connect(&self) -> Result<Dialogue, Failure> {
        let secure = self.mode != SmtpTls::None;
        let stream = reach(&self.host, self.port, self.guard, secure).await?;
        // Short lines, each waiting for its answer. Where it cannot be set, it is slower.
        _ = stream.set_nodelay(true);
        Ok(Dialogue::new(match &self.tls {
            Some(tls) if self.mode == SmtpTls::Implicit => {
                Stream::Tls(Box::new(handshake(tls, &self.host, stream).await?))
            }
            Some(_) | None => Stream::Plain(stream),
        }))
    }
}

/// By PLAIN, or by LOGIN where the server knows only that.
async fn log_in(server: &mut Server<'_>, offers: &Reply, login: &Login) -> Result<(), Outcome> {
    let (name, password) = (&login.name, login.password.reveal());
    let last = if offers.offers("AUTH", "PLAIN") {
        let both = login.plain();
        server.ask(Stage::Auth, &format!("AUTH PLAIN {both}")).await?
    } else if offers.offers("AUTH", "LOGIN") {
        let mut reply = server.ask(Stage::Auth, "AUTH LOGIN").await?;
        for each in [name.as_str(), password] {
            if reply.code == 334 {
                reply = server.ask(Stage::Auth, &STANDARD.encode(each)).await?;
            }
        }
        reply
    } else {
        let why = "it offers neither AUTH PLAIN nor AUTH LOGIN";
        return Err(Outcome::Config { reason: format!("{}: {why}", server.who) });
    };
    if last.code == 235 {
        return Ok(());
    }
    Err(Outcome::Config { reason: format!("{}: it asks for more than a name and a password", server.who) })
}

/// A dot at the start of a line is doubled, so that none ends the message.
fn dots_doubled(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|b| *b == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_a_lone_dot() {
        for (text, want) in [
            ("a\r\n.\r\n", "a\r\n..\r\n"),
            (".a\r\n..b\r\n", "..a\r\n...b\r\n"),
            ("a.b\r\n", "a.b\r\n"),
            ("", ""),
        ] {
            assert_eq!(dots_doubled(text.as_bytes()), want.as_bytes(), "{text:?}");
        }
    }
}
