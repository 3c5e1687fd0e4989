//! The HTTP edge: what is served under which path, and what every request has to put up with.

mod chat;
mod chat_stream;
mod error;
pub mod health;
mod hooks;
mod page;

use crate::config;
use crate::directory::Directory;
use crate::dispatch::Intake;
use crate::platforms::web::LiveHub;
use crate::providers::manager::GetHealth;
use crate::reload;
use crate::store::Store;
use crate::supervise::{Port, Tree};
use actix_web::body::MessageBody;
use actix_web::dev::{Payload, Server, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::{DefaultHeaders, Next, from_fn};
use actix_web::web::{Data, JsonConfig, PathConfig, PayloadConfig, QueryConfig};
use actix_web::{FromRequest, HttpRequest, HttpResponse, HttpServer};
use error::{ApiError, Problem};
use health::Health;
use std::future::{Ready, ready};
use std::net::TcpListener;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// Time for a client to send the head of its request.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Time for a request to be read and the head of its answer to be ready.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What request handlers may reach.
pub struct AppState {
    pub store: Store,
    pub directory: Directory,
    pub intake: Intake,
    pub hub: LiveHub,
    pub tree: Tree,
    pub provider_health: Port<GetHealth>,
    pub reloader: reload::Ports,
    pub health: Arc<Health>,
    /// Raised when open event streams have to end.
    pub draining: watch::Sender<bool>,
}

/// The state, once the start has got that far; requests before are told to come back.
#[derive(Clone)]
pub struct App(Arc<AppState>);

/// Filled by the start.
pub type AppSlot = Arc<OnceLock<Arc<AppState>>>;

impl Deref for App {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.0
    }
}

impl FromRequest for App {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let state = request.app_data::<Data<AppSlot>>().and_then(|slot| slot.get().cloned());
        let starting = || ApiError {
            retry_after: Some(1),
            ..ApiError::new(Problem::Starting, "the gateway is starting; nothing was taken")
        };
        ready(state.map(App).ok_or_else(starting))
    }
}

/// Serves `listener` until the returned server's handle is told to stop. Signals are left to the caller.
pub fn serve(
    listener: TcpListener,
    settings: &config::Server,
    slot: AppSlot,
    health: Arc<Health>,
) -> std::io::Result<Server> {
    let max_body = usize::try_from(settings.max_body).unwrap_or(usize::MAX);
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let workers = settings.workers.unwrap_or_else(|| cores.min(4));
    let app = move || {
        actix_web::App::new()
            .app_data(Data::new(slot.clone()))
            .app_data(Data::from(health.clone()))
            .app_data(PayloadConfig::new(max_body))
            .app_data(JsonConfig::default().limit(max_body).error_handler(|error, _| body_error(&error).into()))
            .app_data(QueryConfig::default().error_handler(|error, _| ApiError::invalid(error.to_string()).into()))
            .app_data(PathConfig::default().error_handler(|error, _| ApiError::invalid(error.to_string()).into()))
            .wrap(from_fn(within_limit))
            .wrap(security_headers())
            .configure(routes)
            .default_service(actix_web::web::to(nothing_here))
    };
    let server = HttpServer::new(app)
        .workers(workers)
        .tcp_nodelay(true)
        .client_request_timeout(HEAD_LIMIT)
        .keep_alive(KEEP_ALIVE)
        .max_connections(MAX_CONNECTIONS)
        .disable_signals()
        .shutdown_timeout(2)
        .listen(listener)?;
    Ok(server.run())
}

/// Open connections of one worker.
const MAX_CONNECTIONS: usize = 25_000;

fn routes(config: &mut actix_web::web::ServiceConfig) {
    config
        .service(health::healthz)
        .service(health::readyz)
        .service(hooks::receive)
        .service(chat::say)
        .service(chat::events)
        .service(page::home)
        .service(page::first_chat)
        .service(page::chat)
        .service(page::asset);
}

async fn nothing_here() -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found("nothing is served under this path"))
}

fn security_headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ))
        .add((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((REFERRER_POLICY, "no-referrer"))
        .add((HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
}

/// Ends a request whose body trickles in, or whose answer does not begin.
async fn within_limit<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    match tokio::time::timeout(REQUEST_LIMIT, next.call(request)).await {
        Ok(answer) => answer,
        Err(_) => Err(ApiError::new(Problem::Slow, "the request took longer than 30 s to arrive").into()),
    }
}

fn body_error(error: &actix_web::error::JsonPayloadError) -> ApiError {
    use actix_web::error::JsonPayloadError;
    match error {
        JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => {
            ApiError::new(Problem::TooLarge, "the body is larger than `server.max_body`")
        }
        JsonPayloadError::ContentType => ApiError::invalid("the body must be JSON: `Content-Type: application/json`"),
        error => ApiError::invalid(format!("the body is not what is expected: {error}")),
    }
}

/// RFC 3339 in UTC with milliseconds, from Unix milliseconds.
pub(crate) fn rfc3339(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}
