//! Broken promises on purpose, so that the tests can show that they would notice. Compiled with `chaos-tests` only.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

/// Text that trips a real parsing path.
pub const MARK: &str = "<<mindbot-panic>>";

/// Whether `MINDBOT_SABOTAGE` names this.
pub fn is(name: &str) -> bool {
    static CHOSEN: OnceLock<String> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("MINDBOT_SABOTAGE").unwrap_or_default());
    chosen.split(',').any(|word| word == name)
}

/// Panics on marked text, as a bug in a parser would.
pub fn trip(text: &str) {
    #[expect(clippy::panic, reason = "the drill is a panic on the real path")]
    if text.contains(MARK) {
        panic!("tripped over a marked text");
    }
}

/// The same for one place, on `<<mindbot-panic:PLACE>>`: what lies before that place is not tripped.
pub fn trip_in(place: &str, text: &str) {
    #[expect(clippy::panic, reason = "the drill is a panic on the real path")]
    if text.contains(&format!("<<mindbot-panic:{place}>>")) {
        panic!("tripped over a marked text");
    }
}

/// Panics while the file that `MINDBOT_BROKEN_CONSTRUCTORS` names has a line with this actor's path.
pub fn trip_constructor(actor: &str) {
    let file = std::env::var("MINDBOT_BROKEN_CONSTRUCTORS").unwrap_or_default();
    let broken = std::fs::read_to_string(file);
    #[expect(clippy::panic, reason = "the drill is a constructor that panics")]
    if broken.is_ok_and(|text| text.lines().any(|line| line == actor)) {
        panic!("a constructor that is broken on purpose");
    }
}

/// Holds a flush up by `MINDBOT_SLOW_FLUSH_MS`.
pub fn delay_flush() {
    static DELAY: OnceLock<Duration> = OnceLock::new();
    let delay = DELAY.get_or_init(|| {
        let named = std::env::var("MINDBOT_SLOW_FLUSH_MS").ok().and_then(|text| text.parse().ok());
        Duration::from_millis(named.unwrap_or(0))
    });
    if !delay.is_zero() {
        #[expect(clippy::disallowed_methods, reason = "a slow disk is simulated on the writer's own thread")]
        std::thread::sleep(*delay);
    }
}

/// Does after the acknowledgement what belongs before it.
pub async fn later<T>(work: impl Future<Output = T>) {
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(work.await);
}
