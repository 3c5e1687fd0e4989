//! The configuration reloader: watches the file, plans a change, applies it whole or not at all.
//!
//! The file is the truth: a change over REST is written to it and goes the same way as an edit. A restart loses
//! nothing; it reads the file again.

use crate::components::{Components, kinds};
use crate::config::diff::{self, Plan};
use crate::config::{self, Config, Loaded, Problem, Source, environment, masked_text, read_secret_file};
use crate::store::{Store, access};
use crate::supervise::{ChildSpec, Control, Policy, Port, card, obey};
use crate::telemetry::leaks;
use crate::telemetry::logs::LogLevel;
use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseActFuture, WrapFuture};
use arc_swap::ArcSwap;
use notify_debouncer_full::notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Quiet time after the last write before the file is read: editors write in several steps.
const SETTLE: Duration = Duration::from_millis(200);

/// Reads the file again. `by` names the cause in the log.
#[derive(Debug, Message)]
#[rtype(result = "Report")]
pub struct Reload {
    pub by: &'static str,
}

/// Judges a text without applying it.
#[derive(Debug, Message)]
#[rtype(result = "Report")]
pub struct Check {
    pub toml: String,
}

/// Judges a text, writes it to the file and applies it.
#[derive(Debug, Message)]
#[rtype(result = "Report")]
pub struct Apply {
    pub toml: String,
    pub by: String,
}

/// The text that runs, with secrets as written (`${…}`) or masked.
#[derive(Debug, Message)]
#[rtype(result = "String")]
pub struct GetText;

/// What became of a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    pub errors: Vec<Problem>,
    /// What the text changes; empty when it has errors.
    pub plan: Plan,
    pub applied: bool,
    /// Why a valid text was not applied.
    pub problem: Option<Obstacle>,
}

/// Why a valid text was not applied. What ran before still runs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Obstacle {
    #[error("{0} can only be changed by a restart of the process")]
    NeedsRestart(String),
    #[error("the configuration file cannot be written: {0}")]
    ReadOnly(String),
    #[error("{0}")]
    Failed(String),
}

/// The ways to the reloader.
#[derive(Clone)]
pub struct Ports {
    pub reload: Port<Reload>,
    pub check: Port<Check>,
    pub apply: Port<Apply>,
    pub text: Port<GetText>,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            reload: Port::new("Reload", 4),
            check: Port::new("Check", 4),
            apply: Port::new("Apply", 4),
            text: Port::new("GetText", 16),
        }
    }
}

/// What outlives an incarnation of the reloader.
#[derive(Clone)]
pub struct Wiring {
    pub components: Components,
    pub store: Store,
    pub log_level: LogLevel,
    /// The text that runs, and the file it stands in.
    pub source: Arc<ArcSwap<Source>>,
    /// One change at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Wiring {
    pub fn new(components: Components, store: Store, log_level: LogLevel, source: Source) -> Self {
        let source = Arc::new(ArcSwap::from_pointee(source));
        Self { components, store, log_level, source, turn: Arc::default() }
    }
}

/// The actor that changes the configuration of a running gateway.
pub struct ConfigReloader {
    wiring: Wiring,
    changed: Arc<Notify>,
    /// Watching ends with the incarnation.
    watch: Option<Debouncer<RecommendedWatcher, RecommendedCache>>,
}

impl ConfigReloader {
    pub fn new(wiring: Wiring) -> Self {
        Self { wiring, changed: Arc::default(), watch: None }
    }

    /// Describes the reloader as a supervised child that fills `ports`.
    pub fn spec(wiring: Wiring, ports: &Ports) -> ChildSpec {
        ChildSpec::of(crate::domain::InstanceId::core("reloader"), move || Self::new(wiring.clone()))
            .fills(&ports.reload)
            .fills(&ports.check)
            .fills(&ports.apply)
            .fills(&ports.text)
            .restarts(Policy::essential())
            .build()
    }

