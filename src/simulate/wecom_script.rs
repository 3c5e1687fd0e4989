//! What the stand-in answers instead of success: rules over the nth call, as plain data.

use serde::Deserialize;
use std::sync::Mutex;
use std::time::Duration;

/// Which call a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum On {
    Gettoken,
    Send,
}

/// A script: the first rule that fits a call decides; without one the call succeeds.
///
/// ```json
/// {"expires_in": 7200, "rules": [
///   {"on": "send", "nth": 3, "answer": {"errcode": 45009}},
///   {"on": "send", "user": "lisi", "answer": {"fault": "cut", "delay_ms": 200}}
/// ]}
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Seconds that a token lives, at most a day.
    pub expires_in: u64,
    pub rules: Vec<Rule>,
}

impl Default for Script {
    fn default() -> Self {
        Self { expires_in: 7200, rules: Vec::new() }
    }
}

/// One rule. Calls are counted for each rule on its own: those that `on` and `user` fit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub on: On,
    /// Only sends to this member.
    pub user: Option<String>,
    /// The first call that is answered so, from 1. Absent: the first.
    pub nth: Option<u64>,
    /// How many are. Absent: one when `nth` is given, else all of them.
    pub times: Option<u64>,
    pub answer: Scripted,
}

/// What a rule answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Scripted {
    /// WeCom's code; 0 goes the usual way, which is useful with `delay_ms`.
    pub errcode: i64,
    /// Words for the code. Default: as WeCom has them for the common codes.
    pub errmsg: Option<String>,
    /// HTTP status with an empty body, instead of a code. The member sees nothing.
    pub http: Option<u16>,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
    /// Milliseconds before the answer.
    pub delay_ms: u64,
    /// Members that WeCom lists as invalid, joined with `|`.
    pub invaliduser: Option<String>,
    pub fault: Option<Fault>,
    /// Ends every token issued so far, this call's too.
    pub expire_tokens: bool,
}

/// Ways in which an answer goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// The message is taken, and the connection breaks before the answer is whole.
    Cut,
    /// The message is taken, and the answer is no JSON.
    Garbage,
    /// The message is taken, and the answer never ends.
    Endless,
}

impl Scripted {
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }
}

/// A script at work.
pub struct Running {
    script: Script,
    seen: Mutex<Vec<u64>>,
}

impl Running {
    pub fn new(script: Script) -> Self {
        let seen = Mutex::new(vec![0; script.rules.len()]);
        Self { script, seen }
    }

    pub fn token_life(&self) -> Duration {
        Duration::from_secs(self.script.expires_in.min(24 * 3600))
    }

    /// The answer to this call, if a rule has one. Counts the call.
    pub fn answer(&self, on: On, user: &str) -> Option<&Scripted> {
        if self.script.rules.is_empty() {
            return None;
        }
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut chosen = None;
        for (rule, count) in self.script.rules.iter().zip(seen.iter_mut()) {
            if rule.on != on || rule.user.as_deref().is_some_and(|named| named != user) {
                continue;
            }
            *count += 1;
            let times = rule.times.unwrap_or(if rule.nth.is_some() { 1 } else { u64::MAX });
            let first = rule.nth.unwrap_or(1);
            if chosen.is_none() && (first..first.saturating_add(times)).contains(count) {
                chosen = Some(&rule.answer);
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_count_their_own_calls() {
        let script = serde_json::from_str(
            r#"{"rules": [
                {"on": "send", "nth": 2, "answer": {"errcode": -1}},
                {"on": "send", "user": "lisi", "times": 1, "answer": {"errcode": 81013}},
                {"on": "gettoken", "answer": {"http": 500}}
            ]}"#,
        );
        let running = Running::new(script.unwrap());
        let codes = ["a", "lisi", "lisi", "lisi"].map(|user| running.answer(On::Send, user).map(|it| it.errcode));
        // The second send is the first rule's; that one was the only turn of the second rule.
        assert_eq!(codes, [None, Some(-1), None, None]);
        assert_eq!(running.answer(On::Gettoken, "").and_then(|it| it.http), Some(500));
        assert!(serde_json::from_str::<Script>(r#"{"rule": []}"#).is_err(), "a misspelt script is noticed");
    }
}
