//! A file of hashes: 32 bytes for each chunk, after a head that says of which file they are. A slot of zeros is not known.
//!
//! The target of a transfer keeps one beside the file that it makes, as its journal: a chunk is written first and its
//! slot afterwards, so what has a slot is there. The source keeps one for what it has sent. When a file is whole, its
//! slots are kept to recognise its chunks by, the next time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use contracts::data::FileStamp;
use prost::Message as _;

use super::chunk::{HASH_BYTES, Hash, Whole, count};

/// Room for the head before the first slot.
const HEAD_BYTES: u64 = 4096;

/// Of which file the hashes are.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Head {
    /// Of the file that the hashes are of: at the source, or here once it is whole.
    #[prost(message, optional, tag = "1")]
    pub(super) stamp: Option<FileStamp>,
    /// The transfer that makes, or made, the file; empty for one that was only read.
    #[prost(string, tag = "2")]
    pub(super) transfer_id: String,
    /// Of the system that wrote the chunks: after another start it is not known which of them reached the disk.
    #[prost(string, tag = "3")]
    pub(super) boot_id: String,
    /// Set when every chunk is there and the whole was checked.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) content_hash: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(super) datastore: String,
    #[prost(string, tag = "6")]
    pub(super) path: String,
}

impl Head {
    pub(super) fn size_bytes(&self) -> u64 {
        self.stamp.as_ref().map_or(0, |stamp| stamp.size_bytes)
    }
}

#[derive(Debug)]
pub(super) struct Slots(pub(super) File);

impl Slots {
    /// Reads the head. `None`: there is none, or half of one.
    pub(super) fn head(&self) -> io::Result<Option<Head>> {
        let mut bytes = vec![0; usize::try_from(HEAD_BYTES).unwrap_or_default()];
        match self.0.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        Ok(Head::decode_length_delimited(bytes.as_slice())
            .ok()
            .filter(|head| head.stamp.is_some()))
    }

    pub(super) fn set_head(&self, head: &Head) -> io::Result<()> {
        let mut bytes = head.encode_length_delimited_to_vec();
        bytes.resize(usize::try_from(HEAD_BYTES).unwrap_or_default(), 0);
        self.0.write_all_at(&bytes, 0)
    }

    fn at(index: u64) -> u64 {
        HEAD_BYTES.saturating_add(index.saturating_mul(HASH_BYTES as u64))
    }

    pub(super) fn set(&self, index: u64, hash: &Hash) -> io::Result<()> {
        self.0.write_all_at(hash, Self::at(index))
    }

    /// A chunk's hash, if it is known.
    pub(super) fn get(&self, index: u64) -> io::Result<Option<Hash>> {
        let page = self.page(index, 1)?;
        Ok(page
            .first()
            .copied()
            .filter(|hash| *hash != Hash::default()))
    }

    /// Hashes of some chunks, zeros where one is not known.
    pub(super) fn page(&self, first: u64, chunks: u64) -> io::Result<Vec<Hash>> {
        let bytes = chunks.saturating_mul(HASH_BYTES as u64);
        let mut page = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        let mut read = 0;
        while let Some(rest) = page.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, Self::at(first) + read as u64)? {
                // What was never written is not known.
                0 => break,
                count => read += count,
            }
        }
        Ok(page.as_chunks::<HASH_BYTES>().0.to_vec())
    }

    /// Every known hash of a file, in order.
    pub(super) fn each(
        &self,
        size_bytes: u64,
        mut see: impl FnMut(u64, &Hash) -> io::Result<()>,
    ) -> io::Result<()> {
        const PAGE: u64 = 8192;
        let end = count(size_bytes);
        let mut first = 0;
        while first < end {
            let page = self.page(first, PAGE.min(end - first))?;
            for (index, hash) in (first..).zip(&page) {
                if *hash != Hash::default() {
                    see(index, hash)?;
                }
            }
            first += PAGE;
        }
        Ok(())
    }

    /// The hash of the whole.
    pub(super) fn whole(&self, size_bytes: u64) -> io::Result<Hash> {
        let mut whole = Whole::new(size_bytes);
        self.each(size_bytes, |index, hash| {
            whole.add(index, hash);
            Ok(())
        })?;
        Ok(whole.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_found_again_and_the_others_are_not_known() {
        let slots = Slots(tempfile::tempfile().unwrap());
        assert_eq!(slots.head().unwrap(), None);
        let head = Head {
            stamp: Some(FileStamp {
                size_bytes: 5 << 20,
                ..FileStamp::default()
            }),
            transfer_id: "t1".to_owned(),
            ..Head::default()
        };
        slots.set_head(&head).unwrap();
        slots.set(3, &[7; HASH_BYTES]).unwrap();
        assert_eq!(slots.head().unwrap(), Some(head));
        assert_eq!(slots.get(3).unwrap(), Some([7; HASH_BYTES]));
        assert_eq!((slots.get(2).unwrap(), slots.get(9).unwrap()), (None, None));
        let mut seen = Vec::new();
        slots
            .each(5 << 20, |index, _| {
                seen.push(index);
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, [3]);
    }
}
