//! What Muster relies on of a bus, each behaviour a function; run on the model and on a real nats-server.
//!
//! Where the two differ, the real server is right and the model is changed.

pub mod calls;
pub mod logs;
pub mod outages;
pub mod queues;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use kit::bus::{Append, Bus, Expect, LogKind, LogSpec, Message, headers};

use crate::bus::Order;

/// What is done to a server from outside.
#[async_trait(?Send)]
pub trait Hands: Send + Sync {
    async fn stop(&self);
    async fn start(&self);
    /// While it is stopped.
    async fn lose_everything(&self);
}

/// A server with two connections.
pub struct Stage {
    pub bus: Arc<dyn Bus>,
    pub other: Arc<dyn Bus>,
    pub order: Order,
    pub hands: Box<dyn Hands>,
}

/// In which nothing may come that should not: long for a message on loopback, short for a test.
const SILENCE: Duration = Duration::from_millis(400);

fn spec(name: &str, kind: LogKind) -> LogSpec {
    LogSpec {
        name: name.to_owned(),
        subject: format!("{name}.>"),
        kind,
        first_sequence: 1,
    }
}

async fn bucket(stage: &Stage) {
    stage.bus.ensure(&spec("b", LogKind::Bucket)).await.unwrap();
}

async fn stream(stage: &Stage) {
    let kind = LogKind::Stream {
        age_max: Duration::from_secs(3600),
        bytes_max: 1 << 20,
    };
    stage.bus.ensure(&spec("s", kind)).await.unwrap();
}

async fn queue(stage: &Stage) {
    stage.bus.ensure(&spec("q", LogKind::Queue)).await.unwrap();
}

/// An entry whose payload and id are the same.
fn entry(subject: &str, id: &str) -> Append {
    Append {
        log: subject.split('.').next().unwrap_or_default().to_owned(),
        subject: subject.to_owned(),
        message: Message::new(id.to_owned()).header(headers::MESSAGE_ID, id),
        expect: None,
        lifetime: None,
    }
}

fn expecting(subject: &str, id: &str, filter: &str, sequence: u64) -> Append {
    Append {
        expect: Some(Expect {
            filter: filter.to_owned(),
            sequence,
        }),
        ..entry(subject, id)
    }
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}

/// The next thing of a stream, which must come.
async fn next<T>(stream: &mut BoxStream<'static, T>) -> T {
    tokio::time::timeout(support::PATIENCE, stream.next())
        .await
        .expect("something to come in time")
        .expect("the stream to go on")
}

async fn is_silent<T>(stream: &mut BoxStream<'static, T>) -> bool {
    tokio::time::timeout(SILENCE, stream.next()).await.is_err()
}
