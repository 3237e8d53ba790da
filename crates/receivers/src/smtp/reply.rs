//! What a server says, and what it means at that point.

use wire::outbox::Outcome;

use crate::outcome::with_words;

/// One answer, of one or more lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// What stands after the code, line by line.
    pub(super) lines: Vec<String>,
}

/// What no reason may hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Hidden<'a> {
    pub(super) secrets: Vec<String>,
    /// Of the recipient.
    pub(super) names: Vec<&'a str>,
}

/// How far a transaction has come: what was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Greeting,
    Hello,
    StartTls,
    Auth,
    Sender,
    Recipient,
    Data,
    /// The message itself, up to the final dot.
    Message,
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Self::Greeting => "on connecting",
            Self::Hello => "to EHLO",
            Self::StartTls => "to STARTTLS",
            Self::Auth => "to AUTH",
            Self::Sender => "to MAIL FROM",
            Self::Recipient => "to RCPT TO",
            Self::Data => "to DATA",
            Self::Message => "to the message",
        }
    }

    const fn is_wanted(self, code: u16) -> bool {
        match self {
            Self::Greeting | Self::StartTls => code == 220,
            Self::Auth => code == 235 || code == 334,
            Self::Data => code == 354,
            Self::Hello | Self::Sender | Self::Recipient | Self::Message => code >= 200 && code < 300,
        }
    }
}

impl Reply {
    /// `5.7.1` where the server gives such a code (RFC 3463).
    fn enhanced(&self) -> Option<&str> {
        let word = self.lines.first()?.split(' ').next()?;
        let digits = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        (word.split('.').count() == 3 && word.split('.').all(digits)).then_some(word)
    }

    /// Most bytes of a message that the server takes, if this is its answer to EHLO and it says so.
    pub(super) fn size_max(&self) -> Option<usize> {
        let says = self.lines.iter().find_map(|line| param(line, "SIZE"))?;
        says.trim().parse().ok().filter(|max| *max > 0)
    }

    /// Whether EHLO was answered with this extension, and with this word among its own if one is given.
    pub(super) fn offers(&self, extension: &str, word: &str) -> bool {
        let of = |line: &String| {
            param(line, extension)
                .is_some_and(|rest| word.is_empty() || rest.split(' ').any(|w| w.eq_ignore_ascii_case(word)))
        };
        self.lines.iter().any(of)
    }
}

/// What follows the name of an extension on a line of an answer to EHLO.
fn param<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (word, rest) = line.split_once([' ', '=']).unwrap_or((line, ""));
    word.eq_ignore_ascii_case(name).then_some(rest)
}

