//! Implementations that are not ours agree with us: `wechatpy` on WeCom's envelopes, `openai` on the model's protocol.
//!
//! `MINDBOT_PYTHON` names an interpreter that has `tests/python/requirements.txt`; `scripts/test` sees to it.

use crate::support::office::{AES_KEY, CORP, Office, Setup, TOKEN, envelope, now, salt};
use mindbot::platforms::wecom_crypto::Stamp;
use mindbot::simulate::openai;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

const TRIPS: usize = 1000;
/// What messages are made of: every width of UTF-8, what XML cares about, right-to-left, joiners.
const ALPHABET: &str = "abc XYZ019 &<>\"']]>\n\t中文企业微信עבריתعربي🙂👩‍👩‍👧é\u{202e}";

/// Runs a script of `tests/python` with these lines on its input. Answers what it printed.
fn python(script: &str, arguments: &[&str], lines: &[Value]) -> String {
    let interpreter = std::env::var("MINDBOT_PYTHON")
        .expect("MINDBOT_PYTHON must name an interpreter with tests/python/requirements.txt; scripts/test sets it");
    let path = format!("{}/tests/python/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(interpreter)
        .arg(path)
        .args(arguments)
        .env("PYTHONIOENCODING", "utf-8")
        .env("no_proxy", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // It reads everything before it writes anything.
    lines.iter().for_each(|line| writeln!(input, "{line}").unwrap());
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A text whose letters and length follow from its number.
fn text(number: usize) -> String {
    let letters: Vec<char> = ALPHABET.chars().collect();
    let lengths = [0, 1, 15, 16, 17, 31, 32, 200, 3000];
    let mut state = number * 2_654_435_761 + 1;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..lengths[number % lengths.len()]).map(|_| letters[draw() % letters.len()]).collect()
}

fn open(message: &Value) -> Result<String, String> {
    let field = |name: &str| message[name].as_str().unwrap().to_owned();
    let stamp = Stamp { signature: field("signature"), timestamp: field("timestamp"), nonce: field("nonce") };
    let opened = envelope().open(&stamp, &field("encrypt"), now(), Duration::from_secs(300));
    opened.map_err(|rejection| rejection.to_string())
}

#[test]
fn wechatpy_and_we_open_each_others_callbacks_and_refuse_mutations() {
    let ours: Vec<Value> = (0..TRIPS)
        .map(|number| {
            let text = text(number);
            let encrypt = envelope().encrypt(salt(), &text);
            let (timestamp, nonce) = (now().to_string(), number.to_string());
            let signature = envelope().sign(&timestamp, &nonce, &encrypt);
            json!({ "text": text, "encrypt": encrypt, "timestamp": timestamp, "nonce": nonce, "signature": signature })
        })
        .collect();
    let theirs = python("wecom_roundtrip.py", &["trips", TOKEN, AES_KEY, CORP], &ours);
    let theirs: Vec<Value> = theirs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(theirs.len(), TRIPS);
    for message in &theirs {
        assert_eq!(open(message).as_deref(), Ok(message["text"].as_str().unwrap()));
        assert!(open(&message["mutated"]).is_err(), "{message}");
    }
}

#[actix_rt::test]
async fn callbacks_made_by_wechatpy_are_answered() {
    let office = Office::open(Setup::default()).await;
    let texts = ["hello from elsewhere", "你好，世界 🙂", "a < b & \"quoted\""];
    let lines: Vec<Value> = texts.iter().map(|text| json!(["wechatpy", format!("echo:{text}")])).collect();
    let url = office.hook();
    actix_rt::task::spawn_blocking(move || python("wecom_roundtrip.py", &["post", &url, TOKEN, AES_KEY, CORP], &lines))
        .await
        .unwrap();
    assert_eq!(office.replies("wechatpy", texts.len()).await, texts);
}

#[test]
fn the_official_openai_client_is_content_with_our_stand_in() {
    let stand_in = openai::start(openai::Options::default()).unwrap();
    let said = python("openai_client.py", &[&stand_in.base_url()], &[]);
    assert!(said.contains("is content with"), "{said}");
}
