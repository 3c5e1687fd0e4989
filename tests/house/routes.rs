//! The assistant that a message is meant for answers it, and the trace names the rule.

use crate::support::chat::Chat;
use crate::support::office::{Office, Setup, details};

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
