//! What people can do besides asking: stop, begin afresh, ask again; and what they read when it is too much at once.

use crate::support::chat::Chat;
use crate::support::eventually;
use crate::support::office::{Office, Setup, details};
use futures_util::future::join_all;
use mindbot::simulate::openai::{self, Fault, Rule};
use serde_json::json;
use std::sync::atomic::Ordering;

/// The last prompt's messages as `role: text`.
fn last_prompt(model: &openai::Running) -> Vec<String> {
    let prompt = model.prompts().pop().unwrap();
    let lines = prompt["messages"].as_array().unwrap().iter();
    lines.map(|line| format!("{}: {}", line["role"].as_str().unwrap(), line["content"].as_str().unwrap())).collect()
}

#[actix_rt::test]
async fn stop_closes_the_upstream_keeps_what_was_said_and_the_next_message_is_answered() {
    let office = Office::open(Setup::default()).await;
    let chat = Chat::of(&office.gateway);
    let mut events = chat.follow("c", None).await;
    let slow = chat.say("c", "slow:200").await;
    let behind = chat.say("c", "echo:behind").await;
    events.find(|event| event.name == "delta" && event.data["text"].as_str().unwrap().contains("word2")).await;
    chat.say("c", "/stop").await;
    let asked_to_stop = std::time::SystemTime::now();
    let counters = &office.model.counters;
    let cancelled = || async { counters.cancellations().pop() };
    let cancelled = eventually("the upstream call is cancelled", cancelled).await;
    let stopped_at = asked_to_stop.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    assert!(cancelled.at_ms < stopped_at + 1000, "the upstream socket was closed within a second");
    assert_eq!(counters.completed.load(Ordering::Relaxed), 0);

    let (text, data) = chat.answer_to("c", &slow).await;
    assert!(text.starts_with("word1 word2"), "{text}");
    assert_eq!(data["mark"], "stopped");
    let behind = office.get(&format!("/api/v1/messages/{behind}")).await;
    assert_eq!((behind["state"].as_str(), behind["replies"].as_array().unwrap().len()), (Some("cancelled"), 0));
    assert_eq!(chat.ask("c", "echo:after").await, "after");

    // On a platform that cannot show marks, words say it.
    office.write("zhaoliu", "slow:200").await;
    eventually("the answer has begun", || async { (counters.open.load(Ordering::Relaxed) == 1).then_some(()) }).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    office.write("zhaoliu", "/stop").await;
    let shown = office.replies("zhaoliu", 1).await.remove(0);
    assert!(shown.starts_with("word1") && shown.ends_with("Stopped."), "{shown}");
    // With nothing to stop, it is said as well.
    assert_eq!(office.ask("zhaoliu", "/stop").await, "已停止。 Stopped.");
    assert_eq!(office.ask("zhaoliu", "echo:after").await, "after");
}

#[actix_rt::test]
async fn new_forgets_retry_answers_anew_and_what_is_too_long_is_refused() {
    let office = Office::open(Setup { pipeline: "max_input_chars = 100", ..Setup::default() }).await;
    for text in ["one", "two"] {
        office.ask("qianqi", &format!("echo:{text}")).await;
    }
    assert_eq!(last_prompt(&office.model), ["user: echo:one", "assistant: one", "user: echo:two"]);
    assert_eq!(office.ask("qianqi", "/retry").await, "two", "the last question is answered anew");
    assert_eq!(last_prompt(&office.model), ["user: echo:one", "assistant: one", "user: echo:two"]);
    office.ask("qianqi", "echo:three").await;
    let remembered = ["user: echo:one", "assistant: one", "user: echo:two", "assistant: two", "user: echo:three"];
    assert_eq!(last_prompt(&office.model), remembered, "and remembered once");

    let refused = office.ask("qianqi", &"long ".repeat(30)).await;
    assert!(refused.contains("too long"), "{refused}");
    assert!(office.ask("qianqi", "/new").await.contains("afresh"));
    office.ask("qianqi", "echo:four").await;
    assert_eq!(last_prompt(&office.model), ["user: echo:four"]);
    // There is nothing to answer anew.
    office.ask("sunba", "/new").await;
    assert!(office.ask("sunba", "/retry").await.contains("no earlier question"));
}

#[actix_rt::test]
async fn rapid_messages_become_one_turn_and_a_flood_is_refused_once() {
    let pipeline = "aggregation = '1s'\nrate_per_conversation = 1\nburst_per_conversation = 4";
    let office = Office::open(Setup { pipeline, ..Setup::default() }).await;
    for text in ["echo:first", "second", "third"] {
        office.write("zhoujiu", text).await;
    }
    assert_eq!(office.replies("zhoujiu", 1).await, ["first\nsecond\nthird"]);
    let messages = office.messages("zhoujiu").await;
    assert!(messages.iter().all(|message| message["state"] == "done"));
    let last = messages[2]["id"].as_str().unwrap().parse::<i64>().unwrap();
    assert_eq!(details(&messages[0], "answered").next().unwrap()["with"], json!(last), "the trace says with what");
    assert_eq!(office.model.counters.requests.load(Ordering::Relaxed), 1);

    for number in 1..=7 {
        office.write("wushi", &format!("echo:{number}")).await;
    }
    let shown = office.replies("wushi", 2).await;
    let refusals = shown.iter().filter(|text| text.contains("too fast")).count();
    assert_eq!((refusals, shown.len()), (1, 2), "{shown:?}");
    let states: Vec<_> =
        office.messages("wushi").await.iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states, ["done", "done", "done", "done", "refused", "refused", "refused"]);
}

#[actix_rt::test]
async fn a_conversation_with_a_thousand_waiting_is_told_once_that_more_is_not_taken() {
    let office = Office::open(Setup { pipeline: "rate_per_conversation = 0", ..Setup::default() }).await;
    office.model.set_script(vec![Rule { contains: Some("wait".into()), ..Rule::always(Fault::Hang) }]);
    office.write("crowd", "wait").await;
    office.message_after("crowd", "claimed").await;
    for batch in 0..9 {
        let texts: Vec<_> = (0..111).map(|number| format!("echo:{batch}-{number}")).collect();
        join_all(texts.iter().map(|text| office.write("crowd", text))).await;
    }
    for number in 0..3 {
        office.write("crowd", &format!("echo:too much {number}")).await;
    }
    let told = office.replies("crowd", 1).await;
    assert!(told.len() == 1 && told[0].contains("too many are waiting"), "{told:?}");
    let refused = office.get("/api/v1/messages?state=refused").await;
    let refused = refused["items"].as_array().unwrap().clone();
    assert_eq!(refused.len(), 3);
    for item in &refused {
        let message = office.get(&format!("/api/v1/messages/{}", item["id"].as_str().unwrap())).await;
        assert_eq!(details(&message, "refused").next().unwrap()["told"], json!(*item == refused[2]), "{message}");
    }
    assert_eq!(office.ask("somebody", "echo:else").await, "else");
}
