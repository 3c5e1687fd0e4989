//! Injected faults in every kind of actor while messages flow: who else restarts, and how soon answers come again.

use crate::Wish;
use crate::admin::{Admin, Seen, others_restarted};
use crate::load::{percentile, unix_ms};
use crate::report::{Bar, Row};
use crate::support::gateway::Gateway;
use crate::traffic::Traffic;
use crate::victims::Victims;
use crate::world::{HOUSE, World, launch_with};
use std::collections::BTreeMap;
use std::time::Duration;

const RATE: f64 = 100.0;
/// Between two faults of one actor: four a minute are within every policy.
const PACE: Duration = Duration::from_secs(15);
/// Root allows three failures of supervisors a minute.
const SUPERVISOR_PACE: Duration = Duration::from_secs(21);
const SUPERVISOR: &str = "Supervisor";
/// Stands for a conversation that does not exist before its turn to fail comes.
const CONVERSATION: &str = "conversation/";
/// Tries to hit a conversation before its turn has begun, 5 ms apart.
const TRIES: usize = 400;
/// Until a fault has shown what it does to others.
const SETTLE: Duration = Duration::from_millis(700);
const WATCH: Duration = Duration::from_secs(12);

type Actors = BTreeMap<String, Seen>;

/// One fault, and what came of it.
struct Fault {
    kind: &'static str,
    at: f64,
    others: Vec<String>,
}

#[derive(Default)]
struct Sum {
    faults: usize,
    others: Vec<String>,
    brief: Vec<f64>,
    long: Vec<f64>,
    lost: usize,
    doubled: usize,
    refused: usize,
}

impl Sum {
    fn add(&mut self, traffic: &Traffic, faults: Vec<Fault>) {
        self.faults += faults.len();
        self.lost += traffic.lost();
        self.doubled += traffic.doubled();
        self.refused += traffic.refused();
        for fault in faults {
            let delay = traffic.answering_after(fault.at);
            let delays = if matches!(fault.kind, "panic" | "stop") { &mut self.brief } else { &mut self.long };
            delays.push(delay);
            self.others.extend(fault.others);
        }
    }
}

pub async fn run(wish: &Wish) -> Vec<Row> {
    let mut sum = Sum::default();
    let world = World::new((Duration::ZERO, Duration::ZERO), true).await;
    paced(wish, &world, &mut sum).await;
    world.end().await;
    for place in 0..if wish.quick { 1 } else { usize::MAX } {
        let world = World::new((Duration::ZERO, Duration::ZERO), true).await;
        let was_there = blocked(&world, place, &mut sum).await;
        world.end().await;
        if !was_there {
            break;
        }
    }
    eprintln!("others: {:?}", sum.others);
    let row = Row::new("faults", "panics, stops, hangs and blocked threads in each kind of actor, under load")
        .value("faults", sum.faults as f64, "", Bar::None)
        .none_of("other actors restarted", sum.others.len())
        .value("answering after a panic or stop, p99", percentile(&mut sum.brief, 0.99), "ms", Bar::AtMost(50.0))
        .value("answering after a hang or block, p99", percentile(&mut sum.long, 0.99), "ms", Bar::AtMost(10_000.0))
        .none_of("acknowledged and lost", sum.lost)
        .none_of("answered twice", sum.doubled)
        .none_of("refused", sum.refused)
        .note(format!("{RATE} messages/s; each actor fails once in {} s, kinds interleaved", PACE.as_secs()))
        .note("a supervisor's children restart with it, and a blocked thread's actors move together");
    vec![row]
}

pub fn start(world: &World) -> Gateway {
    launch_with(world, "chaos = true", HOUSE).start()
}

/// One actor of each kind, and every supervisor.
fn targets(actors: &Actors) -> (Vec<String>, Vec<String>) {
    let mut kinds = BTreeMap::new();
    for (path, seen) in actors.iter().filter(|(path, seen)| seen.kind != SUPERVISOR && *path != "root") {
        kinds.entry(seen.kind.clone()).or_insert_with(|| path.clone());
    }
    let supervisors = actors.keys().filter(|path| path.starts_with("supervisor/"));
    (kinds.into_values().collect(), supervisors.cloned().collect())
}

