//! The assistant that a message is meant for answers it, and the trace names the rule.

use crate::support::chat::{Chat, client, in_terminal};
use crate::support::office::{Office, Setup, details};
use serde_json::{Value, json};

const RULES: &str = "
[[assistants]]
id = 'travel'
system_prompt = 'You know about travel.'
providers = ['model']
[[assistants]]
id = 'boss'
system_prompt = 'You serve the boss.'
providers = ['model']
[[assistants]]
id = 'page'
system_prompt = 'You serve the page.'
providers = ['model']
[[assistants]]
id = 'groups'
providers = ['model']
[[routes]]
match = { platform = 'web' }
assistant = 'page'
[[routes]]
match = { platform = 'wecom', keyword = '报销' }
assistant = 'travel'
[[routes]]
match = { user = 'Boss' }
assistant = 'boss'
priority = 10
[[routes]]
match = { chat = 'group' }
assistant = 'groups'
priority = 99
[[routes]]
match = { chat = 'private', user = 'lisi', keyword = 'travel' }
assistant = 'travel'
";

#[actix_rt::test]
async fn the_first_rule_by_priority_decides_and_the_trace_names_it() {
    let office = Office::open(Setup { rest: RULES, ..Setup::default() }).await;
    let table = [
        ("nobody", "echo:hello", "no rule matched: the first assistant", "helper"),
        ("a-keyword", "报销流程是什么", "routes[1]", "travel"),
        ("inside", "我要报销", "no rule matched: the first assistant", "helper"),
        ("boss", "报销 whatever I want", "routes[2]", "boss"),
        ("lisi", "Travel to Beijing", "routes[4]", "travel"),
        ("somebody", "travel to Beijing", "no rule matched: the first assistant", "helper"),
    ];
    for (user, text, rule, assistant) in table {
        office.ask(user, text).await;
        let message = office.message(user).await;
        let routed = details(&message, "routed").next().unwrap();
        assert_eq!((routed["rule"].as_str(), routed["assistant"].as_str()), (Some(rule), Some(assistant)), "{user}");
    }
    Chat::of(&office.gateway).ask("visitor", "报销").await;
    let routed = details(&office.message("visitor").await, "routed").next().unwrap().clone();
    assert_eq!((routed["rule"].as_str(), routed["assistant"].as_str()), (Some("routes[0]"), Some("page")));
    let prompt = office.model.prompts().pop().unwrap();
    assert_eq!(prompt["messages"][0]["content"], "You serve the page.", "the assistant's own words begin the prompt");
}

#[actix_rt::test]
async fn an_assistant_that_is_asked_for_by_name_answers_past_the_rules_but_not_to_strangers() {
    let open = "[[platforms]]\nid = 'open'\nkind = 'web'\naccess = 'anyone'\n";
    let office = Office::open(Setup { rest: &format!("{RULES}{open}"), ..Setup::default() }).await;
    let say = |platform: &str, assistant: &str| {
        let body =
            json!({ "conversation": assistant, "client_id": assistant, "text": "echo:hi", "assistant": assistant });
        let url = office.gateway.url(&format!("/api/v1/chat/{platform}/messages"));
        async move { client().post(url).json(&body).send().await.unwrap() }
    };
    assert_eq!(say("web", "travel").await.status(), 202);
    let message = office.message_after("travel", "answered").await;
    let routed = details(&message, "routed").next().unwrap();
    assert_eq!((&routed["rule"], &routed["assistant"]), (&json!("asked for by name"), &json!("travel")));
    for (platform, assistant, status, words) in
        [("web", "nobody", 400, "id of an assistant"), ("open", "boss", 403, "routes decide")]
    {
        let refused = say(platform, assistant).await;
        assert_eq!(refused.status(), status, "{assistant}");
        let problem: Value = refused.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    }
    let terminal = in_terminal(&["--url", &office.gateway.url(""), "--assistant", "boss"], "echo:from the terminal\n");
    let output = actix_rt::task::spawn_blocking(|| terminal.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "from the terminal", "{output:?}");
    let prompt = office.model.prompts().pop().unwrap();
    assert_eq!(prompt["messages"][0]["content"], "You serve the boss.");
}
