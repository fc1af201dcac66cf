//! What the library answers.

mod definitions;
mod items;
mod refresh;
mod reports;
mod resolve;
mod servers;
mod shares;

use std::sync::Arc;

use async_trait::async_trait;
use contracts::Status;
use contracts::call::{Call, Context};
use contracts::common::Empty;
use contracts::jobs::JobsClient;
use contracts::library::{
    AddShareRequest, Found, Item, ItemRef, Library, LibraryEndClient, ListItemsRequest,
    ListItemsResponse, ListServersResponse, ListSharesResponse, RefreshShareRequest,
    RegisterRequest, RegisterResponse, ReportRequest, ReportResponse, Server, ServerRef, Share,
    ShareRef, UpdateItemRequest, UpdateServerRequest,
};
use kit::service::Parts;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::heard::Heard;
use crate::store::Desk;

#[derive(Clone)]
pub(crate) struct Api {
    desk: Desk,
    heard: Arc<Heard>,
    caller: Arc<dyn Call>,
    jobs: JobsClient,
    stop: CancellationToken,
}

impl Api {
    pub(crate) fn new(desk: Desk, heard: Arc<Heard>, parts: &Parts<Config>) -> Self {
        Self {
            desk,
            heard,
            caller: Arc::clone(&parts.caller),
            jobs: JobsClient::new(Arc::clone(&parts.caller)),
            stop: parts.stop.clone(),
        }
    }

    fn end(&self, server_id: &str) -> LibraryEndClient {
        LibraryEndClient::new(Arc::clone(&self.caller), server_id)
    }
}

#[async_trait]
impl Library for Api {
    async fn register(
        &self,
        context: &Context,
        request: RegisterRequest,
    ) -> Result<RegisterResponse, Status> {
        self.register_server(context, request).await
    }

    async fn report(
        &self,
        context: &Context,
        request: ReportRequest,
    ) -> Result<ReportResponse, Status> {
        self.apply_report(context, request).await
    }

    async fn add_server(&self, context: &Context, request: ServerRef) -> Result<Server, Status> {
        self.take_server(context, &request.server).await
    }

    async fn update_server(
        &self,
        context: &Context,
        request: UpdateServerRequest,
    ) -> Result<Server, Status> {
        self.change_server(context, &request).await
    }

    async fn remove_server(&self, context: &Context, request: ServerRef) -> Result<Empty, Status> {
        self.forget_server(context, &request.server).await
    }

    async fn list_servers(&self, _: &Context, _: Empty) -> Result<ListServersResponse, Status> {
        self.listed_servers()
    }

    async fn add_share(
        &self,
        context: &Context,
        request: AddShareRequest,
    ) -> Result<Share, Status> {
        self.make_share(context, request).await
    }

    async fn remove_share(&self, context: &Context, request: ShareRef) -> Result<Empty, Status> {
        self.forget_share(context, &request.share).await
    }

    async fn list_shares(&self, _: &Context, _: Empty) -> Result<ListSharesResponse, Status> {
        self.listed_shares()
    }

    async fn refresh_share(
        &self,
        context: &Context,
        request: RefreshShareRequest,
    ) -> Result<Found, Status> {
        let share = self.desk.share(&request.share)?;
        self.look(context, &share, &request.look, refresh::ASKED_WAIT)
            .await
    }

    async fn list_items(
        &self,
        _: &Context,
        request: ListItemsRequest,
    ) -> Result<ListItemsResponse, Status> {
        self.listed_items(&request)
    }

    async fn get_item(&self, _: &Context, request: ItemRef) -> Result<Item, Status> {
        let item = self.desk.item(&request.item)?;
        self.as_it_stands(item)
    }

    async fn update_item(
        &self,
        context: &Context,
        request: UpdateItemRequest,
    ) -> Result<Item, Status> {
        self.describe_item(context, &request).await
    }

    async fn remove_item(&self, context: &Context, request: ItemRef) -> Result<Empty, Status> {
        self.forget_item(context, &request.item).await
    }
}
