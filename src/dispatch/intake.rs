//! The door: decides what happens to an event, stores it, and wakes whoever acts on it.
//!
//! Not an actor: whoever received the event waits for the flush before acknowledging it.

use super::Nudges;
use crate::config::Pipeline;
use crate::directory::Directory;
use crate::domain::{Inbound, InboundKind, Lane};
use crate::store::inbox::{self, Accepted, Arrival, Verdict};
use crate::store::{Store, StoreError};
use arc_swap::ArcSwap;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Semaphore;

/// Words that overtake the turn they are meant for.
pub const STOP: &str = "/stop";
pub const NEW: &str = "/new";
/// Entries of the rate limiter are swept after this many messages.
const SWEEP_EVERY: u64 = 4096;
/// Calls whose events wait for their flush at once. More are refused: they would wait longer than a platform does, and
/// stand in front of the writes of what has been taken.
const ACCEPTING: usize = 256;

/// Takes events in. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    directory: Directory,
    nudges: Nudges,
    limits: ArcSwap<Limits>,
    seen: AtomicU64,
    /// Set while the disk is too full, or too many rows wait, to take more.
    closed: ArcSwap<Option<&'static str>>,
    draining: AtomicBool,
    accepting: Semaphore,
    refused: AtomicU64,
}

/// Rate limiters made from one configuration; remade when it changes.
struct Limits {
    made_from: (u32, u32, u32),
    conversations: Option<DefaultKeyedRateLimiter<String>>,
    platforms: Option<DefaultKeyedRateLimiter<String>>,
}

impl Limits {
    fn of(pipeline: &Pipeline) -> Self {
        let quota = |per_minute: u32, burst: u32| {
            let per_minute = NonZeroU32::new(per_minute)?;
            Some(RateLimiter::keyed(Quota::per_minute(per_minute).allow_burst(NonZeroU32::new(burst)?)))
        };
        Self {
            made_from: rates(pipeline),
            conversations: quota(pipeline.rate_per_conversation, pipeline.burst_per_conversation.max(1)),
            platforms: quota(pipeline.rate_per_platform, pipeline.rate_per_platform),
        }
    }
}

fn rates(pipeline: &Pipeline) -> (u32, u32, u32) {
    (pipeline.rate_per_conversation, pipeline.burst_per_conversation, pipeline.rate_per_platform)
}

impl Intake {
    pub fn new(store: Store, directory: Directory, nudges: Nudges) -> Self {
        let limits = ArcSwap::from_pointee(Limits::of(&directory.load().config.pipeline));
        let inner = Inner {
            store,
            directory,
            nudges,
            limits,
            seen: AtomicU64::new(0),
            closed: ArcSwap::from_pointee(None),
            draining: AtomicBool::new(false),
            accepting: Semaphore::new(ACCEPTING),
            refused: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Stores events in one transaction each and answers once they are on disk, in the order given.
    ///
    /// `Busy` or `Full` mean that nothing was taken and the platform should deliver again.
    pub async fn accept(&self, events: Vec<Inbound>) -> Result<Vec<Accepted>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let room = self.inner.accepting.try_acquire();
        if self.why_closed().is_some() || room.is_err() {
            self.inner.refused.fetch_add(1, Ordering::Relaxed);
            return Err(StoreError::Busy);
        }
        let snapshot = self.inner.directory.load();
        let pipeline = &snapshot.config.pipeline;
        self.refresh_limits(pipeline);
        let crowded = events.first().map(|event| pipeline.replies.too_long.in_language_of(&event.text).to_owned());
        let arrivals: Vec<Arrival> =
            events.into_iter().map(|inbound| Arrival { verdict: self.judge(&inbound, pipeline), inbound }).collect();
        let now = self.inner.store.now();
        let crowded = crowded.unwrap_or_default();
        let accepting = move |conn: &rusqlite::Connection| {
            arrivals.iter().map(|arrival| inbox::accept(conn, now, arrival, &crowded)).collect::<Result<Vec<_>, _>>()
        };
        #[cfg(feature = "chaos-tests")]
        if crate::sabotage::is("ack-first") {
            let store = self.inner.store.clone();
            actix_rt::spawn(crate::sabotage::later(async move { store.try_write(accepting).await }));
            return Ok(Vec::new());
        }
        let accepted = self.inner.store.try_write(accepting).await?;
        if accepted.iter().any(|row| row.needs_turn) {
            self.inner.nudges.inbox.notify_one();
        }
        if accepted.iter().any(|row| row.has_reply) {
            self.inner.nudges.outbox.notify_one();
        }
        Ok(accepted)
    }

    fn judge(&self, inbound: &Inbound, pipeline: &Pipeline) -> Verdict {
        if inbound.kind == InboundKind::Event {
            return Verdict::Ignore { reason: "an event that needs no answer".into() };
        }
        if matches!(inbound.text.trim(), STOP | NEW) {
            return Verdict::Queue { lane: Lane::Control, window_ms: 0 };
        }
        let limits = self.inner.limits.load();
        let over = |limiter: &Option<DefaultKeyedRateLimiter<String>>, key: &str| {
            limiter.as_ref().is_some_and(|limiter| limiter.check_key(&key.to_owned()).is_err())
        };
        let reason = if over(&limits.conversations, inbound.conversation.as_str()) {
            "the conversation is faster than `pipeline.rate_per_conversation`"
        } else if over(&limits.platforms, &inbound.platform) {
            "the platform is faster than `pipeline.rate_per_platform`"
        } else {
            let window_ms = i64::try_from(pipeline.aggregation.as_millis()).unwrap_or(0);
            let merges = inbound.parts.iter().all(|part| matches!(part, crate::domain::Part::Text { .. }));
            return Verdict::Queue { lane: Lane::Normal, window_ms: if merges { window_ms } else { 0 } };
        };
        let reply = pipeline.replies.too_many.in_language_of(&inbound.text).to_owned();
        Verdict::Refuse { reason: reason.into(), reply }
    }

    fn refresh_limits(&self, pipeline: &Pipeline) {
        let limits = self.inner.limits.load();
        if limits.made_from != rates(pipeline) {
            self.inner.limits.store(Arc::new(Limits::of(pipeline)));
            return;
        }
        if self.inner.seen.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            for limiter in [&limits.conversations, &limits.platforms].into_iter().flatten() {
                limiter.retain_recent();
            }
        }
    }

    /// Why nothing is taken at the moment, in words for an operator.
    pub fn why_closed(&self) -> Option<&'static str> {
        if self.inner.draining.load(Ordering::Acquire) {
            return Some("the gateway is stopping");
        }
        **self.inner.closed.load()
    }

    /// Closes or opens the door; set by whoever watches disk and backlog. Answers whether that is news.
    pub fn close_while(&self, reason: Option<&'static str>) -> bool {
        *self.inner.closed.swap(Arc::new(reason)) != reason
    }

    /// Takes nothing any more, for good.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Release);
    }

    /// Calls refused because the door was closed.
    pub fn refused(&self) -> u64 {
        self.inner.refused.load(Ordering::Relaxed)
    }
}
