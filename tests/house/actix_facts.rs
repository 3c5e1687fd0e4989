//! What this house believes about actix, one test a fact, so that an upgrade cannot surprise it.

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, AtomicResponse, Context, Handler, MailboxError, Message,
    ResponseActFuture, ResponseFuture, Supervised, WrapFuture,
};
use futures_util::FutureExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Message)]
#[rtype(result = "usize")]
struct Count;

#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

#[derive(Message)]
#[rtype(result = "()")]
struct Wait(Arc<Notify>);

#[derive(Message)]
#[rtype(result = "()")]
struct Detached(Arc<Notify>, Arc<AtomicUsize>);

#[derive(Message)]
#[rtype(result = "usize")]
struct Exclusive(Arc<Notify>);

#[derive(Default)]
struct Counter {
    count: usize,
    starts: Arc<AtomicUsize>,
    _alive: Arc<()>,
}

impl Actor for Counter {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.starts.fetch_add(1, Ordering::SeqCst);
    }
}

impl Supervised for Counter {}

impl Handler<Count> for Counter {
    type Result = usize;

    fn handle(&mut self, _: Count, _: &mut Self::Context) -> usize {
        self.count += 1;
        self.count
    }
}

impl Handler<Panic> for Counter {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a handler panics");
    }
}

impl Handler<Stop> for Counter {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Handler<Wait> for Counter {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, Wait(until): Wait, _: &mut Self::Context) -> Self::Result {
        Box::pin(async move { until.notified().await }.into_actor(self))
    }
}

impl Handler<Detached> for Counter {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Detached(until, done): Detached, _: &mut Self::Context) -> Self::Result {
        Box::pin(async move {
            until.notified().await;
            done.fetch_add(1, Ordering::SeqCst);
        })
    }
}

impl Handler<Exclusive> for Counter {
    type Result = AtomicResponse<Self, usize>;

    fn handle(&mut self, Exclusive(until): Exclusive, _: &mut Self::Context) -> Self::Result {
        let waiting = async move { until.notified().await };
        AtomicResponse::new(Box::pin(waiting.into_actor(self).map(|(), this, _| this.count)))
    }
}

async fn a_little() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[actix_rt::test]
async fn a_panic_ends_the_actor_and_its_actix_supervisor_too() {
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = starts.clone();
    let address = actix::Supervisor::start(move |_| Counter { starts: counted, ..Counter::default() });
    assert_eq!(address.send(Panic).await, Err(MailboxError::Closed));
    assert_eq!(address.send(Count).await, Err(MailboxError::Closed), "nobody restarted it");
    assert_eq!(starts.load(Ordering::SeqCst), 1);
}

#[actix_rt::test]
async fn actix_supervisor_restarts_after_a_stop_with_the_same_struct() {
    let address = actix::Supervisor::start(|_| Counter::default());
    assert_eq!(address.send(Count).await, Ok(1));
    address.send(Stop).await.unwrap();
    a_little().await;
    assert_eq!(address.send(Count).await, Ok(2), "the old state is still there");
}

#[actix_rt::test]
async fn mailbox_capacity_counts_per_clone_of_an_address() {
    struct Small;
    impl Actor for Small {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Self::Context) {
            ctx.set_mailbox_capacity(1);
            ctx.wait(std::future::pending::<()>().into_actor(self));
        }
    }
    impl Handler<Stop> for Small {
        type Result = ();
        fn handle(&mut self, _: Stop, _: &mut Self::Context) {}
    }
    let address = Small.start();
    a_little().await;
    let taken = (0..1000).filter(|_| address.clone().try_send(Stop).is_ok()).count();
    assert_eq!(taken, 1000);
}

#[actix_rt::test]
async fn a_response_future_outlives_its_actor() {
    let (until, done) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let address = Counter::default().start();
    let call = actix_rt::spawn(address.send(Detached(until.clone(), done.clone())));
    a_little().await;
    address.send(Stop).await.unwrap();
    a_little().await;
    assert!(!address.connected());
    until.notify_one();
    a_little().await;
    assert_eq!(done.load(Ordering::SeqCst), 1, "its work went on");
    let _ = call.await;
}

#[actix_rt::test]
async fn a_panic_answers_closed_to_every_other_call_in_flight() {
    let until = Arc::new(Notify::new());
    let address = Counter::default().start();
    let waiting = actix_rt::spawn(address.send(Wait(until.clone())));
    a_little().await;
    let _ = address.send(Panic).await;
    assert_eq!(waiting.await.unwrap(), Err(MailboxError::Closed));
}

