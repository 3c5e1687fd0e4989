//! Messages over REST: lists without content, one message with its whole trace, and another try.

use super::auth::Caller;
use super::error::ApiError;
use super::paging::{DEFAULT_LIMIT, Limit, Paged, id_cursor};
use super::{App, rfc3339};
use crate::store::StoreError;
use crate::store::retry::{self, Retried};
use crate::store::search::{self, Filter, Found, PartFound, TraceStep};
use actix_web::HttpResponse;
use actix_web::web::{Json, Path, Query, ReqData};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};

/// A search may look at every row: one at a time leaves the other reading connections to those who chat.
static ONE_SEARCH: Semaphore = Semaphore::const_new(1);

/// A message without its content.
#[derive(Debug, Serialize, ToSchema)]
pub struct MessageItem {
    pub id: String,
    pub platform: String,
    /// The platform's own id.
    pub external_id: String,
    pub conversation: String,
    pub sender: String,
    #[schema(format = DateTime)]
    pub received_at: String,
    /// `ready`, `claimed`, `done`, `dead`, `cancelled` or `refused`.
    pub state: String,
    /// Times that it was claimed.
    pub attempt: i64,
    /// Turns that panicked, hung, or whose process died.
    pub strikes: i64,
    /// Why it is where it is.
    pub reason: Option<String>,
}

/// A page of messages, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct MessageItems {
    pub items: Vec<MessageItem>,
    /// The cursor of the next page.
    pub next: Option<String>,
}

/// A message with everything that is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct WholeMessage {
    #[serde(flatten)]
    pub message: MessageItem,
    /// What the person wrote; gone after `storage.keep`.
    pub text: Option<String>,
    pub trace: Vec<TraceItem>,
    pub replies: Vec<ReplyPart>,
}

/// One step of a message's way.
#[derive(Debug, Serialize, ToSchema)]
pub struct TraceItem {
    #[schema(format = DateTime)]
    pub at: String,
    pub step: String,
    #[schema(value_type = Object)]
    pub detail: Value,
}

/// One part of a reply.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplyPart {
    pub part: i64,
    /// `ready`, `sending`, `sent`, `unknown` or `dead`.
    pub state: String,
    /// Gone after `storage.keep`.
    pub text: Option<String>,
    #[schema(format = DateTime)]
    pub sent_at: Option<String>,
    pub reason: Option<String>,
    /// Times that it was handed to the platform.
    pub tries: i64,
}

impl From<Found> for MessageItem {
    fn from(found: Found) -> Self {
        Self {
            id: found.id.to_string(),
            platform: found.platform,
            external_id: found.external_id,
            conversation: found.conversation,
            sender: found.sender,
            received_at: rfc3339(found.received_at),
            state: found.state,
            attempt: found.attempt,
            strikes: found.strikes,
            reason: found.reason,
        }
    }
}

impl From<TraceStep> for TraceItem {
    fn from(step: TraceStep) -> Self {
        Self { at: rfc3339(step.at), step: step.step, detail: step.detail }
    }
}

impl From<PartFound> for ReplyPart {
    fn from(part: PartFound) -> Self {
        let PartFound { part, state, text, sent_at, reason, tries } = part;
        Self { part, state, text, sent_at: sent_at.map(rfc3339), reason, tries }
    }
}

/// Where a message is on its way.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    Ready,
    Claimed,
    Done,
    Dead,
    Cancelled,
    Refused,
}

impl MessageState {
    const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Claimed => "claimed",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }
}

/// What narrows the list; everything that is given must match.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MessagesQuery {
    /// Part of the text, in any case of ASCII letters.
    pub q: Option<String>,
    pub platform: Option<String>,
    pub conversation: Option<String>,
    pub sender: Option<String>,
    #[param(inline)]
    pub state: Option<MessageState>,
    /// Received at or after this time, RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<jiff::Timestamp>,
    /// Received before this time, RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<jiff::Timestamp>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// Messages of one page, 1 to 200; 50 when absent.
    pub limit: Option<i64>,
}

/// Searches messages, newest first. Never shows their content.
#[utoipa::path(
    get, path = "/api/v1/messages", tag = "messages", params(MessagesQuery), responses((status = 200, body = MessageItems))
)]
pub async fn search_messages(query: Query<MessagesQuery>, app: App) -> Result<Json<MessageItems>, ApiError> {
    let query = query.into_inner();
    let limit = Limit::of(query.limit, DEFAULT_LIMIT)?;
    let filter = Filter {
        q: query.q.filter(|text| !text.is_empty()),
        platform: query.platform,
        conversation: query.conversation,
        sender: query.sender,
        state: query.state.map(|state| state.word().to_owned()),
        since: query.since.map(jiff::Timestamp::as_millisecond),
        until: query.until.map(jiff::Timestamp::as_millisecond),
        before: id_cursor(query.cursor.as_deref())?,
        limit: limit.rows(),
    };
    let turn = ONE_SEARCH.acquire().await.map_err(|_| StoreError::Closed)?;
    let searching = app.store.read(move |conn| {
        let _turn = turn;
        search::messages(conn, &filter)
    });
    let found = searching.await?;
    Ok(page(limit, found))
}

