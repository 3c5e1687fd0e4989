//! Supervision: the only room that touches addresses, arbiters and join handles.

mod call_error;

pub use call_error::CallError;
