//! `kill -9` under load, and the proof that the harness would notice a broken promise.

use crate::Wish;
use crate::admin::Admin;
use crate::report::{Bar, Row};
use crate::support::siege::{Pressure, Siege, Verdict, under_fire};
use std::time::Duration;

/// Random moments between two kills.
fn moments(kills: usize) -> impl Iterator<Item = Duration> {
    (0..kills).map(|_| Duration::from_millis(200 + uuid::Uuid::new_v4().as_u128() as u64 % 800))
}

pub async fn kills(wish: &Wish) -> Vec<Row> {
    let kills = if wish.quick { 10 } else { 50 };
    let pause = Duration::from_millis(60);
    let (verdict, found) = under_fire(Pressure { pause, ..Pressure::default() }, moments(kills)).await;
    eprintln!("{verdict:?}");
    let per_thousand = 1000.0 * verdict.duplicates.len() as f64 / verdict.acknowledged as f64;
    let row = Row::new("kills", format!("kill -9 at {kills} random moments under load"))
        .none_of("acknowledged and lost", verdict.lost.len())
        .none_of("out of order", verdict.out_of_order.len())
        .value("visible duplicates in a thousand", per_thousand, "", Bar::AtMost(1.0))
        .none_of("duplicates not shown as unknown", verdict.silent_duplicates.len())
        .value("acknowledged", verdict.acknowledged as f64, "", Bar::None)
        .value("found `ready` at a restart", found.ready as f64, "rows", Bar::AtLeast(1.0))
        .value("found `claimed`", found.claimed as f64, "rows", Bar::AtLeast(1.0))
        .value("found `sending`", found.sending as f64, "rows", Bar::AtLeast(1.0));
    vec![row]
}

/// Restarts the dispatcher again and again, so that turns end whose rows have been given to others meanwhile.
async fn under_restarts(pressure: Pressure) -> Verdict {
    let siege = Siege::lay(pressure).await;
    let admin = Admin::of(&siege.gateway);
    for _ in 0..RESTARTS {
        tokio::time::sleep(Duration::from_millis(100)).await;
        admin.restart("core/dispatcher").await;
    }
    siege.verdict().await.0
}

const RESTARTS: usize = 60;

/// What the harness must notice, and how hard the gateway has to be pressed for it.
const CONTROLS: [(&str, u64, fn(&Verdict) -> usize); 2] = [
    // An acknowledgement before the flush loses what a kill finds in between.
    ("ack-first", 20, |verdict| verdict.lost.len()),
    ("double-send", 120, |verdict| verdict.silent_duplicates.len()),
];

pub async fn controls(wish: &Wish) -> Vec<Row> {
    let mut row = Row::new("controls", "the harness fails on a build that breaks its promises on purpose");
    for (sabotage, pause, noticed) in CONTROLS {
        let pressure = Pressure {
            sabotage: Some(sabotage),
            binary: Some(wish.chaos.clone()),
            pause: Duration::from_millis(pause),
            ..Pressure::default()
        };
        let (verdict, _) = under_fire(pressure, moments(6)).await;
        let failed = if verdict.is_kept() { 0 } else { noticed(&verdict) };
        row = row.value(format!("violations noticed under `{sabotage}`"), failed as f64, "", Bar::AtLeast(1.0));
    }
    let crowded = Pressure { members: 60, pause: Duration::from_millis(20), ..Pressure::default() };
    let sound = under_restarts(Pressure { binary: Some(wish.chaos.clone()), ..crowded.clone() }).await;
    let unfenced = Pressure { sabotage: Some("no-fence"), binary: Some(wish.chaos.clone()), ..crowded };
    let verdict = under_restarts(unfenced).await;
    row = row
        .value("violations noticed under `no-fence`", verdict.silent_duplicates.len() as f64, "", Bar::AtLeast(1.0))
        .none_of("violations without `no-fence`, as often restarted", sound.silent_duplicates.len() + sound.lost.len());
    vec![row]
}
