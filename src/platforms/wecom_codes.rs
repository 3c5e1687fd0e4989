//! What each of WeCom's error codes asks of us: one table for the self-built application.
//!
//! Source: developer.work.weixin.qq.com, "全局错误码" (read November 2026).

use super::PlatformError;
use std::time::Duration;

/// What to do about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Fetch a new access token and send once more.
    Refresh,
    /// Send later; each wait is longer.
    BackOff,
    /// Send nothing until the limit's minute has passed.
    WaitOut,
    /// Cut the part smaller.
    Cut,
    /// This part can never arrive.
    GiveUp,
    /// An operator must act.
    Report,
}

use Action::{BackOff, Cut, GiveUp, Refresh, Report, WaitOut};

/// Code, what it asks for, and what it means.
const CODES: &[(i64, Action, &str)] = &[
    (-1, BackOff, "the system is busy"),
    (40001, Refresh, "wrong secret, or an access token of another one"),
    (40003, GiveUp, "there is no such member"),
    (40007, GiveUp, "the media id is invalid or older than 3 days"),
    (40008, GiveUp, "unknown message type"),
    (40009, GiveUp, "wrong size of a picture"),
    (40013, Report, "wrong `corp_id`"),
    (40014, Refresh, "the access token is invalid"),
    (40056, Report, "wrong `agent_id`"),
    (40058, GiveUp, "invalid parameter"),
    (40063, GiveUp, "a parameter is empty"),
    (40091, Report, "the `secret` is invalid, or belongs to another organisation"),
    (40096, GiveUp, "there is no such customer"),
    (41001, Refresh, "the access token is missing"),
    (42001, Refresh, "the access token has expired"),
    (43004, GiveUp, "the member has not activated the account"),
    (44001, GiveUp, "empty media"),
    (44003, GiveUp, "empty news"),
    (44004, GiveUp, "empty content"),
    (45001, GiveUp, "the media file is too large"),
    (45002, Cut, "the content is too long"),
    (45007, GiveUp, "the voice is longer than 60 s"),
    (45008, GiveUp, "more than 8 articles"),
    (45009, WaitOut, "too many calls"),
    (45033, BackOff, "too many calls at once"),
    (48002, Report, "the application may not call this"),
    (50002, GiveUp, "the member is outside the application's scope"),
    (50003, Report, "the application is disabled"),
    (60011, GiveUp, "no permission for this member"),
    (60020, Report, "this machine's address is not in the application's list of trusted addresses (企业可信IP)"),
    (60021, GiveUp, "the member is outside the visible range"),
    (60111, GiveUp, "there is no such member"),
    (81013, GiveUp, "no recipient is valid or visible"),
    (82001, GiveUp, "no recipient"),
    (86001, GiveUp, "there is no such chat"),
    (86003, GiveUp, "there is no such chat"),
    (93000, Report, "the robot's address is invalid, or the robot was removed"),
    (93004, Report, "the robot is disabled"),
    (93006, GiveUp, "there is no such chat"),
    (93008, GiveUp, "not in the group"),
    (301_002, Report, "the secret is not that of `agent_id`"),
];

/// Looks a code up. One that is not known refuses this part alone: it is kept with its reason and can be sent again
/// by hand.
pub(super) fn action_of(code: i64) -> (Action, &'static str) {
    let known = CODES.iter().find(|(known, ..)| *known == code);
    known.map_or((GiveUp, "unknown error"), |(_, action, meaning)| (*action, meaning))
}

/// The error for a code that a send was answered with. `first_wait` is the wait of a [`Action::BackOff`].
///
/// [`Action::Refresh`] comes here only after a fresh token was refused as well.
pub(super) fn send_error(code: i64, detail: &str, back_off: Duration, now: i64) -> PlatformError {
    let (action, meaning) = action_of(code);
    let reason = format!("WeCom answered {code}: {meaning} ({detail})");
    match action {
        Refresh => {
            PlatformError::Later { after: back_off, reason: format!("a fresh access token was refused; {reason}") }
        }
        BackOff => PlatformError::Later { after: back_off, reason },
        WaitOut => PlatformError::RateLimited { after: until_next_minute(now), reason },
        Cut => PlatformError::TooLong(reason),
        GiveUp => PlatformError::Rejected(reason),
        Report => PlatformError::Misconfigured(reason),
    }
}

