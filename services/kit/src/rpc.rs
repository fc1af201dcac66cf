//! Typed calls over the bus: headers out, headers in, every request answered, handlers bounded, drain on stop.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use contracts::call::{
    Call, Context, Method, Revisions, Serve, Service, format_revisions, parse_revisions,
};
use contracts::{Code, Status, subjects};
use futures::{FutureExt, StreamExt};
use prost::Message as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use crate::bus::{Bus, BusError, Endpoints, Message, Refusal, Request, headers};
use crate::telemetry;

mod again;

/// Requests that one service handles at a time; the next ones wait on the bus. Too low and slow host commands starve
/// quick ones; too high and a burst eats memory.
const HANDLERS_MAX: usize = 512;

/// How long a stopping service lets running handlers finish.
const DRAIN_PATIENCE: Duration = Duration::from_secs(20);

/// Calls services over a bus. A call under an idempotency key survives the death of the instance that has it.
pub struct Caller {
    bus: Arc<dyn Bus>,
    /// Who calls, for its spans.
    program: &'static str,
}

impl Caller {
    /// Somebody who needs no name.
    pub fn new(bus: Arc<dyn Bus>) -> Arc<Self> {
        Self::named("", bus)
    }

    pub fn named(program: &'static str, bus: Arc<dyn Bus>) -> Arc<Self> {
        Arc::new(Self { bus, program })
    }
}

#[async_trait]
impl Call for Caller {
    async fn call(
        &self,
        method: &'static Method,
        subject: &str,
        context: &Context,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, Status> {
        let timeout = context.timeout.unwrap_or_else(|| method.timeout());
        let span = client_span(self.program, method, &context.trace_parent);
        let started = std::time::Instant::now();
        let result = async {
            let message = request_message(context, timeout, payload);
            let subject = subjects::call(subject, method.name);
            let answer = if context.idempotency_key.is_empty() {
                self.bus.request(&subject, message, timeout).await
            } else {
                again::ask(&subject, timeout, |left| {
                    let left_ms = left.as_millis().to_string();
                    let message = message.clone().header(headers::TIMEOUT_MS, left_ms);
                    self.bus.request(&subject, message, left)
                })
                .await
            };
            read_answer(
                context,
                answer.map_err(|e| unanswered(method, timeout, &e))?,
            )
        }
        .instrument(span.clone())
        .await;
        note_failure(&span, &result);
        telemetry::count_call(
            "client",
            method.service,
            method.name,
            &result,
            started.elapsed(),
        );
        result
    }
}

/// Spans of calls are only made when they are sent: there are very many, and logs do without.
fn client_span(program: &str, method: &Method, trace_parent: &str) -> Span {
    if !telemetry::is_on() {
        return Span::none();
    }
    let span = tracing::info_span!(
        "call",
        otel.name = format!("{}.{}", method.service, method.name),
        otel.kind = "client",
        muster.service = program,
        rpc.service = method.service,
        rpc.method = method.name,
    );
    telemetry::set_parent(&span, trace_parent);
    span
}

fn server_span(service: &'static Service, method: &str, trace_parent: &str) -> Span {
    if !telemetry::is_on() {
        return Span::none();
    }
    let span = tracing::info_span!(
        "serve",
        otel.name = format!("{}.{method}", service.name),
        otel.kind = "server",
        muster.service = contracts::access::server_of(service),
        rpc.service = service.name,
        rpc.method = method,
    );
    telemetry::set_parent(&span, trace_parent);
    span
}

fn note_failure(span: &Span, result: &Result<Vec<u8>, Status>) {
    if let Err(problem) = result {
        telemetry::set_failed(span, problem);
    }
}

fn request_message(context: &Context, timeout: Duration, payload: Vec<u8>) -> Message {
    let mut message = Message::new(payload)
        .header(headers::PRINCIPAL, &context.principal)
        .header(headers::TIMEOUT_MS, timeout.as_millis().to_string());
    let optional = [
        (headers::JOB, context.job_id.clone()),
        (headers::IDEMPOTENCY_KEY, context.idempotency_key.clone()),
        (
            headers::TRACE_PARENT,
            telemetry::trace_parent().unwrap_or_else(|| context.trace_parent.clone()),
        ),
        (headers::REVISIONS, format_revisions(&context.seen())),
    ];
    for (name, value) in optional {
        if !value.is_empty() {
            message = message.header(name, value);
        }
    }
    message
}

fn unanswered(method: &Method, timeout: Duration, error: &BusError) -> Status {
    let name = format!("{}.{}", method.service, method.name);
    match error {
        BusError::NoResponders(_) => Status::unavailable(format!(
            "Nobody answers {name} now: the service is not running."
        ))
        .action("Start the service, or wait until it is back, and try again."),
        BusError::TimedOut(_) => Status::new(
            Code::DeadlineExceeded,
            format!("{name} did not answer within {} ms.", timeout.as_millis()),
        )
        .action("Whether it took effect is not known: look at the object, then try again."),
        BusError::TooLarge { bytes, .. } => Status::new(
            Code::InvalidArgument,
            format!("The request for {name} has {bytes} bytes, more than the bus takes."),
        )
        .action("Send less at a time."),
        BusError::NoLog(_) | BusError::Broken { .. } => {
            Status::unavailable(format!("{name} could not be called: {error}."))
                .action("Check that nats-server runs and can be reached.")
        }
    }
}

fn read_answer(context: &Context, answer: Message) -> Result<Vec<u8>, Status> {
    if let Some(revisions) = answer.get(headers::REVISIONS) {
        context.saw_all(&parse_revisions(revisions));
    }
    if let Some(encoded) = answer.get(headers::STATUS) {
        let status = BASE64
            .decode(encoded)
            .ok()
            .and_then(|bytes| Status::decode(bytes.as_slice()).ok());
        return Err(
            status.unwrap_or_else(|| Status::internal("An error answer could not be read."))
        );
    }
    Ok(answer.payload.to_vec())
}

/// What a handler waits for before it answers a caller that has seen newer records than this instance's view.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Waits until every bucket that is known here reflects its revision. False: not in time.
    async fn wait_for(&self, revisions: &Revisions, timeout: Duration) -> bool;
}

