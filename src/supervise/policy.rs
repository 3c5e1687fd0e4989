//! When a child that ended starts again. Pure: time comes in as a value.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Doubling waits between restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub cap: Duration,
}

impl Backoff {
    /// The wait before restart number `attempt`, counted from 0, without jitter.
    pub fn delay(&self, attempt: u32) -> Duration {
        2u32.checked_pow(attempt)
            .and_then(|factor| self.first.checked_mul(factor))
            .map_or(self.cap, |d| d.min(self.cap))
    }
}

/// What happens to a child that fails more often than its policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// It becomes `failed`, alone, and is tried again after this long.
    Fail { retry_every: Duration },
    /// Its supervisor fails with it, and restarts with its whole subtree.
    Escalate,
}

/// How failures are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub backoff: Backoff,
    /// Failures within `period` that are answered by a restart; one more exhausts the policy.
    pub intensity: usize,
    pub period: Duration,
    /// A run at least this long clears the record: what fails every quarter of an hour is not in a crash loop.
    pub healthy_after: Duration,
    pub exhausted: Exhausted,
}

impl Policy {
    const BASE: Self = Self {
        backoff: Backoff { first: Duration::from_millis(200), cap: Duration::from_secs(30) },
        intensity: 5,
        period: Duration::from_secs(60),
        healthy_after: Duration::from_secs(10),
        exhausted: Exhausted::Escalate,
    };

    /// For a child that came from the configuration: past five failures a minute it is `failed`, alone.
    pub const fn configured() -> Self {
        Self { exhausted: Exhausted::Fail { retry_every: Duration::from_secs(300) }, ..Self::BASE }
    }

    /// For a child that the gateway cannot do without: past five failures a minute its supervisor restarts.
    pub const fn essential() -> Self {
        Self::BASE
    }

    /// For supervisors, and for the root itself: past three failures a minute the level above decides.
    pub const fn supervisor() -> Self {
        Self { intensity: 3, ..Self::BASE }
    }

    /// One line for `actors.md`.
    pub fn describe(&self) -> String {
        let end = match self.exhausted {
            Exhausted::Fail { retry_every } => format!("then `failed`, tried again every {} s", retry_every.as_secs()),
            Exhausted::Escalate => "then its supervisor restarts".into(),
        };
        format!(
            "at once, then {} ms … {} s with jitter, {} in {} s, {end}",
            self.backoff.first.as_millis(),
            self.backoff.cap.as_secs(),
            self.intensity,
            self.period.as_secs()
        )
    }
}

/// What to do about one failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Start again after this long; zero for the first failure of a period.
    Restart(Duration),
    /// Give up for this long, alone.
    Fail(Duration),
    /// Give up, and the supervisor with it.
    Escalate,
}

/// The recent failures of one child.
#[derive(Debug, Default)]
pub struct Record {
    failures: VecDeque<Instant>,
}

impl Record {
    /// Decides about a failure at `now` of an incarnation that started at `born`. `jitter` is in 0..=1.
    pub fn failed(&mut self, policy: &Policy, born: Instant, now: Instant, jitter: f64) -> Decision {
        if now.saturating_duration_since(born) >= policy.healthy_after {
            self.failures.clear();
        }
        self.failures.retain(|at| now.saturating_duration_since(*at) < policy.period);
        self.failures.push_back(now);
        if self.failures.len() > policy.intensity {
            self.failures.clear();
            return match policy.exhausted {
                Exhausted::Fail { retry_every } => Decision::Fail(retry_every),
                Exhausted::Escalate => Decision::Escalate,
            };
        }
        match self.failures.len() {
            1 => Decision::Restart(Duration::ZERO),
            count => {
                let attempt = u32::try_from(count - 2).unwrap_or(u32::MAX);
                Decision::Restart(policy.backoff.delay(attempt).mul_f64(1.0 + 0.25 * jitter.clamp(0.0, 1.0)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_until_the_cap() {
        let backoff = Backoff { first: Duration::from_millis(200), cap: Duration::from_secs(30) };
        let table =
            [("first", 0, 200), ("eighth", 7, 25_600), ("capped", 8, 30_000), ("no overflow", u32::MAX, 30_000)];
        for (case, attempt, millis) in table {
            assert_eq!(backoff.delay(attempt), Duration::from_millis(millis), "{case}");
        }
    }

    fn decisions(policy: Policy, gaps_ms: &[u64]) -> Vec<Decision> {
        let mut record = Record::default();
        let mut now = Instant::now();
        gaps_ms
            .iter()
            .map(|gap| {
                let born = now;
                now += Duration::from_millis(*gap);
                record.failed(&policy, born, now, 0.0)
            })
            .collect()
    }

    #[test]
    fn first_failure_restarts_at_once_and_a_crash_loop_slows_down_then_fails() {
        let ms = |n| Decision::Restart(Duration::from_millis(n));
        let fail = Decision::Fail(Duration::from_secs(300));
        let quick = [1000; 6];
        assert_eq!(decisions(Policy::configured(), &quick), [ms(0), ms(200), ms(400), ms(800), ms(1600), fail]);
        assert_eq!(decisions(Policy::essential(), &quick).last(), Some(&Decision::Escalate));
        assert_eq!(decisions(Policy::supervisor(), &quick[..4]).last(), Some(&Decision::Escalate));
    }

    #[test]
    fn a_long_healthy_run_clears_the_record() {
        let now = Decision::Restart(Duration::ZERO);
        assert_eq!(decisions(Policy::supervisor(), &[15_000; 20]), [now; 20]);
    }
}