/// `None` if the server goes on, else what came of the attempt.
///
/// | stage | 4xx | 5xx |
/// |---|---|---|
/// | up to the login | retry | the receiver is set up wrong |
/// | `MAIL FROM` | retry | set up wrong: we may not send from here; but for 552 and 5.3.4, by which the message is too large |
/// | `RCPT TO` | retry | 530, 535 and 5.7.x: set up wrong (we may not relay); any other: this address never takes it |
/// | `DATA`, the message | retry | this message will never pass |
///
/// What is none of these was not understood: before the final dot nobody has the message, after it somebody may.
///
/// The server's words are told, without `hidden`, except where they are about the recipient or the login.
pub(super) fn outcome_of(stage: Stage, reply: &Reply, who: &str, hidden: &Hidden<'_>) -> Option<Outcome> {
    if stage.is_wanted(reply.code) {
        return None;
    }
    let enhanced = reply.enhanced();
    let mut reason = format!("{who} answered {}", reply.code);
    match stage {
        Stage::Recipient | Stage::Auth => {
            if let Some(enhanced) = enhanced {
                reason = format!("{reason} {enhanced}");
            }
            reason = format!("{reason} {}", stage.name());
        }
        Stage::Greeting | Stage::Hello | Stage::StartTls | Stage::Sender | Stage::Data | Stage::Message => {
            let words = reply.lines.join(" ");
            reason = with_words(
                format!("{reason} {}", stage.name()),
                words.as_bytes(),
                &hidden.secrets.iter().map(String::as_str).collect::<Vec<_>>(),
                &hidden.names,
            );
        }
    }
    let too_large = reply.code == 552 || enhanced == Some("5.3.4");
    let not_allowed = matches!(reply.code, 530 | 535) || enhanced.is_some_and(|e| e.starts_with("5.7."));
    Some(match (reply.code / 100, stage) {
        (4, _) => Outcome::Retry { reason },
        (5, Stage::Sender) if too_large => Outcome::Reject { reason },
        (5, Stage::Recipient) if not_allowed => Outcome::Config { reason },
        (5, Stage::Recipient | Stage::Data | Stage::Message) => Outcome::Reject { reason },
        (5, Stage::Greeting | Stage::Hello | Stage::StartTls | Stage::Auth | Stage::Sender) => {
            Outcome::Config { reason }
        }
        (_, Stage::Message) => Outcome::Unknown { reason },
        (_, _) => Outcome::Retry { reason },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: u16, text: &str) -> Reply {
        Reply { code, lines: text.lines().map(Into::into).collect() }
    }

    #[test]
    fn every_answer_at_every_stage() {
        use Stage::{Auth, Data, Greeting, Hello, Message, Recipient, Sender, StartTls};
        for (stages, answers, want) in [
            (&[Greeting, StartTls][..], &["220 ready"][..], None),
            (&[Hello, Sender, Recipient, Message], &["250 ok", "251 2.1.5 forwarded"], None),
            (&[Auth], &["235 2.7.0 welcome", "334 VXNlcm5hbWU6"], None),
            (&[Data], &["354 go on"], None),
            (
                &[Greeting, Hello, StartTls, Auth, Sender, Recipient, Data, Message],
                &[
                    "421 4.3.2 closing",
                    "450 4.2.0 greylisted",
                    "451 4.7.1 later",
                    "452 4.3.1 full",
                    "454 4.7.0 x",
                ],
                Some("retry"),
            ),
            (
                &[Greeting, Hello, StartTls, Auth, Sender],
                &["554 no", "530 5.7.0 log in", "535 5.7.8 bad"],
                Some("config"),
            ),
            (&[Sender], &["550 5.7.1 no", "553 5.1.8 who", "501 syntax"], Some("config")),
            (&[Sender], &["552 5.3.4 too big", "552 too big", "500 5.3.4 too big"], Some("reject")),
            (
                &[Recipient],
                &["550 5.1.1 unknown", "551 x", "553 5.1.3 bad", "552 5.2.2 full"],
                Some("reject"),
            ),
            (
                &[Recipient],
                &["550 5.7.1 relaying denied", "554 5.7.1 denied", "530 5.7.0 log in"],
                Some("config"),
            ),
            (&[Data, Message], &["554 5.7.1 spam", "550 no", "552 5.3.4 too big", "500 x"], Some("reject")),
            (&[Message], &["354 again", "100 x", "999 x"], Some("unknown")),
            (&[Greeting, Data], &["250 ok"], Some("retry")),
            (&[Auth], &["250 ok"], Some("retry")),
        ] {
            for (stage, answer) in stages.iter().flat_map(|s| answers.iter().map(move |a| (*s, a))) {
                let (code, text) = answer.split_once(' ').unwrap();
                let got = outcome_of(stage, &reply(code.parse().unwrap(), text), "x", &Hidden::default());
                assert_eq!(got.as_ref().map(Outcome::class), want, "{stage:?} {answer}: {got:?}");
            }
        }
    }

    #[test]
    fn neither_who_it_was_for_nor_the_login_is_told() {
        let hidden = Hidden { secrets: vec!["hunter2".into()], names: vec!["ann@example.org", "ann"] };
        let told = |stage, text: &str| format!("{:?}", outcome_of(stage, &reply(550, text), "x", &hidden));
        for stage in [Stage::Recipient, Stage::Auth] {
            let got = told(stage, "5.1.1 <ANN@example.org> (Ann Smith) unknown, AUTH AGFubgBodW50ZXIy");
            assert!(got.contains("550 5.1.1") && !got.contains("Smith") && !got.contains("AGF"), "{got}");
        }
        let got = told(Stage::Message, "5.7.1 Ann@Example.org: Ann, annual hunter2");
        assert!(got.contains("550 to the message: 5.7.1 …: …, annual …"), "{got}");
    }

    #[test]
    fn what_a_server_offers() {
        let hello = reply(250, "mail.example.com\nSTARTTLS\nSIZE 1000\nAUTH PLAIN login\nAUTH=LOGIN");
        assert!(
            hello.offers("starttls", "") && hello.offers("AUTH", "PLAIN") && hello.offers("AUTH", "LOGIN")
        );
        assert!(!hello.offers("AUTH", "CRAM-MD5") && !hello.offers("TLS", "") && !hello.offers("START", ""));
        assert_eq!(hello.size_max(), Some(1000));
        for none in ["SIZE", "SIZE 0", "SIZE many", "8BITMIME"] {
            assert_eq!(reply(250, none).size_max(), None, "{none}");
        }
    }
}
