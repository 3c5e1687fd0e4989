//! The outbox pump: marks the oldest part of each conversation `sending`, hands it to its platform, and writes
//! what became of it.
//!
//! A part is marked only with a permit and a rate token in hand, so that a crash leaves as many unknowns as
//! requests were on the wire. A restart loses nothing; parts on the wire are settled by their platform's rule.

use super::Nudges;
use super::office::{Office, Term};
use crate::directory::{Directory, PlatformEntry};
use crate::domain::Deadline;
use crate::pipeline::format;
use crate::platforms::{self, Begun, Deliver, Delivered, PlatformError, UnknownRule};
use crate::store::outbox::{self, Outgoing, Settlement};
use crate::store::{Store, StoreError};
use crate::supervise::{CallError, Control, Crowd, card, obey};
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const POLL: Duration = Duration::from_secs(1);
/// Time for one part to be delivered, token refreshes included.
const DELIVER_WITHIN: Duration = Duration::from_secs(30);
/// Times that a platform may put a part off before it is dead.
const PATIENCE: i64 = 3;
/// Parts of one platform that one query marks, at most.
const BATCH: usize = 256;

/// What outlives an incarnation of the pump.
#[derive(Clone)]
pub struct PumpWiring {
    pub store: Store,
    pub directory: Directory,
    pub nudges: Nudges,
    /// Raised when nothing new may be sent any more.
    pub draining: Arc<AtomicBool>,
    /// Tells the drain how many parts are on the wire.
    pub office: Office,
}

/// Pacing of one platform.
struct Pace {
    per_minute: u32,
    limiter: Option<DefaultDirectRateLimiter>,
    /// The platform asked for silence until then.
    quiet_until: Option<Instant>,
}

/// Moves parts from the outbox to the platforms.
pub struct OutboxPump {
    wiring: PumpWiring,
    term: Term,
    paces: HashMap<String, Pace>,
    pumping: bool,
    again: bool,
    recovered: bool,
    alarm: Option<SpawnHandle>,
    deliveries: Crowd<Self>,
}

impl OutboxPump {
    pub fn new(wiring: PumpWiring) -> Self {
        let term = wiring.office.take();
        Self {
            wiring,
            term,
            paces: HashMap::new(),
            pumping: false,
            again: false,
            recovered: false,
            alarm: None,
            deliveries: Crowd::default(),
        }
    }

    fn listen(&mut self, ctx: &mut Context<Self>) {
        let nudge = self.wiring.nudges.outbox.clone();
        let nudged = async move { drop(tokio::time::timeout(POLL, nudge.notified()).await) };
        ctx.spawn(nudged.into_actor(self).map(|(), this, ctx| {
            this.pump(ctx);
            this.listen(ctx);
        }));
    }

    /// Settles what an earlier incarnation of this run had on the wire, then begins.
    fn recover(&mut self, ctx: &mut Context<Self>) {
        let (store, directory) = (self.wiring.store.clone(), self.wiring.directory.clone());
        let term = self.term.clone();
        let recovering = async move {
            let (run, now) = (store.run(), store.now());
            let recover = move |conn: &_| match term.is_over() {
                true => Err(StoreError::Fenced),
                false => outbox::recover(conn, run, now, true, |id| rule_of(&directory, id)),
            };
            store.write(recover).await
        };
        ctx.spawn(recovering.into_actor(self).map(|found, this, ctx| match found {
            Ok(parts) => {
                if parts > 0 {
                    tracing::warn!(parts, "settled parts that an earlier pump had on the wire");
                }
                this.recovered = true;
                this.pump(ctx);
            }
            Err(error) => {
                tracing::error!(%error, "could not take parts back; trying again");
                ctx.run_later(POLL, |this, ctx| this.recover(ctx));
            }
        }));
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        if !self.recovered || self.wiring.draining.load(Ordering::Acquire) {
            return;
        }
        if self.pumping {
            self.again = true;
            return;
        }
        let rooms = self.rooms();
        if rooms.is_empty() {
            return;
        }
        self.pumping = true;
        let store = self.wiring.store.clone();
        let counting = async move {
            let now = store.now();
            let limited: Vec<_> = rooms.iter().filter(|room| room.is_limited).cloned().collect();
            let counts = store.read(move |conn| {
                let count = |room: &Room| outbox::ready_count(conn, now, &room.platform, room.parts);
                limited
                    .iter()
                    .map(|room| Ok((room.platform.clone(), count(room)?)))
                    .collect::<Result<HashMap<_, _>, _>>()
            });
            let has_limits = rooms.iter().any(|room| room.is_limited);
            let counts = if has_limits { counts.await.unwrap_or_default() } else { HashMap::new() };
            (rooms, counts)
        };
        ctx.spawn(counting.into_actor(self).map(|(rooms, counts), this, ctx| this.mark(rooms, &counts, ctx)));
    }

