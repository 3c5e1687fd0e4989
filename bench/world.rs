//! The outside world of a measurement, and who is measured in it: the gateway or the bare reference.

use crate::support::gateway::{Gateway, Launch};
use mindbot::simulate::{openai, wecom};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The stand-ins of a model and of WeCom. They answer on threads of their own.
pub struct World {
    pub model: openai::Running,
    pub wecom: wecom::StandIn,
}

impl World {
    pub async fn new(thinking: (Duration, Duration), ledger: bool) -> Self {
        let model = openai::start(openai::Options { delay: thinking, prompts_kept: 1, ..Default::default() }).unwrap();
        let wecom = wecom::start(wecom::Options { ledger, ..Default::default() }).await.unwrap();
        Self { model, wecom }
    }

    /// Answers that members have been shown.
    pub fn shown(&self) -> usize {
        usize::try_from(self.wecom.calls().shown).unwrap()
    }

    /// Waits until `count` answers are shown, or nothing has moved for `patience`. Answers how many are.
    pub async fn wait_for(&self, count: usize, patience: Duration) -> usize {
        let mut last = (self.shown(), Instant::now());
        while last.0 < count && last.1.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if self.shown() != last.0 {
                last = (self.shown(), Instant::now());
            }
        }
        last.0
    }

    pub async fn end(self) {
        self.wecom.stop().await;
        actix_rt::task::spawn_blocking(|| self.model.stop()).await.unwrap();
    }
}

/// Defaults of the gateway, without the limits that belong to one person or to a real platform.
pub const PLAIN: &str = include_str!("plain.toml");
/// The same with room for ten thousand turns at once.
pub const CROWD: &str = include_str!("in-flight.toml");
/// The same with a backlog that is worked off within seconds.
pub const OVERLOAD: &str = include_str!("overload.toml");
/// Two platforms, two models and documents: something of every kind that can fail.
pub const HOUSE: &str = include_str!("house.toml");

/// Whatever takes callbacks and has a process of its own.
pub trait Subject {
    fn pid(&self) -> u32;
    fn address(&self) -> &str;
}

impl Subject for Gateway {
    fn pid(&self) -> u32 {
        Gateway::pid(self)
    }

    fn address(&self) -> &str {
        &self.address
    }
}

/// How to start the gateway of this build with a checked-in configuration.
pub fn launch(world: &World, config: &str) -> Launch {
    launch_with(world, "", config)
}

/// The same, with more keys of `[server]`.
pub fn launch_with(world: &World, server: &str, config: &str) -> Launch {
    Launch::with_server(server, config)
        .env("WECOM_BASE", &world.wecom.base())
        .env("MODEL_BASE", &world.model.base_url())
        .env("MINDBOT_TELEMETRY__LOG_LEVEL", "warn")
}

/// The binary of the tests' profile, where `cargo build` leaves it beside ours.
pub fn chaos_beside_us() -> PathBuf {
    let release = PathBuf::from(env!("CARGO_BIN_EXE_mindbot"));
    release.ancestors().nth(2).unwrap().join("ci/mindbot")
}

/// The bare reference, as a child of this program.
pub struct Reference {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Reference {
    pub fn start(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--reference")
            .args([world.model.base_url(), world.wecom.base()])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().to_owned(), _folder: folder }
    }
}

impl Subject for Reference {
    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A door in front of the model: connections are taken at once and lead on once it is open.
pub struct Gate {
    pub base: String,
    open: tokio::sync::watch::Sender<bool>,
}

impl Gate {
    pub async fn before(world: &World) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let (open, is_open) = tokio::sync::watch::channel(false);
        let model = ("127.0.0.1", world.model.port);
        actix_rt::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                let mut is_open = is_open.clone();
                actix_rt::spawn(async move {
                    if is_open.wait_for(|open| *open).await.is_ok() {
                        let mut outside = tokio::net::TcpStream::connect(model).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
                    }
                });
            }
        });
        Self { base, open }
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }
}
