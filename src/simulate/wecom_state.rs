//! What the stand-in for WeCom remembers: its tokens, the sends it took, and how often it was called.

use super::wecom_script::{Running, Script, Scripted};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Sends that the ledger remembers, and their bytes; older ones are forgotten.
const LEDGER: usize = 1_000_000;
const LEDGER_BYTES: usize = 512 * 1024 * 1024;
/// Sends in one answer of `/__sent`.
const PAGE: usize = 10_000;
/// WeCom cuts a text after this many bytes without an error.
const MAX_TEXT: usize = 2048;

/// One `message/send` that came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Counts sends from 1; the `since` of `/__sent`.
    pub n: u64,
    /// Unix milliseconds.
    pub at_ms: i64,
    pub touser: String,
    pub msgtype: String,
    /// What the member sees, cut as WeCom cuts.
    pub text: String,
    /// Seconds within which a repeat was to be suppressed; absent without `enable_duplicate_check`.
    pub duplicate_check: Option<u64>,
    /// Whether the member sees it: taken, and not suppressed as a repeat.
    pub shown: bool,
    /// The code it was answered with.
    pub errcode: i64,
}

/// How often each call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    pub gettoken: u64,
    pub send: u64,
    /// Sends that a member sees.
    pub shown: u64,
    pub callback: u64,
}

/// All of it, shared by the workers.
pub(super) struct State {
    pub script: ArcSwap<Running>,
    keeps_ledger: bool,
    memory: Mutex<Memory>,
    pub gettoken: AtomicU64,
    pub callback: AtomicU64,
}

#[derive(Default)]
struct Memory {
    tokens: Tokens,
    sent: VecDeque<Sent>,
    bytes: usize,
    /// Sends so far, and those that a member sees.
    sends: u64,
    shown: u64,
}

/// Tokens are numbered; the newest is the only one that may be valid.
#[derive(Default)]
struct Tokens {
    newest: u64,
    ends_at: Option<Instant>,
}

impl Tokens {
    /// The valid token, or a new one: WeCom repeats a token while it is valid.
    fn issue(&mut self, life: Duration) -> (String, Duration) {
        let now = Instant::now();
        let ends_at = match self.ends_at.filter(|end| *end > now) {
            Some(end) => end,
            None => {
                self.newest += 1;
                *self.ends_at.insert(now + life)
            }
        };
        (format!("stand-in-{}", self.newest), ends_at - now)
    }

    fn expire(&mut self) {
        self.ends_at = None;
    }

    /// 0, or WeCom's code for what is wrong with a token.
    fn check(&self, token: &str) -> i64 {
        let number = token.strip_prefix("stand-in-").and_then(|number| number.parse::<u64>().ok());
        match number {
            None if token.is_empty() => 41001,
            Some(number) if number == self.newest && self.ends_at.is_some_and(|end| end > Instant::now()) => 0,
            Some(number) if (1..=self.newest).contains(&number) => 42001,
            _ => 40014,
        }
    }
}

impl State {
    pub fn new(script: Script, keeps_ledger: bool) -> Self {
        Self {
            script: ArcSwap::from_pointee(Running::new(script)),
            keeps_ledger,
            memory: Mutex::default(),
            gettoken: AtomicU64::new(0),
            callback: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn follow(&self, script: Script) {
        self.script.store(Arc::new(Running::new(script)));
    }

    pub fn issue_token(&self, life: Duration) -> (String, Duration) {
        self.lock().tokens.issue(life)
    }

    pub fn expire_tokens(&self) {
        self.lock().tokens.expire();
    }

    pub fn calls(&self) -> Calls {
        let memory = self.lock();
        Calls {
            gettoken: self.gettoken.load(Ordering::Relaxed),
            send: memory.sends,
            shown: memory.shown,
            callback: self.callback.load(Ordering::Relaxed),
        }
    }

    /// Everything in the ledger, oldest first.
    pub fn sent(&self) -> Vec<Sent> {
        self.lock().sent.iter().cloned().collect()
    }

    /// The sends after number `since`, at most a page of them.
    pub fn sent_since(&self, since: u64) -> Vec<Sent> {
        let memory = self.lock();
        let first = memory.sent.partition_point(|sent| sent.n <= since);
        memory.sent.iter().skip(first).take(PAGE).cloned().collect()
    }

    /// Takes a message in and gives the code for it.
    pub fn take(&self, message: &Message, token: &str, scripted: &Scripted) -> i64 {
        let mut memory = self.lock();
        if scripted.expire_tokens {
            memory.tokens.expire();
        }
        let problems = [memory.tokens.check(token), scripted.errcode, message.problem()];
        let errcode = problems.into_iter().find(|code| *code != 0).unwrap_or(0);
        let is_refused = errcode != 0 || scripted.http.is_some() || scripted.invaliduser.is_some();
        memory.sends += 1;
        let sent = message.record(memory.sends, errcode);
        let shown = !is_refused && !memory.repeats(&sent);
        memory.shown += u64::from(shown);
        if self.keeps_ledger {
            memory.remember(Sent { shown, ..sent });
        }
        errcode
    }
}

impl Memory {
    fn remember(&mut self, sent: Sent) {
        self.bytes += sent.text.len();
        self.sent.push_back(sent);
        while self.sent.len() > LEDGER || self.bytes > LEDGER_BYTES {
            let forgotten = self.sent.pop_front();
            self.bytes -= forgotten.map_or(self.bytes, |sent| sent.text.len());
        }
    }

    /// Whether a flagged send repeats one that was shown within its interval.
    fn repeats(&self, sent: &Sent) -> bool {
        let Some(seconds) = sent.duplicate_check else { return false };
        let since = sent.at_ms.saturating_sub(i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX));
        let mut recent = self.sent.iter().rev().take_while(|earlier| earlier.at_ms >= since);
        recent.any(|earlier| earlier.shown && earlier.touser == sent.touser && earlier.text == sent.text)
    }
}

/// What is read of a `message/send`.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    #[serde(default)]
    pub touser: String,
    #[serde(default)]
    msgtype: String,
    agentid: Option<Value>,
    text: Option<Content>,
    markdown: Option<Content>,
    #[serde(default)]
    enable_duplicate_check: u8,
    duplicate_check_interval: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Content {
    content: String,
}

impl Message {
    fn content(&self) -> &str {
        let content = match self.msgtype.as_str() {
            "text" => &self.text,
            "markdown" => &self.markdown,
            _ => &None,
        };
        content.as_ref().map_or("", |it| it.content.as_str())
    }

    /// 0, or WeCom's code for what is wrong with the message.
    fn problem(&self) -> i64 {
        let problems = [
            (!matches!(self.msgtype.as_str(), "text" | "markdown"), 40008),
            (!self.agentid.as_ref().is_some_and(Value::is_i64), 40056),
            (self.touser.is_empty(), 82001),
            (self.content().trim().is_empty(), 44004),
        ];
        problems.into_iter().find(|(is_wrong, _)| *is_wrong).map_or(0, |(_, code)| code)
    }

    fn record(&self, n: u64, errcode: i64) -> Sent {
        let content = self.content();
        let end = content.floor_char_boundary(MAX_TEXT.min(content.len()));
        let interval = self.duplicate_check_interval.unwrap_or(1800).min(14_400);
        Sent {
            n,
            at_ms: Timestamp::now().as_millisecond(),
            touser: self.touser.clone(),
            msgtype: self.msgtype.clone(),
            text: content.get(..end).unwrap_or_default().to_owned(),
            duplicate_check: (self.enable_duplicate_check == 1).then_some(interval),
            shown: false,
            errcode,
        }
    }
}
