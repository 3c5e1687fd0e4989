//! Ports: addresses that outlive the actors behind them, with a number on how many calls may run.
//!
//! A [`Port`] always leads to the current incarnation; the supervisor swaps what is behind it. Nothing is
//! lost on a restart but the calls that were running, and those answer [`CallError::Died`].

use super::CallError;
use super::vitals::PortStats;
use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, MailboxError, Message, Recipient};
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long [`Port::ask`] waits for an actor that is just being restarted.
pub const RESTART_PATIENCE: Duration = Duration::from_millis(250);

/// A stable address for messages of type `M`. Cheap to clone; every clone shares the permits.
pub struct Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    inner: Arc<Inner<M>>,
}

struct Inner<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    id: PortId,
    permits: Arc<Semaphore>,
    peer: ArcSwapOption<Peer<M>>,
    /// Tells whoever waits for an incarnation that one has come.
    published: Notify,
    stats: Arc<PortStats>,
}

/// Tells ports apart; every clone of one has the same, and none is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortId(pub usize);

/// What is behind a port at the moment.
struct Peer<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    generation: u64,
    recipient: Recipient<M>,
    calls: Calls,
}

/// The calls that run in one incarnation, over all of its ports.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<CallsInner>);

#[derive(Default)]
struct CallsInner {
    running: AtomicUsize,
    abandoned: CancellationToken,
}

impl Calls {
    pub fn get(&self) -> usize {
        self.0.running.load(Ordering::Acquire)
    }

    /// Ends every call at once as `Died`, and gives its permit back: the thread that would answer is stuck.
    pub fn abandon(&self) {
        self.0.abandoned.cancel();
    }

    fn begin(&self) -> RunningCall {
        self.0.running.fetch_add(1, Ordering::AcqRel);
        RunningCall(self.0.clone())
    }
}

struct RunningCall(Arc<CallsInner>);

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

impl<M> Clone for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<M> Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// Makes a port with nothing behind it yet. `capacity` bounds calls queued and running together.
    pub fn new(name: &'static str, capacity: usize) -> Self {
        let permits = Arc::new(Semaphore::new(capacity));
        let stats = Arc::new(PortStats::new(name, capacity, permits.clone()));
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let id = PortId(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { inner: Arc::new(Inner { id, permits, peer: ArcSwapOption::empty(), published: Notify::new(), stats }) }
    }

    pub fn id(&self) -> PortId {
        self.inner.id
    }

    /// Numbers for `/metrics` and the actor list.
    pub fn stats(&self) -> Arc<PortStats> {
        self.inner.stats.clone()
    }

    /// Sends `message` and waits at most `within`, queueing time included.
    ///
    /// `Busy` and `Down` mean that it was never sent. Dropping the returned future does not cancel a call
    /// that has been sent: the permit belongs to the call, so an impatient caller makes no room for a second one.
    pub async fn ask(&self, message: M, within: Duration) -> Result<M::Result, CallError> {
        let deadline = Instant::now() + within;
        let permit = match timeout_at(deadline, self.inner.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            _ => return Err(self.inner.stats.refused()),
        };
        self.ask_holding(permit, message, deadline).await
    }

    /// Takes one permit if there is one now; [`Reserved::ask`] spends it.
    pub fn reserve(&self) -> Result<Reserved<M>, CallError> {
        match self.inner.permits.clone().try_acquire_owned() {
            Ok(permit) => Ok(Reserved { port: self.clone(), permit }),
            Err(_) => Err(self.inner.stats.refused()),
        }
    }

    /// Waits at most `within` for a permit.
    pub async fn reserve_within(&self, within: Duration) -> Result<Reserved<M>, CallError> {
        match timeout_at(Instant::now() + within, self.inner.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Reserved { port: self.clone(), permit }),
            _ => Err(self.inner.stats.refused()),
        }
    }

    /// Sends without wanting an answer and without waiting; the message is given back when there is no room.
    pub fn offer(&self, message: M) -> Result<(), M> {
        let Ok(permit) = self.inner.permits.clone().try_acquire_owned() else {
            self.inner.stats.refused();
            return Err(message);
        };
        let Some(peer) = self.inner.peer.load_full() else { return Err(message) };
        actix_rt::spawn(async move {
            let _ = peer.call(message).await;
            drop(permit);
        });
        Ok(())
    }

    /// Whether an incarnation is behind the port right now.
    pub fn is_up(&self) -> bool {
        self.inner.peer.load().is_some()
    }

    /// Permits not taken at the moment.
    pub fn free(&self) -> usize {
        self.inner.permits.available_permits()
    }

    async fn ask_holding(
        &self,
        permit: OwnedSemaphorePermit,
        message: M,
        deadline: Instant,
    ) -> Result<M::Result, CallError> {
        let patience = deadline.min(Instant::now() + RESTART_PATIENCE);
        let peer = match self.inner.peer.load_full() {
            Some(peer) => Some(peer),
            // Boxed, so that a call which finds its actor at once needs no room for the waiting.
            None => Box::pin(self.next_incarnation(patience)).await,
        };
        let Some(peer) = peer else { return Err(self.inner.stats.down()) };
        let call = actix_rt::spawn(async move {
            let answer = peer.call(message).await;
            drop(permit);
            answer
        });
        match timeout_at(deadline, call).await {
            Err(_) => Err(self.inner.stats.timed_out()),
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(_) => Err(self.inner.stats.died()),
        }
    }

    /// Waits until `patience` for an incarnation that is just being started.
    async fn next_incarnation(&self, patience: Instant) -> Option<Arc<Peer<M>>> {
        let coming = async {
            loop {
                // Made before the look: it hears of what is published after.
                let published = self.inner.published.notified();
                if let Some(peer) = self.inner.peer.load_full() {
                    return peer;
                }
                published.await;
            }
        };
        timeout_at(patience, coming).await.ok()
    }

    /// Puts an incarnation behind the port; a stale one is ignored.
    pub(super) fn publish<A>(&self, generation: u64, address: Addr<A>, calls: Calls)
    where
        A: Actor + Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let peer = Arc::new(Peer { generation, recipient: address.recipient(), calls });
        self.inner.peer.rcu(|current| match current {
            Some(newer) if newer.generation > generation => Some(newer.clone()),
            _ => Some(peer.clone()),
        });
        self.inner.published.notify_waiters();
    }

    /// Takes an incarnation away, unless a newer one has replaced it.
    pub(super) fn withdraw(&self, generation: u64) {
        self.inner.peer.rcu(|current| current.clone().filter(|current| current.generation != generation));
    }
}

impl<M> Peer<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// Runs a call to its end, or until the incarnation is given up. Dropping an unread message takes it back.
    async fn call(&self, message: M) -> Result<M::Result, MailboxError> {
        let running = self.calls.begin();
        let abandoned = &running.0.abandoned;
        if abandoned.is_cancelled() {
            return Err(MailboxError::Closed);
        }
        // Not `run_until_cancelled`, which keeps room for the request twice.
        tokio::select! {
            biased;
            answer = self.recipient.send(message) => answer,
            () = abandoned.cancelled() => Err(MailboxError::Closed),
        }
    }
}

/// A permit in hand: the call it is spent on cannot be refused for lack of room.
pub struct Reserved<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    port: Port<M>,
    permit: OwnedSemaphorePermit,
}

impl<M> Reserved<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// Sends `message` and waits at most `within`; as [`Port::ask`], but never `Busy`.
    pub async fn ask(self, message: M, within: Duration) -> Result<M::Result, CallError> {
        self.port.ask_holding(self.permit, message, Instant::now() + within).await
    }
}
