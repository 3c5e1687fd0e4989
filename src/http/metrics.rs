//! `/metrics`: every queue with depth, bound, refusals and age, every port, the store, the process, and the promises.

use super::App;
use crate::domain::InstanceId;
use crate::http::AppState;
use crate::store::search::{self, Broken};
use crate::store::{Store, StoreError, inbox, outbox, retention};
use crate::supervise::{State, Vitals};
use crate::telemetry::leaks;
use crate::telemetry::metrics::{counted, measured};
use actix_web::HttpResponse;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Time for the store to answer; without it the rest is shown.
const STORE_LIMIT: Duration = Duration::from_secs(2);
/// Broken promises of one kind that are told apart, at most; more are not counted.
const MOST_BROKEN: usize = 10_000;

/// What this process has seen of the promises in the manual.
#[derive(Default)]
pub struct Promises {
    /// The newest message that this process has acknowledged.
    newest: AtomicI64,
    seen: Mutex<Seen>,
}

/// Rows that broke a promise, each counted once.
#[derive(Default)]
struct Seen {
    unknown: BTreeSet<i64>,
    untold: BTreeSet<i64>,
    disordered: BTreeSet<i64>,
}

impl Promises {
    /// Remembers messages that were acknowledged: the store must have them from now on.
    pub fn acknowledged(&self, ids: impl IntoIterator<Item = i64>) {
        if let Some(newest) = ids.into_iter().max() {
            self.newest.fetch_max(newest, Ordering::AcqRel);
        }
    }

    /// How often each promise was broken. `newest` is the newest message before `found` was read.
    fn count(&self, newest: i64, found: &Broken) -> [(&'static str, u64); 4] {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut note = |rows: &[i64], pick: fn(&mut Seen) -> &mut BTreeSet<i64>| {
            let set = pick(&mut seen);
            let room = MOST_BROKEN.saturating_sub(set.len());
            set.extend(rows.iter().take(room));
            set.len() as u64
        };
        let lost = u64::try_from(newest.saturating_sub(found.newest)).unwrap_or(0);
        [
            ("kept", lost),
            ("answered_once", note(&found.unknown, |seen| &mut seen.unknown)),
            ("in_order", note(&found.disordered, |seen| &mut seen.disordered)),
            ("told", note(&found.untold, |seen| &mut seen.untold)),
        ]
    }
}

/// What one visit to the store finds.
struct Readings {
    inbox: (i64, i64, Option<i64>),
    outbox: Vec<outbox::Depth>,
    dead: [i64; 3],
    sizes: (i64, i64),
    broken: Broken,
}

/// Every number of this process, as Prometheus text.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Prometheus text", body = String, content_type = "text/plain"))
)]
pub async fn scrape(app: App) -> HttpResponse {
    let newest = app.promises.newest.load(Ordering::Acquire);
    let readings = tokio::time::timeout(STORE_LIMIT, read(&app.store)).await.ok().and_then(Result::ok);
    let measured = measured(|| {
        describe();
        gauge!("mindbot_store_up").set(f64::from(u8::from(readings.is_some())));
        if let Some(readings) = &readings {
            tell_rows(&app, readings);
            let broken = app.promises.count(newest, &readings.broken);
            broken.into_iter().for_each(|(promise, times)| tell_promise(promise, times));
        }
        tell_queues(&app);
        tell_store(&app.store);
        tell_actors(&app);
        tell_process();
        tell_promise("secret", leaks::found());
        for (platform, calls) in app.health.rejected() {
            counter!("mindbot_webhooks_rejected_total", "platform" => platform).absolute(calls);
        }
    });
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(measured + &counted())
}

async fn read(store: &Store) -> Result<Readings, StoreError> {
    store
        .read(|conn| {
            Ok(Readings {
                inbox: inbox::depths(conn)?,
                outbox: outbox::depths(conn)?,
                dead: search::dead_counts(conn)?,
                sizes: retention::sizes(conn)?,
                broken: search::broken(conn)?,
            })
        })
        .await
}

