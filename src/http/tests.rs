//! Every operation of the OpenAPI document: who is let through, and whether each answer is what the document says.

use super::auth::{Access, Role};
use super::openapi;
use super::routes::{OPERATIONS, Operation};
use super::testing::{ADMIN, CONFIG, Gateway, OPERATOR, VIEWER};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

fn key_of(role: Role) -> &'static str {
    match role {
        Role::Viewer => VIEWER,
        Role::Operator => OPERATOR,
        Role::Admin => ADMIN,
    }
}

/// Operations of the document, `(method, path)`.
fn described() -> Vec<(String, String)> {
    let document = serde_json::to_value(openapi::document()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let of = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        methods.map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    };
    paths.flat_map(of).collect()
}

fn rule_of(method: &str, path: &str) -> &'static Operation {
    let found = OPERATIONS.iter().find(|rule| rule.method.as_str() == method && rule.path() == path);
    found.unwrap_or_else(|| panic!("{method} {path} has no rule"))
}

/// A request to an operation that a person could have made, without a key.
fn call(gateway: &Gateway, method: &str, path: &str, message: i64) -> RequestBuilder {
    let file = if path.starts_with("/docs") { "index.html" } else { "app.js" };
    let filled = path
        .replace("{platform}", "web")
        .replace("{path}", "platform/web")
        .replace("{id}", &message.to_string())
        .replace("{file}", file);
    let query = if path.ends_with("/events") { "?conversation=c1" } else { "" };
    let request = gateway.request(method, &format!("{filled}{query}"));
    match path {
        "/api/v1/chat/{platform}/messages" => {
            request.json(&json!({ "conversation": "c1", "client_id": "1", "text": "hello" }))
        }
        "/api/v1/actors/{path}/fault" => request.json(&json!({ "kind": "stop" })),
        "/api/v1/config/validate" | "/api/v1/config/apply" => request.json(&json!({ "toml": CONFIG })),
        _ => request,
    }
}

#[actix_rt::test]
async fn every_operation_has_a_rule_and_keeps_it() {
    let gateway = Gateway::start(str::to_owned).await;
    let message = gateway.put_message("dead", "unknown").await;
    for (number, (method, path)) in described().into_iter().enumerate() {
        let rule = rule_of(&method, &path);
        // Each operation is called from an address of its own, through a trusted proxy.
        let from = format!("198.51.100.{number}");
        let ask = |key: Option<&str>| {
            let request = call(&gateway, &method, &path, message).header("x-forwarded-for", &from);
            let request = if let Some(key) = key { request.bearer_auth(key) } else { request };
            async move { request.send().await.unwrap().status().as_u16() }
        };
        let (without, wrong) = (ask(None).await, ask(Some("not-a-key-of-ours")).await);
        let (Access::Key(role) | Access::LocalOr(role)) = rule.access else {
            assert!(without != 401 && wrong != 401, "{method} {path} admits everybody: {without}, {wrong}");
            continue;
        };
        assert_eq!((without, wrong), (401, 401), "{method} {path}");
        for smaller in [Role::Viewer, Role::Operator].into_iter().filter(|smaller| *smaller < role) {
            assert_eq!(ask(Some(key_of(smaller))).await, 403, "{method} {path} as {smaller:?}");
        }
        let status = ask(Some(key_of(role))).await;
        assert!(!matches!(status, 401 | 403 | 429 | 500), "{method} {path} as {role:?}: {status}");
    }
    gateway.stop().await;
}

#[actix_rt::test]
async fn every_answer_is_what_the_document_declares() {
    let gateway = Gateway::start(str::to_owned).await;
    let document = serde_json::to_value(openapi::document()).unwrap();
    for (method, path) in described() {
        let message = gateway.put_message("dead", "unknown").await;
        let response = call(&gateway, &method, &path, message).bearer_auth(ADMIN).send().await.unwrap();
        let wanted = if path == "/assets/{file}" { 404..=404 } else { 200..=399 };
        let wanted = if path == "/hooks/{platform}" { 404..=404 } else { wanted };
        assert!(wanted.contains(&response.status().as_u16()), "{method} {path}: {}", response.status());
        check(&document, &method, &path, response).await;
    }
    gateway.stop().await;
}

