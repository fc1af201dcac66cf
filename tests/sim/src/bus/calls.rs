//! Calls and signals as a client sees them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::limits::MESSAGE_BYTES_MAX;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use kit::bus::{BusError, Endpoints, Incoming, Message, Refusal, Request, Serving};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::SimBus;
use super::faults::Fault;
use super::server::Server;
use super::signals::{Answer, Arrived, ReplyTo};

/// Headers of an error answer in the Services protocol.
const ERROR_CODE: &str = "Nats-Service-Error-Code";
const ERROR_TEXT: &str = "Nats-Service-Error";

fn check_size(subject: &str, message: &Message) -> Result<(), BusError> {
    let bytes = message.payload.len();
    if bytes <= MESSAGE_BYTES_MAX {
        return Ok(());
    }
    let subject = subject.to_owned();
    Err(BusError::TooLarge { subject, bytes })
}

impl SimBus {
    pub(super) async fn request_on_model(
        &self,
        subject: &str,
        message: Message,
        timeout: Duration,
    ) -> Result<Message, BusError> {
        check_size(subject, &message)?;
        let (reply_to, answered) = ReplyTo::new(Arc::clone(&self.link));
        let deadline = Instant::now() + timeout;
        // Kept until the deadline: that an answer is lost is not noticed before.
        let kept = reply_to.clone();
        self.send_signal(subject, message, Some(reply_to));
        let answer = tokio::time::timeout_at(deadline, answered).await;
        drop(kept);
        match answer {
            Ok(Ok(Answer::Message(message))) => Ok(message),
            Ok(Ok(Answer::NoResponders)) => Err(BusError::NoResponders(subject.to_owned())),
            Ok(Err(_)) | Err(_) => Err(BusError::TimedOut(subject.to_owned())),
        }
    }

    fn send_signal(&self, subject: &str, message: Message, reply_to: Option<ReplyTo>) {
        let twice = self.server.faults.rate(Fault::Duplicate);
        let copies = 1 + u32::from(self.server.world.draw(|chance| chance.happens(twice)));
        for _ in 0..copies {
            let (server, subject) = (Arc::clone(&self.server), subject.to_owned());
            let (message, reply_to) = (message.clone(), reply_to.clone());
            self.link.send(move || {
                let heard = server.route(&subject, &message, reply_to.as_ref());
                if let Some(reply_to) = reply_to.filter(|_| !heard) {
                    reply_to.answer(Answer::NoResponders);
                }
            });
        }
    }

    pub(super) fn publish_on_model(&self, subject: &str, message: Message) -> Result<(), BusError> {
        if message.payload.len() > MESSAGE_BYTES_MAX {
            return Err(super::broken(
                subject,
                "the message is larger than the bus takes",
            ));
        }
        self.send_signal(subject, message, None);
        Ok(())
    }

    fn listen(
        &self,
        filter: &str,
        group: Option<(String, String)>,
        sender: mpsc::UnboundedSender<Arrived>,
    ) -> Listening {
        // The client keeps its list of subscriptions and tells a server that it comes back to: never lost.
        let link = Arc::clone(&self.link);
        let id = self
            .server
            .subscriptions(|all| all.add(filter, group, link, sender));
        let server = Arc::clone(&self.server);
        Listening { server, id }
    }

    pub(super) fn subscribe_on_model(&self, filter: &str) -> BoxStream<'static, Incoming> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let listening = self.listen(filter, None, sender);
        stream_of(receiver)
            .map(move |arrived| {
                let _ = &listening;
                arrived.incoming
            })
            .boxed()
    }

    pub(super) fn serve_on_model(&self, endpoints: &Endpoints) -> Serving {
        let (sender, receiver) = mpsc::unbounded_channel();
        let listening: Vec<Listening> = endpoints
            .endpoints
            .iter()
            .map(|(method, subject)| {
                let group = (endpoints.service.clone(), method.clone());
                self.listen(subject, Some(group), sender.clone())
            })
            .collect();
        drop(sender);
        let bus = self.clone();
        let to_request = move |arrived| {
            let bus = bus.clone();
            Box::new(SimRequest { bus, arrived }) as Box<dyn Request>
        };
        Serving {
            requests: stream_of(receiver).map(to_request).boxed(),
            stop: Box::new(move || {
                // Also when it is dropped unused: a service ends with its handle.
                drop(listening);
                futures::future::ready(()).boxed()
            }),
        }
    }
}

fn stream_of(receiver: mpsc::UnboundedReceiver<Arrived>) -> BoxStream<'static, Arrived> {
    futures::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    })
    .boxed()
}

/// A subscription, until it is dropped.
struct Listening {
    server: Arc<Server>,
    id: u64,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.server.subscriptions(|all| all.remove(self.id));
    }
}

struct SimRequest {
    bus: SimBus,
    arrived: Arrived,
}

#[async_trait]
impl Request for SimRequest {
    fn method(&self) -> &str {
        &self.arrived.endpoint
    }

    fn message(&self) -> &Message {
        &self.arrived.incoming.message
    }

    async fn answer(self: Box<Self>, answer: Result<Message, Refusal>) {
        let Some(reply_to) = self.arrived.reply_to else {
            return;
        };
        let message = answer.unwrap_or_else(|refusal| {
            let message = Message {
                headers: refusal.headers,
                ..Message::default()
            };
            message
                .header(ERROR_CODE, refusal.code.to_string())
                .header(ERROR_TEXT, refusal.text)
        });
        self.bus
            .link
            .send(move || reply_to.answer(Answer::Message(message)));
    }
}