fn describe() {
    describe_gauge!("mindbot_queue_depth", "Entries of a queue: inbox and outbox rows that wait, turns that run, …");
    describe_gauge!(
        "mindbot_queue_bound",
        "Entries that the queue may hold; a queue without a bound of its own has none here."
    );
    describe_gauge!("mindbot_queue_oldest_seconds", "Age of the oldest entry, 0 when there is none.");
    describe_counter!("mindbot_queue_refused_total", "Entries that found the queue full, or its door closed.");
    describe_gauge!("mindbot_inbox_claimed", "Messages that a turn has claimed.");
    describe_gauge!(
        "mindbot_dead_letters",
        "Dead messages, and unknown and dead reply parts that nobody has tried again."
    );
    describe_gauge!("mindbot_outbox_sending", "Reply parts on the wire, by platform.");
    describe_gauge!("mindbot_port_in_flight", "Calls queued and running, by actor and message.");
    describe_gauge!("mindbot_port_capacity", "Calls that may be queued and running.");
    describe_counter!(
        "mindbot_port_failures_total",
        "Calls without an answer: busy and down never happened; of died and timed_out nobody knows."
    );
    describe_gauge!("mindbot_actor_up", "1 while the actor runs.");
    describe_gauge!("mindbot_actor_generation", "Incarnations of the actor, from 1.");
    describe_counter!("mindbot_actor_restarts_total", "Starts that followed a failure or a command.");
    describe_gauge!("mindbot_store_up", "1 when the store answered this scrape.");
    describe_counter!("mindbot_store_commits_total", "Flushes of the database.");
    describe_counter!("mindbot_store_jobs_total", "Writes that these flushes carried.");
    describe_gauge!("mindbot_store_flush_seconds", "Time of the newest flush.");
    describe_gauge!("mindbot_store_bytes", "Bytes on disk: database, its free pages, write-ahead log.");
    describe_gauge!(
        "mindbot_disk_free_bytes",
        "Free disk where the database is; below `storage.min_free` nothing is taken."
    );
    describe_counter!("mindbot_webhooks_rejected_total", "Webhook calls that were forged or stale, by platform.");
    describe_gauge!("process_resident_memory_bytes", "Memory that is resident.");
    describe_gauge!("process_open_fds", "Open files and sockets.");
    describe_gauge!("process_max_fds", "Open files and sockets that the system allows.");
    describe_counter!(
        "mindbot_promise_violations_total",
        "0 while a promise is kept, since the start, seen at scrapes. kept: acknowledged messages that the database does \
         not have. answered_once: reply parts of which nobody knows whether they arrived. in_order: first sends of answers \
         that overtook an earlier answer of their conversation, among the newest 5000 parts. told: dead messages without \
         a failure reply. isolated: restarts of supervisors, by failure or command, which take their children along. secret: secrets of the \
         configuration that were found in log lines and answers, and taken out."
    );
}

fn tell_promise(promise: &'static str, times: u64) {
    counter!("mindbot_promise_violations_total", "promise" => promise).absolute(times);
}

fn tell_rows(app: &AppState, readings: &Readings) {
    let now = app.store.now();
    let age = |since: Option<i64>| since.map_or(0.0, |since| (now - since).max(0) as f64 / 1000.0);
    let (ready, claimed, oldest) = readings.inbox;
    gauge!("mindbot_queue_depth", "queue" => "inbox").set(ready as f64);
    gauge!("mindbot_queue_oldest_seconds", "queue" => "inbox").set(age(oldest));
    gauge!("mindbot_inbox_claimed").set(claimed as f64);
    let snapshot = app.directory.load();
    let mut platforms: BTreeSet<&str> = snapshot.platforms.keys().map(String::as_str).collect();
    platforms.extend(readings.outbox.iter().map(|depth| depth.platform.as_str()));
    for platform in platforms {
        let depth = readings.outbox.iter().find(|depth| depth.platform == platform);
        let queue = format!("outbox/{platform}");
        gauge!("mindbot_queue_depth", "queue" => queue.clone()).set(depth.map_or(0, |depth| depth.ready) as f64);
        gauge!("mindbot_queue_oldest_seconds", "queue" => queue).set(age(depth.map(|depth| depth.oldest)));
        gauge!("mindbot_outbox_sending", "platform" => platform.to_owned())
            .set(depth.map_or(0, |depth| depth.sending) as f64);
    }
    for (what, count) in ["message", "part_unknown", "part_dead"].into_iter().zip(readings.dead) {
        gauge!("mindbot_dead_letters", "what" => what).set(count as f64);
    }
    let wal = std::fs::metadata(crate::store::wal_path(app.store.path())).map_or(0, |file| file.len());
    let (bytes, free) = readings.sizes;
    for (part, bytes) in [("database", bytes as f64), ("free", free as f64), ("log", wal as f64)] {
        gauge!("mindbot_store_bytes", "part" => part).set(bytes);
    }
}