#[actix_rt::test]
async fn two_response_act_futures_interleave() {
    let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let address = Counter::default().start();
    let slow = actix_rt::spawn(address.send(Wait(first.clone())));
    let quick = actix_rt::spawn(address.send(Wait(second.clone())));
    second.notify_one();
    assert_eq!(quick.await.unwrap(), Ok(()));
    assert!(!slow.is_finished(), "the second was answered before the first");
    first.notify_one();
    assert_eq!(slow.await.unwrap(), Ok(()));
}

#[actix_rt::test]
async fn an_atomic_response_closes_the_mailbox_while_it_waits() {
    let until = Arc::new(Notify::new());
    let address = Counter::default().start();
    let exclusive = actix_rt::spawn(address.send(Exclusive(until.clone())));
    let behind = actix_rt::spawn(address.send(Count));
    a_little().await;
    assert!(!behind.is_finished());
    until.notify_one();
    assert_eq!(exclusive.await.unwrap(), Ok(0));
    assert_eq!(behind.await.unwrap(), Ok(1));
}

#[actix_rt::test]
async fn dropping_a_pending_send_takes_a_queued_message_back() {
    let until = Arc::new(Notify::new());
    let address = Counter::default().start();
    let busy = actix_rt::spawn(address.send(Exclusive(until.clone())));
    a_little().await;
    let mut queued = Box::pin(address.send(Count));
    assert!((&mut queued).now_or_never().is_none());
    drop(queued);
    until.notify_one();
    busy.await.unwrap().unwrap();
    assert_eq!(address.send(Count).await, Ok(1), "the dropped one was never handled");
}

#[actix_rt::test]
async fn an_interval_keeps_an_actor_alive_after_its_last_address() {
    struct Ticking(Arc<AtomicUsize>);
    impl Actor for Ticking {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Self::Context) {
            ctx.run_interval(Duration::from_millis(1), |this, _| {
                this.0.fetch_add(1, Ordering::SeqCst);
            });
        }
    }
    let ticks = Arc::new(AtomicUsize::new(0));
    drop(Ticking(ticks.clone()).start());
    tokio::time::timeout(Duration::from_secs(10), async {
        while ticks.load(Ordering::SeqCst) < 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("it went on ticking");
}

#[actix_rt::test]
async fn children_run_on_when_their_parent_stops() {
    struct Parent(Counter);
    impl Actor for Parent {
        type Context = Context<Self>;
    }
    #[derive(Message)]
    #[rtype(result = "actix::Addr<Counter>")]
    struct Spawn;
    impl Handler<Spawn> for Parent {
        type Result = actix::MessageResult<Spawn>;
        fn handle(&mut self, _: Spawn, _: &mut Self::Context) -> Self::Result {
            actix::MessageResult(std::mem::take(&mut self.0).start())
        }
    }
    impl Handler<Stop> for Parent {
        type Result = ();
        fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
            ctx.stop();
        }
    }
    let parent = Parent(Counter::default()).start();
    let child = parent.send(Spawn).await.unwrap();
    parent.send(Stop).await.unwrap();
    a_little().await;
    assert!(!parent.connected());
    assert_eq!(child.send(Count).await, Ok(1));
}

#[actix_rt::test]
async fn a_dropped_incarnation_drops_its_struct() {
    let alive = Arc::new(());
    let address = Counter { _alive: alive.clone(), ..Counter::default() }.start();
    let _ = address.send(Panic).await;
    a_little().await;
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[actix_rt::test]
async fn a_context_polls_all_of_its_futures_when_one_wakes() {
    #[derive(Default)]
    struct Holder {
        polls: Arc<AtomicUsize>,
        wake: Arc<Notify>,
    }
    impl Actor for Holder {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Self::Context) {
            let polls = self.polls.clone();
            let idle = std::future::poll_fn(move |_| {
                polls.fetch_add(1, Ordering::SeqCst);
                std::task::Poll::<()>::Pending
            });
            ctx.spawn(idle.into_actor(self));
            let wake = self.wake.clone();
            ctx.spawn(async move { wake.notified().await }.into_actor(self));
        }
    }
    let (polls, wake) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let _holder = Holder { polls: polls.clone(), wake: wake.clone() }.start();
    a_little().await;
    let before = polls.load(Ordering::SeqCst);
    wake.notify_one();
    a_little().await;
    assert!(polls.load(Ordering::SeqCst) > before, "only the one that woke was polled: `Crowd` is not needed any more");
}