    /// Takes rate tokens for what is there, marks the parts and sends them.
    fn mark(&mut self, mut rooms: Vec<Room>, waiting: &HashMap<String, usize>, ctx: &mut Context<Self>) {
        for room in rooms.iter_mut().filter(|room| room.is_limited) {
            let wanted = waiting.get(&room.platform).copied().unwrap_or(0);
            room.parts = self.paces.get(&room.platform).map_or(0, |pace| pace.take_tokens(wanted));
        }
        rooms.retain(|room| room.parts > 0);
        let (store, term) = (self.wiring.store.clone(), self.term.clone());
        let marking = async move {
            let (run, now) = (store.run(), store.now());
            store
                .write(move |conn| {
                    if term.is_over() {
                        return Err(StoreError::Fenced);
                    }
                    let mut marked = Vec::new();
                    for Room { platform, parts, .. } in &rooms {
                        let outgoing = outbox::claim(conn, run, now, platform, *parts)?;
                        marked.extend(outgoing.into_iter().map(|outgoing| (platform.clone(), outgoing)));
                    }
                    Ok((marked, outbox::next_due(conn, now)?.map(|due| due - now)))
                })
                .await
        };
        ctx.spawn(marking.into_actor(self).map(|marked, this, ctx| {
            this.pumping = false;
            match marked {
                Ok((parts, next_due)) => {
                    for (platform, outgoing) in parts {
                        this.send(&platform, outgoing);
                    }
                    this.set_alarm(next_due, ctx);
                }
                Err(error) => tracing::error!(%error, "could not mark parts; trying again"),
            }
            if std::mem::take(&mut this.again) {
                this.pump(ctx);
            }
        }));
    }

    fn set_alarm(&mut self, due_in_ms: Option<i64>, ctx: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        let wait = due_in_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        if let Some(wait) = wait.filter(|wait| *wait < POLL) {
            self.alarm = Some(ctx.run_later(wait, |this, ctx| this.pump(ctx)));
        }
    }

    /// Platforms that could take parts now, and how many.
    fn rooms(&mut self) -> Vec<Room> {
        let snapshot = self.wiring.directory.load();
        self.paces.retain(|id, _| snapshot.platforms.contains_key(id));
        let now = Instant::now();
        let mut rooms = Vec::new();
        for (id, entry) in &snapshot.platforms {
            let pace = self.paces.entry(id.clone()).or_insert_with(|| Pace::of(entry));
            if pace.per_minute != per_minute(entry) {
                *pace = Pace::of(entry);
            }
            let parts = entry.deliver.free().min(BATCH);
            if parts > 0 && entry.deliver.is_up() && pace.quiet_until.is_none_or(|until| until <= now) {
                rooms.push(Room { platform: id.clone(), parts, is_limited: pace.limiter.is_some() });
            }
        }
        rooms
    }

    fn send(&mut self, platform: &str, outgoing: Outgoing) {
        let snapshot = self.wiring.directory.load();
        let entry = snapshot.platforms.get(platform).cloned();
        let give_up = snapshot.config.pipeline.give_up_after;
        let (store, work) = (self.wiring.store.clone(), self.term.begin());
        let delivering = async move {
            let begun = Begun::default();
            let result = deliver(entry.as_ref(), &outgoing, begun.clone()).await;
            let quiet = match &result {
                Err(PlatformError::RateLimited { after, .. }) => Some(*after),
                _ => None,
            };
            let settlement = settlement_of(result, &begun, entry.as_ref(), &outgoing, give_up);
            settle(&store, &outgoing, settlement).await;
            drop(work);
            quiet
        };
        let id = platform.to_owned();
        self.deliveries.spawn(delivering, move |quiet, this, ctx| {
            if let (Some(after), Some(pace)) = (quiet, this.paces.get_mut(&id)) {
                pace.quiet_until = Some(Instant::now() + after);
                ctx.run_later(after, |this, ctx| this.pump(ctx));
            }
            this.pump(ctx);
        });
    }
}

#[derive(Debug, Clone)]
struct Room {
    platform: String,
    parts: usize,
    is_limited: bool,
}

impl Pace {
    fn of(entry: &PlatformEntry) -> Self {
        let per_minute = per_minute(entry);
        let limiter = NonZeroU32::new(per_minute).map(|rate| RateLimiter::direct(Quota::per_minute(rate)));
        Self { per_minute, limiter, quiet_until: None }
    }

    fn take_tokens(&self, wanted: usize) -> usize {
        let Some(limiter) = &self.limiter else { return wanted };
        (0..wanted).take_while(|_| limiter.check().is_ok()).count()
    }
}

fn per_minute(entry: &PlatformEntry) -> u32 {
    entry.section.sends_per_minute.unwrap_or(entry.kind.limits.sends_per_minute)
}

fn rule_of(directory: &Directory, platform: &str) -> UnknownRule {
    let snapshot = directory.load();
    snapshot.platforms.get(platform).map_or(UnknownRule::Ask, |entry| entry.kind.unknown)
}

