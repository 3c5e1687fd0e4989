//! One child: how to build it, which ports it fills, and the task that one incarnation lives in.

use super::contained::{Panicked, contained, last_panic};
use super::control::Control;
use super::policy::Policy;
use super::port::{Calls, Port};
use super::thread::Thread;
use super::vitals::PortStats;
use crate::domain::InstanceId;
use actix::dev::ToEnvelope;
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Recipient};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::oneshot;

/// How an incarnation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It stopped by itself; unasked, that is a failure like any other.
    Returned,
    /// It panicked at this place.
    Panicked(String),
    /// Its leash was cut.
    Cut,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned => f.write_str("stopped by itself"),
            Self::Panicked(place) => write!(f, "panicked at {place}"),
            Self::Cut => f.write_str("was cut"),
        }
    }
}

/// Runs one incarnation of an actor in a task of its own and reports how it ended.
///
/// `build` runs inside that task, so a panicking constructor is a failed child. Dropping the other half of
/// `leash` ends it. A report that never comes means that the thread is lost.
pub fn launch<A: Actor<Context = Context<A>>>(
    thread: &Thread,
    build: impl FnOnce() -> A + Send + 'static,
    publish: impl FnOnce(Addr<A>) + Send + 'static,
    withdraw: impl FnOnce() + Send + 'static,
    leash: oneshot::Receiver<()>,
) -> oneshot::Receiver<Exit> {
    let (report, exit) = oneshot::channel();
    let (arbiter, given_up) = thread.current();
    arbiter.spawn_fn(move || {
        // Apart from what is waited for, which would keep room for the context twice.
        let begin = move || {
            let actor = build();
            let ctx = Context::new();
            publish(ctx.address());
            ctx.into_future(actor)
        };
        let life = given_up.or(async move { begin().await });
        actix_rt::spawn(async move {
            let mut life = contained(life);
            let ended = tokio::select! {
                ended = &mut life => Some(ended),
                _ = leash => None,
            };
            // An actor may also panic while it is dropped.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(life)));
            withdraw();
            let _ = report.send(match (ended, dropped) {
                (Some(Err(Panicked(place))), _) => Exit::Panicked(place),
                (_, Err(_)) => Exit::Panicked(last_panic()),
                (Some(Ok(())), Ok(())) => Exit::Returned,
                (None, Ok(())) => Exit::Cut,
            });
        });
    });
    exit
}

/// What a supervisor holds of a newborn incarnation.
pub(super) struct Birth {
    pub generation: u64,
    pub calls: Calls,
    /// Answers once the actor exists, with the address for [`Control`]; dropped when the constructor panicked.
    pub born: oneshot::Sender<Recipient<Control>>,
    pub leash: oneshot::Receiver<()>,
}

/// Puts an incarnation, with its generation, behind one port.
type Publish<A> = Arc<dyn Fn(&Addr<A>, u64, &Calls) + Send + Sync>;
type Launch = Arc<dyn Fn(&Thread, Birth) -> oneshot::Receiver<Exit> + Send + Sync>;

/// Everything a supervisor needs to start a child, again and again.
#[derive(Clone)]
pub struct ChildSpec {
    pub id: InstanceId,
    /// The actor's type, for people.
    pub kind: &'static str,
    pub policy: Policy,
    pub(super) ports: Vec<Arc<PortStats>>,
    pub(super) launch: Launch,
}

impl ChildSpec {
    /// Begins the description of a child that `factory` builds afresh for every incarnation.
    pub fn of<A>(id: InstanceId, factory: impl Fn() -> A + Send + Sync + 'static) -> ChildBuilder<A>
    where
        A: Actor<Context = Context<A>> + Handler<Control>,
    {
        ChildBuilder {
            id,
            policy: Policy::configured(),
            factory: Arc::new(factory),
            publish: Vec::new(),
            withdraw: Vec::new(),
            ports: Vec::new(),
        }
    }
}

/// A [`ChildSpec`] in the making.
pub struct ChildBuilder<A: Actor<Context = Context<A>>> {
    id: InstanceId,
    policy: Policy,
    factory: Arc<dyn Fn() -> A + Send + Sync>,
    publish: Vec<Publish<A>>,
    withdraw: Vec<Arc<dyn Fn(u64) + Send + Sync>>,
    ports: Vec<Arc<PortStats>>,
}

impl<A> ChildBuilder<A>
where
    A: Actor<Context = Context<A>> + Handler<Control>,
{
    /// Puts every incarnation behind `port`.
    pub fn fills<M>(mut self, port: &Port<M>) -> Self
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let (filled, emptied) = (port.clone(), port.clone());
        self.publish.push(Arc::new(move |address, generation, calls| {
            filled.publish(generation, address.clone(), calls.clone());
        }));
        self.withdraw.push(Arc::new(move |generation| emptied.withdraw(generation)));
        self.ports.push(port.stats());
        self
    }

    /// Replaces the default policy, which is [`Policy::configured`].
    pub fn restarts(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    pub fn build(self) -> ChildSpec {
        let Self { id, policy, factory, publish, withdraw, ports } = self;
        #[cfg(feature = "chaos-tests")]
        let factory = {
            let id = id.clone();
            Arc::new(move || {
                crate::sabotage::trip_constructor(id.as_str());
                factory()
            })
        };
        let launch: Launch = Arc::new(move |thread, birth| {
            let Birth { generation, calls, born, leash } = birth;
            let (factory, publish, withdraw) = (factory.clone(), publish.clone(), withdraw.clone());
            let announce = move |address: Addr<A>| {
                for port in &publish {
                    port(&address, generation, &calls);
                }
                let _ = born.send(address.recipient());
            };
            let retreat = move || withdraw.iter().for_each(|port| port(generation));
            launch(thread, move || factory(), announce, retreat, leash)
        });
        ChildSpec { id, kind: short_type_name::<A>(), policy, ports, launch }
    }
}

fn short_type_name<A>() -> &'static str {
    let name = std::any::type_name::<A>();
    name.rsplit("::").next().unwrap_or(name)
}
