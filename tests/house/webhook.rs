//! WeCom calls: what a member sees of every kind of callback, and that nothing forged, stale or broken gets through.

use crate::support::eventually;
use crate::support::office::{Office, Setup, details, envelope, now, salt, seal, seal_text};
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const UNSUPPORTED: &str = "暂时只能看懂文字消息";

fn text_xml(user: &str, id: &str, content: &str) -> String {
    format!(
        "<xml><FromUserName>{user}</FromUserName><CreateTime>{}</CreateTime><MsgType>text</MsgType>\
         <Content><![CDATA[{content}]]></Content><MsgId>{id}</MsgId><AgentID>1000002</AgentID></xml>",
        now()
    )
}

#[actix_rt::test]
async fn wecom_finds_out_that_the_address_is_ours() {
    let office = Office::open(Setup::default()).await;
    let (timestamp, nonce) = (now().to_string(), "nonce");
    let echo = envelope().encrypt(salt(), "1616140317555161061");
    let verify = async |signature: &str, echo: &str| {
        let mut url = url::Url::parse(&office.hook()).unwrap();
        url.query_pairs_mut().extend_pairs([
            ("msg_signature", signature),
            ("timestamp", timestamp.as_str()),
            ("nonce", nonce),
            ("echostr", echo),
        ]);
        let response = crate::support::chat::client().get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let signature = envelope().sign(&timestamp, nonce, &echo);
    assert_eq!(verify(&signature, &echo).await, (200, "1616140317555161061".into()));
    let forged = signature.replace(&signature[..2], if signature.starts_with("00") { "11" } else { "00" });
    assert_eq!(verify(&forged, &echo).await, (403, String::new()));
}

#[actix_rt::test]
async fn a_forged_stale_or_broken_call_reaches_nobody_and_the_next_message_is_answered() {
    let office = Office::open(Setup::default()).await;
    let user = "zhangsan";
    let sealed = || office.callback(user, "echo:forged").seal(now()).unwrap();
    let (query, body) = sealed();
    let other_corp = {
        let mut callback = office.callback(user, "echo:forged");
        callback.corp_id = "wwsomebodyelse".into();
        callback.seal(now()).unwrap()
    };
    let ciphertext = envelope().encrypt(salt(), &text_xml(user, "1", "echo:cut"));
    let bomb = format!(
        "<!DOCTYPE l [<!ENTITY a \"{}\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;\">]>\
         <xml><FromUserName>{user}</FromUserName><MsgType>text</MsgType><Content>&c;</Content></xml>",
        "ha".repeat(100)
    );
    let external = format!(
        "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><xml><FromUserName>{user}</FromUserName>\
         <MsgType>text</MsgType><Content>&e;</Content></xml>"
    );
    let table = [
        ("wrong signature", 403, (query.replace("msg_signature=", "msg_signature=0"), body.clone())),
        ("another text under the signature", 403, (query.clone(), sealed().1)),
        ("another corp id", 403, other_corp),
        ("from an hour ago", 403, office.callback(user, "echo:stale").seal(now() - 3600).unwrap()),
        ("from the future", 403, office.callback(user, "echo:early").seal(now() + 900).unwrap()),
        ("half a block", 403, seal_text(&ciphertext[..ciphertext.len() - 24], now())),
        ("a block missing", 403, seal_text(&ciphertext[..ciphertext.len() / 2 / 64 * 64], now())),
        ("no base64", 403, seal_text("!!!", now())),
        ("no signature at all", 400, (String::new(), body.clone())),
        ("a bomb inside", 200, seal(&bomb, now())),
        ("an external entity inside", 200, seal(&external, now())),
        ("a bomb outside", 400, (query.clone(), bomb.clone())),
        ("an external entity outside", 400, (query.clone(), external.clone())),
        ("no XML inside", 200, seal("hello", now())),
        ("from nobody", 200, seal(&text_xml("", "9", "echo:nobody"), now())),
        ("no XML outside", 400, (query.clone(), "hello".into())),
        ("nothing", 400, (query.clone(), String::new())),
    ];
    for (case, status, sealed) in table {
        let response = office.deliver(sealed).await;
        assert_eq!(response.status(), status, "{case}");
        let body = response.text().await.unwrap();
        match status {
            200 | 403 => assert_eq!(body, "", "{case}"),
            _ => assert!(serde_json::from_str::<Value>(&body).unwrap()["detail"].is_string(), "{case}"),
        }
    }
    // What is genuine and unreadable would be the same when it came again: it is acknowledged, and an operator is told.
    let log = office.gateway.log();
    assert_eq!(log.matches("acknowledged a genuine callback that is unreadable").count(), 4, "{log}");
    let unknown = crate::support::chat::client().post(office.gateway.url("/hooks/nobody")).body(body).send().await;
    assert_eq!(unknown.unwrap().status(), 404);

    let readiness = office.get("/readyz").await;
    assert_eq!(readiness["ready"], true);
    let skew = readiness["degraded"].as_array().unwrap().iter().find(|item| item["who"] == "platform/wecom").unwrap();
    let why = skew["why"].as_str().unwrap();
    assert!(why.contains("899 s away") || why.contains("900 s away"), "the newest skew, as measured: {why}");
    assert_eq!(office.ask(user, "echo:genuine").await, "genuine");
    assert_eq!(office.shown(user), ["genuine"]);
    assert_eq!(office.messages(user).await.len(), 1, "nothing of the rest was stored");
}

#[actix_rt::test]
async fn a_replay_is_acknowledged_and_answered_once_also_after_a_restart() {
    let office = Office::open(Setup::default()).await;
    let sealed = office.callback("lisi", "echo:once").seal(now()).unwrap();
    for _ in 0..3 {
        assert_eq!(office.deliver(sealed.clone()).await.status(), 200);
    }
    assert_eq!(office.replies("lisi", 1).await, ["once"]);
    let office = office.restarted(|gateway| gateway.stop().1.start());
    assert_eq!(office.deliver(sealed).await.status(), 200);
    assert_eq!(office.ask("lisi", "echo:twice").await, "twice");
    assert_eq!(office.shown("lisi"), ["once", "twice"]);
}

#[actix_rt::test]
async fn odd_texts_are_answered_truthfully() {
    let office = Office::open(Setup::default()).await;
    let odd = "👩‍👩‍👧‍👦 שלום مرحبا \u{202e}reversed\u{202c} a < b & c";
    assert_eq!(office.ask("emoji", &format!("echo:{odd}")).await, odd);
    assert!(office.ask("empty", "").await.contains(UNSUPPORTED_EN));
    assert!(office.ask("blank", " \n\t ").await.contains(UNSUPPORTED_EN));
    let long = office.ask("long", &"长".repeat(100_000)).await;
    assert!(long.contains("太长"), "{long}");
    let steps = office.message("long").await;
    assert_eq!(details(&steps, "too long").next().unwrap()["chars"], 100_000);
    // A long answer comes whole, in parts that WeCom does not cut.
    let poem = (1..=600).map(|n| format!("第{n}行")).collect::<Vec<_>>().join(" ");
    office.write("poem", &format!("echo:{poem}")).await;
    let parts = office.replies("poem", 3).await;
    assert!(parts.iter().all(|part| part.len() <= 2048));
    let words: Vec<_> = parts.iter().flat_map(|part| part.split_whitespace()).collect();
    assert_eq!(words.join(" "), poem);
}

const UNSUPPORTED_EN: &str = "only text messages are understood";

/// What the member sees of one callback.
enum Seen {
    Answer(&'static str),
    Unsupported,
    Nothing,
    /// It is not stored either.
    Unreadable,
}

#[actix_rt::test]
async fn every_kind_of_callback_is_taken_stored_and_answered_truthfully() {
    use Seen::{Answer, Nothing, Unreadable, Unsupported};
    let office = Office::open(Setup::default()).await;
    let vectors: Value = serde_json::from_str(include_str!("../fixtures/wecom/wecom_app_inbound.json")).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    let mut stored = 0;
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let seen = match name {
            "text" => Answer("你好 & <世界>"),
            // As Markdown, which a model speaks, this is an ampersand.
            "cdata_literal_entity" => Answer("a & b"),
            "plain_text_entity" => Answer("a & b"),
            "event_menu_click" => Answer("MENU_HELP"),
            "event_template_card" => Answer("approve"),
            "xml_with_doctype" => Unreadable,
            name if name.starts_with("event_") => Nothing,
            "image" | "voice" | "video" | "location" | "link" | "file_undocumented" | "unknown_type" => Unsupported,
            other => panic!("what does a person see of `{other}`?"),
        };
        let before = office.shown("zhangsan").len();
        let response = office.deliver(seal(case["xml"].as_str().unwrap(), now())).await;
        assert_eq!(response.status(), 200, "{name}");
        stored += usize::from(!matches!(seen, Unreadable));
        match seen {
            Answer(words) => {
                let reply = office.replies("zhangsan", before + 1).await.remove(before);
                assert!(reply.contains(words), "{name}: {reply}");
            }
            Unsupported => {
                let reply = office.replies("zhangsan", before + 1).await.remove(before);
                assert!(reply.contains(UNSUPPORTED) || reply.contains(UNSUPPORTED_EN), "{name}: {reply}");
            }
            Nothing => {
                let list = office.get("/api/v1/messages?limit=1").await;
                let item = &list["items"][0];
                assert_eq!((item["state"].as_str(), item["reason"].is_string()), (Some("done"), true), "{name}");
            }
            Unreadable => {}
        }
    }
    let list = office.get("/api/v1/messages?limit=200").await;
    assert_eq!(list["items"].as_array().unwrap().len(), stored);
    assert_eq!(office.ask("zhangsan", "echo:last").await, "last");
    assert_eq!(office.shown("zhangsan").len(), 13, "events were not answered");
}

/// Opens a call to the hook by hand. Answers the connection.
async fn begin_call(office: &Office, head: &str) -> TcpStream {
    let mut socket = TcpStream::connect(&office.gateway.address).await.unwrap();
    let head = format!("POST /hooks/wecom?timestamp=1 HTTP/1.1\r\nHost: {}\r\n{head}\r\n\r\n", office.gateway.address);
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

/// The head of the answer.
async fn answer(socket: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = [0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(60), socket.read(&mut bytes)).await;
    String::from_utf8_lossy(&bytes[..read.expect("no answer").unwrap()]).into_owned()
}

#[actix_rt::test]
async fn a_body_that_is_too_big_or_too_slow_is_ended_and_the_rest_goes_on() {
    let office = Office::open(Setup::default()).await;
    let mut big = begin_call(&office, "Content-Length: 10485760").await;
    assert!(answer(&mut big).await.starts_with("HTTP/1.1 413"));
    // The same without saying so first.
    let (mut reader, mut writer) = begin_call(&office, "Transfer-Encoding: chunked").await.into_split();
    let pouring = actix_rt::spawn(async move {
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        for _ in 0..160 {
            if writer.write_all(chunk.as_bytes()).await.is_err() {
                break;
            }
        }
    });
    assert!(answer(&mut reader).await.starts_with("HTTP/1.1 413"));
    drop(reader);
    pouring.await.unwrap();

    let (mut reader, mut writer) = begin_call(&office, "Content-Length: 1000").await.into_split();
    let trickling = actix_rt::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    assert_eq!(office.ask("wangwu", "echo:meanwhile").await, "meanwhile");
    assert!(answer(&mut reader).await.starts_with("HTTP/1.1 408"));
    trickling.abort();
    eventually("the gateway is ready", || async { (office.get("/readyz").await["ready"] == true).then_some(()) }).await;
    assert_eq!(office.shown("wangwu"), ["meanwhile"]);
}
