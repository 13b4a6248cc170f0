//! `PUT /v1/files?ticket=…`: an upload, whole or in pieces.
//!
//! The ticket names the content's hash, so that a piece can only ever belong to one upload:
//!
//! - `HEAD` says in `Upload-Offset` how many bytes are there, and in `Upload-Complete` whether that is all.
//! - `PUT` without `Content-Range` sends the whole file.
//! - `PUT` with `Content-Range: bytes FIRST-LAST/TOTAL` sends a piece; FIRST must be the present offset. 202 means that
//!   more is wanted, 201 that the file is whole, checked and synced.
//! - `PUT` with `Upload-Offset: FIRST` sends everything from there to the end.

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt as _;
use rushes_net::flow::WriteBehind;
use rushes_shared::artifact::{ContentHash, Location};
use rushes_shared::failure::Failure;
use rushes_shared::id::TenantId;
use rushes_shared::ticket::Grant;
use rushes_shared::units::Bytes;
use tokio::time::timeout;

use super::problem::{Problem, UPLOAD_OFFSET};
use super::{Desk, FileQuery};
use crate::depot::bulk_server::{count, on_disk};
use crate::depot::refusal;
use crate::depot::shelf::Incoming;

/// Says whether an upload is whole, as a structured field's boolean.
const UPLOAD_COMPLETE: &str = "Upload-Complete";
/// How often free space is looked at, in bytes.
const SPACE_CHECK: u64 = 64 << 20;

/// Answers `HEAD` for an upload.
pub(super) async fn progress(
    desk: &Desk,
    tenant: TenantId,
    hash: ContentHash,
) -> Result<HttpResponse, Problem> {
    let (size, whole) = on_disk(&desk.shelf, move |shelf| {
        let location = Location::Upload(tenant.clone(), hash);
        Ok(match shelf.open_read(&location) {
            Ok((_, size)) => (size, true),
            Err(_) => (shelf.uploaded(&tenant, hash), false),
        })
    })
    .await
    .map_err(|failure| Problem::failure(&failure))?;
    Ok(answer(StatusCode::OK, size, whole))
}

/// Answers `PUT`.
pub(super) async fn put(
    request: HttpRequest,
    desk: web::Data<Desk>,
    query: web::Query<FileQuery>,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let Grant::Write(Location::Upload(tenant, hash)) = desk.granted(&query)? else {
        return Err(Problem::other_grant("an upload"));
    };
    let piece = Piece::of(&request)?;
    let Ok(_permit) = Arc::clone(&desk.transfers).try_acquire_owned() else { return Err(Problem::busy()) };
    let result = take(&desk, &tenant, hash, piece, body).await;
    match &result {
        Ok(_) => count("upload", None),
        Err(problem) => tracing::info!(%problem, %tenant, %hash, "an upload was refused or broke off"),
    }
    result
}

/// What part of the file a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    /// Its first byte; `None`: the file from its start, whatever is there already.
    first: Option<u64>,
    /// Bytes of the piece, if the client says so.
    length: Option<u64>,
    /// Bytes of the whole file, if the client says so.
    total: Option<u64>,
}

impl Piece {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let text = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).map(str::trim);
        let bad = |what: &str| Problem::new(StatusCode::BAD_REQUEST, "bad_header", what);
        let length = text("Content-Length").and_then(|t| t.parse().ok());
        if let Some(range) = text("Content-Range") {
            let (first, last, total) = content_range(range).ok_or_else(|| {
                bad("Content-Range should be: bytes FIRST-LAST/TOTAL, or bytes FIRST-LAST/*")
            })?;
            let span = last - first + 1;
            if length.is_some_and(|length: u64| length != span) {
                return Err(bad("Content-Range and Content-Length do not fit together"));
            }
            return Ok(Self { first: Some(first), length: Some(span), total });
        }
        let first = match text(UPLOAD_OFFSET) {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| bad("Upload-Offset should be a number of bytes"))?),
        };
        let total = length.and_then(|l: u64| l.checked_add(first.unwrap_or(0)));
        Ok(Self { first, length, total })
    }
}

/// FIRST, LAST and TOTAL of `bytes FIRST-LAST/TOTAL`.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let total: Option<u64> = if total == "*" { None } else { Some(total.parse().ok()?) };
    (first <= last && last < u64::MAX && total.is_none_or(|total| last < total))
        .then_some((first, last, total))
}

