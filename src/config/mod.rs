//! What an operator can set: one documented struct per section of `config.toml`.
//!
//! The doc comments here *are* `docs/configuration.md`: meaning, unit, default and range of every key.

pub mod secret;
mod words;

pub use secret::Secret;
pub use words::is_chinese;
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Everything in one `config.toml`, after interpolation, overrides and `_file` secrets.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default)]
pub struct Config {
    pub server: Server,
    pub storage: Storage,
    pub security: Security,
    pub pipeline: Pipeline,
    pub telemetry: Telemetry,
    pub platforms: Vec<Platform>,
    pub providers: Vec<Provider>,
    pub assistants: Vec<Assistant>,
    pub routes: Vec<Route>,
    pub knowledge: Vec<Knowledge>,
}

/// `[server]`: where the gateway listens and how it stops. A change needs a restart of the process.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Server {
    /// Address and port to listen on. Default `127.0.0.1:8080`.
    pub bind: String,
    /// Address under which people and platforms reach this gateway, such as `https://bot.example.com`. Default: none.
    pub public_url: Option<Url>,
    /// Threads that serve HTTP. Default: the number of cores, at most 4.
    pub workers: Option<usize>,
    /// Largest request body. Default `1MiB`.
    #[serde(deserialize_with = "size")]
    pub max_body: u64,
    /// Time for running turns to finish after SIGTERM. Default `30s`.
    #[serde(deserialize_with = "duration")]
    pub drain_timeout: Duration,
    /// Networks whose `X-Forwarded-For` header is believed. Default: none.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Lets administrators inject faults over the API. Refused beyond loopback. Default `false`.
    pub chaos: bool,
}

/// `[storage]`: where messages live and how long. A change needs a restart of the process.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Storage {
    /// Database: `sqlite://PATH`. Default `sqlite://data/mindbot.db`.
    pub url: String,
    /// Folder for everything else that must survive. Default `data`.
    pub data_dir: PathBuf,
    /// How long message texts and traces are kept. Default `30d`, at least `1d`.
    #[serde(deserialize_with = "duration")]
    pub keep: Duration,
    /// How long platform message ids are remembered against repeats. Default `90d`, at least `7d`.
    #[serde(deserialize_with = "duration")]
    pub keep_ids: Duration,
    /// Rows waiting in the inbox above which webhooks are answered 503. Default 100000.
    pub high_water: u64,
    /// Free disk below which webhooks are answered 503. Default `256MiB`.
    #[serde(deserialize_with = "size")]
    pub min_free: u64,
}

/// `[security]`: who may administer.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default)]
pub struct Security {
    /// Origins other than our own whose pages may call the API. Default: none.
    pub cors_origins: Vec<String>,
    /// How far a WeCom callback's timestamp may be from our clock, either way. Default `300s`.
    #[serde(deserialize_with = "maybe_duration")]
    pub webhook_skew: Option<Duration>,
}

/// `[pipeline]`: how messages become answers. Read afresh for every turn; a change restarts nothing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pipeline {
    /// Turns that run at once; more wait on disk. Default 1024, 1 to 100000.
    pub turns: usize,
    /// Time that one turn may take, retries included. Default `120s`.
    #[serde(deserialize_with = "duration")]
    pub turn_timeout: Duration,
    /// Rapid messages of one person within this time become one turn. Default `0s`: each is its own.
    #[serde(deserialize_with = "duration")]
    pub aggregation: Duration,
    /// Characters of one message above which it is refused in words. Default 8000.
    pub max_input_chars: usize,
    /// A message that waits longer than this for its turn gets one word that it is in line. Default `15s`.
    #[serde(deserialize_with = "duration")]
    pub notice_after: Duration,
    /// A message that could not be answered for this long gets the failure reply and becomes a dead letter. Default `1h`.
    #[serde(deserialize_with = "duration")]
    pub give_up_after: Duration,
    /// Messages a minute that one conversation may send; 0 is no limit. Default 30.
    pub rate_per_conversation: u32,
    /// Messages that one conversation may send at once before the rate counts. Default 30.
    pub burst_per_conversation: u32,
    /// Messages a minute that one platform may hand in; 0 is no limit. Default 0.
    pub rate_per_platform: u32,
    /// Words for the moments without an answer.
    pub replies: Replies,
}

