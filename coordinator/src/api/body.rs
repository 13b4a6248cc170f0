//! Bodies of requests.

use actix_web::http::StatusCode;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A JSON body as its type; 422 with this code where it is none.
pub(super) fn json<T: DeserializeOwned>(body: &[u8], code: &str) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|e| invalid(code, format!("the body: {e}")))
}

/// 422: understood, and refused for what it says.
pub(super) fn invalid(code: &str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}
