//! Who can be reached by a name from the outside: platforms by id, and the settings of the moment. One immutable
//! snapshot behind a pointer, replaced whole on reload.

use crate::config::{self, Config};
use crate::platforms::{Deliver, Ingress, Kind, Preview};
use crate::supervise::Port;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A platform that is switched on.
#[derive(Clone)]
pub struct PlatformEntry {
    pub kind: &'static Kind,
    pub section: Arc<config::Platform>,
    /// The webhook side, for kinds that have one.
    pub ingress: Option<Arc<dyn Ingress>>,
    pub deliver: Port<Deliver>,
    pub preview: Port<Preview>,
}

/// What holds at one moment.
#[derive(Clone, Default)]
pub struct Snapshot {
    pub config: Arc<Config>,
    pub platforms: BTreeMap<String, PlatformEntry>,
}

/// The way to the current [`Snapshot`]. Cheap to clone.
#[derive(Clone, Default)]
pub struct Directory(Arc<ArcSwap<Snapshot>>);

impl Directory {
    pub fn new(snapshot: Snapshot) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(snapshot)))
    }

    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Replaces the snapshot; whoever holds the old one finishes with it.
    pub fn publish(&self, snapshot: Snapshot) {
        self.0.store(Arc::new(snapshot));
    }
}
