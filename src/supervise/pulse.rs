//! Whether an actor still reads its mailbox.

use super::control::{Control, Fault};
use actix::Recipient;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Pings without an answer after which an actor counts as hung.
const MISSED_PINGS: u32 = 3;

/// Pings one incarnation and counts what goes unanswered. Nothing waits for an answer: ten thousand conversations are
/// pinged at once, and each would need a future to wait with.
#[derive(Clone)]
pub struct Pulse {
    control: Recipient<Control>,
    unanswered: Unanswered,
}

/// Pings in a row that an incarnation has not answered so far; a ping carries it along to be answered.
#[derive(Debug, Clone, Default)]
pub struct Unanswered(Arc<AtomicU32>);

impl Unanswered {
    /// Answers every ping so far.
    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }
}

impl Pulse {
    pub fn new(control: Recipient<Control>) -> Self {
        Self { control, unanswered: Unanswered::default() }
    }

    /// Sends the next ping; false, and nothing is sent, when three in a row have gone unanswered.
    #[expect(clippy::disallowed_methods, reason = "at most three pings wait unread")]
    pub fn ping(&self) -> bool {
        if self.unanswered() >= MISSED_PINGS {
            return false;
        }
        self.unanswered.0.fetch_add(1, Ordering::AcqRel);
        self.control.do_send(Control::Ping(self.unanswered.clone()));
        true
    }

    /// Pings in a row that have not been answered so far.
    pub fn unanswered(&self) -> u32 {
        self.unanswered.0.load(Ordering::Acquire)
    }

    /// Forgets what went unanswered, because the watcher or the thread was late itself.
    pub fn forgive(&self) {
        self.unanswered.clear();
    }

    /// Makes the actor fail.
    #[expect(clippy::disallowed_methods, reason = "an administrator's drill, one at a time")]
    pub fn fail(&self, fault: Fault) {
        self.control.do_send(Control::Fault(fault));
    }
}
