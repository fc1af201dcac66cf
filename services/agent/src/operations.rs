//! A command that is asked for twice is done once.
//!
//! Callers name each change. One that was done is answered from the store, one that is being done is joined. What
//! asking again can change (the host was busy, the time was over) is not stored.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use contracts::Status;
use prost::Message;
use tokio::sync::{Semaphore, watch};

use crate::store::{Outcome, Store};
use crate::{limits, meter};

/// Commands of one host, each done once.
pub struct Operations {
    store: Arc<Store>,
    /// Begins the names of these operations in the store.
    scope: String,
    under_way: Mutex<HashMap<String, watch::Receiver<Option<Outcome>>>>,
    /// Work goes on when its caller has given up, so it is bounded here and not by the calls.
    slots: Arc<Semaphore>,
    now_ms: Box<dyn Fn() -> i64 + Send + Sync>,
}

impl Operations {
    /// Several may share a store, each with a scope of its own.
    pub fn new(
        store: Arc<Store>,
        scope: &str,
        now_ms: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            scope: scope.to_owned(),
            under_way: Mutex::default(),
            slots: Arc::new(Semaphore::new(limits::OPERATIONS_AT_A_TIME)),
            now_ms: Box::new(now_ms),
        })
    }

    /// Does the work, unless the operation was done or is being done. Without an id it is done each time.
    pub(crate) async fn once<A, W>(
        self: &Arc<Self>,
        method: &str,
        operation_id: &str,
        work: W,
    ) -> Result<A, Status>
    where
        A: Message + Default,
        W: Future<Output = Result<A, Status>> + Send + 'static,
    {
        check_operation_id(operation_id)?;
        let work = async { work.await.map(|answer| answer.encode_to_vec()) };
        let work = meter::measured(method, work);
        let outcome = if operation_id.is_empty() {
            self.in_a_slot(work).await
        } else {
            // An id that is used for two methods means two operations.
            let operation = format!("{}{method}/{operation_id}", self.scope);
            self.join(operation, work).await
        };
        let answer = outcome?;
        A::decode(answer.as_slice()).map_err(|error| {
            Status::internal(format!("A stored answer could not be read: {error}."))
        })
    }

    async fn in_a_slot(&self, work: impl Future<Output = Outcome>) -> Outcome {
        let _slot = self.slots.acquire().await;
        work.await
    }

    async fn join(
        self: &Arc<Self>,
        operation: String,
        work: impl Future<Output = Outcome> + Send + 'static,
    ) -> Outcome {
        let mut outcome = self.outcome_of(operation, work).await?;
        let ended = outcome.wait_for(Option::is_some).await;
        let ended = ended.ok().and_then(|outcome| outcome.clone());
        ended.unwrap_or_else(|| Err(Status::internal("The command failed in itself.")))
    }

    /// Where the outcome will be seen, whoever does the work.
    async fn outcome_of(
        self: &Arc<Self>,
        operation: String,
        work: impl Future<Output = Outcome> + Send + 'static,
    ) -> Result<watch::Receiver<Option<Outcome>>, Status> {
        let (store, name) = (self.store.clone(), operation.clone());
        let (sender, receiver) = watch::channel(None);
        // The table is asked with the entry taken, so that nobody finishes in between unseen.
        if let Some(joined) = self.take(&operation, &receiver) {
            return Ok(joined);
        }
        let known = tokio::task::spawn_blocking(move || store.outcome(&name)).await;
        let operations = self.clone();
        tokio::spawn(async move {
            let outcome = match known {
                Ok(Ok(Some(outcome))) => outcome,
                Ok(Ok(None)) => operations.do_and_remember(&operation, work).await,
                Ok(Err(error)) => {
                    Err(Status::unavailable(format!("{error}.")).action("Look at the host's disk."))
                }
                Err(error) => Err(Status::internal(format!(
                    "The store was not asked: {error}."
                ))),
            };
            sender.send_replace(Some(outcome));
            operations.lock().remove(&operation);
        });
        Ok(receiver)
    }

    /// Enters an operation as being under way; one that is there already is the answer.
    fn take(
        &self,
        operation: &str,
        receiver: &watch::Receiver<Option<Outcome>>,
    ) -> Option<watch::Receiver<Option<Outcome>>> {
        let mut under_way = self.lock();
        if let Some(running) = under_way.get(operation) {
            // One whose task is gone without an outcome has panicked; it may be tried again.
            if running.borrow().is_some() || running.has_changed().is_ok() {
                return Some(running.clone());
            }
        }
        under_way.insert(operation.to_owned(), receiver.clone());
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, watch::Receiver<Option<Outcome>>>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn do_and_remember(
        &self,
        operation: &str,
        work: impl Future<Output = Outcome>,
    ) -> Outcome {
        let outcome = self.in_a_slot(work).await;
        if outcome.as_ref().is_err_and(Status::retryable) {
            return outcome;
        }
        let (store, name, kept, now_ms) = (
            self.store.clone(),
            operation.to_owned(),
            outcome.clone(),
            (self.now_ms)(),
        );
        let stored =
            tokio::task::spawn_blocking(move || store.remember(&name, &kept, now_ms)).await;
        // The work is done all the same. Done again, it finds the machine where it leads.
        if let Ok(Err(error)) = stored {
            tracing::error!(operation, %error, "the outcome of a command was not stored");
        }
        outcome
    }
}

