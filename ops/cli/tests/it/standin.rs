//! The stand-in, the program, and objects to serve.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use contracts::rest;
use contracts::{Code, ObjectRef, Status, host, inventory, jobs};
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Longest that a test waits for something to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was asked of the stand-in.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `POST /api/v1/vms?dry_run=true`
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Default)]
struct Log {
    asked: Mutex<Vec<Asked>>,
    grown: Condvar,
}

pub(crate) struct StandIn {
    runtime: Runtime,
    address: SocketAddr,
    log: Arc<Log>,
}

impl StandIn {
    /// Serves routes below `/api/v1`.
    pub(crate) fn new(routes: Router) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), routes)
    }

    pub(crate) fn at(address: SocketAddr, routes: Router) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(address))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let app = Router::new()
            .nest("/api/v1", routes)
            .layer(middleware::from_fn_with_state(Arc::clone(&log), note));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self {
            runtime,
            address,
            log,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.log.asked.lock().unwrap().clone()
    }

    /// The lines of what was asked.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    /// Waits until so much was asked.
    pub(crate) fn wait_for(&self, count: usize) {
        let asked = self.log.asked.lock().unwrap();
        let (asked, waited) = self
            .log
            .grown
            .wait_timeout_while(asked, PATIENCE, |asked| asked.len() < count)
            .unwrap();
        assert!(
            !waited.timed_out(),
            "only {} requests came: {asked:?}",
            asked.len()
        );
    }

    /// Ends as a process does that is killed: connections break, the port is free.
    pub(crate) fn kill(self) {
        self.runtime.shutdown_timeout(PATIENCE);
    }

    pub(crate) fn muster(&self, words: &str) -> Ran {
        let words: Vec<&str> = words.split_whitespace().collect();
        finish(self.start(&words))
    }

    pub(crate) fn start(&self, words: &[&str]) -> Child {
        let server = format!("http://{}", self.address);
        command()
            .args(words)
            .env("MUSTER_SERVER", server)
            .spawn()
            .unwrap()
    }
}

async fn note(State(log): State<Arc<Log>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    log.asked.lock().unwrap().push(Asked {
        line: format!("{} {}", parts.method, parts.uri),
        headers: parts.headers.clone(),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    });
    log.grown.notify_all();
    next.run(Request::from_parts(parts, Body::from(bytes)))
        .await
}

/// The program without a terminal and without the caller's settings.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command
        .env_remove("MUSTER_SERVER")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the program against nobody in particular.
pub(crate) fn muster(words: &str) -> Ran {
    finish(command().args(words.split_whitespace()).spawn().unwrap())
}

/// An address at which nobody listens. Of its own host, so that no other test can take the port meanwhile.
pub(crate) fn deserted() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 8), 0)).unwrap();
    listener.local_addr().unwrap()
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) bytes: Vec<u8>,
}

impl Ran {
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        self
    }
}

pub(crate) fn finish(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        bytes: output.stdout,
    }
}

pub(crate) fn vm(name: &str) -> rest::Vm {
    let mut message = inventory::Vm {
        id: format!("id-{name}"),
        name: name.to_owned(),
        owner: "alice".to_owned(),
        hardware: Some(host::Hardware {
            vcpus: 2,
            memory_bytes: 512 << 20,
            ..host::Hardware::default()
        }),
        ..inventory::Vm::default()
    };
    message.set_state(host::VmState::Running);
    rest::Vm {
        host_name: Some("host-1".to_owned()),
        ..message.into()
    }
}

pub(crate) fn job(id: &str, state: jobs::JobState) -> rest::Job {
    let step = |name: &str| {
        let mut step = jobs::Step {
            name: name.to_owned(),
            started_ms: 1_000,
            ended_ms: 3_500,
            attempts: 1,
            ..jobs::Step::default()
        };
        step.set_state(jobs::step::State::Done);
        step
    };
    let mut message = jobs::Job {
        id: id.to_owned(),
        kind: "vm_create".to_owned(),
        target: Some(ObjectRef::new("vm", "id-web-01", "web-01")),
        steps: vec![step("choose_host"), step("copy_image")],
        created_ms: 1_000,
        started_ms: 1_000,
        ended_ms: 13_300,
        ..jobs::Job::default()
    };
    message.set_state(state);
    if state == jobs::JobState::Failed {
        let status = Status::new(
            Code::FailedPrecondition,
            "The image guest.qcow2 is no image.",
        );
        message.problem = Some(status.action("Put a good image there."));
    }
    message.into()
}

pub(crate) fn accepted(job: rest::Job) -> Response {
    (StatusCode::ACCEPTED, Json(job)).into_response()
}

pub(crate) fn problem(code: Code, message: &str, action: &str) -> Response {
    let problem = rest::Problem::from(Status::new(code, message).action(action));
    let status = StatusCode::from_u16(problem.status).unwrap();
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, serde_json::to_string(&problem).unwrap()).into_response()
}

pub(crate) fn page<T: serde::Serialize>(items: Vec<T>) -> Response {
    let total = items.len();
    Json(json!({"items": items, "next_cursor": null, "total": total})).into_response()
}

/// The job's event in a stream.
pub(crate) fn job_event(job: rest::Job) -> String {
    format!(
        "event: job\ndata: {}\n\n",
        serde_json::to_string(&job).unwrap()
    )
}

/// A stream that goes on for ever after what it says first.
pub(crate) fn open_stream(text: String) -> Response {
    event_stream(futures::StreamExt::chain(once(text), stream::pending()))
}

/// A stream whose connection breaks after what it says first.
pub(crate) fn broken_stream(text: String) -> Response {
    // What was said must be on its way before the connection breaks.
    let cut = stream::once(async {
        tokio::task::yield_now().await;
        Err(std::io::Error::other("cut"))
    });
    event_stream(futures::StreamExt::chain(once(text), cut))
}

type Piece = Result<Bytes, std::io::Error>;

fn once(text: String) -> impl Stream<Item = Piece> + Send {
    stream::iter([Ok(Bytes::from(text))])
}

fn event_stream(pieces: impl Stream<Item = Piece> + Send + 'static) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    (kind, Body::from_stream(pieces)).into_response()
}

/// Breaks the connection without an answer, as a process does that is killed.
pub(crate) fn hang_up() -> ! {
    std::panic::resume_unwind(Box::new("the connection is broken"))
}
