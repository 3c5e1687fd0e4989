//! One thread for each family of actors, with a beacon that shows when it is stuck.

use actix_rt::{Arbiter, ArbiterHandle};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How often a healthy thread shows that it lives.
pub(super) const BEAT: Duration = Duration::from_secs(1);

/// A named thread that actors run on. A stuck one cannot be killed: [`Thread::replace`] leaves it behind.
#[derive(Clone)]
pub struct Thread {
    pub name: &'static str,
    current: Arc<ArcSwap<Running>>,
}

struct Running {
    arbiter: ArbiterHandle,
    beacon: Beacon,
}

#[derive(Clone)]
struct Beacon {
    start: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Beacon {
    fn light(&self) {
        let ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(ms, Ordering::Release);
    }

    fn age(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Acquire)))
    }
}

impl Thread {
    /// Starts the thread. Needs a running actix system.
    pub fn start(name: &'static str) -> Self {
        Self { name, current: Arc::new(ArcSwap::from_pointee(Running::start())) }
    }

    pub(super) fn arbiter(&self) -> ArbiterHandle {
        self.current.load().arbiter.clone()
    }

    /// Time since the thread last ran anything.
    pub fn silent_for(&self) -> Duration {
        self.current.load().beacon.age()
    }

    /// Puts a fresh thread in the place of a stuck one. What runs on the old one ends when it wakes.
    pub(super) fn replace(&self) {
        let old = self.current.swap(Arc::new(Running::start()));
        old.arbiter.stop();
    }

    /// Ends the thread once everything on it has been drained.
    pub fn stop(&self) {
        self.current.load().arbiter.stop();
    }
}

impl Running {
    fn start() -> Self {
        let arbiter = Arbiter::new();
        let beacon = Beacon { start: Instant::now(), last_ms: Arc::default() };
        let lit = beacon.clone();
        arbiter.spawn(async move {
            loop {
                lit.light();
                tokio::time::sleep(BEAT).await;
            }
        });
        Self { arbiter: arbiter.handle(), beacon }
    }
}

/// Watches one thread from a plain thread of its own and calls `fatal` when it has been silent for `limit`.
///
/// For the control thread, which watches all the others and has nobody above it. A watcher that itself
/// woke late (suspended or starved process) skips the round.
pub fn watch_from_outside(thread: Thread, limit: Duration, fatal: super::Fatal) {
    let (keep, stop) = std::sync::mpsc::channel::<()>();
    std::mem::forget(keep); // the watch lasts as long as the process
    let watch = move || {
        let mut woke = std::time::Instant::now();
        loop {
            let _ = stop.recv_timeout(BEAT);
            let overslept = woke.elapsed() > BEAT * 3;
            woke = std::time::Instant::now();
            if !overslept && thread.silent_for() > limit {
                fatal(&format!("thread `{}` has been stuck for {} s", thread.name, thread.silent_for().as_secs()));
                return;
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("watchdog".into()).spawn(watch) {
        tracing::error!(%error, "the control thread runs without a watchdog");
    }
}
