//! Provider `openai`: whatever speaks OpenAI's streamed chat completions, answered by actor [`OpenAi`].
//!
//! A restart loses the calls in flight, which their turns repeat, and the open connections.

use super::openai_client::{Service, bearer};
use super::{Complete, Kind, Probe, ProviderError};
use crate::config;
use crate::domain::{InstanceId, Usage};
use crate::supervise::{Answer, ChildSpec, Control, Crowd, Port, card, contained, obey};
use actix::{Actor, Context, Handler};
use futures_util::FutureExt;
use std::rc::Rc;
use std::sync::Arc;

pub static KIND: Kind =
    Kind { name: "openai", card: &CARD, check, credential: |section| Some(&section.api_key), spec, probe: Some(probe) };

fn check(section: &config::Provider) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    if section.api_key.is_empty() {
        problems.push(("api_key", "must not be empty".to_owned()));
    } else if bearer(&section.api_key).is_none() {
        problems.push(("api_key", "must be printable ASCII without spaces or line breaks".to_owned()));
    }
    if section.models.is_empty() || section.models.iter().any(|model| model.trim().is_empty()) {
        problems.push(("models", "must name at least one model, and none may be empty".to_owned()));
    }
    let is_http = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    if !section.base_url.as_ref().is_none_or(is_http) {
        problems.push(("base_url", "must begin with `http://` or `https://`".to_owned()));
    }
    problems
}

fn spec(section: &Arc<config::Provider>, complete: &Port<Complete>) -> ChildSpec {
    let section = section.clone();
    ChildSpec::of(InstanceId::provider(&section.id), move || OpenAi::new(&section)).fills(complete).build()
}

fn probe(section: &Arc<config::Provider>) -> Probe {
    let section = section.clone();
    Box::pin(async move { Service::new(&section)?.probe().await })
}

/// One OpenAI-compatible service.
pub struct OpenAi {
    service: Result<Rc<Service>, String>,
    calls: Crowd<Self>,
}

impl OpenAi {
    /// Makes the client, on the thread that will use it. What is wrong with the section or the system's certificates
    /// is every call's [`ProviderError::Misconfigured`].
    pub fn new(section: &config::Provider) -> Self {
        #[cfg(feature = "chaos-tests")]
        section.models.iter().for_each(|model| crate::sabotage::trip(model));
        let service = Service::new(section).map(Rc::new);
        if let Err(problem) = &service {
            tracing::error!(provider.id = section.id, problem, "the provider cannot be asked");
        }
        Self { service, calls: Crowd::default() }
    }
}

card! {
    OpenAi takes [Complete, Control];
    instances: "provider/<id>",
    asks: "`POST /chat/completions`; text goes straight to the turn over the channel in the call.",
    when_full: "`Busy`: the manager asks the next candidate, then waits for room within the deadline of the turn.",
    lost: "Calls in flight; their turns ask again from the beginning.",
    stuck: "Turns run into `pipeline.turn_timeout`, `mindbot_port_in_flight` is at its capacity. Look at `idle_timeout` and at the state of the service.",
}

impl Actor for OpenAi {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.calls.start(ctx);
    }
}

impl Handler<Control> for OpenAi {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}

impl Handler<Complete> for OpenAi {
    type Result = Answer<Self, Result<Usage, ProviderError>>;

