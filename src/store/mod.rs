//! The store: a handle, not an actor. One writer thread that groups commits, a few reading connections,
//! one bounded queue in front. Everything that must survive is here; a restart loses nothing.
//!
//! SQL lives in `sql/<dialect>/` and nowhere else.

pub mod access;
mod checkpoint;
mod clock;
pub mod documents;
pub mod history;
pub mod inbox;
mod migrate;
pub mod outbox;
mod readers;
pub mod retention;
pub mod retry;
pub mod search;
pub mod sql;
pub mod trace;
pub mod waiting;
mod writer;

pub use clock::RunClock;

use crate::supervise::Fatal;
use rusqlite::config::DbConfig;
use rusqlite::ffi::SQLITE_IOERR_WRITE;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// Jobs that may wait for the writer.
const QUEUE: usize = 8192;
/// Time for a database that another process holds to become free.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The queue in front of the writer is full: try again in a moment.
    #[error("the store is busy")]
    Busy,
    /// The disk takes no more, or the quota is used up: nothing was written.
    #[error("the disk is full")]
    Full,
    /// Another process holds the database.
    #[error("the database is locked by another process")]
    Locked,
    /// The database failed its check.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The flush failed: nothing of it is durable.
    #[error("a flush failed: {0}")]
    Flush(String),
    /// The row has moved on: another attempt owns it, or it has ended.
    #[error("the row is not ours any more")]
    Fenced,
    /// There is no such row.
    #[error("not found")]
    Missing,
    /// The database was written by a newer version of this program.
    #[error("the database has schema {found}, this program knows {known}: use a newer program")]
    Newer { found: i64, known: i64 },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// The database refused a statement; a fault of ours.
    #[error("database: {0}")]
    Sql(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            // SQLite knows one way of a full disk. A used-up quota is a write that failed; it was undone as well.
            Some(_) if error.sqlite_error().is_some_and(|it| it.extended_code == SQLITE_IOERR_WRITE) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            _ if error == rusqlite::Error::QueryReturnedNoRows => Self::Missing,
            _ => Self::Sql(error.to_string()),
        }
    }
}

/// Numbers of the writer, for `/metrics`.
#[derive(Debug, Default)]
pub struct StoreGauges {
    pub commits: AtomicU64,
    pub jobs: AtomicU64,
    /// Time of the newest flush, microseconds.
    pub flush_us: AtomicU64,
    /// Time that the newest batch's first job had waited, microseconds.
    pub queue_wait_us: AtomicU64,
    /// Jobs refused because the queue was full.
    pub refused: AtomicU64,
}

/// The handle that everybody holds. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    run: i64,
    clock: RunClock,
    jobs: std::sync::mpsc::Sender<Box<dyn writer::Job>>,
    room: Arc<Semaphore>,
    readers: readers::Readers,
    _checkpoints: checkpoint::Checkpoints,
    gauges: Arc<StoreGauges>,
}

