//! Builds everything in order and returns [`Running`]. Each step is a named stage, in the log and in `/readyz`.

use crate::components::{Components, Supervisors};
use crate::config::{Config, Loaded, Secret, Source};
use crate::directory::{Directory, Snapshot};
use crate::dispatch::{Dispatcher, DispatcherWiring, Intake, Nudges, Office, OutboxPump, PumpWiring, rule_by_config};
use crate::domain::InstanceId;
use crate::http::auth::{Keys, TOKEN_VARIABLE};
use crate::http::health::Health;
use crate::http::metrics::Promises;
use crate::http::{self, AppSlot, AppState};
use crate::knowledge::ingester::{self, Assignment};
use crate::knowledge::{Search, Shelf, retriever};
use crate::pipeline;
use crate::platforms;
use crate::providers::manager::{GetHealth, Lineup, ProviderManager};
use crate::reload::{self, ConfigReloader};
use crate::store::{Store, inbox, outbox};
use crate::supervise::{
    Charge, ChildSpec, Common, Fatal, Policy, Port, Supervisor, SupervisorPorts, Thread, Tree, VitalsBoard, keep_root,
    watch_from_outside,
};
use crate::telemetry;
use crate::telemetry::leaks;
use crate::telemetry::logs::LogLevel;
use crate::upkeep::Upkeep;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Silence of the control thread after which the process ends.
const CONTROL_STUCK: Duration = Duration::from_secs(10);
/// Open files that are wanted; the system's hard limit bounds it.
const OPEN_FILES: u64 = 1 << 20;

/// Requests to providers that may wait and run together; turns are bounded before they get here.
const ASKS: usize = 100_000;
/// Searches that may wait and run together.
const SEARCHES: usize = 100_000;

/// What a start needs to know.
pub struct Plan {
    pub source: Source,
    pub loaded: Loaded,
    pub log_level: LogLevel,
    /// Ends the process when nothing else is left.
    pub fatal: Fatal,
}

/// A gateway that runs.
pub struct Running {
    pub address: SocketAddr,
    pub state: Arc<AppState>,
    pub server: actix_web::dev::ServerHandle,
    pub switches: Switches,
    /// Dropped to end every actor; `root` is done once that has begun.
    pub leash: oneshot::Sender<()>,
    pub root: actix_rt::task::JoinHandle<()>,
    /// In the order of their start.
    pub threads: Vec<Thread>,
    /// Held as long as the database is ours.
    pub lock: std::fs::File,
}

/// Starts the gateway. Fails with the name of the stage that could not be done.
pub async fn boot(plan: Plan) -> anyhow::Result<Running> {
    let Plan { source, loaded, log_level, fatal } = plan;
    leaks::watch(&loaded.secrets);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    telemetry::metrics::install();
    let config = Arc::new(loaded.config);
    let health = Arc::new(Health::default());
    let slot = AppSlot::default();
    let (address, server) = health.stage("http", listen(&config, &slot, &health)).await?;
    let (lock, store) = health.stage("store", open_store(&config, fatal.clone())).await?;
    health.stage("recovery", recover(&store, &config)).await?;
    let keys = health.stage("admin key", admin_key(&store)).await?;
    let supervision = Supervision::start(config.server.drain_timeout, &fatal);

    // Nothing of the configuration's components runs yet: `Components::begin` starts from here.
    let bare = Config { platforms: Vec::new(), providers: Vec::new(), knowledge: Vec::new(), ..Config::clone(&config) };
    let directory = Directory::new(Snapshot { config: Arc::new(bare), ..Snapshot::default() });
    let components = Components {
        store: store.clone(),
        directory: directory.clone(),
        lineup: Lineup::default(),
        shelf: Shelf::default(),
        assignment: Assignment::default(),
        wiring: platforms::Wiring::default(),
        supervisors: Supervisors {
            platforms: supervision.ports("platforms"),
            providers: supervision.ports("providers"),
            knowledge: supervision.ports("knowledge"),
        },
    };
    let (nudges, switches) = (Nudges::default(), Switches::closed());
    let search = Port::new("Search", SEARCHES);
    let shelf = components.shelf.clone();
    let knowledge =
        vec![retriever::spec(shelf.clone(), &search), ingester::spec(&store, shelf, &components.assignment)];
    health.stage("knowledge", supervision.add("knowledge", knowledge)).await?;
    let path = MessagePath { store: &store, components: &components, supervision: &supervision, search };
    let provider_health = health.stage("dispatch", path.start(&nudges, &switches)).await?;
    let apply = async { components.begin(config.clone()).await.context("a component did not start") };
    health.stage("components", apply).await?;
    let reloader = reload::Ports::default();
    let wiring = reload::Wiring::new(components.clone(), store.clone(), log_level, source);
    let operations = vec![ConfigReloader::spec(wiring, &reloader)];
    health.stage("operations", supervision.add("operations", operations)).await?;

    let state = Arc::new(AppState {
        intake: Intake::new(store.clone(), directory.clone(), nudges.clone()),
        nudges: nudges.clone(),
        keys,
        promises: Promises::default(),
        turns: switches.turns.clone(),
        store,
        directory,
        hub: components.wiring.hub.clone(),
        tree: supervision.tree,
        provider_health,
        reloader,
        health: health.clone(),
        draining: CancellationToken::new(),
    });
    // Set once, here; nobody else has the slot but the server.
    let _ = slot.set(state.clone());
    let upkeep = Upkeep {
        store: state.store.clone(),
        directory: state.directory.clone(),
        intake: state.intake.clone(),
        nudges: nudges.clone(),
    };
    actix_rt::spawn(upkeep.run());
    switches.open();
    nudges.inbox.notify_one();
    nudges.outbox.notify_one();
    health.ready();
    components.assign_documents();
    let Supervision { threads, leash, root, .. } = supervision;
    Ok(Running { address, state, server, switches, leash, root, threads, lock })
}

