//! GStreamer elements around the libraries' encoders: one that works for all, and what each is called.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_video as video;
use gstreamer_video::VideoFormat;
use gstreamer_video::prelude::*;

use super::{AV1, Chroma, Given, Keys, Library, Packet, Pass, Pictures, Rate, Settings, Usage, VP9};

/// What the encoders take.
const FORMATS: [VideoFormat; 6] = [
    VideoFormat::I420,
    VideoFormat::Y42b,
    VideoFormat::Y444,
    VideoFormat::I42010le,
    VideoFormat::I42210le,
    VideoFormat::Y44410le,
];
/// Of a film that says nothing of its colours.
const UNSPECIFIED: [u16; 3] = [2; 3];

/// Makes the elements known.
pub(super) fn register() -> Result<(), glib::BoolError> {
    gst::Element::register(None, AV1, gst::Rank::NONE, av1::Encoder::static_type())?;
    gst::Element::register(None, VP9, gst::Rank::NONE, vp9::Encoder::static_type())
}

/// Says what an element's next stream is encoded by.
pub(super) fn set(element: &gst::Element, settings: Settings) {
    if let Some(av1) = element.downcast_ref::<av1::Encoder>() {
        av1.set(settings);
    } else if let Some(vp9) = element.downcast_ref::<vp9::Encoder>() {
        vp9.set(settings);
    }
}

/// An element's state.
#[derive(Debug)]
struct State<L> {
    settings: Mutex<Option<Settings>>,
    running: Mutex<Option<Running<L>>>,
    /// Streams so far.
    parts: AtomicU32,
}

impl<L> Default for State<L> {
    fn default() -> Self {
        Self { settings: Mutex::default(), running: Mutex::default(), parts: AtomicU32::new(0) }
    }
}

#[derive(Debug)]
struct Running<L> {
    library: L,
    info: video::VideoInfo,
    settings: Settings,
    /// Frames so far, those before it began anew, and the level of the last.
    frames: u64,
    before: u64,
    level: Option<u32>,
    /// Of a first pass: where what it learns is left, as it comes.
    first: Option<BufWriter<File>>,
}

impl<L: Library> Running<L> {
    fn new(info: video::VideoInfo, settings: &Settings) -> Result<Self, String> {
        let library = L::new(pictures(&info, settings), settings)?;
        let first = match &settings.pass {
            Pass::First(path) => Some(BufWriter::new(File::create(path).map_err(|error| unwritten(&error))?)),
            Pass::Single | Pass::Second(_) => None,
        };
        Ok(Self { library, info, settings: settings.clone(), frames: 0, before: 0, level: None, first })
    }

    /// The packets that are ready; what a first pass says is written. Whether anything came.
    fn packets(&mut self) -> Result<(Vec<Packet>, bool), String> {
        let (mut packets, given) = (Vec::new(), self.library.given());
        let came = !given.is_empty();
        for given in given {
            match given {
                Given::Packet(packet) => packets.push(packet),
                Given::Statistics(bytes) => {
                    if let Some(known) = &mut self.first {
                        known.write_all(&bytes).map_err(|error| unwritten(&error))?;
                    }
                }
            }
        }
        Ok((packets, came))
    }
}

fn unwritten(error: &io::Error) -> String {
    format!("what the first pass learns cannot be written: {error}")
}

impl<L: Library> State<L> {
    fn set(&self, settings: Settings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
    }

    fn settings(&self) -> Settings {
        let set = self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        set.unwrap_or(Settings {
            usage: Usage::Good,
            speed: 6,
            threads: None,
            hundredths: 0,
            is_part: false,
            has_hidden_frames: true,
            tile_columns: 0,
            keys: Keys::AtMost(240),
            rate: Rate::Quality(32),
            pass: Pass::Single,
            frame_ns: 1_000_000_000 / 30,
            points: UNSPECIFIED,
            is_full_range: false,
            mastering: None,
        })
    }

