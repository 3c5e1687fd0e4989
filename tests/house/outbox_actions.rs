//! Every answer that WeCom has to a reply is obeyed: what becomes of the part, how often it is sent, how long it waits,
//! and who is told.

use crate::support::chat::Chat;
use crate::support::eventually;
use crate::support::office::{Office, Setup, details};
use mindbot::simulate::wecom::{Fault, On, Rule, Script, Scripted};
use serde_json::Value;

/// How often WeCom answers so.
#[derive(Clone, Copy, PartialEq)]
enum Times {
    Once,
    Twice,
    Always,
}

/// What has to come of it.
struct Outcome {
    state: &'static str,
    calls: usize,
    /// Times that the part was put off.
    waits: usize,
    reason: &'static str,
}

const SENT: Outcome = Outcome { state: "sent", calls: 1, waits: 0, reason: "" };
const GIVEN_UP: Outcome = Outcome { state: "dead", calls: 1, waits: 0, reason: "WeCom answered" };
const REPORTED: Outcome = Outcome { state: "dead", calls: 1, waits: 0, reason: "configuration: WeCom answered" };

/// The runs of one documented action.
fn runs(code: i64, action: &str) -> Vec<(Times, Outcome)> {
    match action {
        "ok" => vec![(Times::Always, SENT)],
        "refresh_token_retry_once" => vec![
            (Times::Once, Outcome { calls: 2, ..SENT }),
            (Times::Always, Outcome { state: "dead", calls: 6, waits: 2, reason: "given up after 3 tries" }),
        ],
        "retry_backoff" => vec![
            (Times::Twice, Outcome { calls: 3, waits: 2, ..SENT }),
            (Times::Always, Outcome { state: "dead", calls: 3, waits: 2, reason: "given up after 3 tries" }),
        ],
        "config_error" => vec![(Times::Always, REPORTED)],
        // These two belong to another kind of connection, and fall back to this kind of send.
        "downgrade" if code > 800_000 => vec![(Times::Always, GIVEN_UP)],
        "downgrade" => vec![(Times::Once, Outcome { calls: 3, ..SENT })],
        "give_up" => vec![(Times::Always, GIVEN_UP)],
        other => panic!("no run for `{other}`"),
    }
}

fn rule(user: &str, times: Times, answer: Scripted) -> Rule {
    let times = match times {
        Times::Once => Some(1),
        Times::Twice => Some(2),
        Times::Always => None,
    };
    Rule { on: On::Send, user: Some(user.into()), nth: None, times, answer }
}

/// The state of every part of a message's reply.
fn states(message: &Value) -> Vec<&str> {
    message["replies"].as_array().unwrap().iter().map(|part| part["state"].as_str().unwrap()).collect()
}

