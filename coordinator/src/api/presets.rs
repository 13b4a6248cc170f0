//! The presets that jobs may name.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use rushes_shared::request::Preset;
use rushes_shared::view::{PresetList, PresetView, ProblemView};

use super::Api;
use super::auth::Caller;
use super::jobs::READERS;
use super::problem::Problem;

/// The presets that this farm knows, by name.
#[utoipa::path(get, path = "/v1/presets", tag = "presets",
    responses((status = 200, body = PresetList), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn list(api: web::Data<Arc<Api>>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.needs(READERS)?;
    let items = api.parts.presets.iter().map(view).collect();
    Ok(HttpResponse::Ok().json(PresetList { items }))
}

/// One preset, with the text of its file.
#[utoipa::path(get, path = "/v1/presets/{name}", tag = "presets", params(("name" = String, Path, description = "The preset")),
    responses((status = 200, body = PresetView), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn show(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    caller.needs(READERS)?;
    let preset = api
        .parts
        .presets
        .find("", &name)
        .map_err(|bad| Problem::new(StatusCode::NOT_FOUND, "no_such_preset", bad.to_string()))?;
    Ok(HttpResponse::Ok().json(view(preset)))
}

fn view(preset: &Preset) -> PresetView {
    PresetView {
        name: preset.name.clone(),
        description: preset.description.clone(),
        text: preset.text.clone(),
    }
}
