//! A file that is sent: where it has data, its chunks and their hashes, and whether it is still the same.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use contracts::data::{
    BlockHashes, ChunkBlocks, ChunkHashes, ChunkList, ChunkMap, ChunkRun, FileFacts, FileRef,
    FileStamp,
};
use contracts::{Code, Status};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::changed::ChangedFiles;
use super::chunk::{self, CHUNK_BYTES, HASH_BYTES, Hash, Packed};
use super::limits;
use super::remembered::Remembered;
use super::roots::{self, Roots};
use super::slots::Slots;

pub(super) struct Source {
    file: File,
    name: FileRef,
    pub(super) facts: FileFacts,
    slots: Arc<Slots>,
    /// Of a file of a share.
    changed: Option<Arc<ChangedFiles>>,
}

/// Whether two looks found the same content. A file that was only renamed or given another owner is the same.
pub(super) fn is_same(one: &FileStamp, other: &FileStamp) -> bool {
    let content = |stamp: &FileStamp| (stamp.inode, stamp.size_bytes, stamp.modified_ns);
    content(one) == content(other)
}

/// The next stretch of data of a file at or after an offset.
pub(super) fn data_from(
    file: &File,
    size_bytes: u64,
    offset: u64,
) -> io::Result<Option<(u64, u64)>> {
    if offset >= size_bytes {
        return Ok(None);
    }
    let start = match seek(file, SeekFrom::Data(offset)) {
        Err(Errno::NXIO) => return Ok(None),
        // A filesystem that does not know: all is data.
        Err(Errno::INVAL) => return Ok(Some((offset, size_bytes))),
        start => start?,
    };
    Ok(Some((start, seek(file, SeekFrom::Hole(start))?)))
}

impl Source {
    pub(super) fn open(
        roots: &Roots,
        remembered: &Remembered,
        name: &FileRef,
    ) -> Result<Self, Status> {
        let file = roots.open(name)?;
        let metadata = file.metadata();
        let facts = roots::facts(&metadata.map_err(|e| roots::failed(name, "looked at", &e))?);
        let stamp = facts.stamp.unwrap_or_default();
        let slots = remembered.of(name, &stamp);
        Ok(Self {
            slots: slots.map_err(|e| roots::failed(name, "remembered", &e))?,
            changed: roots.changed_files_of(name),
            file,
            name: name.clone(),
            facts,
        })
    }

    fn size_bytes(&self) -> u64 {
        self.facts.size_bytes
    }

    fn failed(&self, error: &io::Error) -> Status {
        roots::failed(&self.name, "read", error)
    }

    /// Refuses a file that is another one than was seen first.
    pub(super) fn check(&self, expected: &FileStamp) -> Result<(), Status> {
        let metadata = self.file.metadata().map_err(|e| self.failed(&e))?;
        if is_same(&roots::stamp(&metadata), expected) {
            return Ok(());
        }
        if let Some(changed) = &self.changed {
            changed.note(&self.name);
        }
        let refused = roots::refused(&self.name, "was changed while it was copied");
        Err(refused.action("Stop what writes to it, then start the transfer again."))
    }

    fn check_unchanged(&self) -> Result<(), Status> {
        self.check(&self.facts.stamp.unwrap_or_default())
    }

    /// Reads a chunk into `buffer` and leaves its zeros out.
    pub(super) fn chunk(&self, index: u64, buffer: &mut [u8]) -> Result<Packed, Status> {
        let length = chunk::length(index, self.size_bytes());
        let Some(content) = buffer
            .get_mut(..length)
            .filter(|content| !content.is_empty())
        else {
            return Err(Status::new(
                Code::InvalidArgument,
                format!("Chunk {index} is beyond the end of the file."),
            ));
        };
        match self.file.read_exact_at(content, chunk::offset(index)) {
            // It has become shorter.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            read => read.map_err(|e| self.failed(&e))?,
        }
        let packed = Packed::pack(content);
        self.check_unchanged()?;
        self.slots
            .set(index, &packed.hash)
            .map_err(|e| self.failed(&e))?;
        Ok(packed)
    }

    /// Runs of chunks that may hold data.
    pub(super) fn map(&self, from: u64) -> Result<ChunkMap, Status> {
        let mut map = ChunkMap::default();
        let mut next = from;
        loop {
            let found = data_from(&self.file, self.size_bytes(), chunk::offset(next));
            let Some((start, end)) = found.map_err(|e| self.failed(&e))? else {
                return Ok(map);
            };
            let first = (start / CHUNK_BYTES as u64).max(next);
            let end = chunk::count(end).max(first + 1);
            let is_full = map.runs.len() == limits::RUNS_IN_A_PAGE;
            match map.runs.last_mut() {
                Some(last) if last.first + last.count == first => last.count = end - last.first,
                _ if is_full => {
                    map.next = next;
                    return Ok(map);
                }
                _ => map.runs.push(ChunkRun {
                    first,
                    count: end - first,
                }),
            }
            next = end;
        }
    }

    /// A chunk's hash, found out if it is not known.
    fn hash(&self, index: u64, buffer: &mut [u8]) -> Result<Hash, Status> {
        match self.slots.get(index).map_err(|e| self.failed(&e))? {
            Some(hash) => Ok(hash),
            None => Ok(self.chunk(index, buffer)?.hash),
        }
    }

