//! Stand-ins for outside systems: real sockets, the true wire protocol, and faults on demand.

pub mod wecom;
mod wecom_script;
mod wecom_state;
