//! The WeCom self-built application: encrypted callbacks in, `message/send` out.
//!
//! The callback side is pure and belongs to the webhook route; the actor only sends. A restart loses the access token
//! and the calls in flight, whose parts the outbox settles by [`UnknownRule::RepeatOnceFlagged`].

use super::wecom_api::Api;
use super::wecom_callback::Callback;
use super::wecom_crypto::Envelope;
use super::{Deliver, Delivered, Dialect, Ingress, Kind, Limits, PlatformError, Ports, Probe, UnknownRule, Wiring};
use crate::config::{self, ReplyFormat};
use crate::domain::InstanceId;
use crate::supervise::{Answer, ChildSpec, Control, Crowd, card, contained, obey};
use actix::{Actor, Context, Handler};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// `kind = "wecom"`.
pub static KIND: Kind = Kind {
    name: "wecom",
    card: &CARD,
    // 2048 bytes for text and Markdown alike, the rest is cut off without an error ("发送应用消息"); 10,000 calls a
    // minute for each organisation and API ("访问频率限制"; both read November 2026).
    limits: Limits { max_bytes: 2048, previews_per_second: 0, sends_per_minute: 10_000 },
    unknown: UnknownRule::RepeatOnceFlagged,
    check,
    credential: |section| Some(&section.secret),
    ingress: |section, skew| Callback::new(section, skew).map(|callback| Arc::new(callback) as Arc<dyn Ingress>),
    dialect: |section| match section.reply_format {
        ReplyFormat::Text => Dialect::Plain,
        ReplyFormat::Markdown => Dialect::WeCom,
    },
    spec,
    probe: Some(probe),
};

fn spec(_: &Wiring, section: &Arc<config::Platform>, ports: &Ports) -> ChildSpec {
    let (id, section) = (InstanceId::platform(&section.id), section.clone());
    ChildSpec::of(id, move || WeCom::new(section.clone())).fills(&ports.deliver).build()
}

fn probe(section: &Arc<config::Platform>) -> Probe {
    let section = section.clone();
    Box::pin(async move { Api::new(section)?.probe().await })
}

fn check(section: &config::Platform) -> Vec<(&'static str, String)> {
    let required = [
        ("corp_id", section.corp_id.is_empty()),
        ("secret", section.secret.is_empty()),
        ("token", section.token.is_empty()),
        ("encoding_aes_key", section.encoding_aes_key.is_empty()),
    ];
    let empty = required.into_iter().filter(|(_, is_empty)| *is_empty);
    let mut problems: Vec<_> = empty.map(|(key, _)| (key, "must not be empty".to_owned())).collect();
    if section.agent_id <= 0 {
        problems.push(("agent_id", "must be the number of the application, such as 1000002".to_owned()));
    }
    let key = &section.encoding_aes_key;
    if let (false, Err(problem)) = (key.is_empty(), Envelope::new(&section.token, key, &section.corp_id)) {
        problems.push(("encoding_aes_key", problem.to_string()));
    }
    problems
}

/// The adapter of one application.
pub struct WeCom {
    api: Result<Rc<Api>, String>,
    deliveries: Crowd<Self>,
}

impl WeCom {
    /// Makes the adapter and its HTTP client, on the thread that both will live on.
    pub fn new(section: Arc<config::Platform>) -> Self {
        Self { api: Api::new(section).map(Rc::new), deliveries: Crowd::default() }
    }
}

card! {
    WeCom takes [Deliver, Control];
    instances: "platform/<id>",
    asks: "`GET /cgi-bin/gettoken`, `POST /cgi-bin/message/send`.",
    when_full: "`Deliver`: the part waits in the outbox; other platforms go on.",
    lost: "The access token, fetched again by the next call, and the calls in flight: a part whose request may have left is sent once more with `enable_duplicate_check`.",
    stuck: "`mindbot_queue_oldest_seconds` of the outbox grows for this platform. Look at the trace of the oldest message, then at the trusted IP list and `secret`.",
}

