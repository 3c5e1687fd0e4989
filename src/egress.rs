//! The only place that makes HTTP clients. A client is made by the actor that uses it, on that actor's own thread,
//! and ends with the incarnation; connections of a dead one are never handed on.

use std::time::Duration;

/// Connections kept open to one host between requests.
const IDLE_CONNECTIONS: usize = 256;
const IDLE_FOR: Duration = Duration::from_secs(30);

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
        .user_agent(concat!("mindbot/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.to_string())
}

/// Chooses the TLS implementation for the whole process. Called once, first in `main`.
pub fn install_tls() {
    // A second call finds one installed, which is what is wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
}
