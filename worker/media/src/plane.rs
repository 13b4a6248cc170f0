//! One plane of a picture, as bytes in memory.

/// Samples of one plane: of one byte each, or of two in little endian.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plane<'a> {
    pub(crate) data: &'a [u8],
    /// From row to row, in bytes.
    pub(crate) stride: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Of a sample.
    pub(crate) bytes: usize,
}

impl<'a> Plane<'a> {
    /// A row's bytes, if the plane has them.
    pub(crate) fn row(&self, line: usize) -> Option<&'a [u8]> {
        let start = line.checked_mul(self.stride)?;
        self.data.get(start..start.checked_add(self.width * self.bytes)?)
    }

    /// Whether all rows are there.
    pub(crate) fn is_whole(&self) -> bool {
        self.height.checked_sub(1).is_none_or(|last| self.row(last).is_some())
    }
}
