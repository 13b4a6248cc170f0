//! An element that gives some bytes and then a file's, as one file.

use std::path::Path;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer::subclass::prelude::*;

glib::wrapper! {
    /// Some bytes, then a file's.
    pub struct Source(ObjectSubclass<imp::Source>)
        @extends gstreamer_base::BaseSrc, gst::Element, gst::Object;
}

/// The element; nothing where the file cannot be opened.
pub(super) fn source(path: &Path, before: Vec<u8>) -> Option<gst::Element> {
    let bytes = imp::Bytes::of(path, before).ok()?;
    let source: Source = glib::Object::new();
    source.imp().0.set(bytes).ok()?;
    Some(source.upcast())
}

mod imp {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::sync::{LazyLock, OnceLock};

    use gst::glib;
    use gstreamer as gst;
    use gstreamer_base::subclass::prelude::*;

    #[derive(Debug)]
    pub(crate) struct Bytes {
        before: Vec<u8>,
        file: File,
        length: u64,
    }

    impl Bytes {
        pub(crate) fn of(path: &Path, before: Vec<u8>) -> io::Result<Self> {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            Ok(Self { before, file, length })
        }

        fn length(&self) -> u64 {
            self.length.saturating_add(self.before.len() as u64)
        }

        /// Fills from this place on; gives how many bytes there were.
        fn read(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
            let mut filled = 0;
            while filled < into.len() {
                let place = at.saturating_add(filled as u64);
                let rest = &mut into[filled..];
                let inside = usize::try_from(place).ok().and_then(|place| self.before.get(place..));
                let read = match inside.filter(|bytes| !bytes.is_empty()) {
                    Some(bytes) => {
                        let count = bytes.len().min(rest.len());
                        rest[..count].copy_from_slice(&bytes[..count]);
                        count
                    }
                    None => match self.file.read_at(rest, place - self.before.len() as u64) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        read => read?,
                    },
                };
                if read == 0 {
                    break;
                }
                filled += read;
            }
            Ok(filled)
        }
    }

    #[derive(Debug, Default)]
    pub struct Source(pub(super) OnceLock<Bytes>);

    #[glib::object_subclass]
    impl ObjectSubclass for Source {
        const NAME: &'static str = "RushesPrecededSrc";
        type Type = super::Source;
        type ParentType = gstreamer_base::BaseSrc;
    }

    impl ObjectImpl for Source {}
    impl GstObjectImpl for Source {}

    impl ElementImpl for Source {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                let (title, what) = ("File behind other bytes", "Gives some bytes and then a file's");
                gst::subclass::ElementMetadata::new(title, "Source/File", what, "Rushes")
            });
            Some(&*METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let (side, always) = (gst::PadDirection::Src, gst::PadPresence::Always);
                gst::PadTemplate::new("src", side, always, &gst::Caps::new_any()).into_iter().collect()
            });
            TEMPLATES.as_ref()
        }
    }

    impl BaseSrcImpl for Source {
        fn is_seekable(&self) -> bool {
            true
        }

        fn size(&self) -> Option<u64> {
            self.0.get().map(Bytes::length)
        }

        fn fill(
            &self,
            offset: u64,
            _length: u32,
            buffer: &mut gst::BufferRef,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let bytes = self.0.get().ok_or(gst::FlowError::NotNegotiated)?;
            let read = {
                let mut room = buffer.map_writable().map_err(|_| gst::FlowError::Error)?;
                bytes.read(offset, room.as_mut_slice()).map_err(|error| {
                    gst::element_imp_error!(self, gst::ResourceError::Read, ["{error}"]);
                    gst::FlowError::Error
                })?
            };
            if read == 0 {
                return Err(gst::FlowError::Eos);
            }
            buffer.set_size(read);
            buffer.set_offset(offset);
            buffer.set_offset_end(offset.saturating_add(read as u64));
            Ok(gst::FlowSuccess::Ok)
        }
    }
}
