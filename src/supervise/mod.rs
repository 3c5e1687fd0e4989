//! Supervision: the only room that touches addresses, arbiters and join handles.
//!
//! A family is a [`Supervisor`] with children on one [`Thread`]. Callers hold [`Port`]s, never addresses.
//! Nothing here survives the process; nothing here needs to.

mod call_error;
mod card;
mod child;
mod commands;
mod contained;
mod control;
mod crowd;
mod policy;
mod port;
mod pulse;
mod root;
mod supervisor;
mod thread;
mod transient;
mod tree;
mod vitals;

pub use call_error::CallError;
pub(crate) use card::card;
pub use card::{Card, Taken, handles};
pub use child::{ChildBuilder, ChildSpec, Exit, launch};
pub use commands::{Inject, Remove, Restart, StartError, Supervise, SupervisorPorts};
pub use contained::{Panicked, contained, install_panic_hook};
pub use control::{Control, Fault, obey};
pub use crowd::{Answer, Crowd};
pub use policy::{Backoff, Decision, Exhausted, Policy, Record};
pub use port::{Port, PortId, RESTART_PATIENCE, Reserved};
pub use pulse::Pulse;
pub use root::keep_root;
pub use supervisor::{Charge, Common, Supervisor};
pub use thread::{Thread, watch_from_outside};
pub use transient::Transient;
pub use tree::Tree;
pub use vitals::{PortStats, State, Vitals, VitalsBoard};

use std::sync::Arc;

/// The card of this room's actor, for `actors.md`.
pub static CARDS: &[&Card] = &[&supervisor::CARD];

/// Ends the process with a reason. Given by `main`, the only place that may exit.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;
