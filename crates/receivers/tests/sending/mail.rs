//! Mail: every answer at every stage, and where a connection may break.

use tocsin_receivers::{Receiver, ReceiverConfig, Secret};
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};

use crate::made::{PASSWORD, closed_port, now, page, receiver, smtp};
use crate::mailbox::Instead::{Close, Hang, Say};
use crate::mailbox::{DOT, GREETING, Instead, Mailbox, Rules};
use crate::{Folder, tls};

fn mail_page() -> Page {
    Page { target: "ann.o@example.org".into(), ..page() }
}

#[tokio::test]
async fn one_message_to_one_person() {
    let mailbox = Mailbox::start(Rules { offers: &["SIZE 100000"], ..Rules::default() }).await;
    let mail = smtp(mailbox.port, "");
    let id = format!("<{}@example.com>", page().notification_id);
    for attempt in [1, 2] {
        let got = mail.send(&mail_page(), attempt, now()).await;
        assert_eq!(got, Outcome::Delivered { reference: Some(id.clone()) });
    }
    let one = ["EHLO example.com", "MAIL FROM:<tocsin@example.com>", "RCPT TO:<ann.o@example.org>", "DATA"];
    // The goodbye may come after the answer that counts.
    let lines: Vec<String> = mailbox.lines().into_iter().filter(|l| l != "QUIT").collect();
    assert_eq!(lines, [one, one].concat());
    let messages = mailbox.messages();
    assert_eq!(messages[0], messages[1], "an attempt repeats the message");
    for part in [
        &format!("Message-ID: {id}\r\n"),
        "Auto-Submitted: auto-generated\r\n",
        "To: <ann.o@example.org>\r\n",
    ] {
        assert!(messages[0].contains(part), "{part}: {}", messages[0]);
    }
    let resolve = Page { kind: PageKind::Resolve, ..mail_page() };
    assert_eq!(mail.send(&resolve, 1, now()).await.class(), "delivered");
    let thread = format!("In-Reply-To: <{}@example.com>\r\n", page().alert_key);
    assert!(mailbox.messages().iter().all(|m| m.contains(&thread)), "one thread");
}

/// What each stage's answer, silence and broken connection come to. From the dot on somebody may have the message.
#[tokio::test]
async fn every_end_of_a_transaction_has_its_outcome() {
    let mut table: Vec<(&'static str, Instead, &'static str)> = vec![
        (GREETING, Say("554 no service"), "config"),
        (GREETING, Say("421 busy"), "retry"),
        (GREETING, Say("SSH-2.0-OpenSSH"), "retry"),
        ("EHLO", Say("502 what"), "config"),
        ("MAIL", Say("451 4.3.0 later"), "retry"),
        ("MAIL", Say("550 5.7.1 you may not"), "config"),
        ("MAIL", Say("552 5.3.4 too large"), "reject"),
        ("RCPT", Say("450 4.2.1 greylisted"), "retry"),
        ("RCPT", Say("550 5.1.1 <ann.o@example.org> unknown"), "reject"),
        ("RCPT", Say("554 5.7.1 relay access denied"), "config"),
        ("RCPT", Say("251 2.1.5 forwarded"), "delivered"),
        ("DATA", Say("451 4.3.0 no room"), "retry"),
        ("DATA", Say("554 5.5.1 no"), "reject"),
        (DOT, Say("250-a\r\n250 b"), "delivered"),
        (DOT, Say("451 4.7.1 later"), "retry"),
        (DOT, Say("421 4.3.2 going down"), "retry"),
        (DOT, Say("554 5.7.1 spam from ann.o@example.org"), "reject"),
        (DOT, Say("what?"), "unknown"),
        (DOT, Hang, "unknown"),
        (DOT, Close, "unknown"),
        ("QUIT", Close, "delivered"),
        ("QUIT", Hang, "delivered"),
        ("QUIT", Say("500 what"), "delivered"),
    ];
    for stage in [GREETING, "EHLO", "MAIL", "RCPT", "DATA"] {
        table.extend([(stage, Hang, "retry"), (stage, Close, "retry")]);
    }
    // Side by side, since some of them wait for a second.
    let each = |(at, instead, want): (&'static str, Instead, &'static str)| async move {
        let mailbox = Mailbox::start(Rules { instead: vec![(at, instead)], ..Rules::default() }).await;
        let got = smtp(mailbox.port, "").send(&mail_page(), 1, now()).await;
        assert_eq!(got.class(), want, "{at} {instead:?}: {got:?}");
        assert!(!format!("{got:?}").contains("ann"), "the reason is in the audit: {got:?}");
        let handed_over = usize::from(at == DOT || at == "QUIT" || want == "delivered");
        assert_eq!(mailbox.messages().len(), handed_over, "{at} {instead:?}");
    };
    let all: Vec<_> = table.into_iter().map(|row| tokio::spawn(each(row))).collect();
    for one in all {
        one.await.unwrap();
    }
    let got = smtp(closed_port().await, "").send(&mail_page(), 1, now()).await;
    assert_eq!(got.class(), "retry", "{got:?}");
}

