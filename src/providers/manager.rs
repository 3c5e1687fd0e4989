//! The provider manager: picks who answers, retries within a budget, and fails over while nothing has been shown.
//!
//! Text goes straight from the provider to the turn; the manager hears the bill. A restart loses what is known of
//! the providers' health, and the calls that pass through, which their turns repeat once.

use super::breaker::Breakers;
use super::holdback::ask_held_back;
use super::{Complete, Delta, Prompt, ProviderError};
use crate::domain::{Deadline, Usage};
use crate::supervise::{Answer, CallError, Control, Crowd, Port, PortId, Reserved, card, obey};
use actix::{Actor, Context, Handler, Message};
use arc_swap::ArcSwap;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Attempts for one request, first ones included.
const ATTEMPTS: usize = 3;
/// Back-off before the same provider is asked again.
const RETRY_WAIT: Duration = Duration::from_millis(200);
/// The longest wait that a rate limit may cost while the person waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// The providers that are switched on, by id; replaced whole on reload.
pub type Lineup = Arc<ArcSwap<BTreeMap<String, Port<Complete>>>>;

/// Asks whichever of `candidates` can answer, in this order. Closing `deltas` cancels.
#[derive(Debug, Message)]
#[rtype(result = "Result<Answered, Unanswered>")]
pub struct Ask {
    pub candidates: Vec<String>,
    pub prompt: Arc<Prompt>,
    pub deadline: Deadline,
    pub deltas: mpsc::Sender<Delta>,
}

/// Providers that are not well: `(id, reason)`.
#[derive(Debug, Message)]
#[rtype(result = "Vec<(String, String)>")]
pub struct GetHealth;

/// One provider's turn at a request, for the trace.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Attempt {
    pub provider: String,
    /// `answered`, or the error.
    pub outcome: String,
    pub took_ms: u64,
}

/// The bill, and who was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    pub usage: Usage,
    pub attempts: Vec<Attempt>,
}

/// Why nobody answered, and who was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Unanswered {
    pub error: ProviderError,
    pub attempts: Vec<Attempt>,
}

/// Ranks providers and carries requests to them.
pub struct ProviderManager {
    lineup: Lineup,
    breakers: Rc<RefCell<Breakers>>,
    requests: Crowd<Self>,
}

impl ProviderManager {
    pub fn new(lineup: Lineup) -> Self {
        Self { lineup, breakers: Rc::default(), requests: Crowd::default() }
    }
}

card! {
    ProviderManager takes [Ask, GetHealth, Control];
    instances: "core/manager",
    asks: "`Complete`, through the port of each provider of the assistant, in order.",
    when_full: "`Ask`: the turn waits within its deadline, then goes back into line. `GetHealth`: `/readyz` leaves the providers out.",
    lost: "What is known of the health of the providers, learned again from the next calls, and the calls that pass through, which their turns repeat once.",
    stuck: "No turn ends although the providers answer. Look at `mindbot_port_failures_total` of `Ask`.",
}

impl Actor for ProviderManager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.requests.start(ctx);
    }
}

impl Handler<Control> for ProviderManager {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}

impl Handler<GetHealth> for ProviderManager {
    type Result = actix::MessageResult<GetHealth>;

    fn handle(&mut self, _: GetHealth, _: &mut Context<Self>) -> Self::Result {
        let (lineup, breakers) = (self.lineup.load(), self.breakers.borrow());
        let named = |who| lineup.iter().find(|(_, port)| port.id() == who).map(|(id, _)| id.clone());
        let unwell = breakers.unwell().filter_map(|(who, why)| Some((named(who)?, why.to_owned())));
        actix::MessageResult(unwell.collect())
    }
}

impl Handler<Ask> for ProviderManager {
    type Result = Answer<Self, Result<Answered, Unanswered>>;

    fn handle(&mut self, ask: Ask, _: &mut Context<Self>) -> Self::Result {
        let lineup = self.lineup.load();
        let candidates = ask.candidates.iter().filter_map(|id| Some((id.clone(), lineup.get(id)?.clone()))).collect();
        self.breakers.borrow_mut().keep_only(|who| lineup.values().any(|port| port.id() == who));
        let mut request = Request { candidates, breakers: self.breakers.clone(), ask, attempts: Vec::new(), next: 0 };
        self.requests.answer(async move { request.run().await })
    }
}

/// One request on its way through the candidates.
struct Request {
    candidates: Vec<(String, Port<Complete>)>,
    breakers: Rc<RefCell<Breakers>>,
    ask: Ask,
    attempts: Vec<Attempt>,
    /// The candidate to begin with.
    next: usize,
}

