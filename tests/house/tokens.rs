//! A hundred people are answered at once, and WeCom is asked for one access token, not for a hundred.

use crate::support::office::{Office, Setup};
use futures_util::future::join_all;
use mindbot::simulate::wecom::{On, Rule, Script, Scripted};
use std::time::Duration;

const SENDS: usize = 100;

fn rule(on: On, nth: Option<u64>, times: Option<u64>, answer: Scripted) -> Rule {
    Rule { on, user: None, nth, times, answer }
}

/// Every token takes so long to fetch that all callers are waiting for it.
fn slow_token() -> Rule {
    rule(On::Gettoken, None, None, Scripted { delay_ms: 300, ..Scripted::default() })
}

/// Has a hundred members answered at once. Answers the tokens that were fetched for it.
async fn rush(office: &Office, name: &str, script: Script) -> u64 {
    let before = office.wecom.calls().gettoken;
    office.wecom.follow(script);
    let users: Vec<String> = (0..SENDS).map(|number| format!("{name}-{number}")).collect();
    join_all(users.iter().map(|user| async move { office.write(user, &format!("echo:{user}")).await })).await;
    for user in &users {
        assert_eq!(office.replies(user, 1).await, [user.as_str()], "answered once");
    }
    office.wecom.calls().gettoken - before
}

#[actix_rt::test]
async fn one_token_is_fetched_for_everybody_who_waits() {
    let office = Office::open(Setup { platform: "concurrency = 100", ..Setup::default() }).await;
    let slow = || Script { rules: vec![slow_token()], ..Script::default() };

    office.wecom.follow(Script { expires_in: 1, ..Script::default() });
    assert_eq!(office.ask("first", "echo:hello").await, "hello");
    // The token's whole life.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(rush(&office, "expired", slow()).await, 1);

    office.wecom.expire_tokens();
    assert_eq!(rush(&office, "refused", slow()).await, 1);

    let expire = Scripted { errcode: 42001, expire_tokens: true, ..Scripted::default() };
    let amid = rule(On::Send, Some(50), None, expire);
    assert_eq!(rush(&office, "amid", Script { rules: vec![amid, slow_token()], ..Script::default() }).await, 1);

    office.wecom.expire_tokens();
    let fails = rule(On::Gettoken, None, Some(1), Scripted { errcode: -1, delay_ms: 300, ..Scripted::default() });
    let once = Script { rules: vec![fails, slow_token()], ..Script::default() };
    assert_eq!(rush(&office, "failing", once).await, 2, "one that failed, shared by all, and one that worked");
}
