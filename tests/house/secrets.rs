//! Forty secrets go through start, errors, panics, reloads and the most talkative log, and appear nowhere.

use crate::support::chat::{Chat, client};
use crate::support::eventually;
use crate::support::gateway::{KEY, Launch};
use crate::support::office::{AES_KEY, Office, Setup, TOKEN, now};
use mindbot::simulate::openai::{self, Fault, Rule};
use mindbot::simulate::wecom::{On, Script, Scripted};
use std::sync::atomic::Ordering;

/// Secrets of the configuration: `(name, value)`.
fn canaries(count: usize) -> Vec<(String, String)> {
    (0..count).map(|number| (format!("CANARY_{number}"), format!("canary-{number}-c0ffee{number:04}"))).collect()
}

fn provider(id: &str, base: &str, key: &str) -> String {
    format!("[[providers]]\nid = '{id}'\nkind = 'openai'\nbase_url = '{base}'\nmodels = ['m']\n{key}\n")
}

#[actix_rt::test]
async fn no_secret_and_no_message_appears_in_log_metrics_or_api() {
    let upstream = openai::start(openai::Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let secrets = canaries(20);
    // Written down, from the environment, from files: each way a key can come.
    let mut rest = "[telemetry]\nlog_level = 'debug'\nlog_format = 'json'\n".to_owned();
    for (number, (name, value)) in secrets.iter().enumerate() {
        let key = match number % 3 {
            0 => format!("api_key = '{value}'"),
            1 => format!("api_key = '${{{name}}}'"),
            _ => {
                let file = folder.path().join(name);
                std::fs::write(&file, value).unwrap();
                format!("api_key_file = '{}'", file.display())
            }
        };
        rest += &provider(&format!("p{number}"), &upstream.base_url(), &key);
    }
    rest += "[[platforms]]\nid = 'guarded'\nkind = 'web'\naccess = 'token'\naccess_token = 'canary-access-token'\n";
    rest += "[[assistants]]\nid = 'leaky'\nproviders = ['p0']\n[[routes]]\nassistant = 'leaky'\nmatch = { keyword = 'leak' }\n";
    let setup = Setup {
        server: "chaos = true",
        pipeline: "notice_after = '500ms'\ngive_up_after = '2s'",
        rest: &rest,
        ..Setup::default()
    };
    let office = Office::open_with(setup, &secrets).await;
    let texts: Vec<String> = (0..12).map(|number| format!("canary-text-{number}-tell-nobody")).collect();

    // Upstreams that quote keys back to us.
    let quote = Fault::Status {
        status: 401,
        code: None,
        message: Some(format!("Incorrect API key provided: {}", secrets[0].1)),
        retry_after: None,
    };
    let rule = |word: &str, fault| Rule { contains: Some(word.into()), ..Rule::always(fault) };
    upstream.set_script(vec![rule("leak", quote)]);
    let told = Scripted { errcode: 40003, errmsg: Some("bad secret office-secret".into()), ..Scripted::default() };
    let refuse = mindbot::simulate::wecom::Rule {
        on: On::Send,
        user: Some("gone".into()),
        nth: None,
        times: None,
        answer: told,
    };
    office.wecom.follow(Script { rules: vec![refuse], ..Script::default() });

    office.write("leak", &format!("leak {}", texts[0])).await;
    office.ask("fine", &format!("echo:{}", texts[1])).await;
    office.write("gone", &format!("echo:{}", texts[2])).await;
    office.message_after("gone", "dead").await;
    office.replies("leak", 2).await;
    // A panic in the parsing path, and one of an actor.
    office.write("panic", &format!("echo:{} <<mindbot-panic>>", texts[3])).await;
    office.message_after("panic", "claimed").await;
    office.post_json("/api/v1/actors/provider/p1/fault", &serde_json::json!({ "kind": "panic" })).await;
    // Callbacks that are refused, requests that are wrong, keys that are not ours.
    let mut forged = office.callback("forger", &texts[4]).seal(now()).unwrap();
    forged.0 = forged.0.replace("msg_signature=", "msg_signature=0");
    assert_eq!(office.deliver(forged).await.status(), 403);
    let chat = Chat::of(&office.gateway);
    chat.ask("c", &texts[5]).await;
    assert_eq!(chat.post("not a conversation", "1", &texts[6]).await.status(), 400);
    let wrong = client().get(office.gateway.url("/api/v1/actors")).bearer_auth("canary-wrong-key").send().await;
    assert_eq!(wrong.unwrap().status(), 401);
    let asked = client().get(office.gateway.url("/api/v1/chat/guarded/events?conversation=c"));
    let guarded = asked.bearer_auth("canary-access-token").send().await.unwrap();
    assert_eq!(guarded.status(), 200);
    drop(guarded);

    // Reloads: one that works, one that is wrong, one with a secret where none belongs.
    let file = office.gateway.config();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&secrets[0].1, "canary-rotated-key")).unwrap();
    let applied = || async { office.gateway.log().contains("applied a new configuration").then_some(()) };
    eventually("the reload is logged", applied).await;
    std::fs::write(
        &file,
        format!("{text}\n[[providers]]\nid = 'x'\nkind = 'openai'\napi_key = ['canary-in-a-list']\n"),
    )
    .unwrap();
    let refused = || async { office.gateway.log().contains("the old one runs on").then_some(()) };
    eventually("the wrong file is logged", refused).await;
    std::fs::write(&file, &text).unwrap();

    let mut places = vec![("log".to_owned(), String::new())];
    for path in [
        "/readyz",
        "/metrics",
        "/api/v1/actors",
        "/api/v1/messages?limit=200",
        "/api/v1/dead-letters",
        "/api/v1/config",
        "/api/v1/openapi.json",
    ] {
        let (status, body) = office.look(path).await;
        assert_eq!(status, 200, "{path}");
        places.push((path.to_owned(), body));
    }
    // What went wrong may be told, but not in the words of a key: the traces as well.
    for user in ["leak", "gone", "panic", "fine"] {
        let mut message = office.messages(user).await.remove(0);
        message["text"].take();
        message["replies"].take();
        places.push((format!("trace of {user}"), message.to_string()));
    }
    assert!(upstream.counters.requests.load(Ordering::Relaxed) > 0);
    places[0].1 = office.gateway.log();
    assert!(places[0].1.contains("DEBUG"), "the log is talkative");

    let mut all: Vec<String> = secrets.into_iter().map(|(_, value)| value).chain(texts).collect();
    let more = [KEY, TOKEN, AES_KEY, "office-secret", "sk-office", "canary-access-token", "canary-wrong-key"];
    all.extend(more.into_iter().chain(["canary-rotated-key", "canary-in-a-list", "stand-in-1"]).map(str::to_owned));
    assert!(all.len() >= 40);
    for canary in &all {
        for (place, content) in &places {
            let at = content.find(canary.as_str());
            let around = at.map(|at| content.get(at.saturating_sub(300)..at + 100));
            assert!(at.is_none(), "`{canary}` is in {place}: {around:?}");
        }
    }
    assert!(places[2].1.contains(&broken(0)), "nothing had to be taken out: {}", places[2].1);

    // What a person writes is anything, a secret too; nobody else reads it.
    office.ask("careless", "echo:my key is office-secret").await;
    let message = office.messages("careless").await.remove(0);
    assert_eq!(message["text"], "echo:my key is ***");
    let (_, metrics) = office.look("/metrics").await;
    assert!(!metrics.contains(&broken(0)), "{metrics}");
}

/// The line of the promise that secrets are kept.
fn broken(times: u64) -> String {
    format!("mindbot_promise_violations_total{{promise=\"secret\"}} {times}\n")
}

#[test]
fn a_configuration_that_is_wrong_is_shown_without_its_secrets() {
    let config = "[[providers]]\nid = 'p'\nkind = 'openai'\napi_key = 'canary one'\nmodels = []\nconcurrency = 'canary-3'\n\
                  [[platforms]]\nid = 'w'\nkind = 'wecom'\nencoding_aes_key = 'canary-two'\nsecret = 5\n";
    let Err((status, log)) = Launch::new(config).try_start() else { panic!("it started") };
    assert_eq!(status.code(), Some(2), "{log}");
    for canary in ["canary one", "canary-two"] {
        assert!(!log.contains(canary), "{log}");
    }
}
