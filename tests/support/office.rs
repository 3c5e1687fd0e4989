//! A gateway with a WeCom application, a web chat and a model, and members who write to it.
//!
//! What a person saw is what the stand-in for WeCom has shown; why is in the message's trace, read over the admin API.

use super::chat::client;
use super::eventually;
use super::gateway::{Gateway, KEY, Launch};
use mindbot::config::Secret;
use mindbot::platforms::wecom_crypto::Envelope;
use mindbot::simulate::{openai, wecom};
use serde_json::Value;
use std::collections::BTreeMap;

pub const CORP: &str = "ww5823bf96d3bd56c7";
pub const AGENT: i64 = 1_000_002;
pub const TOKEN: &str = "office-token";
pub const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

/// Keys that a test adds to the configuration, section by section.
#[derive(Default, Clone, Copy)]
pub struct Setup<'a> {
    pub server: &'a str,
    pub pipeline: &'a str,
    /// Of the platform `wecom`.
    pub platform: &'a str,
    /// Of the provider `model`.
    pub provider: &'a str,
    /// Of the assistant `helper`; the default is `providers = ['model']`.
    pub assistant: Option<&'a str>,
    /// More sections.
    pub rest: &'a str,
    /// How the model behaves; by default it answers at once.
    pub model: Option<&'a openai::Options>,
}

/// The gateway and its outside world.
pub struct Office {
    pub gateway: Gateway,
    pub wecom: wecom::StandIn,
    pub model: openai::Running,
    client: reqwest::Client,
}

impl Office {
    pub async fn open(setup: Setup<'_>) -> Self {
        Self::open_with(setup, &[]).await
    }

    /// The same, with variables in the gateway's environment.
    pub async fn open_with(setup: Setup<'_>, environment: &[(String, String)]) -> Self {
        let model = openai::start(setup.model.cloned().unwrap_or_default()).unwrap();
        let wecom = wecom::start(wecom::Options::default()).await.unwrap();
        let config = config(&setup, &wecom.base(), &model.base_url());
        let launch = Launch::with_server(setup.server, &config);
        let gateway = environment.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start();
        Self { gateway, wecom, model, client: client() }
    }

    /// Replaces the gateway, once it has ended.
    pub fn restarted(self, restart: impl FnOnce(Gateway) -> Gateway) -> Self {
        let Self { gateway, wecom, model, client } = self;
        Self { gateway: restart(gateway), wecom, model, client }
    }

    /// Takes WeCom away, as an outage does. Answers the port on which it has to come back.
    pub async fn lose_platform(&mut self) -> u16 {
        let nobody = wecom::start(wecom::Options::default()).await.unwrap();
        let lost = std::mem::replace(&mut self.wecom, nobody);
        let port = lost.base().rsplit(':').next().unwrap().parse().unwrap();
        lost.stop().await;
        port
    }

    /// Brings WeCom back, with nothing remembered.
    pub async fn regain_platform(&mut self, port: u16) {
        self.wecom = wecom::start(wecom::Options { port, ..wecom::Options::default() }).await.unwrap();
    }

    pub fn hook(&self) -> String {
        self.gateway.url("/hooks/wecom")
    }

    pub fn callback(&self, user: &str, text: &str) -> wecom::Callback {
        wecom::Callback {
            url: self.hook(),
            corp_id: CORP.into(),
            agent_id: AGENT,
            token: Secret::new(TOKEN),
            encoding_aes_key: Secret::new(AES_KEY),
            user: user.into(),
            text: text.into(),
            msg_id: None,
        }
    }

    /// Posts a sealed callback.
    pub async fn deliver(&self, (query, body): (String, String)) -> reqwest::Response {
        self.client.post(format!("{}?{query}", self.hook())).body(body).send().await.unwrap()
    }

    /// Posts a member's message; the response as it is.
    pub async fn post(&self, user: &str, text: &str) -> reqwest::Response {
        self.deliver(self.callback(user, text).seal(now()).unwrap()).await
    }

    /// Posts a member's message that has to be taken.
    pub async fn write(&self, user: &str, text: &str) {
        let response = self.post(user, text).await;
        let (status, body) = (response.status(), response.text().await.unwrap());
        assert_eq!((status.as_u16(), body.as_str()), (200, ""), "{user}: {text}");
    }

    /// What a member was shown, oldest first.
    pub fn shown(&self, user: &str) -> Vec<String> {
        let sent = self.wecom.sent().into_iter();
        sent.filter(|sent| sent.shown && sent.touser == user).map(|sent| sent.text).collect()
    }

    /// Waits until a member was shown at least so many texts.
    pub async fn replies(&self, user: &str, count: usize) -> Vec<String> {
        let look = || async { Some(self.shown(user)).filter(|shown| shown.len() >= count) };
        eventually(&format!("{user} is shown {count} texts"), look).await
    }

    /// Writes one message and waits for the next text that the member is shown.
    pub async fn ask(&self, user: &str, text: &str) -> String {
        let before = self.shown(user).len();
        self.write(user, text).await;
        self.replies(user, before + 1).await.remove(before)
    }

