//! An endpoint that does what a test wants, and remembers what it was sent.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use support::eventually;
use webhooks::core::message::{headers, signature};

/// What it answers.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mood {
    Takes,
    Answers(StatusCode),
    /// Never answers.
    Hangs,
}

#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) id: String,
    timestamp: i64,
    signature: String,
    body: Bytes,
    /// Whether it was answered well.
    pub(crate) taken: bool,
}

impl Sent {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn is_signed_with(&self, secret: &[u8]) -> bool {
        self.signature == signature(secret, &self.id, self.timestamp, &self.body)
    }

    /// Name of the object that it tells of.
    pub(crate) fn name(&self) -> String {
        self.json()["data"]["name"].as_str().unwrap().to_owned()
    }
}

#[derive(Clone)]
struct Shared {
    mood: Arc<Mutex<Mood>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

pub(crate) struct Endpoint {
    pub(crate) url: String,
    shared: Shared,
}

impl Endpoint {
    pub(crate) async fn start(mood: Mood) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?from=muster", listener.local_addr().unwrap());
        let shared = Shared {
            mood: Arc::new(Mutex::new(mood)),
            sent: Arc::default(),
        };
        let router = Router::new().fallback(take).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared }
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// Everything that it was sent.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.shared.sent.lock().unwrap().clone()
    }

    /// Names of the objects of what it took, each once, in order.
    pub(crate) fn taken(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for sent in self.sent().iter().filter(|sent| sent.taken) {
            if !names.contains(&sent.name()) {
                names.push(sent.name());
            }
        }
        names
    }

    pub(crate) async fn takes(&self, wanted: &[String]) {
        let waited = eventually("the endpoint to be sent everything", async || {
            (self.taken().len() >= wanted.len()).then_some(())
        });
        let waited = waited.await;
        assert_eq!(self.taken(), wanted, "{waited:?}");
    }

    pub(crate) async fn is_asked(&self, times: usize) {
        eventually("the endpoint to be asked", async || {
            (self.sent().len() >= times).then_some(())
        })
        .await
        .unwrap();
    }
}

async fn take(State(shared): State<Shared>, request: HeaderMap, body: Bytes) -> Response {
    let mood = *shared.mood.lock().unwrap();
    let text = |name: &str| request[name].to_str().unwrap().to_owned();
    shared.sent.lock().unwrap().push(Sent {
        id: text(headers::ID),
        timestamp: text(headers::TIMESTAMP).parse().unwrap(),
        signature: text(headers::SIGNATURE),
        body,
        taken: mood == Mood::Takes,
    });
    match mood {
        Mood::Takes => StatusCode::NO_CONTENT.into_response(),
        Mood::Answers(status) => (status, [(header::LOCATION, "/elsewhere")]).into_response(),
        Mood::Hangs => std::future::pending().await,
    }
}
