//! The published JSON Schema of a job.

use serde_json::{Map, Value as Json, json};
use utoipa::{PartialSchema, ToSchema};

use super::JobRequest;

/// JSON Schema (2020-12) of a job document, as `GET /v1/schemas/job.json` and `rushes job schema` give it.
///
/// # Panics
/// Never: the schema is made of types that always serialize.
#[must_use]
pub fn job_schema() -> Json {
    let mut parts = Vec::new();
    JobRequest::schemas(&mut parts);
    let mut defs = Map::new();
    for (name, schema) in parts {
        defs.insert(name, serde_json::to_value(schema).expect("a schema serializes"));
    }
    let mut schema = serde_json::to_value(JobRequest::schema()).expect("a schema serializes");
    let root = schema.as_object_mut().expect("a struct's schema is an object");
    root.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".into(), json!("Rushes job"));
    root.insert("$defs".into(), Json::Object(defs));
    localize(&mut schema);
    schema
}

/// Points references into this document instead of an OpenAPI one.
fn localize(value: &mut Json) {
    match value {
        Json::Object(object) => {
            if let Some(Json::String(target)) = object.get_mut("$ref") {
                *target = target.replace("#/components/schemas/", "#/$defs/");
            }
            object.values_mut().for_each(localize);
        }
        Json::Array(items) => items.iter_mut().for_each(localize),
        _ => {}
    }
}
