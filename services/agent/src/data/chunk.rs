//! A chunk: the unit that is asked for, hashed, checked, written, and never sent again once it was.
//!
//! Its content is taken in blocks of 4 KiB, which is what filesystems allocate. Blocks that are all zeros are left out,
//! so a chunk is a set of bits (which blocks there are) and those blocks, one after another. The hash is BLAKE3 over
//! the bits and the blocks: it depends on the content alone, and not on where a filesystem has its holes.

use std::sync::LazyLock;

use contracts::digest::short;

/// Of a chunk. The larger, the less there is to remember and the more has to be fetched anew for one changed byte, where
/// blocks are not asked for. docs/transfer.md has it measured against other sizes.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// What filesystems allocate, and what memory and offsets have to be aligned to for direct writes.
pub(super) const BLOCK_BYTES: usize = 4096;

const BITS_BYTES: usize = CHUNK_BYTES / BLOCK_BYTES / 8;

static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

pub(super) const HASH_BYTES: usize = 32;
pub(super) type Hash = [u8; HASH_BYTES];

/// Bytes of a short hash.
pub(super) const SHORT_BYTES: usize = 8;

/// The hash of a chunk that is all zeros.
pub(super) static ZERO_CHUNK: LazyLock<Hash> = LazyLock::new(|| hash(&Bits::default(), &[]));

/// How many chunks a file has.
pub(super) fn count(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(CHUNK_BYTES as u64)
}

/// Where a chunk begins.
pub(super) fn offset(index: u64) -> u64 {
    index.saturating_mul(CHUNK_BYTES as u64)
}

/// How long a chunk of a file is: the last one may be shorter.
pub(super) fn length(index: u64, size_bytes: u64) -> usize {
    let left = size_bytes.saturating_sub(offset(index));
    usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES))
}

fn hash(bits: &Bits, payload: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bits.0).update(payload);
    hasher.finalize().into()
}

pub(super) fn is_zeros(block: &[u8]) -> bool {
    ZEROS.get(..block.len()) == Some(block)
}

/// Some blocks of a chunk: a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits([u8; BITS_BYTES]);

impl Bits {
    /// Reads what came for a chunk of `length` bytes. None of them: no block.
    pub(super) fn read(bytes: &[u8], length: usize) -> Result<Self, Damaged> {
        let bits = Self(match bytes {
            [] => [0; BITS_BYTES],
            bytes => bytes.try_into().map_err(|_| Damaged)?,
        });
        let last = bits.blocks().last();
        match last.is_none_or(|last| last * BLOCK_BYTES < length) {
            true => Ok(bits),
            false => Err(Damaged),
        }
    }

    pub(super) fn set(&mut self, block: usize) {
        if let Some(byte) = self.0.get_mut(block / 8) {
            *byte |= 1 << (block % 8);
        }
    }

    pub(super) fn has(&self, block: usize) -> bool {
        let byte = self.0.get(block / 8).copied().unwrap_or_default();
        byte & (1 << (block % 8)) != 0
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = usize> {
        (0..BITS_BYTES * 8).filter(|block| self.has(*block))
    }

    /// Each block, and how long it is: the last one of a chunk of `length` bytes may be shorter.
    pub(super) fn lengths(&self, length: usize) -> impl Iterator<Item = (usize, usize)> {
        let of = move |block: usize| length.saturating_sub(block * BLOCK_BYTES).min(BLOCK_BYTES);
        self.blocks().map(move |block| (block, of(block)))
    }

    /// Of these blocks together.
    pub(super) fn payload_bytes(&self, length: usize) -> usize {
        self.lengths(length).map(|(_, bytes)| bytes).sum()
    }

    /// As they travel: nothing for no block.
    pub(super) fn to_vec(self) -> Vec<u8> {
        match self == Self::default() {
            true => Vec::new(),
            false => self.0.to_vec(),
        }
    }
}

/// A chunk as it travels, beside its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    /// Which blocks there are.
    pub(super) bits: Bits,
    pub(super) hash: Hash,
    pub(super) payload_bytes: usize,
}

/// Why a chunk that came is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damaged;

