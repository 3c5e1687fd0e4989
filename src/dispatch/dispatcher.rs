//! The dispatcher: claims what is due, never two rows of one conversation at once, and hands each to a conversation.
//!
//! A restart loses the running turns of its conversations; their rows go back without a strike and run again.

use super::Nudges;
use super::conversation::{Conversation, RunTurn, TurnEnd};
use super::intake::NEW;
use super::office::{Office, Term};
use crate::domain::{InstanceId, Lane, Mark, ReplyText};
use crate::pipeline::Wiring;
use crate::store::inbox::{self, Claim, Release};
use crate::store::outbox::{self, Ending, Reply, Target};
use crate::store::{StoreError, history};
use crate::supervise::{CallError, ChildSpec, Control, Crowd, Inject, Port, Thread, Transient, card, obey};
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A lost nudge costs this much.
const POLL: Duration = Duration::from_secs(1);
const PING_EVERY: Duration = Duration::from_secs(2);
/// Turns younger than this are not pinged: most are gone by then.
const PING_AFTER: Duration = Duration::from_secs(1);
/// Beyond the turn's own deadline, for its last write.
const GRACE: Duration = Duration::from_secs(10);
/// Turns claimed by one query, at most.
const BATCH: usize = 256;

/// What outlives an incarnation of the dispatcher.
#[derive(Clone)]
pub struct DispatcherWiring {
    pub turns: Wiring,
    pub nudges: Nudges,
    pub thread: Thread,
    /// Raised when nothing may be claimed any more.
    pub draining: Arc<AtomicBool>,
    /// Tells `/metrics` and the drain how many turns run now.
    pub office: Office,
}

struct Talk {
    child: Transient,
    run: Port<RunTurn>,
    /// Stops the turn that was given last.
    stop: CancellationToken,
    /// When the running turn began; `None` while idle.
    busy_since: Option<Instant>,
}

/// Claims rows and starts turns.
pub struct Dispatcher {
    wiring: DispatcherWiring,
    term: Term,
    talks: HashMap<String, Talk>,
    /// True while a claim is on its way; `again` asks for another one after it.
    claiming: bool,
    again: bool,
    /// False until the rows of an earlier incarnation have been taken back.
    recovered: bool,
    alarm: Option<SpawnHandle>,
    turns: Crowd<Self>,
}

impl Dispatcher {
    pub fn new(wiring: DispatcherWiring) -> Self {
        let term = wiring.office.take();
        Self {
            wiring,
            term,
            talks: HashMap::new(),
            claiming: false,
            again: false,
            recovered: false,
            alarm: None,
            turns: Crowd::default(),
        }
    }

    /// Waits for the next nudge, again and again.
    fn listen(&mut self, ctx: &mut Context<Self>) {
        let nudge = self.wiring.nudges.inbox.clone();
        let nudged = async move { drop(tokio::time::timeout(POLL, nudge.notified()).await) };
        ctx.spawn(nudged.into_actor(self).map(|(), this, ctx| {
            this.claim(ctx);
            this.listen(ctx);
        }));
    }

    /// Gives back what an earlier incarnation of this run had claimed, then begins.
    fn recover(&mut self, ctx: &mut Context<Self>) {
        let store = self.wiring.turns.store.clone();
        let failed = self.wiring.turns.directory.load().config.pipeline.replies.failed.clone();
        let term = self.term.clone();
        let recovering = async move {
            let (run, now) = (store.run(), store.now());
            let recover = move |conn: &_| match term.is_over() {
                true => Err(StoreError::Fenced),
                false => inbox::recover(conn, run, now, true, &failed),
            };
            store.write(recover).await
        };
        ctx.spawn(recovering.into_actor(self).map(|found, this, ctx| match found {
            Ok(found) => {
                if found.ready > 0 {
                    tracing::warn!(rows = found.ready, "took back turns of an earlier dispatcher");
                }
                this.recovered = true;
                this.claim(ctx);
            }
            Err(error) => {
                tracing::error!(%error, "could not take rows back; trying again");
                ctx.run_later(POLL, |this, ctx| this.recover(ctx));
            }
        }));
    }

    fn claim(&mut self, ctx: &mut Context<Self>) {
        if !self.recovered || self.wiring.draining.load(Ordering::Acquire) {
            return;
        }
        if self.claiming {
            self.again = true;
            return;
        }
        let snapshot = self.wiring.turns.directory.load();
        let room = snapshot.config.pipeline.turns.saturating_sub(self.term.running()).min(BATCH);
        if room == 0 {
            return;
        }
        self.claiming = true;
        let merge = !snapshot.config.pipeline.aggregation.is_zero();
        let (store, term) = (self.wiring.turns.store.clone(), self.term.clone());
        let claiming = async move {
            let (run, now) = (store.run(), store.now());
            store
                .write(move |conn| {
                    if term.is_over() {
                        return Err(StoreError::Fenced);
                    }
                    let claims = inbox::claim(conn, run, now, room, merge)?;
                    Ok((claims.len() == room, claims, inbox::next_due(conn, now)?.map(|due| due - now)))
                })
                .await
        };
        ctx.spawn(claiming.into_actor(self).map(|claimed, this, ctx| this.claimed(claimed, ctx)));
    }

