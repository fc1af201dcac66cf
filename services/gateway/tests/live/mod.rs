//! What is used, and webhooks: what clients ask for reaches the services by ids, and comes back with names.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::host::VmState;
use contracts::performance::{
    HistoryRequest, HistoryResponse, PERFORMANCE, Performance, PerformanceServer, Point,
    Resolution, TopEntry, TopRequest, TopResponse, Usage,
};
use contracts::webhooks::{
    CreateRequest, Created, DeadLetter, DeadLettersResponse, EnableRequest, ListResponse, Listed,
    RedeliverResponse, TestResponse, WEBHOOKS, Webhook, WebhookRef, WebhookState, Webhooks,
    WebhooksServer,
};
use contracts::{ObjectRef, Status};
use kit::rpc::{Gate, Server, serve};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::fleet::{Fleet, answer};

/// Stands in for both services; notes what it was asked.
#[derive(Default)]
struct Played {
    top: Mutex<Vec<TopRequest>>,
    history: Mutex<Vec<HistoryRequest>>,
    webhooks: Mutex<Vec<Listed>>,
}

impl Played {
    async fn serve(fleet: &Fleet) -> (Arc<Self>, [Server; 2]) {
        let played = Arc::<Self>::default();
        let gate: Arc<dyn Gate> = fleet.store.clone();
        let performance = Arc::new(PerformanceServer(Arc::clone(&played)));
        let webhooks = Arc::new(WebhooksServer(Arc::clone(&played)));
        let (bus, other) = (&fleet.bus, Arc::clone(&gate));
        let servers = [
            serve(bus, gate, PERFORMANCE.subject, performance)
                .await
                .unwrap(),
            serve(bus, other, WEBHOOKS.subject, webhooks).await.unwrap(),
        ];
        (played, servers)
    }

    fn known(&self, id: &str) -> Result<(), Status> {
        let webhooks = self.webhooks.lock().unwrap();
        let mut ids = webhooks.iter().flat_map(|listed| &listed.webhook);
        let known = ids.any(|webhook| webhook.id == id);
        let unknown = || Status::not_found(ObjectRef::new("webhook", id, ""));
        known.then_some(()).ok_or_else(unknown)
    }
}

fn usage() -> Option<Usage> {
    Some(Usage {
        cpu_percent: Some(12.5),
        memory_bytes: Some(1 << 30),
        ..Usage::default()
    })
}

#[async_trait]
impl Performance for Played {
    async fn top(&self, _: &Context, request: TopRequest) -> Result<TopResponse, Status> {
        self.top.lock().unwrap().push(request.clone());
        let entry = |id: &str| TopEntry {
            id: id.to_owned(),
            host_id: "h1".to_owned(),
            time_ms: 60_000,
            usage: usage(),
        };
        let ids: &[&str] = match request.kind.as_str() {
            "vm" => &["v1", "gone"],
            _ => &["h1"],
        };
        Ok(TopResponse {
            entries: ids.iter().map(|id| entry(id)).collect(),
            total: 9,
        })
    }

    async fn history(
        &self,
        _: &Context,
        request: HistoryRequest,
    ) -> Result<HistoryResponse, Status> {
        self.history.lock().unwrap().push(request);
        let point = Point {
            time_ms: 60_000,
            usage: usage(),
        };
        Ok(HistoryResponse {
            resolution: Resolution::NineMinutes.into(),
            points: vec![point],
        })
    }
}

#[async_trait]
impl Webhooks for Played {
    async fn create(&self, _: &Context, request: CreateRequest) -> Result<Created, Status> {
        let webhook = Webhook {
            id: "w1".to_owned(),
            name: request.name,
            url: request.url,
            kinds: request.kinds,
            verbs: request.verbs,
            group_id: request.group_id,
            enabled: true,
            secret: b"never shown".to_vec(),
            ..Webhook::default()
        };
        self.webhooks.lock().unwrap().push(Listed {
            webhook: Some(webhook.clone()),
            state: Some(WebhookState {
                delivered: 5,
                ..WebhookState::default()
            }),
            dead_letters: 1,
        });
        Ok(Created {
            webhook: Some(webhook),
            secret: "whsec_c2VjcmV0".to_owned(),
        })
    }

    async fn list(&self, _: &Context, _: Empty) -> Result<ListResponse, Status> {
        let webhooks = self.webhooks.lock().unwrap().clone();
        Ok(ListResponse { webhooks })
    }

    async fn remove(&self, _: &Context, request: WebhookRef) -> Result<Empty, Status> {
        self.known(&request.id)?;
        self.webhooks.lock().unwrap().clear();
        Ok(Empty {})
    }

    async fn enable(&self, _: &Context, request: EnableRequest) -> Result<Webhook, Status> {
        self.known(&request.id)?;
        let mut webhooks = self.webhooks.lock().unwrap();
        let mut webhooks = webhooks.iter_mut().flat_map(|listed| &mut listed.webhook);
        let webhook = webhooks.next().unwrap();
        webhook.enabled = request.enabled;
        Ok(webhook.clone())
    }

    async fn test(&self, context: &Context, request: WebhookRef) -> Result<TestResponse, Status> {
        self.known(&request.id)?;
        assert_eq!(context.idempotency_key, "", "it is not to be sent twice");
        Ok(TestResponse {
            taken: false,
            problem: "It answers 500.".to_owned(),
        })
    }

    async fn dead_letters(
        &self,
        _: &Context,
        request: WebhookRef,
    ) -> Result<DeadLettersResponse, Status> {
        self.known(&request.id)?;
        let letter = DeadLetter {
            webhook_id: request.id,
            sequence: 42,
            message_id: "m-42".to_owned(),
            body: br#"{"type": "vm.created"}"#.to_vec(),
            problem: "It answers 410.".to_owned(),
            attempts: 5,
            given_up_ms: 60_000,
        };
        Ok(DeadLettersResponse {
            dead_letters: vec![letter],
        })
    }

