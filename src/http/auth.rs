//! Who may do what: one role per operation, and the keys that carry roles. Denied unless a rule allows it.
//!
//! Keys are stored hashed; rights are read per request. A restart forgets whose guesses were slowed down.

use super::error::{ApiError, Problem};
use super::{App, peer};
use crate::store::access::{self, hash_of};
use crate::store::{Store, StoreError};
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use actix_web::{HttpMessage, HttpRequest};
use dashmap::DashMap;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// The environment variable that names an admin key.
pub const TOKEN_VARIABLE: &str = "MINDBOT_ADMIN_TOKEN";
/// Characters of a key, at least: fewer can be guessed.
const SHORTEST: usize = 16;
/// Wrong keys a minute, and at once, that one address may send.
const GUESSES: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// Wrong keys after which addresses that are free again are forgotten.
const SWEEP_EVERY: u64 = 1024;
/// Time for the store to say whose key it is.
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);

/// What a key's holder may do; each includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees everything but message content and configuration.
    Viewer,
    /// Reads messages, tries them again, restarts actors.
    Operator,
    /// Changes the configuration, injects faults.
    Admin,
}

impl Role {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Viewer, Self::Operator, Self::Admin].into_iter().find(|role| role.word() == word)
    }
}

/// Who is let through to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody: it shows nothing, or admits callers by a rule of its own (a platform's signature, a chat's `access`).
    Anyone,
    /// Whoever is on this machine, and elsewhere whoever has a key of at least this role.
    LocalOr(Role),
    /// Whoever has a key of at least this role.
    Key(Role),
}

/// Who made a request, for traces, history and logs. Never the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub String);

/// Why there is no admin key to start with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "{TOKEN_VARIABLE} is too weak: at least {SHORTEST} characters, printable ASCII without spaces; \
         `openssl rand -hex 24` makes a good one"
    )]
    Weak,
    #[error("no random numbers for an admin key: {0}")]
    NoRandom(getrandom::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The keys that are known, and whose guesses are slowed down.
pub struct Keys {
    store: Store,
    /// Hash of the key that the environment names.
    token: Option<String>,
    wrong: DefaultKeyedRateLimiter<IpAddr>,
    /// Addresses that guessed too often, and until when nothing is looked at from there.
    barred: DashMap<IpAddr, Instant>,
    guesses: AtomicU64,
}

impl Keys {
    /// Takes the admin key from the environment. Without one, a store that holds no key gets a random one, which is
    /// printed once, on stderr and not in the log.
    pub async fn open(store: &Store, token: Option<String>) -> Result<Self, KeyError> {
        let token = token.filter(|token| !token.is_empty());
        match &token {
            Some(token) if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                return Err(KeyError::Weak);
            }
            Some(_) => {}
            None => print_first_key(store).await?,
        }
        Ok(Self {
            store: store.clone(),
            token: token.as_deref().map(hash_of),
            wrong: RateLimiter::keyed(Quota::per_minute(GUESSES)),
            barred: DashMap::new(),
            guesses: AtomicU64::new(0),
        })
    }

    /// The role of a key. Wrong ones are counted against `from`; past the limit nothing is looked at for a while.
    async fn role_of(&self, key: &str, from: IpAddr) -> Result<(Role, Caller), ApiError> {
        let from = peer::network_of(from);
        if let Some(wait) = self.barred_for(from) {
            return Err(too_many(wait));
        }
        let hash = hash_of(key);
        if self.token.as_ref().is_some_and(|token| bool::from(token.as_bytes().ct_eq(hash.as_bytes()))) {
            return Ok((Role::Admin, Caller(TOKEN_VARIABLE.to_owned())));
        }
        let shown: String = hash.chars().take(8).collect();
        let looking = self.store.read(move |conn| access::role_of(conn, &hash));
        let found = tokio::time::timeout(LOOKUP_LIMIT, looking).await;
        let outage = || ApiError::busy("keys cannot be looked up at the moment; yours may be right");
        let word = found.map_err(|_| outage())?.map_err(|_| outage())?;
        match word.as_deref().and_then(Role::of) {
            Some(role) => Ok((role, Caller(format!("key {shown}")))),
            None => Err(self.count_wrong(from)),
        }
    }

    fn barred_for(&self, from: IpAddr) -> Option<Duration> {
        let until = *self.barred.get(&from)?;
        until.checked_duration_since(Instant::now())
    }

    fn count_wrong(&self, from: IpAddr) -> ApiError {
        if self.guesses.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            let now = Instant::now();
            self.barred.retain(|_, until| *until > now);
            self.wrong.retain_recent();
        }
        let Err(not_until) = self.wrong.check_key(&from) else {
            return ApiError::new(Problem::Unauthenticated, "this key is not known");
        };
        let wait = not_until.wait_time_from(DefaultClock::default().now());
        self.barred.insert(from, Instant::now() + wait);
        tracing::warn!(address = %from, "an address sends wrong keys and is slowed down");
        too_many(wait)
    }
}

fn too_many(wait: Duration) -> ApiError {
    let error = ApiError::new(Problem::TooMany, "too many wrong keys came from this address");
    ApiError { retry_after: Some(wait.as_secs() + 1), ..error }
}

