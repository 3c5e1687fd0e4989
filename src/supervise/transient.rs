//! Children that are never restarted: made on demand, gone when their work is.

use super::child::{Birth, ChildSpec};
use super::control::Control;
use super::port::Calls;
use super::pulse::Pulse;
use super::thread::Thread;
use actix::Recipient;
use tokio::sync::oneshot;

/// One incarnation on a leash: dropping this ends it.
pub struct Transient {
    _leash: oneshot::Sender<()>,
    born: oneshot::Receiver<Recipient<Control>>,
    pulse: Option<Pulse>,
}

impl Transient {
    /// Starts the child on `thread`. Whoever calls one of its ports learns of its end by `Died` or `Down`.
    pub fn start(spec: &ChildSpec, thread: &Thread) -> Self {
        let (sender, born) = oneshot::channel();
        let (leash, end) = oneshot::channel();
        let birth = Birth { generation: 1, calls: Calls::default(), born: sender, leash: end };
        drop((spec.launch)(thread, birth));
        Self { _leash: leash, born, pulse: None }
    }

    /// The child's pulse, once it exists.
    pub fn pulse(&mut self) -> Option<&Pulse> {
        if self.pulse.is_none() {
            self.pulse = self.born.try_recv().ok().map(Pulse::new);
        }
        self.pulse.as_ref()
    }
}
