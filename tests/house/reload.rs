//! A changed key restarts what it names and nothing else; what is wrong is refused whole, and the old one runs on.

use crate::support::eventually;
use crate::support::office::{Office, Setup};
use mindbot::simulate::openai;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

fn branch(id: &str, base: &str, key: &str) -> String {
    format!(
        "[[providers]]\nid = '{id}'\nkind = 'openai'\n{key}\nbase_url = '{base}'\nmodels = ['stand-in']\n\
         [[assistants]]\nid = '{id}'\nproviders = ['{id}']\n\
         [[routes]]\nassistant = '{id}'\nmatch = {{ keyword = 'echo:{id}' }}\n"
    )
}

fn text(office: &Office) -> String {
    std::fs::read_to_string(office.gateway.config()).unwrap()
}

fn write(office: &Office, text: &str) {
    std::fs::write(office.gateway.config(), text).unwrap();
}

async fn logged(office: &Office, words: &str) {
    let look = || async { office.gateway.log().contains(words).then_some(()) };
    eventually(&format!("the log says `{words}`"), look).await;
}

/// Actors that are not what they were.
fn changed(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<String> {
    // Conversations come and go with their messages.
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    let differ = names.filter(|name| !name.starts_with("conversation/") && before.get(*name) != after.get(*name));
    differ.cloned().collect()
}

async fn until_changed(office: &Office, before: &BTreeMap<String, u64>) -> Vec<String> {
    let look = || async { Some(changed(before, &office.generations().await)).filter(|names| !names.is_empty()) };
    eventually("an actor is started", look).await
}

#[actix_rt::test]
async fn one_changed_key_restarts_one_actor_and_the_rest_keep_their_sockets() {
    let kept = openai::start(openai::Options::default()).unwrap();
    let rest = branch("kept", &kept.base_url(), "api_key = 'sk-kept'")
        + &branch("later", &kept.base_url(), "api_key = '${MINDBOT_TEST_NOT_SET:-}'");
    let office = Office::open(Setup { rest: &rest, ..Setup::default() }).await;
    let log = office.gateway.log();
    assert_eq!(log.matches("provider `later` is off").count(), 1, "one line for what is off: {log}");
    office.ask("a", "echo:model").await;
    office.ask("a", "echo:kept").await;
    let before = office.generations().await;
    let sockets = |model: &openai::Running| model.counters.connections.load(Ordering::Relaxed);
    let (open, tokens) = (sockets(&kept), office.wecom.calls().gettoken);

    // A component.
    let first = text(&office).replacen("models = ['stand-in']", "models = ['fresh']", 1);
    write(&office, &first);
    assert_eq!(until_changed(&office, &before).await, ["provider/model"]);
    // The new one is there a moment before it is the one that is asked.
    logged(&office, "applied a new configuration").await;
    assert_eq!(office.ask("a", "echo:model").await, "model");
    assert_eq!(office.model.prompts().pop().unwrap()["model"], "fresh", "the new value is used");
    assert_eq!(office.ask("a", "echo:kept").await, "kept");
    assert_eq!((sockets(&kept), office.wecom.calls().gettoken), (open, tokens), "the others kept socket and token");

    // A section that is read for every turn.
    let before = office.generations().await;
    write(&office, &first.replace("[pipeline]", "[pipeline]\nmax_input_chars = 40"));
    logged(&office, "\"live\":\"[\\\"pipeline\\\"]\"").await;
    assert!(office.ask("a", &"long ".repeat(20)).await.contains("too long"));
    assert!(changed(&before, &office.generations().await).is_empty(), "nobody is restarted");

    // What was off for want of a credential.
    let second = first.replace("${MINDBOT_TEST_NOT_SET:-}", "sk-later");
    write(&office, &second);
    assert_eq!(until_changed(&office, &before).await, ["provider/later"]);
    assert_eq!(office.ask("a", "echo:later").await, "later");

    // And what leaves.
    let before = office.generations().await;
    let without = second.split_once("[[providers]]\nid = 'later'").unwrap().0;
    write(&office, without);
    assert_eq!(until_changed(&office, &before).await, ["provider/later"]);
    assert_eq!(office.ask("a", "echo:kept").await, "kept");
    assert_eq!((sockets(&kept).min(open + 1), office.wecom.calls().gettoken), (sockets(&kept), tokens));
}

#[actix_rt::test]
async fn what_is_wrong_or_belongs_to_the_process_is_refused_whole() {
    let office = Office::open(Setup::default()).await;
    let before = office.generations().await;
    let good = text(&office);
    let longer = good.replace("[pipeline]", "[pipeline]\nmax_input_chars = 10");
    write(&office, &format!("{longer}\n[[platforms"));
    logged(&office, "the new configuration has errors; the old one runs on").await;
    write(&office, &longer.replace("kind = 'openai'", "kind = 'openal'"));
    logged(&office, "did you mean `openai`").await;
    write(&office, &longer.replace("[server]", "[server]\nmax_body = '2MiB'"));
    logged(&office, "server.max_body can only be changed by a restart of the process").await;
    assert_eq!(office.ask("a", "echo:the old one runs on").await, "the old one runs on");
    assert!(changed(&before, &office.generations().await).is_empty());
    write(&office, &longer);
    logged(&office, "applied a new configuration").await;
    assert!(office.ask("a", "echo:the new one runs").await.contains("too long"));
}

#[actix_rt::test]
async fn a_component_that_cannot_be_made_leaves_the_old_configuration_running() {
    let office = Office::open(Setup::default()).await;
    let good = text(&office);
    let longer = good.replace("[pipeline]", "[pipeline]\nmax_input_chars = 10");
    write(&office, &longer.replace("models = ['stand-in']", "models = ['<<mindbot-panic>>']"));
    logged(&office, "provider/model could not be started").await;
    logged(&office, "the new configuration was not applied; the old one runs on").await;
    assert_eq!(office.ask("a", "echo:the old one runs on").await, "the old one runs on");
    assert_eq!(office.model.prompts().pop().unwrap()["model"], "stand-in");
    write(&office, &longer.replace("models = ['stand-in']", "models = ['fresh']"));
    logged(&office, "applied a new configuration").await;
    assert_eq!(office.ask("a", "echo:new").await, "new");
    assert_eq!(office.model.prompts().pop().unwrap()["model"], "fresh");
}

#[actix_rt::test]
async fn a_hangup_reads_rotated_secrets_that_lie_elsewhere() {
    let keys = tempfile::tempdir().unwrap();
    let file = keys.path().join("rotated.key");
    std::fs::write(&file, "sk-old\n").unwrap();
    let upstream = openai::start(openai::Options { key: Some("sk-new".into()), ..openai::Options::default() }).unwrap();
    let key = format!("api_key_file = '{}'", file.display());
    let office = Office::open(Setup { rest: &branch("rotated", &upstream.base_url(), &key), ..Setup::default() }).await;
    let before = office.generations().await;
    std::fs::write(&file, "sk-new\n").unwrap();
    office.gateway.signal("HUP");
    assert_eq!(until_changed(&office, &before).await, ["provider/rotated"]);
    assert_eq!(office.ask("a", "echo:rotated").await, "rotated", "the new key is the one that is used");
}

#[actix_rt::test]
async fn a_text_is_judged_and_applied_over_rest_and_a_read_only_file_stays_as_it_is() {
    let office = Office::open(Setup::default()).await;
    let good = text(&office);
    let judge = async |toml: &str| office.post_json("/api/v1/config/validate", &json!({ "toml": toml })).await;
    let verdict = judge(&good.replace("kind = 'web'", "kind = 'wep'\ncolour = 1")).await;
    let keys: Vec<_> = verdict["errors"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap()).collect();
    assert_eq!(verdict["valid"], false);
    assert!(keys.contains(&"platforms.web.kind") && keys.contains(&"platforms.web.colour"), "all at once: {verdict}");
    assert!(verdict["errors"].as_array().unwrap().iter().all(|error| error["line"].as_u64() > Some(0)), "{verdict}");

    let fresh = good.replace("models = ['stand-in']", "models = ['fresh']");
    let before = office.generations().await;
    assert_eq!(judge(&fresh).await["plan"]["restart"], json!(["provider/model"]));
    assert_eq!((text(&office), changed(&before, &office.generations().await)), (good.clone(), vec![]), "only judged");
    let refused = judge(&good.replace("[server]", "[server]\nchaos = true")).await;
    assert_eq!(refused["plan"]["refused"], json!(["server.chaos"]));

    let applied: Value = office.post_json("/api/v1/config/apply", &json!({ "toml": fresh })).await;
    assert_eq!((&applied["valid"], &applied["applied"]), (&json!(true), &json!(true)));
    assert_eq!(text(&office), fresh, "the file is the truth");
    assert_eq!(changed(&before, &office.generations().await), ["provider/model"]);
    office.ask("a", "echo:hello").await;
    assert_eq!(office.model.prompts().pop().unwrap()["model"], "fresh");

    let mut permissions = std::fs::metadata(office.gateway.config()).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(office.gateway.config(), permissions).unwrap();
    let client = crate::support::chat::client();
    let request = client.post(office.gateway.url("/api/v1/config/apply")).bearer_auth(crate::support::gateway::KEY);
    let response = request.json(&json!({ "toml": good })).send().await.unwrap();
    assert_eq!(response.status(), 409);
    assert_eq!(text(&office), fresh);
}
