//! The real binary, started in a temporary folder with a configuration of the test's own.

use super::PATIENCE;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Admin key of every gateway in the tests.
pub const KEY: &str = "test-admin-token-0123456789";

/// A gateway that runs. Dropping it kills the process; its folder goes with the last holder.
pub struct Gateway {
    child: Child,
    binary: PathBuf,
    pub folder: Arc<TempDir>,
    pub address: String,
    log: Arc<Mutex<String>>,
    environment: Vec<(String, String)>,
}

/// How to start one.
pub struct Launch {
    binary: PathBuf,
    folder: Arc<TempDir>,
    environment: Vec<(String, String)>,
    ignored_signal: Option<&'static str>,
}

impl Launch {
    /// `config` without `[server]`: the address is chosen here.
    pub fn new(config: &str) -> Self {
        Self::with_server("", config)
    }

    /// The same, with more keys of `[server]`.
    pub fn with_server(server: &str, config: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let whole = format!("[server]\nbind = \"127.0.0.1:0\"\n{server}\n{config}");
        std::fs::write(folder.path().join("config.toml"), whole).unwrap();
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_mindbot"));
        Self { binary, folder, environment: Vec::new(), ignored_signal: None }
    }

    /// Starts another build than the one that belongs to the tests.
    pub fn binary(mut self, path: &Path) -> Self {
        self.binary = path.to_owned();
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Has the process ignore a signal that would end it, such as `XFSZ`. For this start only.
    pub fn ignoring(mut self, signal: &'static str) -> Self {
        self.ignored_signal = Some(signal);
        self
    }

    fn command(&self) -> Command {
        let Some(signal) = self.ignored_signal else { return Command::new(&self.binary) };
        let mut command = Command::new("env");
        command.arg(format!("--ignore-signal={signal}")).arg(&self.binary);
        command
    }

    /// Starts the gateway and waits until it is ready.
    pub fn start(self) -> Gateway {
        match self.try_start() {
            Ok(gateway) => gateway,
            Err((status, log)) => panic!("the gateway ended with {status}:\n{log}"),
        }
    }

    /// Starts the gateway; when it ends instead of becoming ready: how, and what it said.
    pub fn try_start(self) -> Result<Gateway, (ExitStatus, String)> {
        let mut child = self
            .command()
            .current_dir(self.folder.path())
            .env("MINDBOT_ADMIN_TOKEN", KEY)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (log, ready) = follow(child.stderr.take().unwrap());
        match ready.recv_timeout(PATIENCE) {
            Ok(address) => {
                let Self { binary, folder, environment, .. } = self;
                Ok(Gateway { child, binary, folder, address, log, environment })
            }
            Err(_) => {
                let _ = child.kill();
                let status = child.wait().unwrap();
                let text = log.lock().unwrap().clone();
                Err((status, text))
            }
        }
    }
}

/// Gathers the log, and reports the address once the gateway says it.
fn follow(stderr: std::process::ChildStderr) -> (Arc<Mutex<String>>, Receiver<String>) {
    let log = Arc::new(Mutex::new(String::new()));
    let (tell, ready) = channel();
    let gathered = log.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("MindBot: http://") {
                let _ = tell.send(address.trim_end_matches("/chat").to_owned());
            }
            let mut log = gathered.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    });
    (log, ready)
}

impl Gateway {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path().join("config.toml")
    }

    /// Everything that was logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process at once, as a power cut would.
    pub fn kill(mut self) -> Launch {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.again()
    }

    /// Sends a signal such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Asks the process to end, and waits for it.
    pub fn stop(mut self) -> (ExitStatus, Launch) {
        self.signal("TERM");
        let status = self.wait();
        (status, self.again())
    }

    /// The same gateway once more.
    fn again(&mut self) -> Launch {
        let environment = std::mem::take(&mut self.environment);
        Launch { binary: self.binary.clone(), folder: self.folder.clone(), environment, ignored_signal: None }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE * 2, "the gateway does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the gateway ---\n{}", self.log());
        }
    }
}
