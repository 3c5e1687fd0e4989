//! Webhook, flush, 200: how long a platform waits for its acknowledgement.

use crate::Wish;
use crate::load::{Pool, millis, percentile, seal};
use crate::report::{Bar, Row};
use crate::support::gateway::Launch;
use crate::world::{PLAIN, World, launch};
use std::time::Duration;

const RATE: f64 = 1000.0;

pub async fn run(wish: &Wish) -> Vec<Row> {
    let plain =
        measure(wish, "webhook → durable → 200, 1,000 messages/s offered, encrypted WeCom", 10.0, |it| it).await;
    let chaos = |it: Launch| it.binary(&wish.chaos).env("MINDBOT_SLOW_FLUSH_MS", "5");
    let what = "the same with every flush delayed by 5 ms";
    let slow = measure(wish, what, 40.0, chaos).await;
    vec![plain, slow.note("the delay exists only in a build with `chaos-tests`: cargo profile `ci`, opt-level 1")]
}

async fn measure(wish: &Wish, what: &str, bar: f64, change: impl Fn(Launch) -> Launch) -> Row {
    let seconds = if wish.quick { 5 } else { 30 };
    let world = World::new((Duration::ZERO, Duration::ZERO), false).await;
    let gateway = change(launch(&world, PLAIN)).start();
    let count = RATE as usize * seconds;
    let pool = Pool::new(&gateway.address, seal(&gateway.address, 0..count, 5000), 128);
    pool.at_rate(RATE).await;
    let samples = pool.finish(count, Duration::from_secs(10)).await;
    let answered = world.wait_for(count, Duration::from_secs(10)).await;
    let refused = count - samples.iter().filter(|sample| sample.status == 200).count();
    let mut took = millis(&samples);
    drop(gateway);
    world.end().await;
    Row::new("webhook", what)
        .value("p50", percentile(&mut took, 0.50), "ms", Bar::None)
        .value("p99", percentile(&mut took, 0.99), "ms", Bar::AtMost(bar))
        .none_of("refused", refused)
        .none_of("acknowledged and not answered", count.saturating_sub(answered))
        .note(format!("{seconds} s; every message also goes through the pipeline to its answer"))
}
