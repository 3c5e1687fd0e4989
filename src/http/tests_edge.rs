//! What every request has to put up with, and what no request can get around.

use super::testing::{ADMIN, Gateway, VIEWER};
use crate::directory::{PlatformEntry, Snapshot};
use crate::domain::{ChatKind, ConversationKey, Inbound, InboundKind, Sender};
use crate::platforms::{Call, Ingress, Opened, Rejection};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;
use std::io::{Read, Write};
use std::sync::Arc;

#[actix_rt::test]
async fn a_wrong_method_hears_which_ones_are_right() {
    let gateway = Gateway::start(str::to_owned).await;
    let table = [
        ("DELETE", "/healthz", "GET"),
        ("PUT", "/hooks/wecom", "GET, POST"),
        ("GET", "/api/v1/chat/web/messages", "POST"),
        ("TRACE", "/chat", "GET"),
        ("PURGE", "/api/v1/config/apply", "POST"),
    ];
    for (method, path, allow) in table {
        let answer = gateway.request(method, path).send().await.unwrap();
        assert_eq!(answer.status(), 405, "{method} {path}");
        assert_eq!(answer.headers()["allow"], allow, "{method} {path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{method} {path}");
    }
    gateway.stop().await;
}

#[actix_rt::test]
async fn a_monitor_may_ask_with_head_and_learns_no_more_than_with_get() {
    let gateway = Gateway::start(str::to_owned).await;
    let table = [
        ("/healthz", 200),
        ("/api/v1/actors", 401),
        ("/api/v1/chat/web/events?conversation=c", 200),
        ("/api/v1/chat/web/messages", 405),
        ("/nowhere", 404),
    ];
    for (path, status) in table {
        let answer = gateway.request("HEAD", path).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert!(answer.headers().contains_key("x-request-id"), "{path}");
        assert_eq!(answer.bytes().await.unwrap().len(), 0, "{path}");
    }
    gateway.stop().await;
}

