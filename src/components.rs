//! The components that come from the configuration, running: what a start begins with and a reload changes.
//!
//! New ones run before old ones leave, so a failure has nothing to undo but what was started.

use crate::config::{self, Config, diff};
use crate::directory::{Directory, PlatformEntry, Snapshot};
use crate::domain::InstanceId;
use crate::knowledge::ingester::Assignment;
use crate::knowledge::{self, Shelf, embedded};
use crate::platforms;
use crate::providers::{self, Complete, manager::Lineup};
use crate::store::Store;
use crate::supervise::{ChildSpec, Port, StartError, SupervisorPorts};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How far a webhook's timestamp may be away when nothing else is configured.
const WEBHOOK_SKEW: Duration = Duration::from_secs(300);

/// Starts, replaces and stops platforms, providers and knowledge. Cheap to clone; one caller at a time.
#[derive(Clone)]
pub struct Components {
    pub store: Store,
    pub directory: Directory,
    pub lineup: Lineup,
    pub shelf: Shelf,
    /// What the ingester keeps equal to its files.
    pub assignment: Assignment,
    pub wiring: platforms::Wiring,
    pub supervisors: Supervisors,
}

/// The supervisors of the families that come from the configuration.
#[derive(Clone)]
pub struct Supervisors {
    pub platforms: SupervisorPorts,
    pub providers: SupervisorPorts,
    pub knowledge: SupervisorPorts,
}

/// What is reachable after a change.
#[derive(Default)]
struct Next {
    platforms: BTreeMap<String, PlatformEntry>,
    providers: BTreeMap<String, Port<Complete>>,
    knowledge: BTreeMap<String, knowledge::Ports>,
}

/// What a change has started so far.
#[derive(Default)]
struct Started {
    paths: Vec<String>,
    /// Whether one that cannot be started stays, and is tried again, instead of ending the change.
    keep: bool,
}

impl Components {
    /// Starts what `config` names, while nothing runs yet. A component that cannot start keeps no other from starting:
    /// it is `failed`, and tried again.
    pub async fn begin(&self, config: Arc<Config>) -> Result<(), StartError> {
        let old = self.directory.load();
        let mut started = Started { keep: true, ..Started::default() };
        let next = self.start(&diff::plan(&old.config, &config), &old, &config, &mut started).await?;
        self.publish(next, config);
        Ok(())
    }

    /// Goes from what runs to `new`. On failure the old components run on, and nothing has been published.
    pub async fn apply(&self, new: Arc<Config>) -> Result<(), StartError> {
        let old = self.directory.load();
        let plan = diff::plan(&old.config, &new);
        let mut started = Started::default();
        match self.start(&plan, &old, &new, &mut started).await {
            Ok(next) => {
                self.publish(next, new);
                self.stop(&plan.stop).await;
                Ok(())
            }
            Err(error) => {
                self.undo(&started.paths, &old).await;
                Err(error)
            }
        }
    }

    /// Has the documents of the configuration taken in, beside everything else.
    pub fn assign_documents(&self) {
        let config = self.directory.load().config.clone();
        self.assignment.set(config.knowledge.iter().cloned().map(Arc::new).collect());
    }

    fn publish(&self, next: Next, config: Arc<Config>) {
        self.shelf.store(Arc::new(next.knowledge));
        self.lineup.store(Arc::new(next.providers));
        self.directory.publish(Snapshot { config, platforms: next.platforms });
    }

    /// Starts what is new or changed. `started` names it as it goes.
    async fn start(
        &self,
        plan: &diff::Plan,
        old: &Snapshot,
        new: &Config,
        started: &mut Started,
    ) -> Result<Next, StartError> {
        let changed = |path: &str| plan.start.iter().chain(&plan.restart).any(|known| known == path);
        let mut next = Next::default();
        let shelf = self.shelf.load();
        for section in &new.knowledge {
            let ports = match shelf.get(&section.id) {
                Some(ports) if !changed(&format!("knowledge/{}", section.id)) => ports.clone(),
                _ => {
                    let ports = knowledge::Ports::of(section);
                    let spec = embedded::spec(&self.store, &Arc::new(section.clone()), &ports);
                    supervise(&self.supervisors.knowledge, spec, started).await?;
                    ports
                }
            };
            next.knowledge.insert(section.id.clone(), ports);
        }
        let lineup = self.lineup.load();
        for section in new.active_providers() {
            let port = match lineup.get(&section.id) {
                Some(port) if !changed(&format!("provider/{}", section.id)) => port.clone(),
                _ => {
                    let Some((spec, port)) = provider(section) else { continue };
                    supervise(&self.supervisors.providers, spec, started).await?;
                    port
                }
            };
            next.providers.insert(section.id.clone(), port);
        }
        let skew = new.security.webhook_skew.unwrap_or(WEBHOOK_SKEW);
        for section in new.active_platforms() {
            let entry = match old.platforms.get(&section.id) {
                Some(entry) if !changed(&format!("platform/{}", section.id)) => {
                    PlatformEntry { ingress: ingress(section, skew), ..entry.clone() }
                }
                _ => {
                    let Some((spec, entry)) = self.platform(section, skew) else { continue };
                    supervise(&self.supervisors.platforms, spec, started).await?;
                    entry
                }
            };
            next.platforms.insert(section.id.clone(), entry);
        }
        Ok(next)
    }

