//! A client of the gateways: one or several, of which it asks another when one is gone.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use support::eventually;

/// How long a step of a test may take on the slowest machine: guests boot under emulation.
pub const GUEST_PATIENCE: Duration = Duration::from_secs(240);

/// How long gateways are asked in turn while none is there.
const GATEWAY_PATIENCE: Duration = Duration::from_secs(30);

const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Counts requests, for their idempotency keys.
static NEXT_KEY: AtomicUsize = AtomicUsize::new(0);

/// The states in which nothing more happens to a job by itself.
const ENDS: [&str; 4] = ["succeeded", "failed", "cancelled", "stuck"];

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    gateways: Arc<Vec<String>>,
    /// The one that is asked now.
    current: Arc<AtomicUsize>,
    notes: Arc<Notes>,
    is_patient: bool,
}

/// What a client was told.
#[derive(Default)]
struct Notes {
    /// Jobs that a gateway has acknowledged.
    acknowledged: Mutex<BTreeSet<String>>,
    /// Requests that were sent again.
    sent_again: AtomicUsize,
}

/// What the gateway answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Client {
    pub fn new(port: u16) -> Self {
        Self::of(&[port])
    }

    pub fn of(ports: &[u16]) -> Self {
        let gateways = ports.iter().map(|port| format!("http://127.0.0.1:{port}"));
        Self {
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(90))
                .build()
                .unwrap(),
            gateways: Arc::new(gateways.collect()),
            current: Arc::default(),
            notes: Arc::default(),
            is_patient: false,
        }
    }

    /// Where the first gateway is.
    pub fn server(&self) -> &str {
        &self.gateways[0]
    }

    /// A client of each gateway alone.
    pub fn each(&self) -> Vec<Self> {
        let alone = |gateway: &String| Self {
            gateways: Arc::new(vec![gateway.clone()]),
            current: Arc::default(),
            ..self.clone()
        };
        self.gateways.iter().map(alone).collect()
    }

    /// Jobs that were acknowledged to this client.
    pub fn acknowledged(&self) -> BTreeSet<String> {
        self.notes.acknowledged.lock().unwrap().clone()
    }

    /// How often a request was sent again.
    pub fn sent_again(&self) -> usize {
        self.notes.sent_again.load(Ordering::Relaxed)
    }

    /// The same, which also sends again what was answered with "not available now".
    pub fn patient(&self) -> Self {
        Self {
            is_patient: true,
            ..self.clone()
        }
    }

    /// Sends a request, again under the same key to the next gateway if one is gone and there is another.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Answer> {
        let key = format!("test-{}", NEXT_KEY.fetch_add(1, Ordering::Relaxed));
        let started = Instant::now();
        let mut tries = tokio::time::interval(RETRY_INTERVAL);
        loop {
            tries.tick().await;
            let current = self.current.load(Ordering::Relaxed);
            let gateway = &self.gateways[current % self.gateways.len()];
            let answer = self.send_once(gateway, method, path, &body, &key).await;
            let is_good = match &answer {
                Ok(answer) => answer.status != 503 || !self.is_patient,
                Err(_) => self.gateways.len() == 1,
            };
            if is_good || started.elapsed() > GATEWAY_PATIENCE {
                return answer;
            }
            self.notes.sent_again.fetch_add(1, Ordering::Relaxed);
            let (next, order) = (current + 1, Ordering::Relaxed);
            let _ = self.current.compare_exchange(current, next, order, order);
        }
    }

    async fn send_once(
        &self,
        gateway: &str,
        method: &str,
        path: &str,
        body: &Option<Value>,
        key: &str,
    ) -> anyhow::Result<Answer> {
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let changes = method != reqwest::Method::GET;
        let mut request = self.http.request(method, format!("{gateway}{path}"));
        if changes {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if let (202, Some(id)) = (status, body["id"].as_str()) {
            let mut acknowledged = self.notes.acknowledged.lock().unwrap();
            acknowledged.insert(id.to_owned());
        }
        Ok(Answer { status, body })
    }

    /// Events over the wire, from now on or after one that is known.
    pub async fn events(&self, query: &str, last_event_id: Option<u64>) -> reqwest::Response {
        let url = format!("{}/api/v1/events?{query}", self.gateways[0]);
        // Without the limit of time: the stream has no end.
        let mut request = reqwest::Client::new().get(url);
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id.to_string());
        }
        request.send().await.unwrap()
    }

    /// Something that must work.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.send("GET", path, None).await?;
        if answer.status != 200 {
            bail!("GET {path}: {} {}", answer.status, answer.body);
        }
        Ok(answer.body)
    }

    /// Asks for a change; answers with the job's id.
    pub async fn submit(&self, method: &str, path: &str, body: Value) -> anyhow::Result<String> {
        let answer = self.send(method, path, Some(body)).await?;
        if answer.status != 202 {
            bail!("{method} {path}: {} {}", answer.status, answer.body);
        }
        Ok(answer.body["id"]
            .as_str()
            .context("the job has no id")?
            .to_owned())
    }

    /// Asks for a change, anew while what it needs is not available yet: the data end of a host that has just come is
    /// known a moment after the host responds.
    pub async fn submit_when_available(&self, method: &str, path: &str, body: Value) -> String {
        eventually("the request to be taken", async || {
            match self.submit(method, path, body.clone()).await {
                Err(error) if error.to_string().contains("UNAVAILABLE") => None,
                taken => Some(taken.unwrap()),
            }
        })
        .await
        .unwrap()
    }

    /// Waits until a job has ended, whatever way.
    pub async fn job_ended(&self, id: &str) -> Value {
        let path = format!("/api/v1/jobs/{id}");
        let started = Instant::now();
        loop {
            let ended = eventually("the job to end", async || {
                let job = self.get(&path).await.ok()?;
                ENDS.contains(&job["state"].as_str()?).then_some(job)
            })
            .await;
            match ended {
                Ok(job) => return job,
                Err(_) if started.elapsed() < GUEST_PATIENCE => {}
                Err(error) => panic!("{error}: {:#?}", self.get(&path).await),
            }
        }
    }

    /// Does something and insists that its job succeeds.
    pub async fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let id = self.submit(method, path, body).await.unwrap();
        let job = self.job_ended(&id).await;
        assert_eq!(job["state"], "succeeded", "{job:#}");
        job
    }

    /// A power action that must succeed.
    pub async fn act(&self, vm: &str, action: &str) -> Value {
        let path = format!("/api/v1/vms/{vm}/actions/{action}");
        self.done("POST", &path, json!({})).await
    }

    pub async fn vm(&self, name: &str) -> Option<Value> {
        self.get(&format!("/api/v1/vms/{name}")).await.ok()
    }

    /// Every machine that Muster knows.
    pub async fn vms(&self) -> Vec<Value> {
        self.list("vms").await.unwrap()
    }

    /// Everything of one kind.
    pub async fn list(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/{kind}?limit=1000{cursor}");
            let page = self.get(&path).await?;
            items.extend(page["items"].as_array().context("no items")?.clone());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }
}

/// What to create a machine of the guest image with.
pub fn small_vm(name: &str, start: bool, wait_for_guest: bool) -> Value {
    json!({
        "name": name,
        "vcpus": 1,
        "memory_bytes": 128 << 20,
        "disks": [{"image": "guest.qcow2"}],
        "network_cards": [{"network": "user"}],
        "start": start,
        "wait_for_guest": wait_for_guest,
    })
}

/// A machine with nothing to boot: its process runs, and takes no time of the processor.
pub fn bare_vm(name: &str, start: bool) -> Value {
    json!({
        "name": name,
        "vcpus": 1,
        "memory_bytes": 16 << 20,
        "disks": [{"size_bytes": 1 << 20}],
        "network_cards": [],
        "start": start,
    })
}
