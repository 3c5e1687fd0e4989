//! A gateway under load from WeCom, and a ledger of what it acknowledged that lives outside of it.
//!
//! Members write numbered messages through encrypted callbacks; the model echoes each message's own nonce; the WeCom
//! stand-in remembers what every member was shown. The verdict compares the three.

use super::chat::client;
use super::gateway::{Gateway, Launch};
use mindbot::config::Secret;
use mindbot::simulate::{openai, wecom};
use std::collections::{BTreeMap, HashSet};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CORP: &str = "wwsiege";
const AGENT: i64 = 1_000_002;
const TOKEN: &str = "siege-token";
const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
/// Without any progress for this long, what is missing counts as lost.
const SETTLED: Duration = Duration::from_secs(12);

/// Messages of each sort that a verdict prints.
const PRINTED: usize = 5;

/// How hard the gateway is pressed.
#[derive(Debug, Clone)]
pub struct Pressure {
    pub members: usize,
    /// Between two messages of one member.
    pub pause: Duration,
    /// How long the model thinks.
    pub thinking: (Duration, Duration),
    pub sabotage: Option<&'static str>,
    /// More sections of the configuration.
    pub more: &'static str,
    /// More of the gateway's environment.
    pub environment: &'static [(&'static str, &'static str)],
    /// Another build than the one that belongs to the tests.
    pub binary: Option<std::path::PathBuf>,
}

impl Default for Pressure {
    fn default() -> Self {
        let ms = Duration::from_millis;
        let thinking = (ms(5), ms(120));
        Self { members: 20, pause: ms(120), thinking, sabotage: None, more: "", environment: &[], binary: None }
    }
}

/// What each member was acknowledged, in order.
type Ledger = BTreeMap<String, Vec<String>>;

/// A gateway, its outside world, and members that write to it.
pub struct Siege {
    pub gateway: Gateway,
    pub wecom: wecom::StandIn,
    pub model: openai::Running,
    ledger: Arc<Mutex<Ledger>>,
    writing: Arc<AtomicBool>,
    writers: Vec<actix_rt::task::JoinHandle<()>>,
}

/// What became of the acknowledged messages.
#[derive(Default, Clone, PartialEq)]
pub struct Verdict {
    pub acknowledged: usize,
    /// Acknowledged, and never shown.
    pub lost: Vec<String>,
    /// Shown more than once.
    pub duplicates: Vec<String>,
    /// The same, and not admitted as `unknown` in the message's trace.
    pub silent_duplicates: Vec<String>,
    /// Shown before an earlier one of the same member.
    pub out_of_order: Vec<String>,
}

impl std::fmt::Debug for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} acknowledged", self.acknowledged)?;
        let rows = [
            ("lost", &self.lost),
            ("duplicates", &self.duplicates),
            ("silent duplicates", &self.silent_duplicates),
            ("out of order", &self.out_of_order),
        ];
        rows.iter().try_for_each(|(name, texts)| {
            let some = texts.iter().take(PRINTED).map(String::as_str).collect::<Vec<_>>().join(" ");
            writeln!(f, "{name}: {} {some}", texts.len())
        })
    }
}

impl Verdict {
    /// Whether every promise was kept; one visible duplicate in a thousand may happen, admitted as `unknown`.
    pub fn is_kept(&self) -> bool {
        self.lost.is_empty()
            && self.out_of_order.is_empty()
            && self.silent_duplicates.is_empty()
            && self.duplicates.len() * 1000 <= self.acknowledged
    }
}

/// Rows found in each state when the gateway was down.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub ready: i64,
    pub claimed: i64,
    pub sending: i64,
}

