//! Chunks of which this host has some blocks: the others alone travel.
//!
//! An image's next release has most of its files unchanged, but rarely whole chunks of it: one that was updated in place
//! has something new in many of them, and in one that was made anew everything lies elsewhere. Filesystems of guests lay
//! files at blocks of 4 KiB, so blocks are found wherever they lie. docs/transfer.md has what was measured.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;

use contracts::data::{Chunk, ChunkBlocks, ChunkList, ChunkPart, answer, question};
use contracts::digest::short;

use super::super::chunk::{
    self, BLOCK_BYTES, Bits, CHUNK_BYTES, Damaged, Packed, SHORT_BYTES, is_zeros,
};
use super::super::source::data_from;
use super::super::wire::Connection;
use super::super::{Shared, limits};
use super::Fetch;
use super::aligned::Aligned;
use super::seeds::Seed;
use super::stream::{Broken, ask, hear, say, unexpected, wait_for_turn};
use super::target::Target;
use super::work::Work;

/// A place in the index: the seed in the upper bits, the block in the lower ones.
const BLOCK_OF_PLACE_BITS: u32 = 29;

/// Blocks of seeds by their short hashes.
struct Blocks<'a> {
    seeds: &'a [&'a Seed],
    /// The upper half of the short hash, and below it the place; sorted.
    entries: Vec<u64>,
}

impl<'a> Blocks<'a> {
    fn gather(fetch: &Fetch, seeds: &'a [&'a Seed]) -> Self {
        let mut entries = Vec::new();
        let mut buffer = vec![0; CHUNK_BYTES];
        for (number, seed) in (0_u64..).zip(seeds) {
            let mut add = |block: u64, bytes: &[u8]| {
                if block < 1 << BLOCK_OF_PLACE_BITS && !is_zeros(bytes) {
                    let place = number << BLOCK_OF_PLACE_BITS | block;
                    entries.push(short(bytes) >> 32 << 32 | place);
                }
                entries.len() < limits::SEED_BLOCKS_MAX && !fetch.is_stopped()
            };
            if let Err(problem) = each_block(seed, &mut buffer, &mut add) {
                // It would only have saved something.
                tracing::info!(%problem, "blocks of a file are not looked through");
            }
        }
        entries.sort_unstable();
        Self { seeds, entries }
    }

    /// Where a block of this hash is.
    fn find(&self, hash: u64, length: usize) -> Option<u32> {
        let upper = hash >> 32;
        let first = self.entries.partition_point(|entry| entry >> 32 < upper);
        let same = self.entries.get(first..)?.iter();
        let places = same.take_while(|entry| *entry >> 32 == upper);
        let mut bytes = [0; BLOCK_BYTES];
        places
            .filter_map(|entry| u32::try_from(entry & u64::from(u32::MAX)).ok())
            .find(|place| {
                let block = bytes.get_mut(..length).unwrap_or_default();
                self.read(*place, block).is_ok() && short(block) == hash
            })
    }

    fn read(&self, place: u32, block: &mut [u8]) -> io::Result<()> {
        let (seed, at) = (
            place >> BLOCK_OF_PLACE_BITS,
            place & ((1 << BLOCK_OF_PLACE_BITS) - 1),
        );
        let seed = usize::try_from(seed).ok().and_then(|n| self.seeds.get(n));
        let seed = seed.ok_or(io::ErrorKind::NotFound)?;
        let offset = u64::from(at) * BLOCK_BYTES as u64;
        seed.file.read_exact_at(block, offset)
    }

    /// What of a chunk is here.
    fn part(&self, list: &ChunkBlocks, length: usize) -> Result<Part, Damaged> {
        let there = Bits::read(&list.blocks, length)?;
        let packed = Packed::of(there, &list.hash, length)?;
        let hashes = list.short_hashes.as_chunks::<SHORT_BYTES>();
        if !hashes.1.is_empty() || hashes.0.len() != there.blocks().count() {
            return Err(Damaged);
        }
        let (mut wanted, mut places) = (Bits::default(), Vec::with_capacity(hashes.0.len()));
        for ((block, bytes), hash) in there.lengths(length).zip(hashes.0) {
            let place = self.find(u64::from_le_bytes(*hash), bytes);
            if place.is_none() {
                wanted.set(block);
            }
            places.push(place);
        }
        Ok(Part {
            index: list.index,
            length,
            packed,
            wanted,
            places,
        })
    }
}

/// Every block of a seed that is not in a hole, until no more is wanted.
fn each_block(
    seed: &Seed,
    buffer: &mut [u8],
    add: &mut impl FnMut(u64, &[u8]) -> bool,
) -> io::Result<()> {
    const BLOCK: u64 = BLOCK_BYTES as u64;
    let mut at = 0;
    while let Some((start, end)) = data_from(&seed.file, seed.size_bytes, at)? {
        let start = start / BLOCK * BLOCK;
        let end = end.next_multiple_of(BLOCK).min(seed.size_bytes);
        let left = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        let content = buffer.get_mut(..count).unwrap_or_default();
        seed.file.read_exact_at(content, start)?;
        for (block, bytes) in (start / BLOCK..).zip(content.chunks(BLOCK_BYTES)) {
            if !add(block, bytes) {
                return Ok(());
            }
        }
        at = start + count as u64;
    }
    Ok(())
}

/// A chunk that is here in part.
struct Part {
    index: u64,
    length: usize,
    /// The chunk as a whole.
    packed: Packed,
    /// Blocks that have to travel.
    wanted: Bits,
    /// Of each block that there is: where it is here.
    places: Vec<Option<u32>>,
}

impl Part {
    fn wanted_bytes(&self) -> usize {
        self.wanted.payload_bytes(self.length)
    }