    fn claimed(&mut self, claimed: Result<(bool, Vec<Claim>, Option<i64>), StoreError>, ctx: &mut Context<Self>) {
        self.claiming = false;
        match claimed {
            Ok((was_full, claims, next_due)) => {
                self.again |= was_full;
                for claim in claims {
                    match claim.head.lane {
                        Lane::Normal => self.start_turn(claim),
                        Lane::Control => self.obey_command(claim, ctx),
                    }
                }
                self.set_alarm(next_due, ctx);
            }
            Err(error) => tracing::error!(%error, "could not claim; trying again"),
        }
        // Who got nothing new to do is let go.
        self.talks.retain(|_, talk| talk.busy_since.is_some());
        if std::mem::take(&mut self.again) {
            self.claim(ctx);
        }
    }

    /// Wakes up when the next waiting row is due, where that is sooner than the poll.
    fn set_alarm(&mut self, due_in_ms: Option<i64>, ctx: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        let wait = due_in_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        if let Some(wait) = wait.filter(|wait| *wait < POLL) {
            self.alarm = Some(ctx.run_later(wait, |this, ctx| this.claim(ctx)));
        }
    }

    fn start_turn(&mut self, claim: Claim) {
        let key = claim.head.conversation.clone();
        let wiring = &self.wiring;
        let talk = self.talks.entry(key.clone()).or_insert_with(|| new_talk(&key, wiring));
        talk.busy_since = Some(Instant::now());
        talk.stop = CancellationToken::new();
        let stop = talk.stop.clone();
        let work = self.term.begin();
        let within = self.wiring.turns.directory.load().config.pipeline.turn_timeout + GRACE;
        let (port, fences) = (talk.run.clone(), claim.fences());
        let running = async move {
            let end = port.ask(RunTurn { claim: Arc::new(claim), stop }, within).await;
            drop(work);
            end
        };
        self.turns.spawn(running, move |end, this, ctx| this.turn_ended(&key, fences, end, ctx));
    }

    fn turn_ended(
        &mut self,
        key: &str,
        fences: Vec<inbox::Fence>,
        end: Result<TurnEnd, CallError>,
        ctx: &mut Context<Self>,
    ) {
        match end {
            Ok(TurnEnd::Committed | TurnEnd::GivenBack | TurnEnd::Fenced) => {
                if let Some(talk) = self.talks.get_mut(key) {
                    talk.busy_since = None;
                }
            }
            Ok(TurnEnd::NotStored) => {
                self.talks.remove(key);
                self.release(fences, Release { reason: "the store failed".into(), strike: false, wait_ms: 1000 }, ctx);
            }
            Err(error) => {
                self.talks.remove(key);
                let strike = !error.did_not_happen();
                self.release(fences, Release { reason: format!("the turn {error}"), strike, wait_ms: 0 }, ctx);
            }
        }
        self.claim(ctx);
    }

    /// Gives rows back whose conversation is gone, until the store takes it.
    fn release(&self, fences: Vec<inbox::Fence>, why: Release, ctx: &mut Context<Self>) {
        let store = self.wiring.turns.store.clone();
        let failed = self.wiring.turns.directory.load().config.pipeline.replies.failed.clone();
        let releasing = async move {
            loop {
                let (run, now, fences, why, failed) =
                    (store.run(), store.now(), fences.clone(), why.clone(), failed.clone());
                let released = store.write(move |conn| {
                    if inbox::release(conn, run, now, &fences, &why)? >= inbox::STRIKES
                        && let Some(head) = fences.first()
                    {
                        inbox::die(conn, now, head.id, &why.reason, &failed)?;
                    }
                    Ok(())
                });
                match released.await {
                    Ok(()) | Err(StoreError::Fenced | StoreError::Closed) => return,
                    Err(error) => tracing::error!(%error, "could not give rows back; trying again"),
                }
                tokio::time::sleep(POLL).await;
            }
        };
        ctx.spawn(releasing.into_actor(self).map(|(), this, ctx| {
            this.wiring.nudges.outbox.notify_one();
            this.claim(ctx);
        }));
    }

