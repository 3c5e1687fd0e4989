//! The supervisor: one actor type for every family. It starts children, hears how they end, and decides
//! by policy what follows. Its roster outlives it, so a restarted supervisor restarts the same children.

use super::Fatal;
use super::card::card;
use super::child::{Birth, ChildSpec, Exit};
use super::commands::{Inject, Remove, Restart, StartError, Supervise, SupervisorPorts};
use super::control::{Control, obey};
use super::policy::{Decision, Policy, Record};
use super::port::Calls;
use super::pulse::Pulse;
use super::thread::Thread;
use super::vitals::{State, Vitals, VitalsBoard};
use crate::domain::InstanceId;
use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Recipient, ResponseActFuture, SpawnHandle,
    WrapFuture,
};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

const PING_EVERY: Duration = Duration::from_secs(2);
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Silence of a thread after which its children move to a fresh one.
const STUCK_AFTER: Duration = Duration::from_secs(4);
/// A second stuck thread within this time ends the process: a stuck thread cannot be killed.
const STUCK_AGAIN: Duration = Duration::from_secs(3600);
/// Time for a constructor to finish.
const BIRTH_LIMIT: Duration = Duration::from_secs(10);

/// What outlives an incarnation of a supervisor.
#[derive(Clone)]
pub struct Charge {
    pub id: InstanceId,
    pub parent: Option<InstanceId>,
    /// The thread that the children live on.
    pub thread: Thread,
    pub board: VitalsBoard,
    pub fatal: Fatal,
    /// How long a replaced incarnation may take to finish its calls.
    pub retire_within: Duration,
    roster: Arc<ArcSwap<Vec<ChildSpec>>>,
    stuck: Arc<ArcSwap<Option<Instant>>>,
}

impl Charge {
    /// `children` start with the supervisor, in this order. `stuck` is shared by all supervisors.
    pub fn new(
        id: InstanceId,
        parent: Option<InstanceId>,
        thread: Thread,
        children: Vec<ChildSpec>,
        common: &Common,
    ) -> Self {
        Self {
            id,
            parent,
            thread,
            board: common.board.clone(),
            fatal: common.fatal.clone(),
            retire_within: common.retire_within,
            roster: Arc::new(ArcSwap::from_pointee(children)),
            stuck: common.stuck.clone(),
        }
    }

    fn enrol(&self, spec: &ChildSpec) {
        self.roster.rcu(|roster| {
            let mut roster = Vec::clone(roster);
            match roster.iter_mut().find(|known| known.id == spec.id) {
                Some(known) => *known = spec.clone(),
                None => roster.push(spec.clone()),
            }
            roster
        });
    }

    fn strike_off(&self, id: &InstanceId) {
        self.roster.rcu(|roster| roster.iter().filter(|spec| spec.id != *id).cloned().collect::<Vec<_>>());
    }
}

/// What all supervisors of a process share.
#[derive(Clone)]
pub struct Common {
    pub board: VitalsBoard,
    pub fatal: Fatal,
    pub retire_within: Duration,
    stuck: Arc<ArcSwap<Option<Instant>>>,
}

impl Common {
    pub fn new(board: VitalsBoard, fatal: Fatal, retire_within: Duration) -> Self {
        Self { board, fatal, retire_within, stuck: Arc::default() }
    }
}

struct Child {
    spec: ChildSpec,
    vitals: Arc<Vitals>,
    generation: u64,
    started: Instant,
    leash: Option<oneshot::Sender<()>>,
    calls: Calls,
    pulse: Option<Pulse>,
    record: Record,
    retry: Option<SpawnHandle>,
}

/// Supervises one family.
pub struct Supervisor {
    charge: Charge,
    children: BTreeMap<InstanceId, Child>,
    last_ping_round: Instant,
    last_watch: Instant,
}

impl Supervisor {
    pub fn new(charge: Charge) -> Self {
        Self { charge, children: BTreeMap::new(), last_ping_round: Instant::now(), last_watch: Instant::now() }
    }

    /// Describes a supervisor as a child of the level above, with `ports` to command it.
    pub fn spec(charge: Charge, ports: &SupervisorPorts) -> ChildSpec {
        ChildSpec::of(charge.id.clone(), move || Self::new(charge.clone()))
            .fills(&ports.supervise)
            .fills(&ports.remove)
            .fills(&ports.restart)
            .fills(&ports.inject)
            .restarts(Policy::supervisor())
            .build()
    }

    /// Starts an incarnation and listens for its end. The receiver answers when the actor exists.
    fn start(&mut self, id: &InstanceId, ctx: &mut Context<Self>) -> Option<oneshot::Receiver<Recipient<Control>>> {
        let thread = self.charge.thread.clone();
        let child = self.children.get_mut(id)?;
        if let Some(retry) = child.retry.take() {
            ctx.cancel_future(retry);
        }
        let (born, is_born) = oneshot::channel();
        let (leash, end) = oneshot::channel();
        child.generation = child.vitals.next_generation();
        child.started = Instant::now();
        child.calls = Calls::default();
        child.pulse = None;
        child.leash = Some(leash);
        child.vitals.enter(State::Running);
        let birth = Birth { generation: child.generation, calls: child.calls.clone(), born, leash: end };
        let exit = (child.spec.launch)(&thread, birth);
        let (id, generation) = (id.clone(), child.generation);
        let ended = exit.into_actor(self).map(move |exit, this: &mut Self, ctx| match exit {
            Ok(exit) => this.ended(&id, generation, &exit, ctx),
            Err(_) => tracing::debug!(actor = %id, "the thread ended before it could report"),
        });
        ctx.spawn(ended);
        Some(is_born)
    }

