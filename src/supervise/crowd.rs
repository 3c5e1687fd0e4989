//! The many futures of one actor. A context polls everything that was spawned on it whenever any of it wakes, so that
//! a thousand calls in flight would cost a thousand polls for each word that arrives. A crowd is one of the context's
//! futures and polls only those of its own that woke. It ends with the actor, as whatever a context holds does.

use actix::dev::{MessageResponse, OneshotSender};
use actix::{Actor, ActorFuture, AsyncContext, Context, Message};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll, Waker};

/// What an actor does once a future of its has ended.
type Then<A> = Box<dyn FnOnce(&mut A, &mut Context<A>)>;
type Running<A> = Pin<Box<dyn Future<Output = Then<A>>>>;

/// Futures that run within one actor's task. Cloning gives another hand on the same crowd.
pub struct Crowd<A: Actor<Context = Context<A>>> {
    inner: Rc<RefCell<Inner<A>>>,
}

struct Inner<A: Actor<Context = Context<A>>> {
    running: FuturesUnordered<Running<A>>,
    /// Wakes the context for a future that has just joined.
    waker: Option<Waker>,
}

impl<A: Actor<Context = Context<A>>> Default for Crowd<A> {
    fn default() -> Self {
        Self { inner: Rc::new(RefCell::new(Inner { running: FuturesUnordered::new(), waker: None })) }
    }
}

impl<A: Actor<Context = Context<A>>> Clone for Crowd<A> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<A: Actor<Context = Context<A>>> Crowd<A> {
    /// Lets the crowd run on the actor's context: once, in `started`. Nothing runs before.
    pub fn start(&self, ctx: &mut Context<A>) {
        ctx.spawn(Driver(self.clone()));
    }

    /// Runs `future` and then, with its result, `then` on the actor.
    pub fn spawn<T: 'static>(
        &self,
        future: impl Future<Output = T> + 'static,
        then: impl FnOnce(T, &mut A, &mut Context<A>) + 'static,
    ) {
        // Not an `async` block, which would keep room for the future twice: once captured, once as what it waits for.
        self.join(Box::pin(future.map(move |result| {
            Box::new(move |actor: &mut A, ctx: &mut Context<A>| then(result, actor, ctx)) as Then<A>
        })));
    }

    /// Answers a message with what `future` gives.
    pub fn answer<T>(&self, future: impl Future<Output = T> + 'static) -> Answer<A, T> {
        Answer { crowd: self.clone(), future: Box::pin(future) }
    }

    fn join(&self, future: Running<A>) {
        let inner = self.inner.borrow();
        inner.running.push(future);
        if let Some(waker) = &inner.waker {
            waker.wake_by_ref();
        }
    }
}

/// An answer in the making.
pub struct Answer<A: Actor<Context = Context<A>>, T> {
    crowd: Crowd<A>,
    future: Pin<Box<dyn Future<Output = T>>>,
}

impl<A, M> MessageResponse<A, M> for Answer<A, M::Result>
where
    A: Actor<Context = Context<A>>,
    M: Message,
{
    fn handle(self, _: &mut Context<A>, reply: Option<OneshotSender<M::Result>>) {
        self.crowd.join(Box::pin(async move {
            let answer = self.future.await;
            if let Some(reply) = reply {
                // Whoever asked may have gone away.
                drop(reply.send(answer));
            }
            Box::new(|_: &mut A, _: &mut Context<A>| {}) as Then<A>
        }));
    }
}

/// The crowd as one of its context's futures.
struct Driver<A: Actor<Context = Context<A>>>(Crowd<A>);

impl<A: Actor<Context = Context<A>>> ActorFuture<A> for Driver<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, actor: &mut A, ctx: &mut Context<A>, task: &mut task::Context<'_>) -> Poll<()> {
        loop {
            let next = {
                let mut inner = self.0.inner.borrow_mut();
                if inner.waker.as_ref().is_none_or(|waker| !waker.will_wake(task.waker())) {
                    inner.waker = Some(task.waker().clone());
                }
                inner.running.poll_next_unpin(task)
            };
            match next {
                Poll::Ready(Some(then)) => then(actor, ctx),
                // An empty crowd goes on waiting for the next to join.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::{ActorContext, Handler};
    use futures_util::future::join_all;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    /// Answers once the gate lets it, and counts how often its futures were polled.
    struct Doorman {
        crowd: Crowd<Self>,
        gate: Arc<Semaphore>,
        polls: Arc<AtomicUsize>,
        ended: usize,
    }

    #[derive(Message)]
    #[rtype(result = "usize")]
    struct Pass(usize);

    #[derive(Message)]
    #[rtype(result = "usize")]
    struct CountEnded;

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Leave;

    impl Actor for Doorman {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Context<Self>) {
            self.crowd.start(ctx);
        }
    }

    impl Handler<Pass> for Doorman {
        type Result = Answer<Self, usize>;

        fn handle(&mut self, Pass(number): Pass, _: &mut Context<Self>) -> Self::Result {
            let (gate, polls) = (self.gate.clone(), self.polls.clone());
            self.crowd.spawn(async {}, |(), this, _| {
                let nested = this.crowd.clone();
                nested.spawn(async {}, |(), this, _| this.ended += 1);
            });
            self.crowd.answer(async move {
                let mut passing = Box::pin(gate.acquire());
                let counted = std::future::poll_fn(|task| {
                    polls.fetch_add(1, Ordering::Relaxed);
                    passing.as_mut().poll(task)
                });
                drop(counted.await);
                number
            })
        }
    }

    impl Handler<CountEnded> for Doorman {
        type Result = usize;

        fn handle(&mut self, _: CountEnded, _: &mut Context<Self>) -> usize {
            self.ended
        }
    }

    impl Handler<Leave> for Doorman {
        type Result = ();

        fn handle(&mut self, _: Leave, ctx: &mut Context<Self>) {
            ctx.stop();
        }
    }

    #[actix_rt::test]
    async fn each_is_answered_and_none_is_polled_for_another() {
        const CALLS: usize = 200;
        let (gate, polls) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let doorman = Doorman { crowd: Crowd::default(), gate: gate.clone(), polls: polls.clone(), ended: 0 }.start();
        let calls = (0..CALLS).map(|number| doorman.send(Pass(number)));
        let opening = async {
            for _ in 0..CALLS {
                tokio::task::yield_now().await;
                gate.add_permits(1);
            }
        };
        let (answers, ()) = futures_util::future::join(join_all(calls), opening).await;
        let answers: Vec<usize> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, (0..CALLS).collect::<Vec<_>>());
        assert!(polls.load(Ordering::Relaxed) <= 3 * CALLS, "{polls:?} polls for {CALLS} calls");
        assert_eq!(doorman.send(CountEnded).await.unwrap(), CALLS, "what follows runs on the actor");
    }

    #[actix_rt::test]
    async fn it_ends_with_its_actor() {
        let (gate, polls) = (Arc::new(Semaphore::new(0)), Arc::default());
        let doorman = Doorman { crowd: Crowd::default(), gate: gate.clone(), polls, ended: 0 }.start();
        let waiting = actix_rt::spawn(doorman.send(Pass(1)));
        tokio::task::yield_now().await;
        doorman.send(Leave).await.unwrap();
        assert!(waiting.await.unwrap().is_err(), "a call outlived its actor");
        assert_eq!(Arc::strong_count(&gate), 1);
    }
}
