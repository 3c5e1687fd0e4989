//! Supervision: the only room that touches addresses, arbiters and join handles.
//!
//! A family is a [`Supervisor`] with children on one [`Thread`]. Callers hold [`Port`]s, never addresses.
//! Nothing here survives the process; nothing here needs to.

mod call_error;
mod child;
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
pub use child::{ChildBuilder, ChildSpec, Exit, launch};
pub use contained::{Panicked, contained, install_panic_hook};
pub use control::{Control, Fault, obey};
pub use crowd::{Answer, Crowd};
pub use policy::{Backoff, Decision, Exhausted, Policy, Record};
pub use port::{Port, RESTART_PATIENCE, Reserved};
pub use pulse::Pulse;
pub use root::keep_root;
pub use supervisor::{Charge, Common, Inject, Remove, Restart, StartError, Supervise, Supervisor, SupervisorPorts};
pub use thread::{Thread, watch_from_outside};
pub use transient::Transient;
pub use tree::Tree;
pub use vitals::{PortStats, State, Vitals, VitalsBoard};

use std::sync::Arc;

/// Ends the process with a reason. Given by `main`, the only place that may exit.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;