#[actix_rt::test]
async fn no_spelling_of_a_path_gets_around_its_rule() {
    let gateway = Gateway::start(str::to_owned).await;
    for path in [
        "/api/v1/actors",
        "/%61pi/v1/actors",
        "/api/v1/%61ctors",
        "/api/v1/actors?x=/healthz",
        "/api/v1//actors",
        "/api/v1/actors/",
        "/api/v1/actors;a=b",
        "/API/v1/actors",
        "//api/v1/actors",
        "/healthz/../api/v1/actors",
    ] {
        let answer =
            send_raw(&gateway, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
        let status = answer.split(' ').nth(1).unwrap();
        assert!(matches!(status, "401" | "404"), "{path}: {answer}");
    }
    gateway.stop().await;
}

#[actix_rt::test]
async fn every_answer_carries_an_id_and_careful_headers() {
    let gateway = Gateway::start(|config| {
        config.replace("chaos = true", "public_url = 'https://bot.example.com'\nmax_body = '2KiB'")
    })
    .await;
    let table = [
        ("found", gateway.request("GET", "/healthz"), 200),
        ("not found", gateway.request("GET", "/nothing"), 404),
        ("wrong method", gateway.request("PUT", "/healthz"), 405),
        ("no key", gateway.request("GET", "/api/v1/actors"), 401),
        ("too large", gateway.request("POST", "/hooks/wecom").body("x".repeat(4096)), 413),
    ];
    for (case, request, status) in table {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{case}");
        for (header, expected) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(answer.headers()[header], expected, "{case}");
        }
        assert!(answer.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"), "{case}");
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(id.len(), 32, "{case}");
        if status != 200 {
            assert_eq!(answer.json::<Value>().await.unwrap()["request_id"], id, "{case}: one id for both");
        }
    }
    gateway.stop().await;
}

#[actix_rt::test]
async fn a_body_that_says_it_is_too_large_is_not_waited_for() {
    let gateway = Gateway::start(str::to_owned).await;
    for (case, path) in [("webhook", "/hooks/wecom"), ("before the key is looked at", "/api/v1/config/apply")] {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 99999999\r\n\r\n");
        let answer = send_raw(&gateway, &head);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{case}: {answer}");
    }
    let conflicting =
        "POST /hooks/wecom HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd";
    let answer = send_raw(&gateway, conflicting);
    assert!(answer.starts_with("HTTP/1.1 400 "), "conflicting lengths: {answer}");
    gateway.stop().await;
}

/// Sends bytes as they are and reads until the server closes.
fn send_raw(gateway: &Gateway, bytes: &str) -> String {
    let mut socket = std::net::TcpStream::connect(gateway.address).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    socket.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is the server's way to refuse the rest of a body.
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[actix_rt::test]
async fn what_a_proxy_passes_on_is_not_of_this_machine() {
    let gateway = Gateway::start(str::to_owned).await;
    let say = r#"{"client_id":"1","text":"hello"}"#;
    for (case, path, proxied, expected) in [
        ("metrics here", "/metrics", None, 200),
        ("metrics through a proxy", "/metrics", Some("203.0.113.7"), 401),
        ("docs here", "/docs/", None, 200),
        ("docs through a proxy that names us", "/docs/", Some("127.0.0.1"), 401),
        ("chat here", "/api/v1/chat/web/messages", None, 202),
        ("chat through a proxy", "/api/v1/chat/web/messages", Some("203.0.113.7"), 403),
    ] {
        let request = gateway.request(if path.ends_with("messages") { "POST" } else { "GET" }, path);
        let request = if path.ends_with("messages") {
            request.header("content-type", "application/json").body(say)
        } else {
            request
        };
        let request = if let Some(address) = proxied { request.header("x-forwarded-for", address) } else { request };
        assert_eq!(request.send().await.unwrap().status(), expected, "{case}");
    }
    let rebound = gateway.request("GET", "/metrics").header("host", "evil.example").send().await.unwrap();
    assert_eq!(rebound.status(), 401, "a rebound name");
    gateway.stop().await;
}

#[actix_rt::test]
async fn pages_of_listed_origins_may_call_and_read() {
    let gateway = Gateway::start(str::to_owned).await;
    let preflight = |origin: &'static str| {
        let request = gateway.request("OPTIONS", "/api/v1/config/validate").header("origin", origin);
        request.header("access-control-request-method", "POST").send()
    };
    let listed = preflight("https://intranet.example").await.unwrap();
    assert_eq!(listed.status(), 204);
    assert_eq!(listed.headers()["access-control-allow-origin"], "https://intranet.example");
    assert_eq!(listed.headers()["access-control-allow-methods"], "POST");
    let other = preflight("https://evil.example").await.unwrap();
    assert_eq!((other.status().as_u16(), other.headers().get("access-control-allow-origin")), (405, None));
    let request = gateway.request("POST", "/api/v1/config/validate").bearer_auth(ADMIN);
    let answer = request.header("origin", "https://intranet.example").json(&serde_json::json!({ "toml": "" })).send();
    let answer = answer.await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["vary"].to_str().unwrap()), (200, "origin"));
    gateway.stop().await;
}

#[actix_rt::test]
async fn an_outage_of_the_store_is_never_a_wrong_key() {
    let gateway = Gateway::start(str::to_owned).await;
    gateway.state.store.write(|conn| Ok(conn.execute_batch("DROP TABLE api_keys")?)).await.unwrap();
    let answer = gateway.request("GET", "/api/v1/actors").bearer_auth(VIEWER).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    gateway.stop().await;
}

