//! The bare reference: what a message costs without actors, rules, traces or supervision.
//!
//! Decrypt, one grouped commit, a streamed answer of the model, commit, `message/send`, commit. It recovers nothing and
//! refuses nothing; it only says what this machine could do.

mod store;

use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use mindbot::config::Secret;
use mindbot::egress;
use mindbot::platforms::wecom_crypto::{Envelope, Stamp, encrypted_element};
use serde::Deserialize;
use serde_json::json;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use store::{Store, Write};

/// As the gateway on this many cores.
const WORKERS: usize = 2;

/// What all threads share.
struct Shared {
    envelope: Envelope,
    store: Store,
    model: String,
    wecom: String,
}

/// What one thread has: connections belong to the thread that opened them.
struct Local {
    client: reqwest::Client,
    token: tokio::sync::OnceCell<String>,
}

/// Serves until it is killed. Prints its address in one line. `arguments`: base URLs of the model and of WeCom.
pub fn run(arguments: &[String]) -> ExitCode {
    let (model, wecom) = (arguments[0].clone(), arguments[1].clone());
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let key = Secret::new(crate::load::AES_KEY);
    let envelope = Envelope::new(&Secret::new(crate::load::TOKEN), &key, crate::load::CORP).unwrap();
    let shared = Arc::new(Shared { envelope, store: Store::open("reference.db"), model, wecom });
    let app = move || {
        let local = Local { client: egress::client(Duration::from_secs(5)).unwrap(), token: Default::default() };
        App::new()
            .app_data(Data::from(shared.clone()))
            .app_data(Rc::new(local))
            .route("/hooks/wecom", actix_web::web::post().to(receive))
    };
    actix_rt::System::new().block_on(async {
        let server = HttpServer::new(app).workers(WORKERS).tcp_nodelay(true).bind(("127.0.0.1", 0)).unwrap();
        println!("{}", server.addrs()[0]);
        server.run().await.unwrap();
    });
    ExitCode::SUCCESS
}

async fn receive(request: HttpRequest, body: Bytes, shared: Data<Shared>) -> HttpResponse {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let stamp = Stamp::of(request.query_string()).unwrap();
    let xml = shared.envelope.open(&stamp, encrypted_element(&body).unwrap(), now, Duration::from_secs(300)).unwrap();
    let field = |name: &str| {
        let (_, rest) = xml.split_once(&format!("<{name}><![CDATA[")).unwrap();
        rest.split_once("]]>").unwrap().0.to_owned()
    };
    let (id, user, text) = (field("MsgId"), field("FromUserName"), field("Content"));
    let accept = Write::Accept { id, user: user.clone(), text: text.clone() };
    let row = shared.store.write(accept).await;
    let local = request.app_data::<Rc<Local>>().unwrap().clone();
    actix_rt::spawn(answer(shared, local, row, user, text));
    HttpResponse::Ok().finish()
}

async fn answer(shared: Data<Shared>, local: Rc<Local>, row: i64, user: String, question: String) {
    let text = ask(&shared, &local, question).await;
    let part = shared.store.write(Write::Answer { row, text: text.clone() }).await;
    let token = local.token.get_or_init(|| token(&shared, &local)).await;
    let body = json!({ "touser": user, "msgtype": "text", "agentid": crate::load::AGENT, "text": { "content": text } });
    let url = format!("{}/cgi-bin/message/send?access_token={token}", shared.wecom);
    let sent: serde_json::Value = local.client.post(url).json(&body).send().await.unwrap().json().await.unwrap();
    assert_eq!(sent["errcode"], 0);
    shared.store.write(Write::Sent { part }).await;
}

async fn token(shared: &Shared, local: &Local) -> String {
    let url = format!("{}/cgi-bin/gettoken?corpid={}&corpsecret=s", shared.wecom, crate::load::CORP);
    let answer: serde_json::Value = local.client.get(url).send().await.unwrap().json().await.unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Piece<'a>,
}

#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(borrow)]
    content: Option<std::borrow::Cow<'a, str>>,
}

async fn ask(shared: &Shared, local: &Local, question: String) -> String {
    let body = json!({ "model": "m", "stream": true, "messages": [{ "role": "user", "content": question }] });
    drop(question);
    let url = format!("{}/chat/completions", shared.model);
    let request = local.client.post(url).bearer_auth("sk-bench").json(&body);
    drop(body);
    let again = request.try_clone().unwrap();
    // A kept connection may just have been closed by the other side.
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(_) => again.send().await.unwrap(),
    };
    let (mut rest, mut text) = (Vec::new(), String::new());
    while let Some(bytes) = response.chunk().await.unwrap() {
        rest.extend_from_slice(&bytes);
        let mut used = 0;
        while let Some(end) = rest[used..].iter().position(|byte| *byte == b'\n') {
            let line = &rest[used..used + end];
            used += end + 1;
            let Some(data) = line.strip_prefix(b"data: ") else { continue };
            if data != b"[DONE]" {
                let chunk: Chunk<'_> = serde_json::from_slice(data).unwrap();
                text.extend(chunk.choices.into_iter().filter_map(|choice| choice.delta.content));
            }
        }
        rest.drain(..used);
    }
    text
}