#[actix_rt::test]
async fn problems_are_declared_as_well() {
    let gateway = Gateway::start(str::to_owned).await;
    let document = serde_json::to_value(openapi::document()).unwrap();
    let answered = gateway.put_message("done", "sent").await;
    let fault = json!({ "kind": "panic" });
    let get = |path: &str| gateway.request("GET", path).bearer_auth(ADMIN);
    let post = |path: &str| gateway.request("POST", path).bearer_auth(ADMIN);
    let toml = |text: &str| json!({ "toml": text });
    let table = [
        ("no key", "/api/v1/actors", gateway.request("GET", "/api/v1/actors"), 401),
        ("unknown query key", "/api/v1/messages", get("/api/v1/messages?platfrom=web"), 400),
        ("unknown state", "/api/v1/messages", get("/api/v1/messages?state=lost"), 400),
        ("no time", "/api/v1/messages", get("/api/v1/messages?since=yesterday"), 400),
        ("limit too small", "/api/v1/messages", get("/api/v1/messages?limit=0"), 400),
        ("limit too large", "/api/v1/dead-letters", get("/api/v1/dead-letters?limit=201"), 400),
        ("no cursor of ours", "/api/v1/dead-letters", get("/api/v1/dead-letters?cursor=x"), 400),
        ("no such message", "/api/v1/messages/{id}", get("/api/v1/messages/999"), 404),
        ("not a message", "/api/v1/messages/{id}", get("/api/v1/messages/x"), 404),
        ("nothing to try", "/api/v1/messages/{id}/retry", post(&format!("/api/v1/messages/{answered}/retry")), 409),
        ("nothing to retry", "/api/v1/messages/{id}/retry", post("/api/v1/messages/999/retry"), 404),
        (
            "no dead letter",
            "/api/v1/dead-letters/{id}/redrive",
            post(&format!("/api/v1/dead-letters/{answered}/redrive")),
            404,
        ),
        ("no such actor", "/api/v1/actors/{path}/restart", post("/api/v1/actors/provider/none/restart"), 404),
        ("the root", "/api/v1/actors/{path}/restart", post("/api/v1/actors/root/restart"), 409),
        ("no such actor to hurt", "/api/v1/actors/{path}/fault", post("/api/v1/actors/core/x/fault").json(&fault), 404),
        (
            "unknown fault",
            "/api/v1/actors/{path}/fault",
            post("/api/v1/actors/platform/web/fault").json(&json!({ "kind": "explode" })),
            400,
        ),
        (
            "unknown field",
            "/api/v1/config/validate",
            post("/api/v1/config/validate").json(&json!({ "toml": "", "force": true })),
            400,
        ),
        (
            "no body",
            "/api/v1/config/apply",
            post("/api/v1/config/apply").header("content-type", "application/json"),
            400,
        ),
        (
            "not JSON",
            "/api/v1/config/apply",
            post("/api/v1/config/apply").header("content-type", "text/plain").body(toml("").to_string()),
            415,
        ),
        (
            "another page",
            "/api/v1/config/apply",
            post("/api/v1/config/apply").header("origin", "https://evil.example").json(&toml("")),
            403,
        ),
    ];
    for (case, path, request, expected) in table {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let method = request.method().to_string();
        let response = client.execute(request).await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{case}");
        check(&document, &method, path, response).await;
    }
    gateway.stop().await;
}

