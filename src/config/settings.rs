//! The sections that exist once: `[server]`, `[storage]`, `[security]`, `[pipeline]`, `[telemetry]`.
//!
//! `docs/configuration.md` prints these comments: meaning, unit, `Default …` (compared with the code by a test), range.

use super::units::{duration, maybe_duration, maybe_url, networks, size};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// `[server]`: where the gateway listens and how it stops. A change needs a restart of the process.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Server {
    /// IP address and port to listen on. Default `127.0.0.1:8080`.
    pub bind: String,
    /// Address under which people and platforms reach this gateway, such as `https://bot.example.com`. Default: none.
    #[serde(deserialize_with = "maybe_url")]
    pub public_url: Option<Url>,
    /// Threads that serve HTTP, 1 to 1024. Default: the number of cores, at most 4.
    pub workers: Option<usize>,
    /// Largest request body, `1KiB` to `1GiB`. Default `1MiB`.
    #[serde(deserialize_with = "size")]
    pub max_body: u64,
    /// Time for running turns to finish after SIGTERM, at most `1h`. Default `30s`.
    #[serde(deserialize_with = "duration")]
    pub drain_timeout: Duration,
    /// Networks whose `X-Forwarded-For` header is believed, such as `["10.0.0.0/8"]`. Default `[]`.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Lets administrators inject faults over the API. Refused beyond loopback. Default `false`.
    pub chaos: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1:8080".to_owned(),
            public_url: None,
            workers: None,
            max_body: 1 << 20,
            drain_timeout: Duration::from_secs(30),
            trusted_proxies: Vec::new(),
            chaos: false,
        }
    }
}

impl Server {
    /// Reads `bind`; `None` when it is no IP address with a port, which validation refuses.
    pub fn address(&self) -> Option<SocketAddr> {
        self.bind.parse().ok()
    }

    /// Tells whether only this machine can reach the server.
    pub fn is_loopback(&self) -> bool {
        self.address().is_some_and(|address| address.ip().to_canonical().is_loopback())
    }
}

/// `[storage]`: where messages live and how long. A change needs a restart of the process.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Storage {
    /// Database: `sqlite://PATH`, the path relative to the configuration file. Default `sqlite://data/mindbot.db`.
    pub url: String,
    /// Folder for everything else that must survive. Default `data`.
    pub data_dir: PathBuf,
    /// How long message texts and traces are kept, at least `1d`. Default `30d`.
    #[serde(deserialize_with = "duration")]
    pub keep: Duration,
    /// How long platform message ids are remembered against repeats, at least `7d`. Default `90d`.
    #[serde(deserialize_with = "duration")]
    pub keep_ids: Duration,
    /// Messages waiting in the inbox above which webhooks are answered 503, at least 1. Default `100000`.
    pub high_water: u64,
    /// Free disk below which webhooks are answered 503. Default `256MiB`.
    #[serde(deserialize_with = "size")]
    pub min_free: u64,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            url: "sqlite://data/mindbot.db".to_owned(),
            data_dir: PathBuf::from("data"),
            keep: days(30),
            keep_ids: days(90),
            high_water: 100_000,
            min_free: 256 << 20,
        }
    }
}

/// So many days of 24 hours.
pub(super) const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 60 * 60)
}

/// `[security]`: who may call from where, and whose clock is believed. A change is applied at once.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default)]
pub struct Security {
    /// Origins other than our own whose pages may call the API, such as `["https://intranet.example.com"]`. Default `[]`.
    pub cors_origins: Vec<String>,
    /// How far a WeCom callback's timestamp may be from our clock, either way, at least `1s`. Default `300s`.
    #[serde(deserialize_with = "maybe_duration")]
    pub webhook_skew: Option<Duration>,
}

