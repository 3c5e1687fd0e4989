//! `mindbot chat`: a conversation in the terminal with a gateway that runs, streamed.

use super::{FAILED, WRONG_USE};
use crate::egress;
use crate::providers::sse::Scanner;
use backon::{ConstantBuilder, Retryable};
use futures_util::StreamExt;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{BufRead, IsTerminal, Write, stdin, stdout};
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc;
use url::Url;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How often, and how many times, a gateway that went away is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOKS: usize = 120;

/// Talks to a running gateway: a line is a message, and the answer is streamed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Commands in the chat: /stop ends an answer, /new begins afresh, Ctrl-D leaves.\n\nExamples:\n  mindbot chat\n  mindbot chat --assistant helper\n  mindbot chat --url http://127.0.0.1:9000 --platform team\n  echo 'How do I connect a model?' | mindbot chat"
)]
pub(super) struct Chat {
    /// Id of the assistant that answers; without it the routes decide.
    #[arg(long, value_name = "ID")]
    assistant: Option<String>,
    /// The gateway.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// Id of a platform of kind `web`.
    #[arg(long, default_value = "web")]
    platform: String,
    /// Access token, where the platform asks for one.
    #[arg(long, env = "MINDBOT_CHAT_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

pub(super) fn run(chat: &Chat) -> ExitCode {
    egress::install_tls();
    match actix_rt::System::new().block_on(talk(chat)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Use(problem)) => {
            eprintln!("mindbot chat: {problem}");
            ExitCode::from(WRONG_USE)
        }
        Err(Failure::Run(problem) | Failure::Away(problem)) => {
            eprintln!("mindbot chat: {problem}");
            ExitCode::from(FAILED)
        }
    }
}

enum Failure {
    Use(String),
    Run(String),
    /// The gateway is not there, or not ready.
    Away(String),
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        let hint = if error.is_connect() { "; is the gateway running? Start it with `mindbot serve`" } else { "" };
        let problem = format!("{error}{hint}");
        if error.is_decode() { Self::Run(problem) } else { Self::Away(problem) }
    }
}

async fn talk(chat: &Chat) -> Result<(), Failure> {
    let client = egress::client(CONNECT_WITHIN).map_err(Failure::Run)?;
    let path = |tail: &str| {
        let joined = chat.url.join(&format!("/api/v1/chat/{}/{tail}", chat.platform));
        joined.map_err(|error| Failure::Use(format!("--url: {error}")))
    };
    let session = Session {
        client,
        messages: path("messages")?,
        events: path("events")?,
        token: chat.token.clone(),
        assistant: chat.assistant.clone(),
        conversation: uuid::Uuid::new_v4().simple().to_string(),
    };
    let (tell, mut events) = mpsc::channel(64);
    let mut following = Box::pin(session.follow(session.events().await?, tell));
    let mut lines = typed_lines();
    let mut screen = Screen { is_terminal: stdin().is_terminal() && stdout().is_terminal(), ..Screen::default() };
    let mut has_more = true;
    screen.prompt();
    while has_more || screen.waits_for.is_some() {
        // A script's next question waits for the answer to the last one; a person may type `/stop` any time.
        let takes_lines = has_more && (screen.is_terminal || screen.waits_for.is_none());
        tokio::select! {
            line = lines.recv(), if takes_lines => match line {
                Some(line) if line.trim().is_empty() => screen.prompt(),
                Some(line) => screen.waits_for = Some(session.say(&line).await?),
                None => has_more = false,
            },
            Some(event) = events.recv() => screen.show(&event),
            ended = &mut following => return ended,
        }
    }
    Ok(())
}