    /// Starts an incarnation that nobody waits for.
    fn start_detached(&mut self, id: &InstanceId, ctx: &mut Context<Self>) {
        let Some(is_born) = self.start(id, ctx) else { return };
        let (id, generation) = (id.clone(), self.children.get(id).map(|child| child.generation));
        let adopted = is_born.into_actor(self).map(move |control, this: &mut Self, _| {
            if let (Ok(control), Some(generation)) = (control, generation) {
                this.adopt(&id, generation, control);
            }
        });
        ctx.spawn(adopted);
    }

    fn adopt(&mut self, id: &InstanceId, generation: u64, control: Recipient<Control>) {
        if let Some(child) = self.children.get_mut(id).filter(|child| child.generation == generation) {
            child.pulse = Some(Pulse::new(control));
        }
    }

    fn ended(&mut self, id: &InstanceId, generation: u64, exit: &Exit, ctx: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(id).filter(|child| child.generation == generation) else { return };
        child.leash = None;
        child.pulse = None;
        child.vitals.note_error(exit.to_string());
        let decision = child.record.failed(&child.spec.policy, child.started, Instant::now(), jitter());
        match decision {
            Decision::Restart(after) if after.is_zero() => {
                tracing::warn!(actor = %id, generation, reason = %exit, "restarting");
                child.vitals.count_restart();
                self.start_detached(id, ctx);
            }
            Decision::Restart(after) => {
                tracing::warn!(actor = %id, generation, reason = %exit, after_ms = after.as_millis() as u64, "restarting later");
                child.vitals.enter(State::Restarting);
                self.start_after(id, after, ctx);
            }
            Decision::Fail(after) => {
                tracing::error!(alert = true, actor = %id, reason = %exit, retry_s = after.as_secs(), "failed too often; given up for now");
                child.vitals.enter(State::Failed);
                self.start_after(id, after, ctx);
            }
            Decision::Escalate => {
                tracing::error!(alert = true, actor = %id, supervisor = %self.charge.id, reason = %exit, "failed too often; its supervisor restarts");
                ctx.stop();
            }
        }
    }

    fn start_after(&mut self, id: &InstanceId, after: Duration, ctx: &mut Context<Self>) {
        let again = id.clone();
        let retry = ctx.run_later(after, move |this, ctx| {
            if let Some(child) = this.children.get(&again) {
                child.vitals.count_restart();
            }
            this.start_detached(&again, ctx);
        });
        if let Some(child) = self.children.get_mut(id) {
            child.retry = Some(retry);
        }
    }

    fn ping_round(&mut self, _: &mut Context<Self>) {
        let late = self.last_ping_round.elapsed() > PING_EVERY * 2;
        self.last_ping_round = Instant::now();
        let stale = self.charge.thread.silent_for() > super::thread::BEAT * 2;
        for (id, child) in &mut self.children {
            let Some(pulse) = &child.pulse else { continue };
            if late || stale {
                pulse.forgive();
                continue;
            }
            child.vitals.note_late(pulse.unanswered());
            if !pulse.ping() {
                tracing::error!(actor = %id, generation = child.generation, "does not answer; cutting it");
                child.leash = None;
            }
        }
    }

    /// Moves the family to a fresh thread when its own is stuck. Nobody's failure is counted.
    fn watch_thread(&mut self, ctx: &mut Context<Self>) {
        let late = self.last_watch.elapsed() > WATCH_EVERY * 2;
        self.last_watch = Instant::now();
        let silent = self.charge.thread.silent_for();
        // Who woke late was stopped or starved together with the thread it watches.
        if late || silent < STUCK_AFTER {
            return;
        }
        let name = self.charge.thread.name;
        tracing::error!(
            alert = true,
            thread = name,
            silent_ms = silent.as_millis() as u64,
            "a thread is stuck; its actors move to a fresh one"
        );
        let before = self.charge.stuck.swap(Arc::new(Some(Instant::now())));
        if before.is_some_and(|at| at.elapsed() < STUCK_AGAIN) {
            (self.charge.fatal)(&format!("thread `{name}` is the second one stuck within an hour"));
            return;
        }
        self.charge.thread.replace();
        let ids: Vec<_> = self.children.keys().cloned().collect();
        for id in &ids {
            if let Some(child) = self.children.get(id) {
                child.calls.abandon();
                child.vitals.note_error(format!("its thread `{name}` was stuck"));
            }
            self.start_detached(id, ctx);
        }
    }

