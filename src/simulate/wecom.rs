//! A stand-in for WeCom's API on loopback: tokens, `message/send`, a ledger of what members would have seen, and
//! encrypted callbacks towards a gateway.
//!
//! Everything is in memory and ends with the process.

pub use super::wecom_script::{Fault, On, Rule, Script, Scripted};
pub use super::wecom_state::{Calls, Sent};
use super::wecom_state::{Message, State};
use crate::config::Secret;
use crate::egress;
use crate::platforms::wecom_crypto::{Envelope, parameter};
use actix_web::dev::ServerHandle;
use actix_web::web::{Bytes, Data, Json, PayloadConfig, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, get, post};
use futures_util::stream;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const MAX_BODY: usize = 1024 * 1024;
/// Longer than clients keep idle connections, so that none is closed under a request.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
const CALLBACK_WITHIN: Duration = Duration::from_secs(30);

/// How a stand-in runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port on loopback; 0 takes a free one.
    pub port: u16,
    /// Threads that answer.
    pub workers: usize,
    pub script: Script,
    /// Whether sends are remembered. Without a ledger repeats are not suppressed either.
    pub ledger: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: 0, workers: 1, script: Script::default(), ledger: true }
    }
}

/// A message that a member would write, to be sealed and posted to a gateway.
#[derive(Debug, Clone, Deserialize)]
pub struct Callback {
    /// The gateway's webhook, such as `http://127.0.0.1:8080/hooks/wecom`.
    pub url: String,
    pub corp_id: String,
    pub agent_id: i64,
    pub token: Secret,
    pub encoding_aes_key: Secret,
    pub user: String,
    pub text: String,
    /// WeCom's id of the message. Default: a new one.
    pub msg_id: Option<String>,
}

impl Callback {
    /// The query and body that WeCom would post, stamped with `now` (Unix seconds).
    pub fn seal(&self, now: i64) -> Result<(String, String), String> {
        let envelope = Envelope::new(&self.token, &self.encoding_aes_key, &self.corp_id);
        let envelope = envelope.map_err(|problem| format!("`encoding_aes_key` {problem}"))?;
        let draw = uuid::Uuid::new_v4();
        let (high, _) = draw.as_u64_pair();
        let id = self.msg_id.clone().unwrap_or_else(|| high.to_string());
        let inner = format!(
            "<xml><ToUserName>{}</ToUserName><FromUserName>{}</FromUserName><CreateTime>{now}</CreateTime>\
             <MsgType>text</MsgType><Content>{}</Content><MsgId>{}</MsgId><AgentID>{}</AgentID></xml>",
            literal(&self.corp_id),
            literal(&self.user),
            literal(&self.text),
            literal(&id),
            self.agent_id,
        );
        let encrypted = envelope.encrypt(*draw.as_bytes(), &inner);
        let (timestamp, nonce) = (now.to_string(), draw.simple().to_string());
        let signature = envelope.sign(&timestamp, &nonce, &encrypted);
        let body = format!(
            "<xml><ToUserName>{}</ToUserName><AgentID>{}</AgentID><Encrypt>{}</Encrypt></xml>",
            literal(&self.corp_id),
            self.agent_id,
            literal(&encrypted),
        );
        Ok((format!("msg_signature={signature}&timestamp={timestamp}&nonce={nonce}"), body))
    }
}

/// Text as a CDATA section.
fn literal(text: &str) -> String {
    format!("<![CDATA[{}]]>", text.replace("]]>", "]]]]><![CDATA[>"))
}

/// A running stand-in. Dropping this leaves it running; [`StandIn::stop`] ends it.
pub struct StandIn {
    address: SocketAddr,
    state: Arc<State>,
    server: ServerHandle,
}

impl StandIn {
    /// The base address for `api_base`.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often each call came.
    pub fn calls(&self) -> Calls {
        self.state.calls()
    }

    /// The remembered sends, oldest first.
    pub fn sent(&self) -> Vec<Sent> {
        self.state.sent()
    }

    /// Replaces the script; its counts begin anew.
    pub fn follow(&self, script: Script) {
        self.state.follow(script);
    }

    /// Ends every token issued so far.
    pub fn expire_tokens(&self) {
        self.state.expire_tokens();
    }

