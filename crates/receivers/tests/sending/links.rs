//! The link of a page: whole in the message, in the place that each receiver has for it, and in nothing that is kept.

use serde_json::{Value, json};
use tocsin_receivers::Receiver;
use wire::link::{LinkAction, LinkActions, LinkKeys, Links};
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};

use crate::made::{
    alertmanager, now, opsgenie, page_to_team as page, pagerduty, receiver, slack, slack_bot, teams, webhook,
};
use crate::server::{Do, Server};

fn linked() -> Page {
    let links = Links {
        keys: LinkKeys::read("a_key_of_16_and_more").unwrap(),
        public_url: "https://tocsin.example.com/ops".parse().unwrap(),
        valid_ms: 3_600_000,
        actions: LinkActions::of(&LinkAction::ALL),
    };
    let link = links.of(&page());
    assert_eq!(link, links.of(&page()), "each attempt has the same");
    Page { link, ..page() }
}

fn buttons(port: u16) -> Receiver {
    receiver(&format!(
        "type = \"slack\"\ntoken_env = \"BOT\"\nsigning_secret_env = \"SIGNING\"\nurl = \"http://127.0.0.1:{port}/api\"\ntimeout_s = 1"
    ))
}

/// What a receiver is sent for this page.
async fn sent(of: impl Fn(u16) -> Receiver, page: &Page) -> Value {
    let body = br#"{"ok":true,"channel":"C1","ts":"17.1"}"#.to_vec();
    let server = Server::start(vec![Do::Answer { status: 200, headers: "", body }]).await;
    let outcome = of(server.port).send(page, 1, now()).await;
    assert_eq!(outcome.class(), "delivered", "{outcome:?}");
    serde_json::from_slice(&server.seen()[0].body).unwrap()
}

#[tokio::test]
async fn each_receiver_has_its_place_for_the_link() {
    let page = linked();
    let link = page.link().unwrap();
    assert!(link.starts_with("https://tocsin.example.com/ops/i/AQ"), "{link}");

    let body = sent(webhook, &page).await;
    assert_eq!(body["data"]["link"], link);
    let event = sent(pagerduty, &page).await;
    assert_eq!((&event["client_url"], &event["links"][0]["href"]), (&json!(link), &json!(link)));
    let alerts = sent(|port| alertmanager(&[port]), &page).await;
    assert_eq!((&alerts[0]["generatorURL"], &alerts[0]["annotations"]["link"]), (&json!(link), &json!(link)));
    assert!(!alerts[0]["labels"].to_string().contains(link), "an alert is its labels");
    for message in [sent(slack, &page).await, sent(slack_bot, &page).await] {
        let text = format!("<{link}|Answer: acknowledge, note, mitigate, resolve>");
        let blocks = message["blocks"].as_array().unwrap();
        assert!(blocks.iter().any(|block| block["text"]["text"] == text.as_str()), "{message}");
        assert!(!message.to_string().contains("actions\""), "no button without a signing secret");
        assert!(
            !message["metadata"].to_string().contains(link) && !message["text"].to_string().contains(link)
        );
    }

    let alert = sent(opsgenie, &page).await;
    let answer = format!("\n\nAnswer: acknowledge, note, mitigate, resolve:\n{link}");
    assert!(alert["description"].as_str().unwrap().ends_with(&answer), "{alert}");
    let card = sent(teams, &page).await;
    let button = json!({"type": "Action.OpenUrl", "title": "Answer: acknowledge, note, mitigate, resolve", "url": link});
    assert_eq!(card["attachments"][0]["content"]["actions"], json!([button]));

    let bare = Page { link: None, ..page.clone() };
    for sent in [
        sent(webhook, &bare).await,
        sent(pagerduty, &bare).await,
        sent(|port| alertmanager(&[port]), &bare).await,
        sent(slack, &bare).await,
        sent(opsgenie, &bare).await,
        sent(teams, &bare).await,
    ] {
        assert!(!sent.to_string().contains("ink\":") && !sent.to_string().contains("/i/"), "{sent}");
    }
    let over = sent(pagerduty, &Page { kind: PageKind::Resolve, ..page }).await;
    assert!(over.get("links").is_none() && over.get("client_url").is_none());
}