/// Kills the gateway after each of these waits. Answers what became of the messages, and what the restarts found.
pub async fn under_fire(pressure: Pressure, moments: impl Iterator<Item = Duration>) -> (Verdict, Found) {
    let mut siege = Siege::lay(pressure).await;
    let mut found = Found::default();
    for moment in moments {
        tokio::time::sleep(moment).await;
        let (again, rows) = siege.kill_and_restart();
        siege = again;
        found.ready += rows.ready;
        found.claimed += rows.claimed;
        found.sending += rows.sending;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (verdict, _gateway) = siege.verdict().await;
    (verdict, found)
}

impl Siege {
    /// Starts everything, and the members begin to write.
    pub async fn lay(pressure: Pressure) -> Self {
        let model = openai::start(openai::Options { delay: pressure.thinking, ..openai::Options::default() }).unwrap();
        let wecom = wecom::start(wecom::Options::default()).await.unwrap();
        let config = format!(
            "chaos = true
[pipeline]
rate_per_conversation = 0
[[platforms]]
id = 'wecom'
kind = 'wecom'
corp_id = '{CORP}'
agent_id = {AGENT}
secret = 'siege-secret'
token = '{TOKEN}'
encoding_aes_key = '{AES_KEY}'
api_base = '{}'
sends_per_minute = 0
[[providers]]
id = 'model'
kind = 'openai'
api_key = 'sk-siege'
base_url = '{}'
models = ['stand-in']
[[assistants]]
id = 'helper'
providers = ['model']
{}",
            wecom.base(),
            model.base_url(),
            pressure.more
        );
        // The address stays the same over every restart, as a platform needs it.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut launch = Launch::new(&config).env("MINDBOT_SERVER__BIND", &format!("127.0.0.1:{port}"));
        if let Some(binary) = &pressure.binary {
            launch = launch.binary(binary);
        }
        if let Some(sabotage) = pressure.sabotage {
            launch = launch.env("MINDBOT_SABOTAGE", sabotage);
        }
        for (name, value) in pressure.environment {
            launch = launch.env(name, value);
        }
        let gateway = launch.start();
        let (ledger, writing) = (Arc::default(), Arc::new(AtomicBool::new(true)));
        let members = (0..pressure.members).map(|number| Member {
            name: format!("member-{number}"),
            url: gateway.url("/hooks/wecom"),
            ledger: Arc::clone(&ledger),
            writing: Arc::clone(&writing),
            pause: pressure.pause,
        });
        let writers = members.map(|member| actix_rt::spawn(member.write())).collect();
        Self { gateway, wecom, model, ledger, writing, writers }
    }

    /// Kills the gateway, looks at what it left on disk, and starts it again.
    pub fn kill_and_restart(self) -> (Self, Found) {
        let Self { gateway, wecom, model, ledger, writing, writers } = self;
        let database = gateway.path().join("data/mindbot.db");
        let launch = gateway.kill();
        let found = look(&database);
        (Self { gateway: launch.start(), wecom, model, ledger, writing, writers }, found)
    }

    /// Messages acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.ledger.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Lets the members fall silent, waits until everything is answered or nothing moves any more, and judges.
    pub async fn verdict(self) -> (Verdict, Gateway) {
        self.writing.store(false, Ordering::Relaxed);
        for writer in self.writers {
            writer.await.unwrap();
        }
        let ledger = self.ledger.lock().unwrap().clone();
        let total: usize = ledger.values().map(Vec::len).sum();
        let mut last_change = (0, Instant::now());
        loop {
            let sent = self.wecom.sent();
            let shown: HashSet<&str> = sent.iter().filter(|sent| sent.shown).map(|sent| sent.text.as_str()).collect();
            if shown.len() != last_change.0 {
                last_change = (shown.len(), Instant::now());
            }
            let is_complete = ledger.values().flatten().all(|text| shown.contains(text.as_str()));
            // A duplicate would come a little later than the first.
            let quiet = if is_complete { Duration::from_secs(1) } else { SETTLED };
            if last_change.1.elapsed() > quiet {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let admitted = admitted_as_unknown(&self.gateway.path().join("data/mindbot.db"));
        let mut verdict = Verdict { acknowledged: total, ..Verdict::default() };
        let sent = self.wecom.sent();
        for (member, texts) in &ledger {
            let shown = sent.iter().filter(|sent| sent.shown && sent.touser == *member).map(|sent| sent.text.as_str());
            verdict.judge(texts, &shown.collect::<Vec<_>>(), &admitted);
        }
        let database = self.gateway.path().join("data/mindbot.db");
        verdict.lost.iter_mut().take(PRINTED).for_each(|text| *text = format!("{text} ({})", story(&database, text)));
        (verdict, self.gateway)
    }
}

impl Verdict {
    fn judge(&mut self, acknowledged: &[String], shown: &[&str], admitted: &HashSet<String>) {
        let mut furthest = 0;
        for text in acknowledged {
            let places: Vec<usize> = (0..shown.len()).filter(|place| shown[*place] == text).collect();
            match places.as_slice() {
                [] => self.lost.push(text.clone()),
                [first, rest @ ..] => {
                    if *first < furthest {
                        self.out_of_order.push(text.clone());
                    }
                    furthest = *first;
                    if !rest.is_empty() {
                        self.duplicates.push(text.clone());
                        if !admitted.contains(text) {
                            self.silent_duplicates.push(text.clone());
                        }
                    }
                }
            }
        }
    }
}

fn open(database: &std::path::Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection
}

fn look(database: &std::path::Path) -> Found {
    let connection = open(database);
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get(0)).unwrap();
    Found {
        ready: count("SELECT count(*) FROM inbox WHERE state = 'ready'"),
        claimed: count("SELECT count(*) FROM inbox WHERE state = 'claimed'"),
        sending: count("SELECT count(*) FROM outbox WHERE state = 'sending'"),
    }
}

/// What the store knows of the message that asked for `text`: its trace, and its replies.
fn story(database: &std::path::Path, text: &str) -> String {
    let connection = open(database);
    let sql = "SELECT group_concat(step || ' ' || detail, '; ') FROM (
                 SELECT t.step, t.detail FROM trace AS t JOIN inbox AS i ON i.id = t.message
                  WHERE i.text = 'echo:' || ?1 ORDER BY t.id)
               UNION ALL
               SELECT group_concat(o.state || ': ' || o.text, '; ') FROM outbox AS o JOIN inbox AS i ON i.id = o.message
                WHERE i.text = 'echo:' || ?1";
    let mut statement = connection.prepare(sql).unwrap();
    let parts = statement.query_map([text], |row| row.get::<_, Option<String>>(0)).unwrap();
    parts.map(|part| part.unwrap().unwrap_or_default()).collect::<Vec<_>>().join(" → ")
}

/// The replies of messages whose trace says that a part's fate was unknown.
fn admitted_as_unknown(database: &std::path::Path) -> HashSet<String> {
    let connection = open(database);
    let mut statement = connection
        .prepare("SELECT o.text FROM outbox AS o JOIN trace AS t ON t.message = o.message AND t.step = 'unknown'")
        .unwrap();
    let texts = statement.query_map([], |row| row.get::<_, Option<String>>(0)).unwrap();
    texts.filter_map(|text| text.unwrap()).collect()
}

/// Somebody who writes numbered messages, one after the other, and repeats each until it is acknowledged.
struct Member {
    name: String,
    url: String,
    ledger: Arc<Mutex<Ledger>>,
    writing: Arc<AtomicBool>,
    pause: Duration,
}

impl Member {
    async fn write(self) {
        let client = client();
        let mut number = 0;
        while self.writing.load(Ordering::Relaxed) {
            number += 1;
            let text = format!("{}:{number}", self.name);
            if !self.deliver(&client, number, &text).await {
                return;
            }
            self.ledger.lock().unwrap().entry(self.name.clone()).or_default().push(text);
            tokio::time::sleep(self.pause).await;
        }
    }

    /// Posts until it is acknowledged, as the platform does. False when the siege ended meanwhile.
    async fn deliver(&self, client: &reqwest::Client, number: u64, text: &str) -> bool {
        let callback = wecom::Callback {
            url: self.url.clone(),
            corp_id: CORP.into(),
            agent_id: AGENT,
            token: Secret::new(TOKEN),
            encoding_aes_key: Secret::new(AES_KEY),
            user: self.name.clone(),
            text: format!("echo:{text}"),
            msg_id: Some(format!("{}-{number}", self.name)),
        };
        let began = Instant::now();
        loop {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
            let (query, body) = callback.seal(i64::try_from(now).unwrap()).unwrap();
            let posted = client.post(format!("{}?{query}", self.url)).body(body).send().await;
            if posted.is_ok_and(|response| response.status() == 200) {
                return true;
            }
            assert!(began.elapsed() < super::PATIENCE, "{text} is not taken");
            if !self.writing.load(Ordering::Relaxed) {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
