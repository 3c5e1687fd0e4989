//! Every operation on one table: method, path, who is let through, handler. What has no row is not served, so a guard
//! cannot be forgotten.

use super::auth::Access::{self, Anyone, Key, LocalOr};
use super::auth::Role::{Admin, Operator, Viewer};
use super::error::ApiError;
use super::{actors, chat, config_api, docs, edge, health, hooks, messages, metrics, page};
use actix_web::body::BoxBody;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Route};

/// One operation.
pub struct Operation {
    pub method: Method,
    /// The path as the router reads it.
    pub pattern: &'static str,
    pub access: Access,
    handler: fn() -> Route,
}

impl Operation {
    /// The path as the OpenAPI document writes it.
    pub fn path(&self) -> String {
        self.pattern.replace(":.*}", "}")
    }
}

const fn get(pattern: &'static str, access: Access, handler: fn() -> Route) -> Operation {
    Operation { method: Method::GET, pattern, access, handler }
}

const fn post(pattern: &'static str, access: Access, handler: fn() -> Route) -> Operation {
    Operation { method: Method::POST, pattern, access, handler }
}

/// The table. Chat and webhooks admit their callers themselves: by the platform's `access`, by its signature.
#[rustfmt::skip]
pub static OPERATIONS: &[Operation] = &[
    get("/healthz", Anyone, || web::to(health::healthz)),
    get("/readyz", Anyone, || web::to(health::readyz)),
    get("/metrics", LocalOr(Viewer), || web::to(metrics::scrape)),
    get("/hooks/{platform}", Anyone, || web::to(hooks::verify)),
    post("/hooks/{platform}", Anyone, || web::to(hooks::receive)),
    post("/api/v1/chat/{platform}/messages", Anyone, || web::to(chat::say)),
    get("/api/v1/chat/{platform}/events", Anyone, || web::to(chat::events)),
    get("/", Anyone, || web::to(page::home)),
    get("/chat", Anyone, || web::to(page::first_chat)),
    get("/chat/{platform}", Anyone, || web::to(page::chat)),
    get("/assets/{file}", Anyone, || web::to(page::asset)),
    get("/api/v1/openapi.json", LocalOr(Viewer), || web::to(docs::openapi_json)),
    get("/docs", LocalOr(Viewer), || web::to(docs::docs_home)),
    get("/docs/{file:.*}", LocalOr(Viewer), || web::to(docs::docs_file)),
    get("/api/v1/actors", Key(Viewer), || web::to(actors::list_actors)),
    post("/api/v1/actors/{path:.*}/restart", Key(Operator), || web::to(actors::restart_actor)),
    post("/api/v1/actors/{path:.*}/fault", Key(Admin), || web::to(actors::fault_actor)),
    get("/api/v1/messages", Key(Viewer), || web::to(messages::search_messages)),
    get("/api/v1/messages/{id}", Key(Operator), || web::to(messages::show_message)),
    post("/api/v1/messages/{id}/retry", Key(Operator), || web::to(messages::retry_message)),
    get("/api/v1/dead-letters", Key(Viewer), || web::to(messages::list_dead_letters)),
    post("/api/v1/dead-letters/{id}/redrive", Key(Operator), || web::to(messages::redrive_dead_letter)),
    get("/api/v1/config", Key(Operator), || web::to(config_api::show_config)),
    post("/api/v1/config/validate", Key(Operator), || web::to(config_api::validate_config)),
    post("/api/v1/config/apply", Key(Admin), || web::to(config_api::apply_config)),
];

/// Registers the table: one resource for each path, behind the rules of its methods.
pub fn register(config: &mut ServiceConfig) {
    let mut registered: Vec<&str> = Vec::new();
    for Operation { pattern, .. } in OPERATIONS {
        if registered.contains(pattern) {
            continue;
        }
        registered.push(pattern);
        let here = || OPERATIONS.iter().filter(|operation| operation.pattern == *pattern);
        let rules: Vec<(Method, Access)> = here().map(|it| (it.method.clone(), it.access)).collect();
        let allow = rules.iter().map(|(method, _)| method.as_str()).collect::<Vec<_>>().join(", ");
        let wrong_method = move || std::future::ready(refuse_method(&allow));
        let routes = here().map(|operation| (operation.handler)().method(operation.method.clone()));
        let resource = routes.fold(web::resource(*pattern), actix_web::Resource::route);
        let guard = move |request: ServiceRequest, next: Next<BoxBody>| {
            let rules = rules.clone();
            async move { edge::enter(&rules, request, next).await }
        };
        config.service(resource.default_service(web::to(wrong_method)).wrap(from_fn(guard)));
    }
}

fn refuse_method(allow: &str) -> Result<HttpResponse, ApiError> {
    Err(ApiError::method(allow.to_owned()))
}
