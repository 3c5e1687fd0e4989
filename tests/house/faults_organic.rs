//! Bugs of our own on the real paths: a text that a parser trips over costs the call that carries it, and no other.
//!
//! The marks are known to builds with `chaos-tests` alone.

use crate::support::actors::{Actors, restarted};
use crate::support::chat::Chat;
use crate::support::eventually;
use crate::support::office::{Office, Setup, details};
use mindbot::config::Config;
use mindbot::simulate::openai;
use serde_json::Value;
use std::sync::atomic::Ordering;
use std::time::Duration;

const MARK: &str = "<<mindbot-panic>>";

fn failure_reply() -> String {
    Config::default().pipeline.replies.failed.en
}

/// A model that takes a moment, so that the neighbours are in flight.
fn thoughtful() -> openai::Options {
    let ms = Duration::from_millis;
    openai::Options { delay: (ms(20), ms(60)), ..openai::Options::default() }
}

#[actix_rt::test]
async fn a_message_that_trips_a_turn_is_dead_after_three_strikes_and_its_neighbours_are_not_disturbed() {
    let office = Office::open(Setup { model: Some(&thoughtful()), ..Setup::default() }).await;
    let actors = Actors::of(&office.gateway);
    let before = actors.board().await;
    for neighbour in ["left", "right"] {
        office.write(neighbour, "slow:20").await;
    }
    let look = || async { (office.model.counters.open.load(Ordering::Relaxed) >= 2).then_some(()) };
    eventually("the neighbours' answers are on their way", look).await;
    let victims = [
        ("parsing", format!("echo:{MARK}"), "panicked at src/providers/openai_wire.rs"),
        ("stage", "echo:<<mindbot-panic:format>>".to_owned(), "panicked at src/pipeline/format.rs"),
        ("actor", "echo:<<mindbot-panic:conversation>>".to_owned(), "the turn died during the call"),
    ];
    for (victim, text, _) in &victims {
        office.write(victim, text).await;
        office.write(victim, &format!("echo:and now {victim}")).await;
    }
    for (victim, _, reason) in &victims {
        let shown = office.replies(victim, 2).await;
        assert_eq!(shown, [failure_reply(), format!("and now {victim}")], "told once, in order, and then goes on");
        let messages = office.messages(victim).await;
        let (dead, next) = (&messages[0], &messages[1]);
        assert_eq!((dead["state"].as_str(), dead["strikes"].as_i64()), (Some("dead"), Some(3)), "{victim}");
        let released: Vec<_> = details(dead, "released").collect();
        assert_eq!(released.len(), 3, "{victim}: {dead}");
        for detail in released {
            let said = detail["reason"].as_str().unwrap();
            // A panic's place, where the panic hook knows it, or the call's end: never a word of what the person wrote.
            assert!(said.contains(reason) || said.contains("src/sabotage.rs"), "{victim}: {said}");
            assert!(!said.contains("mindbot-panic"), "{said}");
        }
        assert_eq!((next["state"].as_str(), next["strikes"].as_i64()), (Some("done"), Some(0)), "{victim}");
    }
    let letters = office.get("/api/v1/dead-letters").await;
    assert_eq!(letters["items"].as_array().unwrap().len(), victims.len());
    for neighbour in ["left", "right"] {
        let shown = office.replies(neighbour, 1).await;
        assert!(shown[0].trim_end().ends_with("word20") && shown.len() == 1, "{shown:?}");
        let message = office.message(neighbour).await;
        assert_eq!((message["attempt"].as_i64(), message["strikes"].as_i64()), (Some(1), Some(0)), "{neighbour}");
    }
    assert!(restarted(&before, &actors.board().await).is_empty(), "no supervised actor has noticed");
}

/// A sentence of the house that the platforms trip over, sent to whoever writes too much.
const TRAP: &str = "max_input_chars = 40
replies.too_long = { zh = '<<mindbot-panic>>', en = '<<mindbot-panic>>' }";

