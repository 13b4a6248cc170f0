//! Probe, encode and check seen from outside, read back by other programs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bound;
mod broken_sets;
mod chunk;
mod codecs;
mod compare;
mod cut_off;
mod cuts;
mod endings;
mod formats;
mod generated;
mod hdr;
mod headers;
mod mean;
mod odd_sources;
mod package;
mod rates;
mod real;
mod scenes;
mod sequence;
mod sets;
mod sound;
mod standing;
mod still;
mod studio;
mod tags;
mod times;
