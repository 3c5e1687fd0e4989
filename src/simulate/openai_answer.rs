//! The answers of the OpenAI stand-in: what it says, the shape it says it in, and the ways in which that goes wrong.

use super::openai_script::Fault;
use actix_web::web::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

const SLOW_WORD: Duration = Duration::from_millis(100);
const MOST_WORDS: u32 = 10_000;
/// Gives the server time to send what it has before the connection is cut.
const FLUSH: Duration = Duration::from_millis(5);
pub const FOREVER: Duration = Duration::from_secs(24 * 3600);

/// The part of a request that decides the answer.
#[derive(Deserialize)]
pub struct Ask {
    model: String,
    pub messages: Vec<Value>,
    #[serde(default)]
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
pub struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

impl Ask {
    /// The text of the last message of the user.
    pub fn question(&self) -> String {
        let is_users = |message: &&Value| message.get("role").and_then(Value::as_str) == Some("user");
        self.messages.iter().rfind(is_users).map(|message| text_of(message.get("content"))).unwrap_or_default()
    }
}

/// The text of a message, whose content is a string, a list of parts, or null.
fn text_of(content: Option<&Value>) -> String {
    let part_text = |part| Value::get(part, "text").and_then(Value::as_str);
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(part_text).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

/// One step of an answer.
pub enum Step {
    Wait(Duration),
    Send(Bytes),
    /// Closes the connection in the middle of the body.
    Cut,
}

/// One answer before anything has gone wrong with it.
pub struct Answer {
    id: String,
    model: String,
    created: i64,
    pieces: Vec<String>,
    pause: Option<Duration>,
    pub is_streamed: bool,
    counts: Option<(u64, u64)>,
    finish: String,
}

impl Answer {
    /// The answer to call number `call`, in at most `chunks` pieces.
    pub fn new(call: u64, ask: &Ask, question: &str, prompt_bytes: usize, chunks: usize) -> Self {
        let words = question.strip_prefix("slow:").and_then(|count| count.trim().parse::<u32>().ok());
        let words = words.map(|count| count.min(MOST_WORDS));
        let (pieces, pause) = match (words, question.strip_prefix("echo:")) {
            (Some(count), _) => ((1..=count).map(|word| format!("word{word} ")).collect(), Some(SLOW_WORD)),
            (None, Some(text)) => (pieces(text, chunks), None),
            (None, None) => {
                let sentence = format!(
                    "This is a stand-in for a model, which repeats what it was asked and knows nothing: {question}"
                );
                (pieces(&sentence, chunks), None)
            }
        };
        let is_streamed = ask.stream.unwrap_or(false);
        let wants_counts = !is_streamed || ask.stream_options.as_ref().is_some_and(|options| options.include_usage);
        let written = pieces.iter().map(String::len).sum::<usize>();
        let tokens = |bytes: usize| u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX);
        Self {
            id: format!("chatcmpl-standin{call}"),
            model: ask.model.clone(),
            created: jiff::Timestamp::now().as_second(),
            pieces,
            pause,
            is_streamed,
            counts: wants_counts.then(|| (tokens(prompt_bytes), tokens(written))),
            finish: "stop".into(),
        }
    }

    /// The events of the stream: one for each piece, then what ends it.
    fn events(&self) -> Vec<String> {
        let (id, model) = (&self.id, json!(self.model));
        let head = format!(
            r#"data: {{"id":"{id}","object":"chat.completion.chunk","created":{},"model":{model},"system_fingerprint":null"#,
            self.created
        );
        let event = |delta: &str, finish: &str| {
            format!(
                "{head},\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]}}\n\n"
            )
        };
        let mut events = Vec::with_capacity(self.pieces.len() + 4);
        events.push(event(r#"{"role":"assistant","content":""}"#, "null"));
        events.extend(self.pieces.iter().map(|piece| event(&format!(r#"{{"content":{}}}"#, json!(piece)), "null")));
        events.push(event("{}", &json!(self.finish).to_string()));
        events.extend(self.usage().map(|usage| format!("{head},\"choices\":[],\"usage\":{usage}}}\n\n")));
        events.push("data: [DONE]\n\n".into());
        events
    }

    fn usage(&self) -> Option<Value> {
        let (prompt, completion) = self.counts?;
        let total = prompt + completion;
        Some(json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total }))
    }

    fn whole(&self) -> String {
        let message = json!({ "role": "assistant", "content": self.pieces.concat(), "refusal": null });
        let choice = json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": self.finish });
        let completion = json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [choice], "usage": self.usage(),
        });
        completion.to_string()
    }

    /// Lays the answer out in time, gone wrong as `fault` says. Without a pause everything is one write.
    pub fn steps(mut self, fault: Option<Fault>) -> Vec<Step> {
        if let Some(Fault::Finish { reason }) = &fault {
            self.finish.clone_from(reason);
        }
        let mut events = if self.is_streamed { self.events() } else { vec![self.whole()] };
        let mut end = Vec::new();
        // The first event carries the role and no text.
        let keep = |after: usize, events: &mut Vec<String>| events.truncate(after + 1);
        match fault {
            Some(Fault::Cut { after }) => {
                keep(after, &mut events);
                end = vec![Step::Wait(FLUSH), Step::Cut];
            }
            Some(Fault::Stall { after }) => {
                keep(after, &mut events);
                end = vec![Step::Wait(FOREVER)];
            }
            Some(Fault::StreamError { after, code }) => {
                keep(after, &mut events);
                let error = json!({ "message": "the script says so", "type": "server_error", "code": code });
                events.push(format!("data: {}\n\ndata: [DONE]\n\n", json!({ "error": error })));
            }
            Some(Fault::NoEnd) => keep(self.pieces.len(), &mut events),
            Some(Fault::Garbage) => events = vec!["data: {\"choices\": [}\n\ndata: ]]\n\n".into()],
            Some(Fault::GiantLine { bytes }) => events = vec!["data: ".into(), "x".repeat(bytes)],
            Some(Fault::SlowBytes { every_ms }) => {
                let every = Duration::from_millis(every_ms);
                let bytes = events.concat().into_bytes().into_iter();
                return bytes.flat_map(|byte| [Step::Wait(every), Step::Send(Bytes::from(vec![byte]))]).collect();
            }
            _ => {}
        }
        let mut steps: Vec<Step> = match self.pause {
            Some(pause) => events.into_iter().flat_map(|event| [Step::Wait(pause), Step::Send(event.into())]).collect(),
            None => vec![Step::Send(events.concat().into())],
        };
        steps.extend(end);
        steps
    }
}

/// Cuts a text into at most `count` pieces of nearly the same number of characters.
fn pieces(text: &str, count: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let count = count.clamp(1, chars.len().max(1));
    let bounds = (0..count).map(|n| (n * chars.len() / count, (n + 1) * chars.len() / count));
    bounds.filter_map(|(from, to)| chars.get(from..to)).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_into_even_pieces() {
        let table: &[(&str, &str, usize, &[&str])] = &[
            ("even", "abcdef", 3, &["ab", "cd", "ef"]),
            ("uneven", "你好世界啊", 2, &["你好", "世界啊"]),
            ("shorter than the count", "ab", 50, &["a", "b"]),
            ("empty", "", 50, &[""]),
            ("none", "ab", 0, &["ab"]),
        ];
        for (case, text, count, expected) in table {
            assert_eq!(pieces(text, *count), *expected, "{case}");
        }
    }
}
