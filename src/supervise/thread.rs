//! One thread for each family of actors, with a beacon that shows when it is stuck.

use actix_rt::{Arbiter, ArbiterHandle};
use arc_swap::ArcSwap;
use std::future::{Future, poll_fn};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    given_up: GivenUp,
}

/// Raised once a stuck thread has been replaced.
#[derive(Clone, Default)]
pub(super) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    /// Runs `life` as long as its thread is in use.
    ///
    /// A stuck thread that wakes up never gets further than the poll that it was stuck in: connections, calls and
    /// actors on it have been replaced, and what they still had to send has been settled without them.
    pub fn or<T>(self, life: impl Future<Output = T>) -> impl Future<Output = T> {
        // Not an `async fn`, which would keep room for a life twice: once as its argument, once where it is pinned.
        let mut life = Box::pin(life);
        poll_fn(move |context| {
            let polled = life.as_mut().poll(context);
            while self.0.load(Ordering::Acquire) {
                std::thread::park();
            }
            polled
        })
    }
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

    pub(super) fn current(&self) -> (ArbiterHandle, GivenUp) {
        let current = self.current.load();
        (current.arbiter.clone(), current.given_up.clone())
    }

    /// Time since the thread last ran anything.
    pub fn silent_for(&self) -> Duration {
        self.current.load().beacon.age()
    }

    /// Puts a fresh thread in the place of a stuck one, which stays parked when it wakes.
    pub(super) fn replace(&self) {
        let old = self.current.swap(Arc::new(Running::start()));
        old.given_up.0.store(true, Ordering::Release);
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
        Self { arbiter: arbiter.handle(), beacon, given_up: GivenUp::default() }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[actix_rt::test]
    async fn what_was_stuck_on_a_replaced_thread_never_goes_on() {
        let thread = Thread::start("family");
        let (arbiter, given_up) = thread.current();
        let (stuck, is_stuck) = channel();
        let (wake, wakes) = channel::<()>();
        let (act, acts) = channel();
        let life = given_up.or(async move {
            stuck.send(()).unwrap();
            wakes.recv().unwrap();
            act.send("the rest of the poll").unwrap();
            tokio::task::yield_now().await;
            act.send("after a pause").unwrap();
        });
        arbiter.spawn(life);
        is_stuck.recv().unwrap();
        thread.replace();
        wake.send(()).unwrap();
        assert_eq!(acts.recv(), Ok("the rest of the poll"));
        assert!(acts.recv_timeout(Duration::from_millis(200)).is_err(), "parked, and its sender with it");

        let (sender, answer) = tokio::sync::oneshot::channel();
        let (arbiter, given_up) = thread.current();
        arbiter.spawn(given_up.or(async move { sender.send("alive").unwrap() }));
        assert_eq!(answer.await, Ok("alive"));
    }
}
