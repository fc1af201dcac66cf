//! Logs as a client sees them: every question may be lost, and so may every answer.

use std::sync::Arc;
use std::time::Duration;

use contracts::limits::MESSAGE_BYTES_MAX;
use kit::bus::{Append, AppendError, BusError, LogInfo, LogSpec};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::faults::Fault;
use super::log::NotTaken;
use super::server::Server;
use super::{ACK_TIMEOUT, JETSTREAM_TIMEOUT, SimBus, broken};

impl SimBus {
    /// Has the server do something and brings back what it says, within JetStream's timeout.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce(&Server) -> T + Send + 'static,
    ) -> Result<T, BusError> {
        self.ask_within(JETSTREAM_TIMEOUT, what, work).await
    }

    async fn ask_within<T: Send + 'static>(
        &self,
        timeout: Duration,
        what: &str,
        work: impl FnOnce(&Server) -> T + Send + 'static,
    ) -> Result<T, BusError> {
        let (sender, receiver) = oneshot::channel();
        let (server, link) = (Arc::clone(&self.server), Arc::clone(&self.link));
        let deadline = Instant::now() + timeout;
        self.link.send(move || {
            let answer = work(&server);
            link.send_back(move || {
                // An error: nobody waits any more.
                let _ = sender.send(answer);
            });
        });
        match tokio::time::timeout_at(deadline, receiver).await {
            Ok(Ok(answer)) => Ok(answer),
            // Lost on the way; the client cannot know and waits.
            Ok(Err(_)) => {
                tokio::time::sleep_until(deadline).await;
                Err(broken(what, "timed out"))
            }
            Err(_) => Err(broken(what, "timed out")),
        }
    }

    pub(super) async fn ensure_on_model(&self, spec: &LogSpec) -> Result<LogInfo, BusError> {
        let name = spec.name.clone();
        let there = self
            .ask(&spec.name, move |server| server.info(&name))
            .await?;
        if !matches!(there, Err(BusError::NoLog(_))) {
            return there;
        }
        let wanted = spec.clone();
        let made = self
            .ask(&spec.name, move |server| server.make(&wanted))
            .await?;
        let name = spec.name.clone();
        let there = self
            .ask(&spec.name, move |server| server.info(&name))
            .await?;
        match (there, made) {
            (Err(BusError::NoLog(_)), Err(error)) => Err(error),
            (there, _) => there,
        }
    }

    pub(super) async fn append_on_model(&self, append: &Append) -> Result<u64, AppendError> {
        let bytes = append.message.payload.len();
        if bytes > MESSAGE_BYTES_MAX {
            let subject = append.subject.clone();
            return Err(AppendError::Refused(BusError::TooLarge { subject, bytes }));
        }
        let twice = self.server.faults.rate(Fault::Duplicate);
        if self.server.world.draw(|chance| chance.happens(twice)) {
            self.send_copy(append);
        }
        let entry = append.clone();
        let answer = self.ask_within(ACK_TIMEOUT, &append.log, move |server| {
            server.append(&entry)
        });
        match answer.await.map_err(AppendError::Unknown)? {
            Some(Ok(sequence)) => Ok(sequence),
            Some(Err(NotTaken::Conflict)) => Err(AppendError::Conflict),
            Some(Err(reason)) => Err(AppendError::Refused(broken(
                &append.log,
                &format!("{reason:?}"),
            ))),
            // A server that is starting says the same.
            None => Err(AppendError::Unknown(broken(&append.log, "no log takes it"))),
        }
    }

    /// The same message once more; its answer goes nowhere.
    fn send_copy(&self, append: &Append) {
        let (server, entry) = (Arc::clone(&self.server), append.clone());
        self.link.send(move || {
            server.append(&entry);
        });
    }
}
