//! The HTTP edge: what is served under which path, and what every request has to put up with.

mod actors;
pub mod auth;
mod chat;
mod chat_stream;
mod config_api;
mod docs;
mod edge;
mod error;
pub mod health;
mod hooks;
mod messages;
pub mod metrics;
pub mod openapi;
mod page;
mod paging;
mod peer;
mod routes;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_edge;

use crate::config;
use crate::directory::Directory;
use crate::dispatch::{Intake, Nudges, Office};
use crate::platforms::web::LiveHub;
use crate::providers::manager::GetHealth;
use crate::reload;
use crate::store::Store;
use crate::supervise::{Port, Tree};
use actix_web::dev::{Payload, Server, ServiceRequest};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{Data, JsonConfig, PathConfig, PayloadConfig, QueryConfig};
use actix_web::{FromRequest, HttpRequest, HttpResponse, HttpServer};
use auth::Keys;
use edge::Edge;
use error::{ApiError, Problem};
use health::Health;
use metrics::Promises;
use std::future::{Ready, ready};
use std::net::TcpListener;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time for a client to send the head of its request.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What request handlers may reach.
pub struct AppState {
    pub store: Store,
    pub directory: Directory,
    pub intake: Intake,
    pub nudges: Nudges,
    pub keys: Keys,
    pub hub: LiveHub,
    pub tree: Tree,
    pub provider_health: Port<GetHealth>,
    pub reloader: reload::Ports,
    pub health: Arc<Health>,
    pub promises: Promises,
    /// Turns that run now.
    pub turns: Office,
    /// Raised when open event streams have to end.
    pub draining: CancellationToken,
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
        ready(Self::of(request))
    }
}

impl App {
    /// The state behind a request; `Starting` while there is none yet.
    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let state = request.app_data::<Data<AppSlot>>().and_then(|slot| slot.get().cloned());
        let starting = || ApiError {
            retry_after: Some(1),
            ..ApiError::new(Problem::Starting, "the gateway is starting; nothing was taken")
        };
        state.map(App).ok_or_else(starting)
    }
}

/// Serves `listener` until the returned server's handle is told to stop. Signals are left to the caller.
pub fn serve(
    listener: TcpListener,
    settings: &config::Server,
    slot: AppSlot,
    health: Arc<Health>,
) -> std::io::Result<Server> {
    let edge = Edge::of(settings);
    let max_body = edge.max_body;
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let workers = settings.workers.unwrap_or_else(|| cores.min(4));
    let app = move || {
        actix_web::App::new()
            .app_data(Data::new(slot.clone()))
            .app_data(Data::from(health.clone()))
            .app_data(Data::new(edge.clone()))
            .app_data(PayloadConfig::new(max_body))
            .app_data(JsonConfig::default().limit(max_body).error_handler(|error, _| body_error(&error).into()))
            .app_data(QueryConfig::default().error_handler(|error, _| ApiError::invalid(error.to_string()).into()))
            .app_data(PathConfig::default().error_handler(|error, _| ApiError::invalid(error.to_string()).into()))
            .wrap(from_fn(move |request: ServiceRequest, next: Next<_>| edge::receive(max_body, request, next)))
            .wrap(edge.headers())
            .configure(routes::register)
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

async fn nothing_here() -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found("nothing is served under this path"))
}

fn body_error(error: &actix_web::error::JsonPayloadError) -> ApiError {
    use actix_web::error::JsonPayloadError;
    match error {
        JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => edge::too_large(),
        JsonPayloadError::ContentType => {
            ApiError::new(Problem::MediaType, "the body must be JSON: `Content-Type: application/json`")
        }
        error => ApiError::invalid(format!("the body is not what is expected: {error}")),
    }
}

/// RFC 3339 in UTC with milliseconds, from Unix milliseconds.
pub(crate) fn rfc3339(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}