async fn listen(
    config: &Config,
    slot: &AppSlot,
    health: &Arc<Health>,
) -> anyhow::Result<(SocketAddr, actix_web::dev::ServerHandle)> {
    if let Err(error) = rlimit::increase_nofile_limit(OPEN_FILES) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let bind = &config.server.bind;
    let in_use =
        || format!("cannot listen on {bind}: choose another address in `server.bind`, or stop what listens there");
    let listener = TcpListener::bind(bind).with_context(in_use)?;
    let address = listener.local_addr()?;
    let server = http::serve(listener, &config.server, slot.clone(), health.clone())?;
    let handle = server.handle();
    actix_rt::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the HTTP server ended");
        }
    });
    Ok((address, handle))
}

/// The database file that `storage.url` names.
pub fn database_of(config: &Config) -> PathBuf {
    PathBuf::from(config.storage.url.trim_start_matches("sqlite://"))
}

async fn open_store(config: &Config, fatal: Fatal) -> anyhow::Result<(std::fs::File, Store)> {
    let path = database_of(config);
    make_private_folder(&config.storage.data_dir)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_private_folder(folder)?;
    }
    let lock = lock_database(&path)?;
    // SQLite gives its other files the permissions of this one.
    drop(private_file(&path)?);
    let shown = path.display().to_string();
    let opened = tokio::task::spawn_blocking(move || Store::open(&path, fatal)).await?;
    let store = opened.with_context(|| format!("the database {shown} could not be opened"))?;
    Ok((lock, store))
}

/// Makes a folder that only its owner can read, unless it is there.
fn make_private_folder(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("the folder {} could not be made", path.display()))
}

/// Opens a file that only its owner can read, making it where it is missing.
fn private_file(path: &Path) -> anyhow::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(path);
    file.with_context(|| format!("the file {} could not be made", path.display()))
}

/// Takes the database for this process: two of them on one file would answer everything twice.
fn lock_database(path: &Path) -> anyhow::Result<std::fs::File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = private_file(Path::new(&name))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .with_context(|| format!("another process runs on {}: stop it, or set `storage.url`", path.display()))?;
    Ok(file)
}

async fn admin_key(store: &Store) -> anyhow::Result<Keys> {
    let token = std::env::var(TOKEN_VARIABLE).ok();
    leaks::watch(token.clone().map(Secret::new).as_ref());
    Ok(Keys::open(store, token).await?)
}

/// Takes back what a process that is gone had claimed, and settles what it had on the wire.
async fn recover(store: &Store, config: &Arc<Config>) -> anyhow::Result<()> {
    let (run, now, config) = (store.run(), store.now(), config.clone());
    let recovered = store.write(move |conn| {
        let rows = inbox::recover(conn, run, now, false, &config.pipeline.replies.failed)?;
        let parts = outbox::recover(conn, run, now, false, |platform| rule_by_config(&config, platform))?;
        Ok((rows, parts))
    });
    let (rows, parts) = recovered.await?;
    if rows.ready + rows.dead + rows.cancelled + parts > 0 {
        let (ready, dead) = (rows.ready, rows.dead);
        tracing::warn!(ready, dead, parts, "took over what an earlier process had not finished");
    }
    Ok(())
}

/// Flags and counters that the drain works with. Nothing is claimed or sent before the start is through.
#[derive(Clone)]
pub struct Switches {
    /// Raised while nothing may be claimed.
    pub no_claims: Arc<AtomicBool>,
    /// Raised while nothing may be sent.
    pub no_sends: Arc<AtomicBool>,
    /// Turns that run.
    pub turns: Office,
    /// Parts on the wire.
    pub sends: Office,
}

