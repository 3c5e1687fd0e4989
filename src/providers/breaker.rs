//! Which providers are worth asking: breakers, quiet times and the retry budget. Pure; time comes in as a value.

use super::ProviderError;
use crate::supervise::{CallError, PortId};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Failures in a row that open a breaker.
const OPENS_AFTER: u32 = 5;
/// While open, one call in this time is let through as a probe.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// A misconfigured provider is probed this rarely.
const MISCONFIGURED_FOR: Duration = Duration::from_secs(30);
/// Retries per first attempt, and how many may be saved up.
const BUDGET_SHARE: f64 = 0.1;
const BUDGET_CAP: f64 = 10.0;

/// What is known of one provider's health.
#[derive(Debug, Default)]
struct Health {
    failures: u32,
    /// Nothing is asked before this, except by a probe that this very field lets through.
    closed_until: Option<Instant>,
    last_error: Option<String>,
    budget: f64,
}

/// The health of every provider, by its port: one that was started from a changed section begins afresh, and what its
/// predecessor still does is not held against it.
#[derive(Debug, Default)]
pub struct Breakers(HashMap<PortId, Health>);

impl Breakers {
    /// Whether the provider may be asked now. While its breaker is open, true once per probe interval.
    pub fn admits(&mut self, who: PortId, now: Instant) -> bool {
        let Some(health) = self.0.get_mut(&who) else { return true };
        match health.closed_until {
            Some(until) if now < until => false,
            Some(_) => {
                health.closed_until = (health.failures >= OPENS_AFTER).then_some(now + PROBE_EVERY);
                true
            }
            None => true,
        }
    }

    /// How long until the provider may be asked, zero when it may be now.
    pub fn wait(&self, who: PortId, now: Instant) -> Duration {
        let until = self.0.get(&who).and_then(|health| health.closed_until);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// Counts a first attempt towards the retry budget.
    pub fn first_attempt(&mut self, who: PortId) {
        let health = self.0.entry(who).or_insert_with(|| Health { budget: 3.0, ..Health::default() });
        health.budget = (health.budget + BUDGET_SHARE).min(BUDGET_CAP);
    }

    /// Takes one retry out of the budget, if there is one.
    pub fn may_retry(&mut self, who: PortId) -> bool {
        let Some(health) = self.0.get_mut(&who).filter(|health| health.budget >= 1.0) else { return false };
        health.budget -= 1.0;
        true
    }

    pub fn succeeded(&mut self, who: PortId) {
        if let Some(health) = self.0.get_mut(&who) {
            health.failures = 0;
            health.closed_until = None;
            health.last_error = None;
        }
    }

    /// Records a failure. The person's own errors, and our own impatience, count for nothing.
    pub fn failed(&mut self, who: PortId, error: &ProviderError, now: Instant) {
        let health = self.0.entry(who).or_default();
        match error {
            ProviderError::RateLimited { after, .. } => health.closed_until = Some(now + *after),
            ProviderError::Misconfigured(_) => {
                health.failures = health.failures.max(OPENS_AFTER);
                health.closed_until = Some(now + MISCONFIGURED_FOR);
            }
            ProviderError::Unavailable(_)
            | ProviderError::Cut { .. }
            | ProviderError::Garbage(_)
            | ProviderError::TimedOut(_)
            | ProviderError::Call(CallError::TimedOut) => {
                health.failures = health.failures.saturating_add(1);
                if health.failures >= OPENS_AFTER {
                    health.closed_until = Some(now + PROBE_EVERY);
                }
            }
            _ => return,
        }
        health.last_error = Some(error.to_string());
    }

    /// Providers that are not well, with the reason.
    pub fn unwell(&self) -> impl Iterator<Item = (PortId, &str)> {
        let unwell = self.0.iter().filter(|(_, health)| health.closed_until.is_some());
        unwell.map(|(who, health)| (*who, health.last_error.as_deref().unwrap_or_default()))
    }

    /// Forgets everybody else.
    pub fn keep_only(&mut self, current: impl Fn(PortId) -> bool) {
        self.0.retain(|who, _| current(*who));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PortId = PortId(0);

    #[test]
    fn five_failures_open_it_a_probe_a_second_goes_through_and_one_success_closes_it() {
        let mut breakers = Breakers::default();
        let now = Instant::now();
        breakers.first_attempt(A);
        for _ in 0..OPENS_AFTER {
            assert!(breakers.admits(A, now));
            breakers.failed(A, &ProviderError::Unavailable("500".into()), now);
        }
        assert!(!breakers.admits(A, now));
        let later = now + PROBE_EVERY;
        assert!(breakers.admits(A, later), "one probe");
        assert!(!breakers.admits(A, later), "and only one");
        breakers.succeeded(A);
        assert!(breakers.admits(A, later));
    }

    #[test]
    fn a_persons_own_errors_never_open_it() {
        let mut breakers = Breakers::default();
        let now = Instant::now();
        for _ in 0..50 {
            breakers.failed(A, &ProviderError::Rejected("content".into()), now);
            breakers.failed(A, &ProviderError::TooLong("prompt".into()), now);
            breakers.failed(A, &ProviderError::Cancelled, now);
        }
        assert!(breakers.admits(A, now));
        assert_eq!(breakers.unwell().count(), 0);
    }

    #[test]
    fn retries_are_a_tenth_of_first_attempts() {
        let mut breakers = Breakers::default();
        let mut retries = 0;
        for _ in 0..1000 {
            breakers.first_attempt(A);
            retries += usize::from(breakers.may_retry(A));
        }
        assert!((100..=110).contains(&retries), "{retries}");
    }
}