/// Panics and stops in turn, each actor at its own pace; then hangs, one actor of each family.
async fn paced(wish: &Wish, world: &World, sum: &mut Sum) {
    let gateway = start(world);
    let admin = Admin::of(&gateway);
    let seen = admin.actors().await;
    let (mut actors, supervisors) = targets(&seen);
    let victims = Victims::of(&gateway.address);
    let in_family = |family: &String| actors.iter().find(|path| seen[*path].parent == *family);
    let representatives: Vec<String> = supervisors.iter().filter_map(in_family).cloned().collect();
    actors.push(CONVERSATION.to_owned());
    eprintln!("faults in {actors:?} and {supervisors:?}");
    let (rounds, hangs) = if wish.quick { (2, 1) } else { (40, 3) };
    let scene = async {
        let mut due = schedule(&actors, &supervisors, rounds);
        due.sort_by_key(|(at, ..)| *at);
        let (mut faults, began) = (Vec::new(), tokio::time::Instant::now());
        for (at, path, kind) in due {
            tokio::time::sleep_until(began + at).await;
            let path = if path == CONVERSATION { victims.write().await } else { path };
            faults.push(inject(&admin, &path, kind, SETTLE).await);
        }
        for path in representatives.iter().flat_map(|path| std::iter::repeat_n(path, hangs)) {
            faults.push(inject(&admin, path, "hang", WATCH).await);
            tokio::time::sleep(PACE.saturating_sub(WATCH)).await;
        }
        faults
    };
    let longest = SUPERVISOR_PACE * rounds as u32 + PACE * (hangs * representatives.len() + 3) as u32;
    let (traffic, faults) = Traffic::during(world, &gateway.address, RATE, 0, longest, scene).await;
    sum.add(&traffic, faults);
    let (lost, doubled) = victims.lost_and_doubled(world);
    sum.lost += lost;
    sum.doubled += doubled;
}

/// When which actor is to fail how: panics and stops in turn, spread out so that no two fall on the same moment.
fn schedule(actors: &[String], supervisors: &[String], rounds: usize) -> Vec<(Duration, String, &'static str)> {
    let kind = |round: usize| if round.is_multiple_of(2) { "panic" } else { "stop" };
    let mut due = Vec::new();
    for round in 0..rounds {
        for (place, path) in (0..).zip(actors) {
            due.push((PACE * round as u32 + SETTLE * place, path.clone(), kind(round)));
        }
        let path = &supervisors[round % supervisors.len()];
        due.push((SUPERVISOR_PACE * round as u32 + SETTLE * actors.len() as u32, path.clone(), kind(round)));
    }
    due
}

/// Blocks the thread of one family in a process of its own: a second stuck thread within the hour ends the process.
/// False when there is no such family.
async fn blocked(world: &World, place: usize, sum: &mut Sum) -> bool {
    let gateway = start(world);
    let admin = Admin::of(&gateway);
    let actors = admin.actors().await;
    let (targets, supervisors) = targets(&actors);
    let Some(family) = supervisors.get(place) else { return false };
    let Some(path) = targets.iter().find(|path| actors[*path].parent == *family) else { return true };
    let scene = async { vec![inject(&admin, path, "block", WATCH).await] };
    let (traffic, faults) = Traffic::during(world, &gateway.address, RATE, 0, WATCH * 3, scene).await;
    sum.add(&traffic, faults);
    true
}

async fn inject(admin: &Admin, path: &str, kind: &'static str, watch: Duration) -> Fault {
    let before = admin.actors().await;
    let mut tries = if path.starts_with(CONVERSATION) { TRIES } else { 1 };
    let mut at = unix_ms();
    while !admin.fault(path, kind).await {
        tries -= 1;
        assert!(tries > 0, "{path} was not running when it was to {kind}");
        tokio::time::sleep(Duration::from_millis(5)).await;
        at = unix_ms();
    }
    tokio::time::sleep(watch).await;
    let after = admin.actors().await;
    let family = before.get(path).map(|seen| seen.parent.clone());
    let in_company = |other: &str| {
        let parent = after.get(other).map(|seen| seen.parent.clone());
        other == path
            || parent.as_deref() == Some(path)
            || (kind == "block" && (parent == family || Some(other) == family.as_deref()))
    };
    let others = others_restarted(&before, &after, in_company);
    Fault { kind, at, others: others.into_iter().map(|other| format!("{kind} in {path}: {other}")).collect() }
}
