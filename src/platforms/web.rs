//! The web chat: readers follow a conversation's event stream, and the store is the truth they are shown.
//!
//! Delivering means telling the open streams to look again: a part marked `sending` is already visible to every
//! reader. A restart loses the previews of unfinished text, which the next piece of text brings back.

use super::{
    Deliver, Delivered, Dialect, Kind, Limits, PlatformError, Ports, Preview, PreviewState, UnknownRule, Wiring,
};
use crate::config::{self, Access};
use crate::domain::InstanceId;
use crate::supervise::{ChildSpec, Control, card, contained, obey};
use actix::{Actor, Context, Handler, ResponseActFuture, WrapFuture};
use dashmap::DashMap;
use std::sync::Arc;
use tokio::sync::watch;

pub static KIND: Kind = Kind {
    name: "web",
    card: &CARD,
    limits: Limits { max_bytes: 256 * 1024, previews_per_second: 20, sends_per_minute: 0 },
    // Readers merge by the part's id, so showing it again changes nothing.
    unknown: UnknownRule::SameKey,
    check,
    credential: |_| None,
    ingress: |_, _| None,
    dialect: |_| Dialect::Markdown,
    spec,
    probe: None,
};

fn spec(wiring: &Wiring, section: &Arc<config::Platform>, ports: &Ports) -> ChildSpec {
    let hub = wiring.hub.clone();
    ChildSpec::of(InstanceId::platform(&section.id), move || Web::new(hub.clone()))
        .fills(&ports.deliver)
        .fills(&ports.preview)
        .build()
}

fn check(section: &config::Platform) -> Vec<(&'static str, String)> {
    if section.access == Access::Token && section.access_token.expose().len() < 16 {
        let problem = "`access = \"token\"` needs an `access_token` of at least 16 characters".to_owned();
        return vec![("access_token", problem)];
    }
    Vec::new()
}

/// What an open event stream watches.
#[derive(Debug, Clone, Default)]
pub struct LiveState {
    /// Rises whenever the store holds something new for this conversation.
    pub version: u64,
    /// The newest word about the turn that is running.
    pub preview: Option<(i64, PreviewState)>,
}

/// Open event streams by conversation. A conversation that nobody watches takes no room.
#[derive(Clone, Default)]
pub struct LiveHub(Arc<DashMap<String, watch::Sender<LiveState>>>);

impl LiveHub {
    /// Follows a conversation until the subscription is dropped.
    pub fn subscribe(&self, conversation: &str) -> Subscription {
        let receiver = self.0.entry(conversation.to_owned()).or_default().subscribe();
        Subscription { hub: self.clone(), conversation: conversation.to_owned(), receiver: Some(receiver) }
    }

    /// Tells the readers of a conversation to look into the store again.
    pub fn poke(&self, conversation: &str) {
        self.change(conversation, |state| state.version += 1);
    }

    /// Open streams.
    pub fn readers(&self) -> usize {
        self.0.iter().map(|entry| entry.receiver_count()).sum()
    }

    fn change(&self, conversation: &str, change: impl FnOnce(&mut LiveState)) {
        if let Some(sender) = self.0.get(conversation) {
            sender.send_modify(change);
        }
    }
}

/// One open event stream's view of its conversation.
pub struct Subscription {
    hub: LiveHub,
    conversation: String,
    receiver: Option<watch::Receiver<LiveState>>,
}

impl Subscription {
    /// The newest state, marked as seen.
    pub fn latest(&mut self) -> LiveState {
        self.receiver.as_mut().map(|receiver| receiver.borrow_and_update().clone()).unwrap_or_default()
    }

    /// Waits for a state that has not been seen.
    pub async fn changed(&mut self) {
        let Some(receiver) = &mut self.receiver else { return std::future::pending().await };
        if receiver.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        drop(self.receiver.take());
        self.hub.0.remove_if(&self.conversation, |_, sender| sender.receiver_count() == 0);
    }
}

/// The adapter of one `web` platform.
pub struct Web {
    hub: LiveHub,
}

impl Web {
    pub fn new(hub: LiveHub) -> Self {
        Self { hub }
    }
}

card! {
    Web takes [Deliver, Preview, Control];
    instances: "platform/<id>",
    asks: "Nobody; it tells the open event streams to look into the store again.",
    when_full: "`Deliver`: the part waits in the outbox. `Preview`: that text is not shown, the next one is.",
    lost: "Calls in flight, whose parts are sent again; readers merge them by id. Previews come back with the next piece of text.",
    stuck: "Chats stand still while `mindbot_outbox_sending` grows. Look at its state and last error in the actor list.",
}

impl Actor for Web {
    type Context = Context<Self>;
}

impl Handler<Control> for Web {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}

impl Handler<Deliver> for Web {
    type Result = ResponseActFuture<Self, Result<Delivered, PlatformError>>;

    fn handle(&mut self, call: Deliver, _: &mut Context<Self>) -> Self::Result {
        let hub = self.hub.clone();
        let delivering = contained(async move {
            call.begun.raise();
            #[cfg(feature = "chaos-tests")]
            crate::sabotage::trip(&call.part.text);
            hub.poke(&call.part.conversation);
            Delivered { platform_id: String::new(), calls: 1 }
        });
        let delivered = async move { delivering.await.map_err(|bug| PlatformError::Unknown(bug.to_string())) };
        Box::pin(delivered.into_actor(self))
    }
}

impl Handler<Preview> for Web {
    type Result = ();

    fn handle(&mut self, preview: Preview, _: &mut Context<Self>) {
        let Preview { conversation, message, state } = preview;
        self.hub.change(&conversation, |live| live.preview = Some((message, state)));
    }
}
