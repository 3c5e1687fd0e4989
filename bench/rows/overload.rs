//! Ten times as many messages as can be answered.

use super::path::sustained;
use crate::Wish;
use crate::load::{Pool, Sample, millis, number_of, percentile, seal};
use crate::process;
use crate::report::{Bar, Row};
use crate::world::{OVERLOAD, Subject, World, launch};
use std::time::{Duration, Instant};

const TIMES: f64 = 10.0;
/// What is promised for two cores. Ten times the rate that is measured there could not be offered from the same two cores.
const PROMISED: f64 = 1500.0;
const MEMBERS: usize = 20_000;
/// Numbers of the messages of the rush, and of those after it.
const RUSH: usize = 1_000_000;
const AFTER: usize = 5_000_000;
const CALM: Duration = Duration::from_secs(5);

pub async fn run(wish: &Wish) -> Vec<Row> {
    let (warm, time) = if wish.quick { (5, 10) } else { (15, 60) };
    let time = Duration::from_secs(time);
    let world = World::new((Duration::ZERO, Duration::ZERO), true).await;
    let gateway = launch(&world, OVERLOAD).start();
    let usual = sustained(&world, &gateway, Duration::from_secs(warm)).await.per_second;
    let (rate, resident) = (PROMISED * TIMES, process::resident(gateway.pid()));
    let count = (rate * time.as_secs_f64()) as usize;
    let requests = seal(&gateway.address, RUSH..RUSH + count, MEMBERS);
    let pool = Pool::new(&gateway.address, requests, 512);
    let (before, began) = (world.shown(), Instant::now());
    pool.at_rate(rate).await;
    let (served, elapsed) = (world.shown() - before, began.elapsed());
    let samples = pool.finish(count, Duration::from_secs(1)).await;
    tokio::time::sleep(CALM).await;
    let grown = process::peak(gateway.pid()) - resident;
    let (mut calm, missing) = after(&world, &gateway).await;
    drop(gateway);
    world.end().await;
    let refusals: Vec<Sample> = samples.iter().filter(|sample| sample.status == 503).copied().collect();
    let taken = samples.iter().filter(|sample| sample.status == 200).count();
    let broken = samples.len() - refusals.len() - taken;
    let served = served as f64 / elapsed.as_secs_f64();
    let row = Row::new("overload", format!("10 × the promised {PROMISED} messages/s for {} s", time.as_secs()))
        .value("still served", 100.0 * served / PROMISED, "% of the promise", Bar::AtLeast(90.0))
        .value("still served", 100.0 * served / usual, "% of what was measured before", Bar::None)
        .value("refusals, p99", percentile(&mut millis(&refusals), 0.99), "ms", Bar::AtMost(100.0))
        .none_of("refusals without Retry-After", refusals.iter().filter(|sample| !sample.retry_after).count())
        .none_of("broken connections and other answers", broken)
        .value("memory grown by", grown, "MB", Bar::AtMost(64.0))
        .value("from callback to send, 5 s after, p99", percentile(&mut calm, 0.99), "ms", Bar::AtMost(100.0))
        .none_of("not answered, 5 s after", missing)
        .value("sustained before", usual, "messages/s", Bar::None)
        .value("offered", samples.len() as f64 / elapsed.as_secs_f64(), "messages/s", Bar::None)
        .value("taken", taken as f64, "", Bar::None)
        .value("refused", refusals.len() as f64, "", Bar::None);
    let note =
        "ten times what is measured could not be offered from the same two cores; configuration: bench/overload.toml";
    vec![row.note(note)]
}

/// Delays of a few messages once it should be normal again, and how many were not answered.
async fn after(world: &World, subject: &dyn Subject) -> (Vec<f64>, usize) {
    let count = 200;
    let pool = Pool::new(subject.address(), seal(subject.address(), AFTER..AFTER + count, MEMBERS), 16);
    pool.at_rate(100.0).await;
    let samples = pool.finish(count, Duration::from_secs(5)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut due = vec![f64::NAN; count];
    samples.iter().for_each(|sample| due[sample.number] = sample.due_ms);
    let sent = world.wecom.sent();
    let numbered = sent.iter().filter(|sent| sent.shown).filter_map(|sent| Some((number_of(&sent.text)?, sent.at_ms)));
    let delays: Vec<f64> = numbered
        .filter(|(number, _)| *number >= AFTER)
        .map(|(number, at_ms)| at_ms as f64 + 1.0 - due[number - AFTER])
        .collect();
    let missing = count.saturating_sub(delays.len());
    (delays, missing)
}
