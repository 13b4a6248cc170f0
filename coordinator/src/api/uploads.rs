//! Uploads: the API permits, the depot receives.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use rushes_shared::artifact::{ContentHash, Location};
use rushes_shared::principal::Role;
use rushes_shared::ticket::Grant;
use rushes_shared::view::{ProblemView, UploadRequest, UploadView};

use super::auth::Caller;
use super::problem::Problem;
use super::{Api, body};

/// Permits the upload of one file, named by its content. `HEAD` the URL in the answer to learn how much of it is there
/// already, `PUT` the bytes to it, then use `location` as a job's `input`.
#[utoipa::path(post, path = "/v1/uploads", tag = "uploads", request_body = UploadRequest,
    responses((status = 201, body = UploadView), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn create(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    content: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Submitter])?;
    let request: UploadRequest = body::json(&content, "invalid_upload")?;
    let hash: ContentHash =
        request.hash.parse().map_err(|e| body::invalid("invalid_upload", format!("hash: {e}")))?;
    let limit = api.parts.max_upload_bytes;
    if request.size_bytes > limit {
        let detail = format!(
            "{} bytes are more than an upload may have ({limit}, depot.max_upload_bytes)",
            request.size_bytes
        );
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "upload_too_large", detail));
    }
    let location = Location::Upload(by.tenant.clone(), hash);
    let (upload_url, expires) =
        api.depot_url(Grant::Write, location.clone(), api.parts.settings.upload_ticket_s);
    let view = UploadView { location: location.to_string(), upload_url, expires_at: expires.to_rfc3339() };
    Ok(HttpResponse::Created().json(view))
}
