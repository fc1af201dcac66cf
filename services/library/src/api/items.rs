//! Items: listed in pages, and described by people.

use std::collections::BTreeMap;

use contracts::call::Context;
use contracts::common::Empty;
use contracts::library::{
    Item, ItemKind, ItemStatus, ListItemsRequest, ListItemsResponse, Share, UpdateItemRequest,
};
use contracts::{ObjectRef, Status};
use kit::records::{Decision, Stored};

use super::Api;
use crate::core::item;
use crate::store::delete;

const PAGE: usize = 200;
const PAGE_MAX: usize = 1_000;

fn object(item: &Item) -> ObjectRef {
    ObjectRef::new("library_item", &item.id, item.path())
}

fn is_wanted(item: &Item, status: ItemStatus, request: &ListItemsRequest) -> bool {
    let facts = item.facts.as_ref();
    let words = item.words.as_ref();
    let kind = request.kind();
    (kind == ItemKind::Unspecified || facts.is_some_and(|facts| facts.kind() == kind))
        && (request.status() == ItemStatus::Unspecified || request.status() == status)
        && (request.family.is_empty() || words.is_some_and(|words| words.family == request.family))
}

impl Api {
    /// With its status.
    pub(super) fn as_it_stands(&self, item: Item) -> Result<Item, Status> {
        let share = self.desk.shares.get(&item.share_id)?;
        let share = share.map_or_else(gone, |share| share.value);
        Ok(with_status(item, &share))
    }

    pub(super) fn listed_items(
        &self,
        request: &ListItemsRequest,
    ) -> Result<ListItemsResponse, Status> {
        let limit = match usize::try_from(request.limit).unwrap_or(PAGE_MAX) {
            0 => PAGE,
            limit => limit.min(PAGE_MAX),
        };
        let only = match request.share.as_str() {
            "" => None,
            share => Some(self.desk.share(share)?.id),
        };
        let shares = self.desk.all_shares()?.into_iter();
        let shares: BTreeMap<String, Share> = shares.map(|s| (s.id.clone(), s)).collect();
        let all = self.desk.all_items()?;
        let mut wanted = all.records().filter_map(|item| {
            let is_of_it = only
                .as_ref()
                .is_none_or(|share_id| *share_id == item.share_id);
            if item.id <= request.after || !is_of_it {
                return None;
            }
            // Those whose share is gone are about to be forgotten.
            let share = shares.get(&item.share_id)?;
            is_wanted(item, item::status(item, share), request).then_some((item, share))
        });
        let page = wanted.by_ref().take(limit);
        let items: Vec<Item> = page
            .map(|(item, share)| with_status(item.as_ref().clone(), share))
            .collect();
        let more = wanted.next().is_some();
        let last = items.last().map(|item| item.id.clone());
        Ok(ListItemsResponse {
            next: last.filter(|_| more).unwrap_or_default(),
            items,
        })
    }

    pub(super) async fn describe_item(
        &self,
        context: &Context,
        request: &UpdateItemRequest,
    ) -> Result<Item, Status> {
        let item = self.desk.item(&request.item)?;
        let decide = |current: Option<&Stored<Item>>| {
            let current = &current
                .ok_or_else(|| Status::not_found(object(&item)))?
                .value;
            let mut after = current.clone();
            after.words = Some(item::changed(current, request)?);
            Ok(match *current == after {
                true => Decision::Keep(after),
                false => Decision::Put(after.clone(), after),
            })
        };
        let after = self.desk.items.update(context, &item.id, decide).await?;
        self.as_it_stands(after)
    }

    pub(super) async fn forget_item(&self, context: &Context, text: &str) -> Result<Empty, Status> {
        let item = self.as_it_stands(self.desk.item(text)?)?;
        if item.status() != ItemStatus::Missing {
            let message = format!("The file of item {} is there.", item.path());
            return Err(Status::precondition(message)
                .about(object(&item))
                .action("Remove the file, or disable the item."));
        }
        delete(&self.desk.items, context, &item.id).await?;
        Ok(Empty {})
    }
}

/// A share that is no more.
fn gone() -> Share {
    Share {
        problem: "The share is no more.".to_owned(),
        ..Share::default()
    }
}

fn with_status(mut item: Item, share: &Share) -> Item {
    item.status = item::status(&item, share).into();
    item
}