    /// Stops at once; open connections are closed.
    pub async fn stop(self) {
        self.server.stop(false).await;
    }
}

/// Starts a stand-in on loopback. Needs a running actix system; its workers have threads of their own.
///
/// Besides WeCom's paths it answers `GET /__sent?since=N`, `GET /__calls`, `POST /__script` and `POST /__callback`.
pub async fn start(options: Options) -> io::Result<StandIn> {
    let state = Arc::new(State::new(options.script.clone(), options.ledger));
    let data = Data::from(state.clone());
    let server = HttpServer::new(move || App::new().app_data(data.clone()).configure(routes))
        .workers(options.workers.max(1))
        .tcp_nodelay(true)
        .keep_alive(KEEP_ALIVE)
        .disable_signals()
        .bind((Ipv4Addr::LOCALHOST, options.port))?;
    let address = server.addrs().first().copied().ok_or_else(|| io::Error::other("no address was bound"))?;
    let running = server.run();
    let handle = running.handle();
    actix_rt::spawn(running);
    Ok(StandIn { address, state, server: handle })
}

fn routes(app: &mut ServiceConfig) {
    app.app_data(PayloadConfig::new(MAX_BODY))
        .service(gettoken)
        .service(send)
        .service(list_sent)
        .service(list_calls)
        .service(replace_script)
        .service(call_back);
}

#[get("/cgi-bin/gettoken")]
async fn gettoken(request: HttpRequest, state: Data<State>) -> HttpResponse {
    state.gettoken.fetch_add(1, Ordering::Relaxed);
    let query = request.query_string();
    let is_given = |name| parameter(query, name).is_some_and(|value| !value.is_empty());
    let script = state.script.load_full();
    let scripted = script.answer(On::Gettoken, "").cloned().unwrap_or_default();
    actix_rt::time::sleep(scripted.delay()).await;
    let problems = [(!is_given("corpid"), 40013), (!is_given("corpsecret"), 40001)];
    let code = problems.into_iter().find(|(is_wrong, _)| *is_wrong).map_or(scripted.errcode, |(_, code)| code);
    let mut body = json!({ "errcode": code, "errmsg": words(code, &scripted) });
    if let (0, Some(body)) = (code, body.as_object_mut()) {
        let (token, life) = state.issue_token(script.token_life());
        body.insert("access_token".into(), token.into());
        body.insert("expires_in".into(), (life + Duration::from_millis(999)).as_secs().into());
    }
    respond(&scripted, &body)
}

#[post("/cgi-bin/message/send")]
async fn send(request: HttpRequest, body: Bytes, state: Data<State>) -> HttpResponse {
    let Ok(message) = serde_json::from_slice::<Message>(&body) else {
        return HttpResponse::Ok().json(json!({ "errcode": 40058, "errmsg": words(40058, &Scripted::default()) }));
    };
    let token = parameter(request.query_string(), "access_token").unwrap_or_default();
    let script = state.script.load_full();
    let scripted = script.answer(On::Send, &message.touser).cloned().unwrap_or_default();
    // Taken before the wait: whoever gives up in the meantime does not know that it arrived.
    let code = state.take(&message, &token, &scripted);
    actix_rt::time::sleep(scripted.delay()).await;
    let invalid = scripted.invaliduser.as_deref().unwrap_or_default();
    let id = if code == 0 { uuid::Uuid::new_v4().simple().to_string() } else { String::new() };
    respond(
        &scripted,
        &json!({ "errcode": code, "errmsg": words(code, &scripted), "invaliduser": invalid, "msgid": id }),
    )
}

fn respond(scripted: &Scripted, body: &Value) -> HttpResponse {
    let status = scripted.http.and_then(|code| actix_web::http::StatusCode::from_u16(code).ok());
    let mut response = status.map_or_else(HttpResponse::Ok, HttpResponse::build);
    if let Some(wait) = &scripted.retry_after {
        response.insert_header(("Retry-After", wait.as_str()));
    }
    let broken = || io::Error::other("the script breaks the connection here");
    match scripted.fault {
        Some(Fault::Cut) => response.no_chunking(1000).streaming(stream::iter([Err::<Bytes, _>(broken())])),
        Some(Fault::Garbage) => response.body("<html>502 Bad Gateway</html>"),
        Some(Fault::Endless) => {
            response.streaming(stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[b' '; 4096]))))
        }
        None if status.is_some() => response.finish(),
        None => response.json(body),
    }
}

