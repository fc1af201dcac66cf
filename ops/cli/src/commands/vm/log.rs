//! `muster vm log`.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use contracts::rest::headers;

use super::VmArg;
use crate::client::{Answer, Request};
use crate::commands::Session;
use crate::error::{Exit, Failure};
use crate::output::write;
use crate::values;
use crate::wait::may_pass;

/// The most that is given at a time, whatever is asked.
const PIECE_BYTES: u64 = 256 << 10;

/// How often a log that is followed is looked at again. The console is slow; more often would only cost.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    which: VmArg,
    /// Go on printing what is added, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// How much of the end to print [default: everything]
    #[arg(long, value_name = "SIZE", value_parser = log_size)]
    bytes: Option<u64>,
}

/// A log is small: a number alone means bytes here.
fn log_size(text: &str) -> Result<u64, String> {
    text.parse().or_else(|_| values::size(text))
}

pub(super) async fn run(session: &Session, args: LogArgs) -> Result<Exit, Failure> {
    let mut offset = match args.bytes {
        Some(bytes) => -i64::try_from(bytes).unwrap_or(i64::MAX),
        None => 0,
    };
    if offset == 0 && args.bytes.is_some() && !args.follow {
        return Ok(Exit::Done);
    }
    // A file gets every byte; a terminal gets what a guest has no power over it with.
    let mut plain = std::io::stdout().is_terminal().then(Plain::default);
    loop {
        let piece = match piece(session, &args.which.vm, offset).await {
            Ok(piece) => piece,
            Err(failure) if args.follow && offset != 0 && may_pass(&failure) => {
                tokio::time::sleep(FOLLOW_INTERVAL).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        match &mut plain {
            Some(plain) => write(&plain.take(&piece.text))?,
            None => write(&piece.text)?,
        }
        offset = piece.next;
        if !piece.at_end {
            continue;
        }
        if !args.follow {
            return Ok(Exit::Done);
        }
        tokio::time::sleep(FOLLOW_INTERVAL).await;
    }
}

/// Leaves out what would steer the terminal: escape sequences, also those cut in two, and control characters.
#[derive(Default)]
struct Plain {
    within: Within,
    previous: u8,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Text,
    /// After the escape character.
    Escape,
    /// Up to the letter that ends a control sequence.
    Sequence,
    /// Up to the bell or escape that ends a command to the terminal, such as a new title.
    Command,
}

impl Plain {
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes
            .iter()
            .copied()
            .filter(|byte| self.passes(*byte))
            .collect()
    }

    fn passes(&mut self, byte: u8) -> bool {
        const ESCAPE: u8 = 0x1b;
        const BELL: u8 = 0x07;
        let was = self.within;
        self.within = match (was, byte) {
            (_, ESCAPE) => Within::Escape,
            (Within::Escape, b'[') => Within::Sequence,
            (Within::Escape, b']' | b'P' | b'X' | b'^' | b'_') => Within::Command,
            (Within::Escape, b' '..=b'/') => Within::Escape,
            (Within::Sequence, b' '..=b'?') => Within::Sequence,
            (Within::Command, BELL) => Within::Text,
            (Within::Command, _) => Within::Command,
            _ => Within::Text,
        };
        let harmless = matches!(byte, b'\n' | b'\r' | b'\t') || (byte >= b' ' && byte != 0x7f);
        // U+0080 to U+009F are control characters too, two bytes each.
        let second_of_control = std::mem::replace(&mut self.previous, byte) == 0xc2 && byte < 0xa0;
        was == Within::Text && self.within == Within::Text && harmless && !second_of_control
    }
}

/// A part of the log, and where to go on.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    text: Vec<u8>,
    next: i64,
    at_end: bool,
}

async fn piece(session: &Session, vm: &str, offset: i64) -> Result<Piece, Failure> {
    let query = vec![
        ("offset", offset.to_string()),
        ("bytes", PIECE_BYTES.to_string()),
    ];
    let request = Request::get(&["vms", vm, "log"]).query(query);
    read(offset, session.client.send(request).await?)
}

fn read(offset: i64, answer: Answer) -> Result<Piece, Failure> {
    let number = |name: &str| -> Option<i64> { answer.header(name)?.parse().ok() };
    let next = number(headers::LOG_NEXT_OFFSET);
    let size = number(headers::LOG_SIZE);
    let (Some(next), Some(size)) = (next, size) else {
        return Err(Failure::Unexpected(
            "The answer does not say how long the log is.".to_owned(),
        ));
    };
    // A log that is shorter than what was read of it was started anew, with its machine.
    let next = if size < offset { 0 } else { next };
    Ok(Piece {
        at_end: next >= size || (next == offset && answer.body.is_empty()),
        text: answer.body,
        next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &[u8], next: &str, size: &str) -> Answer {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert(headers::LOG_NEXT_OFFSET, next.parse().unwrap());
        headers.insert(headers::LOG_SIZE, size.parse().unwrap());
        Answer {
            headers,
            body: body.to_vec(),
        }
    }

    #[test]
    fn reading_goes_on_where_it_stopped_and_knows_the_end() {
        let part = read(0, answer(b"abc", "3", "5")).unwrap();
        assert_eq!((part.next, part.at_end), (3, false));
        let rest = read(3, answer(b"de", "5", "5")).unwrap();
        assert_eq!((rest.next, rest.at_end), (5, true));
    }

    #[test]
    fn a_guest_has_no_power_over_the_terminal() {
        assert_eq!(Plain::default().take("a\u{9b}1m".as_bytes()), b"a\xc21m");
        let log = b"ok \x1b[1;31mred\x1b[0m \x1b]0;title\x07x\x1b(B\x08\x7f \xe2\x98\x85\r\n";
        for piece_bytes in 1..log.len() {
            let mut plain = Plain::default();
            let seen: Vec<u8> = log
                .chunks(piece_bytes)
                .flat_map(|piece| plain.take(piece))
                .collect();
            assert_eq!(
                seen, b"ok red x \xe2\x98\x85\r\n",
                "pieces of {piece_bytes}"
            );
        }
    }

    #[test]
    fn a_log_that_was_started_anew_is_read_from_its_start() {
        let anew = read(500, answer(b"", "500", "10")).unwrap();
        assert_eq!((anew.next, anew.at_end), (0, false));
    }

    #[test]
    fn an_answer_without_its_headers_is_not_guessed() {
        let bare = Answer {
            headers: Default::default(),
            body: Vec::new(),
        };
        assert!(read(0, bare).is_err());
        assert_eq!(log_size("100"), Ok(100));
        assert_eq!(log_size("4KiB"), Ok(4_096));
    }
}