#[actix_rt::test]
async fn metrics_are_well_formed_and_name_every_queue_and_promise() {
    let gateway = Gateway::start(str::to_owned).await;
    gateway.put_message("done", "unknown").await;
    let answer = gateway.request("GET", "/metrics").send().await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let text = answer.text().await.unwrap();
    let mut families = std::collections::HashSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert!(families.insert(kind.split(' ').next().unwrap().to_owned()), "declared twice: {line}");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap();
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
            assert!(families.contains(name) || families.contains(family), "undeclared: {line}");
        }
    }
    for series in [
        r#"mindbot_queue_depth{queue="inbox"}"#,
        r#"mindbot_queue_bound{queue="inbox"}"#,
        r#"mindbot_queue_refused_total{queue="inbox"}"#,
        r#"mindbot_queue_oldest_seconds{queue="inbox"}"#,
        r#"mindbot_queue_depth{queue="outbox/web"}"#,
        r#"mindbot_queue_oldest_seconds{queue="outbox/wecom"}"#,
        r#"mindbot_queue_bound{queue="turns"}"#,
        r#"mindbot_queue_bound{queue="store"}"#,
        r#"mindbot_queue_depth{queue="event_streams"}"#,
        r#"mindbot_port_capacity{actor="platform/web",port="Deliver"}"#,
        r#"mindbot_port_failures_total{actor="platform/web",port="Deliver",failure="died"}"#,
        r#"mindbot_actor_generation{actor="core/dispatcher"}"#,
        r#"mindbot_promise_violations_total{promise="kept"} 0"#,
        r#"mindbot_promise_violations_total{promise="in_order"} 0"#,
        r#"mindbot_promise_violations_total{promise="told"} 0"#,
        r#"mindbot_promise_violations_total{promise="isolated"} 0"#,
        r#"mindbot_promise_violations_total{promise="secret"}"#,
        r#"mindbot_promise_violations_total{promise="answered_once"} 1"#,
        r#"mindbot_store_bytes{part="database"}"#,
        "process_resident_memory_bytes",
        r#"mindbot_dead_letters{what="part_unknown"} 1"#,
        "mindbot_disk_free_bytes",
        "process_open_fds",
        "process_max_fds",
    ] {
        assert!(text.contains(series), "{series} is missing in\n{text}");
    }
    gateway.stop().await;
}

/// A webhook side with every way to answer, chosen by the first byte.
struct Fake;

impl Ingress for Fake {
    fn open(&self, call: Call<'_>) -> Result<Opened, Rejection> {
        match call.body.first().map_or(0, |byte| byte % 5) {
            0 => Err(Rejection::Malformed("no first byte")),
            1 => Err(Rejection::Forged("a wrong signature")),
            2 => Err(Rejection::Stale(-4000)),
            3 => Ok(Opened { events: Vec::new(), ack: "echo".to_owned() }),
            _ => Ok(Opened { events: vec![event(call.body)], ack: String::new() }),
        }
    }
}

fn event(body: &[u8]) -> Inbound {
    let text = String::from_utf8_lossy(body).into_owned();
    Inbound {
        platform: "web".to_owned(),
        external_id: text.clone(),
        conversation: ConversationKey::new("web", "", ChatKind::Private, &text, ""),
        chat: ChatKind::Private,
        sender: Sender::default(),
        kind: InboundKind::Event,
        parts: Vec::new(),
        text,
        sent_at_ms: 0,
        assistant: None,
        reply_route: Value::Null,
    }
}

#[actix_rt::test]
async fn arbitrary_bytes_on_a_webhook_are_never_our_fault() {
    let gateway = Gateway::start(str::to_owned).await;
    let snapshot = gateway.state.directory.load();
    let mut platforms = snapshot.platforms.clone();
    let web = PlatformEntry { ingress: Some(Arc::new(Fake)), ..platforms["web"].clone() };
    platforms.insert("web".to_owned(), web);
    gateway.state.directory.publish(Snapshot { platforms, ..Snapshot::clone(&snapshot) });
    let mut runner = TestRunner::deterministic();
    let bodies = proptest::collection::vec(proptest::num::u8::ANY, 0..300);
    let queries = "[ -~]{0,60}";
    for _ in 0..100 {
        let body = bodies.new_tree(&mut runner).unwrap().current();
        let query = queries.new_tree(&mut runner).unwrap().current();
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        for path in [format!("/hooks/web?{query}"), format!("/hooks/wecom?msg_signature={query}&timestamp=1&nonce=2")] {
            for method in ["POST", "GET"] {
                let answer = gateway.request(method, &path).body(body.clone()).send().await.unwrap();
                let status = answer.status().as_u16();
                assert!(matches!(status, 200 | 400 | 403), "{method} {path} {body:?}: {status}");
                let is_silent = status != 403 || answer.bytes().await.unwrap().is_empty();
                assert!(is_silent, "a refusal says nothing");
            }
        }
    }
    gateway.stop().await;
}
