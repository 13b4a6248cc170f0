//! A whole decode of an output's pictures that runs while the output is made.
//!
//! ```text
//! encoder's packets --+--> mp4::Writer --> file --> demuxer --> digest  (the check, when the file is finished)
//!                     +--> decoder --> frames counted, digest           (here, beside the encode)
//! ```
//! Decoding is the check's costly part, and an encoder leaves gaps on the processor that it fits into. What is proven is
//! the same as by a decode of the finished file: a decoder's result follows from its packets alone, and the check
//! demands that the packets in the file, read back from the disk, have the digest of those that were decoded.

use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use rushes_shared::failure::{Failure, FailureCode};

use crate::encode::output::Output;
use crate::note::{Branch, Notes};
use crate::reader::{self, Feed};
use crate::running::Site;

/// Packets that may wait for the decoder; the encoder waits then.
const WAITING_PACKETS: u64 = 64;

/// What packets were decoded, and what came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Witnessed {
    /// The packets.
    pub(crate) packets: Packets,
    /// Frames that the decoder gave.
    pub(crate) frames: u64,
    /// Width and height of the first one, in pixels.
    pub(crate) size: (i32, i32),
}

/// A row of packets, told apart from any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packets {
    /// How many.
    pub(crate) count: u64,
    digest: blake3::Hash,
}

/// Computes [`Packets`].
#[derive(Debug, Default)]
pub(crate) struct PacketDigest {
    hasher: blake3::Hasher,
    count: u64,
}

impl PacketDigest {
    /// Takes a packet; before the first one also the parameter sets, which its caps carry.
    pub(crate) fn take(&mut self, caps: Option<&gst::CapsRef>, packet: &gst::BufferRef) -> Option<()> {
        if self.count == 0 {
            let config = caps?.structure(0)?.get::<gst::Buffer>("codec_data").ok()?;
            let config = config.map_readable().ok()?;
            self.hasher.update(parameter_sets(&config)?);
        }
        let bytes = packet.map_readable().ok()?;
        self.hasher.update(&u64::try_from(bytes.len()).ok()?.to_le_bytes());
        self.hasher.update(&bytes);
        self.count += 1;
        Some(())
    }

    /// What they were.
    pub(crate) fn packets(&self) -> Packets {
        Packets { count: self.count, digest: self.hasher.finalize() }
    }
}

/// The parameter sets within an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) with their numbers and
/// lengths. What stands around them repeats them, in more or fewer words.
fn parameter_sets(config: &[u8]) -> Option<&[u8]> {
    let mut at = 5;
    for mask in [0x1f, 0xff] {
        let sets = config.get(at)? & mask;
        at += 1;
        for _ in 0..sets {
            let length = config.get(at..at + 2)?;
            at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        }
    }
    config.get(5..at)
}

/// Decodes packets beside the encode. Its pipeline stands still until the first packet.
#[derive(Debug)]
pub(crate) struct Witness {
    site: Site,
    threads: Option<u32>,
    notes: Notes,
    output: Arc<Output>,
    seen: Arc<Mutex<Frames>>,
    digest: PacketDigest,
    source: Option<app::AppSrc>,
}

/// What the decoder gave.
#[derive(Debug, Clone, Copy, Default)]
struct Frames {
    count: u64,
    size: (i32, i32),
}

impl Witness {
    /// A witness that decodes in the pipeline of `site`, which is running and empty.
    pub(crate) fn new(site: Site, threads: Option<u32>, notes: &Notes, output: &Arc<Output>) -> Self {
        let (notes, output) = (notes.clone(), Arc::clone(output));
        let (seen, digest) = (Arc::default(), PacketDigest::default());
        Self { site, threads, notes, output, seen, digest, source: None }
    }

    /// Takes the next packet.
    pub(crate) fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let (Some(buffer), Some(caps)) = (sample.buffer_owned(), sample.caps()) else {
            return Err(unreadable("a packet without data or format"));
        };
        self.digest.take(Some(caps), &buffer).ok_or_else(|| unreadable("a packet that cannot be read"))?;
        let source = match &self.source {
            Some(source) => source,
            None => self.source.insert(self.build(&caps.to_owned())?),
        };
        source.push_buffer(buffer).map(drop).map_err(|_| unreadable("packets that are not decoded"))
    }

    /// No more will come. The output's video ends when the last frame is decoded.
    pub(crate) fn end(&self) {
        match &self.source {
            Some(source) => drop(source.end_of_stream()),
            None => self.output.video_ended(),
        }
    }

    /// What was seen, once the output's video has ended.
    pub(crate) fn witnessed(&self) -> Witnessed {
        let frames = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Witnessed { packets: self.digest.packets(), frames: frames.count, size: frames.size }
    }

    fn build(&self, caps: &gst::Caps) -> Result<app::AppSrc, Failure> {
        let source = app::AppSrc::builder()
            .caps(caps)
            .format(gst::Format::Time)
            .block(true)
            .max_buffers(WAITING_PACKETS)
            .max_bytes(0)
            .build();
        let counter = Counter { seen: Arc::clone(&self.seen), output: Arc::clone(&self.output) };
        let mut chain: Vec<gst::Element> = vec![source.clone().upcast()];
        chain.extend(reader::decoder(caps, Branch::Video, self.threads)?);
        chain.push(reader::appsink(Branch::Video, Box::new(counter), &self.notes).upcast());
        self.site.add(&chain).map_err(|_| unreadable("packets that no decoder takes"))?;
        Ok(source)
    }
}

struct Counter {
    seen: Arc<Mutex<Frames>>,
    output: Arc<Output>,
}

impl Feed for Counter {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.count == 0 {
            seen.size = reader::picture_size(sample);
        }
        seen.count += 1;
        Ok(())
    }

    fn end(&mut self) {
        self.output.video_ended();
    }
}

fn unreadable(what: &str) -> Failure {
    Failure::new(FailureCode::PipelineFailed, format!("the video encoder gave {what}"), "try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &[u8] = &[1, 100, 0, 31, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 1, 0x68, 0xfd, 0xf8, 0xf8, 0];

    #[test]
    fn parameter_sets_are_found_and_a_record_that_is_cut_has_none() {
        assert_eq!(parameter_sets(CONFIG), Some(&CONFIG[5..14]));
        for end in 0..14 {
            assert_eq!(parameter_sets(&CONFIG[..end]), None, "{end} bytes");
        }
    }

    #[test]
    fn packets_differ_where_a_byte_a_border_or_a_parameter_set_does() {
        gst::init().unwrap();
        let digest = |config: &[u8], packets: &[&'static [u8]]| {
            let config = gst::Buffer::from_slice(config.to_vec());
            let caps = gst::Caps::builder("video/x-h264").field("codec_data", config).build();
            let mut digest = PacketDigest::default();
            for packet in packets {
                digest.take(Some(&caps), &gst::Buffer::from_slice(*packet)).unwrap();
            }
            digest.packets()
        };
        let one = digest(CONFIG, &[b"ab", b"c"]);
        assert_eq!(
            one,
            digest(&CONFIG[..14], &[b"ab", b"c"]),
            "what repeats the parameter sets does not count"
        );
        assert_ne!(one, digest(CONFIG, &[b"a", b"bc"]));
        assert_ne!(one, digest(CONFIG, &[b"ab", b"d"]));
        let mut other = CONFIG.to_vec();
        other[9] = 2;
        assert_ne!(one, digest(&other, &[b"ab", b"c"]));
    }
}
