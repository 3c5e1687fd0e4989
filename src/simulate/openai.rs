//! A stand-in for an OpenAI-compatible service: `/v1/chat/completions` and `/v1/models` on loopback.
//!
//! The last message decides the answer: `echo:TEXT` answers TEXT, `slow:N` answers N words 100 ms apart, anything else
//! is repeated in an honest sentence. `/__calls` tells what has happened, `/__prompts` the newest requests, and a
//! `POST /__script` replaces the faults.

use super::openai_answer::{Answer, Ask, FOREVER, Step};
use super::openai_script::{Dice, Script};
pub use super::openai_script::{Fault, Rule};
use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use arc_swap::ArcSwap;
use futures_util::stream;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The largest request that is read.
const MAX_BODY: usize = 16 * 1024 * 1024;
const MAX_KEPT: usize = 1024 * 1024;
/// Cancelled calls that are remembered with their times.
const CANCELLATIONS_KEPT: usize = 1000;
const MODELS: [&str; 2] = ["gpt-4o-mini", "gpt-4o"];

/// How the stand-in behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// 0 takes a free one.
    pub port: u16,
    /// Threads that answer.
    pub workers: usize,
    /// Events that an answer is cut into, at most one a character.
    pub chunks: usize,
    /// Shortest and longest wait before the first byte.
    pub delay: (Duration, Duration),
    /// Where the random numbers for `delay` and for shares begin.
    pub seed: u64,
    /// The only key that is accepted; `None` accepts any.
    pub key: Option<String>,
    pub script: Vec<Rule>,
    /// Requests that `/__prompts` remembers, of those of at most 1 MiB.
    pub prompts_kept: usize,
}

impl Default for Options {
    fn default() -> Self {
        let delay = (Duration::ZERO, Duration::ZERO);
        Self { port: 0, workers: 1, chunks: 50, delay, seed: 1, key: None, script: Vec::new(), prompts_kept: 100 }
    }
}

/// What has happened so far.
#[derive(Debug, Default)]
pub struct Counters {
    /// Sockets that have been accepted.
    pub connections: AtomicU64,
    pub requests: AtomicU64,
    pub open: AtomicU64,
    pub max_open: AtomicU64,
    /// Answered to the end.
    pub completed: AtomicU64,
    /// The client closed the connection before the end.
    pub cancelled: AtomicU64,
    /// Went wrong as the script says.
    pub faults: AtomicU64,
    cancellations: Mutex<VecDeque<Cancellation>>,
}

/// One call that its client gave up.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cancellation {
    pub call: u64,
    /// Unix milliseconds.
    pub at_ms: u64,
    pub after_ms: u64,
}

impl Counters {
    /// The newest cancelled calls, oldest first.
    pub fn cancellations(&self) -> Vec<Cancellation> {
        self.cancellations.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn to_json(&self) -> Value {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        json!({
            "connections": read(&self.connections), "requests": read(&self.requests), "open": read(&self.open), "max_open": read(&self.max_open),
            "completed": read(&self.completed), "cancelled": read(&self.cancelled), "faults": read(&self.faults),
            "cancellations": self.cancellations(),
        })
    }
}

/// A stand-in that runs on threads of its own until it is stopped or dropped.
pub struct Running {
    pub port: u16,
    pub counters: Arc<Counters>,
    stage: Data<Stage>,
    server: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// What belongs in a provider's `base_url`.
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// Replaces the faults from the next call on.
    pub fn set_script(&self, rules: Vec<Rule>) {
        self.stage.script.store(Arc::new(Script::new(rules)));
    }

    /// The newest requests as they came in, oldest first.
    pub fn prompts(&self) -> Vec<Value> {
        self.stage.prompts()
    }

    /// Closes every connection and waits for the threads.
    pub fn stop(self) {
        drop(self);
    }