    fn handle(&mut self, call: Complete, _: &mut Context<Self>) -> Self::Result {
        let service = self.service.clone();
        let answering = contained(async move { service.map_err(ProviderError::Misconfigured)?.complete(call).await });
        self.calls.answer(
            answering.map(|outcome| outcome.unwrap_or_else(|panicked| Err(ProviderError::Bug(panicked.to_string())))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::domain::Deadline;
    use crate::egress;
    use crate::providers::{Delta, Line, Prompt, Role};
    use crate::simulate::openai::{Fault, Options, Rule, Running, start};
    use std::sync::atomic::Ordering;
    use std::time::Duration;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    fn stand_in(script: Vec<Rule>) -> Running {
        egress::install_tls();
        start(Options { script, ..Options::default() }).unwrap()
    }

    fn section(upstream: &Running) -> config::Provider {
        config::Provider {
            id: "gpt".into(),
            kind: "openai".into(),
            base_url: Some(upstream.base_url().parse().unwrap()),
            api_key: Secret::new("sk-canary-77"),
            models: vec!["gpt-4o-mini".into()],
            ..config::Provider::default()
        }
    }

    fn call(question: &str, within: Duration) -> (Complete, mpsc::Receiver<Delta>) {
        let (deltas, incoming) = mpsc::channel(64);
        let lines = vec![Line { role: Role::User, text: question.to_owned() }];
        let prompt = Arc::new(Prompt { lines, ..Prompt::default() });
        (Complete { prompt, deadline: Deadline::after(within), deltas }, incoming)
    }

    /// Asks once, and gives the outcome with the text that came.
    async fn ask(section: &config::Provider, question: &str) -> (Result<Usage, ProviderError>, String) {
        let provider = OpenAi::new(section).start();
        let (call, mut incoming) = call(question, Duration::from_secs(20));
        let asked = actix_rt::spawn(provider.send(call));
        let mut text = String::new();
        while let Some(delta) = incoming.recv().await {
            text.push_str(&delta);
        }
        (asked.await.unwrap().unwrap(), text)
    }

    #[actix_rt::test]
    async fn an_answer_is_streamed_and_billed_and_its_connection_is_used_again() {
        let upstream = stand_in(Vec::new());
        let provider = OpenAi::new(&section(&upstream)).start();
        for nonce in ["a1 你好 🙂", "b2", "c3"] {
            let (call, mut incoming) = call(&format!("echo:{nonce}"), Duration::from_secs(20));
            let asked = actix_rt::spawn(provider.send(call));
            let mut text = String::new();
            while let Some(delta) = incoming.recv().await {
                text.push_str(&delta);
            }
            let usage = asked.await.unwrap().unwrap().unwrap();
            assert_eq!(text, nonce);
            assert_eq!((usage.answered_by.as_str(), usage.finish_reason.as_str()), ("gpt/gpt-4o-mini", "stop"));
            assert!(usage.prompt_tokens > 0 && usage.completion_tokens > 0, "{usage:?}");
        }
        assert_eq!(upstream.counters.completed.load(Ordering::Relaxed), 3);
        assert_eq!(upstream.counters.connections.load(Ordering::Relaxed), 1);
    }

    #[actix_rt::test]
    async fn what_goes_wrong_upstream_says_what_the_caller_can_do() {
        let status = |status, code: Option<&str>, retry_after: Option<&str>| Fault::Status {
            status,
            code: code.map(Into::into),
            message: Some("key sk-canary-77 is bad".into()),
            retry_after: retry_after.map(Into::into),
        };
        let after = |error: &ProviderError| match error {
            ProviderError::RateLimited { after, .. } => Some(*after),
            _ => None,
        };
        type Expected = fn(&ProviderError, Option<Duration>) -> bool;
        let table: Vec<(&str, Fault, &str, Expected)> = vec![
            ("401", status(401, None, None), "", |e, _| matches!(e, ProviderError::Misconfigured(_))),
            ("403", status(403, None, None), "", |e, _| matches!(e, ProviderError::Misconfigured(_))),
            ("404", status(404, Some("model_not_found"), None), "", |e, _| {
                matches!(e, ProviderError::Misconfigured(_))
            }),
            ("quota", status(429, Some("insufficient_quota"), None), "", |e, _| {
                matches!(e, ProviderError::Misconfigured(_))
            }),
            ("429", status(429, None, Some("7")), "", |_, wait| wait == Some(Duration::from_secs(7))),
            ("429 until a past date", status(429, None, Some("Sun, 06 Nov 1994 08:49:37 GMT")), "", |_, wait| {
                wait == Some(Duration::ZERO)
            }),
            ("429 without a wait", status(429, None, None), "", |_, wait| wait == Some(Duration::from_secs(1))),
            ("500", status(500, None, None), "", |e, _| matches!(e, ProviderError::Unavailable(_))),
            ("503", status(503, None, None), "", |e, _| matches!(e, ProviderError::Unavailable(_))),
            ("503 with a wait", status(503, None, Some("2")), "", |_, wait| wait == Some(Duration::from_secs(2))),
            ("too long", status(400, Some("context_length_exceeded"), None), "", |e, _| {
                matches!(e, ProviderError::TooLong(_))
            }),
            ("400", status(400, Some("invalid_value"), None), "", |e, _| matches!(e, ProviderError::Rejected(_))),
            ("hang", Fault::Hang, "", |e, _| matches!(e, ProviderError::Unavailable(_))),
            ("stall", Fault::Stall { after: 3 }, "ans", |e, _| matches!(e, ProviderError::Cut { shown: 3, .. })),
            ("cut", Fault::Cut { after: 3 }, "ans", |e, _| matches!(e, ProviderError::Cut { shown: 3, .. })),
            ("cut at once", Fault::Cut { after: 0 }, "", |e, _| matches!(e, ProviderError::Unavailable(_))),
            ("no end", Fault::NoEnd, "answer", |e, _| matches!(e, ProviderError::Cut { shown: 6, .. })),
            ("error at first", Fault::StreamError { after: 0, code: Some("500".into()) }, "", |e, _| {
                matches!(e, ProviderError::Unavailable(_))
            }),
            ("error in the middle", Fault::StreamError { after: 2, code: None }, "an", |e, _| {
                matches!(e, ProviderError::Cut { shown: 2, .. })
            }),
            ("garbage", Fault::Garbage, "", |e, _| matches!(e, ProviderError::Garbage(_))),
            ("giant line", Fault::GiantLine { bytes: 3_000_000 }, "", |e, _| matches!(e, ProviderError::Garbage(_))),
            ("web page", Fault::ContentType { value: "text/html".into() }, "", |e, _| {
                matches!(e, ProviderError::Garbage(_))
            }),
            ("filtered", Fault::Finish { reason: "content_filter".into() }, "answer", |e, _| {
                matches!(e, ProviderError::Rejected(_))
            }),
        ];
        let upstream = stand_in(Vec::new());
        let section = section(&upstream);
        let impatient = config::Provider { idle_timeout: Some(Duration::from_secs(1)), ..section.clone() };
        for (case, fault, expected_text, is_expected) in table {
            let falls_silent = matches!(fault, Fault::Hang | Fault::Stall { .. });
            let section = if falls_silent { &impatient } else { &section };
            upstream.set_script(vec![Rule::always(fault)]);
            let (outcome, text) = ask(section, "echo:answer").await;
            let error = outcome.expect_err(case);
            assert!(is_expected(&error, after(&error)), "{case}: {error:?}");
            assert_eq!(text, expected_text, "{case}");
            assert!(!format!("{error:?}").contains("canary"), "{case}: {error:?}");
        }
        upstream.set_script(vec![Rule::always(Fault::SlowBytes { every_ms: 0 })]);
        assert_eq!(ask(&section, "echo:slowly").await.1, "slowly", "slow is not wrong");
        upstream.set_script(vec![Rule::always(Fault::Finish { reason: "length".into() })]);
        assert_eq!(ask(&section, "echo:long").await.0.unwrap().finish_reason, "length");
    }

    #[actix_rt::test]
    async fn nobody_there_is_unavailable_and_says_why() {
        let upstream = stand_in(Vec::new());
        let section = section(&upstream);
        upstream.stop();
        let (outcome, _) = ask(&section, "hello").await;
        let Err(ProviderError::Unavailable(reason)) = outcome else { panic!("{outcome:?}") };
        assert!(reason.to_lowercase().contains("refused"), "{reason}");
    }

    #[actix_rt::test]
    async fn a_closed_receiver_closes_the_upstream_socket() {
        for (case, fault) in [("before the first byte", Fault::Hang), ("in the middle", Fault::Stall { after: 1 })] {
            let upstream = stand_in(vec![Rule::always(fault)]);
            let provider = OpenAi::new(&section(&upstream)).start();
            let (call, incoming) = call("echo:never", Duration::from_secs(60));
            let asked = actix_rt::spawn(provider.send(call));
            until(|| upstream.counters.open.load(Ordering::Relaxed) == 1).await;
            drop(incoming);
            assert_eq!(asked.await.unwrap().unwrap(), Err(ProviderError::Cancelled), "{case}");
            until(|| upstream.counters.cancelled.load(Ordering::Relaxed) == 1).await;
            assert_eq!(upstream.counters.open.load(Ordering::Relaxed), 0, "{case}");
        }
    }

    #[actix_rt::test]
    async fn the_deadline_ends_a_call() {
        let upstream = stand_in(vec![Rule::always(Fault::Hang)]);
        let provider = OpenAi::new(&section(&upstream)).start();
        let (call, _incoming) = call("echo:never", Duration::from_millis(50));
        assert!(matches!(provider.send(call).await.unwrap(), Err(ProviderError::TimedOut(_))));
    }

    #[cfg(feature = "chaos-tests")]
    #[actix_rt::test]
    async fn a_panic_over_a_reply_costs_that_call_alone() {
        let upstream = stand_in(Vec::new());
        let section = section(&upstream);
        let marked = format!("echo:{}", crate::sabotage::MARK);
        let provider = OpenAi::new(&section).start();
        let (bad, _bad_text) = call(&marked, Duration::from_secs(20));
        let (good, _good_text) = call("slow:2", Duration::from_secs(20));
        let (bad, good) = futures_util::future::join(provider.send(bad), provider.send(good)).await;
        assert!(matches!(bad.unwrap(), Err(ProviderError::Bug(_))));
        assert!(good.unwrap().is_ok());
    }

    #[test]
    fn a_section_is_checked() {
        let good =
            config::Provider { api_key: Secret::new("sk-1"), models: vec!["m".into()], ..config::Provider::default() };
        assert_eq!(check(&good), vec![]);
        let with = |change: fn(&mut config::Provider)| {
            let mut section = good.clone();
            change(&mut section);
            check(&section).into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(with(|it| it.api_key = Secret::default()), ["api_key"]);
        assert_eq!(with(|it| it.api_key = Secret::new("a\nb")), ["api_key"]);
        assert_eq!(with(|it| it.models.clear()), ["models"]);
        assert_eq!(with(|it| it.models.push(" ".into())), ["models"]);
        assert_eq!(with(|it| it.base_url = Some("ftp://x/v1".parse().unwrap())), ["base_url"]);
    }

    /// Waits for something that another thread does soon.
    async fn until(is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), waiting).await.expect("it never happened");
    }
}