    /// Reads the file after every change that the watch reports.
    fn listen(&self, ctx: &mut Context<Self>) {
        let (wiring, changed) = (self.wiring.clone(), self.changed.clone());
        let listening = async move {
            loop {
                changed.notified().await;
                reload(&wiring, "the file changed").await;
            }
        };
        ctx.spawn(actix::fut::wrap_future(listening));
    }
}

card! {
    ConfigReloader takes [Reload, Check, Apply, GetText, Control];
    instances: "core/reloader",
    asks: "`Supervise` and `Remove`, through the ports of the supervisors of platforms, providers and knowledge; reads and writes the configuration file.",
    when_full: "The call is refused as busy; one change runs at a time.",
    lost: "A change that was being applied. It is not undone: the file is read again, and what differs is applied.",
    stuck: "An edit has no effect within a few seconds. Look for the file and its problem in the log, then `POST config/validate`.",
}

impl Actor for ConfigReloader {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.listen(ctx);
        match watch(&self.wiring.source.load().path, self.changed.clone()) {
            Ok(watch) => {
                self.watch = Some(watch);
                // What was written after the file was read and before this moment has not been seen.
                self.changed.notify_one();
            }
            Err(error) => tracing::warn!(error, "the configuration file is not watched; SIGHUP reloads it"),
        }
    }
}

impl Handler<Control> for ConfigReloader {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}

impl Handler<Reload> for ConfigReloader {
    type Result = ResponseActFuture<Self, Report>;

    fn handle(&mut self, Reload { by }: Reload, _: &mut Context<Self>) -> Self::Result {
        let wiring = self.wiring.clone();
        Box::pin(async move { reload(&wiring, by).await }.into_actor(self))
    }
}

impl Handler<Check> for ConfigReloader {
    type Result = actix::MessageResult<Check>;

    fn handle(&mut self, Check { toml }: Check, _: &mut Context<Self>) -> Self::Result {
        let source = Source { path: self.wiring.source.load().path.clone(), text: toml };
        actix::MessageResult(judge(&self.wiring, &source).map_or_else(|report| report, |(_, report)| report))
    }
}

impl Handler<Apply> for ConfigReloader {
    type Result = ResponseActFuture<Self, Report>;

    fn handle(&mut self, Apply { toml, by }: Apply, _: &mut Context<Self>) -> Self::Result {
        let wiring = self.wiring.clone();
        let applying = async move {
            let _turn = wiring.turn.lock().await;
            let source = Source { path: wiring.source.load().path.clone(), text: toml };
            let (loaded, report) = match judge(&wiring, &source) {
                Ok((loaded, report)) if report.problem.is_none() => (loaded, report),
                Ok((_, report)) | Err(report) => return report,
            };
            let before = wiring.source.load_full();
            if let Err(error) = write_whole(&source.path, &source.text) {
                return Report { problem: Some(Obstacle::ReadOnly(error.to_string())), ..report };
            }
            let report = put_in_place(&wiring, source, loaded, report, &by).await;
            if !report.applied
                && let Err(error) = write_whole(&before.path, &before.text)
            {
                tracing::error!(alert = true, %error, "the file holds a text that could not be applied");
            }
            report
        };
        Box::pin(applying.into_actor(self))
    }
}

impl Handler<GetText> for ConfigReloader {
    type Result = String;

    fn handle(&mut self, _: GetText, _: &mut Context<Self>) -> String {
        masked_text(&self.wiring.source.load().text)
    }
}

/// Reads the file and applies it when its text has changed.
async fn reload(wiring: &Wiring, by: &str) -> Report {
    let _turn = wiring.turn.lock().await;
    let running = wiring.source.load_full();
    let source = match Source::read(&running.path) {
        Ok(source) => source,
        Err(error) => {
            tracing::error!(alert = true, %error, path = %running.path.display(), "the configuration file cannot be read; the old one runs on");
            return Report { problem: Some(Obstacle::Failed(error.to_string())), ..Report::default() };
        }
    };
    match judge(wiring, &source) {
        // Our own writing of the file comes back as a change of it.
        Ok((_, report)) if report.plan.is_empty() && source.text == running.text => Report { applied: true, ..report },
        Ok((loaded, report)) if report.problem.is_none() => put_in_place(wiring, source, loaded, report, by).await,
        Ok((_, report)) => {
            let problem = report.problem.as_ref().map(ToString::to_string);
            tracing::error!(alert = true, problem, by, "the new configuration was not applied; the old one runs on");
            report
        }
        Err(report) => {
            let problems = config::report(&report.errors, &source.path.display().to_string(), false);
            tracing::error!(alert = true, problems, by, "the new configuration has errors; the old one runs on");
            report
        }
    }
}