    fn platform(&self, section: &config::Platform, skew: Duration) -> Option<(ChildSpec, PlatformEntry)> {
        let kind = platforms::kind(&section.kind)?;
        let section = Arc::new(section.clone());
        let ports = platforms::Ports::of(&section);
        let spec = (kind.spec)(&self.wiring, &section, &ports);
        let ingress = (kind.ingress)(&section, skew);
        Some((spec, PlatformEntry { kind, section, ingress, deliver: ports.deliver, preview: ports.preview }))
    }

    async fn stop(&self, paths: &[String]) {
        for path in paths {
            let Some((family, id)) = path.split_once('/') else { continue };
            let (ports, id) = match family {
                "platform" => (&self.supervisors.platforms, InstanceId::platform(id)),
                "knowledge" => (&self.supervisors.knowledge, InstanceId::knowledge(id)),
                _ => (&self.supervisors.providers, InstanceId::provider(id)),
            };
            if let Err(error) = ports.stop(id).await {
                tracing::warn!(actor = path, %error, "a component that left the configuration could not be stopped");
            }
        }
    }

    /// Puts the old sections back in the place of those that were started.
    async fn undo(&self, started: &[String], old: &Snapshot) {
        let (returning, leaving): (Vec<_>, Vec<_>) =
            started.iter().cloned().partition(|path| runs_in(&old.config, path));
        self.stop(&leaving).await;
        for path in &returning {
            tracing::warn!(actor = path, "starting again with its old section");
        }
        let again = diff::Plan { restart: returning, ..diff::Plan::default() };
        match self.start(&again, old, &old.config, &mut Started::default()).await {
            Ok(next) => self.publish(next, old.config.clone()),
            Err(error) => tracing::error!(alert = true, %error, "an old section could not be started again"),
        }
    }
}

/// `None` for a kind that validation does not let through.
fn provider(section: &config::Provider) -> Option<(ChildSpec, Port<Complete>)> {
    let kind = providers::kind(&section.kind)?;
    let section = Arc::new(section.clone());
    let port = Port::new("Complete", section.concurrency.unwrap_or(64));
    Some(((kind.spec)(&section, &port), port))
}

fn ingress(section: &config::Platform, skew: Duration) -> Option<Arc<dyn platforms::Ingress>> {
    platforms::kind(&section.kind).and_then(|kind| (kind.ingress)(section, skew))
}

fn runs_in(config: &Config, path: &str) -> bool {
    match path.split_once('/') {
        Some(("platform", id)) => config.active_platforms().any(|section| section.id == id),
        Some(("knowledge", id)) => config.knowledge.iter().any(|section| section.id == id),
        Some((_, id)) => config.active_providers().any(|section| section.id == id),
        None => false,
    }
}

async fn supervise(ports: &SupervisorPorts, spec: ChildSpec, started: &mut Started) -> Result<(), StartError> {
    let path = spec.id.to_string();
    if started.keep {
        ports.keep(spec).await?
    } else {
        ports.start(spec).await?
    }
    started.paths.push(path);
    Ok(())
}

/// What the configuration room must know about the kinds of this program.
pub fn kinds() -> config::Kinds {
    let platforms = platforms::KINDS.iter().map(|kind| config::KindRule {
        name: kind.name,
        check: kind.check,
        credential: kind.credential,
    });
    let providers = providers::KINDS.iter().map(|kind| config::KindRule {
        name: kind.name,
        check: kind.check,
        credential: kind.credential,
    });
    config::Kinds { platforms: platforms.collect(), providers: providers.collect() }
}
