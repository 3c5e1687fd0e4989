//! Reads what a WeCom application's callback carries, once it is decrypted: XML into an [`Inbound`]. Pure.
//!
//! Sources: developer.work.weixin.qq.com, "接收消息 – 消息格式" and "事件格式" (read November 2026).

use crate::domain::{ChatKind, ConversationKey, Inbound, InboundKind, Part, Sender};
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use serde_json::{Value, json};

/// Elements of one message, and how deep they may nest. WeCom's own have some twenty, four deep.
const MAX_ELEMENTS: usize = 512;
const MAX_DEPTH: usize = 16;

/// The children of the root element that hold text, in the order of the document.
struct Fields(Vec<(String, String)>);

impl Fields {
    /// The text of an element; an empty one counts as absent.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, text)| text.as_str()).filter(|text| !text.is_empty())
    }

    fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    fn maybe(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }
}

/// Which platform a message came in through.
pub(super) struct Origin<'a> {
    /// Id of the platform in the configuration.
    pub platform: &'a str,
    /// The application that stands in the configuration, for callbacks that do not name one.
    pub agent_id: i64,
    /// Unix seconds, for callbacks without a time.
    pub now: i64,
}

/// Why a callback cannot be read although it is genuine. Sent again it would be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreadable(&'static str);

/// Decodes one decrypted callback. `Unreadable` when it is no XML of WeCom's, declares a document type or entities,
/// or is a message from nobody.
pub(super) fn decode(xml: &str, origin: &Origin<'_>) -> Result<Inbound, Unreadable> {
    let fields = fields(xml)?;
    let message_type = fields.get("MsgType").ok_or(Unreadable("the message has no `MsgType`"))?;
    let is_event = message_type == "event";
    let sender = fields.text("FromUserName");
    if sender.is_empty() && !is_event {
        return Err(Unreadable("the message has no `FromUserName`"));
    }
    let agent = fields.maybe("AgentID").unwrap_or_else(|| origin.agent_id.to_string());
    let kind = if is_event { kind_of_event(&fields) } else { InboundKind::Message };
    let (text, parts) = if is_event { (String::new(), Vec::new()) } else { content(message_type, &fields) };
    let sent_at = fields.get("CreateTime").and_then(|seconds| seconds.parse::<i64>().ok()).unwrap_or(origin.now);
    Ok(Inbound {
        platform: origin.platform.to_owned(),
        external_id: external_id(&agent, &sender, message_type, &fields),
        // WeCom tells members apart without regard to case, and so must a conversation.
        conversation: ConversationKey::new(origin.platform, &agent, ChatKind::Private, &sender.to_lowercase(), ""),
        chat: ChatKind::Private,
        kind,
        text: if kind == InboundKind::CardAction { fields.text("EventKey") } else { text },
        parts,
        sent_at_ms: sent_at.saturating_mul(1000),
        assistant: None,
        reply_route: reply_route(&agent, &sender, &fields),
        sender: Sender { id: sender, name: None },
    })
}

fn kind_of_event(fields: &Fields) -> InboundKind {
    let is_press = matches!(fields.get("Event"), Some("click" | "template_card_event" | "template_card_menu_event"));
    if is_press && fields.get("EventKey").is_some() { InboundKind::CardAction } else { InboundKind::Event }
}

/// The person's words, and everything that was sent.
fn content(message_type: &str, fields: &Fields) -> (String, Vec<Part>) {
    let reference = || fields.text("MediaId");
    let part = match message_type {
        "text" => {
            let text = fields.text("Content").trim().to_owned();
            return (text.clone(), vec![Part::Text { text }]);
        }
        "voice" => {
            let transcript = fields.maybe("Recognition");
            let text = transcript.clone().unwrap_or_default().trim().to_owned();
            return (text, vec![Part::Voice { reference: reference(), format: fields.maybe("Format"), transcript }]);
        }
        "image" => Part::Image { reference: reference(), url: fields.maybe("PicUrl") },
        "video" => Part::Video { reference: reference(), thumbnail: fields.maybe("ThumbMediaId") },
        "file" => {
            Part::File { reference: reference(), name: fields.maybe("FileName").or_else(|| fields.maybe("Title")) }
        }
        "location" => location(fields),
        "link" => Part::Link {
            title: fields.text("Title"),
            url: fields.text("Url"),
            description: fields.maybe("Description"),
            image_url: fields.maybe("PicUrl"),
        },
        other => Part::Unsupported { name: other.to_owned() },
    };
    (String::new(), vec![part])
}

