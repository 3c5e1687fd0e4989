//! A load generator: sealed WeCom callbacks over kept connections, at a rate or against a bound on what is unanswered.
//!
//! Requests are made before the measurement. A time begins when a request is due, not when a connection is free for it.

use mindbot::config::Secret;
use mindbot::simulate::wecom;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

pub const CORP: &str = "wwbench";
pub const AGENT: i64 = 1_000_002;
pub const TOKEN: &str = "bench-token";
pub const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
/// The answer is the text behind `echo:`; long enough for a stream of 50 pieces.
const FILLER: &str = "of a text that is long enough to be streamed in fifty pieces, as an answer usually is in a chat";

/// What a member is shown as the answer to message `number`.
pub fn answer(number: usize) -> String {
    format!("{number:07} {FILLER}")
}

/// The number of the message that a shown text answers.
pub fn number_of(shown: &str) -> Option<usize> {
    shown.get(..7)?.parse().ok()
}

/// What WeCom tells us when a member has written.
pub fn callback(user: String, text: String, msg_id: String) -> wecom::Callback {
    wecom::Callback {
        url: String::new(),
        corp_id: CORP.into(),
        agent_id: AGENT,
        token: Secret::new(TOKEN),
        encoding_aes_key: Secret::new(AES_KEY),
        user,
        text,
        msg_id: Some(msg_id),
    }
}

/// Sealed callbacks, each a whole request for `address`; message `n` is written by member `n % members`.
pub fn seal(address: &str, numbers: std::ops::Range<usize>, members: usize) -> Vec<Vec<u8>> {
    seal_at_rate(address, numbers, members, f64::INFINITY)
}

/// The same, each with the time at which it is due: a callback that is minutes old is refused as stale.
pub fn seal_at_rate(address: &str, numbers: std::ops::Range<usize>, members: usize, rate: f64) -> Vec<Vec<u8>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let first = numbers.start;
    let request = |number: usize| {
        let user = format!("member-{}", number % members);
        let callback = callback(user, format!("echo:{}", answer(number)), number.to_string());
        let (query, body) = callback.seal(now + ((number - first) as f64 / rate) as i64).unwrap();
        let length = body.len();
        let head = format!(
            "POST /hooks/wecom?{query} HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n"
        );
        [head.into_bytes(), body.into_bytes()].concat()
    };
    numbers.map(request).collect()
}

/// One answered request.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Place among the requests.
    pub number: usize,
    /// When it was due, Unix milliseconds.
    pub due_ms: f64,
    pub took: Duration,
    /// 0 when the connection broke.
    pub status: u16,
    pub retry_after: bool,
}

/// A pool of connections that post what is due.
pub struct Pool {
    shared: Rc<Shared>,
    tasks: Vec<actix_rt::task::JoinHandle<()>>,
}

struct Shared {
    address: String,
    requests: Vec<Vec<u8>>,
    due: RefCell<VecDeque<(usize, Instant)>>,
    wake: Notify,
    open: Cell<bool>,
    samples: RefCell<Vec<Sample>>,
}

impl Pool {
    pub fn new(address: &str, requests: Vec<Vec<u8>>, connections: usize) -> Self {
        let shared = Rc::new(Shared {
            address: address.to_owned(),
            samples: RefCell::new(Vec::with_capacity(requests.len())),
            requests,
            due: RefCell::default(),
            wake: Notify::new(),
            open: Cell::new(true),
        });
        let tasks = (0..connections).map(|_| actix_rt::spawn(shared.clone().post_what_is_due())).collect();
        Self { shared, tasks }
    }

    pub fn requests(&self) -> usize {
        self.shared.requests.len()
    }

    fn post(&self, number: usize, due: Instant) {
        self.shared.due.borrow_mut().push_back((number, due));
        self.shared.wake.notify_one();
    }

    fn answered(&self) -> usize {
        self.shared.samples.borrow().len()
    }

    /// Posts every request, `rate` a second.
    pub async fn at_rate(&self, rate: f64) {
        self.until(rate, &Cell::new(false)).await;
    }

    /// Posts `rate` requests a second until it is told to stop. Answers how many were posted.
    pub async fn until(&self, rate: f64, stop: &Cell<bool>) -> usize {
        let began = Instant::now();
        let mut next = 0;
        while next < self.requests() && !stop.get() {
            let due = ((began.elapsed().as_secs_f64() * rate) as usize + 1).min(self.requests());
            for number in next..due {
                self.post(number, began + Duration::from_secs_f64(number as f64 / rate));
            }
            next = due;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        next
    }

    /// Posts for `time` so that never more than `window` are posted and not yet counted by `shown`.
    /// Answers how many were posted.
    pub async fn against(&self, window: usize, time: Duration, shown: impl Fn() -> usize) -> usize {
        let began = Instant::now();
        let mut next = 0;
        while next < self.requests() && began.elapsed() < time {
            let room = (shown() + window).saturating_sub(next);
            let now = Instant::now();
            let end = (next + room).min(self.requests());
            (next..end).for_each(|number| self.post(number, now));
            next = end;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        next
    }

    /// Waits until everything posted is answered, at most `patience`, closes the connections and gives the samples.
    pub async fn finish(self, posted: usize, patience: Duration) -> Vec<Sample> {
        let began = Instant::now();
        while self.answered() < posted && began.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.shared.open.set(false);
        self.shared.wake.notify_waiters();
        self.tasks.iter().for_each(actix_rt::task::JoinHandle::abort);
        self.shared.samples.take()
    }
}

impl Shared {
    async fn post_what_is_due(self: Rc<Self>) {
        let mut wire: Option<Wire> = None;
        while self.open.get() {
            let Some((number, due)) = self.due.borrow_mut().pop_front() else {
                self.wake.notified().await;
                continue;
            };
            let (status, retry_after) = match self.exchange(&mut wire, number).await {
                Some(answer) => answer,
                None => {
                    wire = None;
                    (0, false)
                }
            };
            let took = due.elapsed();
            let due_ms = unix_ms() - took.as_secs_f64() * 1000.0;
            self.samples.borrow_mut().push(Sample { number, due_ms, took, status, retry_after });
        }
    }

    async fn exchange(&self, wire: &mut Option<Wire>, number: usize) -> Option<(u16, bool)> {
        if wire.is_none() {
            let stream = TcpStream::connect(&self.address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            *wire = Some(Wire { stream, bytes: Vec::with_capacity(1024) });
        }
        wire.as_mut()?.exchange(&self.requests[number]).await
    }
}

pub fn unix_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1000.0
}

/// One connection.
struct Wire {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Wire {
    /// Sends a request and reads its answer to the end: the status, and whether it said `Retry-After`.
    async fn exchange(&mut self, request: &[u8]) -> Option<(u16, bool)> {
        self.stream.write_all(request).await.ok()?;
        self.bytes.clear();
        let head = loop {
            if self.stream.read_buf(&mut self.bytes).await.ok()? == 0 {
                return None;
            }
            if let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&self.bytes[..head]).ok()?.to_ascii_lowercase();
        let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length: usize = header("content-length:").and_then(|length| length.parse().ok()).unwrap_or(0);
        while self.bytes.len() < head + length {
            if self.stream.read_buf(&mut self.bytes).await.ok()? == 0 {
                return None;
            }
        }
        let status = text.split(' ').nth(1)?.parse().ok()?;
        Some((status, header("retry-after:").is_some()))
    }
}

/// The value below which `share` of the sorted `values` lie.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(place).copied().unwrap_or(f64::NAN)
}

/// Milliseconds of each sample.
pub fn millis(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.took.as_secs_f64() * 1000.0).collect()
}
