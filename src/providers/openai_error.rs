//! What the errors of a service that speaks OpenAI's chat completions mean. Pure.

use super::ProviderError;
use serde_json::Value;
use serde_json::value::RawValue;
use std::time::Duration;

/// How much of an upstream's own words an error repeats, in characters.
const QUOTED_CHARS: usize = 300;
/// The wait after a 429 that names none.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);
/// No upstream can make us wait longer.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// An upstream's own account of an error. Services differ in everything but the message, and some in that.
#[derive(Debug, Default)]
pub struct Complaint {
    /// `code`, or else `type`: `insufficient_quota`, `429`, …
    word: String,
    kind: String,
    message: String,
}

impl Complaint {
    /// Reads the body of an answer that is not a 200: `{"error": {…}}`, `{"detail": …}`, or whatever a proxy says.
    pub fn of_body(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Self { message: quoted(&String::from_utf8_lossy(body)), ..Self::default() };
        };
        let told = ["error", "detail", "message"].iter().find_map(|key| value.get(key).filter(|it| is_truthy(it)));
        told.map(Self::of_value).unwrap_or_default()
    }

    /// Reads an `error` field; `None` when it says that there is none.
    pub fn of_error(raw: &RawValue) -> Option<Self> {
        let value = serde_json::from_str::<Value>(raw.get()).ok()?;
        is_truthy(&value).then(|| Self::of_value(&value))
    }

    fn of_value(value: &Value) -> Self {
        let field = |name: &str| value.get(name).map(plain).unwrap_or_default();
        let message = value.get("message").unwrap_or(value);
        let (code, kind) = (field("code"), field("type"));
        Self { word: if code.is_empty() { kind.clone() } else { code }, kind, message: quoted(&plain(message)) }
    }

    /// What the caller can do about it. In the middle of a stream there is no `status`: the code stands in for it.
    pub fn meaning(&self, status: Option<u16>, retry_after: Option<Duration>) -> ProviderError {
        let status = status.unwrap_or_else(|| self.likely_status());
        let text = self.text(status);
        match self.word.as_str() {
            "insufficient_quota" | "billing_hard_limit_reached" => return ProviderError::Misconfigured(text),
            "context_length_exceeded" => return ProviderError::TooLong(text),
            "content_filter" | "content_policy_violation" => return ProviderError::Rejected(text),
            _ => {}
        }
        match (status, retry_after) {
            // Not even a masked key is repeated: what an upstream shows of it is more than we show.
            (401 | 403, _) => ProviderError::Misconfigured(format!("{status} {}: check `api_key`", self.word)),
            (300..=399 | 402 | 404 | 405, _) => {
                ProviderError::Misconfigured(format!("{text}; check `base_url` and `models`"))
            }
            (429, after) => ProviderError::RateLimited { after: after.unwrap_or(DEFAULT_WAIT), reason: text },
            (503, Some(after)) => ProviderError::RateLimited { after, reason: text },
            (408 | 409 | 425 | 500.., _) => ProviderError::Unavailable(text),
            // Some compatible services say it in the message alone; less history helps against a 413 as well.
            (413, _) => ProviderError::TooLong(text),
            (400, _) if self.message.contains("maximum context length") => ProviderError::TooLong(text),
            _ => ProviderError::Rejected(text),
        }
    }

    fn likely_status(&self) -> u16 {
        match (self.word.as_str(), self.kind.as_str()) {
            ("invalid_api_key", _) => 401,
            ("model_not_found", _) => 404,
            ("rate_limit_exceeded", _) | (_, "requests" | "tokens" | "throttling_error") => 429,
            (_, "invalid_request_error") => 400,
            (word, _) => word.parse().ok().filter(|status| (400..600).contains(status)).unwrap_or(500),
        }
    }

    fn text(&self, status: u16) -> String {
        let parts = [status.to_string(), self.word.clone(), self.message.clone()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The beginning of an upstream's own words, on one line.
pub fn quoted(text: &str) -> String {
    one_line(text).chars().take(QUOTED_CHARS).collect()
}

/// A text without control characters, line breaks included.
pub fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The wait that an answer asks for: `retry-after-ms`, else `Retry-After` in seconds or as a date.
///
/// Source: RFC 9110, 10.2.3; `retry-after-ms` as the official clients read it.
pub fn retry_after(millis: Option<&str>, value: Option<&str>, now: jiff::Timestamp) -> Option<Duration> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| *number >= 0.0);
    let seconds = match (millis.and_then(number), value) {
        (Some(millis), _) => millis / 1000.0,
        (None, Some(value)) => number(value).or_else(|| {
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value.trim()).ok()?;
            Some(date.duration_since(now).as_secs_f64().max(0.0))
        })?,
        (None, None) => return None,
    };
    Some(Duration::from_secs_f64(seconds.min(LONGEST_WAIT.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use super::super::openai_wire::Reply;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_recorded_errors_say_what_can_be_done() {
        let errors: Vec<Value> =
            serde_json::from_slice(include_bytes!("../../tests/fixtures/openai/errors.json")).unwrap();
        let expected: [(&str, fn(&ProviderError) -> bool); 8] = [
            ("429", |e| matches!(e, ProviderError::RateLimited { after, .. } if *after == Duration::from_secs(2))),
            ("quota", |e| matches!(e, ProviderError::Misconfigured(_))),
            ("401", |e| matches!(e, ProviderError::Misconfigured(text) if !text.contains("sk-x"))),
            ("400 context", |e| matches!(e, ProviderError::TooLong(_))),
            ("404", |e| matches!(e, ProviderError::Misconfigured(_))),
            ("503", |e| matches!(e, ProviderError::Unavailable(_))),
            ("litellm 429", |e| matches!(e, ProviderError::RateLimited { .. })),
            ("in a stream", |e| matches!(e, ProviderError::Unavailable(_))),
        ];
        assert_eq!(errors.len(), expected.len());
        for (error, (case, is_expected)) in errors.iter().zip(expected) {
            let status = error["http"].as_u64().and_then(|status| u16::try_from(status).ok());
            let wait = retry_after(None, error["headers"]["Retry-After"].as_str(), jiff::Timestamp::UNIX_EPOCH);
            let body = serde_json::to_vec(&error["body"]).unwrap();
            let meaning = match status {
                Some(200) => Reply::default().take(&body).unwrap_err(),
                status => Complaint::of_body(&body).meaning(status, wait),
            };
            assert!(is_expected(&meaning), "{case}: {meaning:?}");
        }
    }

    #[test]
    fn odd_error_bodies_are_read_as_far_as_they_go() {
        let table = [
            ("an html page", 502, "<html>\n<h1>Bad gateway</h1>", "unavailable: 502 <html> <h1>Bad gateway</h1>"),
            (
                "fastapi",
                422,
                r#"{"detail":[{"msg":"field required"}]}"#,
                "rejected: 422 [{\"msg\":\"field required\"}]",
            ),
            ("a bare string", 400, r#"{"error":"no such thing"}"#, "rejected: 400 no such thing"),
            ("nothing", 500, "", "unavailable: 500"),
            (
                "said in words",
                400,
                r#"{"error":{"message":"maximum context length is 4096"}}"#,
                "prompt too long: 400 maximum context length is 4096",
            ),
            ("redirect", 301, "", "misconfigured: 301; check `base_url` and `models`"),
        ];
        for (case, status, body, expected) in table {
            assert_eq!(Complaint::of_body(body.as_bytes()).meaning(Some(status), None).to_string(), expected, "{case}");
        }
    }

    #[test]
    fn waits_are_read_in_every_form() {
        let now: jiff::Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        let table = [
            ("seconds", None, Some("2"), Some(2_000)),
            ("fraction", None, Some("0.5"), Some(500)),
            ("date", None, Some("Wed, 25 Nov 2026 12:00:30 GMT"), Some(30_000)),
            ("past date", None, Some("Wed, 25 Nov 2026 11:00:30 GMT"), Some(0)),
            ("milliseconds first", Some("150"), Some("2"), Some(150)),
            ("negative", None, Some("-1"), None),
            ("words", None, Some("soon"), None),
            ("endless", None, Some("1e300"), Some(86_400_000)),
            ("not a number", None, Some("NaN"), None),
            ("none", None, None, None),
        ];
        for (case, millis, value, expected) in table {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(retry_after(millis, value, now), expected, "{case}");
        }
    }

    proptest! {
        #![proptest_config(crate::properties(256))]

        #[test]
        fn any_bytes_mean_something(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in "[\\[\\]{}\",:a-z0-9 ]{0,80}",
        ) {
            for data in [bytes.as_slice(), text.as_bytes()] {
                let _ = Complaint::of_body(data).meaning(Some(400), None);
            }
            let _ = retry_after(Some(&text), Some(&text), jiff::Timestamp::UNIX_EPOCH);
        }
    }
}