    /// A page of hashes.
    pub(super) fn hashes(&self, first: u64, buffer: &mut [u8]) -> Result<ChunkHashes, Status> {
        let end = chunk::count(self.size_bytes());
        let count = end.saturating_sub(first).min(limits::HASHES_IN_A_PAGE);
        let mut page = vec![Hash::default(); usize::try_from(count).unwrap_or_default()];
        let runs = self.map(first)?.runs;
        let data = runs.iter().flat_map(|run| run.first..run.first + run.count);
        for index in data.take_while(|index| *index < first + count) {
            let slot = usize::try_from(index - first).ok();
            if let Some(slot) = slot.and_then(|slot| page.get_mut(slot)) {
                *slot = self.hash(index, buffer)?;
            }
        }
        self.check_unchanged()?;
        Ok(ChunkHashes {
            first,
            hashes: page.as_flattened().to_vec(),
            next: if first + count < end {
                first + count
            } else {
                0
            },
        })
    }

    /// Hashes of the blocks of some chunks.
    pub(super) fn blocks(
        &self,
        list: &ChunkList,
        buffer: &mut [u8],
    ) -> Result<BlockHashes, Status> {
        if list.indexes.len() > limits::BLOCK_LISTS_IN_A_PAGE {
            return Err(Status::new(
                Code::InvalidArgument,
                "Blocks of too many chunks are asked for.",
            ));
        }
        let mut chunks = Vec::with_capacity(list.indexes.len());
        for index in &list.indexes {
            let packed = self.chunk(*index, buffer)?;
            let payload = buffer.get(..packed.payload_bytes).unwrap_or_default();
            chunks.push(ChunkBlocks {
                index: *index,
                blocks: packed.bits.to_vec(),
                hash: packed.hash.to_vec(),
                short_hashes: packed.short_hashes(payload),
            });
        }
        Ok(BlockHashes { chunks })
    }

    /// The hash of the whole; `None`: too many chunks have not been looked at yet.
    pub(super) fn whole(&self, buffer: &mut [u8]) -> Result<Option<Hash>, Status> {
        let mut unknown = 0;
        let mut from = 0;
        loop {
            let map = self.map(from)?;
            for index in map
                .runs
                .iter()
                .flat_map(|run| run.first..run.first + run.count)
            {
                if self
                    .slots
                    .get(index)
                    .map_err(|e| self.failed(&e))?
                    .is_some()
                {
                    continue;
                }
                unknown += 1;
                if unknown > limits::HASHES_IN_A_PAGE {
                    return Ok(None);
                }
                self.chunk(index, buffer)?;
            }
            from = map.next;
            if from == 0 {
                break;
            }
        }
        self.check_unchanged()?;
        let whole = self.slots.whole(self.size_bytes());
        Ok(Some(whole.map_err(|e| self.failed(&e))?))
    }
}

const _: () = assert!(HASH_BYTES * limits::HASHES_IN_A_PAGE as usize <= limits::MESSAGE_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn source(&self) -> Source {
            let roots = Roots::new([("ds".to_owned(), self.0.path().to_owned())]);
            let remembered = Remembered::open(self.0.path().join("hashes")).unwrap();
            let name = FileRef {
                datastore: "ds".to_owned(),
                path: "a.raw".to_owned(),
            };
            Source::open(&roots, &remembered, &name).unwrap()
        }

        fn file(&self) -> File {
            let path = self.0.path().join("a.raw");
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            options.open(path).unwrap()
        }
    }

    #[test]
    fn only_chunks_with_data_are_in_the_map_and_holes_cost_nothing() {
        let (dir, mib) = (Dir::new(), CHUNK_BYTES as u64);
        let file = dir.file();
        file.set_len(1 << 40).unwrap();
        for at in [0, 3, 4, 100_000] {
            file.write_all_at(&[7; 100], at * mib + 5000).unwrap();
        }
        let source = dir.source();
        let run = |first, count| ChunkRun { first, count };
        let map = source.map(0).unwrap();
        assert_eq!(map.runs, [run(0, 1), run(3, 2), run(100_000, 1)]);
        assert_eq!(source.map(4).unwrap().runs, [run(4, 1), run(100_000, 1)]);
        let mut buffer = vec![0; CHUNK_BYTES];
        let whole = source.whole(&mut buffer).unwrap();
        assert!(whole.is_some());
        // The same content without the holes is the same whole.
        assert_eq!(
            source.chunk(3, &mut buffer).unwrap().payload_bytes,
            chunk::BLOCK_BYTES
        );
        assert!(source.chunk(1 << 20, &mut buffer).is_err());
        let page = source.hashes(3, &mut buffer).unwrap();
        let known = page
            .hashes
            .chunks(HASH_BYTES)
            .filter(|h| *h != Hash::default());
        assert_eq!(
            (known.count(), page.next),
            (2, 3 + limits::HASHES_IN_A_PAGE)
        );
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        let dir = Dir::new();
        let file = dir.file();
        file.write_all_at(&[7; 9000], 0).unwrap();
        let source = dir.source();
        let mut buffer = vec![0; CHUNK_BYTES];
        assert!(source.chunk(0, &mut buffer).is_ok());
        file.set_len(8000).unwrap();
        let refused = source.chunk(0, &mut buffer).unwrap_err();
        assert!(refused.message.contains("was changed"), "{refused}");
    }
}