#[tokio::test]
async fn what_a_server_does_not_take_is_not_begun() {
    let small = Mailbox::start(Rules { offers: &["SIZE 500"], ..Rules::default() }).await;
    let got = smtp(small.port, "").send(&mail_page(), 1, now()).await;
    assert!(matches!(&got, Outcome::Reject { reason } if reason.contains("takes 500 bytes")), "{got:?}");
    assert_eq!(small.lines(), ["EHLO example.com"]);
    let mailbox = Mailbox::start(Rules::default()).await;
    for target in ["oncall", "", "ann@example.org>\r\nRCPT TO:<eve@example.org"] {
        let page = Page { target: target.into(), ..page() };
        let got = smtp(mailbox.port, "").send(&page, 1, now()).await;
        assert_eq!(got.class(), "config", "{got:?}");
        assert!(!format!("{got:?}").contains("eve"), "{got:?}");
    }
    assert_eq!(mailbox.lines(), [""; 0]);
    let config: ReceiverConfig =
        toml::from_str("type = \"smtp\"\nhost = \"m.example\"\nfrom = \"a@b.c\"").unwrap();
    assert!(config.refuses_target("oncall").is_some_and(|why| why.contains("address of mail")));
    assert_eq!(config.refuses_target("ann@example.org"), None);
}

#[tokio::test]
async fn a_login_only_under_tls() {
    let (acceptor, pem) = tls("localhost");
    let (_, other) = tls("localhost");
    let folder = Folder::new("mail");
    let (known, other) = (folder.file("known.pem", &pem), folder.file("other.pem", &other));
    let login = "username = \"tocsin\"\npassword_env = \"MAIL\"\n";
    let rules =
        |offers, implicit| Rules { offers, tls: Some(acceptor.clone()), implicit, ..Rules::default() };
    let both: &[&str] = &["STARTTLS", "AUTH LOGIN PLAIN"];
    for (offers, mode, ca, want) in [
        (both, "starttls", &known, "delivered"),
        (both, "implicit", &known, "delivered"),
        (&["STARTTLS", "AUTH LOGIN"], "starttls", &known, "delivered"),
        (&["STARTTLS", "AUTH CRAM-MD5"], "starttls", &known, "config"),
        (&["STARTTLS"], "starttls", &known, "config"),
        (&["AUTH PLAIN"], "starttls", &known, "config"),
        (both, "starttls", &other, "config"),
        (both, "implicit", &other, "config"),
    ] {
        let mailbox = Mailbox::start(rules(offers, mode == "implicit")).await;
        let more = format!("tls = \"{mode}\"\nca_file = {ca:?}\n{login}");
        let got = smtp(mailbox.port, &more).send(&mail_page(), 1, now()).await;
        assert_eq!(got.class(), want, "{offers:?} {mode}: {got:?}");
        let lines = mailbox.lines();
        let logs_in = lines.iter().any(|l| l.starts_with("AUTH "));
        assert_eq!(logs_in, want == "delivered", "{lines:?}");
        if logs_in && mode == "starttls" {
            assert_eq!(lines[..3], ["EHLO example.com", "STARTTLS", "EHLO example.com"]);
        }
        assert!(!format!("{got:?}").contains(PASSWORD), "{got:?}");
    }
    for (said, want) in [
        ("535 5.7.8 AUTH PLAIN AHRvY3NpbgBwNHNzIHfDtnJk hunter", "config"),
        ("454 4.7.0 try later", "retry"),
        ("334 more", "config"),
    ] {
        let mut rules = rules(both, true);
        rules.instead = vec![("AUTH", Say(said))];
        let mailbox = Mailbox::start(rules).await;
        let mail = smtp(mailbox.port, &format!("tls = \"implicit\"\nca_file = {known:?}\n{login}"));
        let got = mail.send(&mail_page(), 1, now()).await;
        assert_eq!(got.class(), want, "{said}: {got:?}");
        let shown = format!("{got:?} {mail:?}");
        assert!(!shown.contains("hunter") && !shown.contains("AHRv") && !shown.contains(PASSWORD), "{shown}");
    }
}

/// Who stands between may say something in clear right behind the answer to STARTTLS, to be taken for the server's own.
#[tokio::test]
async fn nothing_said_in_clear_counts_after_starttls() {
    let rules = Rules {
        offers: &["STARTTLS"],
        instead: vec![("STARTTLS", Say("220 go on\r\n250 mail.example.com"))],
        ..Rules::default()
    };
    let mailbox = Mailbox::start(rules).await;
    let got = smtp(mailbox.port, "tls = \"starttls\"\n").send(&mail_page(), 1, now()).await;
    assert!(matches!(&got, Outcome::Config { reason } if reason.contains("in clear")), "{got:?}");
}

#[tokio::test]
async fn a_server_is_where_it_may_be() {
    let mailbox = Mailbox::start(Rules::default()).await;
    let public = receiver(&format!(
        "type = \"smtp\"\nhost = \"localhost\"\nport = {}\nfrom = \"tocsin@example.com\"\ntimeout_s = 1",
        mailbox.port
    ));
    let got = public.send(&mail_page(), 1, now()).await;
    assert!(matches!(&got, Outcome::Config { reason } if reason.contains("allow_private")), "{got:?}");
    assert_eq!(mailbox.lines(), [""; 0]);
    let config: ReceiverConfig = toml::from_str(
        "type = \"smtp\"\nhost = \"m.example\"\nfrom = \"a@b.c\"\nusername = \"u\"\npassword_env = \"MAIL\"",
    )
    .unwrap();
    for wrong in ["", "nul\0byte"] {
        let error = Receiver::build("r", &config, &|_| Ok(Secret::new(wrong))).expect_err("no password");
        assert!(error.to_string().contains("environment variable MAIL"), "{error}");
    }
}
