//! The only place that makes HTTP clients. A client is made by the actor that uses it, on that actor's own thread,
//! and ends with the incarnation; connections of a dead one are never handed on.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Uri;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::TcpStream;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder};

/// Connections kept open to one host between requests.
const IDLE_CONNECTIONS: usize = 256;
const IDLE_FOR: Duration = Duration::from_secs(30);
/// How long a connection is silent before the other side is probed, and between two probes.
const PROBE_AFTER: Duration = Duration::from_secs(15);
const PROBES: u32 = 3;

/// Bytes that are read from a connection at once. hyper's buffer takes twice as many, and memory that is never written
/// to is never taken from the system.
const AT_ONCE: usize = 4096;

pub const USER_AGENT: &str = concat!("mindbot/", env!("CARGO_PKG_VERSION"));

/// What a connection is made by: TCP and TLS, within the time that is given to both together.
type Connector = BoxCloneSyncService<Uri, Stream, BoxError>;
/// A client for many answers that are long in coming.
pub type StreamClient = Client<Connector, Full<Bytes>>;

/// Makes a client for base URLs that stand in the configuration file, which may be internal.
///
/// Redirects are not followed: no API of ours sends any, and a credential must not travel. No proxy is taken from
/// the environment. Fails only when the system's certificates cannot be read.
pub fn client(connect_timeout: Duration) -> Result<reqwest::Client, String> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that makes clients")]
    let builder = reqwest::Client::builder();
    builder
        .connect_timeout(connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_FOR)
        .http1_only()
        .user_agent(USER_AGENT)
        .build()
        .map_err(|error| error.to_string())
}

/// The client that [`client`] is built upon, alone, under the same rules: a request that waits costs 5 kB less.
///
/// Fails only when the system's certificates cannot be read.
pub fn stream_client(connect_timeout: Duration) -> Result<StreamClient, String> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(PROBE_AFTER));
    tcp.set_keepalive_interval(Some(PROBE_AFTER));
    tcp.set_keepalive_retries(Some(PROBES));
    let tls = HttpsConnectorBuilder::new().try_with_platform_verifier().map_err(|error| error.to_string())?;
    let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
    let connector = ServiceBuilder::new().map_response(Stream::of).timeout(connect_timeout).service(connector);
    #[expect(clippy::disallowed_methods, reason = "this is the one place that makes clients")]
    let mut builder = Client::builder(TokioExecutor::new());
    Ok(builder
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_FOR)
        .build(BoxCloneSyncService::new(connector)))
}

/// Chooses the TLS implementation for the whole process. Called once, first in `main`.
pub fn install_tls() {
    // A second call finds one installed, which is what is wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// What hyper needs of a connection.
trait Io: Read + Write + Connection + Send + Unpin {}

impl<T: Read + Write + Connection + Send + Unpin> Io for T {}

/// A connection, without the room of an encrypted one where it is not: a kilobyte for each call that waits.
pub struct Stream(Box<dyn Io>);

impl Stream {
    fn of(stream: MaybeHttpsStream<TokioIo<TcpStream>>) -> Self {
        Self(match stream {
            MaybeHttpsStream::Http(plain) => Box::new(plain),
            encrypted @ MaybeHttpsStream::Https(_) => Box::new(encrypted),
        })
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut piece = [0; AT_ONCE];
        let (piece, _) = piece.split_at_mut(AT_ONCE.min(into.remaining()));
        let mut piece = ReadBuf::new(piece);
        ready!(Pin::new(&mut self.0).poll_read(context, piece.unfilled()))?;
        into.put_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.0.connected()
    }
}