    /// An answer of the admin API.
    pub async fn get(&self, path: &str) -> Value {
        let response = self.client.get(self.gateway.url(path)).bearer_auth(KEY).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.unwrap()
    }

    /// Status and text of a page, with the admin key.
    pub async fn look(&self, path: &str) -> (u16, String) {
        let response = self.client.get(self.gateway.url(path)).bearer_auth(KEY).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Posts to the admin API; `null` for an answer without a body.
    pub async fn post_json(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(self.gateway.url(path)).bearer_auth(KEY).json(body);
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// A member's messages, oldest first, each with its trace and replies.
    pub async fn messages(&self, sender: &str) -> Vec<Value> {
        let list = self.get(&format!("/api/v1/messages?sender={sender}&limit=200")).await;
        let mut messages = Vec::new();
        for item in list["items"].as_array().unwrap().iter().rev() {
            messages.push(self.get(&format!("/api/v1/messages/{}", item["id"].as_str().unwrap())).await);
        }
        messages
    }

    /// A member's only message.
    pub async fn message(&self, sender: &str) -> Value {
        let mut messages = self.messages(sender).await;
        assert_eq!(messages.len(), 1, "{sender} has written once");
        messages.remove(0)
    }

    /// Waits until a member's only message has gone through `step`.
    pub async fn message_after(&self, sender: &str, step: &str) -> Value {
        let look =
            || async { Some(self.message(sender).await).filter(|message| details(message, step).next().is_some()) };
        eventually(&format!("{sender}'s message goes through `{step}`"), look).await
    }

    /// Generation of each actor.
    pub async fn generations(&self) -> BTreeMap<String, u64> {
        let list = self.get("/api/v1/actors").await;
        let actors = list["items"].as_array().unwrap().iter();
        actors
            .map(|actor| (actor["path"].as_str().unwrap().to_owned(), actor["generation"].as_u64().unwrap()))
            .collect()
    }
}

/// The details of every step of this name, in the order of the trace.
pub fn details<'a>(message: &'a Value, step: &'a str) -> impl Iterator<Item = &'a Value> {
    let trace = message["trace"].as_array().unwrap().iter();
    trace.filter(move |item| item["step"] == step).map(|item| &item["detail"])
}

/// Unix seconds.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Query and body of a callback that carries this XML.
pub fn seal(xml: &str, timestamp: i64) -> (String, String) {
    seal_text(&envelope().encrypt(salt(), xml), timestamp)
}

/// Query and body of a well-signed callback with this text in `<Encrypt>`.
pub fn seal_text(encrypted: &str, timestamp: i64) -> (String, String) {
    let (timestamp, nonce) = (timestamp.to_string(), uuid::Uuid::new_v4().simple().to_string());
    let signature = envelope().sign(&timestamp, &nonce, encrypted);
    let body = format!("<xml><ToUserName>{CORP}</ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>");
    (format!("msg_signature={signature}&timestamp={timestamp}&nonce={nonce}"), body)
}

pub fn envelope() -> Envelope {
    Envelope::new(&Secret::new(TOKEN), &Secret::new(AES_KEY), CORP).unwrap()
}

pub fn salt() -> [u8; 16] {
    *uuid::Uuid::new_v4().as_bytes()
}

/// The whole configuration but `[server]`.
pub fn config(setup: &Setup<'_>, wecom: &str, model: &str) -> String {
    let Setup { pipeline, platform, provider, assistant, rest, .. } = setup;
    let assistant = assistant.unwrap_or("providers = ['model']");
    format!(
        "[pipeline]
{pipeline}
[[platforms]]
id = 'wecom'
kind = 'wecom'
corp_id = '{CORP}'
agent_id = {AGENT}
secret = 'office-secret'
token = '{TOKEN}'
encoding_aes_key = '{AES_KEY}'
api_base = '{wecom}'
{platform}
[[platforms]]
id = 'web'
kind = 'web'
[[providers]]
id = 'model'
kind = 'openai'
api_key = 'sk-office'
base_url = '{model}'
models = ['stand-in']
{provider}
[[assistants]]
id = 'helper'
{assistant}
{rest}
"
    )
}

/// An assistant that messages beginning with `echo:{id}` go to, and its provider.
pub fn branch(id: &str, base: &str, more: &str) -> String {
    format!("{}{}", provider(id, base, more), assistant(id, &[id]))
}

/// A provider that asks at `base`, with `more` keys.
pub fn provider(id: &str, base: &str, more: &str) -> String {
    format!(
        "[[providers]]\nid = '{id}'\nkind = 'openai'\napi_key = 'sk-1'\nmodels = ['stand-in']\nbase_url = '{base}'\n{more}\n"
    )
}

/// An assistant with these providers, and the rule that leads to it.
pub fn assistant(id: &str, providers: &[&str]) -> String {
    format!(
        "[[assistants]]\nid = '{id}'\nproviders = {providers:?}\n\
         [[routes]]\nassistant = '{id}'\nmatch = {{ keyword = 'echo:{id}' }}\n"
    )
}