    /// Waits until somebody else ends the process or the server.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The command is on its way when the call returns; its future only tells when it has been obeyed.
        drop(self.server.stop(false));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Starts a stand-in. Fails when the port cannot be had.
pub fn start(options: Options) -> io::Result<Running> {
    let counters = Arc::new(Counters::default());
    let stage = Data::new(Stage {
        script: ArcSwap::from_pointee(Script::new(options.script.clone())),
        dice: Dice::new(options.seed),
        counters: counters.clone(),
        prompts: Mutex::default(),
        options,
    });
    let (report, started) = std::sync::mpsc::channel();
    let shared = stage.clone();
    let run = move || {
        actix_rt::System::new().block_on(async move {
            let server = match listen(shared) {
                Ok((port, server)) => {
                    drop(report.send(Ok((port, server.handle()))));
                    server
                }
                Err(error) => return drop(report.send(Err(error))),
            };
            drop(server.await);
        });
    };
    let thread = std::thread::Builder::new().name("simulate-openai".into()).spawn(run)?;
    let (port, server) = started.recv().map_err(io::Error::other)??;
    Ok(Running { port, counters, stage, server, thread: Some(thread) })
}

fn listen(stage: Data<Stage>) -> io::Result<(u16, actix_web::dev::Server)> {
    let (port, workers) = (stage.options.port, stage.options.workers);
    let counters = stage.counters.clone();
    let app = move || {
        App::new()
            .app_data(stage.clone())
            .app_data(web::PayloadConfig::new(MAX_BODY))
            .route("/v1/chat/completions", web::post().to(chat))
            .route("/v1/models", web::get().to(models))
            .route("/__calls", web::get().to(calls))
            .route("/__prompts", web::get().to(prompts))
            .route("/__script", web::post().to(script))
            .default_service(web::to(|| async { error(404, None, "Unknown request URL") }))
    };
    let server = HttpServer::new(app)
        .on_connect(move |_, _| {
            counters.connections.fetch_add(1, Ordering::Relaxed);
        })
        .workers(workers.max(1))
        .backlog(8192)
        .max_connections(50_000)
        .tcp_nodelay(true)
        // A client that closes its socket is gone: that is how calls are cancelled.
        .h1_allow_half_closed(false)
        .disable_signals()
        .shutdown_timeout(0)
        .bind(("127.0.0.1", port))?;
    let port = server.addrs().first().map_or(port, std::net::SocketAddr::port);
    Ok((port, server.run()))
}

/// What all calls share.
struct Stage {
    options: Options,
    script: ArcSwap<Script>,
    dice: Dice,
    counters: Arc<Counters>,
    prompts: Mutex<VecDeque<Bytes>>,
}

impl Stage {
    fn remember(&self, body: Bytes) {
        if body.len() > MAX_KEPT {
            return;
        }
        let mut prompts = self.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        prompts.push_back(body);
        while prompts.len() > self.options.prompts_kept {
            prompts.pop_front();
        }
    }

    fn prompts(&self) -> Vec<Value> {
        let prompts = self.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        prompts.iter().filter_map(|body| serde_json::from_slice(body).ok()).collect()
    }

    fn admits(&self, request: &HttpRequest) -> bool {
        let offered = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        self.options.key.as_ref().is_none_or(|key| offered.strip_prefix("Bearer ") == Some(key.as_str()))
    }

