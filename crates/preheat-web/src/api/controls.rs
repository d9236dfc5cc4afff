//! What operators order of a pool: told to everybody who may read, taken from those who show the
//! token for it.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use preheat_api::v1::Controls;
use preheat_runtime::control_board::{ControlBoard, ControlError};

use super::{Api, Refusal, fresh, no_such_pool};
use crate::access;

pub(crate) async fn controls(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path(pool) = path?;
    let (board, status) = (api.board()?, (api.source().status)());
    let orders = board.get(&pool, status.clock.now);
    Ok(fresh(orders.map_err(|error| refused(error, board))?))
}

pub(crate) async fn set_controls(
    State(api): State<Api>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    body: Result<Json<Controls>, JsonRejection>,
) -> Result<Response, Refusal> {
    api.board()?;
    if !api.control_token.as_ref().is_some_and(|token| access::shows(token, &headers)) {
        let refusal = Refusal::new(StatusCode::FORBIDDEN, "this needs the token for controls");
        let hint = "send it as `Authorization: Bearer TOKEN`; it is in `admin.controlTokenFile`";
        return Err(refusal.with_hint(hint));
    }
    let (Path(pool), Json(orders)) = (path?, body?);
    let set = api.blocking(move |api| {
        let (board, now) = (api.board()?, (api.source().status)().clock.now);
        board.set(&pool, &orders, now).map_err(|error| refused(error, board))
    });
    Ok(fresh(set.await?))
}

impl Api {
    fn board(&self) -> Result<&ControlBoard, Refusal> {
        self.source().controls.as_deref().ok_or_else(|| {
            let refusal = Refusal::new(StatusCode::NOT_FOUND, "no orders are taken here");
            refusal.with_hint("`admin.controlTokenFile` of `preheat up` turns them on")
        })
    }
}

fn refused(error: ControlError, board: &ControlBoard) -> Refusal {
    match &error {
        ControlError::Pool(pool) => no_such_pool(pool, &board.pools()),
        ControlError::Order { .. } => Refusal::bad(error.to_string()),
        ControlError::File { .. } => {
            let refusal = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
            refusal.with_hint("what was ordered before stands; see to the state directory")
        }
    }
}