    /// `/stop` and `/new`: end what came before, and say so.
    fn obey_command(&mut self, claim: Claim, ctx: &mut Context<Self>) {
        let conversation = claim.head.conversation.clone();
        let stopping = self.talks.get(&conversation).filter(|talk| talk.busy_since.is_some());
        let stop = stopping.map(|talk| talk.stop.clone());
        let (wiring, nudges) = (self.wiring.turns.clone(), self.wiring.nudges.clone());
        let fences = claim.fences();
        let obeying = async move {
            let obeyed = run_command(&wiring, &claim, stop).await;
            nudges.outbox.notify_one();
            obeyed
        };
        ctx.spawn(obeying.into_actor(self).map(|obeyed, this, ctx| match obeyed {
            Ok(()) | Err(StoreError::Fenced) => this.claim(ctx),
            Err(error) => {
                let why = Release { reason: error.to_string(), strike: false, wait_ms: 1000 };
                this.release(fences, why, ctx);
            }
        }));
    }

    fn ping_talks(&mut self, _: &mut Context<Self>) {
        self.talks.retain(|key, talk| {
            let is_old = talk.busy_since.is_some_and(|since| since.elapsed() >= PING_AFTER);
            let is_deaf = is_old && talk.child.pulse().is_some_and(|pulse| !pulse.ping());
            if is_deaf {
                tracing::error!(conversation = key, "a conversation does not answer; cutting it");
            }
            // The call of one that is let go ends as `Died`, and that gives the rows back with a strike.
            !is_deaf
        });
    }
}

fn new_talk(key: &str, wiring: &DispatcherWiring) -> Talk {
    let run = Port::new("RunTurn", 1);
    let id = InstanceId::new(crate::domain::Family::Conversation, key);
    let (turns, nudges) = (wiring.turns.clone(), wiring.nudges.clone());
    let spec = ChildSpec::of(id, move || Conversation::new(turns.clone(), nudges.clone())).fills(&run).build();
    Talk { child: Transient::start(&spec, &wiring.thread), run, stop: CancellationToken::new(), busy_since: None }
}

async fn run_command(wiring: &Wiring, claim: &Claim, stop: Option<CancellationToken>) -> Result<(), StoreError> {
    let head = &claim.head;
    let replies = wiring.directory.load().config.pipeline.replies.clone();
    let (run, now, fences) = (wiring.store.run(), wiring.store.now(), claim.fences());
    let target = Target {
        message: head.id,
        platform: head.platform.clone(),
        conversation: head.conversation.clone(),
        reply_route: head.reply_route.clone(),
    };
    let is_new = head.text.trim() == NEW;
    let stops_something = stop.is_some();
    let obeyed = wiring.store.write(move |conn| {
        let (waiting, running) = inbox::cancel_before(conn, now, &target.conversation, target.message)?;
        if is_new {
            history::begin_afresh(conn, &target.conversation, target.message, now)?;
        }
        // The stopped turn's own reply speaks for itself.
        let words = if is_new { &replies.fresh } else { &replies.stopped };
        let silent = !is_new && stops_something && !running.is_empty();
        let reply = ReplyText { text: words.both(), mark: Some(Mark::Notice), ..ReplyText::default() };
        let ending = Ending {
            state: "done",
            reason: Some(format!("stopped {} running and {} waiting", running.len(), waiting.len())),
            reply: (!silent).then(|| Reply::whole(reply)),
            remember: None,
            replaces_last: false,
            steps: Vec::new(),
        };
        outbox::commit(conn, run, now, &fences, &target, &ending)
    });
    obeyed.await?;
    if let Some(stop) = stop {
        stop.cancel();
    }
    Ok(())
}

card! {
    Dispatcher takes [Inject, Control];
    instances: "core/dispatcher",
    asks: "`RunTurn`, through the port of the conversation; claims rows of the inbox.",
    when_full: "`Inject` (drills): refused as busy. A nudge that is lost costs one poll of a second. Turns beyond `pipeline.turns` wait on disk.",
    lost: "Its conversations and their turns; the rows go back without a strike and run again.",
    stuck: "`mindbot_queue_depth` of the inbox grows while `turns` does not. Look at its state, then at `pipeline.turns`.",
}

impl Actor for Dispatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.turns.start(ctx);
        self.recover(ctx);
        self.listen(ctx);
        ctx.run_interval(PING_EVERY, Self::ping_talks);
    }
}

impl Handler<Control> for Dispatcher {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}

impl Handler<Inject> for Dispatcher {
    type Result = bool;

    /// For drills: makes a conversation fail while it runs a turn.
    fn handle(&mut self, Inject(id, fault): Inject, _: &mut Context<Self>) -> bool {
        let key = id.as_str().strip_prefix("conversation/").unwrap_or_default();
        let running = self.talks.get_mut(key).filter(|talk| talk.busy_since.is_some());
        let Some(pulse) = running.and_then(|talk| talk.child.pulse()) else { return false };
        pulse.fail(fault);
        true
    }
}
