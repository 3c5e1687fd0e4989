//! One conversation while it has something to do: runs its turns one at a time.
//!
//! Made by the dispatcher on demand, never restarted. A lost one costs its turn, which runs again from the inbox.

use super::Nudges;
use crate::domain::Mark;
use crate::pipeline::{self, Outcome, Turn, Wiring, format};
use crate::platforms::{Preview, PreviewState};
use crate::store::inbox::{self, Claim, Release};
use crate::store::outbox::{self, Ending, Reply, Target};
use crate::store::{Store, StoreError};
use crate::supervise::{Control, card, contained, obey};
use crate::telemetry::metrics;
use actix::{Actor, Context, Handler, Message, ResponseActFuture, WrapFuture};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Runs one turn from the claimed rows to the committed reply.
#[derive(Debug, Message)]
#[rtype(result = "TurnEnd")]
pub struct RunTurn {
    pub claim: Arc<Claim>,
    /// Stops this turn, at any time: what has been said so far becomes the reply.
    pub stop: CancellationToken,
}

/// How a turn ended, as far as the dispatcher cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnEnd {
    /// Reply and rows are committed.
    Committed,
    /// The rows are back in line, or dead.
    GivenBack,
    /// Another attempt owns the rows; nothing was written.
    Fenced,
    /// The store could not take the end of the turn; the rows must be given back.
    NotStored,
}

impl TurnEnd {
    /// The word used in metrics.
    const fn word(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::GivenBack => "given_back",
            Self::Fenced => "fenced",
            Self::NotStored => "not_stored",
        }
    }
}

/// The actor of one conversation.
pub struct Conversation {
    wiring: Wiring,
    nudges: Nudges,
}

impl Conversation {
    pub fn new(wiring: Wiring, nudges: Nudges) -> Self {
        Self { wiring, nudges }
    }
}

card! {
    Conversation takes [RunTurn, Control];
    instances: "conversation/<key>",
    asks: "`Search` (retriever), `Ask` (manager), `Preview` (platform); commits reply and rows in the store.",
    when_full: "`RunTurn` 1. Never full: the dispatcher gives it one turn at a time.",
    lost: "The turn that was running; its rows go back with a strike, and the third strike makes a dead letter.",
    stuck: "One chat waits, others go on. Look at the trace of its oldest message: the last step names the stage.",
}

impl Actor for Conversation {
    type Context = Context<Self>;
}

impl Handler<Control> for Conversation {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}

impl Handler<RunTurn> for Conversation {
    type Result = ResponseActFuture<Self, TurnEnd>;

    fn handle(&mut self, RunTurn { claim, stop }: RunTurn, _: &mut Context<Self>) -> Self::Result {
        #[cfg(feature = "chaos-tests")]
        crate::sabotage::trip_in("conversation", &claim.head.text);
        let turn = Box::new(Turn::new(claim, &self.wiring, stop));
        let (wiring, nudges) = (self.wiring.clone(), self.nudges.clone());
        Box::pin(run(turn, wiring, nudges).into_actor(self))
    }
}

async fn run(turn: Box<Turn>, wiring: Wiring, nudges: Nudges) -> TurnEnd {
    let (began, platform) = (Instant::now(), turn.claim.head.platform.clone());
    let end = run_to_end(turn, wiring, nudges).await;
    metrics::turn_ended(&platform, end.word(), began.elapsed());
    end
}

async fn run_to_end(turn: Box<Turn>, wiring: Wiring, nudges: Nudges) -> TurnEnd {
    let claim = turn.claim.clone();
    let preview = turn.platform.as_ref().map(|platform| platform.preview.clone());
    let staged = contained(async {
        let mut turn = turn;
        let outcome = pipeline::run(&mut turn, &wiring).await;
        let parts = match &outcome {
            Outcome::Answer { reply, .. } => format::parts(&reply.text, turn.platform.as_ref()),
            Outcome::GiveBack(_) => Vec::new(),
        };
        (turn, outcome, parts)
    });
    let written = match staged.await {
        Ok((turn, Outcome::Answer { reply, remember, replaces_last }, parts)) => {
            let state = if reply.mark == Some(Mark::Refused) { "refused" } else { "done" };
            let ending = Ending {
                state,
                reason: reply.mark.map(|mark| format!("{mark:?}").to_lowercase()),
                reply: Some(Reply { parts, mark: reply.mark, degraded: reply.degraded, sources: reply.sources }),
                remember,
                replaces_last,
                steps: turn.steps,
            };
            commit(&wiring.store, &claim, ending).await
        }
        Ok((turn, Outcome::GiveBack(release), _)) => give_back(&wiring, &claim, release, turn.steps).await,
        Err(panicked) => {
            let release = Release { reason: panicked.to_string(), strike: true, wait_ms: 0 };
            give_back(&wiring, &claim, release, Vec::new()).await
        }
    };
    nudges.outbox.notify_one();
    match written {
        Ok(end) => {
            if end == TurnEnd::GivenBack
                && let Some(preview) = preview
            {
                let (conversation, message) = (claim.head.conversation.clone(), claim.last().id);
                drop(preview.offer(Preview { conversation, message, state: PreviewState::Gone }));
            }
            end
        }
        Err(StoreError::Fenced) => {
            tracing::info!(message.id = claim.head.id, "a turn ended after another attempt had taken over");
            TurnEnd::Fenced
        }
        Err(error) => {
            tracing::error!(message.id = claim.head.id, %error, "a turn's end could not be stored");
            TurnEnd::NotStored
        }
    }
}

async fn commit(store: &Store, claim: &Claim, ending: Ending) -> Result<TurnEnd, StoreError> {
    let (run, now, fences, target) = (store.run(), store.now(), claim.fences(), target_of(claim));
    store.write(move |conn| outbox::commit(conn, run, now, &fences, &target, &ending)).await?;
    Ok(TurnEnd::Committed)
}

async fn give_back(
    wiring: &Wiring,
    claim: &Claim,
    release: Release,
    steps: Vec<crate::store::trace::Step>,
) -> Result<TurnEnd, StoreError> {
    let store = &wiring.store;
    let (run, now, fences, head) = (store.run(), store.now(), claim.fences(), claim.head.id);
    let failed = wiring.directory.load().config.pipeline.replies.failed.clone();
    store
        .write(move |conn| {
            crate::store::trace::add_all(conn, head, &steps)?;
            if inbox::release(conn, run, now, &fences, &release)? >= inbox::STRIKES {
                inbox::die(conn, now, head, &release.reason, &failed)?;
            }
            Ok(TurnEnd::GivenBack)
        })
        .await
}

/// Where the reply to a claim goes: it answers the newest of the merged messages.
fn target_of(claim: &Claim) -> Target {
    let last = claim.last();
    Target {
        message: last.id,
        platform: last.platform.clone(),
        conversation: last.conversation.clone(),
        reply_route: last.reply_route.clone(),
    }
}
