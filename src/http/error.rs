//! Errors as people and scripts read them: one table of problem types, frozen by a snapshot.

use crate::store::StoreError;
use crate::supervise::CallError;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use std::fmt;
use utoipa::ToSchema;

/// Every way in which a request can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    Invalid,
    Unauthenticated,
    Forbidden,
    NotFound,
    Method,
    Slow,
    Conflict,
    TooLarge,
    MediaType,
    TooMany,
    Starting,
    Busy,
    Internal,
}

/// Type, status and title of each.
pub const PROBLEMS: &[(Problem, &str, u16, &str)] = &[
    (Problem::Invalid, "invalid-request", 400, "The request is not valid"),
    (Problem::Unauthenticated, "unauthenticated", 401, "A valid key is needed"),
    (Problem::Forbidden, "forbidden", 403, "This is not allowed"),
    (Problem::NotFound, "not-found", 404, "There is no such thing"),
    (Problem::Method, "method-not-allowed", 405, "The method is not allowed here"),
    (Problem::Slow, "slow-request", 408, "The request arrived too slowly"),
    (Problem::Conflict, "conflict", 409, "The state does not allow this"),
    (Problem::TooLarge, "too-large", 413, "The request is too large"),
    (Problem::MediaType, "unsupported-media-type", 415, "The body has the wrong type"),
    (Problem::TooMany, "too-many-requests", 429, "Too many requests"),
    (Problem::Starting, "starting", 503, "The gateway is starting"),
    (Problem::Busy, "busy", 503, "The gateway cannot take more at the moment"),
    (Problem::Internal, "internal", 500, "Something went wrong on our side"),
];

/// The body of every error, `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemBody {
    /// `/problems/NAME`, a name that never changes.
    pub r#type: String,
    pub title: &'static str,
    pub status: u16,
    /// What happened, and what to do.
    pub detail: String,
    /// The id under which the log has more.
    pub request_id: String,
}

/// A failed request.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub problem: Problem,
    pub detail: String,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u64>,
    /// The methods that are allowed, for [`Problem::Method`].
    pub allow: Option<String>,
}

impl ApiError {
    pub fn new(problem: Problem, detail: impl Into<String>) -> Self {
        Self { problem, detail: detail.into(), retry_after: None, allow: None }
    }

    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Problem::Invalid, detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Problem::NotFound, detail)
    }

    pub fn busy(detail: impl Into<String>) -> Self {
        Self { retry_after: Some(2), ..Self::new(Problem::Busy, detail) }
    }

    /// The path is known, the method is not: `allow` lists those that are.
    pub fn method(allow: String) -> Self {
        let detail = format!("only {allow} is understood here");
        Self { allow: Some(allow), ..Self::new(Problem::Method, detail) }
    }

    fn row(&self) -> (&'static str, StatusCode, &'static str) {
        let found = PROBLEMS.iter().find(|(problem, ..)| *problem == self.problem);
        let (_, name, status, title) = found.copied().unwrap_or((Problem::Internal, "internal", 500, "Internal error"));
        (name, StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), title)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.row().1
    }

    fn error_response(&self) -> HttpResponse {
        let (name, status, title) = self.row();
        let request_id = super::edge::request_id();
        if status.is_server_error() {
            tracing::warn!(request.id = request_id, status = status.as_u16(), detail = self.detail, "request failed");
        }
        let body = ProblemBody {
            r#type: format!("/problems/{name}"),
            title,
            status: status.as_u16(),
            detail: self.detail.clone(),
            request_id,
        };
        let mut response = HttpResponse::build(status);
        if let Some(seconds) = self.retry_after {
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((ALLOW, allow.as_str()));
        }
        if self.problem == Problem::Unauthenticated {
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        response.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::busy("too many messages are waiting; nothing was taken, try again shortly"),
            StoreError::Full => Self { retry_after: Some(30), ..Self::busy("the disk is full; nothing was taken") },
            StoreError::Locked => Self::busy("the database is locked by another process; nothing was taken"),
            StoreError::Closed => Self::busy("the gateway is stopping; nothing was taken"),
            StoreError::Missing => Self::not_found("there is no such message"),
            StoreError::Fenced => Self::new(Problem::Conflict, "it has changed meanwhile"),
            StoreError::Flush(_) | StoreError::Damaged(_) => {
                Self::busy("the database could not make this durable; nothing was taken")
            }
            StoreError::Sql(_) | StoreError::Newer { .. } => {
                tracing::error!(%error, "the store refused a statement");
                Self::new(Problem::Internal, "the store refused; the log says why")
            }
        }
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        Self::busy(format!("a component did not answer: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_problems_is_what_scripts_rely_on() {
        let row = |(_, name, status, title): &(Problem, &str, u16, &str)| format!("{status} /problems/{name}: {title}");
        insta::assert_snapshot!(PROBLEMS.iter().map(row).collect::<Vec<_>>().join("\n"), @r"
        400 /problems/invalid-request: The request is not valid
        401 /problems/unauthenticated: A valid key is needed
        403 /problems/forbidden: This is not allowed
        404 /problems/not-found: There is no such thing
        405 /problems/method-not-allowed: The method is not allowed here
        408 /problems/slow-request: The request arrived too slowly
        409 /problems/conflict: The state does not allow this
        413 /problems/too-large: The request is too large
        415 /problems/unsupported-media-type: The body has the wrong type
        429 /problems/too-many-requests: Too many requests
        503 /problems/starting: The gateway is starting
        503 /problems/busy: The gateway cannot take more at the moment
        500 /problems/internal: Something went wrong on our side
        ");
    }

    #[test]
    fn headers_tell_what_to_do() {
        let slow_down = ApiError { retry_after: Some(7), ..ApiError::new(Problem::TooMany, "too fast") };
        let table = [
            ("wrong method", ApiError::method("GET, POST".into()), "allow", "GET, POST"),
            ("no key", ApiError::new(Problem::Unauthenticated, "a key is needed"), "www-authenticate", "Bearer"),
            ("too fast", slow_down, "retry-after", "7"),
            ("any", ApiError::invalid("no"), "content-type", "application/problem+json"),
        ];
        for (case, error, header, expected) in table {
            let response = error.error_response();
            assert_eq!(response.headers().get(header).unwrap(), expected, "{case}");
        }
    }
}