impl Store {
    /// Opens the database, checks it, brings its schema up to date and starts the threads.
    ///
    /// `fatal` is called when a failed flush leaves a database that cannot be trusted.
    /// Fails with `Damaged`, `Newer`, `Locked`, or `Sql` for a path that cannot be opened.
    pub fn open(path: &Path, fatal: Fatal) -> Result<Self, StoreError> {
        let conn = open_connection(path)?;
        verify(&conn)?;
        migrate::migrate(&conn)?;
        let (jobs, queue) = std::sync::mpsc::channel();
        let gauges = Arc::new(StoreGauges::default());
        let long_log = Arc::new(AtomicBool::new(false));
        let shared = writer::Shared { gauges: gauges.clone(), long_log: long_log.clone(), fatal };
        let file = path.to_path_buf();
        spawn_thread("store-writer", move || writer::run(file, conn, queue, shared))?;
        let inner = Inner {
            path: path.to_path_buf(),
            run: run_number()?,
            clock: RunClock::start(),
            jobs,
            room: Arc::new(Semaphore::new(QUEUE)),
            readers: readers::Readers::start(path)?,
            _checkpoints: checkpoint::Checkpoints::start(path, long_log)?,
            gauges,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The number of this run, drawn at start: rows claimed by another number belong to a process that is gone.
    pub fn run(&self) -> i64 {
        self.inner.run
    }

    /// The run's clock in milliseconds: wall clock at start, moved on monotonically.
    pub fn now(&self) -> i64 {
        self.inner.clock.now()
    }

    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    pub fn gauges(&self) -> &StoreGauges {
        &self.inner.gauges
    }

    /// Jobs that wait for the writer or run in it.
    pub fn queue_depth(&self) -> usize {
        QUEUE.saturating_sub(self.inner.room.available_permits())
    }

    /// Bound of the queue in front of the writer.
    pub const fn queue_bound() -> usize {
        QUEUE
    }

    /// Runs `work` in the writer and answers once it is flushed. Waits for room in the queue.
    ///
    /// `work` may run at any time after this was first polled, also when the caller has gone away.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let room = self.inner.room.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        self.enqueue(work, room).await.map_err(|_| StoreError::Closed)?
    }

    /// As [`Store::write`], but `Busy` when the queue is full.
    pub async fn try_write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let room = self.inner.room.clone().try_acquire_owned().map_err(|_| {
            self.inner.gauges.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            StoreError::Busy
        })?;
        self.enqueue(work, room).await.map_err(|_| StoreError::Closed)?
    }

    fn enqueue<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        room: tokio::sync::OwnedSemaphorePermit,
    ) -> oneshot::Receiver<Result<T, StoreError>> {
        let (reply, answer) = oneshot::channel();
        // A closed queue drops the job, and with it `reply`: the caller sees `Closed`.
        let _ = self.inner.jobs.send(Box::new(writer::Work::new(work, reply, room)));
        answer
    }

    /// Runs `question` on a reading connection, which sees everything flushed before.
    pub async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.readers.ask(question).await
    }

    /// Moves everything from the log into the database file, so that the file alone is whole. For a clean end.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        self.settle().await?;
        let path = self.inner.path.clone();
        let moved = tokio::task::spawn_blocking(move || {
            Ok(open_connection(&path)?.query_row(sql::CHECKPOINT_TRUNCATE, [], |_| Ok(()))?)
        });
        moved.await.map_err(|_| StoreError::Closed)?
    }

    /// Writes to the file for real, so that a full or locked disk shows.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.write(|conn| Ok(conn.execute_batch(sql::PROBE)?)).await
    }

    /// Writes a marker and waits for its flush: everything queued before is durable afterwards.
    pub async fn settle(&self) -> Result<(), StoreError> {
        self.write(|_| Ok(())).await
    }
}

/// Looks at a database without changing it, also beside a process that uses it. Blocks for as long as it reads.
pub fn probe(path: &Path) -> Result<String, StoreError> {
    if !path.exists() {
        return Ok("there is no database yet; the first start makes it".into());
    }
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    verify(&conn)?;
    Ok("the database passes its check".into())
}

/// Opens a connection with the pragmas that every promise rests on.
pub(crate) fn open_connection(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.execute_batch(sql::PRAGMAS)?;
    conn.set_prepared_statement_cache_capacity(128);
    // Else every new value of a parameter may throw the plan of a statement away, and most statements were prepared anew
    // each time they ran. Source: sqlite.org/queryplanner-ng.html, "query planner stability guarantee".
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(conn)
}

/// Refuses a database that fails SQLite's own check.
fn verify(conn: &Connection) -> Result<(), StoreError> {
    let verdict: String = conn.query_row(sql::QUICK_CHECK, [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::Damaged(verdict)) }
}

pub(crate) fn wal_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

fn spawn_thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let spawned = std::thread::Builder::new().name(name.into()).spawn(body);
    spawned.map(drop).map_err(|error| StoreError::Sql(format!("thread `{name}`: {error}")))
}

fn run_number() -> Result<i64, StoreError> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Sql(format!("no random numbers: {error}")))?;
    Ok(i64::from_le_bytes(bytes) & i64::MAX)
}
