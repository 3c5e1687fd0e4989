//! Which assistant answers: the one that is asked for by name; else that of the first rule that matches, greatest
//! priority first; without one, the first assistant.

use super::{Flow, Turn};
use crate::config::{Route, RouteMatch};
use crate::domain::{ChatKind, Mark};
use crate::store::inbox::Row;
use serde_json::json;

pub fn run(turn: &mut Turn) -> Flow {
    let chosen = choose(&turn.config.routes, &turn.claim.head, &turn.question);
    let (rule, assistant) = match chosen {
        _ if turn.claim.head.assistant.is_some() => ("asked for by name".into(), turn.claim.head.assistant.clone()),
        Some((number, route)) => (format!("routes[{number}]"), Some(route.assistant.clone())),
        None => ("no rule matched: the first assistant".into(), None),
    };
    let assistants = &turn.config.assistants;
    let found = match &assistant {
        Some(id) => assistants.iter().find(|assistant| assistant.id == *id),
        None => assistants.first(),
    };
    let Some(found) = found.cloned() else {
        let reply = turn.say(&turn.config.pipeline.replies.failed, Mark::Failed);
        turn.note("routed", json!({ "rule": rule, "problem": "the configuration has no such assistant" }));
        return Flow::Answer(reply);
    };
    turn.note("routed", json!({ "rule": rule, "assistant": found.id }));
    turn.assistant = Some(found);
    Flow::Next
}

/// The route that answers this message, with its number in the file from 0.
fn choose<'a>(routes: &'a [Route], row: &Row, question: &str) -> Option<(usize, &'a Route)> {
    let matching = routes.iter().enumerate().filter(|(_, route)| matches(&route.matches, row, question));
    // Among equals the first in the file wins: compare reversed positions.
    matching.max_by_key(|(number, route)| (route.priority, std::cmp::Reverse(*number)))
}

fn matches(rule: &RouteMatch, row: &Row, question: &str) -> bool {
    let chat = if row.is_group { ChatKind::Group } else { ChatKind::Private };
    rule.platform.as_ref().is_none_or(|platform| *platform == row.platform)
        && rule.chat.is_none_or(|wanted| wanted == chat)
        && rule.user.as_ref().is_none_or(|user| user.to_lowercase() == row.sender.to_lowercase())
        && rule
            .keyword
            .as_ref()
            .is_none_or(|word| question.trim_start().to_lowercase().starts_with(&word.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{InboundKind, Lane};

    fn row(platform: &str, sender: &str, is_group: bool) -> Row {
        Row {
            id: 1,
            platform: platform.into(),
            conversation: "c".into(),
            lane: Lane::Normal,
            is_group,
            kind: InboundKind::Message,
            sender: sender.into(),
            sender_name: None,
            text: String::new(),
            parts: [].into(),
            reply_route: "null".into(),
            sent_at: 0,
            received_at: 0,
            attempt: 1,
            strikes: 0,
            noticed: false,
            assistant: None,
        }
    }

    fn route(matches: RouteMatch, assistant: &str, priority: i64) -> Route {
        Route { matches, assistant: assistant.into(), priority }
    }

    #[test]
    fn the_first_match_by_priority_answers() {
        let any = RouteMatch::default;
        let routes = [
            route(RouteMatch { platform: Some("wecom".into()), ..any() }, "platform", 0),
            route(RouteMatch { user: Some("ZhangSan".into()), ..any() }, "user", 5),
            route(RouteMatch { keyword: Some("报销".into()), ..any() }, "keyword", 5),
            route(RouteMatch { chat: Some(ChatKind::Group), ..any() }, "group", 1),
        ];
        let table = [
            ("nothing matches", row("web", "x", false), "hello", None),
            ("platform", row("wecom", "x", false), "hello", Some("platform")),
            ("priority beats order", row("wecom", "zhangsan", false), "hello", Some("user")),
            ("order among equals", row("wecom", "zhangsan", false), "报销流程", Some("user")),
            ("keyword begins the text", row("web", "x", false), "  报销流程", Some("keyword")),
            ("keyword inside the text is no match", row("web", "x", false), "我要报销", None),
            ("group", row("web", "x", true), "hi", Some("group")),
        ];
        for (case, row, question, expected) in table {
            let found = choose(&routes, &row, question).map(|(_, route)| route.assistant.as_str());
            assert_eq!(found, expected, "{case}");
        }
    }
}