async fn deliver(entry: Option<&PlatformEntry>, outgoing: &Outgoing, begun: Begun) -> Result<Delivered, PlatformError> {
    let Some(entry) = entry else { return Err(CallError::Down.into()) };
    let reserved = entry.deliver.reserve()?;
    let call = Deliver { part: outgoing.part.clone(), deadline: Deadline::after(DELIVER_WITHIN), begun };
    #[cfg(feature = "chaos-tests")]
    if crate::sabotage::is("double-send") {
        let _ = entry.deliver.ask(call.clone(), DELIVER_WITHIN).await;
    }
    // The adapter obeys the deadline; the second more lets it say so itself.
    reserved.ask(call, DELIVER_WITHIN + Duration::from_secs(1)).await?
}

/// What a delivery's end means for the part. Pure.
fn settlement_of(
    result: Result<Delivered, PlatformError>,
    begun: &Begun,
    entry: Option<&PlatformEntry>,
    outgoing: &Outgoing,
    give_up: Duration,
) -> Settlement {
    let rule = entry.map_or(UnknownRule::Ask, |entry| entry.kind.unknown);
    let too_old = outgoing.part.age > give_up;
    let wait_ms = |after: Duration| i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
    match result {
        Ok(Delivered { platform_id, calls }) => Settlement::Sent { platform_id, calls },
        Err(PlatformError::Later { reason, .. }) if outgoing.failures + 1 >= PATIENCE => {
            Settlement::Dead { reason: format!("given up after {PATIENCE} tries: {reason}") }
        }
        Err(PlatformError::Later { after, reason }) => {
            Settlement::Later { wait_ms: wait_ms(after), counts: true, reason }
        }
        Err(PlatformError::Away { reason, .. } | PlatformError::RateLimited { reason, .. }) if too_old => {
            Settlement::Dead { reason: format!("`pipeline.give_up_after` has passed: {reason}") }
        }
        Err(PlatformError::Away { after, reason } | PlatformError::RateLimited { after, reason }) => {
            Settlement::Later { wait_ms: wait_ms(after), counts: false, reason }
        }
        Err(PlatformError::Rejected(reason)) => Settlement::Dead { reason },
        Err(PlatformError::Misconfigured(reason)) => Settlement::Dead { reason: format!("configuration: {reason}") },
        Err(PlatformError::TooLong(reason)) => match format::halves(&outgoing.part.text) {
            Some(pieces) => Settlement::Split { pieces, reason },
            None => Settlement::Dead { reason },
        },
        Err(PlatformError::Unknown(reason)) => Settlement::Unknown { rule, reason },
        Err(PlatformError::Call(error)) if begun.withdraw() => Settlement::Unknown { rule, reason: error.to_string() },
        Err(PlatformError::Call(error)) => Settlement::Later { wait_ms: 200, counts: false, reason: error.to_string() },
    }
}

/// Writes what became of a part, until the store takes it.
async fn settle(store: &Store, outgoing: &Outgoing, settlement: Settlement) {
    if let Settlement::Dead { reason } = &settlement {
        tracing::error!(
            alert = true,
            message.id = outgoing.part.message,
            part = outgoing.part.part,
            reason,
            "a reply part is dead"
        );
    }
    loop {
        let (run, now, outgoing, settlement) = (store.run(), store.now(), outgoing.clone(), settlement.clone());
        match store.write(move |conn| outbox::settle(conn, run, now, &outgoing, &settlement)).await {
            Ok(_) | Err(StoreError::Closed) => return,
            Err(StoreError::Fenced) => {
                tracing::warn!("a delivery ended after another pump had taken the part over");
                return;
            }
            Err(error) => tracing::error!(%error, "could not write what became of a part; trying again"),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The rule for parts of a platform, read from a configuration: used before any directory exists.
pub fn rule_by_config(config: &crate::config::Config, platform: &str) -> UnknownRule {
    let section = config.platforms.iter().find(|section| section.id == platform);
    section.and_then(|section| platforms::kind(&section.kind)).map_or(UnknownRule::Ask, |kind| kind.unknown)
}

card! {
    OutboxPump takes [Control];
    instances: "core/pump",
    asks: "`Deliver`, through the port of each platform; marks and settles parts in the store.",
    when_full: "Nobody calls it; a nudge that is lost costs one poll of a second. Parts wait on disk for a permit and a rate token.",
    lost: "Nothing durable. Parts on the wire are settled by the rule of their platform for what is `unknown`.",
    stuck: "`mindbot_queue_depth` of the outbox grows while `mindbot_outbox_sending` does not. Look at its state, then at those of the platforms.",
}

impl Actor for OutboxPump {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.deliveries.start(ctx);
        self.recover(ctx);
        self.listen(ctx);
    }
}

impl Handler<Control> for OutboxPump {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}