async fn take(
    desk: &Desk,
    tenant: &TenantId,
    hash: ContentHash,
    piece: Piece,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let location = Location::Upload(tenant.clone(), hash);
    let failed = |failure: Failure| Desk::failed("upload", &failure);
    let limit = desk.shelf.max_upload;
    let end = piece.length.map(|length| length.saturating_add(piece.first.unwrap_or(0)));
    if piece.total.max(end).is_some_and(|size| size > limit.0) {
        return Err(too_large(limit));
    }
    let (owner, wanted, place) = (tenant.clone(), piece.length.unwrap_or(0), location.clone());
    let begun = on_disk(&desk.shelf, move |shelf| {
        if shelf.has_upload(&owner, hash) {
            return Ok(Begun::Whole);
        }
        if let Err(full) = shelf.check_space(&place, Bytes(wanted)) {
            return Ok(Begun::NoSpace(full));
        }
        let Some(mut upload) = shelf.begin_upload(&owner, hash)? else { return Ok(Begun::Busy) };
        // Somebody else may have completed it just before the right to write it was free.
        if shelf.has_upload(&owner, hash) {
            upload.place.remove().map_err(|e| refusal::unwritable(&place, &e))?;
            return Ok(Begun::Whole);
        }
        if piece.first.is_none() {
            upload.file.set_len(0).map_err(|e| refusal::unwritable(&place, &e))?;
            upload.kept = 0;
        }
        Ok(Begun::Open(upload))
    });
    let upload = match begun.await.map_err(failed)? {
        Begun::Open(upload) => upload,
        Begun::Busy => return Err(Problem::uploading()),
        Begun::NoSpace(full) => {
            count("upload", Some(&full));
            return Err(Problem::no_space(&full));
        }
        Begun::Whole => {
            let (_, size) =
                on_disk(&desk.shelf, move |shelf| shelf.open_read(&location)).await.map_err(failed)?;
            return Ok(answer(StatusCode::OK, size, true));
        }
    };
    if piece.first.is_some_and(|first| first != upload.kept) {
        let detail = format!("the upload goes on at byte {}; HEAD tells the offset", upload.kept);
        return Err(Problem::new(StatusCode::CONFLICT, "wrong_offset", detail).at_offset(upload.kept));
    }
    // Held by the writer until its last byte, and here until the file has its name: the writer may outlive this request.
    let hold = Arc::new(upload.hold);
    let mut sink = WriteBehind::after(upload.file, upload.kept, Arc::clone(&hold));
    let came = pour(desk, body, &mut sink, &location, piece).await;
    // Also after an error: what came is kept, and the client may go on behind it.
    let written = sink.finish().await.map_err(|e| failed(refusal::unwritable(&location, &e)))?;
    came?;
    if piece.total.map_or(piece.length.is_some() && piece.first.is_some(), |total| written.size.0 < total) {
        return Ok(answer(StatusCode::ACCEPTED, written.size.0, false));
    }
    let size = written.size.0;
    let mut incoming = Incoming::at(upload.place);
    let committed = on_disk(&desk.shelf, move |shelf| {
        let committed = shelf.commit(&location, hash, &written, &mut incoming);
        // What was refused is removed while nobody else can have begun it anew.
        drop(incoming);
        drop(hold);
        committed
    });
    committed.await.map_err(|failure| {
        count("upload", Some(&failure));
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong_content", failure.to_string())
    })?;
    Ok(answer(StatusCode::CREATED, size, true))
}

enum Begun {
    Open(crate::depot::shelf::Upload),
    Busy,
    Whole,
    NoSpace(Failure),
}

/// Takes the body in, as far as it comes.
async fn pour(
    desk: &Desk,
    mut body: web::Payload,
    sink: &mut WriteBehind,
    location: &Location,
    piece: Piece,
) -> Result<(), Problem> {
    let start = sink.taken();
    let bytes = metrics::counter!("rushes_depot_bytes_total", "direction" => "in", "via" => "http");
    let mut next_check = start.saturating_add(SPACE_CHECK);
    loop {
        let chunk = match timeout(desk.idle, body.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(e))) => {
                let detail = format!("the upload broke off: {e}");
                return Err(
                    Problem::new(StatusCode::BAD_REQUEST, "broken_off", detail).at_offset(sink.taken())
                );
            }
            Ok(None) => break,
            Err(_) => {
                let failure = refusal::stalled(location, desk.idle.as_secs());
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "stalled", failure.message));
            }
        };
        if sink.taken().saturating_add(chunk.len() as u64) > desk.shelf.max_upload.0 {
            return Err(too_large(desk.shelf.max_upload));
        }
        bytes.increment(chunk.len() as u64);
        if sink.take(chunk).await.is_err() {
            // The writer says why.
            return Ok(());
        }
        if sink.taken() >= next_check {
            next_check += SPACE_CHECK;
            desk.shelf.check_space(location, Bytes(0)).map_err(|full| Problem::no_space(&full))?;
        }
    }
    let came = sink.taken() - start;
    match piece.length {
        Some(length) if came != length => {
            let detail = format!("{came} bytes came, {length} were announced");
            Err(Problem::new(StatusCode::BAD_REQUEST, "broken_off", detail).at_offset(sink.taken()))
        }
        _ => Ok(()),
    }
}

fn too_large(limit: Bytes) -> Problem {
    let detail = format!("the file is larger than the {limit} of depot.max_upload_bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "upload_too_large", detail)
}

fn answer(status: StatusCode, offset: u64, whole: bool) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((UPLOAD_OFFSET, offset.to_string()))
        .insert_header((UPLOAD_COMPLETE, if whole { "?1" } else { "?0" }))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_exactly() {
        assert_eq!(content_range("bytes 0-9/10"), Some((0, 9, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, 9, None)));
        for bad in ["bytes 9-5/10", "bytes 0-10/10", "0-9/10", "bytes */10", "bytes 0-/10", "bytes 0-9"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
