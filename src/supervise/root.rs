//! Keeps the root supervisor alive. Above it there is only the process, which ends when the root gives up.

use super::Fatal;
use super::child::{Birth, ChildSpec, Exit};
use super::control::Control;
use super::policy::{Decision, Record};
use super::port::Calls;
use super::pulse::Pulse;
use super::thread::Thread;
use super::vitals::{State, Vitals, VitalsBoard};
use actix::Recipient;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

const PING_EVERY: Duration = Duration::from_secs(2);

/// Runs `root` on `thread` until `leash` is dropped, starting it again when it fails; past its policy `fatal` is called.
pub async fn keep_root(
    root: ChildSpec,
    thread: Thread,
    board: VitalsBoard,
    fatal: Fatal,
    mut leash: oneshot::Receiver<()>,
) {
    let vitals = Arc::new(Vitals::of(&root, None));
    board.put(vitals.clone());
    let mut record = Record::default();
    loop {
        let started = Instant::now();
        vitals.enter(State::Running);
        let exit = tokio::select! {
            exit = one_life(&root, &thread, vitals.next_generation()) => exit,
            _ = &mut leash => return vitals.enter(State::Stopped),
        };
        vitals.note_error(exit.to_string());
        vitals.count_restart();
        match record.failed(&root.policy, started, Instant::now(), 0.0) {
            Decision::Restart(after) => {
                tracing::error!(reason = %exit, "the root supervisor failed; everything below it restarts");
                vitals.enter(State::Restarting);
                tokio::time::sleep(after).await;
            }
            Decision::Fail(_) | Decision::Escalate => {
                vitals.enter(State::Failed);
                return fatal("the root supervisor failed too often");
            }
        }
    }
}

async fn one_life(root: &ChildSpec, thread: &Thread, generation: u64) -> Exit {
    let (born, is_born) = oneshot::channel();
    let (leash, end) = oneshot::channel();
    let mut exit = (root.launch)(thread, Birth { generation, calls: Calls::default(), born, leash: end });
    let hung = async {
        match is_born.await {
            Ok(control) => until_deaf(control).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = &mut exit => return ended.unwrap_or(Exit::Cut),
        () = hung => drop(leash),
    }
    exit.await.unwrap_or(Exit::Cut)
}

/// Returns once too many pings have gone unanswered.
async fn until_deaf(control: Recipient<Control>) {
    let pulse = Pulse::new(control);
    while pulse.ping() {
        tokio::time::sleep(PING_EVERY).await;
    }
}
