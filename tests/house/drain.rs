//! Stopping is safe: what is being answered goes on in the next process, and nobody waits longer than promised.

use crate::support::chat::{Chat, Event};
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::office::{Office, Setup};
use std::time::{Duration, Instant};

/// State, strikes and attempts of the web chat's only message, straight from the disk.
fn row(gateway: &std::path::Path) -> (String, i64, i64) {
    let connection = rusqlite::Connection::open(gateway.join("data/mindbot.db")).unwrap();
    let question = "SELECT state, strikes, attempt FROM inbox WHERE platform = 'web'";
    connection.query_row(question, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

#[actix_rt::test]
async fn a_turn_longer_than_the_drain_is_given_back_and_the_next_process_answers_it_once() {
    let office = Office::open(Setup { server: "drain_timeout = '3s'", ..Setup::default() }).await;
    let chat = Chat::of(&office.gateway);
    let mut events = chat.follow("c", None).await;
    let message = chat.say("c", "slow:50").await;
    let (mut last, mut position) = (None, None);
    while last.as_ref().is_none_or(|event: &Event| event.name != "delta") {
        last = Some(events.next().await.unwrap());
        position = last.as_ref().and_then(|event| event.id.clone()).or(position);
    }
    office.gateway.signal("TERM");
    let began = Instant::now();
    // While it drains, nothing new is taken, and the platform is asked to come back.
    let taken = std::cell::Cell::new(0);
    let refused = || async {
        let response = office.post("late", "echo:late").await;
        taken.set(taken.get() + usize::from(response.status() == 200));
        Some(response).filter(|response| response.status() == 503)
    };
    let refused = eventually("webhooks are refused", refused).await;
    assert!(refused.headers().contains_key("retry-after"));
    while let Some(event) = events.next().await {
        position = event.id.clone().or(position);
        last = Some(event);
    }
    let last = last.unwrap();
    assert_eq!((last.name.as_str(), last.data["kind"].as_str()), ("notice", Some("draining")));

    let office = office.restarted(|mut gateway: Gateway| {
        assert!(gateway.wait().success(), "{}", gateway.log());
        assert!(began.elapsed() < Duration::from_secs(4), "drained within `drain_timeout` and a second");
        assert_eq!(row(gateway.path()), ("ready".into(), 0, 1), "given back, without a strike");
        gateway.kill().start()
    });
    let chat = Chat::of(&office.gateway);
    // A reader that comes back with its position is shown the rest, and nothing twice.
    let mut events = chat.follow("c", position.as_deref()).await;
    let answer = events.find(|event| event.name == "message").await;
    assert_eq!(answer.data["reply_to"], message.as_str());
    let (text, data) = (answer.data["text"].as_str().unwrap(), &answer.data);
    assert!(text.starts_with("word1 ") && text.trim_end().ends_with("word50"), "{text}");
    assert_eq!(data["mark"], serde_json::Value::Null);
    let message = office.get(&format!("/api/v1/messages/{message}")).await;
    assert_eq!(message["replies"].as_array().unwrap().len(), 1, "once: {message}");
    assert_eq!(office.shown("late").len(), taken.get(), "what was refused was not taken");
}

#[actix_rt::test]
async fn a_second_signal_ends_at_once_and_costs_nothing() {
    let office = Office::open(Setup::default()).await;
    office.write("patient", "slow:30").await;
    office.message_after("patient", "claimed").await;
    office.gateway.signal("TERM");
    eventually("it drains", || async { office.gateway.log().contains("draining").then_some(()) }).await;
    let office = office.restarted(|mut gateway| {
        let began = Instant::now();
        gateway.signal("TERM");
        let status = gateway.wait();
        assert!(!status.success(), "an abandoned drain is no clean end: {status}");
        assert!(began.elapsed() < Duration::from_secs(5), "it did not wait for the turn");
        gateway.kill().start()
    });
    let shown = office.replies("patient", 1).await;
    assert!(shown.len() == 1 && shown[0].contains("word30"), "{shown:?}");
}

#[actix_rt::test]
async fn an_idle_gateway_ends_cleanly_without_waiting() {
    let office = Office::open(Setup::default()).await;
    assert_eq!(office.ask("last", "echo:goodbye").await, "goodbye");
    let began = Instant::now();
    let status = office.gateway.stop().0;
    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "far below the drain's 30 s");
}
