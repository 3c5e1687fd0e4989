//! The access token of one WeCom application, fetched once for all callers that wait for it.
//!
//! Lost on a restart; the next call fetches it again, and WeCom answers with the same one while it is valid.

use super::PlatformError;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A token is replaced this long before it ends, or at half its life when that is sooner.
const EARLY: Duration = Duration::from_secs(300);
/// A failure is the answer to everyone who asks within this time.
const FAILURE_COUNTS_FOR: Duration = Duration::from_secs(1);
const SHORTEST_LIFE: Duration = Duration::from_secs(1);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// A token in use. `serial` tells it from the ones before it, even when the platform issued the same text again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub text: Rc<str>,
    pub serial: u64,
}

/// A token as the platform issued it.
pub(super) struct Issued {
    pub text: String,
    pub life: Duration,
}

/// Holds the token. Callers that come while it is being fetched wait for that one fetch.
pub(super) struct TokenCache {
    state: Mutex<State>,
    now: fn() -> Instant,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    serial: u64,
    /// The last fetch failed, and is not repeated before this moment.
    failed: Option<(Instant, PlatformError)>,
}

struct Held {
    token: Token,
    renew_at: Instant,
    ends_at: Instant,
}

impl TokenCache {
    pub fn new() -> Self {
        Self::with_clock(Instant::now)
    }

    fn with_clock(now: fn() -> Instant) -> Self {
        Self { state: Mutex::default(), now }
    }

    /// The current token, fetched when there is none, when it ends soon, or when it is the one that was `refused`.
    ///
    /// While a fetch fails, a token that has not ended yet is still handed out; without one everyone gets the error.
    /// Dropping the returned future leaves the fetch to the next caller.
    pub async fn get<F>(&self, refused: Option<u64>, fetch: impl FnOnce() -> F) -> Result<Token, PlatformError>
    where
        F: Future<Output = Result<Issued, PlatformError>>,
    {
        let mut state = self.state.lock().await;
        let usable = |held: &Held| (Some(held.token.serial) != refused).then(|| held.token.clone());
        if let Some(held) = state.held.as_ref().filter(|held| held.renew_at > (self.now)())
            && let Some(token) = usable(held)
        {
            return Ok(token);
        }
        let failed = state.failed.as_ref().filter(|(until, _)| *until > (self.now)());
        let error = match failed {
            Some((_, error)) => error.clone(),
            None => match fetch().await {
                Ok(issued) => return Ok(state.accept(issued, (self.now)())),
                Err(error) => state.remember(error, (self.now)()),
            },
        };
        let alive = state.held.as_ref().filter(|held| held.ends_at > (self.now)());
        alive.and_then(usable).ok_or(error)
    }
}

impl State {
    fn accept(&mut self, issued: Issued, now: Instant) -> Token {
        let life = issued.life.clamp(SHORTEST_LIFE, LONGEST_LIFE);
        self.serial += 1;
        let token = Token { text: issued.text.into(), serial: self.serial };
        let held = Held { token: token.clone(), renew_at: now + life - EARLY.min(life / 2), ends_at: now + life };
        self.held = Some(held);
        self.failed = None;
        token
    }

    fn remember(&mut self, error: PlatformError, now: Instant) -> PlatformError {
        let wait = match &error {
            PlatformError::RateLimited { after, .. } => *after,
            _ => FAILURE_COUNTS_FOR,
        };
        self.failed = Some((now + wait, error.clone()));
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use std::cell::Cell;

    thread_local! {
        static NOW: Cell<Instant> = Cell::new(Instant::now());
    }

    /// A cache whose clock moves only by [`pass`].
    fn cache() -> TokenCache {
        NOW.set(Instant::now());
        TokenCache::with_clock(|| NOW.get())
    }

    fn pass(time: Duration) {
        NOW.set(NOW.get() + time);
    }

    struct Upstream {
        calls: Cell<u32>,
        fails: Cell<bool>,
    }

    impl Upstream {
        fn new() -> Self {
            Self { calls: Cell::new(0), fails: Cell::new(false) }
        }

        async fn fetch(&self) -> Result<Issued, PlatformError> {
            self.calls.set(self.calls.get() + 1);
            tokio::task::yield_now().await;
            if self.fails.get() {
                return Err(PlatformError::Misconfigured("no".into()));
            }
            // The platform repeats a token that is still valid.
            Ok(Issued { text: "same".into(), life: Duration::from_secs(7200) })
        }
    }

    #[actix_rt::test]
    async fn a_hundred_callers_share_one_fetch() {
        let (cache, upstream) = (cache(), Upstream::new());
        let all = join_all((0..100).map(|_| cache.get(None, || upstream.fetch()))).await;
        assert!(all.iter().all(|token| token.as_ref().unwrap().serial == 1));
        assert_eq!(upstream.calls.get(), 1);
        let renewed = join_all((0..100).map(|_| cache.get(Some(1), || upstream.fetch()))).await;
        assert!(renewed.iter().all(|token| token.as_ref().unwrap().serial == 2));
        assert_eq!(upstream.calls.get(), 2);
    }

    #[actix_rt::test]
    async fn a_token_is_renewed_before_it_ends() {
        let (cache, upstream) = (cache(), Upstream::new());
        cache.get(None, || upstream.fetch()).await.unwrap();
        pass(Duration::from_secs(6899));
        assert_eq!(cache.get(None, || upstream.fetch()).await.unwrap().serial, 1);
        pass(Duration::from_secs(2));
        assert_eq!(cache.get(None, || upstream.fetch()).await.unwrap().serial, 2);
    }

    #[actix_rt::test]
    async fn a_failure_is_shared_and_then_forgotten() {
        let (cache, upstream) = (cache(), Upstream::new());
        upstream.fails.set(true);
        let all = join_all((0..100).map(|_| cache.get(None, || upstream.fetch()))).await;
        assert!(all.iter().all(|token| *token == Err(PlatformError::Misconfigured("no".into()))));
        assert_eq!(upstream.calls.get(), 1);
        upstream.fails.set(false);
        pass(FAILURE_COUNTS_FOR);
        assert_eq!(cache.get(None, || upstream.fetch()).await.unwrap().serial, 1);
    }

    #[actix_rt::test]
    async fn a_living_token_outlasts_a_failing_renewal() {
        let (cache, upstream) = (cache(), Upstream::new());
        cache.get(None, || upstream.fetch()).await.unwrap();
        upstream.fails.set(true);
        pass(Duration::from_secs(7000));
        assert_eq!(cache.get(None, || upstream.fetch()).await.unwrap().serial, 1);
        assert!(cache.get(Some(1), || upstream.fetch()).await.is_err(), "but not one that was refused");
        pass(Duration::from_secs(200));
        assert!(cache.get(None, || upstream.fetch()).await.is_err(), "and not beyond its end");
    }

    #[actix_rt::test]
    async fn a_caller_that_goes_away_leaves_the_fetch_to_the_next() {
        let (cache, upstream) = (cache(), Upstream::new());
        assert_eq!(cache.get(None, || upstream.fetch()).now_or_never(), None);
        assert_eq!(cache.get(None, || upstream.fetch()).await.unwrap().serial, 1);
        assert_eq!(upstream.calls.get(), 2);
    }
}
