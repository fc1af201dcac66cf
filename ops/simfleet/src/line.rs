//! The line between one simulated host and the bus, on which faults show: nothing passes a silent host's, everything is
//! late on a slow one's, and what a liar reports is changed on its way.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::host::VmReport;
use contracts::inventory::{INVENTORY, ReportRequest};
use contracts::subjects;
use futures::StreamExt;
use futures::stream::BoxStream;
use kit::bus::{
    Append, AppendError, Bus, BusError, Deliveries, Endpoints, Entries, Incoming, LogEntry,
    LogInfo, LogSpec, Message, Refusal, Request, Serving,
};
use prost::Message as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::core::fault::Trouble;
use crate::core::lies;

/// When the fleet began: times of troubles count from there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch(Instant);

impl Epoch {
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed_ms(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn at(self, ms: u64) -> Instant {
        self.0 + Duration::from_millis(ms)
    }
}

#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) epoch: Epoch,
    pub(crate) trouble: watch::Receiver<Trouble>,
    /// A machine of another host, for a lie about it.
    pub(crate) other: Arc<VmReport>,
}

impl Line {
    fn is_silent(&self) -> bool {
        let now_ms = self.epoch.elapsed_ms();
        self.trouble.borrow().silent_until(now_ms).is_some()
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(self.trouble.borrow().delay_ms(self.epoch.elapsed_ms()))
    }

    /// Waits while the host is silent.
    async fn heard(&self) {
        let mut trouble = self.trouble.clone();
        loop {
            let until = trouble
                .borrow_and_update()
                .silent_until(self.epoch.elapsed_ms());
            let Some(until) = until else { return };
            tokio::select! {
                () = sleep_until(self.epoch.at(until)) => {}
                changed = trouble.changed() => if changed.is_err() { return },
            }
        }
    }

    fn told(&self, subject: &str, mut message: Message) -> Message {
        let Some(lie) = self.trouble.borrow().lie else {
            return message;
        };
        if subject != subjects::call(INVENTORY.subject, "Report") {
            return message;
        }
        if let Ok(mut report) = ReportRequest::decode(message.payload.clone()) {
            lies::tell(lie, &mut report, &self.other);
            message.payload = report.encode_to_vec().into();
        }
        message
    }
}

#[async_trait]
impl Bus for Line {
    async fn request(
        &self,
        subject: &str,
        message: Message,
        timeout: Duration,
    ) -> Result<Message, BusError> {
        let deadline = Instant::now() + timeout;
        let travel = async {
            self.heard().await;
            sleep(self.delay()).await;
        };
        if timeout_at(deadline, travel).await.is_err() {
            return Err(BusError::TimedOut(subject.to_owned()));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        self.bus
            .request(subject, self.told(subject, message), left)
            .await
    }

    async fn serve(&self, endpoints: Endpoints) -> Result<Serving, BusError> {
        let serving = self.bus.serve(endpoints).await?;
        let line = self.clone();
        let requests = serving.requests.filter_map(move |request| {
            // What reaches a silent host is lost, and its caller hears nothing.
            let late = (!line.is_silent()).then(|| {
                Box::new(Late {
                    request,
                    line: line.clone(),
                }) as Box<dyn Request>
            });
            futures::future::ready(late)
        });
        Ok(Serving {
            requests: requests.boxed(),
            stop: serving.stop,
        })
    }

    async fn publish(&self, subject: &str, message: Message) -> Result<(), BusError> {
        if self.is_silent() {
            return Ok(());
        }
        self.bus.publish(subject, message).await
    }

    async fn subscribe(&self, subject: &str) -> Result<BoxStream<'static, Incoming>, BusError> {
        self.bus.subscribe(subject).await
    }

    async fn ensure(&self, spec: &LogSpec) -> Result<LogInfo, BusError> {
        self.bus.ensure(spec).await
    }

    async fn info(&self, log: &str) -> Result<LogInfo, BusError> {
        self.bus.info(log).await
    }

    async fn append(&self, entry: &Append) -> Result<u64, AppendError> {
        self.bus.append(entry).await
    }

    async fn read(&self, log: &str, filter: &str, from: u64) -> Result<Entries, BusError> {
        self.bus.read(log, filter, from).await
    }

    async fn last(&self, log: &str, filter: &str) -> Result<Option<LogEntry>, BusError> {
        self.bus.last(log, filter).await
    }

    async fn consume(&self, log: &str, lease: Duration) -> Result<Deliveries, BusError> {
        self.bus.consume(log, lease).await
    }
}

/// A request whose answer takes the same line back.
struct Late {
    request: Box<dyn Request>,
    line: Line,
}

#[async_trait]
impl Request for Late {
    fn method(&self) -> &str {
        self.request.method()
    }

    fn message(&self) -> &Message {
        self.request.message()
    }

    async fn answer(self: Box<Self>, answer: Result<Message, Refusal>) {
        sleep(self.line.delay()).await;
        if !self.line.is_silent() {
            self.request.answer(answer).await;
        }
    }
}