fn tell_queues(app: &AppState) {
    let config = &app.directory.load().config;
    gauge!("mindbot_queue_bound", "queue" => "inbox").set(config.storage.high_water as f64);
    counter!("mindbot_queue_refused_total", "queue" => "inbox").absolute(app.intake.refused());
    gauge!("mindbot_queue_depth", "queue" => "turns").set(app.turns.running() as f64);
    gauge!("mindbot_queue_bound", "queue" => "turns").set(config.pipeline.turns as f64);
    gauge!("mindbot_queue_depth", "queue" => "event_streams").set(app.hub.readers() as f64);
}

fn tell_store(store: &Store) {
    let gauges = store.gauges();
    gauge!("mindbot_queue_depth", "queue" => "store").set(store.queue_depth() as f64);
    gauge!("mindbot_queue_bound", "queue" => "store").set(Store::queue_bound() as f64);
    gauge!("mindbot_queue_oldest_seconds", "queue" => "store")
        .set(gauges.queue_wait_us.load(Ordering::Relaxed) as f64 / 1e6);
    counter!("mindbot_queue_refused_total", "queue" => "store").absolute(gauges.refused.load(Ordering::Relaxed));
    counter!("mindbot_store_commits_total").absolute(gauges.commits.load(Ordering::Relaxed));
    counter!("mindbot_store_jobs_total").absolute(gauges.jobs.load(Ordering::Relaxed));
    if let Ok(disk) = rustix::fs::statvfs(store.path()) {
        gauge!("mindbot_disk_free_bytes").set(disk.f_bavail.saturating_mul(disk.f_frsize) as f64);
    }
    gauge!("mindbot_store_flush_seconds").set(gauges.flush_us.load(Ordering::Relaxed) as f64 / 1e6);
}

fn tell_actors(app: &AppState) {
    let board = app.tree.board.snapshot();
    board.values().for_each(|vitals| tell_actor(vitals));
    let leads = |id: &InstanceId| id.as_str() == "root" || id.as_str().starts_with("supervisor/");
    let restarts = board.values().filter(|vitals| leads(&vitals.id)).map(|vitals| vitals.restarts()).sum();
    tell_promise("isolated", restarts);
}

fn tell_actor(vitals: &Vitals) {
    let actor = || vitals.id.to_string();
    let is_up = vitals.state() == State::Running;
    gauge!("mindbot_actor_up", "actor" => actor(), "kind" => vitals.kind).set(f64::from(u8::from(is_up)));
    gauge!("mindbot_actor_generation", "actor" => actor()).set(vitals.generation() as f64);
    counter!("mindbot_actor_restarts_total", "actor" => actor()).absolute(vitals.restarts());
    for port in &vitals.ports {
        gauge!("mindbot_port_in_flight", "actor" => actor(), "port" => port.name).set(port.in_flight() as f64);
        gauge!("mindbot_port_capacity", "actor" => actor(), "port" => port.name).set(port.capacity as f64);
        for (failure, calls) in port.failures() {
            let labels = [("actor", actor()), ("port", port.name.to_owned()), ("failure", failure.to_owned())];
            counter!("mindbot_port_failures_total", &labels).absolute(calls);
        }
    }
}

/// Numbers that Linux keeps of us; elsewhere they are absent.
fn tell_process() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|value| value.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    if let Some(kilobytes) = resident {
        gauge!("process_resident_memory_bytes").set(kilobytes * 1024.0);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(files.count() as f64);
    }
    if let Ok((soft, _)) = rlimit::getrlimit(rlimit::Resource::NOFILE) {
        gauge!("process_max_fds").set(soft as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broken_promise_is_counted_once_and_stays_counted() {
        let promises = Promises::default();
        let found = |unknown: &[i64], newest| Broken { newest, unknown: unknown.to_vec(), ..Broken::default() };
        let count = |newest, found: &Broken| promises.count(newest, found).map(|(_, times)| times);
        assert_eq!(count(7, &found(&[], 7)), [0, 0, 0, 0], "kept");
        assert_eq!(count(7, &found(&[3], 9)), [0, 1, 0, 0], "one part of unknown fate");
        assert_eq!(count(7, &found(&[3, 4], 9)), [0, 2, 0, 0], "another one");
        assert_eq!(count(7, &found(&[], 9)), [0, 2, 0, 0], "settled by a person, but it happened");
        assert_eq!(count(12, &found(&[], 9)), [3, 2, 0, 0], "acknowledged, and not in the database");
    }

    #[test]
    fn acknowledgements_only_move_forward() {
        let promises = Promises::default();
        promises.acknowledged([5, 9]);
        promises.acknowledged([7]);
        promises.acknowledged([]);
        assert_eq!(promises.newest.load(Ordering::Acquire), 9);
    }
}
