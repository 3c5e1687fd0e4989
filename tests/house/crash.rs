//! `kill -9` at random moments under load, and the proof that the harness would notice a broken promise.

use crate::support::siege::{Found, Pressure, Siege, Verdict};
use std::time::Duration;

/// Kills in the short form; `scripts/bench` does fifty.
const KILLS: u32 = 6;

async fn under_fire(pressure: Pressure, kills: u32) -> (Verdict, Found) {
    let mut siege = Siege::lay(pressure).await;
    let mut found = Found::default();
    for round in 0..kills {
        // Spread over the phases of the load, the same in every run.
        tokio::time::sleep(Duration::from_millis(400 + u64::from(round) * 137 % 300)).await;
        let (again, rows) = siege.kill_and_restart();
        siege = again;
        found.ready += rows.ready;
        found.claimed += rows.claimed;
        found.sending += rows.sending;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (verdict, _gateway) = siege.verdict().await;
    (verdict, found)
}

#[actix_rt::test]
async fn nothing_acknowledged_is_lost_doubled_or_reordered_by_kill_9() {
    let (verdict, found) = under_fire(Pressure::default(), KILLS).await;
    println!("{} acknowledged; found at the restarts: {found:?}", verdict.acknowledged);
    assert!(verdict.acknowledged > 100, "too little load to mean anything: {verdict:?}");
    assert!(found.ready + found.claimed > 0 && found.sending + found.claimed > 0, "the kills hit nothing: {found:?}");
    assert!(verdict.lost.is_empty(), "{verdict:?}");
    assert!(verdict.out_of_order.is_empty(), "{verdict:?}");
    assert!(verdict.silent_duplicates.is_empty(), "{verdict:?}");
}

#[actix_rt::test]
async fn the_harness_notices_an_acknowledgement_before_the_flush() {
    let pressure = Pressure { sabotage: Some("ack-first"), pause: Duration::from_millis(20), ..Pressure::default() };
    let (verdict, _) = under_fire(pressure, KILLS).await;
    assert!(!verdict.lost.is_empty(), "{verdict:?}");
}

#[actix_rt::test]
async fn the_harness_notices_a_part_that_is_sent_twice() {
    let (verdict, _) = under_fire(Pressure { sabotage: Some("double-send"), ..Pressure::default() }, 1).await;
    assert!(!verdict.silent_duplicates.is_empty(), "{verdict:?}");
}
