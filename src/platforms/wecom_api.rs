//! The two calls of WeCom's API that an application's replies need: `gettoken` and `message/send`.
//!
//! Owned by one incarnation of [`super::wecom::WeCom`]; a restart loses the access token and the open connections.
//! Sources: developer.work.weixin.qq.com, "获取access_token" and "发送应用消息" (read November 2026).

use super::wecom_codes::{self, Action, RETRY_TOKEN, action_of};
use super::wecom_token::{Issued, Token, TokenCache};
use super::{Deliver, Delivered, OutPart, PlatformError};
use crate::config::{Platform, ReplyFormat};
use crate::domain::Deadline;
use crate::egress;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

const DEFAULT_BASE: &str = "https://qyapi.weixin.qq.com";
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const TOKEN_WITHIN: Duration = Duration::from_secs(10);
/// Largest answer that is read; WeCom's own stay below 4 KiB.
const MAX_ANSWER: usize = 64 * 1024;
/// Characters of WeCom's explanation that are kept.
const MAX_DETAIL: usize = 300;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A peer that names a longer wait is asked again after this one.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// How far back WeCom looks for a repeat, at most.
const DUPLICATES_SEEN_FOR: Duration = Duration::from_secs(14_400);
/// The repeat's own way to the platform, and clocks that differ.
const DUPLICATE_MARGIN: Duration = Duration::from_secs(60);

/// What WeCom answers; an absent code means success.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    errcode: i64,
    errmsg: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
    msgid: Option<String>,
    /// Members that did not get the message, joined with `|`.
    invaliduser: Option<String>,
    unlicenseduser: Option<String>,
}

/// One application's client.
pub(super) struct Api {
    section: Arc<Platform>,
    client: Client,
    token_url: Url,
    send_url: Url,
    tokens: TokenCache,
}

impl Api {
    /// Makes the client, on the thread of the actor that will use it.
    pub fn new(section: Arc<Platform>) -> Result<Self, String> {
        let base = match &section.api_base {
            Some(base) => base.clone(),
            None => Url::parse(DEFAULT_BASE).map_err(|error| error.to_string())?,
        };
        let client = egress::client(CONNECT_WITHIN)?;
        let (token_url, send_url) = (endpoint(&base, &["gettoken"])?, endpoint(&base, &["message", "send"])?);
        Ok(Self { section, client, token_url, send_url, tokens: TokenCache::new() })
    }

    /// Fetches a token, which shows that address, organisation and secret are right.
    pub async fn probe(&self) -> Result<String, String> {
        let issued = self.fetch_token().await.map_err(|error| error.to_string())?;
        Ok(format!("an access token was issued for {} s", issued.life.as_secs()))
    }

    /// Sends one part, with a fresh token and once more when the token is refused.
    pub async fn deliver(&self, call: &Deliver) -> Result<Delivered, PlatformError> {
        let part = &call.part;
        let recipient = recipient(part)?;
        let body = self.body(part, recipient)?;
        let token = self.token(None, call.deadline).await?;
        let mut answer = self.send(&token, &body, call).await?;
        let mut calls = 1;
        if action_of(answer.errcode).0 == Action::Refresh {
            // The platform has refused it: nothing of this part is under way.
            call.begun.lower();
            let token = self.token(Some(token.serial), call.deadline).await?;
            answer = self.send(&token, &body, call).await?;
            calls += 1;
        }
        self.judge(&answer, part, recipient)?;
        Ok(Delivered { platform_id: answer.msgid.unwrap_or_default(), calls })
    }

