//! The chat page, built into the binary. Scripts come from our own files only; styles carry a nonce per response.

use super::App;
use super::chat::web_platform;
use super::error::ApiError;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION};
use actix_web::web::Path;
use actix_web::{HttpResponse, get};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rust_embed::Embed;

#[derive(Embed)]
#[folder = "dashboard/dist/"]
#[allow_missing = true]
struct Dist;

const WITHOUT_PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>MindBot</title>\
    <p>This binary was built without the chat page. Install Node.js 20 or later and build with \
    <code>scripts/run</code>; the API works without it.</p></html>";

/// Leads to the chat, until there is a dashboard.
#[get("/")]
pub async fn home() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((LOCATION, "/chat")).finish()
}

/// The chat of the first `web` platform.
#[get("/chat")]
pub async fn first_chat(app: App) -> Result<HttpResponse, ApiError> {
    let snapshot = app.directory.load();
    let first = snapshot.config.active_platforms().find(|section| section.kind == "web");
    let first = first.ok_or_else(|| ApiError::not_found("no platform of kind `web` is switched on"))?;
    page(&first.id)
}

/// The chat of one `web` platform.
#[get("/chat/{platform}")]
pub async fn chat(platform: Path<String>, app: App) -> Result<HttpResponse, ApiError> {
    web_platform(&app, &platform)?;
    page(&platform)
}

fn page(platform: &str) -> Result<HttpResponse, ApiError> {
    let nonce = nonce()?;
    let html = Dist::get("index.html").map(|file| String::from_utf8_lossy(&file.data).into_owned());
    let html = html.as_deref().unwrap_or(WITHOUT_PAGE);
    let html = html.replace("__CSP_NONCE__", &nonce).replace("__PLATFORM__", platform);
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' blob:; \
         font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'"
    );
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .body(html))
}

fn nonce() -> Result<String, ApiError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|_| ApiError::busy("no random numbers at the moment"))?;
    Ok(STANDARD.encode(bytes))
}

/// A file of the page. Names carry a hash of their content, so they never change.
#[get("/assets/{file}")]
pub async fn asset(file: Path<String>) -> Result<HttpResponse, ApiError> {
    let name = format!("assets/{file}");
    let found = Dist::get(&name).ok_or_else(|| ApiError::not_found("there is no such file"))?;
    Ok(HttpResponse::Ok()
        .content_type(found.metadata.mimetype())
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .body(found.data.into_owned()))
}
