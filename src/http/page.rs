//! The chat page, built into the binary. Scripts come from our own files only; styles carry a nonce per response.

use super::App;
use super::chat::web_platform;
use super::error::ApiError;
use super::peer;
use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, LOCATION, VARY,
};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
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
#[utoipa::path(get, path = "/", tag = "pages", responses((status = 307, description = "to `/chat`")))]
pub async fn home() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((LOCATION, "/chat")).finish()
}

/// The chat of the first `web` platform.
#[utoipa::path(
    get, path = "/chat", tag = "pages",
    responses((status = 200, description = "the page", body = String, content_type = "text/html"))
)]
pub async fn first_chat(app: App) -> Result<HttpResponse, ApiError> {
    let snapshot = app.directory.load();
    let first = snapshot.config.active_platforms().find(|section| section.kind == "web");
    let first = first.ok_or_else(|| ApiError::not_found("no platform of kind `web` is switched on"))?;
    page(&first.id)
}

/// The chat of one `web` platform.
#[utoipa::path(
    get, path = "/chat/{platform}", tag = "pages", params(("platform" = String, Path, description = "id of a `web` platform")),
    responses((status = 200, description = "the page", body = String, content_type = "text/html"))
)]
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
#[utoipa::path(
    get, path = "/assets/{file}", tag = "pages", params(("file" = String, Path, description = "name of the file")),
    responses((status = 200, description = "the file", body = String, content_type = "application/octet-stream"))
)]
pub async fn asset(file: Path<String>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = format!("assets/{file}");
    let found = Dist::get(&name).ok_or_else(|| ApiError::not_found("there is no such file"))?;
    let mimetype = found.metadata.mimetype().to_owned();
    // The build leaves a compressed copy beside what gets smaller by it.
    let compressed = accepts_gzip(&request).then(|| Dist::get(&format!("{name}.gz"))).flatten();
    let mut response = HttpResponse::Ok();
    response
        .content_type(mimetype)
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .insert_header((VARY, "accept-encoding"));
    if compressed.is_some() {
        response.insert_header((CONTENT_ENCODING, "gzip"));
    }
    Ok(response.body(compressed.unwrap_or(found).data.into_owned()))
}

/// Whether the client takes gzip: named, or by `*`, and not with `q=0`.
fn accepts_gzip(request: &HttpRequest) -> bool {
    let accepted = peer::header(request, ACCEPT_ENCODING).unwrap_or_default();
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        matches!(name.trim(), "gzip" | "*") && weight.is_ok_and(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        let table = [
            ("", false),
            ("gzip", true),
            ("br, gzip;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("br", false),
            ("gzip;q=x", false),
        ];
        for (accepted, expected) in table {
            let request = TestRequest::default().insert_header((ACCEPT_ENCODING, accepted)).to_http_request();
            assert_eq!(accepts_gzip(&request), expected, "{accepted}");
        }
    }
}
