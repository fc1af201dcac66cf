//! What a call is: its table entry, its context, and the seams between generated code and the bus.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use prost::Message;

use crate::{Code, Status, limits};

/// One `service` block.
#[derive(Debug)]
pub struct Service {
    pub name: &'static str,
    /// Subject below `muster.v1.`, with `{host_id}` where it is served once per host, and `{service}` where by several.
    pub subject: &'static str,
    pub methods: &'static [Method],
}

impl Service {
    /// The subject with the host in its place.
    pub fn subject_of_host(&self, host_id: &str) -> String {
        self.subject.replace("{host_id}", host_id)
    }

    /// The subject with the service that serves it in its place.
    pub fn subject_of_service(&self, service: &str) -> String {
        self.subject.replace("{service}", service)
    }
}

/// One `rpc` line.
#[derive(Debug)]
pub struct Method {
    pub service: &'static str,
    pub name: &'static str,
    /// 0: [`limits::CALL_TIMEOUT`].
    pub timeout_ms: u32,
    pub callers: &'static [&'static str],
}

impl Method {
    /// Deadline of a call whose caller names none.
    pub fn timeout(&self) -> Duration {
        match self.timeout_ms {
            0 => limits::CALL_TIMEOUT,
            ms => Duration::from_millis(ms.into()),
        }
    }
}

/// Revisions by bucket: what a caller has seen, or what an answer reflects.
pub type Revisions = BTreeMap<String, u64>;

/// What travels beside a request, in headers.
///
/// Clones share one set of seen revisions: whatever a call made with the context has written or been answered
/// is seen by the next call made with it, whichever instance serves that.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// On whose behalf: a user, "system", or "host:<id>".
    pub principal: String,
    /// The job that the call is a part of; empty when none.
    pub job_id: String,
    /// Time left for the whole call. `None`: the method's own.
    pub timeout: Option<Duration>,
    /// Names the change, so that asking twice makes it once. Empty: none.
    pub idempotency_key: String,
    /// W3C trace parent; empty: none.
    pub trace_parent: String,
    seen: Arc<Mutex<Revisions>>,
}

impl Context {
    pub fn new(principal: impl Into<String>) -> Self {
        Self {
            principal: principal.into(),
            ..Self::default()
        }
    }

    /// The same context for a part of the work, with less time.
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            timeout: Some(timeout),
            ..self.clone()
        }
    }

    /// Notes that a revision of a bucket was seen.
    pub fn saw(&self, bucket: &str, revision: u64) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.entry(bucket.to_owned()).or_default();
        *known = revision.max(*known);
    }

    /// The least revisions that an answer must reflect.
    pub fn seen(&self) -> Revisions {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The revision of one bucket that was seen, 0 when none.
    pub fn seen_of(&self, bucket: &str) -> u64 {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(bucket)
            .copied()
            .unwrap_or(0)
    }

    /// Notes everything that an answer says it reflects.
    pub fn saw_all(&self, revisions: &Revisions) {
        for (bucket, revision) in revisions {
            self.saw(bucket, *revision);
        }
    }
}

/// Writes revisions as a header value: `host=12,vm=7`.
pub fn format_revisions(revisions: &Revisions) -> String {
    let parts: Vec<String> = revisions.iter().map(|(b, r)| format!("{b}={r}")).collect();
    parts.join(",")
}

/// Reads what [`format_revisions`] wrote; parts that make no sense are left out.
pub fn parse_revisions(text: &str) -> Revisions {
    text.split(',')
        .filter_map(|part| part.split_once('='))
        .filter_map(|(b, r)| Some((b.trim().to_owned(), r.trim().parse().ok()?)))
        .collect()
}

/// The bus as a client sees it.
#[async_trait]
pub trait Call: Send + Sync {
    /// Calls `muster.v1.<subject>.<method>`. The answer's revisions are noted in the context.
    async fn call(
        &self,
        method: &'static Method,
        subject: &str,
        context: &Context,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, Status>;
}

/// A service as the bus sees it.
#[async_trait]
pub trait Serve: Send + Sync {
    fn service(&self) -> &'static Service;

    async fn dispatch(
        &self,
        method: &str,
        context: &Context,
        payload: &[u8],
    ) -> Result<Vec<u8>, Status>;
}

/// Used by generated clients.
pub(crate) async fn call<Q: Message, A: Message + Default>(
    caller: &dyn Call,
    method: &'static Method,
    subject: &str,
    context: &Context,
    request: &Q,
) -> Result<A, Status> {
    let payload = caller
        .call(method, subject, context, request.encode_to_vec())
        .await?;
    A::decode(payload.as_slice()).map_err(|error| {
        Status::new(
            Code::Internal,
            format!(
                "The answer of {}.{} could not be read: {error}.",
                method.service, method.name
            ),
        )
    })
}

/// Used by generated servers.
pub(crate) fn decode<Q: Message + Default>(payload: &[u8]) -> Result<Q, Status> {
    Q::decode(payload).map_err(|error| {
        Status::invalid("", format!("The request could not be read: {error}."))
            .action("Send a message of the documented type.")
    })
}

/// Used by generated servers.
pub(crate) fn unknown_method(service: &str, method: &str) -> Status {
    Status::new(
        Code::InvalidArgument,
        format!("{service} has no method {method}."),
    )
    .action("Update the caller or the service so that both are of one release.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_survive_a_header() {
        let revisions = Revisions::from([("host".to_owned(), 12), ("vm".to_owned(), 7)]);
        assert_eq!(format_revisions(&revisions), "host=12,vm=7");
        assert_eq!(parse_revisions("host=12,vm=7"), revisions);
        assert_eq!(parse_revisions("vm=x,,host"), Revisions::new());
    }

    #[test]
    fn clones_of_a_context_share_what_they_saw() {
        let context = Context::new("alice");
        context.with_timeout(Duration::from_secs(1)).saw("vm", 3);
        context.saw("vm", 2);
        assert_eq!(context.seen_of("vm"), 3);
    }
}
