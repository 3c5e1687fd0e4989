//! The sections that repeat: `[[platforms]]`, `[[providers]]`, `[[assistants]]`, `[[routes]]`, `[[knowledge]]`.
//!
//! `docs/configuration.md` prints these comments. `id`, `kind`, `assistant` and `assistants.providers` must be given;
//! they default to empty here so that validation can name every missing one at once.

use super::Secret;
use super::units::{enabled, maybe_duration, maybe_url};
use serde::Deserialize;
use std::time::Duration;
use url::Url;

/// Whether a component runs: `true`, `false`, or `"auto"` (off while its credential is empty).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enabled {
    On,
    Off,
    /// As written; [`super::load`] turns it into `On` or `Off`.
    #[default]
    Auto,
}

impl Enabled {
    pub fn is_on(self) -> bool {
        self != Self::Off
    }
}

fn on() -> Enabled {
    Enabled::On
}

/// `[[platforms]]`: one chat platform, one actor. A change restarts this platform alone.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default)]
pub struct Platform {
    /// Name in URLs, logs and metrics: 1 to 64 letters, digits, `-` and `_`. Required.
    pub id: String,
    /// `web` or `wecom`. Required.
    pub kind: String,
    /// `true`, `false`, or `"auto"`: off, with one log line, while the credential is empty. Default `true`.
    #[serde(default = "on", deserialize_with = "enabled")]
    pub enabled: Enabled,
    /// web: who may chat: `loopback` (refused when `server.bind` is beyond loopback), `token` or `anyone`. Default `loopback`.
    pub access: Access,
    /// web: the bearer token for `access = "token"`. Default: none.
    pub access_token: Secret,
    /// wecom: id of the organisation (`ww…`). Required there.
    pub corp_id: String,
    /// wecom: number of the application. Required there.
    pub agent_id: i64,
    /// wecom: secret of the application. Required there; the credential that `"auto"` waits for.
    pub secret: Secret,
    /// wecom: token of the callback. Required there.
    pub token: Secret,
    /// wecom: 43-character key of the callback. Required there.
    pub encoding_aes_key: Secret,
    /// wecom: base of the API; may be an internal address. Default `https://qyapi.weixin.qq.com`.
    #[serde(deserialize_with = "maybe_url")]
    pub api_base: Option<Url>,
    /// wecom: how replies are sent: `text` or `markdown` (shown by WeCom's own clients only). Default `text`.
    pub reply_format: ReplyFormat,
    /// Messages a minute that this platform sends; 0 is no limit. Default: the kind's published limit.
    pub sends_per_minute: Option<u32>,
    /// Sends that run at once, 1 to 10000. Default `64`.
    pub concurrency: Option<usize>,
}

/// Who may use a `web` platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    #[default]
    Loopback,
    Token,
    Anyone,
}

/// How a WeCom application writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum ReplyFormat {
    #[default]
    Text,
    Markdown,
}

/// `[[providers]]`: one source of answers, one actor. A change restarts this provider alone.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default)]
pub struct Provider {
    /// Name in URLs, logs and metrics: 1 to 64 letters, digits, `-` and `_`. Required.
    pub id: String,
    /// `openai` (and whatever speaks its protocol) or `local` (answers from documents; no network, no key). Required.
    pub kind: String,
    /// `true`, `false`, or `"auto"`: off, with one log line, while the credential is empty. Default `"auto"`.
    #[serde(deserialize_with = "enabled")]
    pub enabled: Enabled,
    /// openai: base URL up to and including `/v1`; may be an internal address. Default `https://api.openai.com/v1`.
    #[serde(deserialize_with = "maybe_url")]
    pub base_url: Option<Url>,
    /// openai: the key. Required there; the credential that `"auto"` waits for.
    pub api_key: Secret,
    /// Model names; the first is the default. Default `[]`.
    pub models: Vec<String>,
    /// Tokens that the model reads and writes together, at least 256. Default: known for common models, else 16384.
    pub context_tokens: Option<usize>,
    /// Tokens kept free for the answer, at least 1 and fewer than `context_tokens`. Default `2048`.
    pub answer_tokens: Option<usize>,
    /// Time to establish a connection, more than `0s`. Default `5s`.
    #[serde(deserialize_with = "maybe_duration")]
    pub connect_timeout: Option<Duration>,
    /// Time without a byte after which a stream counts as dead, more than `0s`. Default `60s`.
    #[serde(deserialize_with = "maybe_duration")]
    pub idle_timeout: Option<Duration>,
    /// Calls that run at once, 1 to 10000. Default `64`.
    pub concurrency: Option<usize>,
    /// Share of traffic among equals, 1 to 1000. Default `1`.
    pub weight: Option<u32>,
}

/// `[[assistants]]`: a persona: which words start its prompt, who answers, what it knows. A change is applied at once.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Assistant {
    /// Name in routes and in the API: 1 to 64 letters, digits, `-` and `_`. Required.
    pub id: String,
    /// Name that people read. Default: the id.
    pub name: Option<String>,
    /// Instructions that begin every prompt. Default `""`.
    pub system_prompt: String,
    /// Provider ids in the order in which they are tried, at least one. Those that are off are skipped. Required.
    pub providers: Vec<String>,
    /// Knowledge ids whose passages are looked up for every message. Default `[]`.
    pub knowledge: Vec<String>,
    /// Earlier exchanges that the model sees, at most; 0 to 1000. Default `20`.
    pub memory: usize,
    /// How freely the model writes, 0 to 2. Default: the model's own.
    pub temperature: Option<f64>,
}

impl Default for Assistant {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: None,
            system_prompt: String::new(),
            providers: Vec::new(),
            knowledge: Vec::new(),
            memory: 20,
            temperature: None,
        }
    }
}

/// `[[routes]]`: which assistant answers what. The highest `priority` that matches wins, then the order in the file.
/// A change is applied at once.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default)]
pub struct Route {
    /// What must be true, all of it; see below. Default `{}`: always.
    #[serde(rename = "match")]
    pub matches: RouteMatch,
    /// Id of the assistant that answers. Required.
    pub assistant: String,
    /// Greater goes first. Default `0`.
    pub priority: i64,
}

/// `match` of a route: an absent key matches everything.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default)]
pub struct RouteMatch {
    /// Platform id.
    pub platform: Option<String>,
    /// `private` or `group`.
    pub chat: Option<crate::domain::ChatKind>,
    /// Sender's id on the platform, without regard to case.
    pub user: Option<String>,
    /// The message begins with this word, without regard to case.
    pub keyword: Option<String>,
}

/// `[[knowledge]]`: documents that answers may quote. A change restarts this knowledge alone.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Knowledge {
    /// Name in assistants and in the API: 1 to 64 letters, digits, `-` and `_`. Required.
    pub id: String,
    /// `embedded`: kept in our own database. Default `embedded`.
    pub store: String,
    /// Folders and files (Markdown and text), relative to the configuration file, read at start and when they change.
    /// `builtin:guide` is the user guide. Default `[]`.
    pub paths: Vec<String>,
    /// Passages handed to the model for one question, 1 to 20. Default `4`.
    pub top_k: usize,
    /// Characters of one passage, at most; 100 to 20000. Default `1200`.
    pub chunk_chars: usize,
}

impl Default for Knowledge {
    fn default() -> Self {
        Self { id: String::new(), store: "embedded".to_owned(), paths: Vec::new(), top_k: 4, chunk_chars: 1200 }
    }
}
