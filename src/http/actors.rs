//! The actor tree over REST: how everybody is, a fresh start for one of them, and faults for drills.

use super::auth::Caller;
use super::error::{ApiError, Problem};
use super::paging::{Limit, Paged};
use super::{App, rfc3339};
use crate::domain::InstanceId;
use crate::supervise::{Fault, PortStats, Vitals};
use actix_web::HttpResponse;
use actix_web::web::{Json, Path, Query, ReqData};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One actor of the tree.
#[derive(Debug, Serialize, ToSchema)]
pub struct Actor {
    /// `family/id`, the same string in logs and metrics.
    pub path: String,
    /// The supervisor's path; the root has none.
    pub parent: Option<String>,
    /// The actor's type.
    pub kind: String,
    /// `running`, `restarting`, `failed` or `stopped`.
    pub state: String,
    /// Counts incarnations, wanted or not, from 1.
    pub generation: u64,
    /// Starts that followed a failure or a command.
    pub restarts: u64,
    /// Calls queued and running, over all ports.
    pub in_flight: usize,
    /// Calls that all ports together may hold.
    pub capacity: usize,
    pub last_error: Option<String>,
    /// When the state began.
    #[schema(format = DateTime)]
    pub since: String,
    pub ports: Vec<ActorPort>,
}

/// One kind of message that an actor takes.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActorPort {
    /// The message's type.
    pub name: String,
    pub in_flight: usize,
    pub capacity: usize,
    /// Calls refused because every slot was taken.
    pub busy: u64,
    /// Calls that found the actor not running.
    pub down: u64,
    /// Calls that were in the actor when it ended.
    pub died: u64,
    pub timed_out: u64,
}

impl Actor {
    fn of(vitals: &Vitals) -> Self {
        let ports: Vec<ActorPort> = vitals.ports.iter().map(|port| ActorPort::of(port)).collect();
        Self {
            path: vitals.id.to_string(),
            parent: vitals.parent.as_ref().map(InstanceId::to_string),
            kind: vitals.kind.to_owned(),
            state: vitals.state().word().to_owned(),
            generation: vitals.generation(),
            restarts: vitals.restarts(),
            in_flight: ports.iter().map(|port| port.in_flight).sum(),
            capacity: ports.iter().map(|port| port.capacity).sum(),
            last_error: vitals.last_error().map(|error| error.to_string()),
            since: rfc3339(vitals.since_ms()),
            ports,
        }
    }
}

impl ActorPort {
    fn of(port: &PortStats) -> Self {
        let [(_, busy), (_, down), (_, died), (_, timed_out)] = port.failures();
        Self {
            name: port.name.to_owned(),
            in_flight: port.in_flight(),
            capacity: port.capacity,
            busy,
            down,
            died,
            timed_out,
        }
    }
}

/// A page of actors.
#[derive(Debug, Serialize, ToSchema)]
pub struct Actors {
    pub items: Vec<Actor>,
    /// The cursor of the next page.
    pub next: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActorsQuery {
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// Actors of one page, 1 to 200; 200 when absent.
    pub limit: Option<i64>,
}

/// Lists the actors by path; `parent` makes them a tree.
#[utoipa::path(get, path = "/api/v1/actors", tag = "actors", params(ActorsQuery), responses((status = 200, body = Actors)))]
pub async fn list_actors(query: Query<ActorsQuery>, app: App) -> Result<Json<Actors>, ApiError> {
    let limit = Limit::of(query.limit, 200)?;
    let board = app.tree.board.snapshot();
    let after = query.cursor.as_deref().unwrap_or_default();
    let behind = board.values().filter(|vitals| vitals.id.as_str() > after).map(|vitals| Actor::of(vitals));
    let Paged { items, next } = limit.page(behind, |actor| actor.path.clone());
    Ok(Json(Actors { items, next }))
}

/// Starts a fresh incarnation of an actor. Its calls in flight are lost; what they worked on is done again.
#[utoipa::path(
    post, path = "/api/v1/actors/{path}/restart", tag = "actors",
    params(("path" = String, Path, description = "the actor's path, slashes and all")),
    responses((status = 200, body = Actor))
)]
pub async fn restart_actor(path: Path<String>, caller: ReqData<Caller>, app: App) -> Result<Json<Actor>, ApiError> {
    known(&app, &path)?;
    tracing::info!(actor = path.as_str(), by = caller.0, "restart asked for");
    if !app.tree.restart(&path).await? {
        return Err(ApiError::new(Problem::Conflict, format!("`{path}` has no supervisor that could restart it")));
    }
    known(&app, &path).map(Json)
}

/// What shall happen to the actor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultOrder {
    pub kind: Fault,
}

/// Makes an actor fail on purpose. Only with `server.chaos`, on a server that listens on loopback.
///
/// A conversation, `conversation/KEY`, can fail while it runs a turn; it is in no list, because it is gone in a moment.
#[utoipa::path(
    post, path = "/api/v1/actors/{path}/fault", tag = "actors",
    params(("path" = String, Path, description = "the actor's path, slashes and all")), request_body = FaultOrder,
    responses((status = 202, description = "the fault is in; no body"))
)]
pub async fn fault_actor(
    path: Path<String>,
    caller: ReqData<Caller>,
    order: Json<FaultOrder>,
    app: App,
) -> Result<HttpResponse, ApiError> {
    let server = &app.directory.load().config.server;
    if !(server.chaos && server.is_loopback()) {
        let detail = "faults need `server.chaos = true` and a server that listens on loopback";
        return Err(ApiError::new(Problem::Forbidden, detail));
    }
    if !app.tree.inject(&path, order.kind).await? {
        known(&app, &path)?;
        return Err(ApiError::new(Problem::Conflict, format!("`{path}` is not running")));
    }
    tracing::warn!(actor = path.as_str(), fault = ?order.kind, by = caller.0, "fault injected");
    Ok(HttpResponse::Accepted().finish())
}

fn known(app: &App, path: &str) -> Result<Actor, ApiError> {
    let vitals = app.tree.board.get(path);
    vitals.map(|vitals| Actor::of(&vitals)).ok_or_else(|| ApiError::not_found(format!("there is no actor `{path}`")))
}