fn check_operation_id(id: &str) -> Result<(), Status> {
    if id.len() <= limits::OPERATION_ID_CHARS_MAX {
        return Ok(());
    }
    Err(
        Status::invalid("operation_id", "The id of the operation is too long.")
            .action("Use <job>/<step>, at most 200 characters."),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use contracts::host::VmRef;

    use super::*;

    fn operations(dir: &tempfile::TempDir) -> Arc<Operations> {
        Operations::new(Arc::new(Store::open(dir.path()).unwrap()), "", || 1)
    }

    fn answer(text: &str) -> VmRef {
        VmRef {
            vm_id: text.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_command_that_was_done_is_answered_from_the_store_after_a_restart_too() {
        let dir = tempfile::tempdir().unwrap();
        let first = operations(&dir);
        let done: VmRef = first
            .once("Make", "j/1", async { Ok(answer("a")) })
            .await
            .unwrap();
        assert_eq!(done, answer("a"));
        drop(first);
        let restarted = operations(&dir);
        let again: VmRef = restarted
            .once("Make", "j/1", async { Ok(answer("b")) })
            .await
            .unwrap();
        assert_eq!(again, answer("a"));
        let other: VmRef = restarted
            .once("Unmake", "j/1", async { Ok(answer("c")) })
            .await
            .unwrap();
        assert_eq!(other, answer("c"));
    }

    #[tokio::test]
    async fn a_command_that_is_being_done_is_joined() {
        let dir = tempfile::tempdir().unwrap();
        let operations = operations(&dir);
        let (count, (go, gate)) = (Arc::new(AtomicU32::new(0)), watch::channel(false));
        let ask = || {
            let (operations, count, mut gate) = (operations.clone(), count.clone(), gate.clone());
            tokio::spawn(async move {
                let work = async move {
                    count.fetch_add(1, Ordering::Relaxed);
                    gate.wait_for(|open| *open).await.unwrap();
                    Ok(answer("a"))
                };
                operations.once::<VmRef, _>("Make", "j/1", work).await
            })
        };
        let (first, second) = (ask(), ask());
        while count.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        // Its caller gives up; the work goes on.
        first.abort();
        let third = ask();
        go.send(true).unwrap();
        assert_eq!(second.await.unwrap().unwrap(), answer("a"));
        assert_eq!(third.await.unwrap().unwrap(), answer("a"));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn what_asking_again_can_change_is_not_stored() {
        let dir = tempfile::tempdir().unwrap();
        let operations = operations(&dir);
        let busy = async { Err::<VmRef, _>(Status::unavailable("busy")) };
        assert!(operations.once("Make", "j/1", busy).await.is_err());
        let refused = async { Err::<VmRef, _>(Status::precondition("refused")) };
        assert!(operations.once("Make", "j/1", refused).await.is_err());
        let third = operations
            .once::<VmRef, _>("Make", "j/1", async { Ok(answer("a")) })
            .await;
        assert_eq!(third.unwrap_err().message, "refused");
    }

    #[tokio::test]
    async fn a_command_that_fails_in_itself_is_answered_and_can_be_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let operations = operations(&dir);
        let broken = async { panic!("on purpose") };
        let error = operations
            .once::<VmRef, _>("Make", "j/1", broken)
            .await
            .unwrap_err();
        assert_eq!(error.code(), contracts::Code::Internal);
        assert!(
            operations
                .once("Make", "j/1", async { Ok(answer("a")) })
                .await
                .is_ok()
        );
    }
}
