//! A model that hangs, breaks off, talks nonsense or refuses: what the person reads, and what the trace says of it.

use crate::support::eventually;
use crate::support::office::{Office, Setup, assistant, branch, details, provider};
use mindbot::simulate::openai::{self, Fault, Rule};
use serde_json::{Value, json};

fn rule(word: &str, times: Option<u64>, fault: Fault) -> Rule {
    Rule { contains: Some(format!("echo:{word}")), times, ..Rule::always(fault) }
}

fn status(status: u16, retry_after: Option<&str>) -> Fault {
    Fault::Status { status, code: None, message: None, retry_after: retry_after.map(str::to_owned) }
}

/// Who was asked for a message, and how it went, by the step of the trace that tells.
fn attempts(message: &Value) -> Vec<(String, String)> {
    let steps = ["answered", "unanswered"].into_iter().flat_map(|step| details(message, step));
    let attempts = steps.flat_map(|detail| detail["attempts"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    attempts.map(|attempt| (text(&attempt["provider"]), text(&attempt["outcome"]))).collect()
}

#[actix_rt::test]
async fn a_provider_that_stumbles_is_asked_again_and_the_person_sees_a_whole_answer() {
    let upstream = openai::start(openai::Options::default()).unwrap();
    // Each fault happens once; the words are those of the trace.
    let table = [
        ("hang", Fault::Hang, "no byte for 2 s"),
        ("stall", Fault::Stall { after: 0 }, "no byte for 2 s"),
        ("cut", Fault::Cut { after: 0 }, ""),
        ("garbage", Fault::Garbage, "not a chat completion"),
        ("busy", status(429, Some("1")), "the script says so"),
        ("broken", status(500, None), "the script says so"),
        ("giant", Fault::GiantLine { bytes: 400_000 }, "more than"),
        ("page", Fault::ContentType { value: "text/html".into() }, "text/html"),
        ("mid-error", Fault::StreamError { after: 0, code: Some("500".into()) }, "the script says so"),
        ("slow", Fault::SlowBytes { every_ms: 1 }, "answered"),
    ];
    upstream.set_script(table.iter().map(|(word, fault, _)| rule(word, Some(1), fault.clone())).collect());
    let patience = "idle_timeout = '2s'";
    let rest: String = table.iter().map(|(word, ..)| branch(word, &upstream.base_url(), patience)).collect();
    let office = Office::open(Setup { rest: &rest, ..Setup::default() }).await;
    for (word, ..) in &table {
        office.write(word, &format!("echo:{word}")).await;
    }
    for (word, _, outcome) in &table {
        assert_eq!(office.replies(word, 1).await, [*word], "the whole answer, once");
        let message = office.message(word).await;
        let attempts = attempts(&message);
        let (_, first) = attempts.first().unwrap();
        assert!(first.contains(outcome), "{word}: {attempts:?}");
        assert_eq!(attempts.last().unwrap().1, "answered", "{word}: {attempts:?}");
        assert_eq!(attempts.len(), if *word == "slow" { 1 } else { 2 }, "{word}: {message}");
        assert_eq!((&message["attempt"], &message["strikes"]), (&json!(1), &json!(0)), "{word}: no strike");
    }
}

#[actix_rt::test]
async fn a_stream_that_breaks_off_is_begun_anew_and_an_answer_that_stays_half_says_so() {
    let office = Office::open(Setup::default()).await;
    let cut = |word, times| rule(word, times, Fault::Cut { after: 9 });
    office.model.set_script(vec![cut("once", Some(1)), cut("always", None)]);
    let words = "and many more words that follow";
    assert_eq!(office.ask("once", &format!("echo:once {words}")).await, format!("once {words}"));
    let message = office.message("once").await;
    assert_eq!(details(&message, "started over").next().unwrap()["after_chars"], 9);

    let half = office.ask("always", &format!("echo:always {words}")).await;
    assert_eq!(half, "always an\n\n(The answer broke off here.)");
    let message = office.message("always").await;
    assert_eq!(details(&message, "unanswered").next().unwrap()["chars"], 9);
}

#[actix_rt::test]
async fn a_second_provider_takes_over_and_the_person_sees_one_whole_answer() {
    let sick = openai::start(openai::Options::default()).unwrap();
    let table = [
        ("refused", status(401, None)),
        ("failing", status(500, None)),
        ("hurried", status(429, Some("30"))),
        ("silent", Fault::Hang),
        ("breaking", Fault::Cut { after: 2 }),
        ("mumbling", Fault::Garbage),
    ];
    sick.set_script(table.iter().map(|(word, fault)| rule(word, None, fault.clone())).collect());
    let rest: String = table
        .iter()
        .map(|(word, _)| provider(word, &sick.base_url(), "idle_timeout = '2s'") + &assistant(word, &[word, "model"]))
        .collect();
    let office = Office::open(Setup { rest: &rest, ..Setup::default() }).await;
    for (word, _) in &table {
        office.write(word, &format!("echo:{word}")).await;
    }
    for (word, _) in &table {
        assert_eq!(office.replies(word, 1).await, [*word]);
        let message = office.message(word).await;
        let order = &details(&message, "failed over").next().unwrap_or_else(|| panic!("{word}: {message}"))["order"];
        assert_eq!(order, &json!([word, "model"]));
        assert_eq!(message["strikes"], 0);
    }
    let readiness = office.get("/readyz").await;
    assert_eq!(readiness["ready"], true, "a sick provider does not make us unready: {readiness}");
    let degraded = readiness["degraded"].to_string();
    assert!(degraded.contains("provider/refused") && degraded.contains("401"), "{degraded}");
}

#[actix_rt::test]
async fn without_any_provider_each_conversation_is_told_once_and_answered_in_order_when_one_returns() {
    let gone = openai::start(openai::Options::default()).unwrap();
    let (port, base) = (gone.port, gone.base_url());
    gone.stop();
    let rest = provider("gone", &base, "");
    let setup = Setup {
        pipeline: "notice_after = '1s'",
        rest: &rest,
        assistant: Some("providers = ['gone']"),
        ..Setup::default()
    };
    let office = Office::open(setup).await;
    let users = ["one", "two", "three"];
    for number in 1..=3 {
        for user in users {
            office.write(user, &format!("echo:{user} {number}")).await;
        }
    }
    for user in users {
        let notice = office.replies(user, 1).await.remove(0);
        assert!(notice.contains("in line"), "{notice}");
    }
    // What comes during the same outage is not announced again.
    office.write("one", "echo:one 4").await;
    let _back = openai::start(openai::Options { port, ..openai::Options::default() }).unwrap();
    for user in users {
        let count = if user == "one" { 4 } else { 3 };
        let shown = office.replies(user, count + 1).await;
        let answers: Vec<_> = (1..=count).map(|number| format!("{user} {number}")).collect();
        assert_eq!(shown[1..], answers, "the notice, then everything in order: {shown:?}");
    }
    let first = office.messages("two").await.remove(0);
    assert!(details(&first, "released").all(|detail| detail["strike"] == false), "an outage is no strike");
    assert!(details(&first, "noticed").count() == 1 && first["state"] == "done");
}

#[actix_rt::test]
async fn who_waits_for_a_model_that_says_nothing_is_told_once_and_answered_later() {
    let upstream = openai::start(openai::Options::default()).unwrap();
    upstream.set_script(vec![rule("silent", Some(2), Fault::Hang)]);
    let rest = branch("silent", &upstream.base_url(), "idle_timeout = '2s'");
    let office = Office::open(Setup { pipeline: "notice_after = '1s'", rest: &rest, ..Setup::default() }).await;
    office.write("patient", "echo:silent").await;
    let shown = office.replies("patient", 2).await;
    assert_eq!(shown, ["This is taking a while; the answer comes as soon as it is there.", "silent"]);
    office.write("lucky", "echo:silent").await;
    assert_eq!(office.replies("lucky", 1).await, ["silent"], "a model that answers needs no notice");
    let message = office.messages("patient").await.remove(0);
    assert_eq!(details(&message, "noticed").count(), 1, "{message}");
}

#[actix_rt::test]
async fn what_nobody_could_answer_gets_the_failure_reply_becomes_a_dead_letter_and_can_be_tried_again() {
    let upstream = openai::start(openai::Options::default()).unwrap();
    upstream.set_script(vec![rule("denied", None, status(401, None)), rule("failing", None, status(500, None))]);
    let rest = branch("denied", &upstream.base_url(), "") + &branch("failing", &upstream.base_url(), "");
    let pipeline = "notice_after = '500ms'\ngive_up_after = '2s'";
    let office = Office::open(Setup { pipeline, rest: &rest, ..Setup::default() }).await;
    for user in ["denied", "failing"] {
        office.write(user, &format!("echo:{user}")).await;
    }
    for (user, why) in [("denied", "401"), ("failing", "500")] {
        let shown = office.replies(user, 2).await;
        // While a turn runs it tells the person itself, between two turns the line does; the first of them speaks.
        let is_told = ["in line", "taking a while"].iter().any(|words| shown[0].contains(words));
        assert!(is_told && shown[1].contains("could not be answered"), "{shown:?}");
        let message = office.message(user).await;
        assert_eq!((message["state"].as_str(), &message["strikes"]), (Some("dead"), &json!(0)));
        assert!(attempts(&message)[0].1.contains(why) || message["trace"].to_string().contains(why), "{message}");
        let letters = office.get("/api/v1/dead-letters").await;
        let letter = letters["items"].as_array().unwrap().iter().find(|letter| letter["id"] == message["id"]).unwrap();
        assert!(letter["reason"].as_str().unwrap().contains("give_up_after"), "{letter}");
    }
    assert_eq!(office.ask("healthy", "echo:well").await, "well", "the rest goes on");

    upstream.set_script(Vec::new());
    // The next message finds out that the provider is well again.
    office.ask("prober", "echo:failing").await;
    let id = office.message("failing").await["id"].as_str().unwrap().to_owned();
    office.post_json(&format!("/api/v1/dead-letters/{id}/redrive"), &Value::Null).await;
    let last =
        || async { Some(office.shown("failing")).filter(|shown| shown.last().is_some_and(|text| text == "failing")) };
    let shown = eventually("the redriven message is answered", last).await;
    assert_eq!(shown.iter().filter(|text| *text == "failing").count(), 1, "{shown:?}");
}
