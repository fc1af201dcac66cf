//! A stream of server-sent events.

use std::collections::VecDeque;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;

use super::request::Client;
use super::sse::{Message, Parser};
use crate::error::Failure;

/// Silence after which the connection counts as lost: the gateway sends a sign of life several times as often, and a
/// host that was switched off never says that it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);

type Pieces = BoxStream<'static, Result<Vec<u8>, String>>;

pub(crate) struct Events {
    pieces: Pieces,
    parser: Parser,
    ready: VecDeque<Message>,
}

impl Client {
    pub(crate) async fn events(
        &self,
        segments: &[&str],
        query: &[(&'static str, String)],
        last_event_id: Option<&str>,
    ) -> Result<Events, Failure> {
        let response = self.open(segments, query, last_event_id).await?;
        let pieces = response
            .bytes_stream()
            .map(|piece| piece.map(|bytes| bytes.to_vec()).map_err(|e| e.to_string()));
        Ok(Events {
            pieces: pieces.boxed(),
            parser: Parser::default(),
            ready: VecDeque::new(),
        })
    }
}

impl Events {
    /// Where the stream should go on when it is opened again.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.parser.last_id()
    }

    /// The next event; `None` once the stream is over or lost, which for a stream that never ends by itself is the
    /// same: it must be opened again.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            let piece = tokio::time::timeout(SILENCE_MAX, self.pieces.next()).await;
            let bytes = piece.ok()??.ok()?;
            self.ready.extend(self.parser.push(&bytes).ok()?);
        }
    }
}
