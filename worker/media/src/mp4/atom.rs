//! Boxes as bytes.

/// A box under construction: header first, size filled in at the end.
#[derive(Debug)]
pub(crate) struct Atom(Vec<u8>);

impl Atom {
    /// A plain box.
    pub(crate) fn new(code: &[u8; 4]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(code);
        Self(bytes)
    }

    /// A box with version and flags.
    pub(crate) fn full(code: &[u8; 4], version: u8, flags: u32) -> Self {
        Self::new(code).u32(u32::from(version) << 24 | flags)
    }

    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn i64(self, value: i64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn zeros(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A number of entries and the entries.
    pub(crate) fn table<T>(mut self, rows: &[T], mut put: impl FnMut(Self, &T) -> Self) -> Self {
        self = self.u32(count(rows.len()));
        for row in rows {
            self = put(self, row);
        }
        self
    }

    /// A box inside this one.
    pub(crate) fn with(self, child: Self) -> Self {
        let child = child.done();
        self.bytes(&child)
    }

    /// The finished box.
    pub(crate) fn done(mut self) -> Vec<u8> {
        let size = count(self.0.len()).to_be_bytes();
        self.0[..4].copy_from_slice(&size);
        self.0
    }
}

/// A length as the format stores it. An index beyond 4 GiB cannot be written, and would take a file of years.
pub(crate) fn count(len: usize) -> u32 {
    u32::try_from(len).expect("tables and boxes of an index stay below 4 GiB")
}