impl Actor for WeCom {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.deliveries.start(ctx);
    }
}

impl Handler<Control> for WeCom {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}

impl Handler<Deliver> for WeCom {
    type Result = Answer<Self, Result<Delivered, PlatformError>>;

    fn handle(&mut self, call: Deliver, _: &mut Context<Self>) -> Self::Result {
        let (api, begun) = (self.api.clone(), call.begun.clone());
        let delivering = contained(async move {
            let api = api.map_err(PlatformError::Misconfigured)?;
            api.deliver(&call).await
        });
        self.deliveries.answer(async move {
            match delivering.await {
                Ok(result) => result,
                Err(bug) if begun.is_raised() => Err(PlatformError::Unknown(bug.to_string())),
                Err(bug) => Err(PlatformError::Later { after: Duration::from_secs(1), reason: bug.to_string() }),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SECRET, wecom_section as section};
    use super::super::{Begun, OutPart};
    use super::*;
    use crate::config::Secret;
    use crate::domain::Deadline;
    use crate::egress;
    use crate::simulate::wecom::{Options, Script, StandIn, start};
    use crate::supervise::{Thread, Transient};
    use actix::Addr;
    use futures_util::future::join_all;
    use serde_json::{Value, json};

    #[test]
    fn a_section_names_what_it_lacks() {
        let table: [(&str, fn(&mut config::Platform), &[&str]); 5] = [
            ("whole", |_| {}, &[]),
            ("no secret", |it| it.secret = Secret::default(), &["secret"]),
            ("no application", |it| it.agent_id = 0, &["agent_id"]),
            ("short key", |it| it.encoding_aes_key = Secret::new("abc"), &["encoding_aes_key"]),
            (
                "empty",
                |it| *it = config::Platform::default(),
                &["corp_id", "secret", "token", "encoding_aes_key", "agent_id"],
            ),
        ];
        for (case, change, expected) in table {
            let mut section = section();
            change(&mut section);
            let keys: Vec<_> = (KIND.check)(&section).into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys, expected, "{case}");
            let runs = (KIND.ingress)(&section, Duration::ZERO).is_some();
            assert!(runs || !keys.is_empty(), "{case}: refused without a word");
        }
    }

    fn script(rules: Value) -> Script {
        serde_json::from_value(json!({ "rules": rules })).unwrap()
    }

    /// An adapter and the stand-in it talks to.
    async fn adapter(rules: Value) -> (Addr<WeCom>, StandIn) {
        egress::install_tls();
        let options = Options { script: script(rules), ..Options::default() };
        let stand_in = start(options).await.unwrap();
        let section = config::Platform { api_base: Some(stand_in.base().parse().unwrap()), ..section() };
        (WeCom::new(Arc::new(section)).start(), stand_in)
    }

    fn deliver(user: &str, text: &str) -> Deliver {
        let part = OutPart {
            id: 1,
            message: 1,
            part: 0,
            conversation: "c".into(),
            reply_route: json!({ "touser": user, "agent_id": 1_000_002 }),
            text: text.into(),
            mark: None,
            degraded: false,
            sources: Vec::new(),
            may_repeat: false,
            age: Duration::ZERO,
            at_ms: 0,
        };
        Deliver { part, deadline: Deadline::after(Duration::from_secs(20)), begun: Begun::default() }
    }

    /// What the pump does next, with the wait where there is one.
    fn outcome(result: &Result<Delivered, PlatformError>) -> (&'static str, u64) {
        match result {
            Ok(delivered) => ("delivered", delivered.calls.into()),
            Err(PlatformError::Later { after, .. }) => ("later", after.as_secs()),
            Err(PlatformError::Away { after, .. }) => ("away", after.as_secs()),
            Err(PlatformError::RateLimited { after, .. }) => ("limited", after.as_secs()),
            Err(PlatformError::Rejected(_)) => ("rejected", 0),
            Err(PlatformError::TooLong(_)) => ("too long", 0),
            Err(PlatformError::Misconfigured(_)) => ("misconfigured", 0),
            Err(PlatformError::Unknown(_)) => ("unknown", 0),
            Err(PlatformError::Call(_)) => ("call", 0),
        }
    }

    #[actix_rt::test]
    async fn a_part_arrives() {
        let (wecom, stand_in) = adapter(json!([])).await;
        let call = deliver("zhangsan", "你好");
        let delivered = wecom.send(call.clone()).await.unwrap().unwrap();
        assert!(call.begun.is_raised() && delivered.calls == 1 && !delivered.platform_id.is_empty());
        let sent = stand_in.sent();
        let seen: Vec<_> = sent.iter().map(|it| (it.touser.as_str(), it.msgtype.as_str(), it.text.as_str())).collect();
        assert_eq!(seen, [("zhangsan", "text", "你好")]);
        assert_eq!((sent[0].duplicate_check, sent[0].shown), (None, true));
        stand_in.stop().await;
    }

    #[actix_rt::test]
    async fn callers_share_the_token() {
        let (wecom, stand_in) = adapter(json!([])).await;
        let hundred = || join_all((0..100).map(|n| wecom.send(deliver(&format!("u{n}"), "hi"))));
        assert!(hundred().await.iter().all(|result| result.as_ref().unwrap().is_ok()));
        assert_eq!(stand_in.calls().gettoken, 1, "none there yet");
        stand_in.expire_tokens();
        assert!(hundred().await.iter().all(|result| result.as_ref().unwrap().is_ok()));
        assert_eq!((stand_in.calls().gettoken, stand_in.calls().shown), (2, 200), "expired before the rush");
        stand_in.follow(script(json!([{ "on": "send", "nth": 50, "answer": { "expire_tokens": true } }])));
        assert!(hundred().await.iter().all(|result| result.as_ref().unwrap().is_ok()));
        assert_eq!((stand_in.calls().gettoken, stand_in.calls().shown), (3, 300), "expired in the middle of it");
        stand_in.stop().await;
    }

    #[actix_rt::test]
    async fn a_failing_token_is_asked_for_once() {
        let table = [
            ("wrong secret", json!({ "errcode": 40001 }), ("misconfigured", 0)),
            ("untrusted address", json!({ "errcode": 60020 }), ("misconfigured", 0)),
            ("busy", json!({ "errcode": -1 }), ("later", 2)),
            ("broken", json!({ "http": 500 }), ("away", 2)),
            ("patience", json!({ "http": 503, "retry_after": "9" }), ("away", 9)),
            ("limited", json!({ "http": 429, "retry_after": "8" }), ("limited", 8)),
            ("wrong base", json!({ "http": 404 }), ("misconfigured", 0)),
            ("garbage", json!({ "fault": "garbage" }), ("away", 2)),
            ("cut", json!({ "fault": "cut" }), ("away", 2)),
            ("endless", json!({ "fault": "endless" }), ("away", 2)),
        ];
        for (case, answer, expected) in table {
            let (wecom, stand_in) = adapter(json!([{ "on": "gettoken", "answer": answer }])).await;
            let calls: Vec<_> = (0..100).map(|n| deliver(&format!("u{n}"), "hi")).collect();
            let results = join_all(calls.iter().map(|call| wecom.send(call.clone()))).await;
            assert!(results.iter().all(|result| outcome(result.as_ref().unwrap()) == expected), "{case}: {results:?}");
            assert_eq!((stand_in.calls().gettoken, stand_in.calls().send), (1, 0), "{case}");
            assert!(calls.iter().all(|call| !call.begun.is_raised()), "{case}: nothing was begun");
            stand_in.stop().await;
        }
    }

    #[actix_rt::test]
    async fn every_code_does_what_is_documented() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../tests/fixtures/wecom/error_actions.json")).unwrap();
        let (wecom, stand_in) = adapter(json!([])).await;
        for case in vectors["wecom"].as_array().unwrap() {
            let (code, action) = (case["code"].as_i64().unwrap(), case["action"].as_str().unwrap());
            let (expected, sends) = match (code, action) {
                (0, _) => ("delivered", 1),
                (846_605 | 846_608, _) => ("rejected", 1),
                (_, "refresh_token_retry_once") => ("later", 2),
                (_, "retry_backoff") => ("later", 1),
                (_, "rate_limit_wait") => ("limited", 1),
                (_, "give_up") => ("rejected", 1),
                (_, "config_error") => ("misconfigured", 1),
                (_, "downgrade") => ("too long", 1),
                other => panic!("no expectation for {other:?}"),
            };
            stand_in.follow(script(json!([{ "on": "send", "answer": { "errcode": code } }])));
            let before = stand_in.calls();
            let result = wecom.send(deliver("zhangsan", "hi")).await.unwrap();
            let (outcome, number) = outcome(&result);
            assert_eq!(outcome, expected, "{code}: {result:?}");
            assert_eq!(stand_in.calls().send - before.send, sends, "{code}");
            match outcome {
                "later" | "delivered" => assert_eq!(number, 1, "{code}"),
                "limited" => assert!((2..=61).contains(&number), "{code}: waits for the next minute"),
                _ => {}
            }
            let says_code = result.map_or_else(|error| error.to_string(), |_| code.to_string());
            assert!(says_code.contains(&code.to_string()), "{code}: {says_code}");
        }
        stand_in.stop().await;
    }

    #[actix_rt::test]
    async fn a_refused_token_costs_one_more_call() {
        for code in [40001, 40014, 41001, 42001] {
            let rule = json!([{ "on": "send", "nth": 1, "answer": { "errcode": code } }]);
            let (wecom, stand_in) = adapter(rule).await;
            let result = wecom.send(deliver("zhangsan", "hi")).await.unwrap();
            assert_eq!(outcome(&result), ("delivered", 2), "{code}");
            assert_eq!((stand_in.calls().gettoken, stand_in.calls().shown), (2, 1), "{code}");
            stand_in.stop().await;
        }
    }

    #[actix_rt::test]
    async fn a_send_that_goes_wrong_says_what_is_known() {
        let table = [
            ("cut", json!({ "fault": "cut" }), ("unknown", 0)),
            ("garbage", json!({ "fault": "garbage" }), ("unknown", 0)),
            ("endless", json!({ "fault": "endless" }), ("unknown", 0)),
            ("lost in a gateway", json!({ "http": 502 }), ("unknown", 0)),
            ("too late", json!({ "delay_ms": 60_000 }), ("unknown", 0)),
            ("overloaded", json!({ "http": 503 }), ("away", 1)),
            ("overloaded for long", json!({ "http": 503, "retry_after": "7" }), ("away", 7)),
            (
                "overloaded since the past",
                json!({ "http": 503, "retry_after": "Wed, 21 Oct 2015 07:28:00 GMT" }),
                ("away", 0),
            ),
            ("limited", json!({ "http": 429, "retry_after": "5" }), ("limited", 5)),
            ("wrong base", json!({ "http": 404 }), ("misconfigured", 0)),
            ("not this member", json!({ "invaliduser": "lisi|ZhangSan" }), ("rejected", 0)),
            ("another member", json!({ "invaliduser": "lisi" }), ("delivered", 1)),
        ];
        for (case, answer, expected) in table {
            let (wecom, stand_in) = adapter(json!([{ "on": "send", "answer": answer }])).await;
            let call = Deliver { deadline: Deadline::after(Duration::from_secs(1)), ..deliver("zhangsan", "hi") };
            let result = wecom.send(call.clone()).await.unwrap();
            assert_eq!(outcome(&result), expected, "{case}: {result:?}");
            assert!(call.begun.is_raised(), "{case}");
            stand_in.stop().await;
        }
    }

    #[actix_rt::test]
    async fn nobody_there_is_not_a_send_and_shows_no_secret() {
        egress::install_tls();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let base = format!("http://{closed}/behind/a/path/").parse().unwrap();
        let wecom = WeCom::new(Arc::new(config::Platform { api_base: Some(base), ..section() })).start();
        let call = deliver("zhangsan", "hi");
        let result = wecom.send(call.clone()).await.unwrap();
        assert_eq!(outcome(&result), ("away", 2));
        assert!(!call.begun.is_raised());
        assert!(!format!("{result:?}").contains(SECRET), "{result:?}");
    }

    #[actix_rt::test]
    async fn a_possible_repeat_is_flagged_and_shown_once() {
        let (wecom, stand_in) = adapter(json!([{ "on": "send", "nth": 1, "answer": { "fault": "cut" } }])).await;
        let first = wecom.send(deliver("zhangsan", "hi")).await.unwrap();
        assert_eq!(outcome(&first), ("unknown", 0));
        let mut again = deliver("zhangsan", "hi");
        again.part = OutPart { may_repeat: true, age: Duration::from_secs(100), ..again.part };
        assert_eq!(outcome(&wecom.send(again.clone()).await.unwrap()), ("delivered", 1));
        let flags: Vec<_> = stand_in.sent().iter().map(|sent| (sent.duplicate_check, sent.shown)).collect();
        assert_eq!(flags, [(None, true), (Some(160), false)]);
        again.part.age = Duration::from_secs(14_400);
        assert_eq!(outcome(&wecom.send(again).await.unwrap()), ("unknown", 0));
        assert_eq!(stand_in.calls().send, 2, "WeCom would not recognise it any more");
        stand_in.stop().await;
    }

    #[actix_rt::test]
    async fn only_one_member_is_written_to() {
        let (wecom, stand_in) = adapter(json!([])).await;
        for user in ["", "@ALL", "zhangsan|lisi"] {
            assert_eq!(outcome(&wecom.send(deliver(user, "hi")).await.unwrap()), ("rejected", 0), "{user}");
        }
        assert_eq!(stand_in.calls().send, 0);
        stand_in.stop().await;
    }

    #[cfg(feature = "chaos-tests")]
    #[actix_rt::test]
    async fn a_panic_costs_its_own_part() {
        let (wecom, stand_in) = adapter(json!([])).await;
        let (bad, good) = (deliver("zhangsan", crate::sabotage::MARK), deliver("lisi", "hi"));
        let results = join_all([bad.clone(), good].map(|call| wecom.send(call))).await;
        let outcomes: Vec<_> = results.iter().map(|result| outcome(result.as_ref().unwrap())).collect();
        assert_eq!(outcomes, [("later", 1), ("delivered", 1)]);
        assert!(!bad.begun.is_raised());
        stand_in.stop().await;
    }

    #[actix_rt::test]
    async fn the_supervised_child_fills_its_port() {
        egress::install_tls();
        let stand_in = start(Options::default()).await.unwrap();
        let section = config::Platform { api_base: Some(stand_in.base().parse().unwrap()), ..section() };
        let ports = Ports::of(&section);
        let spec = (KIND.spec)(&Wiring::default(), &Arc::new(section), &ports);
        let thread = Thread::start("platforms");
        let child = Transient::start(&spec, &thread);
        while !ports.deliver.is_up() {
            tokio::task::yield_now().await;
        }
        let result = ports.deliver.ask(deliver("zhangsan", "hi"), Duration::from_secs(20)).await.unwrap();
        assert_eq!((spec.id.as_str(), outcome(&result)), ("platform/sales", ("delivered", 1)));
        drop(child);
        thread.stop();
        stand_in.stop().await;
    }
}