/// The error for a code that a token was answered with. Nothing was sent; what cannot pass is the configuration's.
pub(super) fn token_error(code: i64, detail: &str, now: i64) -> PlatformError {
    match action_of(code) {
        (BackOff | WaitOut, _) => send_error(code, detail, RETRY_TOKEN, now),
        (Refresh | Cut | GiveUp | Report, meaning) => {
            PlatformError::Misconfigured(format!("WeCom gives no access token, {code}: {meaning} ({detail})"))
        }
    }
}

/// The wait after a token could not be fetched.
pub(super) const RETRY_TOKEN: Duration = Duration::from_secs(2);

/// Time until the minute in which a limit was hit has passed, by Unix seconds, and a second for the clocks to differ.
///
/// Limits count by minutes and by hours; after an hour's limit this is asked again each minute.
pub(super) fn until_next_minute(now: i64) -> Duration {
    Duration::from_secs(61 - now.rem_euclid(60).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const WAIT: Duration = Duration::from_secs(3);

    #[test]
    fn every_documented_code_gets_its_action() {
        let file = include_str!("../../tests/fixtures/wecom/error_actions.json");
        let vectors: Value = serde_json::from_str(file).unwrap();
        let cases = vectors["wecom"].as_array().unwrap();
        assert!(cases.len() >= 43, "the vectors are all there");
        for case in cases {
            let (code, documented) = (case["code"].as_i64().unwrap(), case["action"].as_str().unwrap());
            let expected = match (code, documented) {
                (0, "ok") => continue,
                // These belong to the AI bot's long connection, which falls back to this kind of send.
                (846_605 | 846_608, _) => GiveUp,
                (_, "refresh_token_retry_once") => Refresh,
                (_, "retry_backoff") => BackOff,
                (_, "rate_limit_wait") => WaitOut,
                (_, "give_up") => GiveUp,
                (_, "config_error") => Report,
                (_, "downgrade") => Cut,
                other => panic!("no action for {other:?}"),
            };
            assert_eq!(action_of(code).0, expected, "{code}");
        }
    }

    #[test]
    fn a_send_learns_what_to_do_next() {
        let table = [
            ("busy", -1, PlatformError::Later { after: WAIT, reason: String::new() }),
            ("rate", 45009, PlatformError::RateLimited { after: Duration::from_secs(41), reason: String::new() }),
            ("refused twice", 42001, PlatformError::Later { after: WAIT, reason: String::new() }),
            ("too long", 45002, PlatformError::TooLong(String::new())),
            ("gone", 81013, PlatformError::Rejected(String::new())),
            ("address", 60020, PlatformError::Misconfigured(String::new())),
            ("never seen", 987_654, PlatformError::Rejected(String::new())),
        ];
        for (case, code, expected) in table {
            assert_eq!(bare(send_error(code, "x", WAIT, 20)), expected, "{case}");
        }
    }

    #[test]
    fn a_token_that_is_refused_is_the_configurations_fault() {
        let table = [
            ("wrong secret", 40001, PlatformError::Misconfigured(String::new())),
            ("wrong corp id", 40013, PlatformError::Misconfigured(String::new())),
            ("never seen", 41004, PlatformError::Misconfigured(String::new())),
            ("busy", -1, PlatformError::Later { after: RETRY_TOKEN, reason: String::new() }),
            ("rate", 45009, PlatformError::RateLimited { after: Duration::from_secs(61), reason: String::new() }),
        ];
        for (case, code, expected) in table {
            assert_eq!(bare(token_error(code, "x", 60)), expected, "{case}");
        }
    }

    /// The error without its words.
    fn bare(error: PlatformError) -> PlatformError {
        let none = String::new();
        match error {
            PlatformError::Later { after, .. } => PlatformError::Later { after, reason: none },
            PlatformError::RateLimited { after, .. } => PlatformError::RateLimited { after, reason: none },
            PlatformError::Rejected(_) => PlatformError::Rejected(none),
            PlatformError::TooLong(_) => PlatformError::TooLong(none),
            PlatformError::Misconfigured(_) => PlatformError::Misconfigured(none),
            other => other,
        }
    }

    #[test]
    fn the_minute_ends_within_a_minute() {
        let table = [(0, 61), (1, 60), (59, 2), (60, 61), (-1, 2)];
        for (now, seconds) in table {
            assert_eq!(until_next_minute(now), Duration::from_secs(seconds), "{now}");
        }
    }
}
