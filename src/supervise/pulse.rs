//! Whether an actor still reads its mailbox.

use super::control::{Control, Fault};
use actix::Recipient;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Pings without an answer after which an actor counts as hung.
const MISSED_PINGS: u32 = 3;

/// Pings one incarnation and counts what goes unanswered.
#[derive(Clone)]
pub struct Pulse {
    control: Recipient<Control>,
    unanswered: Arc<AtomicU32>,
}

impl Pulse {
    pub fn new(control: Recipient<Control>) -> Self {
        Self { control, unanswered: Arc::default() }
    }

    /// The next ping, to be polled by the caller; `None` when three in a row have gone unanswered.
    pub fn ping(&self) -> Option<impl Future<Output = ()> + 'static> {
        if self.unanswered.load(Ordering::Acquire) >= MISSED_PINGS {
            return None;
        }
        self.unanswered.fetch_add(1, Ordering::AcqRel);
        let (ping, unanswered) = (self.control.send(Control::Ping), self.unanswered.clone());
        Some(async move {
            if ping.await.is_ok() {
                unanswered.store(0, Ordering::Release);
            }
        })
    }

    /// Pings in a row that have not been answered so far.
    pub fn unanswered(&self) -> u32 {
        self.unanswered.load(Ordering::Acquire)
    }

    /// Forgets what went unanswered, because the watcher or the thread was late itself.
    pub fn forgive(&self) {
        self.unanswered.store(0, Ordering::Release);
    }

    /// Makes the actor fail, once polled by the caller. No answer is the expected outcome.
    pub fn fail(&self, fault: Fault) -> impl Future<Output = ()> + 'static {
        let failing = self.control.send(Control::Fault(fault));
        async move {
            let _ = failing.await;
        }
    }
}