/// Loads a text and plans the way to it.
#[expect(clippy::result_large_err, reason = "a report is an answer here, and made once for each reload")]
fn judge(wiring: &Wiring, source: &Source) -> Result<(Loaded, Report), Report> {
    let loaded = config::load(source, &environment(), &read_secret_file, &kinds());
    let loaded = loaded.map_err(|errors| Report { errors, ..Report::default() })?;
    let plan = diff::plan(&running(wiring), &loaded.config);
    let refused = (!plan.refused.is_empty()).then(|| Obstacle::NeedsRestart(plan.refused.join(", ")));
    Ok((loaded, Report { plan, problem: refused, ..Report::default() }))
}

fn running(wiring: &Wiring) -> Arc<Config> {
    wiring.components.directory.load().config.clone()
}

async fn put_in_place(wiring: &Wiring, source: Source, loaded: Loaded, report: Report, by: &str) -> Report {
    let level = loaded.config.telemetry.log_level.clone();
    leaks::watch(&loaded.secrets);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if let Err(error) = wiring.components.apply(Arc::new(loaded.config)).await {
        tracing::error!(alert = true, %error, by, "the new configuration was not applied; the old one runs on");
        return Report { problem: Some(Obstacle::Failed(error.to_string())), ..report };
    }
    wiring.log_level.set(&level);
    let (now, by_whom, text) = (wiring.store.now(), by.to_owned(), masked_text(&source.text));
    wiring.source.store(Arc::new(source));
    wiring.components.assign_documents();
    if !report.plan.is_empty() {
        let Plan { start, restart, stop, live, .. } = &report.plan;
        tracing::info!(by, ?start, ?restart, ?stop, ?live, "applied a new configuration");
        let kept = wiring.store.write(move |conn| access::keep_config(conn, now, &by_whom, &text)).await;
        if let Err(error) = kept {
            tracing::error!(%error, "the applied configuration could not be added to its history");
        }
    }
    Report { applied: true, ..report }
}

/// Watches the folder, because editors replace files.
fn watch(path: &Path, changed: Arc<Notify>) -> Result<Debouncer<RecommendedWatcher, RecommendedCache>, String> {
    let name = path.file_name().map(ToOwned::to_owned);
    let concerns = move |path: &PathBuf| {
        // A mounted volume swaps a hidden link called `..data` and touches the file itself not at all.
        path.file_name() == name.as_deref() || path.file_name().is_some_and(|name| name == "..data")
    };
    let tell = move |events: DebounceEventResult| {
        let is_news = events.is_ok_and(|events| events.iter().flat_map(|event| &event.paths).any(&concerns));
        if is_news {
            changed.notify_one();
        }
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut watch = new_debouncer(SETTLE, None, tell).map_err(|error| error.to_string())?;
    watch.watch(folder, RecursiveMode::NonRecursive).map_err(|error| error.to_string())?;
    Ok(watch)
}

/// Replaces a file in one step, keeping its permissions: a reader sees the old text or the new one.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let permissions = std::fs::metadata(path).map(|metadata| metadata.permissions()).ok();
    if permissions.as_ref().is_some_and(std::fs::Permissions::readonly) {
        return Err(io::Error::other("it is read-only"));
    }
    let beside = path.with_extension("toml.new");
    let written = (|| {
        let mut file = std::fs::File::create(&beside)?;
        if let Some(permissions) = permissions {
            file.set_permissions(permissions)?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if written.is_err() {
        // The half-written copy is of no use to anybody.
        let _ = std::fs::remove_file(&beside);
    }
    written
}
