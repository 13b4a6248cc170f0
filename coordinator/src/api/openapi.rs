//! The API's description, made from the handlers and views themselves.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use rushes_shared::view::{EventView, JobView, ProblemView};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{admin, health, jobs, join_tokens, limits, presets, streams, tokens, uploads, workers};

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rushes",
        description = "Submit media jobs to a Rushes farm, follow them, fetch what they make. Errors are problem+json (RFC 9457) with a stable `code`. Send `Authorization: Bearer TOKEN`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        jobs::submit, jobs::list, jobs::show, jobs::cancel, jobs::output, jobs::schema,
        jobs::handles::amend, jobs::handles::pause, jobs::handles::resume, jobs::handles::retry, jobs::handles::explain, jobs::logs::show,
        limits::tenants, limits::tenant, limits::list, limits::named,
        streams::job, streams::farm,
        uploads::create,
        presets::list, presets::show,
        workers::list, workers::remove, workers::drain, workers::resume, workers::status,
        tokens::create, tokens::list, tokens::delete,
        join_tokens::create,
        join_tokens::list,
        join_tokens::delete,
        admin::export,
        health::live, health::ready, health::metrics,
        document
    ),
    components(schemas(JobView, EventView, ProblemView)),
    security(("token" = [])),
    modifiers(&TokenScheme)
)]
pub(super) struct Description;

struct TokenScheme;

impl Modify for TokenScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        document.info.version = rushes_shared::build::info().version.to_owned();
        if let Some(components) = &mut document.components {
            let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
            components.add_security_scheme("token", scheme);
        }
    }
}

/// This description, as OpenAPI 3.1.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "description", security(()), responses((status = 200, content_type = "application/json", body = Object)))]
pub(super) async fn document() -> HttpResponse {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| Description::openapi().to_json().expect("the description consists of plain values"));
    HttpResponse::Ok().content_type("application/json").body(TEXT.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::table::table;

    #[test]
    fn every_route_is_described_and_every_description_is_served() {
        let served: BTreeSet<(String, String)> =
            table().iter().map(|e| (e.method.as_str().to_lowercase(), e.path.to_owned())).collect();
        let json = serde_json::to_value(Description::openapi()).expect("it serializes");
        let mut described = BTreeSet::new();
        for (path, item) in json["paths"].as_object().expect("paths") {
            for method in ["get", "put", "post", "delete", "patch", "head"] {
                if item.get(method).is_some() {
                    described.insert((method.to_owned(), path.clone()));
                }
            }
        }
        assert_eq!(served, described);
        let text = json.to_string();
        for target in text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(json["components"]["schemas"].get(target).is_some(), "{target} is not defined");
        }
    }

    #[test]
    fn only_health_and_descriptions_are_open() {
        let json = serde_json::to_value(Description::openapi()).expect("it serializes");
        for (path, item) in json["paths"].as_object().expect("paths") {
            let open = path.starts_with("/health/")
                || ["/metrics", "/v1/openapi.json", "/v1/schemas/job.json"].contains(&path.as_str());
            for operation in item.as_object().expect("operations").values() {
                let declared =
                    operation["security"].as_array().is_some_and(|s| s == &[serde_json::json!({})]);
                assert_eq!(declared, open, "{path}: {}", operation["security"]);
            }
        }
    }
}
