//! Receivers against a real server on this machine: what is on the wire, and what comes of each way to fail.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod alerts;
mod contract;
mod links;
mod made;
mod mail;
mod mailbox;
mod opsgenie;
mod peers;
mod server;
mod teams;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use tocsin_receivers::{Receiver, ReceiverConfig, Secret};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use wire::outbox::Outcome;
use wire::page::Page;

use made::{
    KEY, OLD_KEY, TOKEN, alertmanager, closed_port, now, page, page_to_team, pagerduty, receiver, slack,
    slack_bot, webhook,
};
use server::{Do, Server, status};

#[tokio::test]
async fn webhook_is_signed_as_the_standard_says() {
    let server = Server::start(vec![status(503), status(204)]).await;
    let hook = webhook(server.port);
    assert_eq!(hook.send(&page(), 1, now()).await.class(), "retry");
    assert_eq!(hook.send(&page(), 2, now().plus_ms(7000)).await, Outcome::Delivered { reference: None });

    let seen = server.seen();
    for (request, (attempt, seconds)) in seen.iter().zip([("1", "1772445662"), ("2", "1772445669")]) {
        assert_eq!(request.target, "POST /hook?k=1 HTTP/1.1");
        let header = |name: &str| request.headers[name].as_str();
        assert_eq!(header("host"), format!("127.0.0.1:{}", server.port));
        assert_eq!(header("content-type"), "application/json");
        assert_eq!(header("webhook-id"), page().notification_id.as_str());
        assert_eq!(header("webhook-timestamp"), seconds);
        assert_eq!(header("tocsin-attempt"), attempt);
        let want: Vec<_> = [KEY, OLD_KEY]
            .iter()
            .map(|key| {
                let key = STANDARD.decode(key.strip_prefix("whsec_").unwrap()).unwrap();
                let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
                let signed = format!("{}.{seconds}.", page().notification_id);
                mac.update(&[signed.as_bytes(), &request.body].concat());
                format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
            })
            .collect();
        assert_eq!(header("webhook-signature"), want.join(" "));
    }
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].body, seen[1].body, "a retry has the same body");
    let body: serde_json::Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(body["type"], "tocsin.page.trigger");
    assert_eq!(serde_json::from_value::<Page>(body["data"].clone()).unwrap(), page());
}

#[tokio::test]
async fn the_status_counts_whatever_becomes_of_the_body() {
    for act in [Do::Drip, Do::AnswerAndClose] {
        let server = Server::start(vec![act.clone()]).await;
        let port = server.port;
        for receiver in [
            webhook(port),
            alertmanager(&[port]),
            pagerduty(port),
            slack(port),
            made::opsgenie(port),
            made::teams(port),
        ] {
            let got = receiver.send(&page_to_team(), 1, now()).await;
            assert_eq!(got.class(), "delivered", "{receiver:?}: {act:?}");
        }
    }
}

