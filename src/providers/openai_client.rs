//! The HTTP side of provider `openai`: one streamed call, from the request to the bill.

use super::openai_error::{Complaint, retry_after};
use super::openai_wire::{Reply, request};
use super::sse::Scanner;
use super::{Complete, Delta, Prompt, ProviderError};
use crate::config::{self, Secret};
use crate::domain::Usage;
use crate::egress;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::ResponseFuture;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{sleep_until, timeout};

const BASE_URL: &str = "https://api.openai.com/v1";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The most that is read of an error's body, and of a completion that comes whole.
const MAX_ERROR: usize = 64 * 1024;
const MAX_WHOLE: usize = 4 * 1024 * 1024;
/// How long the end of a finished body is waited for, so that its connection can be used again.
const TAIL_WAIT: Duration = Duration::from_millis(20);
const PROBE_WITHIN: Duration = Duration::from_secs(10);

/// `host` and `content-length`.
const ADDED_HEADERS: usize = 2;

/// What every call of one incarnation shares.
pub struct Service {
    client: egress::StreamClient,
    completions: Uri,
    models: Uri,
    headers: HeaderMap,
    id: String,
    model: String,
    idle_timeout: Duration,
    /// For taking it out of what the upstream says.
    key: Secret,
}

impl Service {
    /// Makes the client. Fails, in words for the operator, over a section or system certificates that cannot be used.
    pub fn new(section: &config::Provider) -> Result<Self, String> {
        let base = section.base_url.as_ref().map_or(BASE_URL, url::Url::as_str).trim_end_matches('/');
        let authorization = bearer(&section.api_key).ok_or("`api_key` cannot be sent in a header")?;
        let model = section.models.first().cloned().ok_or("`models` is empty")?;
        let uri =
            |path| format!("{base}{path}").parse().map_err(|error| format!("`base_url` cannot be asked: {error}"));
        // No `Accept-Encoding`: a compressor in between would hold the stream's small pieces back.
        let headers = [
            (AUTHORIZATION, authorization),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ACCEPT, HeaderValue::from_static("text/event-stream")),
            (USER_AGENT, HeaderValue::from_static(egress::USER_AGENT)),
        ];
        Ok(Self {
            client: egress::stream_client(section.connect_timeout.unwrap_or(CONNECT_TIMEOUT))?,
            completions: uri("/chat/completions")?,
            models: uri("/models")?,
            headers: HeaderMap::from_iter(headers),
            id: section.id.clone(),
            model,
            idle_timeout: section.idle_timeout.unwrap_or(IDLE_TIMEOUT),
            key: section.api_key.clone(),
        })
    }

    /// Lists the models, which costs nothing and needs a key that works.
    pub async fn probe(&self) -> Result<String, String> {
        let asked = timeout(PROBE_WITHIN, self.request(Method::GET, &self.models, Bytes::new())).await;
        let asked = asked.map_err(|_| format!("no answer within {} s", PROBE_WITHIN.as_secs()))?;
        let status = asked.map_err(|error| format!("cannot be reached: {}", reason(&error)))?.status();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(format!("`api_key` is refused (HTTP {status})")),
            // Not every compatible server lists its models.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                Ok("answers, but does not list its models".into())
            }
            _ if status.is_success() => Ok("answers, and takes the key".into()),
            _ => Err(format!("answers with HTTP {status}; check `base_url`")),
        }
    }

    /// Runs one call until it is answered, cancelled or late; dropping it closes the upstream socket.
    pub async fn complete(&self, call: Complete) -> Result<Usage, ProviderError> {
        let Complete { prompt, deadline, deltas } = call;
        let mut shown = 0;
        let outcome = tokio::select! {
            biased;
            () = deltas.closed() => Err(ProviderError::Cancelled),
            () = sleep_until(deadline.instant()) => Err(ProviderError::TimedOut("the turn's time was up".into())),
            outcome = self.ask(prompt, &deltas, &mut shown) => outcome,
        };
        outcome.map_err(|error| self.without_key(once_shown(error, shown)))
    }

    async fn ask(
        &self,
        prompt: Arc<Prompt>,
        deltas: &mpsc::Sender<Delta>,
        shown: &mut usize,
    ) -> Result<Usage, ProviderError> {
        let model = prompt.model.clone().unwrap_or_else(|| self.model.clone());
        let body = request(&model, &prompt);
        // The prompt may be large, and the answer may be long in coming.
        drop(prompt);
        let prompt_bytes = body.len();
        let response = self.send(body.into()).await?;
        let is_streamed = is_streamed(response.headers())?;
        // The headers go: they hold hyper's first read buffer, and it would need a second one for the body.
        let mut body = response.into_body();
        let mut reply = Reply::default();
        if is_streamed {
            self.read_events(&mut body, &mut reply, deltas, shown).await?;
        } else {
            reply.take(&self.read_whole(&mut body, MAX_WHOLE).await?)?;
            show(&mut reply, deltas, shown).await?;
        }
        reply.bill(format!("{}/{model}", self.id), prompt_bytes)
    }

    /// Sends the request and waits for a 200.
    async fn send(&self, body: Bytes) -> Result<Response<Incoming>, ProviderError> {
        let sending = self.request(Method::POST, &self.completions, body);
        let answer = timeout(self.idle_timeout, sending).await.map_err(|_| self.fell_silent())?;
        let response = answer.map_err(|error| ProviderError::Unavailable(reason(&error)))?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        // Boxed, so that a call which is answered needs no room for it.
        Err(Box::pin(self.complaint(response)).await)
    }

    /// What an answer that is no 200 means.
    async fn complaint(&self, response: Response<Incoming>) -> ProviderError {
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let wait = retry_after(header("retry-after-ms"), header(RETRY_AFTER.as_str()), jiff::Timestamp::now());
        let status = response.status().as_u16();
        // What the status says is true even when the body cannot be read.
        let body = self.read_whole(&mut response.into_body(), MAX_ERROR).await.unwrap_or_default();
        Complaint::of_body(&body).meaning(Some(status), wait)
    }

    fn request(&self, method: Method, uri: &Uri, body: Bytes) -> ResponseFuture {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri.clone();
        // Not a clone, which has no room for the two that hyper adds and would grow to twice its size.
        let headers = request.headers_mut();
        headers.reserve(self.headers.len() + ADDED_HEADERS);
        headers.extend(self.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        self.client.request(request)
    }

    async fn read_events(
        &self,
        body: &mut Incoming,
        reply: &mut Reply,
        deltas: &mpsc::Sender<Delta>,
        shown: &mut usize,
    ) -> Result<(), ProviderError> {
        let mut scanner = Scanner::default();
        while let Some(chunk) = self.next_chunk(body).await? {
            let taken = take_events(&mut scanner, &chunk, reply);
            // What came in one piece is shown in one piece, also what came before an error.
            show(reply, deltas, shown).await?;
            taken?;
            if reply.is_done {
                // A body read to its end gives its connection back; nothing is lost if the end does not come.
                drop(timeout(TAIL_WAIT, body.frame()).await);
                return Ok(());
            }
        }
        // A last event without its empty line counts if it is whole; half of one is a cut stream.
        if let Ok(Some(last)) = scanner.finish() {
            drop(reply.take(last));
            show(reply, deltas, shown).await?;
        }
        Ok(())
    }

    /// Reads a body of at most `limit` bytes; a longer one is garbage.
    async fn read_whole(&self, body: &mut Incoming, limit: usize) -> Result<Vec<u8>, ProviderError> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.next_chunk(body).await? {
            if whole.len() + chunk.len() > limit {
                return Err(ProviderError::Garbage(format!("a body of more than {limit} bytes")));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }

    async fn next_chunk(&self, body: &mut Incoming) -> Result<Option<Bytes>, ProviderError> {
        loop {
            let frame = timeout(self.idle_timeout, body.frame()).await.map_err(|_| self.fell_silent())?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| ProviderError::Unavailable(reason(&error)))?;
            // What is not data is a trailer, which says nothing to us.
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    fn fell_silent(&self) -> ProviderError {
        ProviderError::Unavailable(format!("no byte for {} s", self.idle_timeout.as_secs_f64()))
    }

    /// Takes the key out of an upstream's own words.
    fn without_key(&self, error: ProviderError) -> ProviderError {
        let clean = |text: String| text.replace(self.key.expose(), "***");
        match error {
            ProviderError::RateLimited { after, reason } => ProviderError::RateLimited { after, reason: clean(reason) },
            ProviderError::Cut { shown, reason } => ProviderError::Cut { shown, reason: clean(reason) },
            ProviderError::Unavailable(text) => ProviderError::Unavailable(clean(text)),
            ProviderError::Misconfigured(text) => ProviderError::Misconfigured(clean(text)),
            ProviderError::TooLong(text) => ProviderError::TooLong(clean(text)),
            ProviderError::Rejected(text) => ProviderError::Rejected(clean(text)),
            ProviderError::Garbage(text) => ProviderError::Garbage(clean(text)),
            other => other,
        }
    }
}

fn take_events(scanner: &mut Scanner, chunk: &[u8], reply: &mut Reply) -> Result<(), ProviderError> {
    let mut rest = chunk;
    while let Some(event) = scanner.next(&mut rest).map_err(|error| ProviderError::Garbage(error.to_string()))? {
        reply.take(event)?;
        if reply.is_done {
            break;
        }
    }
    Ok(())
}

/// Sends on what has been read. A full channel pauses us, and through us the upstream's socket.
async fn show(reply: &mut Reply, deltas: &mpsc::Sender<Delta>, shown: &mut usize) -> Result<(), ProviderError> {
    if reply.text.is_empty() {
        return Ok(());
    }
    let text = std::mem::take(&mut reply.text);
    let chars = text.chars().count();
    match deltas.try_send(text.into()) {
        // Boxed, so that a call which is never paused needs no room for it.
        Err(TrySendError::Full(text)) => Box::pin(deltas.send(text)).await.map_err(|_| ProviderError::Cancelled)?,
        sent => sent.map_err(|_| ProviderError::Cancelled)?,
    }
    *shown += chars;
    Ok(())
}

/// Once text has been shown, an error that another attempt could mend is a cut: asking again would show it twice.
fn once_shown(error: ProviderError, shown: usize) -> ProviderError {
    match error {
        ProviderError::Unavailable(_)
        | ProviderError::RateLimited { .. }
        | ProviderError::Misconfigured(_)
        | ProviderError::TooLong(_)
        | ProviderError::Garbage(_)
            if shown > 0 =>
        {
            ProviderError::Cut { shown, reason: error.to_string() }
        }
        other => other,
    }
}

/// Whether the body comes as events, or whole: some services do not stream, and some answer an error with a 200.
fn is_streamed(headers: &HeaderMap) -> Result<bool, ProviderError> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match value.split(';').next().unwrap_or_default().trim() {
        "text/event-stream" | "" => Ok(true),
        "application/json" => Ok(false),
        other => {
            let other = other.chars().filter(|c| c.is_ascii_graphic()).take(80).collect::<String>();
            Err(ProviderError::Garbage(format!("`{other}` instead of an event stream")))
        }
    }
}

/// Why a request failed, down to the first cause: "connection refused" helps, "client error" does not.
fn reason(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

/// The header for a key; `None` for one that no header can hold.
pub fn bearer(key: &Secret) -> Option<HeaderValue> {
    if !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}