/// `[pipeline]`: how messages become answers. Read afresh for every turn; a change restarts nothing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pipeline {
    /// Turns that run at once, 1 to 100000; more wait on disk. Default `1024`.
    pub turns: usize,
    /// Time that one turn may take, retries included; more than `0s`, at most `1d`. Default `120s`.
    #[serde(deserialize_with = "duration")]
    pub turn_timeout: Duration,
    /// Rapid messages of one person within this time become one turn, at most `1m`; with `0s` each is its own. Default `0s`.
    #[serde(deserialize_with = "duration")]
    pub aggregation: Duration,
    /// Characters of one message above which it is refused in words, 1 to 1000000. Default `8000`.
    pub max_input_chars: usize,
    /// A person who has read nothing of an answer for this long, in line or while the model is silent, gets one word to wait. Default `15s`.
    #[serde(deserialize_with = "duration")]
    pub notice_after: Duration,
    /// A message that could not be answered for this long gets the failure reply and becomes a dead letter. Default `1h`.
    #[serde(deserialize_with = "duration")]
    pub give_up_after: Duration,
    /// Messages a minute that one conversation may send; 0 is no limit. Default `30`.
    pub rate_per_conversation: u32,
    /// Messages that one conversation may send at once before the rate counts, at least 1. Default `30`.
    pub burst_per_conversation: u32,
    /// Messages a minute that one platform may hand in; 0 is no limit. Default `0`.
    pub rate_per_platform: u32,
    /// Words for the moments without an answer; see `[pipeline.replies]`.
    pub replies: Replies,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            turns: 1024,
            turn_timeout: Duration::from_secs(120),
            aggregation: Duration::ZERO,
            max_input_chars: 8000,
            notice_after: Duration::from_secs(15),
            give_up_after: Duration::from_secs(3600),
            rate_per_conversation: 30,
            burst_per_conversation: 30,
            rate_per_platform: 0,
            replies: Replies::default(),
        }
    }
}

/// `[pipeline.replies]`: what people read when there is no answer. Both languages are given, and neither is empty.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Replies {
    /// The turn waits because every slot is taken.
    /// Default `{ zh = "现在有点忙，你的消息已经排上队，稍后回复。", en = "It is busy right now; your message is in line." }`.
    pub busy: Words,
    /// The model takes longer than `pipeline.notice_after`, or is silent.
    /// Default `{ zh = "这个问题要花些时间，有了答案就发给你。", en = "This is taking a while; the answer comes as soon as it is there." }`.
    pub slow: Words,
    /// No answer could be produced.
    /// Default `{ zh = "抱歉，这条消息没能得到回答，请稍后再试。", en = "Sorry, this message could not be answered. Please try again later." }`.
    pub failed: Words,
    /// The person stopped the answer. Default `{ zh = "已停止。", en = "Stopped." }`.
    pub stopped: Words,
    /// The message is longer than `pipeline.max_input_chars`, or too many are waiting.
    /// Default `{ zh = "这条消息太长，或者排队的消息太多，没有处理。", en = "This message is too long, or too many are waiting; it was not taken." }`.
    pub too_long: Words,
    /// There is no text in the message, or its kind is not understood.
    /// Default `{ zh = "这里没有可以回答的文字：暂时只能看懂文字消息。", en = "There is no text to answer here; only text messages are understood so far." }`.
    pub unsupported: Words,
    /// The conversation sends faster than its rate.
    /// Default `{ zh = "消息发得太快了，请稍等一会儿再发。", en = "Messages are coming too fast; please wait a moment." }`.
    pub too_many: Words,
    /// The context was cleared by `/new`. Default `{ zh = "好的，我们重新开始。", en = "All right, let us start afresh." }`.
    pub fresh: Words,
}

/// One sentence in Chinese and in English.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default)]
pub struct Words {
    pub zh: String,
    pub en: String,
}

impl Words {
    fn new(zh: &str, en: &str) -> Self {
        Self { zh: zh.to_owned(), en: en.to_owned() }
    }
}

impl Default for Replies {
    fn default() -> Self {
        Self {
            busy: Words::new(
                "现在有点忙，你的消息已经排上队，稍后回复。",
                "It is busy right now; your message is in line.",
            ),
            slow: Words::new(
                "这个问题要花些时间，有了答案就发给你。",
                "This is taking a while; the answer comes as soon as it is there.",
            ),
            failed: Words::new(
                "抱歉，这条消息没能得到回答，请稍后再试。",
                "Sorry, this message could not be answered. Please try again later.",
            ),
            stopped: Words::new("已停止。", "Stopped."),
            too_long: Words::new(
                "这条消息太长，或者排队的消息太多，没有处理。",
                "This message is too long, or too many are waiting; it was not taken.",
            ),
            unsupported: Words::new(
                "这里没有可以回答的文字：暂时只能看懂文字消息。",
                "There is no text to answer here; only text messages are understood so far.",
            ),
            too_many: Words::new(
                "消息发得太快了，请稍等一会儿再发。",
                "Messages are coming too fast; please wait a moment.",
            ),
            fresh: Words::new("好的，我们重新开始。", "All right, let us start afresh."),
        }
    }
}

/// `[telemetry]`: logs. A change is applied at once.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or a filter such as `info,mindbot=debug`. Default `info`.
    pub log_level: String,
    /// `auto` (readable on a terminal, JSON lines otherwise), `text` or `json`. Default `auto`.
    pub log_format: LogFormat,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log_level: "info".to_owned(), log_format: LogFormat::Auto }
    }
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