/// Lines from the keyboard, or from a pipe.
fn typed_lines() -> mpsc::Receiver<String> {
    let (tell, lines) = mpsc::channel(1);
    // Reading a terminal blocks, and nothing can end it but the process.
    std::thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// One conversation with one gateway.
struct Session {
    client: reqwest::Client,
    messages: Url,
    events: Url,
    token: Option<String>,
    assistant: Option<String>,
    conversation: String,
}

impl Session {
    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Posts a message. Answers its id.
    async fn say(&self, text: &str) -> Result<String, Failure> {
        let client_id = uuid::Uuid::new_v4().simple().to_string();
        let body = json!({
            "conversation": self.conversation, "client_id": client_id, "text": text, "assistant": self.assistant,
        });
        // The same `client_id` each time: what was taken before the gateway went away is not taken again.
        let said: Value = patiently(|| self.post(&body)).await?;
        let message = said.get("message").and_then(Value::as_str).map(str::to_owned);
        message.ok_or_else(|| Failure::Run("the gateway gave no message id".into()))
    }

    async fn post(&self, body: &Value) -> Result<Value, Failure> {
        let answer = self.authorised(self.client.post(self.messages.clone())).json(body).send().await?;
        Ok(accepted(answer).await?.json().await?)
    }

    /// Follows the conversation, also over a restart of the gateway. Ends when the gateway stays away.
    async fn follow(&self, mut stream: reqwest::Response, tell: mpsc::Sender<Value>) -> Result<(), Failure> {
        loop {
            self.read(stream, &tell).await?;
            stream = patiently(|| self.events()).await?;
        }
    }

    /// Opens the stream of events, from the beginning of the conversation.
    async fn events(&self) -> Result<reqwest::Response, Failure> {
        let mut events = self.events.clone();
        events.query_pairs_mut().append_pair("conversation", &self.conversation);
        accepted(self.authorised(self.client.get(events)).send().await?).await
    }

    /// Reads events until the stream ends or breaks.
    async fn read(&self, stream: reqwest::Response, tell: &mpsc::Sender<Value>) -> Result<(), Failure> {
        let mut chunks = stream.bytes_stream();
        let mut scanner = Scanner::default();
        while let Some(Ok(chunk)) = chunks.next().await {
            let mut rest: &[u8] = &chunk;
            while let Some(data) = scanner.next(&mut rest).map_err(|error| Failure::Run(error.to_string()))? {
                if let Ok(event) = serde_json::from_slice(data) {
                    let _ = tell.send(event).await;
                }
            }
        }
        Ok(())
    }
}

/// Asks, and asks again while the gateway is away.
async fn patiently<T, F: Future<Output = Result<T, Failure>>>(ask: impl Fn() -> F) -> Result<T, Failure> {
    let asked = ask().await;
    let Err(Failure::Away(_)) = asked else { return asked };
    eprintln!("mindbot chat: the gateway is gone; waiting for it to come back, nothing is lost");
    let looks = ConstantBuilder::default().with_delay(LOOK_EVERY).with_max_times(LOOKS);
    ask.retry(looks).when(|failure| matches!(failure, Failure::Away(_))).await
}

/// The answer, or the problem that it describes.
async fn accepted(answer: reqwest::Response) -> Result<reqwest::Response, Failure> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let problem: Value = answer.json().await.unwrap_or_default();
    let detail = problem.get("detail").and_then(Value::as_str).unwrap_or("the gateway gave no reason");
    let problem = format!("{status}: {detail}");
    Err(if status == StatusCode::SERVICE_UNAVAILABLE { Failure::Away(problem) } else { Failure::Run(problem) })
}

/// What the terminal shows.
#[derive(Default)]
struct Screen {
    is_terminal: bool,
    /// The message whose answer is awaited.
    waits_for: Option<String>,
    /// The part of its answer that has been printed.
    printed: String,
    /// Ids of what was shown: a stream that is opened again begins at the beginning.
    seen: HashSet<String>,
}

impl Screen {
    fn prompt(&self) {
        if self.is_terminal {
            self.print("\x1b[36m> \x1b[0m");
        }
    }

    fn show(&mut self, event: &Value) {
        let text = event["text"].as_str().unwrap_or_default();
        if event["role"] == "assistant" {
            if !self.seen.insert(event["id"].as_str().unwrap_or_default().to_owned()) {
                return;
            }
            self.show_whole(text);
            if event["reply_to"].as_str().is_some() && event["mark"] != "notice" {
                self.show_sources(&event["sources"]);
                self.waits_for = None;
                self.prompt();
            }
        } else if event["replace"].is_boolean() && self.is_terminal {
            if event["replace"] == true && !self.printed.is_empty() {
                self.print("\n");
                self.printed.clear();
            }
            self.print(text);
            self.printed.push_str(text);
        }
    }

    /// Prints what is not on the screen yet.
    fn show_whole(&mut self, text: &str) {
        let printed = std::mem::take(&mut self.printed);
        match text.strip_prefix(printed.as_str()) {
            Some(rest) => self.print(&format!("{rest}\n")),
            None => self.print(&format!("\n{text}\n")),
        }
    }

    fn show_sources(&self, sources: &Value) {
        for source in sources.as_array().into_iter().flatten() {
            let field = |name: &str| source[name].as_str().unwrap_or_default();
            self.print(&format!("  [{}] {} {}\n", source["n"], field("document"), field("heading")));
        }
    }

    fn print(&self, text: &str) {
        let mut out = stdout().lock();
        // A reader that went away ends the conversation at its next line.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
