//! GStreamer operations of a Rushes task process, as a library.
//!
//! ```text
//! start     init, preload: GStreamer up in a single-threaded process, plugins in memory before a sandbox closes
//! probe     file -> MediaFacts            headers alone where they say all, else parsers; never a whole decode
//! encode    file + facts + settings -> a file of any container
//!             reader --decoded frames--> encode::video --packets-+
//!             reader --decoded sound---> encode::audio --packets-+--> mp4::Writer (index first), or GStreamer muxers
//!                                        H.264 --> witness      decodes what is made while it is made
//! scan      a part of a film -> where its scenes begin, and how hard it is to encode
//! chunk     a part of a film -> the rungs of a ladder, exact to the frame, from one decode
//! join      a rung's chunks + sound -> MP4, nothing encoded again
//! package   rungs + sound -> CMAF segments, HLS and DASH manifests over the same files
//! ladder    the three in a row on one machine
//! check     finished file + source's facts -> CheckReport      reads everything back; decodes what no witness has seen
//!             VMAF and loudness where limits ask for them
//! sound     loudness by EBU R 128; waveforms as data and as pictures
//! still     thumbnails, sprite sheets, moving previews
//! extract   those and waveforms as outputs of a job: one file each, read back and held against its plan
//! compare   VMAF, PSNR and SSIM of a film against its reference
//! sequence  numbered pictures, read as a film by all of these
//! discover  which encoders of this node really work
//! ```
//!
//! Every operation blocks its caller, reports progress through a closure, answers bad input with a
//! [`Failure`](rushes_shared::failure::Failure) and never hangs: where nothing moves for as long as [`set_stall`] said,
//! it gives up. It is meant for a process of its own that serves one job and can be killed; nothing here contains a
//! hostile file.

mod canvas;
mod check;
mod chunk;
mod colour;
mod compare;
mod course;
mod damage;
mod discover;
mod edit_list;
mod encode;
mod extract;
mod fault;
mod join;
mod ladder;
mod language;
mod lent;
mod linked;
pub mod mp4;
mod note;
mod once;
mod pace;
mod package;
mod plane;
mod probe;
mod reader;
mod running;
mod scale;
mod sequence;
mod sound;
mod source;
mod start;
mod still;
mod tone;
mod vmaf;
mod walk;
mod witness;

pub use check::{QualityJob, check, check_quality};
pub use chunk::{ChunkEncoded, ChunkJob, ScanJob, chunk_encoder, encode_chunk, scan, score_chunk};
pub use compare::compare;
pub use discover::{TOO_SLOW, discover_encoders};
pub use encode::{EncodeJob, Encoded, PiecedJob, encode, encode_in_hardware, join_output};
pub use extract::{ExtractJob, ExtractMade, extract};
pub use join::{JoinJob, Joined, SoundEncoded, join, sound};
pub use ladder::{FinishJob, LadderJob, finish_ladder, make_ladder};
pub use note::set_stall;
pub use package::{ManifestsJob, PackageJob, manifests, package};
pub use probe::{PartsFound, probe, probe_by_headers, probe_by_parsers, probe_parts, promise_kept};
pub use sequence::set_frame_rate;
pub use sound::{loudness, waveform, waveform_picture};
pub use start::{init, preload};
pub use still::{Sprite, preview, sprite, sprite_index, thumbnails};