#[tokio::test]
async fn what_never_left_is_a_retry() {
    let port = closed_port().await;
    for receiver in [
        webhook(port),
        alertmanager(&[port]),
        pagerduty(port),
        slack(port),
        slack_bot(port),
        made::opsgenie(port),
        made::teams(port),
    ] {
        let got = receiver.send(&page_to_team(), 1, now()).await;
        assert_eq!(got.class(), "retry", "{got:?}");
    }
    let nowhere = receiver(
        "type = \"webhook\"\nurl = \"https://no-such-host.invalid/\"\nsecret_env = \"HOOK\"\ntimeout_s = 2",
    );
    assert_eq!(nowhere.send(&page(), 1, now()).await.class(), "retry");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Server::start(vec![status(200)]).await;
    let location = format!("location: http://127.0.0.1:{}/\r\n", elsewhere.port).leak();
    for code in [301, 302, 307, 308] {
        let act = Do::Answer { status: code, headers: location, body: Vec::new() };
        let server = Server::start(vec![act]).await;
        assert_eq!(webhook(server.port).send(&page(), 1, now()).await.class(), "config", "{code}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn connections_are_used_again_until_they_close() {
    let server = Server::start(vec![status(200), status(500), Do::AnswerAndClose, status(200)]).await;
    let hook = webhook(server.port);
    for want in ["delivered", "retry", "delivered", "delivered", "delivered"] {
        assert_eq!(hook.send(&page(), 1, now()).await.class(), want);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let used: Vec<_> = server.seen().iter().map(|s| s.connection).collect();
    assert_eq!(used, [1, 1, 1, 2, 2]);
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let act = Do::Answer { status: 400, headers: "", body: vec![b'x'; 10_000_000] };
    let server = Server::start(vec![act]).await;
    let Outcome::Reject { reason } = webhook(server.port).send(&page(), 1, now()).await else {
        panic!("400 is a reject");
    };
    assert!(reason.len() < 300 && reason.contains("400: xxx"), "{reason}");
}

#[tokio::test]
async fn private_addresses_are_refused_after_the_name_is_resolved() {
    let server = Server::start(vec![status(200)]).await;
    let port = server.port;
    let first = format!("type = \"webhook\"\nurl = \"https://localhost:{port}/\"\nsecret_env = \"HOOK\"");
    let got = receiver(&first).send(&page(), 1, now()).await;
    assert!(matches!(&got, Outcome::Config { reason } if reason.contains("allow_private")), "{got:?}");
    assert_eq!(server.connections(), 0);
}

fn tls(name: &str) -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

/// A folder of a test's own, which goes with it.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tocsin-receivers-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The path of a new file in it.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[tokio::test]
async fn https_trusts_who_it_was_told_to() {
    let folder = Folder::new("https");
    let (acceptor, pem) = tls("localhost");
    let (_, other_pem) = tls("localhost");
    let server = Server::start_with(vec![status(200), status(200), Do::Echo], Some(acceptor)).await;
    let (known, other) = (folder.file("known.pem", &pem), folder.file("other.pem", &other_pem));
    let hook = |host: &str, ca: &str| {
        receiver(&format!(
            "type = \"webhook\"\nurl = \"https://{host}:{}/\"\nsecret_env = \"HOOK\"\nallow_private = true\nca_file = {ca:?}\ntimeout_s = 5",
            server.port
        ))
    };
    for (host, ca, want) in
        [("localhost", &known, "delivered"), ("localhost", &other, "config"), ("127.0.0.1", &known, "config")]
    {
        let got = hook(host, ca).send(&page(), 1, now()).await;
        assert_eq!(got.class(), want, "{host} with {ca}: {got:?}");
    }
    let am = receiver(&format!(
        "type = \"alertmanager\"\nurls = [\"https://localhost:{}\"]\ntoken_env = \"AM\"\nca_file = {known:?}\ntimeout_s = 5",
        server.port
    ));
    assert_eq!(am.send(&page(), 1, now()).await.class(), "delivered");
    assert_eq!(server.seen().last().unwrap().headers["authorization"], format!("Bearer {TOKEN}"));
    let echoed = am.send(&page(), 2, now()).await;
    assert!(
        matches!(&echoed, Outcome::Reject { reason } if reason.contains("Bearer …") && !reason.contains(TOKEN)),
        "{echoed:?}"
    );

    for (name, content, part) in [
        ("empty.pem", "", "no certificate"),
        ("broken.pem", "-----BEGIN CERTIFICATE-----\nx", "certificates"),
    ] {
        let path = folder.file(name, content);
        let config = format!(
            "type = \"webhook\"\nurl = \"https://a.example/\"\nsecret_env = \"HOOK\"\nca_file = {path:?}"
        );
        let config: ReceiverConfig = toml::from_str(&config).unwrap();
        let error = Receiver::build("r", &config, &|_| Ok(Secret::new(KEY))).expect_err(name);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(part) && cause.contains(name), "{cause}");
    }
}

/// The server says TLS but speaks none: nothing of the page can have left.
#[tokio::test]
async fn a_failed_handshake_is_a_retry() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let hook = receiver(&format!(
        "type = \"webhook\"\nurl = \"https://localhost:{port}/\"\nsecret_env = \"HOOK\"\nallow_private = true"
    ));
    let got = hook.send(&page(), 1, now()).await;
    assert_eq!(got.class(), "retry", "{got:?}");
}

#[tokio::test]
async fn no_secret_is_ever_printed() {
    let hidden = ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "AAAAAAAAAAAAAAAAAAAAAAAA", TOKEN, "sekret-path"];
    let clean = |what: &str, text: String| {
        for secret in hidden {
            assert!(!text.contains(secret), "{what}: {text}");
        }
    };
    let server = Server::start(vec![Do::Echo]).await;
    let closed = closed_port().await;
    for port in [server.port, closed] {
        let text = format!(
            "type = \"webhook\"\nurl = \"http://127.0.0.1:{port}/sekret-path\"\nsecret_env = \"HOOK\"\nallow_private = true"
        );
        let config: ReceiverConfig = toml::from_str(&text).unwrap();
        clean("config", format!("{config:?}"));
        let hook = receiver(&text);
        clean("receiver", format!("{hook:?} {}", hook.name()));
        let outcome = hook.send(&page(), 1, now()).await;
        let shown = format!("{outcome:?} {}", serde_json::to_string(&outcome).unwrap());
        // An echoed path is the receiver's own doing and the one thing that may show; the echo is cut well before keys.
        clean("outcome", shown.replace("sekret-path", ""));
    }
    let config: ReceiverConfig =
        toml::from_str("type = \"webhook\"\nurl = \"https://a.example/\"\nsecret_env = \"HOOK\"").unwrap();
    for text in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw+", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
        let error = Receiver::build("r", &config, &|_| Ok(Secret::new(text))).expect_err("not a secret");
        clean("error", format!("{error} {error:?}"));
        assert!(error.to_string().contains("environment variable HOOK"), "{error}");
    }
}

#[tokio::test]
async fn an_inbox_takes_everything_once() {
    let inbox = receiver("type = \"inbox\"\nkeep = 10");
    let mut news = inbox.inbox().unwrap().subscribe();
    for attempt in 1..=3 {
        assert_eq!(inbox.send(&page(), attempt, now()).await.class(), "delivered");
    }
    let entries = inbox.inbox().unwrap().entries();
    assert_eq!((entries.len(), entries[0].times), (1, 3));
    assert_eq!(news.recv().await.unwrap().page, page());
    assert!(news.try_recv().is_err());
}