    fn body(&self, part: &OutPart, recipient: &str) -> Result<Value, PlatformError> {
        let format = match self.section.reply_format {
            ReplyFormat::Text => "text",
            ReplyFormat::Markdown => "markdown",
        };
        let mut body = json!({ "touser": recipient, "msgtype": format, "agentid": self.section.agent_id });
        if let Some(body) = body.as_object_mut() {
            body.insert(format.to_owned(), json!({ "content": part.text }));
            if part.may_repeat {
                // No longer than needed: a later reply that happens to say the same must not be swallowed.
                let window = part.age + DUPLICATE_MARGIN;
                if window > DUPLICATES_SEEN_FOR {
                    let reason = "first tried longer ago than WeCom recognises a repeat (4 hours)";
                    return Err(PlatformError::Unknown(reason.into()));
                }
                body.insert("enable_duplicate_check".into(), 1.into());
                body.insert("duplicate_check_interval".into(), window.as_secs().into());
            }
        }
        #[cfg(feature = "chaos-tests")]
        crate::sabotage::trip(&part.text);
        Ok(body)
    }

    async fn token(&self, refused: Option<u64>, deadline: Deadline) -> Result<Token, PlatformError> {
        let token = self.tokens.get(refused, || self.fetch_token());
        let late = || away(RETRY_TOKEN, "the deadline passed while waiting for an access token");
        tokio::time::timeout_at(deadline.instant(), token).await.unwrap_or_else(|_| Err(late()))
    }

    async fn fetch_token(&self) -> Result<Issued, PlatformError> {
        let mut url = self.token_url.clone();
        let secret = self.section.secret.expose();
        url.query_pairs_mut().append_pair("corpid", &self.section.corp_id).append_pair("corpsecret", secret);
        let response = self.client.get(url).timeout(TOKEN_WITHIN).send().await;
        let response = response.map_err(|error| away(RETRY_TOKEN, &unanswered("gettoken", error)))?;
        let (status, wait) = (response.status(), retry_after(response.headers(), Timestamp::now()));
        if !status.is_success() {
            let reason = format!("gettoken was answered with HTTP {status}");
            return Err(match status {
                StatusCode::TOO_MANY_REQUESTS => limited(wait, reason),
                _ if status.is_server_error() => away(wait.unwrap_or(RETRY_TOKEN), &reason),
                _ => PlatformError::Misconfigured(format!("{reason}; check `api_base`")),
            });
        }
        let answer = read(response).await.map_err(|problem| away(RETRY_TOKEN, &format!("gettoken: {problem}")))?;
        if answer.errcode != 0 {
            return Err(wecom_codes::token_error(answer.errcode, &self.detail(&answer), now()));
        }
        let text = answer.access_token.filter(|token| !token.is_empty());
        let text = text.ok_or_else(|| away(RETRY_TOKEN, "gettoken was answered without a token"))?;
        Ok(Issued { text, life: Duration::from_secs(answer.expires_in.unwrap_or(7200)) })
    }

    async fn send(&self, token: &Token, body: &Value, call: &Deliver) -> Result<Answer, PlatformError> {
        if call.deadline.has_passed() {
            return Err(away(FIRST_WAIT, "the deadline passed before the message was sent"));
        }
        let mut url = self.send_url.clone();
        url.query_pairs_mut().append_pair("access_token", &token.text);
        let request = self.client.post(url).timeout(call.deadline.left()).json(body);
        if !call.begun.raise() {
            return Err(away(FIRST_WAIT, "the call was given up before the message was sent"));
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                return Err(away(back_off(&call.part), &unanswered("message/send", error)));
            }
            Err(error) => return Err(PlatformError::Unknown(unanswered("message/send", error))),
        };
        let (status, wait) = (response.status(), retry_after(response.headers(), Timestamp::now()));
        if status.is_success() {
            return read(response).await.map_err(|problem| PlatformError::Unknown(format!("message/send: {problem}")));
        }
        let reason = format!("message/send was answered with HTTP {status}");
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS => limited(wait, reason),
            StatusCode::SERVICE_UNAVAILABLE => away(wait.unwrap_or_else(|| back_off(&call.part)), &reason),
            // A gateway that lost the answer may have passed the message on.
            _ if status.is_server_error() => PlatformError::Unknown(reason),
            _ => PlatformError::Misconfigured(format!("{reason}; check `api_base`")),
        })
    }

    fn judge(&self, answer: &Answer, part: &OutPart, recipient: &str) -> Result<(), PlatformError> {
        if answer.errcode != 0 {
            return Err(wecom_codes::send_error(answer.errcode, &self.detail(answer), back_off(part), now()));
        }
        let lists = [("invalid or out of sight", &answer.invaliduser), ("without a licence", &answer.unlicenseduser)];
        for (problem, list) in lists {
            let mut members = list.iter().flat_map(|list| list.split('|'));
            if members.any(|member| member.eq_ignore_ascii_case(recipient)) {
                return Err(PlatformError::Rejected(format!("WeCom calls the recipient {problem}")));
            }
        }
        Ok(())
    }

    /// WeCom's own explanation, which names the request for its support: one line, without our secret.
    fn detail(&self, answer: &Answer) -> String {
        let text = answer.errmsg.as_deref().unwrap_or("no explanation");
        let text = text.replace(self.section.secret.expose(), "***");
        text.chars().filter(|letter| !letter.is_control()).take(MAX_DETAIL).collect()
    }
}

