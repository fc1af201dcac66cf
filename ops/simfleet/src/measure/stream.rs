//! Server-sent events, as a client reads them.

use anyhow::Context as _;
use contracts::rest;
use futures::{Stream, StreamExt};

use crate::muster::Muster;

/// Events from now on, or after one that is known. The stream begins when the server has answered.
pub async fn events(
    muster: &Muster,
    query: &str,
    after: Option<u64>,
) -> anyhow::Result<impl Stream<Item = anyhow::Result<Sse>> + Unpin + Send + use<>> {
    let mut request = muster.request(&format!("/api/v1/events?{query}"));
    if let Some(after) = after {
        request = request.header("Last-Event-ID", after.to_string());
    }
    let answer = request.send().await?.error_for_status()?;
    let parts = answer.bytes_stream();
    let frames = parts.scan(Vec::new(), |left: &mut Vec<u8>, part| {
        let found = part.map(|part| {
            left.extend_from_slice(&part);
            take_frames(left)
        });
        futures::future::ready(Some(found))
    });
    let each = frames.flat_map(|found| {
        let found = match found {
            Ok(frames) => frames.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error.into())],
        };
        futures::stream::iter(found)
    });
    Ok(each.boxed())
}

/// One frame of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sse {
    /// Place in the log.
    pub id: Option<u64>,
    /// As `vm.state_changed`; empty for one that only says that the stream lives.
    pub event: String,
    data: String,
}

impl Sse {
    pub fn event(&self) -> anyhow::Result<rest::Event> {
        serde_json::from_str(&self.data).with_context(|| format!("the event {:?}", self.id))
    }
}

/// Takes the frames that have come in whole.
fn take_frames(bytes: &mut Vec<u8>) -> Vec<Sse> {
    let Some(end) = bytes.windows(2).rposition(|pair| pair == b"\n\n") else {
        return Vec::new();
    };
    let whole: Vec<u8> = bytes.drain(..end + 2).collect();
    let text = String::from_utf8_lossy(&whole);
    text.split("\n\n")
        .filter(|frame| !frame.is_empty())
        .map(read_frame)
        .collect()
}

fn read_frame(frame: &str) -> Sse {
    let field = |name: &str| {
        let mut lines = frame.lines();
        lines.find_map(|line| line.strip_prefix(name))
    };
    Sse {
        id: field("id: ").and_then(|id| id.parse().ok()),
        event: field("event: ").unwrap_or_default().to_owned(),
        data: field("data: ").unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_when_they_are_whole() {
        let mut bytes =
            b"retry: 1000\nid: 4\n\nid: 5\nevent: vm.created\ndata: {}\n\nid: 6".to_vec();
        let frames = take_frames(&mut bytes);
        let ids: Vec<_> = frames.iter().map(|frame| frame.id).collect();
        assert_eq!(ids, [Some(4), Some(5)]);
        assert_eq!(frames.last().map(|f| f.event.as_str()), Some("vm.created"));
        assert_eq!(bytes, b"id: 6");
    }
}
