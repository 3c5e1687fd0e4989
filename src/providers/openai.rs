//! Provider `openai`: whatever speaks OpenAI's streamed chat completions, answered by actor [`OpenAi`].
//!
//! A restart loses the calls in flight, which their turns repeat, and the open connections.

use super::openai_wire::{Complaint, Reply, request, retry_after};
use super::sse::Scanner;
use super::{Complete, Delta, Kind, Probe, Prompt, ProviderError};
use crate::config::{self, Secret};
use crate::domain::{InstanceId, Usage};
use crate::egress;
use crate::supervise::{Answer, ChildSpec, Control, Crowd, Port, card, contained, obey};
use actix::{Actor, Context, Handler};
use bytes::Bytes;
use futures_util::FutureExt;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};

pub static KIND: Kind =
    Kind { name: "openai", card: &CARD, check, credential: |section| Some(&section.api_key), spec, probe: Some(probe) };

const BASE_URL: &str = "https://api.openai.com/v1";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The most that is read of an error's body, and of a completion that comes whole.
const MAX_ERROR: usize = 64 * 1024;
const MAX_WHOLE: usize = 4 * 1024 * 1024;
/// How long the end of a finished body is waited for, so that its connection can be used again.
const TAIL_WAIT: Duration = Duration::from_millis(20);
const PROBE_WITHIN: Duration = Duration::from_secs(10);

fn check(section: &config::Provider) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    if section.api_key.is_empty() {
        problems.push(("api_key", "must not be empty".to_owned()));
    } else if bearer(&section.api_key).is_none() {
        problems.push(("api_key", "must be printable ASCII without spaces or line breaks".to_owned()));
    }
    if section.models.is_empty() || section.models.iter().any(|model| model.trim().is_empty()) {
        problems.push(("models", "must name at least one model, and none may be empty".to_owned()));
    }
    let is_http = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    if !section.base_url.as_ref().is_none_or(is_http) {
        problems.push(("base_url", "must begin with `http://` or `https://`".to_owned()));
    }
    problems
}

fn bearer(key: &Secret) -> Option<HeaderValue> {
    if !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn spec(section: &Arc<config::Provider>, complete: &Port<Complete>) -> ChildSpec {
    let section = section.clone();
    ChildSpec::of(InstanceId::provider(&section.id), move || OpenAi::new(&section)).fills(complete).build()
}

fn probe(section: &Arc<config::Provider>) -> Probe {
    let section = section.clone();
    Box::pin(async move { Service::new(&section)?.probe().await })
}

/// One OpenAI-compatible service.
pub struct OpenAi {
    service: Result<Rc<Service>, String>,
    calls: Crowd<Self>,
}

impl OpenAi {
    /// Makes the client, on the thread that will use it. What is wrong with the section or the system's certificates
    /// is every call's [`ProviderError::Misconfigured`].
    pub fn new(section: &config::Provider) -> Self {
        #[cfg(feature = "chaos-tests")]
        section.models.iter().for_each(|model| crate::sabotage::trip(model));
        let service = Service::new(section).map(Rc::new);
        if let Err(problem) = &service {
            tracing::error!(provider.id = section.id, problem, "the provider cannot be asked");
        }
        Self { service, calls: Crowd::default() }
    }
}

card! {
    OpenAi takes [Complete, Control];
    instances: "provider/<id>",
    asks: "`POST /chat/completions`; text goes straight to the turn over the channel in the call.",
    when_full: "`Busy`: the manager asks the next candidate, then waits for room within the deadline of the turn.",
    lost: "Calls in flight; their turns ask again from the beginning.",
    stuck: "Turns run into `pipeline.turn_timeout`, `mindbot_port_in_flight` is at its capacity. Look at `idle_timeout` and at the state of the service.",
}

impl Actor for OpenAi {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.calls.start(ctx);
    }
}

impl Handler<Control> for OpenAi {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}

impl Handler<Complete> for OpenAi {
    type Result = Answer<Self, Result<Usage, ProviderError>>;

