//! One reader's event stream: replays what is stored, then follows the conversation until the reader leaves.

use super::App;
use crate::domain::Mark;
use crate::platforms::PreviewState;
use crate::platforms::web::{LiveState, Subscription};
use crate::store::StoreError;
use crate::store::search::{self, Answered, Said};
use actix_web::web::Bytes;
use futures_util::Stream;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Parts become visible in an order that is not quite that of their ids: look this far back.
const LOOK_BACK: i64 = 32;

/// What a reader has been shown so far.
pub struct ChatStream {
    app: App,
    conversation: String,
    subscription: Subscription,
    said: i64,
    answered: i64,
    seen_parts: HashSet<i64>,
    /// The version of the conversation that was read last; `None` before the first read.
    version: Option<u64>,
    /// The message whose text is on the reader's screen, and that text.
    shown: Option<(i64, Arc<str>)>,
    /// The newest message that has its whole answer.
    complete: i64,
    queued: Option<i64>,
    working: Option<i64>,
    ended: bool,
}

impl ChatStream {
    /// `last` is the `Last-Event-ID`, `<said>-<answered>`; anything else begins at the beginning.
    pub fn new(app: App, conversation: &str, last: Option<&str>) -> Self {
        let position = last.and_then(|id| id.split_once('-'));
        let position = position.and_then(|(said, answered)| Some((said.parse().ok()?, answered.parse().ok()?)));
        let (said, answered) = position.unwrap_or((0, 0));
        Self {
            subscription: app.hub.subscribe(conversation),
            conversation: conversation.to_owned(),
            said,
            answered,
            seen_parts: HashSet::new(),
            version: None,
            shown: None,
            complete: 0,
            queued: None,
            working: None,
            ended: false,
            app,
        }
    }

    /// The stream of bytes. Events that are there together leave together, in one write.
    pub fn into_events(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        futures_util::stream::unfold(self, |mut stream| async move {
            if stream.ended {
                return None;
            }
            let bytes = stream.next().await;
            Some((Ok(bytes), stream))
        })
    }

    async fn next(&mut self) -> Bytes {
        if self.version.is_some() {
            tokio::select! {
                () = self.subscription.changed() => {}
                () = self.app.draining.cancelled() => {
                    self.ended = true;
                    return Bytes::from(event("notice", None, &json!({ "kind": "draining", "message": null,
                        "text": "正在重启，稍后自动恢复。 Restarting; this page reconnects by itself." })));
                }
                () = tokio::time::sleep(KEEP_ALIVE) => return Bytes::from_static(b": keep-alive\n\n"),
            }
        }
        let live = self.subscription.latest();
        let mut out = String::new();
        if self.version != Some(live.version) {
            self.version = Some(live.version);
            if let Err(error) = self.read(&mut out).await {
                tracing::warn!(%error, "an event stream could not read its conversation");
                self.ended = true;
            }
        }
        self.show_preview(live, &mut out);
        if out.is_empty() {
            out.push_str(": nothing\n\n");
        }
        Bytes::from(out)
    }

    async fn read(&mut self, out: &mut String) -> Result<(), StoreError> {
        let (conversation, said, answered) = (self.conversation.clone(), self.said, self.answered - LOOK_BACK);
        let read = self.app.store.read(move |conn| search::conversation(conn, &conversation, said, answered));
        let (said, answered, open) = read.await?;
        let mut items: Vec<(i64, u8, Item)> = said.into_iter().map(|said| (said.id, 0, Item::Said(said))).collect();
        let new = answered.into_iter().filter(|part| !self.seen_parts.contains(&part.id));
        items.extend(new.map(|part| (part.message, 1, Item::Answered(part))));
        items.sort_by_key(|(message, side, item)| (*message, *side, item.order()));
        for (_, _, item) in items {
            out.push_str(&self.tell(item));
        }
        self.tell_waiting(&open, out);
        Ok(())
    }

    fn tell(&mut self, item: Item) -> String {
        match item {
            Item::Said(said) => {
                self.said = self.said.max(said.id);
                let data = json!({ "id": said.id.to_string(), "role": "user", "text": said.text, "at": time(said.at),
                                   "client_id": said.client_id });
                event("message", Some(self.position()), &data)
            }
            Item::Answered(part) => {
                self.answered = self.answered.max(part.id);
                self.seen_parts.insert(part.id);
                if part.mark != Some(Mark::Notice) {
                    self.complete = self.complete.max(part.message);
                }
                if self.shown.as_ref().is_some_and(|(message, _)| *message == part.message) {
                    self.shown = None;
                }
                let data = json!({
                    "id": format!("{}.{}", part.message, part.part), "role": "assistant",
                    "reply_to": part.message.to_string(), "text": part.text, "at": time(part.at), "mark": part.mark,
                    "degraded": part.degraded, "sources": part.sources,
                });
                event("message", Some(self.position()), &data)
            }
        }
    }

    /// Tells once that a message waits behind others.
    fn tell_waiting(&mut self, open: &[(i64, String)], out: &mut String) {
        let last_waiting = open.iter().rposition(|(_, state)| state == "ready").filter(|ahead| *ahead > 0);
        let Some((ahead, (message, _))) = last_waiting.and_then(|at| Some((at, open.get(at)?))) else { return };
        if self.queued.replace(*message) != Some(*message) {
            let data = json!({ "kind": "queued", "message": message.to_string(), "ahead": ahead, "text": "" });
            out.push_str(&event("notice", None, &data));
        }
    }

    fn show_preview(&mut self, live: LiveState, out: &mut String) {
        let Some((message, state)) = live.preview else { return };
        // What has been answered is not shown unfinished any more.
        if self.complete >= message {
            return;
        }
        match state {
            PreviewState::Working => {
                if self.working.replace(message) != Some(message) {
                    self.shown = None;
                    let data = json!({ "kind": "working", "message": message.to_string(), "text": "" });
                    out.push_str(&event("notice", None, &data));
                }
            }
            PreviewState::Text(text) => {
                let known = self.shown.as_ref().filter(|(shown, _)| *shown == message).map(|(_, text)| text.clone());
                let (fresh, replace) = match known.as_deref().and_then(|known| text.strip_prefix(known)) {
                    Some(suffix) => (suffix, false),
                    None => (&*text, true),
                };
                if replace || !fresh.is_empty() {
                    let data = json!({ "message": message.to_string(), "text": fresh, "replace": replace });
                    out.push_str(&event("delta", None, &data));
                }
                self.shown = Some((message, text));
            }
            PreviewState::Gone => {
                if self.shown.take().is_some() || self.working.take().is_some() {
                    let data = json!({ "message": message.to_string(), "text": "", "replace": true });
                    out.push_str(&event("delta", None, &data));
                }
            }
        }
    }

    fn position(&self) -> String {
        format!("{}-{}", self.said, self.answered)
    }
}

enum Item {
    Said(Said),
    Answered(Answered),
}

impl Item {
    fn order(&self) -> i64 {
        match self {
            Self::Said(said) => said.id,
            Self::Answered(part) => part.part,
        }
    }
}

fn time(ms: i64) -> String {
    super::rfc3339(ms)
}

fn event(name: &str, id: Option<String>, data: &Value) -> String {
    let mut text = format!("event: {name}\n");
    if let Some(id) = id {
        let _ = writeln!(text, "id: {id}");
    }
    // JSON holds no raw line break, so one data line is enough.
    let _ = write!(text, "data: {data}\n\n");
    text
}