/// `[pipeline.replies]`: what people read when there is no answer; one text for each language.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Replies {
    /// The turn waits because every slot is taken.
    pub busy: Words,
    /// No answer could be produced.
    pub failed: Words,
    /// The person stopped the answer.
    pub stopped: Words,
    /// The message is longer than `pipeline.max_input_chars`, or too many are waiting.
    pub too_long: Words,
    /// The kind of message is not understood.
    pub unsupported: Words,
    /// The conversation sends faster than its rate.
    pub too_many: Words,
    /// The context was cleared by `/new`.
    pub fresh: Words,
}

/// One sentence in Chinese and in English.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Words {
    pub zh: String,
    pub en: String,
}

/// `[telemetry]`: logs. A change is applied at once.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,mindbot=debug`. Default `info`.
    pub log_level: String,
    /// `auto` (readable on a terminal, JSON lines otherwise), `text` or `json`. Default `auto`.
    pub log_format: LogFormat,
}

/// The shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Auto,
    Text,
    Json,
}

/// Whether a component runs: `true`, `false`, or `"auto"` (off while its credential is empty).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enabled {
    On,
    Off,
    #[default]
    Auto,
}

/// `[[platforms]]`: one chat platform, one actor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Platform {
    /// Name in URLs, logs and metrics: letters, digits, `-` and `_`.
    pub id: String,
    /// `web` or `wecom`.
    pub kind: String,
    /// Default `true`.
    #[serde(default = "on", deserialize_with = "enabled")]
    pub enabled: Enabled,
    /// web: who may chat: `loopback` (default), `token` or `anyone`.
    #[serde(default)]
    pub access: Access,
    /// web: the bearer token for `access = "token"`.
    #[serde(default)]
    pub access_token: Secret,
    /// wecom: id of the organisation (`ww…`).
    #[serde(default)]
    pub corp_id: String,
    /// wecom: number of the application.
    #[serde(default)]
    pub agent_id: i64,
    /// wecom: secret of the application.
    #[serde(default)]
    pub secret: Secret,
    /// wecom: token of the callback.
    #[serde(default)]
    pub token: Secret,
    /// wecom: 43-character key of the callback.
    #[serde(default)]
    pub encoding_aes_key: Secret,
    /// wecom: base of the API. Default `https://qyapi.weixin.qq.com`.
    #[serde(default)]
    pub api_base: Option<Url>,
    /// wecom: how replies are sent: `text` (default) or `markdown` (shown by WeCom's own clients only).
    #[serde(default)]
    pub reply_format: ReplyFormat,
    /// Messages a minute that this platform sends; 0 is no limit. Default: the kind's published limit.
    #[serde(default)]
    pub sends_per_minute: Option<u32>,
    /// Sends that run at once. Default 64.
    #[serde(default)]
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