/// Compares an answer with what the document declares for its status, or for any other.
async fn check(document: &Value, method: &str, path: &str, response: Response) {
    let operation = &document["paths"][path][method.to_lowercase()];
    let case = format!("{method} {path}: {}", response.status());
    let responses = operation["responses"].as_object().unwrap();
    let declared = responses.get(response.status().as_str()).or_else(|| responses.get("default"));
    let declared = declared.unwrap_or_else(|| panic!("{case} is not declared"));
    let mime = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let mime = mime.as_deref().map(|value| value.split(';').next().unwrap().trim());
    let Some(contents) = declared["content"].as_object() else {
        assert_eq!(response.bytes().await.unwrap().len(), 0, "{case}: a body that is not declared");
        return;
    };
    let content =
        mime.and_then(|mime| contents.get(mime)).unwrap_or_else(|| panic!("{case}: {mime:?} is not declared"));
    if !mime.is_some_and(|mime| mime.ends_with("json")) {
        return;
    }
    let body: Value = response.json().await.unwrap();
    let schema = json!({ "allOf": [content["schema"]], "components": document["components"] });
    let validator = jsonschema::options().build(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{case}: {errors:?} in {body}");
}

#[actix_rt::test]
async fn the_tree_shows_every_actor_and_a_restart_changes_one_generation() {
    let gateway = Gateway::start(str::to_owned).await;
    let tree = async || {
        let answer = gateway.request("GET", "/api/v1/actors").bearer_auth(VIEWER).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["items"].as_array().unwrap().clone()
    };
    let generation = |tree: &[Value], path: &str| {
        tree.iter().find(|actor| actor["path"] == path).map(|actor| actor["generation"].as_u64().unwrap()).unwrap()
    };
    let before = tree().await;
    for path in ["root", "supervisor/platforms", "core/dispatcher", "core/pump", "core/manager", "core/reloader"] {
        assert_eq!(generation(&before, path), 1, "{path}");
    }
    let web = before.iter().find(|actor| actor["path"] == "platform/web").unwrap();
    assert_eq!((web["parent"].as_str(), web["state"].as_str()), (Some("supervisor/platforms"), Some("running")));
    assert_eq!(web["capacity"], 64 + 256, "over both ports");
    let restart = gateway.request("POST", "/api/v1/actors/platform/web/restart").bearer_auth(OPERATOR).send().await;
    assert_eq!(restart.unwrap().status(), 200);
    let after = tree().await;
    for actor in &before {
        let path = actor["path"].as_str().unwrap();
        let expected = actor["generation"].as_u64().unwrap() + u64::from(path == "platform/web");
        assert_eq!(generation(&after, path), expected, "{path}");
    }
    gateway.stop().await;
}

#[actix_rt::test]
async fn faults_need_the_switch() {
    let gateway = Gateway::start(|config| config.replace("chaos = true", "chaos = false")).await;
    let fault = gateway.request("POST", "/api/v1/actors/platform/web/fault").bearer_auth(ADMIN);
    assert_eq!(fault.json(&json!({ "kind": "panic" })).send().await.unwrap().status(), 403);
    gateway.stop().await;
}

#[actix_rt::test]
async fn lists_show_no_content_and_one_message_shows_all() {
    let gateway = Gateway::start(str::to_owned).await;
    let ids = [gateway.put_message("dead", "sent").await, gateway.put_message("done", "unknown").await];
    let get = async |path: String| {
        let answer = gateway.request("GET", &path).bearer_auth(OPERATOR).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    for list in ["/api/v1/messages?q=CONTENT&platform=web&since=1970-01-01T00:00:00Z", "/api/v1/dead-letters?"] {
        let first = get(format!("{list}&limit=1")).await;
        assert_eq!(first["items"][0]["id"], ids[1].to_string(), "newest first");
        let second = get(format!("{list}&limit=1&cursor={}", first["next"].as_str().unwrap())).await;
        assert_eq!(
            (second["items"][0]["id"].as_str(), &second["next"]),
            (Some(ids[0].to_string().as_str()), &Value::Null)
        );
        assert!(!format!("{first}{second}").contains("the content"), "{list}");
    }
    let whole = get(format!("/api/v1/messages/{}", ids[1])).await;
    assert_eq!((&whole["text"], &whole["replies"][0]["text"]), (&json!("the content"), &json!("the answer")));
    assert_eq!(whole["replies"][0]["state"], "unknown");
    let received = whole["received_at"].as_str().unwrap();
    let is_time = received.len() == "1970-01-01T00:00:00.000Z".len() && received.ends_with('Z');
    assert!(is_time && received.parse::<jiff::Timestamp>().is_ok(), "{received}");
    let retry = gateway.request("POST", &format!("/api/v1/messages/{}/retry", ids[1])).bearer_auth(OPERATOR);
    assert_eq!(retry.send().await.unwrap().json::<Value>().await.unwrap()["retried"], "replies");
    gateway.stop().await;
}

#[actix_rt::test]
async fn a_configuration_is_shown_masked_judged_and_applied() {
    let gateway = Gateway::start(str::to_owned).await;
    let post = async |what: &str, toml: &str| {
        let request = gateway.request("POST", &format!("/api/v1/config/{what}")).bearer_auth(ADMIN);
        request.json(&json!({ "toml": toml })).send().await.unwrap()
    };
    let shown = gateway.request("GET", "/api/v1/config").bearer_auth(OPERATOR).send().await.unwrap();
    let shown = shown.text().await.unwrap();
    assert!(shown.contains("corp_id") && !shown.contains("the secret of the application"));

    let broken = post("apply", "[server]\nbnd = 1\n").await.json::<Value>().await.unwrap();
    assert_eq!((&broken["valid"], &broken["applied"]), (&json!(false), &json!(false)));
    assert_eq!((&broken["errors"][0]["line"], &broken["errors"][0]["key"]), (&json!(2), &json!("server.bnd")));

    let moved = CONFIG.replace("127.0.0.1:0", "127.0.0.1:9999");
    let refused = post("apply", &moved).await.json::<Value>().await.unwrap();
    assert_eq!((&refused["valid"], &refused["applied"]), (&json!(true), &json!(false)));
    assert_eq!(refused["plan"]["refused"], json!(["server.bind"]));

    let changed = format!("{CONFIG}\n[pipeline]\nturns = 7\n");
    let judged = post("validate", &changed).await.json::<Value>().await.unwrap();
    assert_eq!((&judged["valid"], &judged["plan"]["live"]), (&json!(true), &json!(["pipeline"])));
    assert_eq!(gateway.state.directory.load().config.pipeline.turns, 1024, "judging changes nothing");
    let applied = post("apply", &changed).await.json::<Value>().await.unwrap();
    assert_eq!(applied["applied"], true);
    assert_eq!(gateway.state.directory.load().config.pipeline.turns, 7);
    assert_eq!(std::fs::read_to_string(&gateway.config_file).unwrap(), changed, "the file is the truth");

    let mut permissions = std::fs::metadata(&gateway.config_file).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&gateway.config_file, permissions).unwrap();
    assert_eq!(post("apply", CONFIG).await.status(), 409, "a read-only file");
    assert_eq!(gateway.state.directory.load().config.pipeline.turns, 7);
    gateway.stop().await;
}
