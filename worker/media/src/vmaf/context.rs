//! libvmaf behind a safe interface: the one file that calls it.
//!
//! What makes it safe: a context's pointers live as long as it does and are given away by nobody; pictures come from the
//! context's own pool, are filled here within the rows that they have, and go back before the call ends, also where it
//! fails; every index is asked for after the end only, and only if it was read.
#![expect(unsafe_code, reason = "libvmaf is a C library; each use says why it is sound")]

use std::ffi::{CString, c_int};
use std::fmt;
use std::ptr;

use rushes_shared::measure::VmafModel;
use vmaf_head_sys as sys;

use crate::plane::Plane;

/// libvmaf said no, with the negated `errno` that it gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    doing: &'static str,
    code: c_int,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "libvmaf could not {} (error {})", self.doing, self.code)
    }
}

/// Pictures of this many bits and pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// 8 or 10.
    pub(crate) bit_depth: u8,
}

/// A row of picture pairs that is being scored.
#[derive(Debug)]
pub(crate) struct Context {
    vmaf: *mut sys::VmafContext,
    model: *mut sys::VmafModel,
    format: Format,
    every: u32,
    /// Pairs that were read.
    read: u32,
}

// SAFETY: libvmaf keeps nothing by thread; its own threads share what is behind its locks. A context is used through
// `&mut` alone, so by one thread at a time.
unsafe impl Send for Context {}

fn asked(doing: &'static str, code: c_int) -> Result<(), Refused> {
    if code == 0 { Ok(()) } else { Err(Refused { doing, code }) }
}

impl Context {
    /// A context for pairs of this format, of which every so many-th is scored, by so many threads: 0 and 1 are the caller's.
    pub(crate) fn new(format: Format, model: VmafModel, every: u32, threads: u32) -> Result<Self, Refused> {
        let mut made = Self { vmaf: ptr::null_mut(), model: ptr::null_mut(), format, every, read: 0 };
        let threads = if threads > 1 { threads } else { 0 };
        let config = sys::VmafConfiguration {
            log_level: sys::VmafLogLevel_VMAF_LOG_LEVEL_NONE,
            n_threads: threads,
            n_subsample: every,
            cpumask: 0,
            gpumask: 0,
        };
        // SAFETY: the pointer is written to, and is null where that fails or is freed by `drop`.
        let begun = unsafe { sys::vmaf_init(&raw mut made.vmaf, config) };
        if begun != 0 {
            made.vmaf = ptr::null_mut();
        }
        asked("start", begun)?;
        let name = CString::new(model.as_str()).expect("names of models have no zero in them");
        let mut config = sys::VmafModelConfig {
            name: ptr::null(),
            flags: u64::from(sys::VmafModelFlags_VMAF_MODEL_FLAGS_DEFAULT),
        };
        // SAFETY: all three outlive the call, which copies the name; a model is freed by `drop`.
        let loaded = unsafe { sys::vmaf_model_load(&raw mut made.model, &raw mut config, name.as_ptr()) };
        if loaded != 0 {
            made.model = ptr::null_mut();
        }
        asked("load its model", loaded)?;
        // SAFETY: both are there; `drop` frees the context, which keeps the model's address, before the model.
        asked("use its model", unsafe { sys::vmaf_use_features_from_model(made.vmaf, made.model) })?;
        // Each thread works on a pair and has one waiting, the two before are kept, and two are being filled.
        let pictures = sys::VmafPictureConfiguration {
            pic_params: sys::VmafPictureConfiguration__bindgen_ty_1 {
                w: format.width,
                h: format.height,
                bpc: u32::from(format.bit_depth),
                // Chroma is not looked at, and stays as it is. Without its planes vectors would be read over the end.
                pix_fmt: sys::VmafPixelFormat_VMAF_PIX_FMT_YUV420P,
            },
            pic_cnt: 4 * threads + 4,
        };
        // SAFETY: the context is there.
        asked("get its memory", unsafe { sys::vmaf_preallocate_pictures(made.vmaf, pictures) })?;
        Ok(made)
    }

    /// Pairs that were read; the next one has this number.
    pub(crate) fn read(&self) -> u32 {
        self.read
    }