fn location(fields: &Fields) -> Part {
    let degrees = |name| fields.get(name).and_then(|text| text.parse::<f64>().ok()).filter(|it| it.is_finite());
    match (degrees("Location_X"), degrees("Location_Y")) {
        (Some(latitude), Some(longitude)) => Part::Location { latitude, longitude, label: fields.maybe("Label") },
        _ => Part::Unsupported { name: "location".into() },
    }
}

/// Messages have an id. Events have none: sender, second and name stand for it, with whatever tells two of the same
/// second apart.
fn external_id(agent: &str, sender: &str, message_type: &str, fields: &Fields) -> String {
    if let Some(id) = fields.get("MsgId") {
        return format!("wecom:{agent}:{id}");
    }
    let (time, event) = (fields.text("CreateTime"), fields.get("Event").unwrap_or(message_type));
    let mut id = format!("wecom:{agent}:{sender}:{time}:{event}");
    for name in ["EventKey", "TaskId", "ChangeType", "OpenKfId", "Token"] {
        if let Some(value) = fields.get(name) {
            id.push(':');
            id.push_str(value);
        }
    }
    id
}

/// Where the answer goes, and what a later answer to a card needs.
fn reply_route(agent: &str, sender: &str, fields: &Fields) -> Value {
    let agent_id = agent.parse::<i64>().map_or_else(|_| agent.into(), Value::from);
    let mut route = json!({ "agent_id": agent_id, "touser": sender });
    let extras = [
        ("event", "Event"),
        ("event_key", "EventKey"),
        ("task_id", "TaskId"),
        ("card_type", "CardType"),
        ("response_code", "ResponseCode"),
        ("open_kfid", "OpenKfId"),
    ];
    for (key, name) in extras {
        if let (Some(value), Some(route)) = (fields.get(name), route.as_object_mut()) {
            route.insert(key.to_owned(), value.into());
        }
    }
    route
}