impl Packed {
    /// Leaves the zero blocks out of `content`, which is moved together at its start.
    pub(super) fn pack(content: &mut [u8]) -> Self {
        let mut bits = Bits::default();
        let mut kept = 0;
        for block in 0..content.len().div_ceil(BLOCK_BYTES) {
            let start = block * BLOCK_BYTES;
            let end = (start + BLOCK_BYTES).min(content.len());
            let Some(bytes) = content.get(start..end) else {
                break;
            };
            if is_zeros(bytes) {
                continue;
            }
            bits.set(block);
            if kept != start {
                content.copy_within(start..end, kept);
            }
            kept += end - start;
        }
        let payload = content.get(..kept).unwrap_or_default();
        Self {
            hash: hash(&bits, payload),
            bits,
            payload_bytes: kept,
        }
    }

    /// The short hash of each block.
    pub(super) fn short_hashes(&self, payload: &[u8]) -> Vec<u8> {
        let blocks = payload.chunks(BLOCK_BYTES);
        blocks
            .flat_map(|block| short(block).to_le_bytes())
            .collect()
    }

    /// Leaves out what is not wanted; the rest is moved together at the start of the payload. Which blocks those are, and
    /// how many bytes.
    pub(super) fn part(&self, wanted: &Bits, payload: &mut [u8]) -> (Bits, usize) {
        let (mut part, mut kept, mut at) = (Bits::default(), 0, 0);
        for block in self.bits.blocks() {
            let end = (at + BLOCK_BYTES).min(self.payload_bytes);
            if wanted.has(block) {
                payload.copy_within(at..end, kept);
                part.set(block);
                kept += end - at;
            }
            at = end;
        }
        (part, kept)
    }

    /// Reads what came of a chunk of `length` bytes. Whether it is what was sent is not known before its payload is there.
    pub(super) fn announced(
        bits: &[u8],
        hash: &[u8],
        payload_bytes: u32,
        length: usize,
    ) -> Result<Self, Damaged> {
        let packed = Self::of(Bits::read(bits, length)?, hash, length)?;
        match u32::try_from(packed.payload_bytes) == Ok(payload_bytes) {
            true => Ok(packed),
            false => Err(Damaged),
        }
    }

    /// A chunk that has these blocks.
    pub(super) fn of(bits: Bits, hash: &[u8], length: usize) -> Result<Self, Damaged> {
        Ok(Self {
            payload_bytes: bits.payload_bytes(length),
            hash: hash.try_into().map_err(|_| Damaged)?,
            bits,
        })
    }

    /// Whether the payload is what was hashed.
    pub(super) fn check(&self, payload: &[u8]) -> Result<(), Damaged> {
        if payload.len() == self.payload_bytes && hash(&self.bits, payload) == self.hash {
            return Ok(());
        }
        Err(Damaged)
    }

    /// Stretches of the chunk that are to be written: where each begins in it, and how many blocks it has.
    pub(super) fn runs(&self) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for block in self.bits.blocks() {
            match runs.last_mut() {
                Some((first, count)) if *first + *count == block => *count += 1,
                _ => runs.push((block, 1)),
            }
        }
        let in_bytes = |(first, count): (usize, usize)| (first * BLOCK_BYTES, count);
        runs.into_iter().map(in_bytes).collect()
    }
}

/// The hash of the whole, from those of its chunks in their order.
pub(super) struct Whole(blake3::Hasher);

impl Whole {
    pub(super) fn new(size_bytes: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("muster 2026 content of a file v1");
        hasher.update(&size_bytes.to_le_bytes());
        Self(hasher)
    }

    /// Adds a chunk. Those that are all zeros or in a hole count for nothing, so it does not matter which they are.
    pub(super) fn add(&mut self, index: u64, hash: &Hash) {
        if *hash != Hash::default() && *hash != *ZERO_CHUNK {
            self.0.update(&index.to_le_bytes()).update(hash);
        }
    }