    fn delay(&self) -> Duration {
        let (shortest, longest) = self.options.delay;
        shortest + longest.saturating_sub(shortest).mul_f64(self.dice.roll())
    }
}

async fn calls(stage: Data<Stage>) -> HttpResponse {
    HttpResponse::Ok().json(stage.counters.to_json())
}

async fn prompts(stage: Data<Stage>) -> HttpResponse {
    HttpResponse::Ok().json(stage.prompts())
}

async fn script(stage: Data<Stage>, body: Bytes) -> HttpResponse {
    match serde_json::from_slice::<Vec<Rule>>(&body) {
        Ok(rules) => {
            stage.script.store(Arc::new(Script::new(rules)));
            HttpResponse::NoContent().finish()
        }
        Err(problem) => error(400, None, &problem.to_string()),
    }
}

fn wrong_key() -> HttpResponse {
    error(401, None, "Incorrect API key provided.")
}

async fn models(stage: Data<Stage>, request: HttpRequest) -> HttpResponse {
    if !stage.admits(&request) {
        return wrong_key();
    }
    let models = MODELS.map(|id| json!({ "id": id, "object": "model", "created": 1, "owned_by": "mindbot" }));
    HttpResponse::Ok().json(json!({ "object": "list", "data": models }))
}

async fn chat(stage: Data<Stage>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let call = stage.counters.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let open = OpenCall::new(&stage, call);
    if !stage.admits(&request) {
        return open.refuse(wrong_key());
    }
    let ask = match serde_json::from_slice::<Ask>(&body) {
        Ok(ask) if !ask.messages.is_empty() => ask,
        Ok(_) => return open.refuse(error(400, None, "[] is too short - 'messages'")),
        Err(problem) => return open.refuse(error(400, None, &problem.to_string())),
    };
    let prompt_bytes = body.len();
    stage.remember(body);
    let question = ask.question();
    let fault = stage.script.load().fault(call, &question, &stage.dice).cloned();
    actix_rt::time::sleep(stage.delay()).await;
    match &fault {
        Some(Fault::Hang) => actix_rt::time::sleep(FOREVER).await,
        Some(Fault::Status { status, code, message, retry_after }) => {
            let message = message.as_deref().unwrap_or("the script says so");
            let mut answer = error(*status, code.as_deref(), message);
            if let Some(value) = retry_after.as_ref().and_then(|value| value.parse().ok()) {
                answer.headers_mut().insert(RETRY_AFTER, value);
            }
            return open.refuse(answer);
        }
        _ => {}
    }
    play(Answer::new(call, &ask, &question, prompt_bytes, stage.options.chunks), fault, open)
}

/// Sends an answer as its steps say.
fn play(answer: Answer, fault: Option<Fault>, mut open: OpenCall) -> HttpResponse {
    open.is_faulty = fault.is_some();
    let media_type = match &fault {
        Some(Fault::ContentType { value }) => value.clone(),
        _ if answer.is_streamed => "text/event-stream".to_owned(),
        _ => "application/json".to_owned(),
    };
    let steps = answer.steps(fault).into_iter();
    let body = stream::unfold((steps, open), |(mut steps, mut open)| async move {
        loop {
            match steps.next() {
                Some(Step::Wait(time)) => actix_rt::time::sleep(time).await,
                Some(Step::Send(bytes)) => return Some((Ok(bytes), (steps, open))),
                Some(Step::Cut) => {
                    open.has_ended();
                    return Some((Err(io::Error::other("cut by the script")), (steps, open)));
                }
                None => {
                    open.has_ended();
                    return None;
                }
            }
        }
    });
    HttpResponse::Ok().insert_header((CONTENT_TYPE, media_type)).streaming(body)
}

fn error(status: u16, code: Option<&str>, message: &str) -> HttpResponse {
    let (kind, usual_code) = match status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        403 => ("invalid_request_error", Some("unsupported_country_region_territory")),
        429 => ("requests", Some("rate_limit_exceeded")),
        500.. => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = json!({ "message": message, "type": kind, "param": null, "code": code.or(usual_code) });
    HttpResponse::build(status).insert_header(("x-request-id", "req_standin")).json(json!({ "error": error }))
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Counts one call while it is open, and how it ended.
struct OpenCall {
    counters: Arc<Counters>,
    call: u64,
    began: Instant,
    has_ended: bool,
    is_faulty: bool,
}

impl OpenCall {
    fn new(stage: &Stage, call: u64) -> Self {
        let counters = stage.counters.clone();
        let open = counters.open.fetch_add(1, Ordering::Relaxed) + 1;
        counters.max_open.fetch_max(open, Ordering::Relaxed);
        Self { counters, call, began: Instant::now(), has_ended: false, is_faulty: false }
    }

    /// Ends the call with an error.
    fn refuse(mut self, answer: HttpResponse) -> HttpResponse {
        self.is_faulty = true;
        self.has_ended();
        answer
    }

    /// Everything that was to be sent has been sent.
    fn has_ended(&mut self) {
        self.has_ended = true;
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
        if self.is_faulty {
            self.counters.faults.fetch_add(1, Ordering::Relaxed);
        }
        if self.has_ended {
            if !self.is_faulty {
                self.counters.completed.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        self.counters.cancelled.fetch_add(1, Ordering::Relaxed);
        let after_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let cancellation = Cancellation { call: self.call, at_ms: unix_ms(), after_ms };
        let mut list = self.counters.cancellations.lock().unwrap_or_else(PoisonError::into_inner);
        list.push_back(cancellation);
        while list.len() > CANCELLATIONS_KEPT {
            list.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn post(running: &Running, path: &str, body: Value) -> (u16, String) {
        crate::egress::install_tls();
        let client = crate::egress::client(Duration::from_secs(5)).unwrap();
        let url = format!("http://127.0.0.1:{}{path}", running.port);
        let answer = client.post(url).bearer_auth("sk-1").body(body.to_string()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    fn question(text: &str) -> Value {
        json!({ "model": "m", "messages": [{ "role": "system", "content": "s" }, { "content": text, "role": "user" }] })
    }

    #[actix_rt::test]
    async fn whole_answers_have_the_shape_that_clients_expect() {
        let running = start(Options::default()).unwrap();
        let (status, body) = post(&running, "/v1/chat/completions", question("echo:你好")).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["object"]), (200, &json!("chat.completion")));
        assert_eq!(body["choices"][0]["message"]["content"], "你好");
        assert!(body["usage"]["total_tokens"].as_u64().unwrap() > 0);
        let (_, body) = post(&running, "/v1/chat/completions", question("nonce-1")).await;
        assert!(body.contains("nonce-1"));
        assert_eq!(running.prompts().len(), 2);
        assert_eq!(running.counters.completed.load(Ordering::Relaxed), 2);
    }

    #[actix_rt::test]
    async fn the_recorded_requests_of_other_clients_are_answered() {
        let running = start(Options::default()).unwrap();
        let recorded = include_bytes!("../../tests/fixtures/openai/client_requests.json");
        let recorded: Vec<Value> = serde_json::from_slice(recorded).unwrap();
        let chats = recorded.iter().filter(|request| request["path"] == "/v1/chat/completions");
        for request in chats {
            let body = &request["body"];
            let (status, answer) = post(&running, "/v1/chat/completions", body.clone()).await;
            assert_eq!(status, 200, "{body}");
            assert_eq!(answer.ends_with("data: [DONE]\n\n"), body["stream"] == true, "{body}");
        }
        assert!(running.counters.completed.load(Ordering::Relaxed) > 20);
    }

    #[actix_rt::test]
    async fn streams_have_as_many_pieces_as_asked_for_and_count_tokens_on_request() {
        let running = start(Options { chunks: 5, ..Options::default() }).unwrap();
        let mut ask = question("a question of more than five characters");
        ask["stream"] = json!(true);
        let (_, plain) = post(&running, "/v1/chat/completions", ask.clone()).await;
        assert_eq!(plain.matches("\"content\":").count(), 1 + 5);
        assert!(plain.ends_with("data: [DONE]\n\n") && !plain.contains("usage"));
        ask["stream_options"] = json!({ "include_usage": true });
        let (_, counted) = post(&running, "/v1/chat/completions", ask).await;
        assert!(counted.contains("\"choices\":[],\"usage\":{"));
    }

    #[actix_rt::test]
    async fn what_is_wrong_with_a_request_is_said_in_the_right_shape() {
        let running = start(Options { key: Some("sk-1".into()), ..Options::default() }).unwrap();
        let locked = start(Options { key: Some("sk-2".into()), ..Options::default() }).unwrap();
        let table = [
            ("wrong key", &locked, "/v1/chat/completions", question("hi"), 401),
            ("no messages", &running, "/v1/chat/completions", json!({ "model": "m", "messages": [] }), 400),
            ("no model", &running, "/v1/chat/completions", json!({ "messages": [{}] }), 400),
            ("unknown path", &running, "/v1/embeddings", json!({}), 404),
            ("a script that is none", &running, "/__script", json!([{ "fault": "sulk" }]), 400),
        ];
        for (case, running, path, body, expected) in table {
            let (status, body) = post(running, path, body).await;
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(status, expected, "{case}");
            assert!(body["error"]["message"].is_string(), "{case}: {body}");
        }
        let (status, _) = post(&running, "/__script", json!([{ "fault": "status", "status": 503 }])).await;
        assert_eq!(status, 204);
        assert_eq!(post(&running, "/v1/chat/completions", question("hi")).await.0, 503);
    }
}
