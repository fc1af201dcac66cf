//! The source's side of a connection: answers one question after the other.

use std::io;

use contracts::Status;
use contracts::data::{Answer, Chunk, Question, Ticket, answer, question};

use super::chunk::{self, Bits, CHUNK_BYTES};
use super::source::Source;
use super::wire::Connection;
use super::{Shared, limits, ticket};

/// How a connection ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The target has closed it.
    Closed,
    /// After the whole was confirmed: the target has everything.
    Whole,
}

/// What a question comes to.
enum Said {
    Answer(answer::What),
    /// A chunk, whose payload is that long at the start of the buffer.
    Chunk(Chunk, usize),
}

/// Answers until the target closes the connection. A question that is refused ends it.
pub(super) fn serve(
    shared: &Shared,
    connection: &mut Connection,
    ticket: &Ticket,
) -> io::Result<Ended> {
    let Some(_place) = shared.serving.enter(&ticket.transfer_id) else {
        connection.refuse(&busy(ticket));
        return Ok(Ended::Closed);
    };
    connection.set_timeout(limits::QUESTION_TIMEOUT)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut source = None;
    let mut ended = Ended::Closed;
    while let Some(asked) = connection.receive::<Question>()? {
        match answer(shared, ticket, &mut source, &asked, &mut buffer) {
            Ok(Said::Answer(what)) => {
                if matches!(what, answer::What::ContentHash(_)) {
                    ended = Ended::Whole;
                }
                connection.send(&said(what), &[])?;
            }
            Ok(Said::Chunk(chunk, length)) => {
                if !shared.throttle.wait(length, || !shared.is_stopping()) {
                    break;
                }
                let payload = buffer.get(..length).unwrap_or_default();
                connection.send(&said(answer::What::Chunk(chunk)), payload)?;
                crate::meter::note_data("sent", length);
            }
            Err(problem) => {
                tracing::info!(transfer = ticket.transfer_id, %problem, "a question of a target is refused");
                connection.refuse(&problem);
                break;
            }
        }
    }
    Ok(ended)
}

fn said(what: answer::What) -> Answer {
    Answer {
        problem: None,
        what: Some(what),
    }
}

fn busy(ticket: &Ticket) -> Status {
    Status::unavailable(format!(
        "The source of transfer {} sends {} others already.",
        ticket.transfer_id,
        limits::TRANSFERS_AT_A_TIME
    ))
    .action("It is tried again by itself.")
}

fn answer(
    shared: &Shared,
    ticket: &Ticket,
    source: &mut Option<Source>,
    asked: &Question,
    buffer: &mut [u8],
) -> Result<Said, Status> {
    let what = asked.what.as_ref();
    let what = what.ok_or_else(|| ticket::refused("The question cannot be understood."))?;
    if let question::What::Open(open) = what {
        let name = ticket.source.clone().unwrap_or_default();
        let opened = Source::open(&shared.roots, &shared.remembered, &name)?;
        if let Some(expected) = &open.expected {
            opened.check(expected)?;
        }
        let facts = opened.facts;
        *source = Some(opened);
        return Ok(Said::Answer(answer::What::Opened(facts)));
    }
    let source = source
        .as_ref()
        .ok_or_else(|| ticket::refused("The file has to be opened first."))?;
    if !matches!(what, question::What::Chunk(_)) {
        ticket::check_whole(ticket)?;
    }
    Ok(Said::Answer(match what {
        question::What::Chunk(index) => return chunk(ticket, source, *index, None, buffer),
        question::What::Part(part) => {
            let length = chunk::length(part.index, source.facts.size_bytes);
            let wanted = Bits::read(&part.blocks, length);
            let wanted =
                wanted.map_err(|_| ticket::refused("Such blocks a chunk does not have."))?;
            return chunk(ticket, source, part.index, Some(wanted), buffer);
        }
        question::What::BlocksOf(list) => answer::What::Blocks(source.blocks(list, buffer)?),
        question::What::MapFrom(from) => answer::What::Map(source.map(*from)?),
        question::What::HashesFrom(first) => answer::What::Hashes(source.hashes(*first, buffer)?),
        question::What::Finish(_) => {
            let whole = source.whole(buffer)?;
            answer::What::ContentHash(whole.map_or(Vec::new(), |hash| hash.to_vec()))
        }
        question::What::Open(_) => return Err(ticket::refused("The file is open already.")),
    }))
}

/// A chunk, or those of its blocks that are wanted.
fn chunk(
    ticket: &Ticket,
    source: &Source,
    index: u64,
    wanted: Option<Bits>,
    buffer: &mut [u8],
) -> Result<Said, Status> {
    if !ticket::covers(ticket, index, source.facts.size_bytes) {
        return Err(ticket::refused(format!(
            "Chunk {index} is outside of the range of the ticket, or of the file."
        )));
    }
    let packed = source.chunk(index, buffer)?;
    let (blocks, payload_bytes) = match wanted {
        None => (packed.bits.to_vec(), packed.payload_bytes),
        Some(wanted) => {
            let (part, bytes) = packed.part(&wanted, buffer);
            (part.to_vec(), bytes)
        }
    };
    let chunk = Chunk {
        index,
        blocks,
        hash: packed.hash.to_vec(),
        payload_bytes: u32::try_from(payload_bytes).unwrap_or(u32::MAX),
    };
    Ok(Said::Chunk(chunk, payload_bytes))
}