impl Switches {
    fn closed() -> Self {
        let raised = || Arc::new(AtomicBool::new(true));
        Self { no_claims: raised(), no_sends: raised(), turns: Office::default(), sends: Office::default() }
    }

    fn open(&self) {
        self.no_claims.store(false, Ordering::Release);
        self.no_sends.store(false, Ordering::Release);
    }
}

/// Families of actors, in the order of their start. Each has a supervisor and a thread.
const FAMILIES: [&str; 5] = ["platforms", "providers", "knowledge", "dispatch", "operations"];

/// The supervisors, running, with nobody to supervise yet.
struct Supervision {
    tree: Tree,
    /// In the order of [`FAMILIES`], the control thread first.
    threads: Vec<Thread>,
    leash: oneshot::Sender<()>,
    root: actix_rt::task::JoinHandle<()>,
}

impl Supervision {
    fn start(drain_timeout: Duration, fatal: &Fatal) -> Self {
        let common = Common::new(VitalsBoard::default(), fatal.clone(), drain_timeout);
        let control = Thread::start("control");
        watch_from_outside(control.clone(), CONTROL_STUCK, fatal.clone());
        let mut threads = vec![control.clone()];
        let mut ports = BTreeMap::new();
        let mut specs = Vec::new();
        for family in FAMILIES {
            let (id, thread, commands) =
                (InstanceId::supervisor(family), Thread::start(family), SupervisorPorts::default());
            let charge = Charge::new(id.clone(), Some(InstanceId::root()), thread.clone(), Vec::new(), &common);
            specs.push(Supervisor::spec(charge, &commands));
            ports.insert(id, commands);
            threads.push(thread);
        }
        let root = SupervisorPorts::default();
        let charge = Charge::new(InstanceId::root(), None, control.clone(), specs, &common);
        let spec = Supervisor::spec(charge, &root);
        ports.insert(InstanceId::root(), root);
        let (leash, end) = oneshot::channel();
        let root = actix_rt::spawn(keep_root(spec, control, common.board.clone(), fatal.clone(), end));
        Self { tree: Tree::new(ports, common.board), threads, leash, root }
    }

    /// Starts children of a family, in this order.
    async fn add(&self, family: &str, children: Vec<ChildSpec>) -> anyhow::Result<()> {
        let supervisor = self.ports(family);
        for child in children {
            supervisor.start(child).await?;
        }
        Ok(())
    }

    fn ports(&self, family: &str) -> SupervisorPorts {
        self.tree.supervisor(&InstanceId::supervisor(family)).cloned().unwrap_or_default()
    }

    fn thread(&self, family: &str) -> Option<Thread> {
        self.threads.iter().find(|thread| thread.name == family).cloned()
    }
}

/// The way of a message, from the inbox to the outbox.
struct MessagePath<'a> {
    store: &'a Store,
    components: &'a Components,
    supervision: &'a Supervision,
    search: Port<Search>,
}

impl MessagePath<'_> {
    /// Starts who works on messages. Answers the port that tells how the providers are.
    async fn start(&self, nudges: &Nudges, switches: &Switches) -> anyhow::Result<Port<GetHealth>> {
        let (store, directory) = (self.store.clone(), self.components.directory.clone());
        let (ask, provider_health) = (Port::new("Ask", ASKS), Port::new("GetHealth", 64));
        let lineup = self.components.lineup.clone();
        let manager = ChildSpec::of(InstanceId::core("manager"), move || ProviderManager::new(lineup.clone()))
            .fills(&ask)
            .fills(&provider_health)
            .restarts(Policy::essential())
            .build();
        self.supervision.add("providers", vec![manager]).await?;
        let pump = PumpWiring {
            store: store.clone(),
            directory: directory.clone(),
            nudges: nudges.clone(),
            draining: switches.no_sends.clone(),
            office: switches.sends.clone(),
        };
        let dispatcher = DispatcherWiring {
            turns: pipeline::Wiring { store, directory, retriever: self.search.clone(), manager: ask },
            nudges: nudges.clone(),
            thread: self.supervision.thread("dispatch").context("no thread for conversations")?,
            draining: switches.no_claims.clone(),
            office: switches.turns.clone(),
        };
        let pump = ChildSpec::of(InstanceId::core("pump"), move || OutboxPump::new(pump.clone()))
            .restarts(Policy::essential())
            .build();
        let dispatcher = ChildSpec::of(InstanceId::core("dispatcher"), move || Dispatcher::new(dispatcher.clone()))
            .fills(&self.supervision.tree.conversations)
            .restarts(Policy::essential())
            .build();
        self.supervision.add("dispatch", vec![pump, dispatcher]).await?;
        Ok(provider_health)
    }
}
