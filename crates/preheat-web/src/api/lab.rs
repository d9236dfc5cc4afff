//! The lab: its lesson, simulations of scenarios, and sizing.
//!
//! **Invariant:** a body counts only as `application/json`, which no page from elsewhere can send
//! without being allowed to, and nobody is.

use std::path::Path as FilePath;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use preheat_api::policy_file::PolicyFile;
use preheat_api::v1::SimulationRequest;
use preheat_lab::{LESSON, SizeError, SizingRequest, answered};
use preheat_scenario::{RunError, Scenario, ScenarioError, check_policy};

use super::{Api, Refusal, fresh};
use crate::simulations::{Full, LIMITS, RUN_TIME_MAX, SCENARIO_BYTES_MAX};

/// What errors call a scenario that came without a file.
const FILE: &str = "scenario.yaml";

pub(crate) async fn lesson() -> Response {
    fresh(LESSON)
}

pub(crate) async fn sizing(
    State(api): State<Api>,
    body: Result<Json<SizingRequest>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(request) = body?;
    let Some(turn) = api.simulations.turn().await else { return Err(Full.into()) };
    let answer = api.blocking(move |_| {
        let answer = answered(&request.spec()?, &mut |_| ());
        drop(turn);
        Ok(answer?)
    });
    Ok(fresh(answer.await?))
}

pub(crate) async fn simulate(
    State(api): State<Api>,
    body: Result<Json<SimulationRequest>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(SimulationRequest { scenario, policy, knobs, series }) = body?;
    if scenario.len() > SCENARIO_BYTES_MAX {
        let error = format!("the scenario has {} bytes", scenario.len());
        return Err(Refusal::bad(error).with_hint(format!("at most {SCENARIO_BYTES_MAX} are run")));
    }
    let policy = PolicyFile { policy, knobs };
    // Traffic is drawn as it is read.
    let read = api.blocking(move |_| {
        let scenario = Scenario::parse_within(&scenario, FilePath::new(FILE), &LIMITS)?;
        check_policy(&policy, &scenario.config.bounds)?;
        Ok((scenario, policy))
    });
    let (scenario, policy) = read.await?;
    let simulation = api.simulations.submit(RUN_TIME_MAX, move |steering| {
        let requests = scenario.trace.requests.len().max(1) as f64;
        let ran = scenario.ran(&policy, series, |before| steering.go_on(before as f64 / requests));
        let ran = ran.map_err(|error| error.to_string())?;
        serde_json::to_value(&ran).map_err(|error| error.to_string())
    })?;
    Ok((StatusCode::ACCEPTED, fresh(simulation)).into_response())
}

pub(crate) async fn simulation(
    State(api): State<Api>,
    path: Result<Path<u64>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path(id) = path?;
    api.simulations.get(id).map(fresh).ok_or_else(|| no_such_simulation(id))
}

pub(crate) async fn cancel(
    State(api): State<Api>,
    path: Result<Path<u64>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path(id) = path?;
    api.simulations.cancel(id).map(fresh).ok_or_else(|| no_such_simulation(id))
}

fn no_such_simulation(id: u64) -> Refusal {
    let refusal = Refusal::new(StatusCode::NOT_FOUND, format!("there is no simulation {id}"));
    refusal.with_hint("only the last few are kept; ask for it again")
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<ScenarioError> for Refusal {
    fn from(error: ScenarioError) -> Self {
        let hint = error.hint();
        let refusal = Self::bad(error.to_string());
        match hint {
            Some(hint) => refusal.with_hint(hint),
            None => refusal,
        }
    }
}

impl From<RunError> for Refusal {
    fn from(error: RunError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<SizeError> for Refusal {
    fn from(error: SizeError) -> Self {
        Self::bad(error.message).with_hint(error.hint)
    }
}

impl From<Full> for Refusal {
    fn from(Full: Full) -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "too many simulations wait");
        refusal.with_hint("ask again in a few seconds, or cancel some")
    }
}
