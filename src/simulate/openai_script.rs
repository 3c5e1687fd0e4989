//! The script of the OpenAI stand-in: which call goes wrong, and how. JSON, one rule after the other; the first that
//! applies decides:
//!
//! `[{"call": 3, "fault": "hang"}, {"contains": "boom", "times": 1, "fault": "status", "status": 429}]`

use serde::Deserialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// When a call goes wrong, and how. Every condition that is given must hold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Rule {
    /// The number of the call, from 1.
    pub call: Option<u64>,
    /// First and last number, both included.
    pub calls: Option<(u64, u64)>,
    /// Text in the last message.
    pub contains: Option<String>,
    /// The share of calls, 0 to 1, drawn from the seed.
    pub share: Option<f64>,
    /// How often the rule applies at most.
    pub times: Option<u64>,
    #[serde(flatten)]
    pub fault: Fault,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// Not a byte is sent.
    Hang,
    /// Nothing more comes after this many chunks, and the connection stays open.
    Stall {
        #[serde(default)]
        after: usize,
    },
    /// The connection is closed after this many chunks.
    Cut {
        #[serde(default)]
        after: usize,
    },
    /// Events that are no JSON.
    Garbage,
    /// An error instead of an answer. `retry_after` is sent as it stands: seconds, or a date.
    Status { status: u16, code: Option<String>, message: Option<String>, retry_after: Option<String> },
    /// An error object among the events, after this many chunks, followed by `[DONE]`.
    StreamError {
        #[serde(default)]
        after: usize,
        code: Option<String>,
    },
    /// The right events, byte by byte.
    SlowBytes { every_ms: u64 },
    /// The right events under another media type.
    ContentType { value: String },
    /// One line of this many bytes.
    GiantLine { bytes: usize },
    /// The right answer, with this reason to finish: `length`, `content_filter`, …
    Finish { reason: String },
    /// The right answer, but neither a reason to finish nor a count of tokens nor `[DONE]` comes after the text.
    NoEnd,
}

/// The rules, and how often each has applied.
#[derive(Debug, Default)]
pub struct Script(Vec<(Rule, AtomicU64)>);

impl Script {
    pub fn new(rules: Vec<Rule>) -> Self {
        Self(rules.into_iter().map(|rule| (rule, AtomicU64::new(0))).collect())
    }

    /// The fault of this call, if there is one.
    pub fn fault(&self, call: u64, question: &str, dice: &Dice) -> Option<&Fault> {
        let mut rules = self.0.iter();
        let found = rules.find(|(rule, used)| {
            rule.holds(call, question)
                && rule.share.is_none_or(|share| dice.roll() < share)
                && rule.times.is_none_or(|times| used.fetch_add(1, Ordering::Relaxed) < times)
        });
        found.map(|(rule, _)| &rule.fault)
    }
}

impl Rule {
    /// A rule for every call, to be narrowed down.
    pub fn always(fault: Fault) -> Self {
        Self { call: None, calls: None, contains: None, share: None, times: None, fault }
    }

    fn holds(&self, call: u64, question: &str) -> bool {
        self.call.is_none_or(|number| number == call)
            && self.calls.is_none_or(|(first, last)| (first..=last).contains(&call))
            && self.contains.as_ref().is_none_or(|text| question.contains(text.as_str()))
    }
}

/// Random numbers that a seed repeats. SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", 2014).
#[derive(Debug, Default)]
pub struct Dice(AtomicU64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number in 0..1.
    pub fn roll(&self) -> f64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // 32 bits are exact in an f64.
        f64::from(u32::try_from(z >> 32).unwrap_or(u32::MAX)) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_whose_conditions_all_hold_decides() {
        let rules = r#"[
            {"call": 3, "fault": "hang"},
            {"contains": "boom", "times": 1, "fault": "status", "status": 429, "retry_after": "2"},
            {"calls": [5, 6], "contains": "x", "fault": "cut", "after": 2},
            {"contains": "never", "share": 0.0, "fault": "garbage"}
        ]"#;
        let script = Script::new(serde_json::from_str(rules).unwrap());
        let dice = Dice::new(1);
        let limited = Fault::Status { status: 429, code: None, message: None, retry_after: Some("2".into()) };
        let table = [
            ("by number", 3, "boom", Some(Fault::Hang)),
            ("by text", 1, "a boom b", Some(limited)),
            ("once only", 2, "boom", None),
            ("both conditions", 5, "x", Some(Fault::Cut { after: 2 })),
            ("one of two conditions", 5, "y", None),
            ("no share", 1, "never", None),
        ];
        for (case, call, question, expected) in table {
            assert_eq!(script.fault(call, question, &dice).cloned(), expected, "{case}");
        }
    }

    #[test]
    fn a_seed_repeats_its_numbers_and_a_share_is_a_share() {
        let rolls =
            |seed| (0..1000).map(|_| ()).scan(Dice::new(seed), |dice, ()| Some(dice.roll())).collect::<Vec<_>>();
        assert_eq!(rolls(7), rolls(7));
        assert_ne!(rolls(7), rolls(8));
        let low = rolls(7).iter().filter(|roll| **roll < 0.3).count();
        assert!((250..350).contains(&low), "{low}");
    }
}