    pub(super) fn finish(&self) -> Hash {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(blocks: &[u8], tail: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = blocks.iter().flat_map(|b| [*b; BLOCK_BYTES]).collect();
        bytes.truncate(bytes.len() - BLOCK_BYTES + tail);
        bytes
    }

    fn unpack(packed: &Packed, payload: &[u8], length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let mut at = 0;
        for (start, blocks) in packed.runs() {
            let count = (blocks * BLOCK_BYTES).min(length - start);
            bytes[start..start + count].copy_from_slice(&payload[at..at + count]);
            at += count;
        }
        bytes
    }

    #[test]
    fn what_is_packed_is_the_same_when_it_is_unpacked() {
        for (blocks, tail) in [
            (&[1, 0, 2, 3, 0, 0, 4][..], BLOCK_BYTES),
            (&[0, 0], BLOCK_BYTES),
            (&[0, 7], 5),
            (&[7, 0], 5),
            (&[1; 256], BLOCK_BYTES),
        ] {
            let whole = content(blocks, tail);
            let mut bytes = whole.clone();
            let packed = Packed::pack(&mut bytes);
            let payload = &bytes[..packed.payload_bytes];
            let count = u32::try_from(packed.payload_bytes).unwrap();
            let came =
                Packed::announced(&packed.bits.to_vec(), &packed.hash, count, whole.len()).unwrap();
            assert_eq!(came.check(payload), Ok(()));
            assert_eq!(unpack(&came, payload, whole.len()), whole);
        }
    }

    #[test]
    fn a_part_has_the_blocks_that_are_wanted_and_no_others() {
        let whole = content(&[1, 0, 2, 3, 4], 5);
        let mut bytes = whole.clone();
        let packed = Packed::pack(&mut bytes);
        let hashes = packed.short_hashes(&bytes[..packed.payload_bytes]);
        assert_eq!(hashes.len(), 4 * SHORT_BYTES);
        assert_eq!(hashes[24..], short(&[4; 5]).to_le_bytes());
        let mut wanted = Bits::default();
        // A block of zeros is not sent, whoever wants it.
        [0, 1, 3, 4].into_iter().for_each(|block| wanted.set(block));
        let (part, count) = packed.part(&wanted, &mut bytes);
        assert_eq!(part.blocks().collect::<Vec<_>>(), [0, 3, 4]);
        assert_eq!(count, part.payload_bytes(whole.len()));
        assert_eq!(bytes[..count], *content(&[1, 3, 4], 5));
        assert_eq!(Bits::read(&part.to_vec(), whole.len()), Ok(part));
        assert_eq!(Bits::read(&part.to_vec(), BLOCK_BYTES), Err(Damaged));
    }

    #[test]
    fn what_is_damaged_is_not_taken() {
        let mut bytes = content(&[1, 0, 2], BLOCK_BYTES);
        let length = bytes.len();
        let packed = Packed::pack(&mut bytes);
        let (bits, hash) = (packed.bits.to_vec(), packed.hash);
        let announced = |bits: &[u8], count, length| Packed::announced(bits, &hash, count, length);
        let mut payload = bytes[..packed.payload_bytes].to_vec();
        payload[17] ^= 1;
        assert_eq!(packed.check(&payload), Err(Damaged));
        assert_eq!(packed.check(&payload[1..]), Err(Damaged));
        // More or less than its blocks, blocks beyond its end, bits that are no bits.
        assert_eq!(announced(&bits, 8191, length), Err(Damaged));
        assert_eq!(announced(&bits, 8192, 4096), Err(Damaged));
        assert_eq!(announced(&bits[1..], 8192, length), Err(Damaged));
        assert!(announced(&bits, 8192, length).is_ok());
    }

    #[test]
    fn zeros_are_nothing_wherever_they_are() {
        let mut zeros = vec![0; CHUNK_BYTES];
        let packed = Packed::pack(&mut zeros);
        assert_eq!((packed.payload_bytes, packed.hash), (0, *ZERO_CHUNK));
        let whole = |hashes: &[(u64, Hash)]| {
            let mut whole = Whole::new(10);
            hashes
                .iter()
                .for_each(|(index, hash)| whole.add(*index, hash));
            whole.finish()
        };
        let one = [1; HASH_BYTES];
        assert_eq!(
            whole(&[(0, *ZERO_CHUNK), (1, one), (2, Hash::default())]),
            whole(&[(1, one)])
        );
        assert_ne!(whole(&[(0, one)]), whole(&[(1, one)]));
    }
}
