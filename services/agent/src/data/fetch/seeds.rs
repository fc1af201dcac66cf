//! Parts of the content that are on this host already: they are taken from there, and do not travel.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use contracts::Status;
use contracts::data::{FileRef, answer, question};

use super::super::chunk::{self, CHUNK_BYTES, HASH_BYTES, Hash, Packed, ZERO_CHUNK};
use super::super::source::Source;
use super::super::wire::Connection;
use super::super::{Shared, limits, roots};
use super::Fetch;
use super::aligned::Aligned;
use super::stream::{Broken, ask, unexpected};
use super::target::Target;
use super::work::Work;

/// Chunks of files of this host by their hash.
#[derive(Default)]
pub(super) struct Seeds {
    files: Vec<Seed>,
    chunks: HashMap<Hash, (usize, u64)>,
}

/// A file of this host.
pub(super) struct Seed {
    pub(super) file: File,
    pub(super) size_bytes: u64,
    /// Somebody has said that it holds much of the same.
    is_named: bool,
    /// Chunks that were taken from it.
    hits: u64,
}

impl Seeds {
    /// Looks through the files that were named, or else through those that are remembered of the target's datastore.
    pub(super) fn gather(shared: &Shared, fetch: &Fetch) -> Self {
        let mut seeds = Self::default();
        let target = fetch.ticket.target.clone().unwrap_or_default();
        if fetch.seeds.is_empty() {
            seeds.add_remembered(shared, &target);
        }
        for seed in fetch.seeds.iter().take(limits::SEEDS_MAX) {
            if let Err(problem) = seeds.add(shared, seed) {
                // It would only have saved something.
                tracing::info!(file = seed.path, %problem, "a file is not looked through");
            }
        }
        seeds
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// A file whose hashes are found out now where they are not known.
    fn add(&mut self, shared: &Shared, seed: &FileRef) -> Result<(), Status> {
        let source = Source::open(&shared.roots, &shared.remembered, seed)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        let file = self.add_file(shared.roots.open(seed)?, source.facts.size_bytes, true);
        let mut from = 0;
        loop {
            let page = source.hashes(from, &mut buffer)?;
            for (index, hash) in (from..).zip(page.hashes.as_chunks::<HASH_BYTES>().0) {
                self.add_chunk(file, index, hash);
            }
            from = page.next;
            if from == 0 {
                return Ok(());
            }
        }
    }

    fn add_remembered(&mut self, shared: &Shared, target: &FileRef) {
        let all = shared.remembered.all().unwrap_or_default();
        let near = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let others = all.into_iter().filter(|(head, _)| {
            head.datastore == target.datastore && near(&head.path) == near(&target.path)
        });
        for (head, slots) in others.take(limits::SEEDS_MAX) {
            let name = FileRef {
                datastore: head.datastore.clone(),
                path: head.path.clone(),
            };
            let Ok(file) = shared.roots.open(&name) else {
                continue;
            };
            let is_same = file
                .metadata()
                .is_ok_and(|m| Some(roots::stamp(&m)) == head.stamp);
            if is_same {
                let file = self.add_file(file, head.size_bytes(), false);
                // What cannot be read is not known.
                let _ = slots.each(head.size_bytes(), |index, hash| {
                    self.add_chunk(file, index, hash);
                    Ok(())
                });
            }
        }
    }

    fn add_file(&mut self, file: File, size_bytes: u64, is_named: bool) -> usize {
        self.files.push(Seed {
            file,
            size_bytes,
            is_named,
            hits: 0,
        });
        self.files.len() - 1
    }

    /// Files that hold other parts of the content too, most likely: those that were named, and those with chunks of it.
    pub(super) fn related(&self) -> Vec<&Seed> {
        let is_related = |seed: &&Seed| seed.is_named || seed.hits > 0;
        let mut related: Vec<&Seed> = self.files.iter().filter(is_related).collect();
        related.sort_by_key(|seed| std::cmp::Reverse((seed.is_named, seed.hits)));
        related
    }

    fn add_chunk(&mut self, file: usize, index: u64, hash: &Hash) {
        let counts = *hash != Hash::default() && *hash != *ZERO_CHUNK;
        if counts && self.chunks.len() < limits::SEED_CHUNKS_MAX {
            self.chunks.entry(*hash).or_insert((file, index));
        }
    }

    /// Reads a chunk of this content. `None`: there is none, or it is not what it was any more.
    fn read(&mut self, hash: &Hash, length: usize, buffer: &mut Aligned) -> Option<Packed> {
        let (file, index) = self.chunks.get(hash)?;
        let seed = self.files.get_mut(*file)?;
        let there = chunk::length(*index, seed.size_bytes);
        let content = buffer.first(CHUNK_BYTES);
        content.fill(0);
        let bytes = content.get_mut(..there)?;
        let at = chunk::offset(*index);
        seed.file.read_exact_at(bytes, at).ok()?;
        let packed = Packed::pack(buffer.first(length));
        let is_same = packed.hash == *hash;
        seed.hits += u64::from(is_same);
        is_same.then_some(packed)
    }
}

/// Takes what is here, as the source's hashes say.
pub(super) fn take(
    fetch: &Fetch,
    seeds: &mut Seeds,
    target: &Target,
    work: &Work,
    connection: &mut Connection,
) -> Result<(), Broken> {
    let mut buffer = Aligned::new();
    let mut missing = work
        .missing()
        .into_iter()
        .flat_map(|r| r.first..r.first + r.count);
    let mut next = missing.next();
    while let Some(first) = next {
        let what = question::What::HashesFrom(first);
        let answer::What::Hashes(page) = ask(fetch, connection, what)? else {
            return Err(unexpected());
        };
        let hashes = page.hashes.as_chunks::<HASH_BYTES>().0;
        if hashes.is_empty() {
            return Err(unexpected());
        }
        while let Some(index) = next
            && let Some(hash) = hash_at(hashes, first, index)
        {
            let length = chunk::length(index, target.size_bytes());
            if let Some(packed) = seeds.read(hash, length, &mut buffer) {
                target.write(index, &packed, &mut buffer)?;
                work.set_done(index);
                fetch.count_reused(length);
            }
            if fetch.is_stopped() {
                return Ok(());
            }
            next = missing.next();
        }
    }
    Ok(())
}

fn hash_at(hashes: &[Hash], first: u64, index: u64) -> Option<&Hash> {
    hashes.get(usize::try_from(index.checked_sub(first)?).ok()?)
}
