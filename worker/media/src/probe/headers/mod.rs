//! Streams as their headers describe them, where headers alone say all of it: what [`parse`](super::parse) would find
//! out, in a fraction of the time.
//!
//! ```text
//! mp4      boxes of an MP4 or QuickTime file's index -> tracks, sample entries, tags
//! about    what the index says of the file: what made it, when, its title
//! hevc     HEVC's sequence parameter set
//! picture  codec configuration of H.264, HEVC, AV1 -> caps as GStreamer's parsers make them
//! sound    codec configuration of AAC -> the same
//! first    the first packet's parameter sets, which must be those of the configuration
//! flac     FLAC: the stream's information, its first and its last frame
//! wave     WAV of plain PCM: chunks -> the one stream, its length, what wrote it
//! mpeg     MP3: the head of every frame
//! plain    what these three have in common
//! ```
//! **Invariant:** nothing is guessed. Whatever is not plain (a codec or box that is not listed here, fields, two
//! descriptions that differ, parameter sets inside the media that are others, a file shorter than its boxes) is answered
//! with nothing, and GStreamer reads the file.
//! What is read is bounded: the index by the limits of [`mp4`](super::mp4), and of each track's first packet the heads of
//! its first 64 units and parameter sets of 4 KiB at most; of a WAV file its chunks' heads and 32 KiB; of a FLAC file its
//! blocks but pictures, and 1 MiB at its end at most; an MP3 of at most 64 MiB, whole.
//!
//! H.264's and AV1's headers are read by crates without unsafe code, `h264-reader` and `scuffle-av1`; HEVC's are read here
//! with the former's reader of bits, as the crates for it fall over damaged ones.

mod about;
mod first;
mod flac;
mod hevc;
mod mp4;
mod mpeg;
mod picture;
mod plain;
mod sound;
mod wave;

pub(super) use flac::{ends_in_frame as ends_in_flac_frame, read as read_flac};
pub(super) use mp4::read as read_mp4;
pub(super) use mpeg::{promised as promised_by_mpeg, read as read_mpeg};
pub(super) use picture::uses_full_range;
pub(super) use wave::read as read_wave;
