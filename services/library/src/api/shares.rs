//! Shares: folders of library servers.

use contracts::call::Context;
use contracts::common::Empty;
use contracts::library::{
    AddShareRequest, CheckShareRequest, ListSharesResponse, ListedShare, Server, Share,
};
use contracts::{ObjectRef, Status};
use kit::records::{Decision, Stored};

use super::Api;
use crate::core::share;
use crate::store::{Count, delete};

impl Api {
    pub(super) async fn make_share(
        &self,
        context: &Context,
        request: AddShareRequest,
    ) -> Result<Share, Status> {
        let server = self.desk.server(&request.server)?;
        if !server.added {
            let message = format!("Library server {} is not in the library.", server.name);
            return Err(Status::precondition(message)
                .about(ObjectRef::new("library_server", &server.id, &server.name))
                .action("Add the server first."));
        }
        let check = CheckShareRequest { path: request.path };
        let path = self
            .end(&server.id)
            .check_share(context, &check)
            .await?
            .path;
        let name = match request.name.as_str() {
            "" => share::default_name(&path).to_owned(),
            name => name.to_owned(),
        };
        let shares = self.desk.all_shares()?;
        let id = share::id(&server.id, &path);
        // Asked again, since the answer was late or lost.
        let is_it = |there: &&Share| there.id == id && there.name == name;
        if let Some(there) = shares.iter().find(is_it) {
            return Ok(there.clone());
        }
        share::check(&server, &name, &path, &shares)?;
        let share = Share {
            id,
            server_id: server.id.clone(),
            name,
            path,
            created_ms: self.desk.world.now_ms(),
            ..Share::default()
        };
        let share = self.put_share(context, share).await?;
        self.tell_server(context, &server.id).await;
        Ok(share)
    }

    async fn put_share(&self, context: &Context, share: Share) -> Result<Share, Status> {
        let decide = |current: Option<&Stored<Share>>| match current {
            None => Ok(Decision::Put(share.clone(), share.clone())),
            Some(there) if there.value.name == share.name => {
                Ok(Decision::Keep(there.value.clone()))
            }
            Some(there) => {
                let message = format!(
                    "Folder {} is share {} already.",
                    share.path, there.value.name
                );
                let object = ObjectRef::new("library_share", &there.id, &there.value.name);
                Err(Status::already_exists(object, message).action("Use that share."))
            }
        };
        self.desk.shares.update(context, &share.id, decide).await
    }

    /// It asks by itself every few seconds: that it cannot be told now is no failure.
    async fn tell_server(&self, context: &Context, server_id: &str) {
        if let Err(status) = self.end(server_id).shares_changed(context, &Empty {}).await {
            tracing::info!(server_id, %status, "the library server was not told of its shares");
        }
    }

    pub(super) async fn forget_share(
        &self,
        context: &Context,
        text: &str,
    ) -> Result<Empty, Status> {
        let share = self.desk.share(text)?;
        delete(&self.desk.shares, context, &share.id).await?;
        self.desk.removed.notify_one();
        self.tell_server(context, &share.server_id).await;
        Ok(Empty {})
    }

    pub(super) fn listed_shares(&self) -> Result<ListSharesResponse, Status> {
        let mut shares = self.desk.all_shares()?;
        shares.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        let counts = self.desk.count()?;
        let listed = shares.into_iter().map(|share| {
            let count = counts.get(&share.id).copied().unwrap_or_default();
            self.listed(share, count)
        });
        Ok(ListSharesResponse {
            shares: listed.collect::<Result<_, Status>>()?,
        })
    }

    fn listed(&self, share: Share, count: Count) -> Result<ListedShare, Status> {
        let is_away = !share.problem.is_empty();
        Ok(ListedShare {
            server_name: self.server_name(&share.server_id)?,
            items: count.items,
            missing: if is_away { count.items } else { count.missing },
            share: Some(share),
        })
    }

    fn server_name(&self, id: &str) -> Result<String, Status> {
        let server: Option<Stored<Server>> = self.desk.servers.get(id)?;
        Ok(server.map_or_else(|| id.to_owned(), |server| server.value.name))
    }
}
