//! What is known of every actor without asking it: atomics written by supervision, read by `/readyz`,
//! `/metrics` and the actor list. Lost with the process, and nothing else.

use super::CallError;
use super::child::ChildSpec;
use super::policy::Policy;
use crate::domain::InstanceId;
use arc_swap::{ArcSwap, ArcSwapOption};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use tokio::sync::Semaphore;

/// Where an actor is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    Running = 0,
    Restarting = 1,
    Failed = 2,
    Stopped = 3,
}

impl State {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Running,
            1 => Self::Restarting,
            2 => Self::Failed,
            _ => Self::Stopped,
        }
    }
}

/// Numbers of one port.
#[derive(Debug)]
pub struct PortStats {
    /// The message type's name.
    pub name: &'static str,
    /// Calls that may be queued and running together.
    pub capacity: usize,
    permits: Arc<Semaphore>,
    busy: AtomicU64,
    down: AtomicU64,
    died: AtomicU64,
    timed_out: AtomicU64,
}

impl PortStats {
    pub(super) fn new(name: &'static str, capacity: usize, permits: Arc<Semaphore>) -> Self {
        let zero = || AtomicU64::new(0);
        Self { name, capacity, permits, busy: zero(), down: zero(), died: zero(), timed_out: zero() }
    }

    /// Calls queued and running now.
    pub fn in_flight(&self) -> usize {
        self.capacity.saturating_sub(self.permits.available_permits())
    }

    /// How calls failed since the start: refused, not running, died, timed out.
    pub fn failures(&self) -> [(&'static str, u64); 4] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("busy", read(&self.busy)),
            ("down", read(&self.down)),
            ("died", read(&self.died)),
            ("timed_out", read(&self.timed_out)),
        ]
    }

    pub(super) fn refused(&self) -> CallError {
        self.busy.fetch_add(1, Ordering::Relaxed);
        CallError::Busy
    }

    pub(super) fn down(&self) -> CallError {
        self.down.fetch_add(1, Ordering::Relaxed);
        CallError::Down
    }

    pub(super) fn died(&self) -> CallError {
        self.died.fetch_add(1, Ordering::Relaxed);
        CallError::Died
    }

    pub(super) fn timed_out(&self) -> CallError {
        self.timed_out.fetch_add(1, Ordering::Relaxed);
        CallError::TimedOut
    }
}

/// What is known of one actor.
#[derive(Debug)]
pub struct Vitals {
    pub id: InstanceId,
    pub parent: Option<InstanceId>,
    /// The actor's type, such as `OpenAi`.
    pub kind: &'static str,
    /// How its failures are answered.
    pub policy: Policy,
    pub ports: Vec<Arc<PortStats>>,
    state: AtomicU8,
    generation: AtomicU64,
    restarts: AtomicU64,
    since_ms: AtomicI64,
    late: AtomicU32,
    last_error: ArcSwapOption<String>,
}

impl Vitals {
    pub(super) fn of(spec: &ChildSpec, parent: Option<InstanceId>) -> Self {
        Self {
            id: spec.id.clone(),
            parent,
            kind: spec.kind,
            policy: spec.policy,
            ports: spec.ports.clone(),
            state: AtomicU8::new(State::Restarting as u8),
            generation: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            since_ms: AtomicI64::new(now_ms()),
            late: AtomicU32::new(0),
            last_error: ArcSwapOption::empty(),
        }
    }

    pub fn state(&self) -> State {
        State::of(self.state.load(Ordering::Acquire))
    }

    /// Counts incarnations, from 1. Every start, wanted or not, is a new one.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Starts that followed a failure.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Acquire)
    }

    /// Unix milliseconds of the last change of state.
    pub fn since_ms(&self) -> i64 {
        self.since_ms.load(Ordering::Acquire)
    }

    /// Pings in a row, two seconds apart, that it has not answered; three end it.
    pub fn late(&self) -> u32 {
        self.late.load(Ordering::Acquire)
    }

    pub fn last_error(&self) -> Option<Arc<String>> {
        self.last_error.load_full()
    }

    /// Whether these are the numbers of the same ports.
    pub(super) fn same_ports(&self, ports: &[Arc<PortStats>]) -> bool {
        self.ports.len() == ports.len() && self.ports.iter().zip(ports).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// Goes on counting where another record of the same actor stopped.
    pub(super) fn continue_from(&self, known: &Self) {
        self.generation.store(known.generation(), Ordering::Release);
        self.restarts.store(known.restarts(), Ordering::Release);
        self.last_error.store(known.last_error());
    }

    pub(super) fn enter(&self, state: State) {
        self.note_late(0);
        self.state.store(state as u8, Ordering::Release);
        self.since_ms.store(now_ms(), Ordering::Release);
    }

    pub(super) fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(super) fn count_restart(&self) {
        self.restarts.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn note_late(&self, unanswered: u32) {
        self.late.store(unanswered, Ordering::Release);
    }

    pub(super) fn note_error(&self, text: String) {
        self.last_error.store(Some(Arc::new(text)));
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Every actor's vitals by path; one immutable snapshot, replaced when a child comes or goes.
#[derive(Clone, Default)]
pub struct VitalsBoard(Arc<ArcSwap<BTreeMap<InstanceId, Arc<Vitals>>>>);

impl VitalsBoard {
    pub fn snapshot(&self) -> Arc<BTreeMap<InstanceId, Arc<Vitals>>> {
        self.0.load_full()
    }

    pub fn get(&self, path: &str) -> Option<Arc<Vitals>> {
        self.snapshot().values().find(|vitals| vitals.id.as_str() == path).cloned()
    }

    pub(super) fn put(&self, vitals: Arc<Vitals>) {
        self.0.rcu(|map| {
            let mut map = BTreeMap::clone(map);
            map.insert(vitals.id.clone(), vitals.clone());
            map
        });
    }

    pub(super) fn remove(&self, id: &InstanceId) {
        self.0.rcu(|map| {
            let mut map = BTreeMap::clone(map);
            map.remove(id);
            map
        });
    }
}