/// Shows one message: its text, every step of its way, its replies.
#[utoipa::path(
    get, path = "/api/v1/messages/{id}", tag = "messages", params(("id" = String, Path, description = "id of the message")),
    responses((status = 200, body = WholeMessage))
)]
pub async fn show_message(id: Path<String>, app: App) -> Result<Json<WholeMessage>, ApiError> {
    let id = message_id(&id)?;
    let (mut found, steps, parts) = app.store.read(move |conn| search::message(conn, id)).await?;
    Ok(Json(WholeMessage {
        text: found.text.take(),
        message: found.into(),
        trace: steps.into_iter().map(Into::into).collect(),
        replies: parts.into_iter().map(Into::into).collect(),
    }))
}

/// What another try has put back in line.
#[derive(Debug, Serialize, ToSchema)]
pub struct PutBack {
    pub id: String,
    /// `message`: it is answered anew. `replies`: its answer is sent again where it did not surely arrive.
    pub retried: String,
    /// Reply parts that are sent again.
    pub parts: usize,
}

/// Tries a message again: anew when it has no answer, else the parts of its answer that did not surely arrive.
///
/// Parts of unknown fate are flagged as repeats where the platform knows how. 409 when there is nothing to try.
#[utoipa::path(
    post, path = "/api/v1/messages/{id}/retry", tag = "messages",
    params(("id" = String, Path, description = "id of the message")), responses((status = 202, body = PutBack))
)]
pub async fn retry_message(id: Path<String>, caller: ReqData<Caller>, app: App) -> Result<HttpResponse, ApiError> {
    put_back(&app, message_id(&id)?, caller.into_inner()).await
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeadLettersQuery {
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// Messages of one page, 1 to 200; 50 when absent.
    pub limit: Option<i64>,
}

/// Lists what could not be done, newest first: dead messages, and messages with dead or unknown reply parts.
#[utoipa::path(
    get, path = "/api/v1/dead-letters", tag = "dead-letters", params(DeadLettersQuery),
    responses((status = 200, body = MessageItems))
)]
pub async fn list_dead_letters(query: Query<DeadLettersQuery>, app: App) -> Result<Json<MessageItems>, ApiError> {
    let limit = Limit::of(query.limit, DEFAULT_LIMIT)?;
    let before = id_cursor(query.cursor.as_deref())?;
    let found = app.store.read(move |conn| search::dead_letters(conn, before, limit.rows())).await?;
    Ok(page(limit, found))
}

/// Tries a dead letter again, as `messages/{id}/retry` does.
#[utoipa::path(
    post, path = "/api/v1/dead-letters/{id}/redrive", tag = "dead-letters",
    params(("id" = String, Path, description = "id of the message")), responses((status = 202, body = PutBack))
)]
pub async fn redrive_dead_letter(
    id: Path<String>,
    caller: ReqData<Caller>,
    app: App,
) -> Result<HttpResponse, ApiError> {
    let id = message_id(&id)?;
    if !app.store.read(move |conn| search::is_dead_letter(conn, id)).await? {
        return Err(ApiError::not_found(format!("there is no dead letter `{id}`")));
    }
    put_back(&app, id, caller.into_inner()).await
}

async fn put_back(app: &App, id: i64, Caller(by): Caller) -> Result<HttpResponse, ApiError> {
    let now = app.store.now();
    let log_by = by.clone();
    let retried = app.store.write(move |conn| retry::message(conn, now, id, &by)).await?;
    let (retried, parts) = match retried {
        Retried::Message => ("message", 0),
        Retried::Replies(parts) => ("replies", parts),
        Retried::Nothing(why) => return Err(ApiError::new(super::error::Problem::Conflict, why)),
    };
    tracing::info!(message.id = id, retried, parts, by = log_by, "put back in line");
    app.nudges.inbox.notify_one();
    app.nudges.outbox.notify_one();
    Ok(HttpResponse::Accepted().json(PutBack { id: id.to_string(), retried: retried.to_owned(), parts }))
}

fn page(limit: Limit, found: Vec<Found>) -> Json<MessageItems> {
    let Paged { items, next } = limit.page(found, |found| found.id.to_string());
    Json(MessageItems { items: items.into_iter().map(Into::into).collect(), next })
}

/// What cannot be an id names no message.
fn message_id(text: &str) -> Result<i64, ApiError> {
    text.parse().map_err(|_| StoreError::Missing.into())
}
