//! Ten thousand conversations that all wait for the model at once.

use crate::Wish;
use crate::load::{Pool, answer, seal};
use crate::process;
use crate::report::{Bar, Row};
use crate::world::{CROWD, Reference, Subject, World, launch};
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

const CONVERSATIONS: usize = 10_000;
const THINKING: Duration = Duration::from_secs(2);

struct Crowd {
    refused: usize,
    answered: usize,
    most_open: u64,
    peak: f64,
}

pub async fn run(_: &Wish) -> Vec<Row> {
    let world = World::new((THINKING, THINKING), true).await;
    let reference = Reference::start(&world);
    let bare = crowd(&world, &reference).await;
    drop(reference);
    world.end().await;
    let world = World::new((THINKING, THINKING), true).await;
    let gateway = launch(&world, CROWD).start();
    let ours = crowd(&world, &gateway).await;
    drop(gateway);
    world.end().await;
    let row = Row::new("in-flight", "10,000 conversations in flight, the model answers after 2 s")
        .value("open at the model at once", ours.most_open as f64, "", Bar::AtLeast(CONVERSATIONS as f64))
        .none_of("refused", ours.refused)
        .none_of("not answered, or wrongly", CONVERSATIONS - ours.answered)
        .value("most resident memory", ours.peak, "MB", Bar::AtMost(400.0))
        .value("the same of the bare reference", bare.peak, "MB", Bar::None)
        .value("open at once in the bare reference", bare.most_open as f64, "", Bar::None)
        .value("times the bare reference", ours.peak / bare.peak, "", Bar::AtMost(1.5));
    vec![row.note("configuration: bench/in-flight.toml")]
}

async fn crowd(world: &World, subject: &dyn Subject) -> Crowd {
    let pool = Pool::new(subject.address(), seal(subject.address(), 0..CONVERSATIONS, CONVERSATIONS), 64);
    pool.against(CONVERSATIONS, Duration::from_secs(60), || 0).await;
    let samples = pool.finish(CONVERSATIONS, Duration::from_secs(30)).await;
    world.wait_for(CONVERSATIONS, Duration::from_secs(10)).await;
    let sent = world.wecom.sent();
    let shown: HashSet<(&str, &str)> =
        sent.iter().filter(|sent| sent.shown).map(|sent| (sent.touser.as_str(), sent.text.as_str())).collect();
    let is_answered = |number: &usize| shown.contains(&(format!("member-{number}").as_str(), answer(*number).as_str()));
    Crowd {
        refused: CONVERSATIONS - samples.iter().filter(|sample| sample.status == 200).count(),
        answered: (0..CONVERSATIONS).filter(is_answered).count(),
        most_open: world.model.counters.max_open.load(Ordering::Relaxed),
        peak: process::peak(subject.pid()),
    }
}
