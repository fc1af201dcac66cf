//! One request and its answer.

use std::time::Duration;

use contracts::call::{Context, format_revisions, parse_revisions};
use contracts::rest::{Problem, headers};
use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::{Method, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::address;
use super::retry::{self, Fault};
use crate::error::Failure;

/// A server that does not take a connection by then is as good as gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The gateway itself gives a change 60 s to be checked; less here would give up on answers that are on their way.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(75);

/// What is asked for, apart from who is asked.
pub(crate) struct Request {
    method: Method,
    segments: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    /// Names the change. The same for every attempt, so that a second one never makes a second job.
    key: Option<Uuid>,
}

impl Request {
    pub(crate) fn get(segments: &[&str]) -> Self {
        Self {
            method: Method::GET,
            segments: segments.iter().map(ToString::to_string).collect(),
            query: Vec::new(),
            body: None,
            key: None,
        }
    }

    /// A question that needs a body; changes nothing.
    pub(crate) fn ask(segments: &[&str]) -> Self {
        Self {
            method: Method::POST,
            ..Self::get(segments)
        }
    }

    pub(crate) fn change(method: Method, segments: &[&str]) -> Self {
        Self {
            method,
            key: Some(Uuid::new_v4()),
            ..Self::get(segments)
        }
    }

    pub(crate) fn query(mut self, parts: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        self.query.extend(parts);
        self
    }

    pub(crate) fn body(mut self, body: &impl Serialize) -> Result<Self, Failure> {
        let value = serde_json::to_value(body)
            .map_err(|e| Failure::Local(format!("The request cannot be written as JSON: {e}.")))?;
        self.body = Some(value);
        Ok(self)
    }
}

/// A good answer.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn value(&self) -> Result<Value, Failure> {
        self.json()
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(not_understood)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The gateway may be newer than this program by additions only; anything else is told, not guessed.
pub(crate) fn not_understood(error: serde_json::Error) -> Failure {
    Failure::Unexpected(format!(
        "The answer is not what this version of muster understands: {error}.\n  \
         next: compare `muster --version` with `muster status`, and the address with that of the gateway"
    ))
}

pub(crate) struct Client {
    http: reqwest::Client,
    server: Url,
    /// The revisions that any answer so far reflects: every later answer must reflect them too.
    seen: Context,
    quiet: bool,
}

impl Client {
    pub(crate) fn new(server: Url, quiet: bool) -> Result<Self, Failure> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT);
        let builder = if address::is_loopback(&server) {
            builder.no_proxy()
        } else {
            builder
        };
        let http = builder.build().map_err(|e| {
            Failure::Local(format!("The HTTP client cannot be set up: {}.", reason(&e)))
        })?;
        Ok(Self {
            http,
            server,
            seen: Context::default(),
            quiet,
        })
    }

    pub(crate) fn server(&self) -> String {
        self.server.as_str().trim_end_matches('/').to_owned()
    }

    /// Sends until there is an answer, within bounds.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let mut reached = false;
        let mut attempt = 1;
        loop {
            let (fault, failure) = match self.attempt(&request).await {
                Ok(answer) => return Ok(answer),
                Err(Miss::Final(failure)) => return Err(failure),
                Err(Miss::Again(fault, failure)) => (fault, failure),
            };
            let Some(pause) = retry::pause(attempt, fault, reached) else {
                return Err(self.given_up(&request, fault, reached, failure));
            };
            reached |= fault != Fault::Refused;
            self.say_again(attempt);
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Answer, Miss> {
        let sent = self.build(request).timeout(ANSWER_TIMEOUT).send().await;
        let response = sent.map_err(|e| self.lost(&e))?;
        self.note_revision(&response);
        let status = response.status();
        let headers = response.headers().clone();
        let body = response.bytes().await.map_err(|e| self.lost(&e))?.to_vec();
        if status.is_success() {
            return Ok(Answer { headers, body });
        }
        let failure = Failure::from(problem(status.as_u16(), &body));
        Err(match status.as_u16() {
            429 | 502 | 503 => Miss::Again(Fault::Busy, failure),
            _ => Miss::Final(failure),
        })
    }

    fn build(&self, request: &Request) -> reqwest::RequestBuilder {
        let url = address::of(&self.server, &request.segments);
        let mut builder = self.prepare(request.method.clone(), url, &request.query);
        if let Some(key) = request.key {
            builder = builder.header(headers::IDEMPOTENCY_KEY, key.to_string());
        }
        match &request.body {
            Some(body) => builder.json(body),
            None => builder,
        }
    }

    fn prepare(
        &self,
        method: Method,
        mut url: Url,
        query: &[(&'static str, String)],
    ) -> reqwest::RequestBuilder {
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let seen = self.seen.seen();
        let builder = self.http.request(method, url);
        if seen.is_empty() {
            return builder;
        }
        builder.header(headers::REVISION, format_revisions(&seen))
    }

    /// Opens a stream of events, once: when to try again is the reader's business.
    pub(super) async fn open(
        &self,
        segments: &[&str],
        query: &[(&'static str, String)],
        last_event_id: Option<&str>,
    ) -> Result<Response, Failure> {
        let url = address::of(&self.server, segments);
        let mut builder = self
            .prepare(Method::GET, url, query)
            .header(ACCEPT, "text/event-stream");
        if let Some(id) = last_event_id {
            builder = builder.header("last-event-id", id);
        }
        let response = tokio::time::timeout(ANSWER_TIMEOUT, builder.send())
            .await
            .map_err(|_| self.unreachable("no answer in time".to_owned()))?
            .map_err(|e| self.unreachable(reason(&e)))?;
        self.note_revision(&response);
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        Err(problem(status.as_u16(), &body).into())
    }

    fn note_revision(&self, response: &Response) {
        let header = response.headers().get(headers::REVISION);
        if let Some(text) = header.and_then(|value| value.to_str().ok()) {
            self.seen.saw_all(&parse_revisions(text));
        }
    }

    fn lost(&self, error: &reqwest::Error) -> Miss {
        let fault = if error.is_connect() {
            Fault::Refused
        } else {
            Fault::Lost
        };
        Miss::Again(fault, self.unreachable(reason(error)))
    }

    pub(super) fn unreachable(&self, reason: String) -> Failure {
        Failure::Unreachable {
            server: self.server(),
            reason,
        }
    }

    /// A change that got through to somebody may have been made, and that must be said.
    fn given_up(
        &self,
        request: &Request,
        fault: Fault,
        reached: bool,
        failure: Failure,
    ) -> Failure {
        let maybe_made = request.key.is_some() && (reached || fault == Fault::Lost);
        match failure {
            Failure::Unreachable { server, reason } if maybe_made => {
                Failure::OutcomeUnknown { server, reason }
            }
            other => other,
        }
    }

    fn say_again(&self, attempt: u32) {
        if attempt == 1 && !self.quiet {
            crate::output::note(
                "The connection to Muster was lost or it is not ready; trying again.",
            );
        }
    }
}

/// An attempt without a good answer.
enum Miss {
    Again(Fault, Failure),
    Final(Failure),
}

/// The problem document of an answer, or one made from its status when something else than the gateway answered.
fn problem(status: u16, body: &[u8]) -> Problem {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if !problem.code.is_empty() => problem,
        _ => Problem {
            status,
            detail: format!("The server answered with status {status} and no explanation."),
            recommended_action: "Check that the address is that of Muster's gateway.".to_owned(),
            ..Problem::default()
        },
    }
}

/// The innermost cause in a few words: the layers around it only repeat that a request failed.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    words.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_problem_document_is_still_told() {
        let made = problem(502, b"<html>bad gateway</html>");
        assert_eq!(made.status, 502);
        assert!(made.detail.contains("502"), "{}", made.detail);
        let real = problem(
            404,
            br#"{"type":"t","title":"Not found","status":404,"detail":"d","code":"NOT_FOUND"}"#,
        );
        assert_eq!(
            (real.code.as_str(), real.detail.as_str()),
            ("NOT_FOUND", "d")
        );
    }

    #[test]
    fn every_change_has_a_key_of_its_own_and_a_question_none() {
        let keys: Vec<_> = (0..2)
            .map(|_| Request::change(Method::POST, &["vms"]).key)
            .collect();
        assert!(keys[0].is_some() && keys[0] != keys[1]);
        assert_eq!(Request::ask(&["placement", "rate"]).key, None);
    }
}
