//! What every request has to put up with, whatever its path: an id, a bounded body, a deadline, careful headers.

use super::App;
use super::auth::{self, Access};
use super::error::{ApiError, Problem};
use crate::config;
use crate::telemetry::{leaks, metrics};
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ResponseHead, ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{DefaultHeaders, Next};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use ipnet::IpNet;
use std::time::Duration;

/// Time for a request to be read and the head of its answer to be ready.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the edge knows of `[server]`.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Bytes of a request body, at most.
    pub max_body: usize,
    pub trusted_proxies: Vec<IpNet>,
    /// Whether people reach us under TLS.
    is_secure: bool,
}

impl Edge {
    pub fn of(settings: &config::Server) -> Self {
        Self {
            max_body: usize::try_from(settings.max_body).unwrap_or(usize::MAX),
            trusted_proxies: settings.trusted_proxies.clone(),
            is_secure: settings.public_url.as_ref().is_some_and(|url| url.scheme() == "https"),
        }
    }

    /// Headers of every answer that does not set its own.
    pub fn headers(&self) -> DefaultHeaders {
        let headers = DefaultHeaders::new()
            .add((
                CONTENT_SECURITY_POLICY,
                "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
            ))
            .add((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .add((REFERRER_POLICY, "no-referrer"))
            .add((HeaderName::from_static("cross-origin-opener-policy"), "same-origin"));
        if self.is_secure { headers.add((STRICT_TRANSPORT_SECURITY, "max-age=31536000")) } else { headers }
    }
}

tokio::task_local! {
    static CURRENT_ID: String;
}

/// The id of the request that is being worked on; a fresh one outside of any.
pub fn request_id() -> String {
    CURRENT_ID.try_with(Clone::clone).unwrap_or_else(|_| fresh_id())
}

fn fresh_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Gives a request its id, and refuses a body that says itself that it is too large, before anything is read.
///
/// A HEAD, as monitors send it, is a GET whose body nobody wants.
pub async fn receive<B: MessageBody + 'static>(
    max_body: usize,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let id = fresh_id();
    let is_head = request.method() == Method::HEAD;
    if is_head {
        request.head_mut().method = Method::GET;
    }
    let work = async {
        if declared_length(&request) > max_body {
            metrics::http_refused("too_large");
            return Ok(request.error_response(too_large()).map_into_right_body());
        }
        next.call(request).await.map(ServiceResponse::map_into_left_body)
    };
    let mut response = CURRENT_ID.scope(id.clone(), work).await?;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if is_head {
        return Ok(response.map_body(|_, _| EitherBody::right(BoxBody::new(actix_web::body::None::new()))));
    }
    Ok(response.map_body(without_secrets))
}

/// Takes secrets out of an answer that people or programs read; what is streamed, and the files of the page, pass.
fn without_secrets<B: MessageBody + 'static>(head: &mut ResponseHead, body: EitherBody<B>) -> EitherBody<B> {
    let media = head.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !(media.contains("json") || media.starts_with("text/plain")) {
        return body;
    }
    match body.try_into_bytes() {
        Ok(bytes) => EitherBody::right(BoxBody::new(leaks::without_secrets(&bytes).map_or(bytes, Bytes::from))),
        Err(body) => body,
    }
}

fn declared_length(request: &ServiceRequest) -> usize {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    // The protocol layer has refused what is no number; what does not fit is too large.
    length.map_or(0, |length| length.parse().unwrap_or(usize::MAX))
}

pub fn too_large() -> ApiError {
    ApiError::new(Problem::TooLarge, "the body is larger than `server.max_body`")
}

/// Admits a request to its resource and ends it when its body trickles in, or its answer does not begin.
///
/// `rules` holds the resource's methods. Runs behind the router, so that no spelling of a path gets around it.
pub async fn enter(
    rules: &[(Method, Access)],
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse, actix_web::Error> {
    let shell = request.request().clone();
    if let Some(answer) = preflight(rules, &shell) {
        return Ok(request.into_response(answer));
    }
    let work = async {
        let rule = rules.iter().find(|(method, _)| method == request.method());
        if let Some((_, access)) = rule
            && let Err(error) = auth::admit(*access, request.request()).await
        {
            return Ok(request.error_response(error));
        }
        next.call(request).await
    };
    let mut response = match tokio::time::timeout(REQUEST_LIMIT, work).await {
        Ok(answered) => in_our_words(answered?),
        Err(_) => {
            metrics::http_refused("slow");
            ServiceResponse::from_err(ApiError::new(Problem::Slow, "the request took longer than 30 s"), shell.clone())
        }
    };
    share_with_origin(&shell, response.headers_mut());
    Ok(response)
}

/// Rewrites an error that the framework found by itself, such as a body that grows too large while it is read.
fn in_our_words(response: ServiceResponse) -> ServiceResponse {
    let is_ours = |error: &actix_web::Error| error.as_error::<ApiError>().is_some();
    if response.response().error().is_none_or(is_ours) {
        return response;
    }
    let error = match response.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            metrics::http_refused("too_large");
            too_large()
        }
        status if status.is_client_error() => ApiError::invalid("the request cannot be read"),
        _ => ApiError::new(Problem::Internal, "the request could not be worked on"),
    };
    response.into_response(error.error_response())
}

/// Answers a browser that asks whether a page of `security.cors_origins` may call this.
fn preflight(rules: &[(Method, Access)], request: &HttpRequest) -> Option<HttpResponse> {
    request.headers().get(ACCESS_CONTROL_REQUEST_METHOD).filter(|_| request.method() == Method::OPTIONS)?;
    listed_origin(request)?;
    let methods = rules.iter().map(|(method, _)| method.as_str()).collect::<Vec<_>>().join(", ");
    let mut answer = HttpResponse::NoContent();
    answer.insert_header((ACCESS_CONTROL_ALLOW_METHODS, methods));
    answer.insert_header((ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, last-event-id"));
    let mut answer = answer.finish();
    share_with_origin(request, answer.headers_mut());
    Some(answer)
}

/// Lets a page of `security.cors_origins` read the answer.
fn share_with_origin(request: &HttpRequest, headers: &mut HeaderMap) {
    if let Some(origin) = listed_origin(request) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}

fn listed_origin(request: &HttpRequest) -> Option<HeaderValue> {
    let origin = request.headers().get(ORIGIN)?;
    let config = App::of(request).ok()?.directory.load().config.clone();
    config.security.cors_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}