    fn running(&self) -> MutexGuard<'_, Option<Running<L>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        *self.running() = None;
    }

    fn begin(
        &self,
        element: &video::VideoEncoder,
        stream: &video::VideoCodecState<'static, video::video_codec_state::Readable>,
    ) -> Result<(), gst::LoggableError> {
        let said = |text: String| gst::loggable_error!(gst::CAT_RUST, "{text}");
        self.finish(element).map_err(|_| said("the stream before cannot be ended".to_owned()))?;
        let info = stream.info().clone();
        // A film whose form changes has parts, of which each is planned by itself.
        let part = self.parts.fetch_add(1, Ordering::Relaxed);
        let settings = self.settings().of_part(part);
        let caps = L::packets(Some(pictures(&info, &settings)));
        let running = Running::new(info, &settings).map_err(|why| {
            _ = failed::<L>(element, &why);
            said(format!("{} does not start: {why}", L::NAME))
        })?;
        *self.running() = Some(running);
        let output = element.set_output_state(caps, Some(stream));
        let output = output.map_err(|_| said("the form of packets cannot be set".to_owned()))?;
        let agreed = element.negotiate(output);
        agreed.map_err(|_| said("what follows does not take these packets".to_owned()))
    }

    fn handle(
        &self,
        element: &video::VideoEncoder,
        mut frame: video::VideoCodecFrame<'_>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let number = frame.system_frame_number();
        let is_asked = frame.flags().contains(video::VideoCodecFrameFlags::FORCE_KEYFRAME);
        let at = self.running().as_ref().map(|at_work| (at_work.settings.keys, at_work.frames));
        if let Some((Keys::Anew(every), frames)) = at
            && is_asked
            && (every == 0 || !frames.is_multiple_of(every.into()))
        {
            self.begin_anew(element)?;
        }
        let is_key = is_asked && at.is_some_and(|(keys, _)| keys == Keys::Asked);
        let mut running = self.running();
        let at_work = running.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
        let taken = frame.input_buffer().ok_or("a frame without data".to_owned()).and_then(|buffer| {
            let mapped = video::VideoFrameRef::from_buffer_ref_readable(buffer, &at_work.info)
                .map_err(|_| "a frame cannot be read".to_owned())?;
            let plane = |plane: u32| {
                let bytes = mapped.plane_data(plane).map_err(|_| "a frame lacks a plane".to_owned());
                let stride = mapped.plane_stride().get(plane as usize).copied().unwrap_or_default();
                bytes.map(|bytes| (bytes, usize::try_from(stride).unwrap_or_default()))
            };
            let level = at_work.settings.level_at(at_work.before + at_work.frames);
            at_work.frames += 1;
            if let Some(level) = level.filter(|level| at_work.level.replace(*level) != Some(*level)) {
                at_work.library.set_level(level)?;
            }
            at_work.library.encode([plane(0)?, plane(1)?, plane(2)?], i64::from(number), is_key)
        });
        taken.map_err(|said| failed::<L>(element, &said))?;
        let (packets, _) = at_work.packets().map_err(|said| failed::<L>(element, &said))?;
        let is_first = at_work.first.is_some();
        // What takes the packets may ask the element something.
        drop(running);
        if is_first {
            // Nothing comes of it but what is known.
            frame.set_output_buffer(gst::Buffer::new());
            return element.finish_frame(frame);
        }
        drop(frame);
        push::<L>(element, packets)
    }

    /// The libraries take no frames after their end: what follows a flush is encoded anew.
    fn flush(&self, element: &video::VideoEncoder) -> bool {
        let mut running = self.running();
        let Some(at_work) = running.take() else { return true };
        let part = self.parts.load(Ordering::Relaxed).saturating_sub(1);
        match Running::new(at_work.info, &self.settings().of_part(part)) {
            Ok(anew) => *running = Some(anew),
            Err(said) => _ = failed::<L>(element, &said),
        }
        running.is_some()
    }

    /// Ends what is encoded, and begins with the next frame; not where nothing is.
    fn begin_anew(&self, element: &video::VideoEncoder) -> Result<(), gst::FlowError> {
        if self.running().as_ref().is_none_or(|at_work| at_work.frames == 0) {
            return Ok(());
        }
        self.finish(element)?;
        let mut running = self.running();
        let at_work = running.take().ok_or(gst::FlowError::NotNegotiated)?;
        let part = self.parts.fetch_add(1, Ordering::Relaxed);
        let before = at_work.before + at_work.frames;
        let anew = Running::new(at_work.info, &self.settings().of_part(part));
        let anew = anew.map_err(|said| failed::<L>(element, &said))?;
        *running = Some(Running { before, ..anew });
        Ok(())
    }

    fn finish(&self, element: &video::VideoEncoder) -> Result<gst::FlowSuccess, gst::FlowError> {
        // libvpx gives no more at once than a frame takes uncompressed, and may hold a frame that is not shown until the next is there.
        let mut was_empty = false;
        loop {
            let mut running = self.running();
            let Some(at_work) = running.as_mut() else { return Ok(gst::FlowSuccess::Ok) };
            at_work.library.end().map_err(|said| failed::<L>(element, &said))?;
            let (packets, came) = at_work.packets().map_err(|said| failed::<L>(element, &said))?;
            let is_over = std::mem::replace(&mut was_empty, !came) && !came;
            if is_over && let Some(mut known) = at_work.first.take() {
                known.flush().map_err(|error| failed::<L>(element, &unwritten(&error)))?;
            }
            drop(running);
            if is_over {
                return Ok(gst::FlowSuccess::Ok);
            }
            push::<L>(element, packets)?;
        }
    }
}

fn push<L: Library>(
    element: &video::VideoEncoder,
    packets: Vec<Packet>,
) -> Result<gst::FlowSuccess, gst::FlowError> {
    for packet in packets {
        let frame = i32::try_from(packet.number).ok().and_then(|number| element.frame(number));
        let mut frame = frame.ok_or_else(|| failed::<L>(element, "a packet of a frame that never came"))?;
        if packet.is_key {
            frame.set_flags(video::VideoCodecFrameFlags::SYNC_POINT);
        }
        frame.set_output_buffer(gst::Buffer::from_mut_slice(packet.bytes));
        element.finish_frame(frame)?;
    }
    Ok(gst::FlowSuccess::Ok)
}