    fn handle(&mut self, call: Complete, _: &mut Context<Self>) -> Self::Result {
        let service = self.service.clone();
        let answering = contained(async move { service.map_err(ProviderError::Misconfigured)?.complete(call).await });
        self.calls.answer(
            answering.map(|outcome| outcome.unwrap_or_else(|panicked| Err(ProviderError::Bug(panicked.to_string())))),
        )
    }
}

/// What every call of one incarnation shares.
struct Service {
    client: reqwest::Client,
    url: String,
    headers: HeaderMap,
    id: String,
    model: String,
    idle_timeout: Duration,
    /// For taking it out of what the upstream says.
    key: Secret,
}

impl Service {
    /// Lists the models, which costs nothing and needs a key that works.
    async fn probe(&self) -> Result<String, String> {
        let url = self.url.replace("/chat/completions", "/models");
        let asked = self.client.get(&url).headers(self.headers.clone()).timeout(PROBE_WITHIN).send().await;
        let status = asked.map_err(|error| format!("cannot be reached: {}", error.without_url()))?.status();
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

    fn new(section: &config::Provider) -> Result<Self, String> {
        let base = section.base_url.as_ref().map_or(BASE_URL, url::Url::as_str).trim_end_matches('/');
        let authorization = bearer(&section.api_key).ok_or("`api_key` cannot be sent in a header")?;
        let model = section.models.first().cloned().ok_or("`models` is empty")?;
        let headers = [
            (AUTHORIZATION, authorization),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ACCEPT, HeaderValue::from_static("text/event-stream")),
            // A compressor in between would hold the stream's small pieces back.
            (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        ];
        Ok(Self {
            client: egress::client(section.connect_timeout.unwrap_or(CONNECT_TIMEOUT))?,
            url: format!("{base}/chat/completions"),
            headers: HeaderMap::from_iter(headers),
            id: section.id.clone(),
            model,
            idle_timeout: section.idle_timeout.unwrap_or(IDLE_TIMEOUT),
            key: section.api_key.clone(),
        })
    }

    /// Runs one call until it is answered, cancelled or late; dropping it closes the upstream socket.
    async fn complete(&self, call: Complete) -> Result<Usage, ProviderError> {
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
        let mut response = self.send(body).await?;
        let mut reply = Reply::default();
        match media_type(response.headers()) {
            "text/event-stream" | "" => self.read_events(&mut response, &mut reply, deltas, shown).await?,
            // Some services do not stream, and some answer an error with a 200.
            "application/json" => {
                reply.take(&self.read_whole(&mut response, MAX_WHOLE).await?)?;
                show(&mut reply, deltas, shown).await?;
            }
            other => {
                let other = other.chars().filter(|c| c.is_ascii_graphic()).take(80).collect::<String>();
                return Err(ProviderError::Garbage(format!("`{other}` instead of an event stream")));
            }
        }
        reply.bill(format!("{}/{model}", self.id), prompt_bytes)
    }

    /// Sends the request and waits for a 200.
    async fn send(&self, body: Vec<u8>) -> Result<Response, ProviderError> {
        let sending = self.client.post(&self.url).headers(self.headers.clone()).body(body).send();
        let answer = timeout(self.idle_timeout, sending).await.map_err(|_| self.fell_silent())?;
        let mut response = answer.map_err(|error| ProviderError::Unavailable(reason(error)))?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let wait = retry_after(header("retry-after-ms"), header(RETRY_AFTER.as_str()), jiff::Timestamp::now());
        let status = response.status().as_u16();
        // What the status says is true even when the body cannot be read.
        let body = self.read_whole(&mut response, MAX_ERROR).await.unwrap_or_default();
        Err(Complaint::of_body(&body).meaning(Some(status), wait))
    }

    async fn read_events(
        &self,
        response: &mut Response,
        reply: &mut Reply,
        deltas: &mpsc::Sender<Delta>,
        shown: &mut usize,
    ) -> Result<(), ProviderError> {
        let mut scanner = Scanner::default();
        while let Some(chunk) = self.next_chunk(response).await? {
            let taken = take_events(&mut scanner, &chunk, reply);
            // What came in one piece is shown in one piece, also what came before an error.
            show(reply, deltas, shown).await?;
            taken?;
            if reply.is_done {
                // A body read to its end gives its connection back; nothing is lost if the end does not come.
                drop(timeout(TAIL_WAIT, response.chunk()).await);
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
    async fn read_whole(&self, response: &mut Response, limit: usize) -> Result<Vec<u8>, ProviderError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.next_chunk(response).await? {
            if body.len() + chunk.len() > limit {
                return Err(ProviderError::Garbage(format!("a body of more than {limit} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    async fn next_chunk(&self, response: &mut Response) -> Result<Option<Bytes>, ProviderError> {
        let chunk = timeout(self.idle_timeout, response.chunk()).await.map_err(|_| self.fell_silent())?;
        chunk.map_err(|error| ProviderError::Unavailable(reason(error)))
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
    deltas.send(text).await.map_err(|_| ProviderError::Cancelled)?;
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

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// Why a request failed, down to the first cause: "connection refused" helps, "error sending request" does not.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Deadline;
    use crate::providers::{Line, Role};
    use crate::simulate::openai::{Fault, Options, Rule, Running, start};
    use std::sync::atomic::Ordering;

    fn stand_in(script: Vec<Rule>) -> Running {
        egress::install_tls();
        start(Options { script, ..Options::default() }).unwrap()
    }

    fn section(upstream: &Running) -> config::Provider {
        config::Provider {
            id: "gpt".into(),
            kind: "openai".into(),
            base_url: Some(upstream.base_url().parse().unwrap()),
            api_key: Secret::new("sk-canary-77"),
            models: vec!["gpt-4o-mini".into()],
            ..config::Provider::default()
        }
    }

    fn call(question: &str, within: Duration) -> (Complete, mpsc::Receiver<Delta>) {
        let (deltas, incoming) = mpsc::channel(64);
        let lines = vec![Line { role: Role::User, text: question.to_owned() }];
        let prompt = Arc::new(Prompt { lines, ..Prompt::default() });
        (Complete { prompt, deadline: Deadline::after(within), deltas }, incoming)
    }

    /// Asks once, and gives the outcome with the text that came.
    async fn ask(section: &config::Provider, question: &str) -> (Result<Usage, ProviderError>, String) {
        let provider = OpenAi::new(section).start();
        let (call, mut incoming) = call(question, Duration::from_secs(20));
        let asked = actix_rt::spawn(provider.send(call));
        let mut text = String::new();
        while let Some(delta) = incoming.recv().await {
            text.push_str(&delta);
        }
        (asked.await.unwrap().unwrap(), text)
    }

    #[actix_rt::test]
    async fn an_answer_is_streamed_and_billed_and_its_connection_is_used_again() {
        let upstream = stand_in(Vec::new());
        let provider = OpenAi::new(&section(&upstream)).start();
        for nonce in ["a1 你好 🙂", "b2", "c3"] {
            let (call, mut incoming) = call(&format!("echo:{nonce}"), Duration::from_secs(20));
            let asked = actix_rt::spawn(provider.send(call));
            let mut text = String::new();
            while let Some(delta) = incoming.recv().await {
                text.push_str(&delta);
            }
            let usage = asked.await.unwrap().unwrap().unwrap();
            assert_eq!(text, nonce);
            assert_eq!((usage.answered_by.as_str(), usage.finish_reason.as_str()), ("gpt/gpt-4o-mini", "stop"));
            assert!(usage.prompt_tokens > 0 && usage.completion_tokens > 0, "{usage:?}");
        }
        assert_eq!(upstream.counters.completed.load(Ordering::Relaxed), 3);
        assert_eq!(upstream.counters.connections.load(Ordering::Relaxed), 1);
    }

    #[actix_rt::test]
    async fn what_goes_wrong_upstream_says_what_the_caller_can_do() {
        let status = |status, code: Option<&str>, retry_after: Option<&str>| Fault::Status {
            status,
            code: code.map(Into::into),
            message: Some("key sk-canary-77 is bad".into()),
            retry_after: retry_after.map(Into::into),
        };
        let after = |error: &ProviderError| match error {
            ProviderError::RateLimited { after, .. } => Some(*after),
            _ => None,
        };
        type Expected = fn(&ProviderError, Option<Duration>) -> bool;
        let table: Vec<(&str, Fault, &str, Expected)> = vec![
            ("401", status(401, None, None), "", |e, _| matches!(e, ProviderError::Misconfigured(_))),
            ("403", status(403, None, None), "", |e, _| matches!(e, ProviderError::Misconfigured(_))),
            ("404", status(404, Some("model_not_found"), None), "", |e, _| {
                matches!(e, ProviderError::Misconfigured(_))
            }),
            ("quota", status(429, Some("insufficient_quota"), None), "", |e, _| {
                matches!(e, ProviderError::Misconfigured(_))
            }),
            ("429", status(429, None, Some("7")), "", |_, wait| wait == Some(Duration::from_secs(7))),
            ("429 until a past date", status(429, None, Some("Sun, 06 Nov 1994 08:49:37 GMT")), "", |_, wait| {
                wait == Some(Duration::ZERO)
            }),
            ("429 without a wait", status(429, None, None), "", |_, wait| wait == Some(Duration::from_secs(1))),
            ("500", status(500, None, None), "", |e, _| matches!(e, ProviderError::Unavailable(_))),
            ("503", status(503, None, None), "", |e, _| matches!(e, ProviderError::Unavailable(_))),
            ("503 with a wait", status(503, None, Some("2")), "", |_, wait| wait == Some(Duration::from_secs(2))),
            ("too long", status(400, Some("context_length_exceeded"), None), "", |e, _| {
                matches!(e, ProviderError::TooLong(_))
            }),
            ("400", status(400, Some("invalid_value"), None), "", |e, _| matches!(e, ProviderError::Rejected(_))),
            ("hang", Fault::Hang, "", |e, _| matches!(e, ProviderError::Unavailable(_))),
            ("stall", Fault::Stall { after: 3 }, "ans", |e, _| matches!(e, ProviderError::Cut { shown: 3, .. })),
            ("cut", Fault::Cut { after: 3 }, "ans", |e, _| matches!(e, ProviderError::Cut { shown: 3, .. })),
            ("cut at once", Fault::Cut { after: 0 }, "", |e, _| matches!(e, ProviderError::Unavailable(_))),
            ("no end", Fault::NoEnd, "answer", |e, _| matches!(e, ProviderError::Cut { shown: 6, .. })),
            ("error at first", Fault::StreamError { after: 0, code: Some("500".into()) }, "", |e, _| {
                matches!(e, ProviderError::Unavailable(_))
            }),
            ("error in the middle", Fault::StreamError { after: 2, code: None }, "an", |e, _| {
                matches!(e, ProviderError::Cut { shown: 2, .. })
            }),
            ("garbage", Fault::Garbage, "", |e, _| matches!(e, ProviderError::Garbage(_))),
            ("giant line", Fault::GiantLine { bytes: 3_000_000 }, "", |e, _| matches!(e, ProviderError::Garbage(_))),
            ("web page", Fault::ContentType { value: "text/html".into() }, "", |e, _| {
                matches!(e, ProviderError::Garbage(_))
            }),
            ("filtered", Fault::Finish { reason: "content_filter".into() }, "answer", |e, _| {
                matches!(e, ProviderError::Rejected(_))
            }),
        ];
        let upstream = stand_in(Vec::new());
        let section = section(&upstream);
        let impatient = config::Provider { idle_timeout: Some(Duration::from_secs(1)), ..section.clone() };
        for (case, fault, expected_text, is_expected) in table {
            let falls_silent = matches!(fault, Fault::Hang | Fault::Stall { .. });
            let section = if falls_silent { &impatient } else { &section };
            upstream.set_script(vec![Rule::always(fault)]);
            let (outcome, text) = ask(section, "echo:answer").await;
            let error = outcome.expect_err(case);
            assert!(is_expected(&error, after(&error)), "{case}: {error:?}");
            assert_eq!(text, expected_text, "{case}");
            assert!(!format!("{error:?}").contains("canary"), "{case}: {error:?}");
        }
        upstream.set_script(vec![Rule::always(Fault::SlowBytes { every_ms: 0 })]);
        assert_eq!(ask(&section, "echo:slowly").await.1, "slowly", "slow is not wrong");
        upstream.set_script(vec![Rule::always(Fault::Finish { reason: "length".into() })]);
        assert_eq!(ask(&section, "echo:long").await.0.unwrap().finish_reason, "length");
    }

    #[actix_rt::test]
    async fn nobody_there_is_unavailable_and_says_why() {
        let upstream = stand_in(Vec::new());
        let section = section(&upstream);
        upstream.stop();
        let (outcome, _) = ask(&section, "hello").await;
        let Err(ProviderError::Unavailable(reason)) = outcome else { panic!("{outcome:?}") };
        assert!(reason.to_lowercase().contains("refused"), "{reason}");
    }

    #[actix_rt::test]
    async fn a_closed_receiver_closes_the_upstream_socket() {
        for (case, fault) in [("before the first byte", Fault::Hang), ("in the middle", Fault::Stall { after: 1 })] {
            let upstream = stand_in(vec![Rule::always(fault)]);
            let provider = OpenAi::new(&section(&upstream)).start();
            let (call, incoming) = call("echo:never", Duration::from_secs(60));
            let asked = actix_rt::spawn(provider.send(call));
            until(|| upstream.counters.open.load(Ordering::Relaxed) == 1).await;
            drop(incoming);
            assert_eq!(asked.await.unwrap().unwrap(), Err(ProviderError::Cancelled), "{case}");
            until(|| upstream.counters.cancelled.load(Ordering::Relaxed) == 1).await;
            assert_eq!(upstream.counters.open.load(Ordering::Relaxed), 0, "{case}");
        }
    }

    #[actix_rt::test]
    async fn the_deadline_ends_a_call() {
        let upstream = stand_in(vec![Rule::always(Fault::Hang)]);
        let provider = OpenAi::new(&section(&upstream)).start();
        let (call, _incoming) = call("echo:never", Duration::from_millis(50));
        assert!(matches!(provider.send(call).await.unwrap(), Err(ProviderError::TimedOut(_))));
    }

    #[cfg(feature = "chaos-tests")]
    #[actix_rt::test]
    async fn a_panic_over_a_reply_costs_that_call_alone() {
        let upstream = stand_in(Vec::new());
        let section = section(&upstream);
        let marked = format!("echo:{}", crate::sabotage::MARK);
        let provider = OpenAi::new(&section).start();
        let (bad, _bad_text) = call(&marked, Duration::from_secs(20));
        let (good, _good_text) = call("slow:2", Duration::from_secs(20));
        let (bad, good) = futures_util::future::join(provider.send(bad), provider.send(good)).await;
        assert!(matches!(bad.unwrap(), Err(ProviderError::Bug(_))));
        assert!(good.unwrap().is_ok());
    }

    #[test]
    fn a_section_is_checked() {
        let good =
            config::Provider { api_key: Secret::new("sk-1"), models: vec!["m".into()], ..config::Provider::default() };
        assert_eq!(check(&good), vec![]);
        let with = |change: fn(&mut config::Provider)| {
            let mut section = good.clone();
            change(&mut section);
            check(&section).into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(with(|it| it.api_key = Secret::default()), ["api_key"]);
        assert_eq!(with(|it| it.api_key = Secret::new("a\nb")), ["api_key"]);
        assert_eq!(with(|it| it.models.clear()), ["models"]);
        assert_eq!(with(|it| it.models.push(" ".into())), ["models"]);
        assert_eq!(with(|it| it.base_url = Some("ftp://x/v1".parse().unwrap())), ["base_url"]);
    }

    /// Waits for something that another thread does soon.
    async fn until(is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), waiting).await.expect("it never happened");
    }
}
