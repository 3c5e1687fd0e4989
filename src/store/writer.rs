//! The one writer: a thread that takes what is queued, runs each job in a savepoint of its own, flushes
//! once, and only then answers them all. A job that fails rolls back alone.

use super::{StoreError, StoreGauges, checkpoint, open_connection, verify};
use rusqlite::Connection;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// How long a flush waits for company when there was company lately.
/// Measured at 1,000 webhooks a second: p99 15 ms with 3 ms, 56 ms with 1 ms, because the disk has fewer flushes to do.
const LINGER: Duration = Duration::from_millis(3);
/// Jobs in one flush, at most.
const BATCH: usize = 512;

/// One unit of work: run inside a savepoint, answered after the flush.
pub(super) trait Job: Send {
    /// Does the work and keeps its result. False means that the savepoint must be rolled back.
    fn run(&mut self, conn: &Connection) -> bool;
    /// Hands the kept result to whoever waits, or `flush`'s error instead.
    fn answer(self: Box<Self>, flush: Result<(), StoreError>);
    fn queued(&self) -> Instant;
}

/// A closure as a [`Job`].
pub(super) struct Work<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    queued: Instant,
    _room: OwnedSemaphorePermit,
}

impl<T, F> Work<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    pub fn new(work: F, reply: oneshot::Sender<Result<T, StoreError>>, room: OwnedSemaphorePermit) -> Self {
        Self { work: Some(work), result: None, reply, queued: Instant::now(), _room: room }
    }
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, conn: &Connection) -> bool {
        let Some(work) = self.work.take() else { return false };
        let result = work(conn);
        let worked = result.is_ok();
        self.result = Some(result);
        worked
    }

    fn answer(self: Box<Self>, flush: Result<(), StoreError>) {
        let result = match (flush, self.result) {
            (Ok(()), Some(result)) => result,
            // A job that failed by itself keeps its own reason.
            (Err(_), Some(Err(own))) => Err(own),
            (Err(flush), _) => Err(flush),
            (Ok(()), None) => Err(StoreError::Closed),
        };
        let _ = self.reply.send(result);
    }

    fn queued(&self) -> Instant {
        self.queued
    }
}

/// What the writer shares with others.
pub(super) struct Shared {
    pub gauges: Arc<StoreGauges>,
    /// Set when the rest of the log should be moved into the database.
    pub long_log: Arc<AtomicBool>,
    /// Called when the database cannot be trusted any more.
    pub fatal: crate::supervise::Fatal,
}

/// Runs until the queue is closed, or the database cannot be trusted any more.
pub(super) fn run(path: PathBuf, mut conn: Connection, jobs: Receiver<Box<dyn Job>>, shared: Shared) {
    let Shared { gauges, long_log, fatal } = shared;
    let mut crowd = 1;
    while let Ok(first) = jobs.recv() {
        let mut batch = Vec::with_capacity(crowd);
        let outcome = flush(&conn, first, &jobs, &mut batch, crowd > 1, &gauges);
        crowd = batch.len();
        if let Err(error) = &outcome {
            tracing::error!(%error, jobs = crowd, "a flush failed; nothing of it was acknowledged");
        }
        for job in batch {
            job.answer(outcome.clone());
        }
        if matches!(outcome, Err(StoreError::Flush(_))) {
            match reopen(&path) {
                Ok(fresh) => conn = fresh,
                Err(error) => return fatal(&format!("the database cannot be trusted after a failed flush: {error}")),
            }
        }
        if long_log.swap(false, Ordering::Relaxed) {
            checkpoint::move_log(&conn);
        }
    }
}

/// Gathers jobs into one transaction and commits it.
fn flush(
    conn: &Connection,
    first: Box<dyn Job>,
    jobs: &Receiver<Box<dyn Job>>,
    batch: &mut Vec<Box<dyn Job>>,
    wait_for_company: bool,
    gauges: &StoreGauges,
) -> Result<(), StoreError> {
    let started = Instant::now();
    gauges.queue_wait_us.store(micros(first.queued().elapsed()), Ordering::Relaxed);
    if let Err(error) = conn.execute_batch("BEGIN IMMEDIATE") {
        batch.push(first);
        return Err(error.into());
    }
    let mut next = Some(first);
    while let Some(mut job) = next {
        let ran = run_in_savepoint(conn, job.as_mut());
        batch.push(job);
        if let Err(error) = ran {
            let _ = conn.execute_batch("ROLLBACK");
            return Err(error);
        }
        next = if batch.len() < BATCH { next_job(jobs, wait_for_company.then_some(started)) } else { None };
    }
    gauges.commits.fetch_add(1, Ordering::Relaxed);
    gauges.jobs.fetch_add(batch.len() as u64, Ordering::Relaxed);
    commit(conn, gauges)
}

/// The next job that is there, or that comes within [`LINGER`] of `since`.
fn next_job(jobs: &Receiver<Box<dyn Job>>, since: Option<Instant>) -> Option<Box<dyn Job>> {
    match (jobs.try_recv(), since) {
        (Ok(job), _) => Some(job),
        (Err(_), Some(since)) => jobs.recv_timeout(LINGER.saturating_sub(since.elapsed())).ok(),
        (Err(_), None) => None,
    }
}

/// Runs one job so that its failure, or its panic, undoes nothing but itself.
fn run_in_savepoint(conn: &Connection, job: &mut dyn Job) -> Result<(), StoreError> {
    conn.prepare_cached("SAVEPOINT job")?.raw_execute()?;
    let worked = std::panic::catch_unwind(AssertUnwindSafe(|| job.run(conn))).unwrap_or(false);
    if !worked {
        conn.prepare_cached("ROLLBACK TO job")?.raw_execute()?;
    }
    conn.prepare_cached("RELEASE job")?.raw_execute()?;
    Ok(())
}

fn commit(conn: &Connection, gauges: &StoreGauges) -> Result<(), StoreError> {
    let started = Instant::now();
    #[cfg(feature = "chaos-tests")]
    crate::sabotage::delay_flush();
    let outcome = conn.execute_batch("COMMIT");
    gauges.flush_us.store(micros(started.elapsed()), Ordering::Relaxed);
    let Err(error) = outcome else { return Ok(()) };
    let _ = conn.execute_batch("ROLLBACK");
    let text = error.to_string();
    Err(match error.into() {
        error @ (StoreError::Full | StoreError::Locked) => error,
        _ => StoreError::Flush(text),
    })
}

/// After a failed flush the handle proves nothing: only a fresh one that passes a check may go on.
fn reopen(path: &Path) -> Result<Connection, StoreError> {
    let conn = open_connection(path)?;
    verify(&conn)?;
    Ok(conn)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
