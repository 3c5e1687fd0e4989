//! `mindbot chat` before a gateway that goes away.

use crate::support::chat::in_terminal;
use crate::support::eventually;
use crate::support::office::{Office, Setup};
use std::sync::atomic::Ordering;

#[actix_rt::test]
async fn the_terminal_shows_the_answer_once_although_the_gateway_was_killed_in_between() {
    let office = Office::open(Setup::default()).await;
    let address = office.gateway.address.clone();
    let terminal = in_terminal(&["--url", &office.gateway.url("")], "echo:first\nslow:20\n");
    let asked = || async { (office.model.counters.completed.load(Ordering::Relaxed) == 1).then_some(()) };
    eventually("the first question is answered", asked).await;
    let asked = || async { (office.model.counters.open.load(Ordering::Relaxed) == 1).then_some(()) };
    eventually("the second question is with the model", asked).await;

    let _office = office.restarted(|gateway| gateway.kill().env("MINDBOT_SERVER__BIND", &address).start());
    let output = actix_rt::task::spawn_blocking(|| terminal.wait_with_output()).await.unwrap().unwrap();
    let words: Vec<_> = (1..=20).map(|number| format!("word{number}")).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("first\n{}", words.join(" ")), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("waiting for it"), "{output:?}");
}
