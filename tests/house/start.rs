//! What the operator reads when the gateway cannot start, and that it starts where it can.

use crate::support::gateway::Launch;
use std::net::TcpListener;

/// A gateway that answers from documents.
pub const LOCAL: &str = "
[[platforms]]
id = 'web'
kind = 'web'
[[providers]]
id = 'guide'
kind = 'local'
[[assistants]]
id = 'helper'
providers = ['guide']
";

/// Starts with this configuration; asserts the exit code, and that the log says all of `words`.
fn refuses(launch: Launch, code: i32, words: &[&str]) {
    let Err((status, log)) = launch.try_start() else { panic!("it started") };
    assert_eq!(status.code(), Some(code), "{log}");
    for word in words {
        assert!(log.contains(word), "`{word}` is not in:\n{log}");
    }
    assert!(!log.contains("panicked") && !log.contains("RUST_BACKTRACE"), "{log}");
}

#[test]
fn every_mistake_in_a_configuration_is_named_at_once_with_its_place() {
    let config = format!("{LOCAL}\n[pipeline]\nturns = 0\nturn_timout = '3s'\n[storage]\nkeep = 'soon'\n");
    refuses(Launch::new(&config), 2, &["config.toml:16:9", "turns", "turn_timeout", "config.toml:19:8", "keep"]);
}

#[test]
fn broken_toml_is_shown_with_its_line() {
    refuses(Launch::new("[[platforms]\nid = 'web'"), 2, &["config.toml:4"]);
}

#[test]
fn a_missing_environment_variable_is_named() {
    let config = format!(
        "{LOCAL}\n[[providers]]\nid = 'gpt'\nkind = 'openai'\nenabled = true\napi_key = '${{NOT_SET_ANYWHERE}}'\n"
    );
    refuses(Launch::new(&config), 2, &["NOT_SET_ANYWHERE", "providers.gpt.api_key"]);
}

#[test]
fn a_port_in_use_is_named_with_the_key_to_change() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    refuses(Launch::new(LOCAL).env("MINDBOT_SERVER__BIND", &bind), 1, &["stage `http`", "server.bind", &bind]);
}

#[test]
fn a_second_process_on_the_same_database_is_refused() {
    let first = Launch::new(LOCAL).start();
    let database = format!("sqlite://{}", first.path().join("data/mindbot.db").display());
    let second = Launch::new(LOCAL).env("MINDBOT_STORAGE__URL", &database);
    refuses(second, 1, &["stage `store`", "another process"]);
}

#[test]
fn a_damaged_database_is_noticed_and_not_served() {
    let gateway = Launch::new(LOCAL).start();
    let database = gateway.path().join("data/mindbot.db");
    let (status, launch) = gateway.stop();
    assert!(status.success());
    let mut bytes = std::fs::read(&database).unwrap();
    for byte in bytes.iter_mut().skip(4096).take(64 * 1024) {
        *byte = 0xA5;
    }
    std::fs::write(&database, bytes).unwrap();
    refuses(launch, 1, &["stage `store`", "damaged"]);
}

#[test]
fn a_file_that_is_no_database_is_noticed() {
    let gateway = Launch::new(LOCAL).start();
    let database = gateway.path().join("data/mindbot.db");
    let launch = gateway.stop().1;
    std::fs::write(&database, "this is a text, and a long one: ".repeat(400)).unwrap();
    refuses(launch, 1, &["stage `store`", "damaged"]);
}