#[tokio::test]
async fn a_link_is_whole_however_much_is_cut() {
    let mut page = linked();
    page.incident.title = "ä".repeat(30_000);
    page.incident.context.owner = Some("x".repeat(30_000));
    let link = page.link().unwrap().to_owned();
    let body = sent(webhook, &page).await;
    assert_eq!((&body["data"]["link"], body["trimmed"].to_string().contains("texts")), (&json!(link), true));
    assert_eq!(sent(pagerduty, &page).await["client_url"], link.as_str());
    assert_eq!(sent(|port| alertmanager(&[port]), &page).await[0]["annotations"]["link"], link.as_str());
    assert!(sent(opsgenie, &page).await["description"].as_str().unwrap().ends_with(&format!("\n{link}")));
    assert_eq!(sent(teams, &page).await["attachments"][0]["content"]["actions"][0]["url"], link.as_str());
    let message = sent(buttons, &page).await;
    assert!(message.to_string().contains(&link) && message["blocks"].as_array().unwrap().len() <= 50);
}

/// A receiver that answers with what it was sent, as some do when they refuse it.
#[tokio::test]
async fn no_outcome_and_no_record_has_the_link() {
    let page = linked();
    let token = page.link().unwrap().rsplit('/').next().unwrap().to_owned();
    // Any part with its end in it: that is what nobody can write.
    let end = &token[token.len() - 8..];
    let all: [fn(u16) -> Receiver; 8] =
        [webhook, pagerduty, slack, slack_bot, buttons, opsgenie, teams, |port| alertmanager(&[port])];
    for of in all {
        let echo = Server::start(vec![Do::Echo]).await;
        let outcome = of(echo.port).send(&page, 1, now()).await;
        assert!(!format!("{outcome:?}").contains(end), "{outcome:?}");
    }
    for kept in [format!("{page:?}"), format!("{page:#?}"), serde_json::to_string(&page).unwrap()] {
        assert!(!kept.contains(end) && !kept.contains("tocsin.example.com"), "{kept}");
    }
    let inbox = receiver("type = \"inbox\"");
    assert_eq!(inbox.send(&page, 1, now()).await, Outcome::Delivered { reference: None });
    let held = inbox.inbox().unwrap().entries();
    assert!(held.len() == 1 && held[0].page.link.is_none(), "who may look need not be one who may answer");
}

#[tokio::test]
async fn a_button_with_a_signing_secret_and_an_answer_to_who_presses_it() {
    let message = sent(buttons, &page()).await;
    let actions = message["blocks"].as_array().unwrap().iter().find(|b| b["type"] == "actions").unwrap();
    let button = &actions["elements"][0];
    assert_eq!(
        (&button["action_id"], &button["value"]),
        (&json!("tocsin_acknowledge"), &json!("iiiiiiiiiiiiiiiiiiiiiiiiii:1"))
    );
    let taken =
        sent(buttons, &Page { kind: PageKind::Acknowledge, owner: Some("ada".into()), ..page() }).await;
    assert!(!taken.to_string().contains("tocsin_acknowledge"), "nobody is asked any more");

    let server = Server::start(vec![Do::Answer { status: 200, headers: "", body: b"ok".to_vec() }]).await;
    let to = format!("http://127.0.0.1:{}/actions/T1/2/sekret", server.port);
    assert_eq!(buttons(server.port).reply(&to, "Not done: <b> & co", now()).await, Ok(()));
    let seen = server.seen();
    assert_eq!(seen[0].target, "POST /actions/T1/2/sekret HTTP/1.1");
    assert!(!seen[0].headers.contains_key("authorization"), "the bot's token goes to Slack's methods alone");
    let body: Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(
        body,
        json!({"response_type": "ephemeral", "replace_original": false, "text": "Not done: &lt;b&gt; &amp; co"})
    );

    let elsewhere =
        buttons(server.port).reply("http://127.0.0.1:1/actions/sekret", "x", now()).await.unwrap_err();
    assert!(elsewhere.contains("not an address of Slack") && !elsewhere.contains("sekret"), "{elsewhere}");
    assert!(webhook(server.port).reply(&to, "x", now()).await.unwrap_err().contains("no buttons"));
    assert_eq!(server.seen().len(), 1);
}
