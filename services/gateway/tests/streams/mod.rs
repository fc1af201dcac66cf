//! A client of server-sent events.

use std::collections::VecDeque;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::fleet::Gateway;

/// How long an event may take on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: Option<u64>,
    pub(crate) event: String,
    pub(crate) data: Value,
}

pub(crate) struct Stream {
    bytes: BoxStream<'static, Vec<u8>>,
    text: String,
    ready: VecDeque<Message>,
    /// What `Last-Event-ID` would be now.
    pub(crate) last_id: Option<u64>,
}

impl Stream {
    pub(crate) async fn open(gateway: &Gateway, path: &str, last_id: Option<u64>) -> Self {
        let mut request = gateway.ask(Method::GET, path);
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let bytes = response.bytes_stream();
        Self {
            bytes: bytes
                .map(|piece| piece.map(|b| b.to_vec()).unwrap_or_default())
                .boxed(),
            text: String::new(),
            ready: VecDeque::new(),
            last_id,
        }
    }

    /// The next event with data; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                self.last_id = message.id.or(self.last_id);
                return Some(message);
            }
            let piece = tokio::time::timeout(PATIENCE, self.bytes.next()).await;
            let piece = piece.expect("an event was waited for in vain")?;
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                self.read(&block);
            }
        }
    }

    /// Waits until the server has said where the stream begins.
    pub(crate) async fn opened(&mut self) {
        while self.last_id.is_none() {
            let piece = tokio::time::timeout(PATIENCE, self.bytes.next()).await;
            let piece = piece.expect("the stream does not begin").unwrap();
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                self.read(&block);
            }
        }
    }

    fn read(&mut self, block: &str) {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        let id = field("id:").map(|id| id.parse().unwrap());
        match field("data:") {
            Some(data) => self.ready.push_back(Message {
                id,
                event: field("event:").unwrap_or_default(),
                data: serde_json::from_str(&data).unwrap(),
            }),
            None => self.last_id = id.or(self.last_id),
        }
    }
}