fn at(item: &Value) -> i64 {
    item["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// Whether every wait in a trace was waited: `(wait named, time until the next try)` in milliseconds.
fn waits(message: &Value) -> Vec<(i64, i64)> {
    let trace = message["trace"].as_array().unwrap();
    let put_off = trace.iter().enumerate().filter(|(_, item)| item["step"] == "put off");
    put_off
        .map(|(place, item)| {
            let again = trace[place..].iter().find(|item| item["step"] == "sending").map_or(i64::MAX, at);
            (item["detail"]["wait_ms"].as_i64().unwrap(), again - at(item))
        })
        .collect()
}

/// Waits until nothing of a member's message is on its way any more.
async fn settled(office: &Office, user: &str) -> Value {
    let is_open = |message: &Value| {
        message["replies"].as_array().unwrap().is_empty()
            || states(message).iter().any(|it| matches!(*it, "ready" | "sending"))
    };
    let look = || async { Some(office.message(user).await).filter(|message| !is_open(message)) };
    eventually(&format!("the reply to {user} is settled"), look).await
}

/// Whether an operator was told: an alert in the log, and the list of dead letters.
async fn operator_is_told(office: &Office, message: &Value) -> (bool, bool) {
    let id = message["id"].as_str().unwrap();
    let is_alert =
        |line: &str| line.contains("a reply part is dead") && line.contains(&format!("\"message.id\":{id},"));
    let letters = office.get("/api/v1/dead-letters?limit=200").await;
    let is_listed = letters["items"].as_array().unwrap().iter().any(|letter| letter["id"] == id);
    (office.gateway.log().lines().any(is_alert), is_listed)
}

async fn check(office: &Office, user: &str, expected: &Outcome) {
    let message = settled(office, user).await;
    let calls = office.wecom.sent().iter().filter(|sent| sent.touser == user).count();
    assert_eq!(calls, expected.calls, "{user}: {message}");
    assert!(states(&message).iter().all(|state| *state == expected.state), "{user}: {message}");
    let shown = office.shown(user).concat();
    let waits = waits(&message);
    assert_eq!(waits.len(), expected.waits, "{user}: {message}");
    for (named, waited) in &waits {
        assert!((1000..=30_500).contains(named) && waited >= named, "{user}: {waits:?}");
    }
    assert!(waits.windows(2).all(|pair| pair[1].0 >= pair[0].0 + 500), "{user}: each wait is longer: {waits:?}");
    match expected.state {
        "sent" => {
            assert_eq!(shown.replace('\n', ""), user, "the person has the whole answer once");
            assert_eq!(operator_is_told(office, &message).await, (false, false), "{user}");
        }
        _ => {
            assert_eq!(shown, "", "{user}");
            let reason = message["replies"][0]["reason"].as_str().unwrap();
            assert!(reason.contains(expected.reason), "{user}: {reason}");
            // The log is read beside us.
            let told = || async { (operator_is_told(office, &message).await == (true, true)).then_some(()) };
            eventually(&format!("an operator is told of {user}"), told).await;
        }
    }
}

#[actix_rt::test]
async fn every_documented_code_does_what_it_asks_for() {
    let office = Office::open(Setup::default()).await;
    let file: Value = serde_json::from_str(include_str!("../fixtures/wecom/error_actions.json")).unwrap();
    let mut table = Vec::new();
    let mut rules = Vec::new();
    for case in file["wecom"].as_array().unwrap() {
        let (code, action) = (case["code"].as_i64().unwrap(), case["action"].as_str().unwrap());
        if action == "rate_limit_wait" {
            continue;
        }
        for (number, (times, outcome)) in runs(code, action).into_iter().enumerate() {
            let user = format!("{action} {code} {number}").replace(' ', "-");
            rules.push(rule(&user, times, Scripted { errcode: code, ..Scripted::default() }));
            table.push((user, outcome));
        }
    }
    assert!(table.len() >= 45, "the vectors are all there");
    office.wecom.follow(Script { rules, ..Script::default() });
    for (user, _) in &table {
        office.write(user, &format!("echo:{user}")).await;
    }
    for (user, outcome) in &table {
        check(&office, user, outcome).await;
    }

    // What is dead is sent again by hand, once the reason is gone.
    office.wecom.follow(Script::default());
    let dead = office.message("give_up-81013-0").await;
    let path = format!("/api/v1/dead-letters/{}/redrive", dead["id"].as_str().unwrap());
    assert_eq!(office.post_json(&path, &Value::Null).await["retried"], "replies");
    assert_eq!(office.replies("give_up-81013-0", 1).await, ["give_up-81013-0"]);
}

#[actix_rt::test]
async fn only_a_part_whose_fate_is_unknown_is_repeated_under_the_platforms_guard() {
    let office = Office::open(Setup::default()).await;
    let cut = || Scripted { fault: Some(Fault::Cut), ..Scripted::default() };
    let rules = vec![
        rule("cut-once", Times::Once, cut()),
        rule("cut-always", Times::Always, cut()),
        rule("garbage", Times::Once, Scripted { fault: Some(Fault::Garbage), ..Scripted::default() }),
        rule("lost-behind-a-proxy", Times::Once, Scripted { http: Some(502), ..Scripted::default() }),
        rule("not-taken", Times::Once, Scripted { errcode: -1, ..Scripted::default() }),
    ];
    office.wecom.follow(Script { rules, ..Script::default() });
    let table = [
        ("cut-once", "sent", vec![false, true]),
        ("cut-always", "unknown", vec![false, true]),
        ("garbage", "sent", vec![false, true]),
        ("lost-behind-a-proxy", "sent", vec![false, true]),
        ("not-taken", "sent", vec![false, false]),
    ];
    for (user, ..) in &table {
        office.write(user, &format!("echo:{user}")).await;
    }
    for (user, state, flags) in &table {
        let message = settled(&office, user).await;
        assert_eq!(states(&message), [*state], "{user}: {message}");
        let sent: Vec<_> = office.wecom.sent().into_iter().filter(|sent| sent.touser == *user).collect();
        assert_eq!(sent.iter().map(|sent| sent.duplicate_check.is_some()).collect::<Vec<_>>(), *flags, "{user}");
        assert!(
            sent.iter().filter_map(|sent| sent.duplicate_check).all(|seconds| (60..=120).contains(&seconds)),
            "{user}"
        );
        assert_eq!(office.shown(user), [*user], "seen once");
        let doubts = details(&message, "unknown").count();
        assert_eq!(doubts, if *state == "unknown" { 2 } else { usize::from(flags[1]) }, "{user}: {message}");
    }
    let doubtful = office.message("cut-always").await;
    assert_eq!(operator_is_told(&office, &doubtful).await, (false, true), "listed for a person to decide");
}

#[actix_rt::test]
async fn replies_outlast_a_platform_that_is_away() {
    let mut office = Office::open(Setup::default()).await;
    assert_eq!(office.ask("early", "echo:hello").await, "hello");
    let port = office.lose_platform().await;
    office.write("patient", "echo:still here").await;
    let tries = || async { (details(&office.message("patient").await, "put off").count() >= 3).then_some(()) };
    eventually("the reply is tried more often than at a platform that is merely busy", tries).await;
    office.regain_platform(port).await;
    assert_eq!(office.replies("patient", 1).await, ["still here"]);
    let message = settled(&office, "patient").await;
    assert_eq!(states(&message), ["sent"]);
    assert_eq!(operator_is_told(&office, &message).await, (false, false), "nothing is dead");
}

#[actix_rt::test]
async fn a_rate_limit_silences_its_platform_and_no_other() {
    let office = Office::open(Setup::default()).await;
    let patience = Scripted { http: Some(429), retry_after: Some("1".into()), ..Scripted::default() };
    let limit = Scripted { errcode: 45009, ..Scripted::default() };
    let rules = vec![rule("hasty", Times::Once, patience), rule("limited", Times::Always, limit)];
    office.wecom.follow(Script { rules, ..Script::default() });
    assert_eq!(office.ask("hasty", "echo:later").await, "later");
    let message = settled(&office, "hasty").await;
    let named: Vec<_> = waits(&message);
    assert!(matches!(named.as_slice(), [(1000, waited)] if *waited >= 1000), "{named:?}");

    office.write("limited", "echo:never").await;
    let message = office.message_after("limited", "put off").await;
    let step = message["trace"].as_array().unwrap().iter().find(|item| item["step"] == "put off").unwrap().clone();
    let wait = step["detail"]["wait_ms"].as_i64().unwrap();
    assert!((2000..=61_000).contains(&wait), "until the minute has passed: {step}");
    office.write("bystander", "echo:waits too").await;
    office.message_after("bystander", "committed").await;
    // The pump serves the other platform, so it has looked at this one as well.
    assert_eq!(Chat::of(&office.gateway).ask("calm", "echo:unhurried").await, "unhurried");
    for user in ["limited", "bystander"] {
        let trace = office.message(user).await["trace"].clone();
        let tries = trace.as_array().unwrap().iter().filter(|item| item["step"] == "sending" && at(item) > at(&step));
        assert!(
            tries.map(at).all(|again| again >= at(&step) + wait),
            "{user} waits until the limit has passed: {trace}"
        );
    }
}
