//! The OpenAPI document, from the code: what each operation takes and answers, and whether it needs a key.

use super::auth::Access;
use super::error::ProblemBody;
use super::routes::OPERATIONS;
use super::{actors, chat, config_api, docs, health, hooks, messages, metrics, page};
use actix_web::http::Method;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};

/// Name of the security scheme.
const KEY: &str = "key";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "MindBot"),
    components(schemas(ProblemBody)),
    paths(
        health::healthz,
        health::readyz,
        metrics::scrape,
        hooks::verify,
        hooks::receive,
        chat::say,
        chat::events,
        page::home,
        page::first_chat,
        page::chat,
        page::asset,
        docs::openapi_json,
        docs::docs_home,
        docs::docs_file,
        actors::list_actors,
        actors::restart_actor,
        actors::fault_actor,
        messages::search_messages,
        messages::show_message,
        messages::retry_message,
        messages::list_dead_letters,
        messages::redrive_dead_letter,
        config_api::show_config,
        config_api::validate_config,
        config_api::apply_config,
    )
)]
struct Described;

/// The document: what the handlers declare, every error as a problem, and the key where one is needed.
pub fn document() -> OpenApi {
    let mut document = Described::openapi();
    for rule in OPERATIONS {
        let item = document.paths.paths.get_mut(&rule.path());
        let Some(operation) = item.and_then(|item| operation_of(item, &rule.method)) else { continue };
        operation.responses.responses.insert("default".to_owned(), RefOr::T(problem()));
        if rule.access != Access::Anyone {
            operation.security = Some(vec![SecurityRequirement::new(KEY, Vec::<String>::new())]);
        }
    }
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("an API key")).build();
    if let Some(components) = &mut document.components {
        components.add_security_scheme(KEY, SecurityScheme::Http(scheme));
    }
    document
}

fn problem() -> utoipa::openapi::Response {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemBody"))).build();
    ResponseBuilder::new().description("what went wrong").content("application/problem+json", body).build()
}

fn operation_of<'a>(item: &'a mut PathItem, method: &Method) -> Option<&'a mut Operation> {
    match *method {
        Method::GET => item.get.as_mut(),
        Method::POST => item.post.as_mut(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_described_and_every_description_is_served() {
        let described: BTreeSet<String> = document()
            .paths
            .paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("DELETE", &item.delete)];
                methods
                    .into_iter()
                    .filter(|(_, operation)| operation.is_some())
                    .map(move |(method, _)| format!("{method} {path}"))
            })
            .collect();
        let served: BTreeSet<String> =
            OPERATIONS.iter().map(|rule| format!("{} {}", rule.method, rule.path())).collect();
        assert_eq!(described, served);
        assert_eq!(served.len(), OPERATIONS.len(), "no route is listed twice");
    }

    #[test]
    fn operation_ids_are_unique() {
        let document = document();
        let items = document.paths.paths.values();
        let ids: Vec<_> =
            items.flat_map(|item| [&item.get, &item.post]).flatten().map(|it| it.operation_id.clone()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }
}