/// WeCom's words for the common codes, in its own form.
fn words(code: i64, scripted: &Scripted) -> String {
    if let Some(words) = &scripted.errmsg {
        return words.clone();
    }
    let meaning = match code {
        0 => return "ok".into(),
        -1 => "system busy",
        40001 => "invalid credential",
        40008 => "invalid message type",
        40013 => "invalid corpid",
        40014 => "invalid access_token",
        40056 => "invalid agentid",
        40058 => "invalid request parameter",
        41001 => "access_token missing",
        42001 => "access_token expired",
        44004 => "content empty",
        45009 => "api freq out of limit",
        60020 => "not allow to access from your ip",
        81013 => "user & party & tag all invalid",
        82001 => "no recipient",
        _ => "error",
    };
    format!("{meaning}, hint: [1700000000_1_stand_in], from ip: 127.0.0.1")
}

#[get("/__sent")]
async fn list_sent(request: HttpRequest, state: Data<State>) -> HttpResponse {
    let since = parameter(request.query_string(), "since").and_then(|n| n.parse().ok()).unwrap_or(0);
    let items = state.sent_since(since);
    let last = items.last().map_or(since, |sent| sent.n);
    HttpResponse::Ok().json(json!({ "items": items, "last": last }))
}

#[get("/__calls")]
async fn list_calls(state: Data<State>) -> Json<Calls> {
    Json(state.calls())
}

#[post("/__script")]
async fn replace_script(body: Bytes, state: Data<State>) -> HttpResponse {
    match serde_json::from_slice(&body) {
        Ok(script) => {
            state.follow(script);
            HttpResponse::NoContent().finish()
        }
        Err(error) => HttpResponse::BadRequest().body(format!("not a script: {error}")),
    }
}