impl Request {
    async fn run(&mut self) -> Result<Answered, Unanswered> {
        let mut error = ProviderError::NoneAvailable(self.ask.candidates.join(", "));
        while self.attempts.len() < ATTEMPTS {
            let (id, who, reserved) = match self.choose().await {
                Ok(chosen) => chosen,
                // What an attempt said tells more than that nobody is left to ask.
                Err(nobody) => {
                    error = if self.attempts.is_empty() { nobody } else { error };
                    break;
                }
            };
            let began = Instant::now();
            let (outcome, shown) = self.attempt(who, reserved).await;
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let note = outcome.as_ref().map_or_else(ToString::to_string, |_| "answered".into());
            self.attempts.push(Attempt { provider: id.clone(), outcome: note, took_ms });
            match outcome {
                Ok(usage) => {
                    self.breakers.borrow_mut().succeeded(who);
                    return Ok(Answered { usage, attempts: std::mem::take(&mut self.attempts) });
                }
                Err(failed) => {
                    self.breakers.borrow_mut().failed(who, &failed, Instant::now());
                    error = failed;
                    if shown || !self.goes_on(who, &error).await {
                        break;
                    }
                }
            }
        }
        Err(Unanswered { error, attempts: std::mem::take(&mut self.attempts) })
    }

    /// The next candidate that is well and has room; waits for room when all are merely full.
    async fn choose(&mut self) -> Result<(String, PortId, Reserved<Complete>), ProviderError> {
        let mut first_full = None;
        let mut wait = None::<Duration>;
        for offset in 0..self.candidates.len() {
            let Some((id, port)) = self.candidates.get((self.next + offset) % self.candidates.len()) else { continue };
            if !self.breakers.borrow_mut().admits(port.id(), Instant::now()) {
                let needed = self.breakers.borrow().wait(port.id(), Instant::now());
                wait = Some(wait.map_or(needed, |least| least.min(needed)));
                continue;
            }
            match port.reserve() {
                Ok(reserved) => {
                    let chosen = (id.clone(), port.id(), reserved);
                    self.next = (self.next + offset) % self.candidates.len();
                    return Ok(chosen);
                }
                Err(_) => drop(first_full.get_or_insert_with(|| (id.clone(), port.clone()))),
            }
        }
        if let Some((id, port)) = first_full {
            let reserved = port.reserve_within(self.ask.deadline.left()).await?;
            return Ok((id, port.id(), reserved));
        }
        match wait {
            Some(after) => Err(ProviderError::RateLimited { after, reason: "every provider is resting".into() }),
            None => Err(ProviderError::NoneAvailable(self.ask.candidates.join(", "))),
        }
    }

    async fn attempt(&self, who: PortId, port: Reserved<Complete>) -> (Result<Usage, ProviderError>, bool) {
        if self.attempts.is_empty() {
            self.breakers.borrow_mut().first_attempt(who);
        }
        let Ask { prompt, deadline, deltas, .. } = &self.ask;
        let call = Complete { prompt: prompt.clone(), deadline: *deadline, deltas: deltas.clone() };
        if self.candidates.len() > 1 {
            // Boxed, so that a request without a second candidate needs no room for it.
            return Box::pin(ask_held_back(port, call, deadline.left())).await;
        }
        let outcome = port.ask(call, deadline.left()).await.map_err(ProviderError::from).and_then(|result| result);
        // The text went straight to the turn, which alone can take it back, and who died cannot say how much it was.
        let shown =
            matches!(outcome, Err(ProviderError::Cut { shown: 1.., .. } | ProviderError::Call(CallError::Died)));
        (outcome, shown)
    }

    /// Whether another attempt makes sense after `error`, having waited for it where needed.
    async fn goes_on(&mut self, who: PortId, error: &ProviderError) -> bool {
        let alone = self.candidates.len() == 1;
        let wait = match error {
            ProviderError::Call(CallError::Died) => Duration::ZERO,
            ProviderError::RateLimited { after, .. } if alone => *after,
            ProviderError::Misconfigured(_) if alone => return false,
            ProviderError::Unavailable(_) | ProviderError::Cut { .. } | ProviderError::Garbage(_) if alone => {
                RETRY_WAIT.mul_f64(jitter())
            }
            ProviderError::RateLimited { .. }
            | ProviderError::Misconfigured(_)
            | ProviderError::Unavailable(_)
            | ProviderError::Cut { .. }
            | ProviderError::Garbage(_)
            | ProviderError::Call(CallError::Down | CallError::Busy) => Duration::ZERO,
            _ => return false,
        };
        if wait > PATIENCE.min(self.ask.deadline.left()) || self.ask.deadline.has_passed() {
            return false;
        }
        if alone && !self.breakers.borrow_mut().may_retry(who) {
            return false;
        }
        if !alone {
            self.next = (self.next + 1) % self.candidates.len();
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = self.ask.deltas.closed() => false,
        }
    }
}

/// Full jitter: a number in 0..1.
fn jitter() -> f64 {
    let mut byte = [0u8; 1];
    let _ = getrandom::fill(&mut byte);
    f64::from(byte[0]) / 256.0
}
