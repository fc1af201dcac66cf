//! Changes of the tree of host groups.

use contracts::Status;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::inventory::{GroupChange, HostGroup, ObjectId};
use contracts::names;
use contracts::records::indexes;

use super::Api;
use crate::core::tree;

impl Api {
    pub(super) async fn make_group(
        &self,
        context: &Context,
        change: GroupChange,
    ) -> Result<HostGroup, Status> {
        names::check_id("id", &change.id)?;
        let now_ms = self.fleet.now_ms();
        let decide = |tree: &tree::Tree| tree::create(tree, &change, now_ms);
        self.fleet.change_tree(context, &change.id, decide).await
    }

    pub(super) async fn change_group(
        &self,
        context: &Context,
        change: GroupChange,
    ) -> Result<HostGroup, Status> {
        names::check_id("id", &change.id)?;
        let decide = |tree: &tree::Tree| tree::update(tree, &change);
        self.fleet.change_tree(context, &change.id, decide).await
    }

    /// Against a host that moves in at the same moment: `change_tree` reads how far the log of groups is, then brings the
    /// view of hosts up to date, then writes the deletion if the log of groups is still there. A host that moves in writes
    /// itself first and then touches its group. So either it is seen here, or its touch makes this write be decided
    /// again, or it finds its group gone and goes back.
    pub(super) async fn forget_group(
        &self,
        context: &Context,
        request: ObjectId,
    ) -> Result<Empty, Status> {
        names::check_id("id", &request.id)?;
        let hosts = &self.fleet.hosts;
        let decide = |tree: &tree::Tree| {
            let inside = hosts.find(indexes::GROUP, &request.id)?;
            let inside: Vec<String> = inside.into_iter().map(|host| host.value.name).collect();
            tree::delete(tree, &request.id, &request.job_id, &inside)
        };
        self.fleet.change_tree(context, &request.id, decide).await?;
        Ok(Empty {})
    }
}
