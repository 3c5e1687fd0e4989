//! A panic inside one call costs that call, not its neighbours.

use futures_util::FutureExt;
use std::cell::RefCell;
use std::future::Future;
use std::panic::AssertUnwindSafe;

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Where a contained call panicked: `file:line`, never the panic's text, which may quote input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("panicked at {0}")]
pub struct Panicked(pub String);

/// Runs the part of a call that owns its data. A panic becomes this call's error.
///
/// Nothing that outlives the call may be borrowed mutably inside: what a panic leaves half-written is
/// dropped with the future.
pub fn contained<F: Future>(call: F) -> impl Future<Output = Result<F::Output, Panicked>> {
    // Not an `async fn`, which would keep room for the call twice: once as its argument, once as what it waits for.
    AssertUnwindSafe(call).catch_unwind().map(|outcome| outcome.map_err(|_| Panicked(last_panic())))
}

/// Remembers where each panic happened and logs it as one line. Called once, at the start of the process.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(|| "unknown place".into(), |at| format!("{}:{}", at.file(), at.line()));
        // A formatted message may carry what a person wrote; a literal one is ours.
        let text = info.payload().downcast_ref::<&'static str>().copied().unwrap_or("(text withheld)");
        tracing::error!(place, text, "a component panicked");
        LAST_PANIC.set(Some(place));
    }));
}

/// The place of this thread's newest panic.
pub(super) fn last_panic() -> String {
    LAST_PANIC.take().unwrap_or_else(|| "unknown place".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn a_panic_in_one_call_is_that_calls_error() {
        let (bad, good) = futures_util::future::join(contained(async { panic!("boom") }), contained(async { 7 })).await;
        assert!(bad.is_err());
        assert_eq!(good, Ok(7));
    }
}
