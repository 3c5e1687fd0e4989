//! The webhook side of a WeCom application: encrypted calls opened, or refused. Pure but for one log line.

use super::wecom_crypto::{Envelope, Stamp, echo, encrypted_element};
use super::wecom_inbound::{Origin, decode};
use super::{Call, Ingress, Opened, Rejection};
use crate::config;
use std::time::Duration;

/// The webhook side of one application.
pub struct Callback {
    platform: String,
    agent_id: i64,
    envelope: Envelope,
    skew: Duration,
}

impl Callback {
    /// `None` for secrets that the check of the kind refuses: no platform runs without them.
    pub fn new(section: &config::Platform, skew: Duration) -> Option<Self> {
        if section.token.is_empty() || section.corp_id.is_empty() {
            return None;
        }
        let envelope = Envelope::new(&section.token, &section.encoding_aes_key, &section.corp_id).ok()?;
        Some(Self { platform: section.id.clone(), agent_id: section.agent_id, envelope, skew })
    }
}

impl Ingress for Callback {
    /// A GET is WeCom's URL verification and is answered with the decrypted `echostr`; a POST brings one event and is
    /// answered with an empty body. A genuine POST that cannot be read is acknowledged and logged: WeCom would only
    /// send it again.
    fn open(&self, call: Call<'_>) -> Result<Opened, Rejection> {
        let stamp = Stamp::of(call.query)?;
        if call.is_get {
            let ack = self.envelope.open(&stamp, &echo(call.query)?, call.now, self.skew)?;
            return Ok(Opened { events: Vec::new(), ack });
        }
        let xml = self.envelope.open(&stamp, encrypted_element(call.body)?, call.now, self.skew)?;
        let origin = Origin { platform: &self.platform, agent_id: self.agent_id, now: call.now };
        let events = match decode(&xml, &origin) {
            Ok(event) => vec![event],
            Err(reason) => {
                tracing::warn!(platform.id = self.platform, %reason, "acknowledged a genuine callback that is unreadable");
                Vec::new()
            }
        };
        Ok(Opened { events, ack: String::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::wecom_section as section;
    use super::*;
    use crate::domain::InboundKind;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn callbacks_are_opened_or_refused() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../tests/fixtures/wecom/wecom_crypto.json")).unwrap();
        let (get, post) = (&vectors["url_verification"][0], &vectors["post_cases"][0]);
        let ingress = Callback::new(&section(), Duration::from_secs(300)).unwrap();
        let query = get["query"].as_str().unwrap();
        let verified = ingress.open(Call { is_get: true, query, body: b"", now: 1_409_659_600 }).unwrap();
        assert_eq!(verified, Opened { events: Vec::new(), ack: get["expect_body"].as_str().unwrap().into() });
        let (query, body) = (post["query"].as_str().unwrap(), post["body"].as_str().unwrap());
        let opened = ingress.open(Call { is_get: false, query, body: body.as_bytes(), now: 1_700_000_001 }).unwrap();
        let event = &opened.events[0];
        assert_eq!((event.text.as_str(), event.kind), ("你好 <b>&amp;", InboundKind::Message));
        assert_eq!(event.external_id, "wecom:1000002:7123456789012345678");
        assert_eq!(opened.ack, "");
        let refused = |query: &str, body: &str, now| {
            ingress.open(Call { is_get: false, query, body: body.as_bytes(), now }).unwrap_err()
        };
        assert!(matches!(refused(query, body, 1_700_000_302), Rejection::Stale(-301)));
        assert!(matches!(refused(query, &body.replace("cpVez", "cpVey"), 1_700_000_001), Rejection::Forged(_)));
        assert!(matches!(refused(query, "<xml/>", 1_700_000_001), Rejection::Malformed(_)));
        assert!(matches!(refused("timestamp=1&nonce=2", body, 1_700_000_001), Rejection::Malformed(_)));
    }

    #[test]
    fn a_genuine_callback_that_is_unreadable_is_not_asked_for_again() {
        let section = section();
        let envelope = Envelope::new(&section.token, &section.encoding_aes_key, &section.corp_id).unwrap();
        let encrypted = envelope.encrypt([1; 16], "<!DOCTYPE x [<!ENTITY a 'b'>]><xml><MsgType>text</MsgType></xml>");
        let query = format!("msg_signature={}&timestamp=5&nonce=n", envelope.sign("5", "n", &encrypted));
        let body = format!("<xml><Encrypt>{encrypted}</Encrypt></xml>");
        let ingress = Callback::new(&section, Duration::ZERO).unwrap();
        let opened = ingress.open(Call { is_get: false, query: &query, body: body.as_bytes(), now: 5 });
        assert_eq!(opened, Ok(Opened { events: Vec::new(), ack: String::new() }));
    }

    proptest! {
        #![proptest_config(crate::properties(64))]

        #[test]
        fn any_call_gives_a_value(is_get in any::<bool>(), query in any::<String>(), body in any::<Vec<u8>>(), now in any::<i64>()) {
            let ingress = Callback::new(&section(), Duration::from_secs(300)).unwrap();
            let opened = ingress.open(Call { is_get, query: &query, body: &body, now });
            prop_assert!(opened.is_err());
        }
    }
}
