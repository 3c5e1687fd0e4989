//! The web chat over REST and server-sent events. The store is what a reader is shown; live text comes beside it.

use super::App;
use super::chat_stream::ChatStream;
use super::error::{ApiError, Problem};
use super::peer;
use crate::config::Access;
use crate::directory::PlatformEntry;
use crate::domain::{ChatKind, ConversationKey, Inbound, InboundKind, Part, Sender};
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL};
use actix_web::web::{Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use utoipa::{IntoParams, ToSchema};

/// A message from a web reader.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Say {
    /// The conversation to go on with; absent starts a new one.
    pub conversation: Option<String>,
    /// Drawn by the client, 1 to 128 characters: a repeat with the same one adds nothing.
    pub client_id: String,
    pub text: String,
    /// Id of the assistant that is to answer; absent lets the routes decide. Refused where anyone may write.
    pub assistant: Option<String>,
}

/// Where the message is now.
#[derive(Debug, Serialize, ToSchema)]
pub struct SaidTo {
    pub conversation: String,
    pub message: String,
}

/// Which conversation to follow.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Follow {
    pub conversation: String,
}

/// Takes a message; answers once it is durable.
#[utoipa::path(
    post, path = "/api/v1/chat/{platform}/messages", tag = "chat",
    params(("platform" = String, Path, description = "id of a `web` platform")), request_body = Say,
    responses((status = 202, body = SaidTo))
)]
pub async fn say(
    platform: Path<String>,
    request: HttpRequest,
    body: Json<Say>,
    app: App,
) -> Result<HttpResponse, ApiError> {
    let entry = web_platform(&app, &platform)?;
    admit(&request, &app, &entry)?;
    let say = body.into_inner();
    check_id("client_id", &say.client_id, 128)?;
    if say.text.trim().is_empty() {
        return Err(ApiError::invalid("`text` must not be empty"));
    }
    let chat = say.conversation.unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string());
    check_id("conversation", &chat, 64)?;
    if let Some(assistant) = &say.assistant {
        check_assistant(&app, &entry, assistant)?;
    }
    if let Some(reason) = app.intake.why_closed() {
        return Err(ApiError { retry_after: Some(5), ..ApiError::new(Problem::Busy, reason) });
    }
    let inbound = Inbound {
        platform: platform.clone(),
        external_id: say.client_id,
        conversation: key_of(&platform, &chat),
        chat: ChatKind::Private,
        sender: Sender { id: chat.clone(), name: None },
        kind: InboundKind::Message,
        parts: vec![Part::Text { text: say.text.clone() }],
        text: say.text,
        sent_at_ms: jiff::Timestamp::now().as_millisecond(),
        assistant: say.assistant,
        reply_route: serde_json::Value::Null,
    };
    let accepted = app.intake.accept(vec![inbound]).await?.into_iter().next();
    let accepted = accepted.ok_or_else(|| ApiError::new(Problem::Internal, "nothing was stored"))?;
    app.promises.acknowledged([accepted.id]);
    app.hub.poke(&accepted.conversation);
    let conversation = ConversationKey::stored(accepted.conversation).chat();
    Ok(HttpResponse::Accepted().json(SaidTo { conversation, message: accepted.id.to_string() }))
}

/// Follows a conversation: what is stored after `Last-Event-ID`, then what happens, as `message`, `delta` and `notice`.
#[utoipa::path(
    get, path = "/api/v1/chat/{platform}/events", tag = "chat",
    params(("platform" = String, Path, description = "id of a `web` platform"), Follow,
        ("Last-Event-ID" = Option<String>, Header, description = "the last event that was seen")),
    responses((status = 200, description = "an event stream", body = String, content_type = "text/event-stream"))
)]
pub async fn events(
    platform: Path<String>,
    request: HttpRequest,
    follow: Query<Follow>,
    app: App,
) -> Result<HttpResponse, ApiError> {
    let entry = web_platform(&app, &platform)?;
    admit(&request, &app, &entry)?;
    check_id("conversation", &follow.conversation, 64)?;
    let last = request.headers().get("last-event-id").and_then(|value| value.to_str().ok());
    let key = key_of(&platform, &follow.conversation);
    let stream = ChatStream::new(app.clone(), key.as_str(), last);
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream.into_events()))
}

fn key_of(platform: &str, chat: &str) -> ConversationKey {
    ConversationKey::new(platform, "", ChatKind::Private, chat, "")
}

fn check_id(name: &str, id: &str, most: usize) -> Result<(), ApiError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if id.is_empty() || id.len() > most || !id.chars().all(is_plain) {
        let rule = format!("`{name}` must be 1 to {most} letters, digits, `-`, `_`, `.` or `:`");
        return Err(ApiError::invalid(rule));
    }
    Ok(())
}

/// Whoever names an assistant gets around the routes, which is not for strangers.
fn check_assistant(app: &App, entry: &PlatformEntry, id: &str) -> Result<(), ApiError> {
    if entry.section.access == Access::Anyone {
        let detail = "in a chat that is open to anyone the routes decide who answers; leave `assistant` out";
        return Err(ApiError::new(Problem::Forbidden, detail));
    }
    let snapshot = app.directory.load();
    if !snapshot.config.assistants.iter().any(|assistant| assistant.id == id) {
        return Err(ApiError::invalid("`assistant` must be the id of an assistant in the configuration"));
    }
    Ok(())
}

/// The `web` platform of this id.
pub(super) fn web_platform(app: &App, id: &str) -> Result<PlatformEntry, ApiError> {
    let snapshot = app.directory.load();
    let entry = snapshot.platforms.get(id).filter(|entry| entry.kind.name == "web");
    entry.cloned().ok_or_else(|| ApiError::not_found(format!("there is no web platform `{id}`")))
}

/// Lets in whom the platform's `access` lets in.
pub(super) fn admit(request: &HttpRequest, app: &App, entry: &PlatformEntry) -> Result<(), ApiError> {
    match entry.section.access {
        Access::Anyone => {}
        Access::Loopback => {
            if !peer::is_this_machine(request) {
                let detail = "this chat is for this machine only; set `access = \"token\"` or `\"anyone\"` to open it";
                return Err(ApiError::new(Problem::Forbidden, detail));
            }
        }
        Access::Token => {
            let given = peer::header(request, AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
            let wanted = entry.section.access_token.expose().as_bytes();
            if !given.is_some_and(|given| bool::from(given.as_bytes().ct_eq(wanted))) {
                let detail = "this chat needs its access token: `Authorization: Bearer TOKEN`";
                return Err(ApiError::new(Problem::Unauthenticated, detail));
            }
        }
    }
    peer::same_origin(request, &app.directory.load().config.security.cors_origins)
}