/// The only part of a message's reply, once it is settled.
async fn settled(office: &Office, sender: &str, state: &str) -> Value {
    let look = || async {
        let message = office.messages(sender).await.into_iter().next()?;
        Some(message["replies"][0].clone()).filter(|part| part["state"] == state)
    };
    eventually(&format!("{sender}'s reply is {state}"), look).await
}

#[actix_rt::test]
async fn a_reply_that_trips_its_platform_is_given_up_after_three_tries_and_holds_nobody_up() {
    let office = Office::open(Setup { pipeline: TRAP, ..Setup::default() }).await;
    let (actors, chat) = (Actors::of(&office.gateway), Chat::of(&office.gateway));
    let before = actors.board().await;
    let long = "long ".repeat(20);
    office.write("victim", &long).await;
    office.write("victim", "echo:and then").await;
    chat.say("page", &long).await;
    assert_eq!(office.ask("neighbour", "echo:not disturbed").await, "not disturbed");
    assert_eq!(chat.ask("another", "echo:not disturbed either").await, "not disturbed either");

    let part = settled(&office, "victim", "dead").await;
    assert_eq!(part["tries"], 3, "{part}");
    assert!(part["reason"].as_str().unwrap().contains("given up after 3 tries"), "{part}");
    assert_eq!(office.replies("victim", 1).await, ["and then"], "a dead part holds nothing up");
    let log = office.gateway.log();
    assert_eq!(log.matches("a reply part is dead").count(), 1, "{log}");

    // A page shows a part as soon as it is being sent, and merges repeats; still nothing is tried for ever.
    let part = settled(&office, "page", "unknown").await;
    assert_eq!(part["tries"], 3, "{part}");
    assert_eq!(chat.ask("page", "echo:and then").await, "and then");
    assert!(restarted(&before, &actors.board().await).is_empty(), "no supervised actor has noticed");
}

#[actix_rt::test]
async fn a_document_or_a_question_that_trips_the_knowledge_costs_itself() {
    // The documents are there before the gateway is, so that they are looked through once.
    let docs = tempfile::tempdir().unwrap();
    std::fs::write(docs.path().join("bad.md"), format!("# Bad\n\nThe lantern is {MARK}.\n")).unwrap();
    std::fs::write(docs.path().join("good.md"), "# Good\n\nThe lantern is in the attic.\n").unwrap();
    let rest = format!("[[knowledge]]\nid = 'docs'\npaths = ['{}']", docs.path().display());
    let assistant = Some("providers = ['model']\nknowledge = ['docs']");
    let office = Office::open(Setup { rest: &rest, assistant, ..Setup::default() }).await;
    let actors = Actors::of(&office.gateway);
    let before = actors.board().await;

    let is_found = || async {
        let asker = uuid::Uuid::new_v4().simple().to_string();
        office.ask(&asker, "Where is the lantern?").await;
        let message = office.message(&asker).await;
        let retrieved = details(&message, "retrieved").next().unwrap().clone();
        (retrieved["passages"].as_u64() > Some(0)).then_some(retrieved)
    };
    let retrieved = eventually("the good document is found", is_found).await;
    let documents = retrieved["documents"].to_string();
    assert!(documents.contains("good.md") && !documents.contains("bad.md"), "{documents}");
    assert_eq!(
        office.gateway.log().matches("a document tripped our code").count(),
        1,
        "said once, and not tried again"
    );

    let answer = office.ask("curious", "Where is <<mindbot-panic:knowledge>>?").await;
    assert!(answer.contains("stand-in for a model"), "answered without passages: {answer}");
    let message = office.message("curious").await;
    let retrieved = details(&message, "retrieved").next().unwrap();
    assert_eq!((retrieved["degraded"].as_bool(), message["strikes"].as_i64()), (Some(true), Some(0)), "{message}");
    assert!(restarted(&before, &actors.board().await).is_empty(), "no supervised actor has noticed");
}
