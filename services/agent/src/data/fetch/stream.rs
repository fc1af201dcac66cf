//! One connection of a fetch: asks for chunks, checks them, writes them.

use std::collections::VecDeque;
use std::io::{self, Read as _};

use contracts::Status;
use contracts::data::{Answer, Chunk, Question, answer, question};

use super::super::chunk::{self, Packed};
use super::super::wire::Connection;
use super::super::{Shared, limits};
use super::Fetch;
use super::aligned::Aligned;
use super::target::Target;
use super::work::Work;

/// Why a connection is of no more use.
#[derive(Debug)]
pub(super) enum Broken {
    /// It is cut, or the other end is gone: another may do.
    Line(io::Error),
    /// A chunk is not what it was announced as.
    Damaged(u64),
    /// The fetch cannot go on.
    Ends(Status),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Line(error)
    }
}

impl From<Status> for Broken {
    fn from(problem: Status) -> Self {
        Self::Ends(problem)
    }
}

/// Sends a question.
pub(super) fn say(connection: &mut Connection, what: question::What) -> io::Result<()> {
    connection.send(&Question { what: Some(what) }, &[])
}

/// Reads an answer. What the source refuses ends the fetch, or only this connection where it may do it later.
pub(super) fn hear(fetch: &Fetch, connection: &mut Connection) -> Result<answer::What, Broken> {
    let closed = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let heard: Answer = connection.receive()?.ok_or_else(closed)?;
    fetch.count_received(prost::Message::encoded_len(&heard) + 4);
    match (heard.problem, heard.what) {
        (Some(problem), _) if problem.retryable() => {
            Err(Broken::Line(io::Error::other(problem.message)))
        }
        (Some(problem), _) => Err(Broken::Ends(problem)),
        (None, Some(what)) => Ok(what),
        (None, None) => Err(Broken::Line(io::Error::other(
            "an answer that says nothing",
        ))),
    }
}

/// Asks, and reads the answer.
pub(super) fn ask(
    fetch: &Fetch,
    connection: &mut Connection,
    what: question::What,
) -> Result<answer::What, Broken> {
    say(connection, what)?;
    hear(fetch, connection)
}

pub(super) fn unexpected() -> Broken {
    Broken::Line(io::Error::other("an answer to another question"))
}

/// Fetches chunks until there are none left to be asked for. Those that did not come are given back.
pub(super) fn run(
    shared: &Shared,
    fetch: &Fetch,
    target: &Target,
    work: &Work,
    connection: &mut Connection,
) -> Result<(), Broken> {
    let mut asked = VecDeque::new();
    let ended = pump(shared, fetch, target, work, connection, &mut asked);
    work.give_back(asked);
    ended
}

fn pump(
    shared: &Shared,
    fetch: &Fetch,
    target: &Target,
    work: &Work,
    connection: &mut Connection,
    asked: &mut VecDeque<u64>,
) -> Result<(), Broken> {
    let mut buffer = Aligned::new();
    loop {
        while asked.len() < limits::ASKED_AHEAD
            && let Some(index) = work.next()
        {
            asked.push_back(index);
            wait_for_turn(shared, fetch, chunk::length(index, target.size_bytes()))?;
            say(connection, question::What::Chunk(index))?;
        }
        let Some(index) = asked.front().copied() else {
            return Ok(());
        };
        let answer::What::Chunk(chunk) = hear(fetch, connection)? else {
            return Err(unexpected());
        };
        take(fetch, target, connection, index, &chunk, &mut buffer)?;
        work.set_done(index);
        asked.pop_front();
    }
}

/// Waits for the throttles of the transfer and of the host.
pub(super) fn wait_for_turn(shared: &Shared, fetch: &Fetch, bytes: usize) -> Result<(), Broken> {
    let is_wanted = || !fetch.is_stopped();
    let may = fetch.throttle.wait(bytes, is_wanted) && shared.throttle.wait(bytes, is_wanted);
    match may {
        true => Ok(()),
        false => Err(Broken::Line(io::ErrorKind::Interrupted.into())),
    }
}

fn take(
    fetch: &Fetch,
    target: &Target,
    connection: &mut Connection,
    index: u64,
    chunk: &Chunk,
    buffer: &mut Aligned,
) -> Result<(), Broken> {
    let length = chunk::length(index, target.size_bytes());
    if chunk.index != index {
        return Err(unexpected());
    }
    let damaged = |_| Broken::Damaged(index);
    let packed = Packed::announced(&chunk.blocks, &chunk.hash, chunk.payload_bytes, length);
    let packed = packed.map_err(damaged)?;
    let payload = buffer.first(packed.payload_bytes);
    connection.read_exact(payload)?;
    packed.check(payload).map_err(damaged)?;
    fetch.count_received(packed.payload_bytes);
    crate::meter::note_data("received", packed.payload_bytes);
    target.write(index, &packed, buffer)?;
    fetch.count_done(length);
    Ok(())
}
