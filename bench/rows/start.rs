//! How soon it is there, and what it holds on to when nothing happens.

use crate::Wish;
use crate::load::{Pool, seal};
use crate::process;
use crate::report::{Bar, Row};
use crate::support::gateway::Launch;
use crate::world::{PLAIN, Subject, World, launch};
use std::time::{Duration, Instant};

const STARTS: usize = 10;
const MESSAGES: usize = 1000;

/// From `exec` until it says that it is ready, with the checked-in configuration and no database.
pub async fn ready(_: &Wish) -> Vec<Row> {
    let config = include_str!("../../config.toml").replace("[server]\nbind = \"127.0.0.1:8080\"\n", "");
    assert!(!config.contains("[server]"), "the launch brings a [server] of its own");
    let mut slowest = Duration::ZERO;
    for _ in 0..STARTS {
        let launch = Launch::new(&config);
        let began = Instant::now();
        let gateway = launch.start();
        slowest = slowest.max(began.elapsed());
        let readyz = crate::support::chat::client().get(gateway.url("/readyz")).send().await.unwrap();
        assert_eq!(readyz.status(), 200, "it said that it was ready");
    }
    let row = Row::new("ready", "ready after exec, release build, empty store");
    let slowest = slowest.as_secs_f64() * 1000.0;
    vec![row.value(format!("slowest of {STARTS} starts"), slowest, "ms", Bar::AtMost(300.0))]
}

/// Resident memory some time after a thousand answered messages.
pub async fn idle(wish: &Wish) -> Vec<Row> {
    let world = World::new((Duration::ZERO, Duration::ZERO), false).await;
    let gateway = launch(&world, PLAIN).start();
    let pool = Pool::new(Subject::address(&gateway), seal(&gateway.address, 0..MESSAGES, 100), 32);
    pool.at_rate(500.0).await;
    let shown = world.wait_for(MESSAGES, Duration::from_secs(10)).await;
    assert_eq!(shown, MESSAGES, "not every message was answered");
    pool.finish(MESSAGES, Duration::from_secs(5)).await;
    let pause = Duration::from_secs(if wish.quick { 5 } else { 60 });
    tokio::time::sleep(pause).await;
    let resident = process::resident(gateway.pid());
    drop(gateway);
    world.end().await;
    let what = format!("resident memory at idle, {} s after {MESSAGES} answered messages", pause.as_secs());
    vec![Row::new("idle", what).value("resident", resident, "MB", Bar::AtMost(60.0))]
}
