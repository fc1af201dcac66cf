//! The wire form of server-sent events, and the bounded way of them to one client.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::meter::OpenStream;

/// So that proxies and clients see that a quiet stream lives.
pub(crate) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// A comment: clients pass over it.
pub(crate) const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// Events that may wait for one client to take them. A client that is further behind is cut off, and comes back with
/// `Last-Event-ID`. Too low and a burst cuts off clients that would have kept up; too high and slow ones eat memory.
const WAITING_MAX: usize = 256;

/// How long a client may leave its buffer full.
const SLOW_PATIENCE: Duration = Duration::from_secs(10);

/// The way to one client; ends when it has gone or is too slow.
pub(crate) struct Sender {
    frames: mpsc::Sender<Bytes>,
    /// The client's place among the streams that there may be.
    _slot: OwnedSemaphorePermit,
    _open: OpenStream,
}

/// The client takes no more.
#[derive(Debug)]
pub(crate) struct Gone;

/// The body of the answer.
pub(crate) struct Frames(mpsc::Receiver<Bytes>);

pub(crate) fn channel(slot: OwnedSemaphorePermit) -> (Sender, Frames) {
    let (frames, receiver) = mpsc::channel(WAITING_MAX);
    let sender = Sender {
        frames,
        _slot: slot,
        _open: OpenStream::new(),
    };
    (sender, Frames(receiver))
}

impl Sender {
    pub(crate) async fn send(&self, frame: Bytes) -> Result<(), Gone> {
        let sent = self.frames.send_timeout(frame, SLOW_PATIENCE).await;
        sent.map_err(|_| Gone)
    }

    /// Ends when the client has gone.
    pub(crate) async fn gone(&self) {
        self.frames.closed().await;
    }
}

impl IntoResponse for Frames {
    fn into_response(self) -> Response {
        let frames = ReceiverStream::new(self.0).map(Ok::<_, std::convert::Infallible>);
        let headers = [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/event-stream"),
            ),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            // Proxies that buffer would hold events back.
            (
                header::HeaderName::from_static("x-accel-buffering"),
                HeaderValue::from_static("no"),
            ),
        ];
        (headers, Body::from_stream(frames)).into_response()
    }
}

/// One event. JSON holds no line break, so the data is one line.
pub(crate) fn frame(id: Option<u64>, event: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("{id}event: {event}\ndata: {data}\n\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_when_its_buffer_is_full() {
        let slots = Arc::new(Semaphore::new(1));
        let (sender, frames) = channel(Arc::clone(&slots).acquire_owned().await.unwrap());
        for _ in 0..WAITING_MAX {
            sender.send(KEEP_ALIVE).await.unwrap();
        }
        assert!(sender.send(KEEP_ALIVE).await.is_err());
        drop(sender);
        assert_eq!(
            slots.available_permits(),
            1,
            "its place is free for another"
        );
        drop(frames);
    }

    #[test]
    fn an_event_is_three_lines_whatever_is_in_it() {
        let frame = frame(Some(7), "vm.created", &"two\nlines");
        let text = std::str::from_utf8(&frame).unwrap();
        assert_eq!(text, "id: 7\nevent: vm.created\ndata: \"two\\nlines\"\n\n");
    }
}
