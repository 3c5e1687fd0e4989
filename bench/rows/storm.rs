//! An actor that keeps panicking: given up quickly, quietly, and alone.

use crate::Wish;
use crate::admin::Admin;
use crate::process;
use crate::report::{Bar, Row};
use crate::support::gateway::Gateway;
use crate::traffic::Traffic;
use crate::world::World;
use std::time::{Duration, Instant};

/// Two million messages a day, each with a search in the guide.
const RATE: f64 = 25.0;
const PANICS: usize = 6;
const WATCH: Duration = Duration::from_secs(10);

struct Outcome {
    /// Seconds until the list of actors says `failed`.
    failed_after: f64,
    alerts: usize,
    /// Share of one core that the same traffic takes before the storm, per cent.
    usual: f64,
    /// The same from the first panic on.
    stormy: f64,
    is_back: bool,
}

pub async fn run(_: &Wish) -> Vec<Row> {
    let mut rows = Vec::new();
    for path in ["provider/model", "platform/wecom-2"] {
        let world = World::new((Duration::ZERO, Duration::ZERO), true).await;
        let mut gateway = super::faults::start(&world);
        let admin = Admin::of(&gateway);
        let scene = storm(&gateway, &admin, path);
        let (traffic, outcome) =
            Traffic::during(&world, &gateway.address.clone(), RATE, 0, Duration::from_secs(90), scene).await;
        let lives = gateway.is_running();
        drop(gateway);
        world.end().await;
        let row = Row::new("storm", format!("six panics within 10 s in `{path}`"))
            .value("`failed` after", outcome.failed_after, "s", Bar::AtMost(10.0))
            .value("alert lines", outcome.alerts as f64, "", Bar::AtMost(1.0))
            .value("alert lines, at least", outcome.alerts as f64, "", Bar::AtLeast(1.0))
            .value("processor, share of a core", outcome.stormy, "%", Bar::AtMost(20.0))
            .value("the same before the storm", outcome.usual, "%", Bar::None)
            .none_of("messages elsewhere lost", traffic.lost())
            .none_of("answered twice", traffic.doubled())
            .none_of("not back after `restart`", usize::from(!outcome.is_back))
            .none_of("processes ended", usize::from(!lives))
            .note(format!("{RATE} messages/s through the other parts"));
        rows.push(row);
    }
    rows
}

/// Measures a process's share of one core, per cent, from now until it is asked.
fn meter(gateway: &Gateway) -> impl Fn() -> f64 {
    let (pid, cpu, began) = (gateway.pid(), process::cpu(gateway.pid()), Instant::now());
    move || 100.0 * (process::cpu(pid) - cpu).as_secs_f64() / began.elapsed().as_secs_f64()
}

async fn storm(gateway: &Gateway, admin: &Admin, path: &str) -> Outcome {
    let alerts = || gateway.log().lines().filter(|line| line.contains("\"alert\":true")).count();
    let before_the_storm = meter(gateway);
    tokio::time::sleep(WATCH).await;
    let usual = before_the_storm();
    let (before, began, since_the_first) = (alerts(), Instant::now(), meter(gateway));
    let mut panics = 0;
    let mut failed_after = f64::INFINITY;
    while began.elapsed() < WATCH && failed_after.is_infinite() {
        match admin.actors().await[path].state.as_str() {
            "failed" => failed_after = began.elapsed().as_secs_f64(),
            "running" if panics < PANICS => {
                panics += usize::from(admin.fault(path, "panic").await);
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(WATCH.saturating_sub(began.elapsed())).await;
    let stormy = since_the_first();
    let alerts = alerts() - before;
    admin.restart(path).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let is_back = admin.actors().await[path].state == "running";
    Outcome { failed_after, alerts, usual, stormy, is_back }
}
