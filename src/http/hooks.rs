//! Webhooks: takes one call, answers only once its events are on disk, and never waits for a model.

use super::App;
use super::error::{ApiError, Problem};
use crate::platforms::{Call, Rejection};
use actix_web::http::Method;
use actix_web::web::{Bytes, Path};
use actix_web::{HttpRequest, HttpResponse};

/// Answers a platform that checks whether this address is ours. Needs no key: the platform's signature decides.
#[utoipa::path(
    get, path = "/hooks/{platform}", tag = "hooks", params(("platform" = String, Path, description = "id of the platform")),
    responses((status = 200, description = "it is ours", body = String, content_type = "text/plain"),
        (status = 403, description = "forged or stale; no body"))
)]
pub async fn verify(platform: Path<String>, request: HttpRequest, app: App) -> Result<HttpResponse, ApiError> {
    take(&platform, &request, &[], &app).await
}

/// Takes one webhook call. Needs no key: the platform's signature decides.
///
/// 400 when a parameter is missing, 403 without a body when it is forged or stale, 404 for an unknown platform, 413
/// when it is too big, 503 with `Retry-After` when nothing more can be taken.
#[utoipa::path(
    post, path = "/hooks/{platform}", tag = "hooks", params(("platform" = String, Path, description = "id of the platform")),
    request_body(content = String, description = "as the platform sends it"),
    responses((status = 200, description = "on disk", body = String, content_type = "text/plain"),
        (status = 403, description = "forged or stale; no body"))
)]
pub async fn receive(
    platform: Path<String>,
    request: HttpRequest,
    body: Bytes,
    app: App,
) -> Result<HttpResponse, ApiError> {
    take(&platform, &request, &body, &app).await
}

async fn take(platform: &str, request: &HttpRequest, body: &[u8], app: &App) -> Result<HttpResponse, ApiError> {
    let snapshot = app.directory.load();
    let entry = snapshot.platforms.get(platform);
    let ingress = entry.and_then(|entry| entry.ingress.clone());
    let ingress = ingress.ok_or_else(|| ApiError::not_found(format!("no platform `{platform}` takes webhooks")))?;
    // Before anything costs time: whoever is refused comes again.
    if let Some(reason) = app.intake.why_closed() {
        return Err(ApiError { retry_after: Some(5), ..ApiError::new(Problem::Busy, reason) });
    }
    let call = Call {
        is_get: request.method() == Method::GET,
        query: request.query_string(),
        body,
        now: jiff::Timestamp::now().as_second(),
    };
    let opened = match ingress.open(call) {
        Ok(opened) => opened,
        Err(Rejection::Malformed(what)) => return Err(ApiError::invalid(what)),
        Err(rejection) => return Ok(reject(app, platform, &rejection)),
    };
    let accepted = app.intake.accept(opened.events).await?;
    app.promises.acknowledged(accepted.iter().map(|accepted| accepted.id));
    Ok(HttpResponse::Ok().content_type("text/plain").body(opened.ack))
}

fn reject(app: &App, platform: &str, rejection: &Rejection) -> HttpResponse {
    if let Rejection::Stale(seconds) = rejection {
        app.health.note_skew(platform, *seconds);
    }
    app.health.count_rejected(platform);
    tracing::warn!(platform.id = platform, reason = %rejection, "refused a webhook call");
    HttpResponse::Forbidden().finish()
}
