//! Before and after the chunks: what there is to fetch, and whether all of it has come.

use contracts::data::{FileFacts, FileStamp, Open, answer, question};

use super::super::wire::Connection;
use super::super::{Shared, chunk};
use super::Fetch;
use super::parts;
use super::seeds::{self, Seeds};
use super::stream::{Broken, ask, unexpected};
use super::target::{self, Begun, Target};
use super::work::{Runs, Work};

/// Opens the file at the source. One that is another than before is refused there.
pub(super) fn open(
    fetch: &Fetch,
    connection: &mut Connection,
    expected: Option<FileStamp>,
) -> Result<FileFacts, Broken> {
    match ask(fetch, connection, question::What::Open(Open { expected }))? {
        answer::What::Opened(facts) => Ok(facts),
        _ => Err(unexpected()),
    }
}

/// Learns what there is to fetch, and takes what is here already. `None`: the file is whole.
pub(super) fn prepare(
    shared: &Shared,
    fetch: &Fetch,
    connection: &mut Connection,
    opened: &mut Option<Box<Target>>,
) -> Result<Option<(Box<Target>, Work)>, Broken> {
    let facts = match opened {
        Some(target) => open(fetch, connection, target.expected())?,
        None => open(fetch, connection, None)?,
    };
    if opened.is_none() {
        match target::begin(&shared.roots, &shared.remembered, &fetch.ticket, &facts)? {
            Begun::Whole(head) => {
                fetch.begins(facts.size_bytes, facts.allocated_bytes);
                fetch.has(facts.allocated_bytes);
                fetch.set_content_hash(&head.content_hash);
                return Ok(None);
            }
            Begun::Going(target) => {
                // Of a file that this transfer has begun with before.
                if target.expected() != facts.stamp {
                    open_again(fetch, connection, &target)?;
                }
                *opened = Some(target);
            }
        }
    }
    let Some(target) = opened.take() else {
        return Err(unexpected());
    };
    let prepared = look_through(shared, fetch, connection, &target, facts.tells_blocks);
    match prepared {
        Ok(work) => Ok(Some((target, work))),
        Err(broken) => {
            *opened = Some(target);
            Err(broken)
        }
    }
}

/// Lets the source say itself that its file is another one now.
fn open_again(fetch: &Fetch, connection: &mut Connection, target: &Target) -> Result<(), Broken> {
    open(fetch, connection, target.expected()).map(drop)
}

fn look_through(
    shared: &Shared,
    fetch: &Fetch,
    connection: &mut Connection,
    target: &Target,
    tells_blocks: bool,
) -> Result<Work, Broken> {
    let mut runs = Runs::default();
    let mut from = 0;
    loop {
        let answer::What::Map(map) = ask(fetch, connection, question::What::MapFrom(from))? else {
            return Err(unexpected());
        };
        map.runs.into_iter().for_each(|run| runs.push(run));
        from = map.next;
        if from == 0 {
            break;
        }
    }
    let size_bytes = target.size_bytes();
    let total = runs.chunks().saturating_mul(chunk::CHUNK_BYTES as u64);
    fetch.begins(size_bytes, total.min(size_bytes));
    let work = Work::new(runs, chunk::count(size_bytes));
    let mut done = 0;
    target.each_done(|index| {
        work.set_done(index);
        done += chunk::length(index, size_bytes) as u64;
    })?;
    fetch.has(done);
    let mut seeds = Seeds::gather(shared, fetch);
    if !seeds.is_empty() {
        seeds::take(fetch, &mut seeds, target, &work, connection)?;
    }
    if tells_blocks {
        parts::take(shared, fetch, &seeds.related(), target, &work, connection)?;
    }
    Ok(work)
}

/// The hash of the whole at the source, which may have to look at chunks again that it has forgotten.
pub(super) fn whole(fetch: &Fetch, connection: &mut Connection) -> Result<Vec<u8>, Broken> {
    loop {
        match ask(fetch, connection, question::What::Finish(true))? {
            answer::What::ContentHash(hash) if !hash.is_empty() => return Ok(hash),
            answer::What::ContentHash(_) => {}
            _ => return Err(unexpected()),
        }
        let mut from = 0;
        loop {
            let what = question::What::HashesFrom(from);
            let answer::What::Hashes(page) = ask(fetch, connection, what)? else {
                return Err(unexpected());
            };
            from = page.next;
            if from == 0 {
                break;
            }
        }
    }
}