async fn print_first_key(store: &Store) -> Result<(), KeyError> {
    let mut bytes = [0u8; 24];
    getrandom::fill(&mut bytes).map_err(KeyError::NoRandom)?;
    let key: String = std::iter::once("mb_".to_owned()).chain(bytes.iter().map(|byte| format!("{byte:02x}"))).collect();
    let (hash, now) = (hash_of(&key), store.now());
    if store.write(move |conn| access::first_key(conn, &hash, now)).await? {
        let text = format!(
            "Admin key, shown only this once: {key}\n  Use it as `Authorization: Bearer KEY`; if it gets lost, set {TOKEN_VARIABLE}.\n"
        );
        // A closed stderr loses the key, and the variable is the way in then.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
    Ok(())
}

/// Lets a request through to an operation, or says why not: 401 without a known key, 403 for too small a role or a page
/// of another origin, 415 for a change that is not JSON, 429 after too many guesses, 503 while keys cannot be read.
pub async fn admit(access: Access, request: &HttpRequest) -> Result<(), ApiError> {
    let wanted = match access {
        Access::Anyone => return Ok(()),
        Access::LocalOr(_) if peer::is_this_machine(request) => return Ok(()),
        Access::LocalOr(role) | Access::Key(role) => role,
    };
    let app = App::of(request)?;
    let given = peer::header(request, AUTHORIZATION).and_then(|value| value.split_once(' '));
    let Some((_, key)) = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        let detail = "this needs a key: `Authorization: Bearer KEY`";
        return Err(ApiError::new(Problem::Unauthenticated, detail));
    };
    let from = peer::client(request).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let (role, Caller(name)) = app.keys.role_of(key.trim(), from).await?;
    if role < wanted {
        let detail = format!("this needs the role `{}`, the key has `{}`", wanted.word(), role.word());
        return Err(ApiError::new(Problem::Forbidden, detail));
    }
    if request.method() != Method::GET {
        peer::same_origin(request, &app.directory.load().config.security.cors_origins)?;
        expect_json(request)?;
    }
    request.extensions_mut().insert(Caller(format!("{name} from {from}")));
    Ok(())
}

/// A change with a body says that it is JSON, which a page of another origin cannot without asking first. One without
/// a body has nothing to declare: its `Authorization` header makes the browser ask as well.
fn expect_json(request: &HttpRequest) -> Result<(), ApiError> {
    let has_length = peer::header(request, CONTENT_LENGTH).is_some_and(|length| length != "0");
    let has_body = has_length || request.headers().contains_key(TRANSFER_ENCODING);
    let is_typed = request.headers().contains_key(CONTENT_TYPE);
    if (has_body || is_typed) && request.content_type() != "application/json" {
        let detail = "the body must be JSON: `Content-Type: application/json`";
        return Err(ApiError::new(Problem::MediaType, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn store(folder: &tempfile::TempDir) -> Store {
        Store::open(&folder.path().join("test.db"), Arc::new(|_| {})).unwrap()
    }

    #[actix_rt::test]
    async fn weak_tokens_are_refused_at_start() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let table = [
            ("short", "fifteen-letters", false),
            ("long enough", "sixteen-letters!", true),
            ("with a space", "sixteen letters and more", false),
            ("not ASCII", "sechzehn-Zeichen-ä", false),
            ("a line break", "sixteen-letters!\n", false),
        ];
        for (case, token, expected) in table {
            assert_eq!(Keys::open(&store, Some(token.to_owned())).await.is_ok(), expected, "{case}");
        }
        let kept = store.read(|conn| access::role_of(conn, &hash_of("sixteen-letters!"))).await.unwrap();
        assert_eq!(kept, None, "the environment's key is not stored");
    }

    #[actix_rt::test]
    async fn the_first_start_makes_one_key_and_later_ones_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        for _ in 0..2 {
            Keys::open(&store, Some(String::new())).await.unwrap();
            let is_another = store.write(|conn| access::first_key(conn, "x", 0)).await.unwrap();
            assert!(!is_another, "an empty variable counts as none, and a key is there");
        }
    }

    #[actix_rt::test]
    async fn guessing_is_slowed_down_for_one_address_only() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(&store(&folder), Some("sixteen-letters!".to_owned())).await.unwrap();
        let (one, other): (IpAddr, IpAddr) = ("203.0.113.7".parse().unwrap(), "203.0.113.8".parse().unwrap());
        for _ in 0..GUESSES.get() {
            assert_eq!(keys.role_of("wrong", one).await.unwrap_err().problem, Problem::Unauthenticated);
        }
        assert_eq!(keys.role_of("wrong", one).await.unwrap_err().problem, Problem::TooMany);
        let right = keys.role_of("sixteen-letters!", one).await.unwrap_err();
        assert_eq!(right.problem, Problem::TooMany, "a guess is not even looked at");
        assert!(right.retry_after.is_some_and(|seconds| seconds <= 7));
        assert_eq!(keys.role_of("sixteen-letters!", other).await.unwrap().0, Role::Admin);
    }

    #[test]
    fn each_role_includes_the_ones_before() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
        assert_eq!(Role::of("operator"), Some(Role::Operator));
        assert_eq!(Role::of("root"), None);
    }
}
