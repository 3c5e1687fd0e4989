//! One conversation is answered in the order it was written, and no platform's rush stands in front of another's.

use crate::support::chat::Chat;
use crate::support::office::{Office, Setup};
use futures_util::future::join_all;
use mindbot::simulate::openai;
use std::time::Duration;

const CONVERSATIONS: usize = 50;
const MESSAGES: usize = 10;

fn model(longest_ms: u64) -> openai::Options {
    openai::Options { delay: (Duration::ZERO, Duration::from_millis(longest_ms)), ..openai::Options::default() }
}

#[actix_rt::test]
async fn queued_messages_are_answered_in_order_whatever_each_takes() {
    let setup = Setup {
        pipeline: "rate_per_conversation = 0\nnotice_after = '10m'",
        model: Some(&model(200)),
        ..Setup::default()
    };
    let office = Office::open(setup).await;
    let users: Vec<String> = (0..CONVERSATIONS).map(|number| format!("talker-{number}")).collect();
    // The first answer takes so long that everything else is in line by then.
    join_all(users.iter().map(|user| office.write(user, "slow:80"))).await;
    for number in 1..MESSAGES {
        let text = format!("echo:{number}");
        join_all(users.iter().map(|user| office.write(user, &text))).await;
    }
    assert!(office.wecom.sent().is_empty(), "everything was queued before the first answer");
    for user in &users {
        let shown = office.replies(user, MESSAGES).await;
        assert!(shown[0].starts_with("word1 "), "{user}: {shown:?}");
        let rest: Vec<_> = (1..MESSAGES).map(|number| number.to_string()).collect();
        assert_eq!(shown[1..], rest, "{user}");
    }
}

#[actix_rt::test]
async fn a_rush_on_one_platform_does_not_stand_in_front_of_another() {
    let slow = openai::Options {
        delay: (Duration::from_millis(300), Duration::from_millis(300)),
        ..openai::Options::default()
    };
    let office = Office::open(Setup { pipeline: "turns = 4", model: Some(&slow), ..Setup::default() }).await;
    let users: Vec<String> = (0..200).map(|number| format!("rush-{number}")).collect();
    join_all(users.iter().map(|user| office.write(user, "echo:rush"))).await;
    assert_eq!(Chat::of(&office.gateway).ask("calm", "echo:unhurried").await, "unhurried");
    let served = office.wecom.calls().shown;
    // 200 messages through 4 turns take fifteen seconds; in line behind them all it would have been the last.
    assert!(served < 100, "the calm platform waited behind {served} messages of the other");
}

#[actix_rt::test]
async fn who_waits_for_a_free_turn_is_told_so_once_and_then_answered() {
    let office = Office::open(Setup { pipeline: "turns = 1\nnotice_after = '500ms'", ..Setup::default() }).await;
    office.write("busy", "slow:30").await;
    office.message_after("busy", "claimed").await;
    office.write("waiting", "echo:first").await;
    office.write("waiting", "echo:second").await;
    let shown = office.replies("waiting", 3).await;
    assert_eq!(shown, ["It is busy right now; your message is in line.", "first", "second"]);
    let busy = office.replies("busy", 2).await;
    assert!(busy[0].starts_with("This is taking a while") && !busy[1].is_empty(), "{busy:?}");
}
