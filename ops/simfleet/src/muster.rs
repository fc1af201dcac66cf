//! What Muster says, over HTTP.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use contracts::rest::{self, Page};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::core::compare::{Account, Difference, compare};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Items on a page of a list.
const PAGE: usize = 1_000;

/// Between looks while something is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a service may take to answer after the gateway does.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A Muster that is asked about its fleet.
#[derive(Clone)]
pub struct Muster {
    http: reqwest::Client,
    server: String,
}

impl Muster {
    /// `server` as in `http://127.0.0.1:8100`.
    pub fn new(server: &str) -> anyhow::Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder().build()?,
            server: server.trim_end_matches('/').to_owned(),
        })
    }

    /// A secret that lets hosts join. The gateway is ready when its views are; inventory may answer a moment later.
    pub async fn join_token(&self) -> anyhow::Result<String> {
        let started = Instant::now();
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        loop {
            looks.tick().await;
            match self.join_token_now().await {
                Err(error) if is_unavailable(&error) && started.elapsed() < START_PATIENCE => {}
                made => return made,
            }
        }
    }

    async fn join_token_now(&self) -> anyhow::Result<String> {
        let url = format!("{}/api/v1/join-tokens", self.server);
        let key = format!("simfleet-{}", uuid::Uuid::new_v4());
        let request = self.http.post(&url).timeout(ANSWER_TIMEOUT);
        let answer = request
            .header("Idempotency-Key", key)
            .json(&json!({}))
            .send()
            .await?;
        let answer: serde_json::Value = answer.error_for_status()?.json().await?;
        let token = answer.get("token").and_then(|token| token.as_str());
        Ok(token.context("Muster gave no join token")?.to_owned())
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.request(path).timeout(ANSWER_TIMEOUT).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// A request that may take as long as it likes.
    pub fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.server))
    }

    pub async fn hosts(&self) -> anyhow::Result<Vec<rest::Host>> {
        self.all("/api/v1/hosts").await
    }

    pub async fn vms(&self) -> anyhow::Result<Vec<rest::Vm>> {
        self.all("/api/v1/vms").await
    }

    async fn all<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Vec<T>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page: Page<T> = self
                .get(&format!("{path}?limit={PAGE}&sort=id{cursor}"))
                .await?;
            items.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }

    /// How many of a list match a filter.
    pub async fn count(&self, list: &str, filter: &str) -> anyhow::Result<u64> {
        let path = format!("/api/v1/{list}?limit=1&filter={filter}");
        let page: Page<serde_json::Value> = self.get(&path).await?;
        Ok(page.total)
    }

    /// Waits until so many hosts respond, and so many machines are known.
    pub async fn has(&self, hosts: usize, vms: usize, patience: Duration) -> anyhow::Result<()> {
        let (hosts, vms) = (hosts as u64, vms as u64);
        let responding = "approval:approved,status:responding";
        let look = async || {
            let shown_hosts = self.count("hosts", responding).await.unwrap_or(0);
            let shown_vms = self.count("vms", "").await.unwrap_or(0);
            (shown_hosts, shown_vms)
        };
        let started = Instant::now();
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        loop {
            looks.tick().await;
            let shown = look().await;
            if shown.0 >= hosts && shown.1 >= vms {
                return Ok(());
            }
            ensure!(
                started.elapsed() < patience,
                "after {patience:?} Muster shows {} of {hosts} hosts and {} of {vms} machines",
                shown.0,
                shown.1
            );
        }
    }

    /// What Muster shows otherwise than it is.
    pub async fn differences(&self, account: &Account) -> anyhow::Result<Vec<Difference>> {
        let (hosts, vms) = (self.hosts().await?, self.vms().await?);
        Ok(compare(account, &hosts, &vms))
    }

    /// Waits until Muster shows everything as it is; answers how long that took, or what still differs.
    pub async fn agrees(
        &self,
        account: impl Fn() -> Account,
        patience: Duration,
    ) -> anyhow::Result<Result<Duration, Vec<Difference>>> {
        let started = Instant::now();
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        loop {
            looks.tick().await;
            let found = self.differences(&account()).await;
            match found {
                Ok(found) if found.is_empty() => return Ok(Ok(started.elapsed())),
                Ok(found) if started.elapsed() > patience => return Ok(Err(found)),
                // It may just be starting.
                Err(error) if started.elapsed() > patience => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
    }
}

fn is_unavailable(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<reqwest::Error>();
    let status = error.and_then(reqwest::Error::status);
    status == Some(reqwest::StatusCode::SERVICE_UNAVAILABLE)
}