    fn found_bytes(&self) -> usize {
        self.packed.payload_bytes - self.wanted_bytes()
    }
}

/// Whether looking for blocks saves more than it costs.
#[derive(Default)]
struct Yield {
    chunks: u64,
    found_bytes: u64,
}

impl Yield {
    fn note(&mut self, part: &Part) {
        self.chunks += 1;
        self.found_bytes += part.found_bytes() as u64;
    }

    /// Their hashes are 0.2 % of what they stand for, and the source reads for them: less than a fiftieth is not worth it.
    fn is_poor(&self) -> bool {
        let seen = self.chunks.saturating_mul(CHUNK_BYTES as u64);
        self.chunks >= limits::BLOCKS_TRIED && self.found_bytes < seen / 50
    }
}

/// Takes what is here of the chunks that are missing, and has the rest of each sent.
pub(super) fn take(
    shared: &Shared,
    fetch: &Fetch,
    seeds: &[&Seed],
    target: &Target,
    work: &Work,
    connection: &mut Connection,
) -> Result<(), Broken> {
    let missing = work.missing();
    if seeds.is_empty() || missing.is_empty() {
        return Ok(());
    }
    let blocks = Blocks::gather(fetch, seeds);
    let mut taker = Taker {
        shared,
        fetch,
        blocks: &blocks,
        target,
        work,
        connection,
        asked: VecDeque::new(),
        buffer: Aligned::new(),
    };
    let mut missing = missing.iter().flat_map(|r| r.first..r.first + r.count);
    let mut so_far = Yield::default();
    loop {
        let page: Vec<u64> = missing
            .by_ref()
            .take(limits::BLOCK_LISTS_IN_A_PAGE)
            .collect();
        if page.is_empty() || so_far.is_poor() || fetch.is_stopped() {
            return Ok(());
        }
        taker.take_page(page, &mut so_far)?;
    }
}

struct Taker<'a> {
    shared: &'a Shared,
    fetch: &'a Fetch,
    blocks: &'a Blocks<'a>,
    target: &'a Target,
    work: &'a Work,
    connection: &'a mut Connection,
    /// Parts whose rest is on its way.
    asked: VecDeque<Part>,
    buffer: Aligned,
}

impl Taker<'_> {
    fn take_page(&mut self, indexes: Vec<u64>, so_far: &mut Yield) -> Result<(), Broken> {
        let what = question::What::BlocksOf(ChunkList {
            indexes: indexes.clone(),
        });
        let answer::What::Blocks(lists) = ask(self.fetch, self.connection, what)? else {
            return Err(unexpected());
        };
        if lists.chunks.iter().map(|list| list.index).ne(indexes) {
            return Err(unexpected());
        }
        for list in &lists.chunks {
            let length = chunk::length(list.index, self.target.size_bytes());
            let part = self.blocks.part(list, length);
            let part = part.map_err(|Damaged| Broken::Damaged(list.index))?;
            so_far.note(&part);
            if part.found_bytes() == 0 {
                continue;
            }
            self.ask_for_rest(part)?;
        }
        while !self.asked.is_empty() {
            self.hear_rest()?;
        }
        Ok(())
    }

    fn ask_for_rest(&mut self, part: Part) -> Result<(), Broken> {
        let bytes = part.wanted_bytes();
        if bytes == 0 {
            return self.put_together(&part);
        }
        if self.asked.len() >= limits::PARTS_ASKED_AHEAD {
            self.hear_rest()?;
        }
        wait_for_turn(self.shared, self.fetch, bytes)?;
        let what = question::What::Part(ChunkPart {
            index: part.index,
            blocks: part.wanted.to_vec(),
        });
        say(self.connection, what)?;
        self.asked.push_back(part);
        Ok(())
    }

    fn hear_rest(&mut self) -> Result<(), Broken> {
        let Some(part) = self.asked.pop_front() else {
            return Ok(());
        };
        let answer::What::Chunk(Chunk {
            index,
            payload_bytes,
            ..
        }) = hear(self.fetch, self.connection)?
        else {
            return Err(unexpected());
        };
        let bytes = part.wanted_bytes();
        if index != part.index || usize::try_from(payload_bytes) != Ok(bytes) {
            return Err(unexpected());
        }
        self.put_together(&part)?;
        self.fetch.count_received(bytes);
        crate::meter::note_data("received", bytes);
        Ok(())
    }

    /// Reads each block from where it is, checks the chunk, and writes it. What is not as it should be is fetched as a whole.
    fn put_together(&mut self, part: &Part) -> Result<(), Broken> {
        let payload = self.buffer.first(part.packed.payload_bytes);
        let mut rest = &mut *payload;
        for ((_, bytes), place) in part.packed.bits.lengths(part.length).zip(&part.places) {
            let Some((block, behind)) = rest.split_at_mut_checked(bytes) else {
                return Err(unexpected());
            };
            match place {
                None => self.connection.read_exact(block)?,
                // The hash of the chunk tells.
                Some(place) => drop(self.blocks.read(*place, block)),
            }
            rest = behind;
        }
        if part.packed.check(payload).is_err() {
            return Ok(());
        }
        self.target
            .write(part.index, &part.packed, &mut self.buffer)?;
        self.work.set_done(part.index);
        let found = part.found_bytes();
        self.fetch.count_reused(found);
        self.fetch.count_done(part.length - found);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_for_blocks_goes_on_while_it_saves_something() {
        let mut poor = Yield::default();
        let mut rich = Yield::default();
        for chunk in 0..limits::BLOCKS_TRIED {
            assert!(!poor.is_poor(), "{chunk}");
            poor.chunks += 1;
            rich.chunks += 1;
            rich.found_bytes += CHUNK_BYTES as u64 / 40;
        }
        assert!(poor.is_poor() && !rich.is_poor());
    }
}
