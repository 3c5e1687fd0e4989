//! From an encrypted callback to the answer at the platform: rate, cost and delay, beside the bare reference.

use crate::Wish;
use crate::load::{Pool, number_of, percentile, seal};
use crate::process;
use crate::report::{Bar, Row};
use crate::world::{PLAIN, Reference, Subject, World, launch};
use std::time::{Duration, Instant};

/// Messages posted and not yet answered: enough to keep everything busy.
const WINDOW: usize = 1024;
const MEMBERS: usize = 20_000;
const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(3);
/// More than this machine does; what is left over is not posted.
const MOST_PER_SECOND: usize = 10_000;
/// Numbers of the messages at half rate.
const SECOND_PART: usize = 1_000_000;

pub struct Sustained {
    pub per_second: f64,
    pub cpu_ms: f64,
    pub unanswered: usize,
}

pub async fn run(wish: &Wish) -> Vec<Row> {
    let time = Duration::from_secs(if wish.quick { 5 } else { 30 });
    let world = World::new((Duration::ZERO, Duration::ZERO), true).await;
    let reference = Reference::start(&world);
    let bare = sustained(&world, &reference, time).await;
    drop(reference);
    world.end().await;
    let world = World::new((Duration::ZERO, Duration::ZERO), true).await;
    let gateway = launch(&world, PLAIN).start();
    let ours = sustained(&world, &gateway, time).await;
    let half = ours.per_second / 2.0;
    let (mut delays, missing) = delays_at(&world, &gateway, half, time).await;
    drop(gateway);
    world.end().await;
    let row =
        Row::new("path", "encrypted WeCom callback → pipeline → streamed model → message/send, everything on 2 cores")
            .value("sustained", ours.per_second, "messages/s", Bar::AtLeast(1500.0))
            .value("processor time of the gateway", ours.cpu_ms, "ms/message", Bar::AtMost(0.8))
            .value("share of the bare reference", 100.0 * ours.per_second / bare.per_second, "%", Bar::AtLeast(45.0))
            .value("bare reference", bare.per_second, "messages/s", Bar::None)
            .value("processor time of the bare reference", bare.cpu_ms, "ms/message", Bar::None)
            .none_of("acknowledged and not answered", ours.unanswered + missing)
            .note(format!("{} s each, {WINDOW} messages unanswered at any time, {MEMBERS} members", time.as_secs()));
    let late = Row::new("path", "from callback to send at half the sustained rate")
        .value("p50", percentile(&mut delays, 0.50), "ms", Bar::AtMost(20.0))
        .value("p99", percentile(&mut delays, 0.99), "ms", Bar::AtMost(100.0))
        .note(format!("{half:.0} messages/s offered for {} s", time.as_secs()));
    vec![row, late]
}

/// Keeps a subject as busy as it can be, and measures once it is warm.
pub async fn sustained(world: &World, subject: &dyn Subject, time: Duration) -> Sustained {
    let count = MOST_PER_SECOND * (WARM_UP + time).as_secs() as usize;
    let before = world.shown();
    let pool = Pool::new(subject.address(), seal(subject.address(), 0..count, MEMBERS), CONNECTIONS);
    let looking = async {
        tokio::time::sleep(WARM_UP).await;
        let (from, cpu, began) = (world.shown(), process::cpu(subject.pid()), Instant::now());
        tokio::time::sleep(time).await;
        (world.shown() - from, process::cpu(subject.pid()) - cpu, began.elapsed())
    };
    let posting = pool.against(WINDOW, WARM_UP + time, || world.shown() - before);
    let (posted, (done, cpu, elapsed)) = futures_util::future::join(posting, looking).await;
    let samples = pool.finish(posted, Duration::from_secs(10)).await;
    let acknowledged = samples.iter().filter(|sample| sample.status == 200).count();
    let shown = world.wait_for(before + acknowledged, Duration::from_secs(10)).await - before;
    Sustained {
        per_second: done as f64 / elapsed.as_secs_f64(),
        cpu_ms: cpu.as_secs_f64() * 1000.0 / done as f64,
        unanswered: acknowledged.saturating_sub(shown),
    }
}

/// Milliseconds from when each message was due until its answer reached the platform, and how many never did.
async fn delays_at(world: &World, subject: &dyn Subject, rate: f64, time: Duration) -> (Vec<f64>, usize) {
    let count = (rate * time.as_secs_f64()) as usize;
    let before = world.shown();
    let numbers = SECOND_PART..SECOND_PART + count;
    let pool = Pool::new(subject.address(), seal(subject.address(), numbers, MEMBERS), CONNECTIONS);
    pool.at_rate(rate).await;
    let samples = pool.finish(count, Duration::from_secs(10)).await;
    world.wait_for(before + count, Duration::from_secs(10)).await;
    let mut due = vec![f64::NAN; count];
    samples.iter().for_each(|sample| due[sample.number] = sample.due_ms);
    let shown = world.wecom.sent();
    let numbered = shown.iter().filter(|sent| sent.shown).filter_map(|sent| Some((number_of(&sent.text)?, sent.at_ms)));
    // The ledger's milliseconds are cut off, not rounded.
    let delays: Vec<f64> = numbered
        .filter(|(number, _)| *number >= SECOND_PART)
        .map(|(number, at_ms)| at_ms as f64 + 1.0 - due[number - SECOND_PART])
        .collect();
    let missing = count.saturating_sub(delays.len());
    (delays, missing)
}
