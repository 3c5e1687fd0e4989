//! `kill -9` at random moments under load, and the proof that the harness would notice a broken promise.

use crate::support::siege::{Pressure, under_fire};
use std::time::Duration;

/// Kills in the short form; `scripts/bench` does fifty.
const KILLS: u32 = 6;

/// Spread over the phases of the load, the same in every run.
fn moments(kills: u32) -> impl Iterator<Item = Duration> {
    (0..kills).map(|round| Duration::from_millis(400 + u64::from(round) * 137 % 300))
}

#[actix_rt::test]
async fn nothing_acknowledged_is_lost_doubled_or_reordered_by_kill_9() {
    let (verdict, found) = under_fire(Pressure::default(), moments(KILLS)).await;
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
    let (verdict, _) = under_fire(pressure, moments(KILLS)).await;
    assert!(!verdict.lost.is_empty(), "{verdict:?}");
}

#[actix_rt::test]
async fn the_harness_notices_a_part_that_is_sent_twice() {
    let (verdict, _) = under_fire(Pressure { sabotage: Some("double-send"), ..Pressure::default() }, moments(1)).await;
    assert!(!verdict.silent_duplicates.is_empty(), "{verdict:?}");
}
