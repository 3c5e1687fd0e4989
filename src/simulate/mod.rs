//! Stand-ins for outside systems: real sockets, the true wire protocol, and faults on demand.

pub mod openai;
mod openai_answer;
mod openai_script;
pub mod wecom;
mod wecom_script;
mod wecom_state;
