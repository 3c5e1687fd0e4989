//! A reader of the web chat, over REST and server-sent events as a third party would use them.

use super::PATIENCE;
use super::gateway::Gateway;
use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::Write;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};

/// One event of the stream.
#[derive(Debug, Clone)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

/// Talks to the platform `web` of one gateway.
pub struct Chat {
    base: String,
    client: reqwest::Client,
}

/// A client for tests. TLS is chosen as the program does it, although nothing here uses it.
pub fn client() -> reqwest::Client {
    mindbot::egress::install_tls();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

impl Chat {
    pub fn of(gateway: &Gateway) -> Self {
        Self { base: gateway.url("/api/v1/chat/web"), client: client() }
    }

    /// Posts a message; the response as it is.
    pub async fn post(&self, conversation: &str, client_id: &str, text: &str) -> reqwest::Response {
        let body = json!({ "conversation": conversation, "client_id": client_id, "text": text });
        self.client.post(format!("{}/messages", self.base)).json(&body).send().await.unwrap()
    }

    /// Posts a message that has to be taken. Answers its id.
    pub async fn say(&self, conversation: &str, text: &str) -> String {
        let response = self.post(conversation, &uuid::Uuid::new_v4().simple().to_string(), text).await;
        assert_eq!(response.status(), 202);
        let said: Value = response.json().await.unwrap();
        said["message"].as_str().unwrap().to_owned()
    }

    /// Follows a conversation from its beginning, or from after the event `last`.
    pub async fn follow(&self, conversation: &str, last: Option<&str>) -> Events {
        let mut request = self.client.get(format!("{}/events?conversation={conversation}", self.base));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Events { bytes: Box::pin(response.bytes_stream()), rest: Vec::new(), ready: VecDeque::new() }
    }

    /// Waits for the answer to a message; its whole text and the event's data.
    pub async fn answer_to(&self, conversation: &str, message: &str) -> (String, Value) {
        let mut events = self.follow(conversation, None).await;
        let event = events.find(|event| event.data["reply_to"] == message && event.data["mark"] != "notice").await;
        (event.data["text"].as_str().unwrap().to_owned(), event.data)
    }

    /// Says something and waits for the answer's text.
    pub async fn ask(&self, conversation: &str, text: &str) -> String {
        let message = self.say(conversation, text).await;
        self.answer_to(conversation, &message).await.0
    }
}

/// An open event stream.
pub struct Events {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>>>>,
    rest: Vec<u8>,
    ready: VecDeque<Event>,
}

impl Events {
    /// The next event; `None` when the stream has ended. Comments are skipped.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.bytes.next()).await.expect("the stream fell silent")?;
            self.rest.extend_from_slice(&chunk.ok()?);
            while let Some(end) = self.rest.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.rest.drain(..end + 2).collect();
                self.ready.extend(event_of(std::str::from_utf8(&block).unwrap()));
            }
        }
    }

    /// Reads on until an event that `fits` comes.
    pub async fn find(&mut self, fits: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await.expect("the stream ended before the event came");
            if fits(&event) {
                return event;
            }
        }
    }
}

fn event_of(block: &str) -> Option<Event> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let data = serde_json::from_str(&field("data: ")?).unwrap();
    Some(Event { name: field("event: ")?, id: field("id: "), data })
}

/// Starts `mindbot chat` with these lines typed ahead; it ends by itself once they are answered.
pub fn in_terminal(arguments: &[&str], lines: &str) -> Child {
    let mut terminal = Command::new(env!("CARGO_BIN_EXE_mindbot"))
        .arg("chat")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    terminal.stdin.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
    terminal
}
