//! `/healthz` and `/readyz`: whether the process lives, whether it can do its work, and who is unwell.
//!
//! A sick provider or platform makes the gateway `degraded`, never unready: a load balancer would turn one outage
//! into two.

use super::App;
use crate::providers::manager::GetHealth;
use crate::supervise::{Port, State, Vitals};
use actix_web::HttpResponse;
use actix_web::web::Data;
use arc_swap::ArcSwap;
use dashmap::DashMap;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// Time for a real write to show that the store works.
const WRITE_LIMIT: Duration = Duration::from_secs(1);
/// Time for the provider manager to say who is unwell.
const HEALTH_LIMIT: Duration = Duration::from_millis(200);
/// A clock difference that was measured this long ago says nothing any more.
const SKEW_FOR: Duration = Duration::from_secs(600);

/// One finished step of the start.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StageDone {
    pub stage: &'static str,
    pub took_ms: u64,
}

/// What is known about readiness beside the store and the actors. Shared by boot, webhooks and `/readyz`.
#[derive(Default)]
pub struct Health {
    is_ready: AtomicBool,
    is_stopping: AtomicBool,
    stages: Mutex<Vec<StageDone>>,
    current: ArcSwap<Option<&'static str>>,
    skews: DashMap<String, (i64, Instant)>,
    rejected: DashMap<String, AtomicU64>,
}

impl Health {
    /// Runs one stage of the start under its name, which an error carries.
    pub async fn stage<T>(
        &self,
        name: &'static str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        use anyhow::Context as _;
        self.current.store(Arc::new(Some(name)));
        let began = Instant::now();
        let done = work.await.with_context(|| format!("start failed at stage `{name}`"))?;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(stage = name, took_ms, "started");
        if let Ok(mut stages) = self.stages.lock() {
            stages.push(StageDone { stage: name, took_ms });
        }
        Ok(done)
    }

    pub fn ready(&self) {
        self.current.store(Arc::new(None));
        self.is_ready.store(true, Ordering::Release);
    }

    pub fn stopping(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    /// Remembers how far a platform's clock is from ours, in seconds.
    pub fn note_skew(&self, platform: &str, seconds: i64) {
        self.skews.insert(platform.to_owned(), (seconds, Instant::now()));
    }

    /// Counts a webhook call that was forged or stale.
    pub fn count_rejected(&self, platform: &str) {
        self.rejected.entry(platform.to_owned()).or_default().fetch_add(1, Ordering::Relaxed);
    }

    /// Webhook calls refused since the start, by platform.
    pub fn rejected(&self) -> Vec<(String, u64)> {
        self.rejected.iter().map(|entry| (entry.key().clone(), entry.load(Ordering::Relaxed))).collect()
    }

    fn recent_skews(&self) -> Vec<Unwell> {
        self.skews.retain(|_, (_, at)| at.elapsed() < SKEW_FOR);
        let reason = |seconds: i64| format!("a webhook's timestamp was {seconds} s away from this machine's clock");
        let unwell = |platform: &str, seconds| Unwell { who: format!("platform/{platform}"), why: reason(seconds) };
        self.skews.iter().map(|entry| unwell(entry.key(), entry.value().0)).collect()
    }
}

/// Somebody who is unwell, and why.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Unwell {
    pub who: String,
    pub why: String,
}

/// The answer of `/readyz`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    pub ready: bool,
    /// Who is unwell without making the gateway useless.
    pub degraded: Vec<Unwell>,
    /// Why the gateway is not ready.
    pub reasons: Vec<String>,
    /// The stages of the start that are done; absent once the gateway has been ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageDone>,
}

/// Tells that the process lives and serves HTTP.
#[utoipa::path(
    get, path = "/healthz", tag = "health",
    responses((status = 200, description = "alive", body = String, content_type = "text/plain"))
)]
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok")
}

/// Tells whether a message sent now is accepted and answered, and who is unwell.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness))
)]
pub async fn readyz(health: Data<Health>, app: Option<App>) -> HttpResponse {
    let readiness = match app {
        Some(app) if health.is_ready.load(Ordering::Acquire) => judge(&health, &app).await,
        _ => starting(&health),
    };
    if readiness.ready {
        HttpResponse::Ok().json(readiness)
    } else {
        HttpResponse::ServiceUnavailable().json(readiness)
    }
}

fn starting(health: &Health) -> Readiness {
    let stage = health.current.load();
    let reason = stage.map_or_else(|| "starting".to_owned(), |stage| format!("starting: {stage}"));
    let stages = health.stages.lock().map(|stages| stages.clone()).unwrap_or_default();
    Readiness { ready: false, degraded: Vec::new(), reasons: vec![reason], stages }
}

async fn judge(health: &Health, app: &App) -> Readiness {
    let mut reasons = Vec::new();
    if health.is_stopping.load(Ordering::Acquire) {
        reasons.push("stopping".to_owned());
    } else if let Some(reason) = app.intake.why_closed() {
        reasons.push(reason.to_owned());
    }
    match tokio::time::timeout(WRITE_LIMIT, app.store.probe()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => reasons.push(format!("store: {error}")),
        Err(_) => reasons.push("store: a write took longer than 1 s".to_owned()),
    }
    let mut degraded = health.recent_skews();
    for vitals in app.tree.board.snapshot().values() {
        let Some((why, is_down)) = trouble(vitals) else { continue };
        match vitals.id.as_str().split('/').next() {
            Some("core" | "root" | "supervisor") if is_down => reasons.push(format!("{}: {why}", vitals.id)),
            _ => degraded.push(Unwell { who: vitals.id.to_string(), why }),
        }
    }
    degraded.extend(unwell_providers(&app.provider_health).await);
    Readiness { ready: reasons.is_empty(), degraded, reasons, stages: Vec::new() }
}

/// What is wrong with an actor, and whether it is down; one that is merely late may answer yet.
fn trouble(vitals: &Vitals) -> Option<(String, bool)> {
    if vitals.state() != State::Running {
        let why = vitals.last_error().map_or_else(|| vitals.state().word().to_owned(), |error| (*error).clone());
        return Some((why, true));
    }
    let late = vitals.late();
    (late > 0).then(|| (format!("late: {late} pings in a row are unanswered"), false))
}

async fn unwell_providers(manager: &Port<GetHealth>) -> Vec<Unwell> {
    let unwell = manager.ask(GetHealth, HEALTH_LIMIT).await.unwrap_or_default();
    unwell.into_iter().map(|(id, why)| Unwell { who: format!("provider/{id}"), why }).collect()
}