/// A running server. Dropping it stops nothing; call [`Server::stop`].
pub struct Server {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Takes no more requests and waits for those that run.
    ///
    /// async-nats forgets a subscription without waiting for the server to have heard of it (its `drain` too), so a request
    /// that the server hands out in that moment, a fraction of a millisecond, is lost: its caller meets its deadline.
    /// Job steps try again; a person is told that the outcome is not known.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN_PATIENCE, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some requests were still running when the service stopped");
        }
    }
}

/// Serves a service block on its subject (with the host's id for the host contract).
pub async fn serve(
    bus: &Arc<dyn Bus>,
    gate: Arc<dyn Gate>,
    subject: &str,
    server: Arc<dyn Serve>,
) -> Result<Server, BusError> {
    let endpoints = Endpoints {
        service: subject.to_owned(),
        endpoints: server
            .service()
            .methods
            .iter()
            .map(|m| (m.name.to_owned(), subjects::call(subject, m.name)))
            .collect(),
    };
    let mut serving = bus.serve(endpoints).await?;
    let running = Server {
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    let (stop, tasks) = (running.stop.clone(), running.tasks.clone());
    let slots = Arc::new(Semaphore::new(HANDLERS_MAX));
    running.tasks.spawn(async move {
        let mut halt = Some(serving.stop);
        loop {
            tokio::select! {
                () = stop.cancelled(), if halt.is_some() => {
                    if let Some(halt) = halt.take() { halt().await; }
                }
                request = serving.requests.next() => {
                    let Some(request) = request else { break };
                    let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
                    let (server, gate) = (Arc::clone(&server), Arc::clone(&gate));
                    tasks.spawn(async move {
                        handle(&*server, &*gate, request).await;
                        drop(slot);
                    });
                }
            }
        }
    });
    Ok(running)
}

async fn handle(server: &dyn Serve, gate: &dyn Gate, request: Box<dyn Request>) {
    let context = read_context(request.message());
    let method = request.method().to_owned();
    let payload = request.message().payload.clone();
    let service = server.service().name;
    let span = server_span(server.service(), &method, &context.trace_parent);
    let started = std::time::Instant::now();
    let timeout = context.timeout.unwrap_or(contracts::limits::CALL_TIMEOUT);
    let work = async {
        if !gate.wait_for(&context.seen(), timeout).await {
            return Err(behind(service));
        }
        server.dispatch(&method, &context, &payload).await
    }
    .instrument(span.clone());
    let outcome = tokio::time::timeout(timeout, AssertUnwindSafe(work).catch_unwind()).await;
    let result = match outcome {
        Ok(Ok(result)) => result,
        Ok(Err(_panic)) => Err(Status::internal(format!(
            "{service}.{method} failed in itself."
        ))),
        Err(_) => Err(Status::new(
            Code::DeadlineExceeded,
            format!("{service}.{method} took longer than its caller waits."),
        )),
    };
    if let Err(status) = &result {
        tracing::debug!(service, method, %status, "answered with an error");
    }
    note_failure(&span, &result);
    telemetry::count_call("server", service, &method, &result, started.elapsed());
    request.answer(write_answer(&context, result)).await;
}

fn behind(service: &str) -> Status {
    Status::unavailable(format!(
        "This instance of {service} has not yet seen what the caller has."
    ))
    .action("Try again.")
}

fn read_context(message: &Message) -> Context {
    let text = |name| message.get(name).unwrap_or_default().to_owned();
    let mut context = Context::new(text(headers::PRINCIPAL));
    context.job_id = text(headers::JOB);
    context.idempotency_key = text(headers::IDEMPOTENCY_KEY);
    context.trace_parent = text(headers::TRACE_PARENT);
    context.timeout = message
        .get(headers::TIMEOUT_MS)
        .and_then(|ms| ms.parse().ok())
        .map(Duration::from_millis);
    context.saw_all(&parse_revisions(&text(headers::REVISIONS)));
    context
}

fn write_answer(context: &Context, result: Result<Vec<u8>, Status>) -> Result<Message, Refusal> {
    let revisions = format_revisions(&context.seen());
    match result {
        Ok(payload) if revisions.is_empty() => Ok(Message::new(payload)),
        Ok(payload) => Ok(Message::new(payload).header(headers::REVISIONS, revisions)),
        Err(status) => {
            let mut answer =
                Message::default().header(headers::STATUS, BASE64.encode(status.encode_to_vec()));
            if !revisions.is_empty() {
                answer = answer.header(headers::REVISIONS, revisions);
            }
            Err(Refusal {
                code: u32::try_from(status.code).unwrap_or_default(),
                // A header holds one line.
                text: status.message.replace(['\r', '\n'], " "),
                headers: answer.headers,
            })
        }
    }
}
