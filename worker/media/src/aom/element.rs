//! The GStreamer element around libaom's encoder.

use gstreamer::glib;
use gstreamer::subclass::prelude::*;
use gstreamer_video as video;

use super::Settings;

glib::wrapper! {
    /// An AV1 encoder.
    pub struct Aom(ObjectSubclass<imp::Aom>) @extends video::VideoEncoder, gstreamer::Element, gstreamer::Object;
}

impl Aom {
    /// What the next stream is encoded by.
    pub(super) fn set(&self, settings: Settings) {
        self.imp().set(settings);
    }
}

mod imp {
    use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

    use gstreamer as gst;
    use gstreamer::glib;
    use gstreamer_video as video;
    use gstreamer_video::VideoFormat;
    use gstreamer_video::prelude::*;
    use gstreamer_video::subclass::prelude::*;

    use super::super::context::{Chroma, Context, Pictures};
    use super::super::{Keys, Rate, Settings, Usage};

    static CATEGORY: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
        gst::DebugCategory::new("rushesaomenc", gst::DebugColorFlags::empty(), Some("AV1 by libaom"))
    });

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

    /// The element's state.
    #[derive(Debug, Default)]
    pub struct Aom {
        settings: Mutex<Option<Settings>>,
        running: Mutex<Option<Running>>,
    }

    #[derive(Debug)]
    struct Running {
        context: Context,
        info: video::VideoInfo,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Aom {
        const NAME: &'static str = "RushesAomEnc";
        type Type = super::Aom;
        type ParentType = video::VideoEncoder;
    }

    impl ObjectImpl for Aom {}
    impl GstObjectImpl for Aom {}

    impl ElementImpl for Aom {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "AV1 encoder by libaom",
                    "Codec/Encoder/Video",
                    "Encodes AV1 at a constant quality",
                    "Rushes",
                )
            });
            Some(&*METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let raw = video::VideoCapsBuilder::new().format_list(FORMATS).build();
                let av1 = packets();
                let sides = [("sink", gst::PadDirection::Sink, raw), ("src", gst::PadDirection::Src, av1)];
                let made = sides.into_iter().filter_map(|(name, direction, caps)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
                });
                made.collect()
            });
            TEMPLATES.as_ref()
        }
    }

    impl VideoEncoderImpl for Aom {
        fn stop(&self) -> Result<(), gst::ErrorMessage> {
            *self.running() = None;
            Ok(())
        }

        fn propose_allocation(&self, query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
            query.add_allocation_meta::<video::VideoMeta>(None);
            self.parent_propose_allocation(query)
        }

        fn set_format(
            &self,
            state: &video::VideoCodecState<'static, video::video_codec_state::Readable>,
        ) -> Result<(), gst::LoggableError> {
            let drained = self.finish();
            drained.map_err(|_| gst::loggable_error!(CATEGORY, "the stream before cannot be ended"))?;
            let info = state.info().clone();
            let context =
                Context::new(pictures(&info, &self.settings()), &self.settings()).map_err(|said| {
                    _ = self.failed(&said);
                    gst::loggable_error!(CATEGORY, "libaom does not start: {}", said)
                })?;
            *self.running() = Some(Running { context, info });
            let instance = self.obj();
            let output = instance
                .set_output_state(packets(), Some(state))
                .map_err(|_| gst::loggable_error!(CATEGORY, "the form of packets cannot be set"))?;
            instance
                .negotiate(output)
                .map_err(|_| gst::loggable_error!(CATEGORY, "what follows does not take AV1"))?;
            self.parent_set_format(state)
        }

        fn handle_frame(
            &self,
            frame: video::VideoCodecFrame<'_>,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let number = frame.system_frame_number();
            let is_key = frame.flags().contains(video::VideoCodecFrameFlags::FORCE_KEYFRAME);
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
                at_work.context.encode([plane(0)?, plane(1)?, plane(2)?], i64::from(number), is_key)
            });
            taken.map_err(|said| self.failed(&said))?;
            // Its memory is free: libaom has copied the frame.
            drop(frame);
            self.hand_on(running)
        }

        fn flush(&self) -> bool {
            let mut running = self.running();
            let Some(at_work) = running.take() else { return true };
            // libaom takes no frames after its end.
            match Context::new(pictures(&at_work.info, &self.settings()), &self.settings()) {
                Ok(context) => *running = Some(Running { context, ..at_work }),
                Err(said) => _ = self.failed(&said),
            }
            running.is_some()
        }

        fn finish(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
            loop {
                let mut running = self.running();
                let Some(at_work) = running.as_mut() else { return Ok(gst::FlowSuccess::Ok) };
                at_work.context.end().map_err(|said| self.failed(&said))?;
                let packets = at_work.context.packets();
                drop(running);
                if packets.is_empty() {
                    return Ok(gst::FlowSuccess::Ok);
                }
                self.push(packets)?;
            }
        }
    }

    impl Aom {
        pub(super) fn set(&self, settings: Settings) {
            *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
        }

        fn settings(&self) -> Settings {
            let set = *self.settings.lock().unwrap_or_else(PoisonError::into_inner);
            set.unwrap_or(Settings {
                usage: Usage::Good,
                speed: 6,
                threads: None,
                tile_columns: 0,
                keys: Keys::AtMost(240),
                rate: Rate::Quality(32),
                frame_ns: 1_000_000_000 / 30,
                points: UNSPECIFIED,
                is_full_range: false,
                mastering: None,
            })
        }

        fn running(&self) -> MutexGuard<'_, Option<Running>> {
            self.running.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn failed(&self, said: &str) -> gst::FlowError {
            gst::element_imp_error!(self, gst::StreamError::Encode, ["libaom: {said}"]);
            gst::FlowError::Error
        }

        fn hand_on(
            &self,
            mut running: MutexGuard<'_, Option<Running>>,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let packets = running.as_mut().map(|at_work| at_work.context.packets()).unwrap_or_default();
            // What takes the packets may ask the element something.
            drop(running);
            self.push(packets)
        }

        fn push(
            &self,
            packets: Vec<super::super::context::Packet>,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let instance = self.obj();
            for packet in packets {
                let frame = i32::try_from(packet.number).ok().and_then(|number| instance.frame(number));
                let mut frame = frame.ok_or_else(|| self.failed("a packet of a frame that never came"))?;
                if packet.is_key {
                    frame.set_flags(video::VideoCodecFrameFlags::SYNC_POINT);
                }
                frame.set_output_buffer(gst::Buffer::from_mut_slice(packet.bytes));
                instance.finish_frame(frame)?;
            }
            Ok(gst::FlowSuccess::Ok)
        }
    }

    fn packets() -> gst::Caps {
        let av1 = gst::Caps::builder("video/x-av1");
        av1.field("stream-format", "obu-stream").field("alignment", "tu").build()
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
}
