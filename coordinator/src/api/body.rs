//! Bodies of requests.

use actix_web::http::StatusCode;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A JSON body as its type; 422 with this code where it is none.
pub(super) fn json<T: DeserializeOwned>(body: &[u8], code: &str) -> Result<T, Problem> {
    let from = &mut serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut *from).map_err(|e| {
        let path = e.path().to_string();
        let said = plain(e.inner());
        if path == "." {
            return invalid(code, format!("the body: {said}"));
        }
        invalid(code, format!("{path}: {said}")).at(Some(path), None)
    })?;
    from.end().map_err(|e| invalid(code, format!("the body: {e}")))?;
    Ok(read)
}

/// What is wrong with a body, without names of this program's types.
fn plain(error: &serde_json::Error) -> String {
    let said = error.to_string();
    // Where a value is in the text says little beside the name of its field.
    let end = if error.is_data() { said.rfind(" at line ") } else { None };
    said[..end.unwrap_or(said.len())]
        .replace("expected u64", "expected a whole number from 0 to 18446744073709551615")
        .replace("expected u32", "expected a whole number from 0 to 4294967295")
        .replace("expected i64", "expected a whole number")
}

/// 422: understood, and refused for what it says.
pub(super) fn invalid(code: &str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}
