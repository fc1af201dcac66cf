//! Calls and signals over core NATS.

use std::time::Duration;

use async_nats::service::ServiceExt;
use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};

use super::NatsBus;
use super::convert::{broken, from_header_map, to_header_map};
use crate::bus::{BusError, Endpoints, Incoming, Message, Refusal, Request, Serving};

impl NatsBus {
    pub(super) async fn request_on_nats(
        &self,
        subject: &str,
        message: Message,
        timeout: Duration,
    ) -> Result<Message, BusError> {
        use async_nats::RequestErrorKind as Kind;
        let bytes = message.payload.len();
        let request = async_nats::Request::new()
            .headers(to_header_map(&message.headers))
            .payload(message.payload)
            .timeout(Some(timeout));
        let answer = self.client.send_request(subject.to_owned(), request).await;
        match answer {
            Ok(answer) => Ok(Message {
                headers: from_header_map(answer.headers.as_ref()),
                payload: answer.payload,
            }),
            Err(error) => Err(match error.kind() {
                Kind::TimedOut => BusError::TimedOut(subject.to_owned()),
                Kind::NoResponders => BusError::NoResponders(subject.to_owned()),
                Kind::MaxPayloadExceeded => BusError::TooLarge {
                    subject: subject.to_owned(),
                    bytes,
                },
                Kind::InvalidSubject | Kind::Other => broken(format!("calling {subject}"), error),
            }),
        }
    }

    pub(super) async fn serve_on_nats(&self, endpoints: Endpoints) -> Result<Serving, BusError> {
        let failed =
            |error: async_nats::Error| broken(format!("serving {}", endpoints.service), error);
        let service = self
            .client
            .service_builder()
            .queue_group(endpoints.service.replace('.', "-"))
            .start(
                endpoints.service.replace('.', "-"),
                env!("CARGO_PKG_VERSION"),
            )
            .await
            .map_err(failed)?;
        let mut streams = Vec::new();
        for (method, subject) in &endpoints.endpoints {
            let endpoint = service
                .endpoint_builder()
                .name(method)
                .add(subject)
                .await
                .map_err(failed)?;
            let method = method.clone();
            streams.push(endpoint.map(move |request| {
                Box::new(NatsRequest::new(method.clone(), request)) as Box<dyn Request>
            }));
        }
        Ok(Serving {
            requests: futures::stream::select_all(streams).boxed(),
            stop: Box::new(move || {
                async move {
                    if let Err(error) = service.stop().await {
                        tracing::debug!(%error, "service was stopped already");
                    }
                }
                .boxed()
            }),
        })
    }

    pub(super) async fn publish_on_nats(
        &self,
        subject: &str,
        message: Message,
    ) -> Result<(), BusError> {
        self.client
            .publish_with_headers(
                subject.to_owned(),
                to_header_map(&message.headers),
                message.payload,
            )
            .await
            .map_err(|e| broken(format!("publishing to {subject}"), e))
    }

    pub(super) async fn subscribe_on_nats(
        &self,
        subject: &str,
    ) -> Result<BoxStream<'static, Incoming>, BusError> {
        let subscriber = self
            .client
            .subscribe(subject.to_owned())
            .await
            .map_err(|e| broken(format!("subscribing to {subject}"), e))?;
        Ok(subscriber
            .map(|message| Incoming {
                subject: message.subject.to_string(),
                message: Message {
                    headers: from_header_map(message.headers.as_ref()),
                    payload: message.payload,
                },
            })
            .boxed())
    }
}

struct NatsRequest {
    method: String,
    message: Message,
    request: async_nats::service::Request,
}

impl NatsRequest {
    fn new(method: String, request: async_nats::service::Request) -> Self {
        let message = Message {
            headers: from_header_map(request.message.headers.as_ref()),
            payload: request.message.payload.clone(),
        };
        Self {
            method,
            message,
            request,
        }
    }
}

#[async_trait]
impl Request for NatsRequest {
    fn method(&self) -> &str {
        &self.method
    }

    fn message(&self) -> &Message {
        &self.message
    }

    async fn answer(self: Box<Self>, answer: Result<Message, Refusal>) {
        let (answer, headers) = match answer {
            Ok(message) => (Ok(message.payload), message.headers),
            Err(refusal) => (
                Err(async_nats::service::error::Error {
                    status: refusal.text,
                    code: refusal.code as usize,
                }),
                refusal.headers,
            ),
        };
        let sent = self
            .request
            .respond_with_headers(answer, to_header_map(&headers))
            .await;
        if let Err(error) = sent {
            tracing::warn!(method = self.method, %error, "the answer could not be sent");
        }
    }
}
