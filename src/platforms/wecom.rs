//! The WeCom self-built application: encrypted callbacks in, `message/send` out.
//!
//! The callback side is pure and belongs to the webhook route; the actor only sends. A restart loses the access token
//! and the calls in flight, whose parts the outbox settles by [`UnknownRule::RepeatOnceFlagged`].

use super::wecom_api::Api;
use super::wecom_crypto::{Envelope, Stamp, echo, encrypted_element};
use super::wecom_inbound::{Origin, decode};
use super::{
    Call, Deliver, Delivered, Dialect, Ingress, Kind, Limits, Opened, PlatformError, Ports, Rejection, UnknownRule,
    Wiring,
};
use crate::config::{self, ReplyFormat};
use crate::domain::InstanceId;
use crate::supervise::{ChildSpec, Control, contained, obey};
use actix::{Actor, Context, Handler, ResponseActFuture, WrapFuture};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub static KIND: Kind = Kind {
    name: "wecom",
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
};

fn spec(_: &Wiring, section: &Arc<config::Platform>, ports: &Ports) -> ChildSpec {
    let (id, section) = (InstanceId::platform(&section.id), section.clone());
    ChildSpec::of(id, move || WeCom::new(section.clone())).fills(&ports.deliver).build()
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

/// The webhook side of one application.
struct Callback {
    platform: String,
    agent_id: i64,
    envelope: Envelope,
    skew: Duration,
}

impl Callback {
    /// `None` for secrets that [`check`] refuses: no platform runs without them.
    fn new(section: &config::Platform, skew: Duration) -> Option<Self> {
        if section.token.is_empty() || section.corp_id.is_empty() {
            return None;
        }
        let envelope = Envelope::new(&section.token, &section.encoding_aes_key, &section.corp_id).ok()?;
        Some(Self { platform: section.id.clone(), agent_id: section.agent_id, envelope, skew })
    }
}

impl Ingress for Callback {
    /// A GET is WeCom's URL verification and is answered with the decrypted `echostr`; a POST brings one event and is
    /// answered with an empty body.
    fn open(&self, call: Call<'_>) -> Result<Opened, Rejection> {
        let stamp = Stamp::of(call.query)?;
        if call.is_get {
            let ack = self.envelope.open(&stamp, &echo(call.query)?, call.now, self.skew)?;
            return Ok(Opened { events: Vec::new(), ack });
        }
        let xml = self.envelope.open(&stamp, encrypted_element(call.body)?, call.now, self.skew)?;
        let origin = Origin { platform: &self.platform, agent_id: self.agent_id, now: call.now };
        Ok(Opened { events: vec![decode(&xml, &origin)?], ack: String::new() })
    }
}

/// The adapter of one application.
pub struct WeCom {
    api: Result<Rc<Api>, String>,
}

impl WeCom {
    /// Makes the adapter and its HTTP client, on the thread that both will live on.
    pub fn new(section: Arc<config::Platform>) -> Self {
        Self { api: Api::new(section).map(Rc::new) }
    }
}

impl Actor for WeCom {
    type Context = Context<Self>;
}

impl Handler<Control> for WeCom {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}

impl Handler<Deliver> for WeCom {
    type Result = ResponseActFuture<Self, Result<Delivered, PlatformError>>;

    fn handle(&mut self, call: Deliver, _: &mut Context<Self>) -> Self::Result {
        let (api, begun) = (self.api.clone(), call.begun.clone());
        let delivering = contained(async move {
            let api = api.map_err(PlatformError::Misconfigured)?;
            api.deliver(&call).await
        });
        let delivered = async move {
            match delivering.await {
                Ok(result) => result,
                Err(bug) if begun.is_raised() => Err(PlatformError::Unknown(bug.to_string())),
                Err(bug) => Err(PlatformError::Later { after: Duration::from_secs(1), reason: bug.to_string() }),
            }
        };
        Box::pin(delivered.into_actor(self))
    }
}