    fn insert(&mut self, spec: ChildSpec) {
        let parent = Some(self.charge.id.clone());
        let vitals = match self.charge.board.get(spec.id.as_str()) {
            Some(known) if known.same_ports(&spec.ports) => known,
            known => {
                let vitals = Arc::new(Vitals::of(&spec, parent));
                if let Some(known) = known {
                    vitals.continue_from(&known);
                }
                self.charge.board.put(vitals.clone());
                vitals
            }
        };
        let record = self.children.remove(&spec.id).map(|old| old.record).unwrap_or_default();
        let child = Child {
            vitals,
            generation: 0,
            started: Instant::now(),
            leash: None,
            calls: Calls::default(),
            pulse: None,
            record,
            retry: None,
            spec: spec.clone(),
        };
        self.children.insert(spec.id, child);
    }

    /// Lets a replaced incarnation finish its calls, then ends it.
    fn retire(&self, leash: Option<oneshot::Sender<()>>, calls: Calls, ctx: &mut Context<Self>) {
        let until = Instant::now() + self.charge.retire_within;
        let ending = async move {
            while calls.get() > 0 && Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            drop(leash);
        };
        ctx.spawn(actix::fut::wrap_future(ending));
    }
}

card! {
    Supervisor takes [Supervise, Remove, Restart, Inject, Control];
    instances: "root, supervisor/<family>",
    asks: "`Control`: a ping for each child every 2 s. Nothing leaves the process.",
    when_full: "Starting, stopping and restarting of children is refused as busy; what runs goes on.",
    lost: "Its children are started afresh with it, in the same order, from a list that outlives it.",
    stuck: "A child that ended stays down. The root replaces a supervisor that misses its pings; a plain thread ends the process when the control thread is stuck for 10 s.",
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        for spec in self.charge.roster.load_full().iter() {
            self.insert(spec.clone());
            self.start_detached(&spec.id, ctx);
        }
        ctx.run_interval(PING_EVERY, Self::ping_round);
        ctx.run_interval(WATCH_EVERY, Self::watch_thread);
    }
}

impl Handler<Supervise> for Supervisor {
    type Result = ResponseActFuture<Self, Result<(), StartError>>;

    fn handle(&mut self, Supervise { spec, keep }: Supervise, ctx: &mut Context<Self>) -> Self::Result {
        let id = spec.id.clone();
        let old = self.children.remove(&id);
        self.insert(spec.clone());
        let is_born = self.start(&id, ctx);
        let generation = self.children.get(&id).map_or(0, |child| child.generation);
        let waiting = async move {
            match is_born {
                Some(is_born) => tokio::time::timeout(BIRTH_LIMIT, is_born).await.ok().and_then(Result::ok),
                None => None,
            }
        };
        Box::pin(waiting.into_actor(self).map(move |control, this, ctx| match control {
            Some(control) => {
                this.charge.enrol(&spec);
                this.adopt(&id, generation, control);
                if let Some(old) = old {
                    this.retire(old.leash, old.calls, ctx);
                }
                Ok(())
            }
            // How it ended is judged by its policy, as any end is.
            None if keep => {
                this.charge.enrol(&spec);
                Ok(())
            }
            None => {
                let reason = this.children.remove(&id).and_then(|child| child.vitals.last_error());
                match old {
                    Some(old) => drop(this.children.insert(id.clone(), old)),
                    None => this.charge.board.remove(&id),
                }
                Err(StartError(
                    id,
                    reason.map_or_else(|| "its constructor did not finish".into(), |text| (*text).clone()),
                ))
            }
        }))
    }
}

impl Handler<Remove> for Supervisor {
    type Result = ();

    fn handle(&mut self, Remove(id): Remove, ctx: &mut Context<Self>) {
        self.charge.strike_off(&id);
        self.charge.board.remove(&id);
        if let Some(child) = self.children.remove(&id) {
            if let Some(retry) = child.retry {
                ctx.cancel_future(retry);
            }
            child.vitals.enter(State::Stopped);
            self.retire(child.leash, child.calls, ctx);
        }
    }
}

impl Handler<Restart> for Supervisor {
    type Result = bool;

    fn handle(&mut self, Restart(id): Restart, ctx: &mut Context<Self>) -> bool {
        let Some(child) = self.children.get_mut(&id) else { return false };
        child.record = Record::default();
        child.vitals.count_restart();
        // The old leash is dropped by the new one: two copies never work side by side.
        self.start_detached(&id, ctx);
        true
    }
}

impl Handler<Inject> for Supervisor {
    type Result = bool;

    fn handle(&mut self, Inject(id, fault): Inject, ctx: &mut Context<Self>) -> bool {
        if id == self.charge.id {
            // The root has nobody above it that could be asked.
            obey(Control::Fault(fault), ctx);
            return true;
        }
        let Some(pulse) = self.children.get(&id).and_then(|child| child.pulse.as_ref()) else { return false };
        pulse.fail(fault);
        true
    }
}

impl Handler<Control> for Supervisor {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}

/// A number in 0..1, good enough to keep children from restarting in step.
fn jitter() -> f64 {
    let mut byte = [0u8; 1];
    let _ = getrandom::fill(&mut byte);
    f64::from(byte[0]) / 256.0
}