fn fields(xml: &str) -> Result<Fields, Unreadable> {
    const BROKEN: Unreadable = Unreadable("the message is not well-formed XML");
    let mut reader = Reader::from_str(xml);
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut depth = 0_usize;
    loop {
        // The open field, while we are directly inside one.
        let mut put = |text: &str| {
            if let (2, Some((_, value))) = (depth, fields.last_mut()) {
                value.push_str(text);
            }
        };
        match reader.read_event().map_err(|_| BROKEN)? {
            Event::Start(start) => {
                depth += 1;
                if depth == 2 {
                    fields.push((start.name().0.to_owned(), String::new()));
                }
                if depth > MAX_DEPTH || fields.len() > MAX_ELEMENTS {
                    return Err(Unreadable("the message has too many elements"));
                }
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Text(text) => put(&text),
            Event::CData(literal) => put(&literal),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().map_err(|_| BROKEN)? {
                Some(letter) => put(letter.encode_utf8(&mut [0; 4])),
                None => put(resolve_predefined_entity(&reference).ok_or(BROKEN)?),
            },
            Event::DocType(_) => return Err(Unreadable("document type declarations are refused")),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof if depth == 0 => return Ok(Fields(fields)),
            Event::Eof => return Err(BROKEN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORIGIN: Origin<'static> = Origin { platform: "sales", agent_id: 1_000_002, now: 1_700_000_000 };

    fn vectors() -> Vec<Value> {
        let file = include_str!("../../tests/fixtures/wecom/wecom_app_inbound.json");
        let vectors: Value = serde_json::from_str(file).unwrap();
        vectors["cases"].as_array().unwrap().clone()
    }

    /// A part in the vocabulary of the vectors.
    fn normalised(part: &Part) -> Value {
        let mut value = serde_json::to_value(part).unwrap();
        let part = value.as_object_mut().unwrap();
        part.retain(|_, value| !value.is_null());
        let names = [("reference", "ref"), ("thumbnail", "thumb_ref"), ("latitude", "lat"), ("longitude", "lon")];
        for (ours, theirs) in names {
            if let Some(value) = part.remove(ours) {
                part.insert(theirs.into(), value);
            }
        }
        if part["kind"] == "unsupported" {
            let name = part.remove("name").unwrap();
            part.insert("type".into(), name);
        }
        value
    }

    #[test]
    fn decodes_every_kind_as_documented() {
        let cases = vectors();
        assert!(cases.len() >= 17, "the vectors are all there");
        for case in &cases {
            let name = case["name"].as_str().unwrap();
            let decoded = decode(case["xml"].as_str().unwrap(), &ORIGIN);
            match (case["expect"]["reason"].as_str(), case["expect_content"].as_str()) {
                (_, Some(content)) => assert_eq!(decoded.unwrap().text, content, "{name}"),
                (Some("rejected XML"), _) => assert!(decoded.is_err(), "{name}: {decoded:?}"),
                _ => compare(name, &decoded.unwrap(), &case["expect"]),
            }
        }
    }

    fn compare(name: &str, got: &Inbound, expect: &Value) {
        let kind = match got.kind {
            InboundKind::Message => "message",
            InboundKind::CardAction if got.reply_route["event"] != "click" => "card_action",
            InboundKind::CardAction => "session_event",
            InboundKind::Event => "session_event or ignore",
        };
        assert!(kind.contains(expect["kind"].as_str().unwrap()), "{name}: {kind}");
        assert_eq!(got.reply_route["event"], expect["event"], "{name}");
        for key in ["event_key", "task_id", "card_type", "response_code", "open_kfid"] {
            assert_eq!(got.reply_route[key], expect[key], "{name}: {key}");
        }
        if expect["platform"] == "wecom_kf" {
            return;
        }
        let id = expect["dedupe_key"].as_str().unwrap();
        assert!(got.external_id.starts_with(id), "{name}: {} is not {id}…", got.external_id);
        assert!(!expect["message_id"].is_string() || got.external_id == id, "{name}");
        assert_eq!(got.sender.id, expect["sender"]["id"], "{name}");
        assert_eq!(got.conversation.chat(), expect["chat_id"].as_str().unwrap(), "{name}");
        assert_eq!(got.sent_at_ms, expect["timestamp_ms"], "{name}");
        assert_eq!(got.reply_route["agent_id"], expect["reply"]["agent_id"], "{name}");
        assert_eq!(got.reply_route["touser"], expect["reply"]["touser"], "{name}");
        assert_eq!(got.parts.iter().map(normalised).collect::<Value>(), expect["parts"], "{name}");
        let text = if got.kind == InboundKind::CardAction { &expect["event_key"] } else { &expect["text"] };
        assert_eq!(got.text, text.as_str().unwrap(), "{name}");
    }

    #[test]
    fn two_clicks_in_one_second_stay_apart() {
        let click = |key: &str| {
            let xml = format!(
                "<xml><FromUserName>a</FromUserName><CreateTime>1</CreateTime><MsgType>event</MsgType>\
                 <Event>click</Event><EventKey>{key}</EventKey></xml>"
            );
            decode(&xml, &ORIGIN).unwrap()
        };
        assert_ne!(click("yes").external_id, click("no").external_id);
        assert_eq!(click("yes").external_id, click("yes").external_id);
    }

    #[test]
    fn one_member_has_one_conversation() {
        let from = |user: &str| {
            let xml =
                format!("<xml><FromUserName>{user}</FromUserName><MsgType>text</MsgType><Content>hi</Content></xml>");
            decode(&xml, &ORIGIN).unwrap()
        };
        assert_eq!(from("ZhangSan").conversation, from("zhangsan").conversation);
        assert_eq!(from("ZhangSan").sender.id, "ZhangSan");
    }

    #[test]
    fn refuses_what_is_not_a_message() {
        let deep = "<a>".repeat(MAX_DEPTH + 1);
        let wide = format!("<xml>{}</xml>", "<a>1</a>".repeat(MAX_ELEMENTS + 1));
        let table = [
            ("nothing", ""),
            ("no XML", "hello"),
            ("cut", "<xml><MsgType>text</MsgType>"),
            ("crossed", "<xml><MsgType>text</xml></MsgType>"),
            ("from nobody", "<xml><MsgType>text</MsgType><Content>hi</Content></xml>"),
            ("unknown entity", "<xml><MsgType>text</MsgType><FromUserName>a&b;</FromUserName></xml>"),
            ("external entity", "<!DOCTYPE x SYSTEM 'file:///etc/passwd'><xml><MsgType>text</MsgType></xml>"),
            ("too deep", deep.as_str()),
            ("too wide", wide.as_str()),
        ];
        for (case, xml) in table {
            assert!(decode(xml, &ORIGIN).is_err(), "{case}");
        }
    }

    proptest! {
        #![proptest_config(crate::properties(128))]

        #[test]
        fn any_text_gives_a_value(xml in any::<String>(), content in any::<String>(), kind in "[a-z]{0,8}") {
            drop(decode(&xml, &ORIGIN));
            let xml = format!("<xml><MsgType>{kind}</MsgType><FromUserName>a</FromUserName><Content>{content}</Content></xml>");
            drop(decode(&xml, &ORIGIN));
        }

        #[test]
        fn literal_text_arrives_unchanged(text in "[^\\]\r\0]{1,40}") {
            let xml = format!(
                "<xml><FromUserName>a</FromUserName><MsgType>text</MsgType><Content><![CDATA[{text}]]></Content></xml>"
            );
            prop_assert_eq!(decode(&xml, &ORIGIN).unwrap().text, text.trim());
        }
    }
}