/// `[[providers]]`: one source of answers, one actor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Provider {
    /// Name in URLs, logs and metrics: letters, digits, `-` and `_`.
    pub id: String,
    /// `openai` or `local`.
    pub kind: String,
    /// Default `"auto"`: off, with one log line, while the credential is empty.
    #[serde(default, deserialize_with = "enabled")]
    pub enabled: Enabled,
    /// openai: base URL up to and including `/v1`. Default `https://api.openai.com/v1`.
    #[serde(default)]
    pub base_url: Option<Url>,
    /// openai: the key.
    #[serde(default)]
    pub api_key: Secret,
    /// Model names; the first is the default.
    #[serde(default)]
    pub models: Vec<String>,
    /// Tokens that the model reads and writes together. Default: known for common models, else 16384.
    #[serde(default)]
    pub context_tokens: Option<usize>,
    /// Tokens kept free for the answer. Default 2048.
    #[serde(default)]
    pub answer_tokens: Option<usize>,
    /// Time to establish a connection. Default `5s`.
    #[serde(default, deserialize_with = "maybe_duration")]
    pub connect_timeout: Option<Duration>,
    /// Time without a byte after which a stream counts as dead. Default `60s`.
    #[serde(default, deserialize_with = "maybe_duration")]
    pub idle_timeout: Option<Duration>,
    /// Calls that run at once. Default 64.
    #[serde(default)]
    pub concurrency: Option<usize>,
    /// Share of traffic among equals. Default 1.
    #[serde(default)]
    pub weight: Option<u32>,
}

/// `[[assistants]]`: a persona: which words start its prompt, who answers, what it knows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Assistant {
    /// Name in routes and in the API.
    pub id: String,
    /// Name that people read. Default: the id.
    #[serde(default)]
    pub name: Option<String>,
    /// Instructions that begin every prompt. Default: none.
    #[serde(default)]
    pub system_prompt: String,
    /// Provider ids in the order in which they are tried. Those that are off are skipped.
    pub providers: Vec<String>,
    /// Knowledge ids whose passages are looked up for every message.
    #[serde(default)]
    pub knowledge: Vec<String>,
    /// Earlier exchanges that the model sees, at most. Default 20.
    #[serde(default = "default_memory")]
    pub memory: usize,
    /// 0 to 2. Default: the model's own.
    #[serde(default)]
    pub temperature: Option<f64>,
}

/// `[[routes]]`: which assistant answers what. The highest `priority` that matches wins, then the order in the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Route {
    /// What must be true; all of it.
    #[serde(default, rename = "match")]
    pub matches: RouteMatch,
    /// The assistant that answers.
    pub assistant: String,
    /// Greater goes first. Default 0.
    #[serde(default)]
    pub priority: i64,
}

/// `match` of a route; an absent key matches everything.
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

/// `[[knowledge]]`: documents that answers may quote.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Knowledge {
    /// Name in assistants and in the API.
    pub id: String,
    /// `embedded`: kept in our own database.
    #[serde(default = "default_store")]
    pub store: String,
    /// Folders and files (Markdown and text) read at start and when they change. `builtin:guide` is the user guide.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Passages handed to the model for one question. Default 4, 1 to 20.
    #[serde(default = "default_top_k")]
    pub top_k: usize,
    /// Characters of one passage, at most. Default 1200.
    #[serde(default = "default_chunk_chars")]
    pub chunk_chars: usize,
}

fn on() -> Enabled {
    Enabled::On
}
fn default_memory() -> usize {
    20
}
fn default_store() -> String {
    "embedded".into()
}
fn default_top_k() -> usize {
    4
}
fn default_chunk_chars() -> usize {
    1200
}

fn size<'de, D: Deserializer<'de>>(_: D) -> Result<u64, D::Error> {
    todo!("config room")
}
fn duration<'de, D: Deserializer<'de>>(_: D) -> Result<Duration, D::Error> {
    todo!("config room")
}
fn maybe_duration<'de, D: Deserializer<'de>>(_: D) -> Result<Option<Duration>, D::Error> {
    todo!("config room")
}
fn enabled<'de, D: Deserializer<'de>>(_: D) -> Result<Enabled, D::Error> {
    todo!("config room")
}
impl Default for Server {
    fn default() -> Self {
        todo!("config room")
    }
}
impl Default for Storage {
    fn default() -> Self {
        todo!("config room")
    }
}
impl Default for Pipeline {
    fn default() -> Self {
        todo!("config room")
    }
}
impl Default for Telemetry {
    fn default() -> Self {
        todo!("config room")
    }
}
impl Default for Replies {
    fn default() -> Self {
        todo!("config room")
    }
}
