//! Memory for a chunk, aligned as writes past the page cache need it.

use super::super::chunk::{BLOCK_BYTES, CHUNK_BYTES};

pub(super) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
}

impl Aligned {
    pub(super) fn new() -> Self {
        let bytes = vec![0; CHUNK_BYTES + BLOCK_BYTES];
        Self {
            start: bytes.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES),
            bytes,
        }
    }

    /// The first bytes, at most a chunk.
    pub(super) fn first(&mut self, count: usize) -> &mut [u8] {
        let end = self.start + count.min(CHUNK_BYTES);
        self.bytes.get_mut(self.start..end).unwrap_or_default()
    }

    /// Whole blocks of which only those before `filled` were given: what lies beyond is zeros.
    pub(super) fn padded(&mut self, from: usize, count: usize, filled: usize) -> &[u8] {
        let end = (from + count).min(CHUNK_BYTES);
        if let Some(beyond) = self.first(end).get_mut(filled.max(from).min(end)..) {
            beyond.fill(0);
        }
        self.first(end).get(from..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_and_ends_in_zeros() {
        let mut aligned = Aligned::new();
        assert_eq!(aligned.first(1).as_ptr().align_offset(BLOCK_BYTES), 0);
        aligned.first(CHUNK_BYTES).fill(7);
        let padded = aligned.padded(BLOCK_BYTES, BLOCK_BYTES, BLOCK_BYTES + 5);
        assert_eq!((padded.len(), padded[4], padded[5]), (BLOCK_BYTES, 7, 0));
        assert_eq!(aligned.first(CHUNK_BYTES).len(), CHUNK_BYTES);
    }
}
