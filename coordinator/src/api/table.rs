//! Every route of the API, once. What is served and what OpenAPI describes are held against this table.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use actix_web::dev::ServiceRequest;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, ResponseError, Route, web};

use super::problem::Problem;
use super::{
    Api, admin, health, jobs, join_tokens, limits, openapi, presets, streams, tokens, uploads, workers,
};

pub(super) struct Entry {
    pub(super) method: Method,
    pub(super) path: &'static str,
    route: fn(Method) -> Route,
}

macro_rules! table {
    ($($method:ident $path:literal $handler:path;)*) => {
        vec![$(Entry {
            method: Method::$method,
            path: $path,
            route: |method| web::method(method).to($handler),
        }),*]
    };
}

pub(super) fn table() -> Vec<Entry> {
    table! {
        POST   "/v1/jobs" jobs::submit;
        GET    "/v1/jobs" jobs::list;
        GET    "/v1/jobs/{id}" jobs::show;
        PATCH  "/v1/jobs/{id}" jobs::handles::amend;
        POST   "/v1/jobs/{id}/cancel" jobs::cancel;
        POST   "/v1/jobs/{id}/pause" jobs::handles::pause;
        POST   "/v1/jobs/{id}/resume" jobs::handles::resume;
        POST   "/v1/jobs/{id}/retry" jobs::handles::retry;
        GET    "/v1/jobs/{id}/explain" jobs::handles::explain;
        GET    "/v1/jobs/{id}/tasks/{task}/explain" jobs::handles::explain_task;
        GET    "/v1/jobs/{id}/logs" jobs::logs::show;
        GET    "/v1/jobs/{id}/events" streams::job;
        GET    "/v1/jobs/{id}/outputs/{name}" jobs::output;
        GET    "/v1/events" streams::farm;
        POST   "/v1/uploads" uploads::create;
        GET    "/v1/presets" presets::list;
        GET    "/v1/presets/{name}" presets::show;
        GET    "/v1/workers" workers::list;
        DELETE "/v1/workers/{id}" workers::remove;
        POST   "/v1/workers/{id}/drain" workers::drain;
        POST   "/v1/workers/{id}/resume" workers::resume;
        GET    "/v1/status" workers::status;
        GET    "/v1/tenants" limits::tenants;
        PUT    "/v1/tenants/{tenant}/limits" limits::tenant;
        GET    "/v1/limits" limits::list;
        PUT    "/v1/limits/{name}" limits::named;
        POST   "/v1/tokens" tokens::create;
        GET    "/v1/tokens" tokens::list;
        DELETE "/v1/tokens/{id}" tokens::delete;
        POST   "/v1/join-tokens" join_tokens::create;
        GET    "/v1/join-tokens" join_tokens::list;
        DELETE "/v1/join-tokens/{id}" join_tokens::delete;
        GET    "/v1/admin/export" admin::export;
        GET    "/v1/openapi.json" openapi::document;
        GET    "/v1/schemas/job.json" jobs::schema;
        GET    "/health/live" health::live;
        GET    "/health/ready" health::ready;
        GET    "/metrics" health::metrics;
    }
}

fn is_pattern(path: &str) -> bool {
    path.contains('{')
}

/// The path of a request's route as it stands in the table, or "none".
pub(super) fn route_of(request: &ServiceRequest) -> Cow<'static, str> {
    static PLAIN: LazyLock<BTreeSet<&'static str>> =
        LazyLock::new(|| table().iter().map(|entry| entry.path).filter(|path| !is_pattern(path)).collect());
    match PLAIN.get(request.path()) {
        Some(path) => Cow::Borrowed(*path),
        // Every pattern there is, until one matches.
        None => request.match_pattern().map_or(Cow::Borrowed("none"), Cow::Owned),
    }
}

/// Puts the API's routes, data and limits on an actix-web application. The guard around them comes with [`super::serve`].
pub fn configure(config: &mut web::ServiceConfig, api: &Arc<Api>) {
    config
        .app_data(web::Data::new(Arc::clone(api)))
        .app_data(web::PayloadConfig::new(api.parts.settings.max_body_bytes));
    let mut paths: BTreeMap<(bool, &'static str), Vec<Entry>> = BTreeMap::new();
    for entry in table() {
        // They are tried one after the other: first those that are compared and not searched for a pattern.
        paths.entry((is_pattern(entry.path), entry.path)).or_default().push(entry);
    }
    for ((_, path), entries) in paths {
        let mut methods = Vec::new();
        let mut resource = web::resource(path);
        for entry in &entries {
            methods.push(entry.method.as_str());
            resource = resource.route((entry.route)(entry.method.clone()));
            if entry.method == Method::GET {
                // The same answer; the guard leaves its body out.
                methods.push("HEAD");
                resource = resource.route((entry.route)(Method::HEAD));
            }
        }
        let allow = methods.join(", ");
        config.service(resource.default_service(web::to(move || {
            let allow = allow.clone();
            async move { HttpResponse::MethodNotAllowed().insert_header(("allow", allow)).finish() }
        })));
    }
    config.default_service(web::to(async |request: HttpRequest| nothing_at(request.path()).error_response()));
}

/// What is said of a path that is no route's. One with an empty name in it would have been one with a name.
fn nothing_at(path: &str) -> Problem {
    if path.len() > 1 && (path.contains("//") || path.ends_with('/')) {
        return Problem::parameter("path", format!("a name in '{path}' is empty"));
    }
    Problem::of_status(StatusCode::NOT_FOUND, "")
}