/// Seals a member's message and posts it to a gateway; answers with the gateway's status and body.
#[post("/__callback")]
async fn call_back(body: Bytes, state: Data<State>) -> HttpResponse {
    state.callback.fetch_add(1, Ordering::Relaxed);
    let posted = async {
        let callback: Callback = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let (query, body) = callback.seal(Timestamp::now().as_second())?;
        let client = egress::client(Duration::from_secs(5))?;
        let request = client.post(format!("{}?{query}", callback.url)).header("Content-Type", "text/xml").body(body);
        let response = request.timeout(CALLBACK_WITHIN).send().await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(|error| error.to_string())?;
        Ok::<_, String>(json!({ "status": status, "body": text }))
    };
    match posted.await {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(problem) => HttpResponse::BadRequest().json(json!({ "error": problem })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Platform;
    use crate::platforms::{Call, wecom};

    async fn get(stand_in: &StandIn, path: &str) -> Value {
        egress::install_tls();
        let client = egress::client(Duration::from_secs(5)).unwrap();
        client.get(format!("{}{path}", stand_in.base())).send().await.unwrap().json().await.unwrap()
    }

    async fn post(stand_in: &StandIn, path: &str, body: Value) -> Value {
        egress::install_tls();
        let client = egress::client(Duration::from_secs(5)).unwrap();
        client.post(format!("{}{path}", stand_in.base())).json(&body).send().await.unwrap().json().await.unwrap()
    }

    #[actix_rt::test]
    async fn speaks_as_wecom_does() {
        let stand_in = start(Options::default()).await.unwrap();
        let text = |user: &str, text: &str| json!({ "touser": user, "msgtype": "text", "agentid": 1, "text": { "content": text } });
        let token = get(&stand_in, "/cgi-bin/gettoken?corpid=ww1&corpsecret=s").await["access_token"].clone();
        assert_eq!(get(&stand_in, "/cgi-bin/gettoken?corpid=ww1&corpsecret=s").await["access_token"], token);
        assert_eq!(get(&stand_in, "/cgi-bin/gettoken?corpid=ww1&corpsecret=").await["errcode"], 40001);
        let path = format!("/cgi-bin/message/send?access_token={}", token.as_str().unwrap());
        let table = [
            ("taken", path.as_str(), text("a", "hi"), 0),
            ("no token", "/cgi-bin/message/send", text("a", "hi"), 41001),
            ("strange token", "/cgi-bin/message/send?access_token=x", text("a", "hi"), 40014),
            ("nobody", &path, text("", "hi"), 82001),
            ("nothing", &path, text("a", " "), 44004),
            (
                "agent in quotes",
                &path,
                json!({ "touser": "a", "msgtype": "text", "agentid": "1", "text": { "content": "x" } }),
                40056,
            ),
            ("unknown type", &path, json!({ "touser": "a", "msgtype": "song", "agentid": 1 }), 40008),
            ("too long is cut", &path, text("b", &"企".repeat(1000)), 0),
        ];
        for (case, path, body, code) in table {
            assert_eq!(post(&stand_in, path, body).await["errcode"], code, "{case}");
        }
        stand_in.expire_tokens();
        assert_eq!(post(&stand_in, &path, text("a", "hi")).await["errcode"], 42001);
        let sent = get(&stand_in, "/__sent").await;
        let shown = sent["items"].as_array().unwrap().iter().filter(|it| it["shown"] == true).count();
        assert_eq!((shown, sent["last"].as_u64()), (2, Some(9)));
        assert_eq!(get(&stand_in, "/__sent?since=7").await["items"][0]["text"].as_str().unwrap().len(), 2046);
        assert_eq!(get(&stand_in, "/__calls").await["send"], 9);
        stand_in.stop().await;
    }

    #[actix_rt::test]
    async fn without_a_ledger_it_counts_only() {
        let stand_in = start(Options { ledger: false, ..Options::default() }).await.unwrap();
        let token = get(&stand_in, "/cgi-bin/gettoken?corpid=ww1&corpsecret=s").await["access_token"].clone();
        let path = format!("/cgi-bin/message/send?access_token={}", token.as_str().unwrap());
        let body = json!({ "touser": "a", "msgtype": "markdown", "agentid": 1, "markdown": { "content": "hi" } });
        assert_eq!(post(&stand_in, &path, body).await["errcode"], 0);
        assert_eq!((stand_in.sent().len(), stand_in.calls().shown), (0, 1));
        stand_in.stop().await;
    }

    #[test]
    fn a_sealed_callback_opens_at_the_gateway() {
        let callback = Callback {
            url: String::new(),
            corp_id: "ww1".into(),
            agent_id: 7,
            token: Secret::new("token"),
            encoding_aes_key: Secret::new("CxIZICcuNTxDSlFYX2ZtdHuCiZCXnqWss7rByM/W3eQ"),
            user: "zhangsan".into(),
            text: "a ]]> b & <c> 👋".into(),
            msg_id: Some("42".into()),
        };
        let (query, body) = callback.seal(1000).unwrap();
        let section = Platform {
            id: "w".into(),
            corp_id: "ww1".into(),
            agent_id: 7,
            token: Secret::new("token"),
            encoding_aes_key: callback.encoding_aes_key.clone(),
            ..Platform::default()
        };
        let ingress = (wecom::KIND.ingress)(&section, Duration::from_secs(1)).unwrap();
        let opened = ingress.open(Call { is_get: false, query: &query, body: body.as_bytes(), now: 1000 }).unwrap();
        let event = opened.events.first().unwrap();
        assert_eq!((event.text.as_str(), event.external_id.as_str()), (callback.text.as_str(), "wecom:7:42"));
        assert!(Callback { encoding_aes_key: Secret::new("short"), ..callback }.seal(1000).is_err());
    }

    #[actix_rt::test]
    async fn a_callback_reaches_the_gateway_it_names() {
        let stand_in = start(Options::default()).await.unwrap();
        // Another stand-in plays the gateway: it knows no such path and says so.
        let callback = json!({
            "url": format!("{}/hooks/wecom", stand_in.base()), "corp_id": "ww1", "agent_id": 7, "token": "t",
            "encoding_aes_key": "CxIZICcuNTxDSlFYX2ZtdHuCiZCXnqWss7rByM/W3eQ", "user": "zhangsan", "text": "hi",
        });
        assert_eq!(post(&stand_in, "/__callback", callback).await["status"], 404);
        assert!(post(&stand_in, "/__callback", json!({})).await["error"].is_string());
        assert_eq!(stand_in.calls().callback, 2);
        stand_in.stop().await;
    }
}
