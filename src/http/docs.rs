//! The OpenAPI document, and the pages at `/docs` to browse it. The pages are vendored and load nothing from elsewhere.

use super::error::ApiError;
use super::openapi;
use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_SECURITY_POLICY, LOCATION};
use actix_web::web::{Json, Path};
use std::sync::Arc;
use utoipa_swagger_ui::Config;

/// Scripts and styles come from our own files, pictures from them or from inside the style sheet; calls go to us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// The OpenAPI document of this gateway.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "docs", responses((status = 200, body = Object)))]
pub async fn openapi_json() -> Json<utoipa::openapi::OpenApi> {
    Json(openapi::document())
}

/// Leads to the pages.
#[utoipa::path(get, path = "/docs", tag = "docs", responses((status = 307, description = "to `/docs/`")))]
pub async fn docs_home() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((LOCATION, "/docs/")).finish()
}

/// A file of the pages; the empty name is the first page.
#[utoipa::path(
    get, path = "/docs/{file}", tag = "docs", params(("file" = String, Path, description = "name of the file")),
    responses((status = 200, description = "the file", body = String, content_type = "text/html"))
)]
pub async fn docs_file(file: Path<String>) -> Result<HttpResponse, ApiError> {
    let config = Arc::new(Config::from("/api/v1/openapi.json"));
    let found = utoipa_swagger_ui::serve(&file, config).ok().flatten();
    let found = found.ok_or_else(|| ApiError::not_found("there is no such page"))?;
    let mut response = HttpResponse::Ok();
    if found.gzpipped {
        response.insert_header((CONTENT_ENCODING, "gzip"));
    }
    response.insert_header((CONTENT_SECURITY_POLICY, POLICY));
    Ok(response.content_type(found.content_type).body(found.bytes.into_owned()))
}