fn endpoint(base: &Url, path: &[&str]) -> Result<Url, String> {
    let mut url = base.clone();
    let mut segments = url.path_segments_mut().map_err(|()| "`api_base` is not an http address".to_owned())?;
    segments.pop_if_empty().push("cgi-bin").extend(path);
    drop(segments);
    Ok(url)
}

/// The one member that a part is for.
fn recipient(part: &OutPart) -> Result<&str, PlatformError> {
    let recipient = part.reply_route.get("touser").and_then(Value::as_str).unwrap_or_default();
    // A bar joins several members and `@all` is everyone: neither is one person.
    if recipient.is_empty() || recipient.contains('|') || recipient.eq_ignore_ascii_case("@all") {
        return Err(PlatformError::Rejected("the message that this answers names no single member".into()));
    }
    Ok(recipient)
}

async fn read(mut response: reqwest::Response) -> Result<Answer, String> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|error| unanswered("the answer", error))? {
        if body.len() + bytes.len() > MAX_ANSWER {
            return Err(format!("the answer is longer than {MAX_ANSWER} bytes"));
        }
        body.extend_from_slice(&bytes);
    }
    // The parser's own words would quote the answer, which may hold the token.
    serde_json::from_slice(&body).map_err(|_| "the answer is not WeCom's JSON".to_owned())
}

/// What went wrong on the way, without the address, whose query holds secrets.
fn unanswered(what: &str, error: reqwest::Error) -> String {
    let word = match &error {
        error if error.is_connect() => "no connection",
        error if error.is_timeout() => "no answer in time",
        _ => "the connection broke",
    };
    format!("{what}: {word} ({})", error.without_url())
}

fn away(after: Duration, reason: &str) -> PlatformError {
    PlatformError::Away { after, reason: reason.to_owned() }
}

fn limited(wait: Option<Duration>, reason: String) -> PlatformError {
    PlatformError::RateLimited { after: wait.unwrap_or_else(|| wecom_codes::until_next_minute(now())), reason }
}

/// Waits as long again as the part has been tried for, so that waits double; spread out by part, so that those that
/// failed together do not come back together.
fn back_off(part: &OutPart) -> Duration {
    let spread = Duration::from_millis(part.id.unsigned_abs() % 500);
    (FIRST_WAIT + part.age).min(LONGEST_WAIT) + spread
}

/// `Retry-After` in either of its forms.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = DateTimeParser::new().parse_timestamp(text).ok()?;
            Duration::from_secs(u64::try_from(date.as_second().saturating_sub(now.as_second())).unwrap_or(0))
        }
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

fn now() -> i64 {
    Timestamp::now().as_second()
}
