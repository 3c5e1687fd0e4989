//! The configuration over REST: the text that runs, a judgement on another one, and changing it.

use super::App;
use super::auth::Caller;
use super::error::{ApiError, Problem};
use crate::config;
use crate::config::diff::Plan;
use crate::reload::{Apply, Check, GetText, Obstacle, Report};
use crate::supervise::CallError;
use actix_web::web::{Json, ReqData};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// Time for a text to be read or judged.
const JUDGE_LIMIT: Duration = Duration::from_secs(5);
/// Time for a text to be applied: components start before old ones leave.
const APPLY_LIMIT: Duration = Duration::from_secs(25);

/// A configuration's text.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigText {
    pub toml: String,
}

/// What a text would change, or has changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Verdict {
    /// Whether the text has no errors.
    pub valid: bool,
    pub errors: Vec<config::Problem>,
    pub plan: Plan,
    /// Why a valid text was not, or would not be, applied; what ran before runs on.
    pub detail: Option<String>,
}

/// The judgement on a text that was to be applied.
#[derive(Debug, Serialize, ToSchema)]
pub struct Applied {
    #[serde(flatten)]
    pub verdict: Verdict,
    pub applied: bool,
}

impl From<Report> for Verdict {
    fn from(report: Report) -> Self {
        let detail = report.problem.as_ref().map(Obstacle::to_string);
        Self { valid: report.errors.is_empty(), errors: report.errors, plan: report.plan, detail }
    }
}

/// Shows the text that runs, secrets as written (`${…}`) or masked.
#[utoipa::path(get, path = "/api/v1/config", tag = "config", responses((status = 200, body = ConfigText)))]
pub async fn show_config(app: App) -> Result<Json<ConfigText>, ApiError> {
    let toml = app.reloader.text.ask(GetText, JUDGE_LIMIT).await?;
    Ok(Json(ConfigText { toml }))
}

/// Judges a text and plans the way to it, without applying it.
#[utoipa::path(
    post, path = "/api/v1/config/validate", tag = "config", request_body = ConfigText,
    responses((status = 200, body = Verdict))
)]
pub async fn validate_config(text: Json<ConfigText>, app: App) -> Result<Json<Verdict>, ApiError> {
    let ConfigText { toml } = text.into_inner();
    Ok(Json(app.reloader.check.ask(Check { toml }, JUDGE_LIMIT).await?.into()))
}

/// Writes a valid text to the file and applies it, whole or not at all. 409 when the file cannot be written.
#[utoipa::path(
    post, path = "/api/v1/config/apply", tag = "config", request_body = ConfigText,
    responses((status = 200, body = Applied))
)]
pub async fn apply_config(
    text: Json<ConfigText>,
    caller: ReqData<Caller>,
    app: App,
) -> Result<Json<Applied>, ApiError> {
    let (ConfigText { toml }, Caller(by)) = (text.into_inner(), caller.into_inner());
    let report = app.reloader.apply.ask(Apply { toml, by }, APPLY_LIMIT).await.map_err(unclear)?;
    if let Some(obstacle @ Obstacle::ReadOnly(_)) = &report.problem {
        return Err(ApiError::new(Problem::Conflict, obstacle.to_string()));
    }
    let applied = report.applied;
    Ok(Json(Applied { verdict: report.into(), applied }))
}

/// A change whose end nobody saw may have happened.
fn unclear(error: CallError) -> ApiError {
    if error.did_not_happen() {
        return error.into();
    }
    ApiError::busy(format!("the change may or may not be applied ({error}); `GET /api/v1/config` shows what runs"))
}
