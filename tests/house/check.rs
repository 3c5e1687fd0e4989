//! `mindbot check`: what an operator reads before a start.

use mindbot::simulate::{openai, wecom};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn check(folder: &Path, arguments: &[&str]) -> (i32, Value) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_mindbot")).arg("check").args(arguments).current_dir(folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn write(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), config).unwrap();
    folder
}

#[test]
fn the_checked_in_configuration_is_valid_and_short() {
    let config = include_str!("../../config.toml");
    assert!(config.lines().count() <= 40);
    let (code, verdict) = check(write(config).path(), &[]);
    assert_eq!((code, &verdict["valid"]), (0, &Value::Bool(true)), "{verdict}");
}

#[test]
fn without_a_file_the_embedded_defaults_are_checked() {
    let (code, verdict) = check(tempfile::tempdir().unwrap().path(), &[]);
    assert_eq!((code, &verdict["valid"]), (0, &Value::Bool(true)), "{verdict}");
}

#[test]
fn mistakes_come_with_place_key_and_hint() {
    let folder = write("[server]\nbnd = \"x\"\n[[platforms]]\nid = 'web'\nkind = 'wbe'\n");
    let (code, verdict) = check(folder.path(), &[]);
    assert_eq!(code, 2);
    let errors = verdict["errors"].as_array().unwrap();
    let find =
        |key: &str| errors.iter().find(|error| error["key"] == key).unwrap_or_else(|| panic!("{key}: {verdict}"));
    let unknown = find("server.bnd");
    assert_eq!((unknown["line"].as_u64(), unknown["column"].as_u64()), (Some(2), Some(1)));
    assert!(unknown["hint"].as_str().unwrap().contains("bind"));
    assert_eq!(find("platforms.web.kind")["line"], 5);
}

#[actix_rt::test]
async fn online_says_who_answers_and_whose_credentials_are_refused() {
    let model = openai::start(openai::Options { key: Some("sk-right".into()), ..openai::Options::default() }).unwrap();
    let platform = wecom::start(wecom::Options::default()).await.unwrap();
    let config = format!(
        "[[platforms]]
id = 'wecom'
kind = 'wecom'
corp_id = 'ww1'
agent_id = 7
secret = 's'
token = 't'
encoding_aes_key = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG'
api_base = '{}'
[[providers]]
id = 'right'
kind = 'openai'
api_key = 'sk-right'
base_url = '{base}'
models = ['m']
[[providers]]
id = 'wrong'
kind = 'openai'
api_key = 'sk-wrong'
base_url = '{base}'
models = ['m']
[[assistants]]
id = 'a'
providers = ['right', 'wrong']
",
        platform.base(),
        base = model.base_url()
    );
    let folder = write(&config);
    let path = folder.path().to_owned();
    // The stand-in of the platform runs on this thread's system.
    let (code, verdict) = tokio::task::spawn_blocking(move || check(&path, &["--online"])).await.unwrap();
    assert_eq!(code, 1, "{verdict}");
    let online = verdict["online"].as_array().unwrap();
    let ok = |who: &str| online.iter().find(|probed| probed["who"] == who).unwrap()["ok"].as_bool().unwrap();
    assert!(ok("storage") && ok("platform/wecom") && ok("provider/right"), "{verdict}");
    assert!(!ok("provider/wrong"), "{verdict}");
    assert!(!verdict.to_string().contains("sk-wrong"), "a secret is shown");
}