    /// Whether the pair of this number is scored.
    pub(crate) fn scores(&self, number: u32) -> bool {
        number < self.read && number.is_multiple_of(self.every)
    }

    /// Reads the next pair of luma planes. `None` where a plane is not of the context's format.
    pub(crate) fn push(&mut self, reference: &Plane<'_>, other: &Plane<'_>) -> Option<Result<(), Refused>> {
        let fits = |plane: &Plane<'_>| {
            (plane.width, plane.height) == (self.format.width as usize, self.format.height as usize)
                && plane.bytes == usize::from(self.format.bit_depth.div_ceil(8))
                && plane.is_whole()
        };
        (fits(reference) && fits(other)).then(|| self.read_pair(reference, other))
    }

    fn read_pair(&mut self, reference: &Plane<'_>, other: &Plane<'_>) -> Result<(), Refused> {
        let mut first = self.picture(reference)?;
        let second = self.picture(other);
        let done = second.and_then(|mut second| {
            // SAFETY: both pictures are of this context's pool and format; the call takes them.
            let read =
                unsafe { sys::vmaf_read_pictures(self.vmaf, &raw mut first, &raw mut second, self.read) };
            give_back(&mut second);
            asked("read a picture", read)
        });
        give_back(&mut first);
        done?;
        self.read += 1;
        Ok(())
    }

    /// A picture of the pool with this luma.
    fn picture(&mut self, from: &Plane<'_>) -> Result<sys::VmafPicture, Refused> {
        // SAFETY: a picture is numbers and pointers; zeros are one without memory.
        let mut picture: sys::VmafPicture = unsafe { std::mem::zeroed() };
        // SAFETY: the context has a pool; the picture is written to.
        asked("get a picture", unsafe { sys::vmaf_fetch_preallocated_picture(self.vmaf, &raw mut picture) })?;
        let row_bytes = from.width * from.bytes;
        for line in 0..from.height {
            let row = from.row(line).expect("the plane is whole");
            let line = isize::try_from(line).expect("pictures are not as high");
            // SAFETY: the pool's pictures have `height` rows of at least `row_bytes`, a `stride` apart, as they were asked
            // for in this format; the row is of that length; the two do not overlap.
            unsafe {
                let into = picture.data[0].cast::<u8>().offset(line * picture.stride[0]);
                ptr::copy_nonoverlapping(row.as_ptr(), into, row_bytes);
            }
        }
        Ok(picture)
    }

    /// Ends the row: scores can be asked for.
    pub(crate) fn finish(self) -> Result<Scores, Refused> {
        if self.read == 0 {
            return Ok(Scores(self));
        }
        // SAFETY: the context is there; no pictures are the end.
        let ended = unsafe { sys::vmaf_read_pictures(self.vmaf, ptr::null_mut(), ptr::null_mut(), 0) };
        asked("come to an end", ended)?;
        Ok(Scores(self))
    }
}

/// Gives a picture back that libvmaf has not taken; one that it has taken is empty.
fn give_back(picture: &mut sys::VmafPicture) {
    if !picture.ref_.is_null() {
        // SAFETY: it counts its users, and this is one. The pool takes it back, so nothing is left to be told.
        let _ = unsafe { sys::vmaf_picture_unref(picture) };
    }
}

/// A row that has ended.
#[derive(Debug)]
pub(crate) struct Scores(Context);

impl Scores {
    /// The score of a pair, 0 to 100; `None` for one that is not scored.
    pub(crate) fn score(&mut self, number: u32) -> Option<Result<f64, Refused>> {
        if !self.0.scores(number) {
            return None;
        }
        let mut score = 0.0;
        // SAFETY: context and model are there; the score is written to.
        let told = unsafe { sys::vmaf_score_at_index(self.0.vmaf, self.0.model, &raw mut score, number) };
        Some(asked("score a picture", told).map(|()| score))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if !self.vmaf.is_null() {
            // SAFETY: it was made by `vmaf_init` and is freed once; no picture of its pool is held. What cannot be freed is
            // left to the process's end.
            let _ = unsafe { sys::vmaf_close(self.vmaf) };
        }
        if !self.model.is_null() {
            // SAFETY: it was made by `vmaf_model_load` and is freed once, after the context that used it.
            unsafe { sys::vmaf_model_destroy(self.model) };
        }
    }
}