    async fn redeliver(
        &self,
        _: &Context,
        request: WebhookRef,
    ) -> Result<RedeliverResponse, Status> {
        self.known(&request.id)?;
        Ok(RedeliverResponse {
            delivered: 1,
            ..RedeliverResponse::default()
        })
    }
}

async fn fleet() -> Fleet {
    let fleet = Fleet::start().await;
    fleet.group("prod", "Prod", "all-hosts").await;
    fleet.host("h1", "host-1", "prod").await;
    fleet.vm("v1", "web-01", VmState::Running).await;
    fleet
}

#[tokio::test]
async fn what_uses_most_comes_with_its_names_and_is_asked_for_by_ids() {
    let fleet = fleet().await;
    let (played, _servers) = Played::serve(&fleet).await;
    let gateway = fleet.gateway("0").await;
    let path = "/api/v1/top?kind=vm&sort=memory&limit=7&group=Prod";
    let top = gateway.get(path).await;
    // Of a machine that is gone there is no name.
    assert_eq!(top.items("name"), ["web-01", ""]);
    assert_eq!(top.items("host"), ["host-1", "host-1"]);
    let (shown, usage) = (top.json(), &top.json()["items"][0]["usage"]);
    assert_eq!(
        (&shown["total"], &usage["cpu_percent"]),
        (&json!(9), &json!(12.5))
    );
    assert!(usage["network_sent_bytes_per_sec"].is_null());
    let asked = TopRequest {
        kind: "vm".to_owned(),
        sort: "memory".to_owned(),
        limit: 7,
        group_id: "prod".to_owned(),
    };
    assert_eq!(*played.top.lock().unwrap(), [asked]);
    let hosts = gateway.get("/api/v1/top?kind=host").await;
    assert_eq!(hosts.items("name"), ["host-1"]);
    for wrong in ["kind=disk", "kind=vm&sort=beauty", "kind=vm&limit=0", ""] {
        let refused = gateway.get(&format!("/api/v1/top?{wrong}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn a_curve_is_asked_for_by_name_and_time() {
    let fleet = fleet().await;
    let (played, _servers) = Played::serve(&fleet).await;
    let gateway = fleet.gateway("0").await;
    let query = "from=1970-01-01T00:01:00Z&resolution=nine_minutes";
    let path = format!("/api/v1/vms/web-01/performance?{query}");
    let curve = gateway.get(&path).await.json();
    assert_eq!(curve["resolution"], "nine_minutes");
    assert_eq!(curve["points"][0]["time"], "1970-01-01T00:01:00Z");
    gateway.get("/api/v1/hosts/host-1/performance").await.json();
    let asked = played.history.lock().unwrap().clone();
    let asked: Vec<_> = asked
        .iter()
        .map(|r| (r.kind.as_str(), r.id.as_str(), r.from_ms, r.resolution()))
        .collect();
    let of_vm = ("vm", "v1", 60_000, Resolution::NineMinutes);
    assert_eq!(asked, [of_vm, ("host", "h1", 0, Resolution::Unspecified)]);
    let unknown = gateway.get("/api/v1/vms/nobody/performance").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_webhook_is_made_shown_without_its_secret_stopped_and_removed() {
    let fleet = fleet().await;
    let (played, _servers) = Played::serve(&fleet).await;
    let gateway = fleet.gateway("0").await;
    let url = "https://chat.example.com/hook";
    let wanted = json!({"name": "chat", "url": url, "kinds": ["vm"], "group": "Prod"});
    let made = gateway.post("/api/v1/webhooks", wanted).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.json()["secret"], "whsec_c2VjcmV0");
    assert_eq!(made.json()["webhook"]["group_id"], "prod");
    let listed = gateway.get("/api/v1/webhooks").await;
    assert_eq!(listed.items("name"), ["chat"]);
    let text = String::from_utf8_lossy(&listed.bytes).into_owned();
    assert!(
        !text.contains("secret") && !text.contains("never shown"),
        "{text}"
    );
    let shown = gateway.get("/api/v1/webhooks/chat").await.json();
    let counts = (&shown["delivered"], &shown["dead_letters"]);
    assert_eq!(counts, (&json!(5), &json!(1)));
    let path = "/api/v1/webhooks/w1";
    let stop = json!({"enabled": false});
    let stopped = gateway.send(Method::PATCH, path, stop).await;
    assert_eq!(stopped.json()["enabled"], false);
    let gone = answer(gateway.ask(Method::DELETE, path)).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert!(played.webhooks.lock().unwrap().is_empty());
    let unknown = gateway.get(path).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_an_endpoint_did_not_take_is_shown_and_sent_again() {
    let fleet = fleet().await;
    let (_played, _servers) = Played::serve(&fleet).await;
    let gateway = fleet.gateway("0").await;
    let wanted = json!({"name": "chat", "url": "https://chat.example.com/hook"});
    gateway.post("/api/v1/webhooks", wanted).await;
    let path = |rest: &str| format!("/api/v1/webhooks/chat/{rest}");
    let tested = gateway.post(&path("actions/test"), json!({})).await.json();
    assert_eq!(
        (&tested["taken"], &tested["problem"]),
        (&json!(false), &json!("It answers 500."))
    );
    let letters = gateway.get(&path("dead-letters")).await;
    assert_eq!(letters.items("message_id"), ["m-42"]);
    assert_eq!(letters.items("body"), [r#"{"type": "vm.created"}"#]);
    let again = gateway.post(&path("actions/redeliver"), json!({})).await;
    assert_eq!(again.json()["delivered"], 1);
}
