//! WeCom's callback envelope: signature, encryption and the element that carries them. Shared by its kinds. Pure.
//!
//! Source: developer.work.weixin.qq.com, "加解密方案说明" (read November 2026).

use super::Rejection;
use crate::config::Secret;
use aes::Aes256;
use base64::Engine;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use sha1::{Digest, Sha1};
use std::time::Duration;
use subtle::ConstantTimeEq;

/// The key's last character may carry unused bits that are not zero; every client of WeCom ignores them.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
const KEY_CHARS: usize = 43;
/// Padding goes by blocks of 32 bytes, although those of AES have 16.
const PAD_BLOCK: usize = 32;
/// Random bytes in front of each message.
const SALT: usize = 16;
/// Largest envelope that is looked into. WeCom's own stay below 64 KiB.
const MAX_BODY: usize = 1024 * 1024;

/// What the signature covers besides the message, as it stands in the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    pub signature: String,
    pub timestamp: String,
    pub nonce: String,
}

impl Stamp {
    /// Reads a query string. `Malformed` names the parameter that is missing.
    pub fn of(query: &str) -> Result<Self, Rejection> {
        let required = |name, problem| parameter(query, name).ok_or(Rejection::Malformed(problem));
        Ok(Self {
            signature: required("msg_signature", "the parameter `msg_signature` is missing")?,
            timestamp: required("timestamp", "the parameter `timestamp` is missing")?,
            nonce: required("nonce", "the parameter `nonce` is missing")?,
        })
    }
}

/// The first parameter of this name, percent-decoded once.
pub fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The `echostr` of a URL verification, with the `+` restored that a proxy may have turned into a space.
pub fn echo(query: &str) -> Result<String, Rejection> {
    let echo = parameter(query, "echostr").ok_or(Rejection::Malformed("the parameter `echostr` is missing"))?;
    Ok(echo.replace(' ', "+"))
}

/// The key of a callback is not 43 characters of base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the 43 letters and digits that WeCom shows as EncodingAESKey")]
pub struct InvalidKey;

/// Seals and opens the envelopes of one callback.
#[derive(Clone)]
pub struct Envelope {
    token: Secret,
    key: [u8; 32],
    receiver: String,
}

impl Envelope {
    /// Takes the callback's secrets. `receiver` is the corp id for applications and Customer Service, and empty for
    /// an AI bot of one's own organisation.
    pub fn new(token: &Secret, encoding_aes_key: &Secret, receiver: &str) -> Result<Self, InvalidKey> {
        let text = encoding_aes_key.expose();
        if text.len() != KEY_CHARS {
            return Err(InvalidKey);
        }
        let bytes = BASE64.decode(format!("{text}=")).map_err(|_| InvalidKey)?;
        let key = bytes.try_into().map_err(|_| InvalidKey)?;
        Ok(Self { token: token.clone(), key, receiver: receiver.to_owned() })
    }

    /// Verifies and decrypts one message.
    ///
    /// `Forged` for a wrong signature, receiver or ciphertext, `Stale` when a well-signed timestamp is more than
    /// `skew` away from `now` (Unix seconds), `Malformed` when the timestamp is no number.
    pub fn open(&self, stamp: &Stamp, encrypted: &str, now: i64, skew: Duration) -> Result<String, Rejection> {
        let expected = self.sign(&stamp.timestamp, &stamp.nonce, encrypted);
        if !bool::from(expected.as_bytes().ct_eq(stamp.signature.as_bytes())) {
            return Err(Rejection::Forged("the signature is wrong"));
        }
        let sent: i64 = stamp.timestamp.parse().map_err(|_| Rejection::Malformed("`timestamp` is not a number"))?;
        let ahead = sent.saturating_sub(now);
        if ahead.unsigned_abs() > skew.as_secs() {
            return Err(Rejection::Stale(ahead));
        }
        self.decrypt(encrypted)
    }

