//! The one message that every supervised actor answers: am I alive, finish, and (for drills) fail.

use super::pulse::Unanswered;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
use serde::Deserialize;
use std::time::Duration;

/// How long [`Fault::Block`] holds the thread.
const BLOCK: Duration = Duration::from_secs(30);

/// A message from the supervisor to its child.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Control {
    /// Answered by whoever still reads its mailbox.
    Ping(Unanswered),
    /// Stop; nothing is sent to this incarnation any more and its calls have ended.
    Drain,
    /// Fail on purpose.
    Fault(Fault),
}

/// Ways to fail, for drills with `server.chaos`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// Panics in the handler.
    Panic,
    /// Stops politely, unasked.
    Stop,
    /// Stops reading its mailbox.
    Hang,
    /// Holds its thread for 30 s.
    Block,
}

/// Obeys a [`Control`] message: the whole body of every actor's `Handler<Control>`.
pub fn obey<A>(control: Control, ctx: &mut Context<A>)
where
    A: Actor<Context = Context<A>> + Handler<Control>,
{
    match control {
        Control::Ping(unanswered) => unanswered.clear(),
        Control::Drain | Control::Fault(Fault::Stop) => ctx.stop(),
        Control::Fault(Fault::Hang) => ctx.wait(actix::fut::wrap_future(std::future::pending::<()>())),
        #[expect(clippy::disallowed_methods, reason = "the fault that is asked for is a blocked thread")]
        Control::Fault(Fault::Block) => std::thread::sleep(BLOCK),
        #[expect(clippy::panic, reason = "the fault that is asked for is a panic")]
        Control::Fault(Fault::Panic) => panic!("fault injected by an administrator"),
    }
}
