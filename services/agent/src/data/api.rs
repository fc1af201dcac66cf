//! What the data end answers on the bus.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::Status;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::data::{
    self, DiscardRequest, FetchRef, FetchRequest, FetchStatus, FileFacts, FileRef, PushRequest,
    ThrottleRequest,
};
use contracts::names;

use super::DataEnd;

pub struct Api(pub Arc<DataEnd>);

impl Api {
    /// Disks may make one wait.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DataEnd) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let data = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&data)).await;
        done.unwrap_or_else(|_| Err(Status::internal("The data end failed in itself.")))
    }
}

#[async_trait]
impl data::DataEnd for Api {
    async fn look(&self, _: &Context, request: FileRef) -> Result<FileFacts, Status> {
        self.blocking(move |data| data.look(&request)).await
    }

    async fn fetch(&self, _: &Context, request: FetchRequest) -> Result<FetchStatus, Status> {
        self.blocking(move |data| data.fetch(request)).await
    }

    async fn push(&self, _: &Context, request: PushRequest) -> Result<Empty, Status> {
        self.0.push(&request).map(|()| Empty {})
    }

    async fn get_fetch(&self, _: &Context, request: FetchRef) -> Result<FetchStatus, Status> {
        let wait = Duration::from_millis(request.wait_ms.into());
        self.blocking(move |data| data.status(&request.transfer_id, wait))
            .await
    }

    async fn discard(&self, _: &Context, request: DiscardRequest) -> Result<Empty, Status> {
        names::check_id("transfer_id", &request.transfer_id)?;
        self.blocking(move |data| data.discard(&request).map(|()| Empty {}))
            .await
    }

    async fn throttle(&self, _: &Context, request: ThrottleRequest) -> Result<Empty, Status> {
        self.0.throttle(&request);
        Ok(Empty {})
    }
}