    /// The signature over a message: lower-case hex.
    pub fn sign(&self, timestamp: &str, nonce: &str, encrypted: &str) -> String {
        let mut fields = [self.token.expose(), timestamp, nonce, encrypted];
        fields.sort_unstable();
        let mut hash = Sha1::new();
        fields.iter().for_each(|field| hash.update(field));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Encrypts a message behind 16 random bytes.
    pub fn encrypt(&self, salt: [u8; SALT], message: &str) -> String {
        // A length beyond 32 bits would need a message of 4 GiB.
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut bytes = [salt.as_slice(), &length, message.as_bytes(), self.receiver.as_bytes()].concat();
        let padding = PAD_BLOCK - bytes.len() % PAD_BLOCK;
        let filler = u8::try_from(padding).unwrap_or_default();
        bytes.resize(bytes.len() + padding, filler);
        let whole = bytes.len();
        let sealed = cbc::Encryptor::<Aes256>::new(&self.key.into(), &self.iv().into())
            .encrypt_padded::<NoPadding>(&mut bytes, whole)
            .unwrap_or_default();
        BASE64.encode(sealed)
    }

    /// Decrypts a message and checks its receiver. Every failure is the same `Forged`, so that nobody can probe the
    /// padding.
    fn decrypt(&self, encrypted: &str) -> Result<String, Rejection> {
        self.try_decrypt(encrypted).ok_or(Rejection::Forged("the message does not decrypt, or is for another receiver"))
    }

    fn try_decrypt(&self, encrypted: &str) -> Option<String> {
        let mut bytes = BASE64.decode(encrypted).ok()?;
        let cipher = cbc::Decryptor::<Aes256>::new(&self.key.into(), &self.iv().into());
        let padded = cipher.decrypt_padded::<NoPadding>(&mut bytes).ok()?;
        let padding = usize::from(*padded.last()?);
        if !(1..=PAD_BLOCK).contains(&padding) {
            return None;
        }
        let plain = padded.get(..padded.len().checked_sub(padding)?)?;
        let (length, rest) = plain.get(SALT..)?.split_first_chunk::<4>()?;
        let (message, receiver) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let is_ours = bool::from(receiver.ct_eq(self.receiver.as_bytes()));
        std::str::from_utf8(message).ok().filter(|_| is_ours).map(str::to_owned)
    }

    fn iv(&self) -> [u8; 16] {
        self.key.first_chunk().copied().unwrap_or_default()
    }
}

/// Takes the text of `<Encrypt>` out of a callback's body.
///
/// A scanner, not a parser: nothing of the body can be believed before its signature has been checked. Document
/// types and entity declarations are refused. `Malformed` when there is no such element.
pub fn encrypted_element(body: &[u8]) -> Result<&str, Rejection> {
    const NOTHING: Rejection = Rejection::Malformed("the body has no `<Encrypt>` element");
    if body.len() > MAX_BODY {
        return Err(Rejection::Malformed("the body is too big"));
    }
    let text = std::str::from_utf8(body).map_err(|_| Rejection::Malformed("the body is not UTF-8"))?;
    if text.contains("<!DOCTYPE") || text.contains("<!ENTITY") {
        return Err(Rejection::Malformed("document type declarations are refused"));
    }
    let (_, rest) = text.split_once("<Encrypt>").ok_or(NOTHING)?;
    let (content, _) = rest.split_once("</Encrypt>").ok_or(NOTHING)?;
    let content = content.trim();
    let literal = content.strip_prefix("<![CDATA[").and_then(|inner| inner.strip_suffix("]]>"));
    Ok(literal.unwrap_or(content).trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    const YEARS: Duration = Duration::from_secs(1 << 40);

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../tests/fixtures/wecom/wecom_crypto.json")).unwrap()
    }

    fn text<'a>(case: &'a Value, key: &str) -> &'a str {
        case[key].as_str().unwrap_or_default()
    }

    fn cases<'a>(vectors: &'a Value, name: &str) -> &'a Vec<Value> {
        vectors[name].as_array().unwrap()
    }

    fn envelope(case: &Value) -> Envelope {
        let key = Secret::new(text(case, "encoding_aes_key"));
        Envelope::new(&Secret::new(text(case, "token")), &key, text(case, "receive_id")).unwrap()
    }

    fn any_envelope() -> Envelope {
        Envelope::new(&Secret::new("token"), &Secret::new("CxIZICcuNTxDSlFYX2ZtdHuCiZCXnqWss7rByM/W3eQ"), "ww1")
            .unwrap()
    }

    #[test]
    fn encrypts_and_decrypts_as_the_reference_does() {
        let vectors = vectors();
        assert_eq!(cases(&vectors, "encrypt_cases").len(), 13);
        for case in cases(&vectors, "encrypt_cases") {
            let (name, envelope) = (text(case, "name"), envelope(case));
            let salt = text(case, "random16").as_bytes().try_into().unwrap();
            assert_eq!(envelope.decrypt(text(case, "encrypt")).as_deref(), Ok(text(case, "plaintext")), "{name}");
            if name != "trailing_bits_key" {
                assert_eq!(envelope.encrypt(salt, text(case, "plaintext")), text(case, "encrypt"), "{name}");
            }
        }
    }

    #[test]
    fn signs_as_the_reference_does() {
        let vectors = vectors();
        let key = Secret::new("CxIZICcuNTxDSlFYX2ZtdHuCiZCXnqWss7rByM/W3eQ");
        for case in cases(&vectors, "signature_cases") {
            let envelope = Envelope::new(&Secret::new(text(case, "token")), &key, "").unwrap();
            let signature = envelope.sign(text(case, "timestamp"), text(case, "nonce"), text(case, "encrypt"));
            assert_eq!(signature, text(case, "msg_signature"), "{}", text(case, "name"));
        }
    }

    #[test]
    fn verifies_urls() {
        let vectors = vectors();
        for case in cases(&vectors, "url_verification") {
            let query = text(case, "query");
            let opened =
                Stamp::of(query).and_then(|stamp| envelope(case).open(&stamp, &echo(query)?, 1_700_000_000, YEARS));
            let (status, body) = match opened {
                Ok(body) => (200, body),
                Err(Rejection::Malformed(_)) => (400, String::new()),
                Err(_) => (403, String::new()),
            };
            assert_eq!(status, case["expect_status"], "{}", text(case, "name"));
            assert_eq!(body, text(case, "expect_body"), "{}", text(case, "name"));
        }
    }

    #[test]
    fn opens_posts() {
        let vectors = vectors();
        for case in cases(&vectors, "post_cases") {
            let encrypted = encrypted_element(text(case, "body").as_bytes()).unwrap();
            let stamp = Stamp::of(text(case, "query")).unwrap();
            let opened = envelope(case).open(&stamp, encrypted, 1_700_000_000, Duration::from_secs(300));
            assert_eq!(opened.as_deref(), Ok(text(case, "expect_inner_xml")));
        }
    }

    #[test]
    fn seals_replies() {
        let vectors = vectors();
        for case in cases(&vectors, "reply_cases") {
            let envelope = envelope(case);
            let encrypted =
                envelope.encrypt(text(case, "random16").as_bytes().try_into().unwrap(), text(case, "plaintext"));
            assert_eq!(encrypted, text(case, "expect_encrypt"));
            let signature = envelope.sign(text(case, "timestamp"), text(case, "nonce"), &encrypted);
            assert_eq!(signature, text(case, "expect_msg_signature"));
        }
    }

    #[test]
    fn refuses_what_is_wrong() {
        let vectors = vectors();
        assert_eq!(cases(&vectors, "negative_cases").len(), 18);
        for case in cases(&vectors, "negative_cases") {
            let name = text(case, "name");
            match text(case, "kind") {
                "config" => {
                    let key = Secret::new(text(case, "encoding_aes_key"));
                    assert!(Envelope::new(&Secret::new("t"), &key, "").is_err(), "{name}");
                }
                "decrypt" => {
                    let opened = envelope(case).decrypt(text(case, "encrypt"));
                    assert!(matches!(opened, Err(Rejection::Forged(_))), "{name}: {opened:?}");
                }
                _ => {
                    let key = Secret::new("CxIZICcuNTxDSlFYX2ZtdHuCiZCXnqWss7rByM/W3eQ");
                    let envelope = Envelope::new(&Secret::new(text(case, "token")), &key, "").unwrap();
                    let stamp = Stamp {
                        signature: text(case, "msg_signature").into(),
                        timestamp: text(case, "timestamp").into(),
                        nonce: text(case, "nonce").into(),
                    };
                    let opened = envelope.open(&stamp, text(case, "encrypt"), 0, YEARS);
                    assert_eq!(opened, Err(Rejection::Forged("the signature is wrong")), "{name}");
                }
            }
        }
    }

    #[test]
    fn the_clock_matters_only_to_the_well_signed() {
        let envelope = any_envelope();
        let encrypted = envelope.encrypt([7; 16], "hello");
        let stamp = |timestamp: &str| Stamp {
            signature: envelope.sign(timestamp, "n", &encrypted),
            timestamp: timestamp.into(),
            nonce: "n".into(),
        };
        let table = [
            ("exact", "1000", Ok("hello".to_owned())),
            ("just old enough", "700", Ok("hello".to_owned())),
            ("too old", "699", Err(Rejection::Stale(-301))),
            ("from the future", "1301", Err(Rejection::Stale(301))),
            ("before time began", "-9223372036854775808", Err(Rejection::Stale(i64::MIN))),
            ("no number", "soon", Err(Rejection::Malformed("`timestamp` is not a number"))),
        ];
        for (case, timestamp, expected) in table {
            let opened = envelope.open(&stamp(timestamp), &encrypted, 1000, Duration::from_secs(300));
            assert_eq!(opened, expected, "{case}");
        }
        let forged = Stamp { timestamp: "1".into(), ..stamp("1000") };
        let opened = envelope.open(&forged, &encrypted, 1000, Duration::from_secs(300));
        assert_eq!(opened, Err(Rejection::Forged("the signature is wrong")));
    }

    #[test]
    fn the_element_is_found_or_refused() {
        let no_element = Err(Rejection::Malformed("the body has no `<Encrypt>` element"));
        let table = [
            ("literal", "<xml><Encrypt><![CDATA[abc=]]></Encrypt></xml>", Ok("abc=")),
            ("plain", "<xml><A>1</A><Encrypt> abc= </Encrypt></xml>", Ok("abc=")),
            ("missing", "<xml></xml>", no_element.clone()),
            ("not closed", "<xml><Encrypt>abc", no_element.clone()),
            ("nothing at all", "", no_element),
            (
                "document type",
                "<!DOCTYPE x [<!ENTITY a 'a'>]><xml><Encrypt>abc</Encrypt></xml>",
                Err(Rejection::Malformed("document type declarations are refused")),
            ),
        ];
        for (case, body, expected) in table {
            assert_eq!(encrypted_element(body.as_bytes()), expected, "{case}");
        }
        assert!(encrypted_element(&vec![b'a'; MAX_BODY + 1]).is_err());
        assert!(encrypted_element(b"<Encrypt>\xff</Encrypt>").is_err());
    }

    proptest! {
        #![proptest_config(crate::properties(64))]

        #[test]
        fn whatever_is_sealed_opens(message in any::<String>(), salt in any::<[u8; 16]>(), nonce in "[a-z0-9]{0,12}") {
            let envelope = any_envelope();
            let encrypted = envelope.encrypt(salt, &message);
            let signature = envelope.sign("1000", &nonce, &encrypted);
            let stamp = Stamp { signature, timestamp: "1000".into(), nonce };
            prop_assert_eq!(envelope.open(&stamp, &encrypted, 1000, Duration::ZERO), Ok(message));
        }

        #[test]
        fn any_bytes_give_a_value(body in any::<Vec<u8>>(), query in any::<String>(), blocks in any::<Vec<[u8; 16]>>()) {
            drop(encrypted_element(&body));
            drop(Stamp::of(&query));
            drop(any_envelope().decrypt(&query));
            drop(any_envelope().decrypt(&BASE64.encode(blocks.concat())));
        }

        #[test]
        fn a_changed_letter_is_noticed(at in 0usize..60, letter in "[A-Za-z0-9]") {
            let envelope = any_envelope();
            let encrypted = envelope.encrypt([1; 16], "a message of some length");
            let stamp = Stamp { signature: envelope.sign("5", "n", &encrypted), timestamp: "5".into(), nonce: "n".into() };
            let mut changed = encrypted.clone();
            changed.replace_range(at..at + 1, &letter);
            prop_assume!(changed != encrypted);
            prop_assert!(envelope.open(&stamp, &changed, 5, Duration::ZERO).is_err());
        }
    }
}
