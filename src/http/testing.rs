//! A whole gateway in a temporary folder, for the tests of this room: booted as `serve` does, spoken to over a socket.

use super::AppState;
use crate::boot::{self, Plan, Running};
use crate::components::kinds;
use crate::config::{self, Source, Telemetry, read_secret_file};
use crate::store::access::{self, hash_of};
use crate::telemetry::logs::{self, LogLevel};
use crate::{egress, shutdown};
use reqwest::{Method, RequestBuilder};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Keys of the three roles.
pub const VIEWER: &str = "viewer-key-for-tests";
pub const OPERATOR: &str = "operator-key-for-tests";
pub const ADMIN: &str = "admin-key-for-tests";

pub const CONFIG: &str = "
[server]
bind = '127.0.0.1:0'
trusted_proxies = ['127.0.0.1']
drain_timeout = '100ms'
chaos = true

[telemetry]
log_level = 'off'

[security]
cors_origins = ['https://intranet.example']

[[platforms]]
id = 'web'
kind = 'web'

[[platforms]]
id = 'wecom'
kind = 'wecom'
corp_id = 'ww1'
agent_id = 1000002
secret = 'the secret of the application'
token = 'token'
encoding_aes_key = 'CxIZICcuNTxDSlFYX2ZtdHuCiZCXnqWss7rByM/W3eQ'
api_base = 'http://127.0.0.1:9'
";

pub struct Gateway {
    pub state: Arc<AppState>,
    pub address: std::net::SocketAddr,
    pub config_file: PathBuf,
    client: reqwest::Client,
    running: Running,
    _folder: tempfile::TempDir,
}

impl Gateway {
    /// Boots from [`CONFIG`] after `change`, and stores the three keys.
    pub async fn start(change: impl FnOnce(&str) -> String) -> Self {
        egress::install_tls();
        let folder = tempfile::tempdir().unwrap();
        let source = Source { path: folder.path().join("config.toml"), text: change(CONFIG) };
        std::fs::write(&source.path, &source.text).unwrap();
        let loaded = config::load(&source, &config::Env::new(), &read_secret_file, &kinds()).unwrap();
        let config_file = source.path.clone();
        let fatal = Arc::new(|reason: &str| panic!("{reason}"));
        let running = boot::boot(Plan { source, loaded, log_level: log_level(), fatal }).await.unwrap();
        let state = running.state.clone();
        for (key, role) in [(VIEWER, "viewer"), (OPERATOR, "operator"), (ADMIN, "admin")] {
            state.store.write(move |conn| access::add_key(conn, &hash_of(key), role, 0)).await.unwrap();
        }
        let client = egress::client(Duration::from_secs(5)).unwrap();
        Self { state, address: running.address, config_file, client, running, _folder: folder }
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("http://{}{path}", self.address))
    }

    pub async fn stop(self) {
        drop(self.state);
        shutdown::drain(self.running).await;
    }

    /// Writes a message in `state` with one reply part in `part`, as the path would have left it. Answers its id.
    pub async fn put_message(&self, state: &'static str, part: &'static str) -> i64 {
        // Not long ago, or retention takes it away.
        let now = self.state.store.now();
        let writing = self.state.store.write(move |conn| {
            conn.execute(
                "INSERT INTO inbox (platform, external_id, conversation, queue, chat, kind, sender, text, parts, reply_route,
                                    sent_at, received_at, state)
                 VALUES ('web', hex(randomblob(8)), 'c', 'c', 'private', 'message', 's', 'the content', '[]', 'null', ?2, ?2, ?1)",
                (state, now),
            )?;
            let id = conn.last_insert_rowid();
            conn.execute(
                "INSERT INTO outbox (message, part, platform, conversation, reply_route, text, state, created_at)
                 VALUES (?1, 0, 'web', 'c', 'null', 'the answer', ?2, ?3)",
                (id, part, now),
            )?;
            Ok(id)
        });
        writing.await.unwrap()
    }
}

/// Logging is installed once for the process.
fn log_level() -> LogLevel {
    static LEVEL: OnceLock<LogLevel> = OnceLock::new();
    let quiet = Telemetry { log_level: "off".to_owned(), ..Telemetry::default() };
    LEVEL.get_or_init(|| logs::install(&quiet).unwrap()).clone()
}
