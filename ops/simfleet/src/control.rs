//! What an operator asks of a running fleet: how it is, and that something goes wrong. HTTP on loopback.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::State;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::core::compare::Account;
use crate::core::fault::Fault;
use crate::{Churn, Fleet, Status, Which};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What is to go wrong, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    pub which: Which,
    pub fault: Fault,
}

/// Answers until it is told to stop.
pub async fn serve(
    listener: TcpListener,
    fleet: Arc<Fleet>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/status", get(status))
        .route("/account", get(account))
        .route("/faults", post(fault))
        .route("/churn", put(churn))
        .with_state(fleet);
    let stopped = async move { stop.cancelled().await };
    axum::serve(listener, router)
        .with_graceful_shutdown(stopped)
        .await?;
    Ok(())
}

async fn status(State(fleet): State<Arc<Fleet>>) -> Json<Status> {
    Json(fleet.status())
}

async fn account(State(fleet): State<Arc<Fleet>>) -> Json<Account> {
    Json(fleet.account())
}

/// Answers with how many hosts it is about.
async fn fault(State(fleet): State<Arc<Fleet>>, Json(order): Json<Order>) -> Json<usize> {
    Json(fleet.fault(&order.which, &order.fault))
}

async fn churn(State(fleet): State<Arc<Fleet>>, Json(churn): Json<Churn>) -> Json<Churn> {
    fleet.set_churn(churn);
    Json(churn)
}

/// A fleet that runs in another process.
pub struct Remote {
    http: reqwest::Client,
    address: String,
}

impl Remote {
    /// `address` as in `127.0.0.1:8110`.
    pub fn new(address: &str) -> anyhow::Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build()?,
            address: address.to_owned(),
        })
    }

    pub async fn status(&self) -> anyhow::Result<Status> {
        self.answer(self.http.get(self.url("/status"))).await
    }

    pub async fn account(&self) -> anyhow::Result<Account> {
        self.answer(self.http.get(self.url("/account"))).await
    }

    pub async fn fault(&self, order: &Order) -> anyhow::Result<usize> {
        self.answer(self.http.post(self.url("/faults")).json(order))
            .await
    }

    pub async fn churn(&self, churn: Churn) -> anyhow::Result<Churn> {
        self.answer(self.http.put(self.url("/churn")).json(&churn))
            .await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> anyhow::Result<T> {
        let answer = request.send().await.with_context(|| {
            format!(
                "No simulated fleet answers at {}. Start one with ./ops/fleet up.",
                self.address
            )
        })?;
        Ok(answer.error_for_status()?.json().await?)
    }
}