fn failed<L: Library>(element: &video::VideoEncoder, said: &str) -> gst::FlowError {
    gst::element_error!(element, gst::StreamError::Encode, ["{}: {said}", L::NAME]);
    gst::FlowError::Error
}

fn pictures(info: &video::VideoInfo, settings: &Settings) -> Pictures {
    let rate = |part: i32| u32::try_from(part).unwrap_or_default();
    let (per, second) = (rate(info.fps().numer()), rate(info.fps().denom()));
    Pictures {
        width: info.width(),
        height: info.height(),
        depth: info.comp_depth(0),
        chroma: match info.format() {
            VideoFormat::Y42b | VideoFormat::I42210le => Chroma::C422,
            VideoFormat::Y444 | VideoFormat::Y44410le => Chroma::C444,
            _ => Chroma::C420,
        },
        rate: if per > 0 { (per, second) } else { mean(settings.frame_ns) },
    }
}

/// Frames a second, in thousandths.
fn mean(frame_ns: u64) -> (u32, u32) {
    let thousandths = 1_000_000_000_000 / frame_ns.max(1_000_000);
    (u32::try_from(thousandths).unwrap_or(u32::MAX).max(1), 1000)
}

/// An element of a library's encoder: GStreamer has a type for each.
macro_rules! element {
    ($module:ident, $library:ty, $type:literal, $title:literal) => {
        mod $module {
            use gstreamer::glib;
            use gstreamer::subclass::prelude::*;
            use gstreamer_video as video;

            glib::wrapper! {
                #[doc = $title]
                pub struct Encoder(ObjectSubclass<imp::Encoder>)
                    @extends video::VideoEncoder, gstreamer::Element, gstreamer::Object;
            }

            impl Encoder {
                pub(super) fn set(&self, settings: super::super::Settings) {
                    self.imp().0.set(settings);
                }
            }

            mod imp {
                use std::sync::LazyLock;

                use gstreamer as gst;
                use gstreamer::glib;
                use gstreamer_video as video;
                use gstreamer_video::prelude::*;
                use gstreamer_video::subclass::prelude::*;

                use super::super::super::Library;
                use super::super::{FORMATS, State};

                #[derive(Debug, Default)]
                pub struct Encoder(pub(super) State<$library>);

                #[glib::object_subclass]
                impl ObjectSubclass for Encoder {
                    const NAME: &'static str = $type;
                    type Type = super::Encoder;
                    type ParentType = video::VideoEncoder;
                }

                impl ObjectImpl for Encoder {}
                impl GstObjectImpl for Encoder {}

                impl ElementImpl for Encoder {
                    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
                        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                            let kind = "Codec/Encoder/Video";
                            gst::subclass::ElementMetadata::new($title, kind, $title, "Rushes")
                        });
                        Some(&*METADATA)
                    }

                    fn pad_templates() -> &'static [gst::PadTemplate] {
                        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                            let raw = video::VideoCapsBuilder::new().format_list(FORMATS).build();
                            let packets = <$library>::packets(None);
                            let (sink, source) = (gst::PadDirection::Sink, gst::PadDirection::Src);
                            let sides = [("sink", sink, raw), ("src", source, packets)];
                            let made = sides.into_iter().filter_map(|(name, direction, caps)| {
                                let always = gst::PadPresence::Always;
                                gst::PadTemplate::new(name, direction, always, &caps).ok()
                            });
                            made.collect()
                        });
                        TEMPLATES.as_ref()
                    }
                }

                impl VideoEncoderImpl for Encoder {
                    fn stop(&self) -> Result<(), gst::ErrorMessage> {
                        self.0.stop();
                        Ok(())
                    }

                    fn propose_allocation(
                        &self,
                        query: &mut gst::query::Allocation,
                    ) -> Result<(), gst::LoggableError> {
                        query.add_allocation_meta::<video::VideoMeta>(None);
                        self.parent_propose_allocation(query)
                    }

                    fn set_format(
                        &self,
                        state: &video::VideoCodecState<'static, video::video_codec_state::Readable>,
                    ) -> Result<(), gst::LoggableError> {
                        self.0.begin(self.obj().upcast_ref(), state)?;
                        self.parent_set_format(state)
                    }

                    fn handle_frame(
                        &self,
                        frame: video::VideoCodecFrame<'_>,
                    ) -> Result<gst::FlowSuccess, gst::FlowError> {
                        self.0.handle(self.obj().upcast_ref(), frame)
                    }

                    fn flush(&self) -> bool {
                        self.0.flush(self.obj().upcast_ref())
                    }

                    fn finish(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
                        self.0.finish(self.obj().upcast_ref())
                    }
                }
            }
        }
    };
}

element!(av1, crate::linked::aom::Aom, "RushesAomEnc", "AV1 encoder by libaom");
element!(vp9, crate::linked::vpx::Vpx, "RushesVpxEnc", "VP9 encoder by libvpx");
