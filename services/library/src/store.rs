//! The records of the library.

use std::collections::BTreeMap;
use std::sync::Arc;

use contracts::call::Context;
use contracts::library::{
    GuestProfile, HardwareProfile, Item, Server, Share, StoredUserData, Template,
};
use contracts::records::{Record, indexes};
use contracts::{Code, ObjectRef, Status, names};
use futures::{StreamExt, TryStreamExt};
use kit::records::table::{self, Snapshot, Table};
use kit::records::{Decision, Records, Stored};
use kit::rpc::Gate;
use kit::service::Parts;
use kit::world::World;
use tokio::sync::Notify;

use crate::Config;
use crate::core::definition::Definition;

/// Records that are written at the same time.
pub(crate) const WRITES_AT_ONCE: usize = 32;

#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) servers: Records<Server>,
    pub(crate) shares: Records<Share>,
    pub(crate) items: Records<Item>,
    pub(crate) templates: Records<Template>,
    pub(crate) hardware_profiles: Records<HardwareProfile>,
    pub(crate) guest_profiles: Records<GuestProfile>,
    pub(crate) user_data: Records<StoredUserData>,
    pub(crate) world: World,
    /// A share was removed.
    pub(crate) removed: Arc<Notify>,
    /// Every item, decoded: a share may have a hundred thousand, and lists, names and counts look at all of them.
    table: Arc<Table<Item>>,
}

/// Items of a share.
#[derive(Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) items: u32,
    pub(crate) missing: u32,
}

impl Desk {
    pub(crate) async fn open(parts: &Parts<Config>) -> anyhow::Result<(Self, Arc<dyn Gate>)> {
        let store = parts.open_store()?;
        let items: Records<Item> = store.own().await?;
        let table = Arc::new(Table::new((*items).clone()).map_err(|status| *status)?);
        tokio::spawn(table::follow(Arc::clone(&table), parts.stop.clone()));
        let desk = Self {
            servers: store.own().await?,
            shares: store.own().await?,
            items,
            templates: store.own().await?,
            hardware_profiles: store.own().await?,
            guest_profiles: store.own().await?,
            user_data: store.own().await?,
            world: parts.world.clone(),
            removed: Arc::default(),
            table,
        };
        Ok((desk, store))
    }

    pub(crate) fn all_servers(&self) -> Result<Vec<Server>, Status> {
        let stored = self.servers.list()?.into_iter();
        Ok(stored.map(|stored| stored.value).collect())
    }

    pub(crate) fn all_shares(&self) -> Result<Vec<Share>, Status> {
        let stored = self.shares.list()?.into_iter();
        Ok(stored.map(|stored| stored.value).collect())
    }

    pub(crate) fn shares_of(&self, server_id: &str) -> Result<Vec<Share>, Status> {
        let stored = self.shares.find(indexes::SERVER, server_id)?.into_iter();
        Ok(stored.map(|stored| stored.value).collect())
    }

    /// All of a kind, in order of their names.
    pub(crate) fn definitions<D: Definition>(
        &self,
        records: &Records<D>,
    ) -> Result<Vec<D>, Status> {
        let stored = records.list()?.into_iter();
        let mut all: Vec<D> = stored.map(|stored| stored.value).collect();
        all.sort_by_cached_key(|definition| definition.head().name);
        Ok(all)
    }

    /// The template or profile with this id or name.
    pub(crate) fn definition<D: Definition>(
        &self,
        records: &Records<D>,
        text: &str,
    ) -> Result<D, Status> {
        let is_it = |definition: &D| {
            let head = definition.head();
            head.id == text || head.name == text
        };
        let found = self.definitions(records)?.into_iter().find(is_it);
        found.ok_or_else(|| Status::not_found(ObjectRef::new(D::BUCKET, "", &names::shorten(text))))
    }

    /// Every item as this instance's view has it. Hold it for a moment only.
    pub(crate) fn all_items(&self) -> Result<Snapshot<'_, Item>, Status> {
        self.table.snapshot().map_err(|status| *status)
    }

    pub(crate) fn items_of(&self, share_id: &str) -> Result<Vec<Arc<Item>>, Status> {
        let items = self.all_items()?;
        let own = items.records().filter(|item| item.share_id == share_id);
        Ok(own.cloned().collect())
    }

    /// How many items each share has.
    pub(crate) fn count(&self) -> Result<BTreeMap<String, Count>, Status> {
        let mut shares: BTreeMap<String, Count> = BTreeMap::new();
        for item in self.all_items()?.records() {
            let count = match shares.get_mut(&item.share_id) {
                Some(count) => count,
                None => shares.entry(item.share_id.clone()).or_default(),
            };
            count.items += 1;
            count.missing += u32::from(item.missing);
        }
        Ok(shares)
    }

    /// The server with this id or name.
    pub(crate) fn server(&self, text: &str) -> Result<Server, Status> {
        one("library_server", text, self.all_servers()?, |s| {
            (&s.id, &s.name)
        })
    }

    /// The share with this id or name.
    pub(crate) fn share(&self, text: &str) -> Result<Share, Status> {
        one("library_share", text, self.all_shares()?, |s| {
            (&s.id, &s.name)
        })
    }

    /// The item with this id, or of this name: `<share>/<path>`.
    pub(crate) fn item(&self, text: &str) -> Result<Item, Status> {
        let unknown = || {
            Status::not_found(ObjectRef::new("library_item", "", &names::shorten(text)))
                .action("List the items, and name one by its id or as <share>/<path>.")
        };
        if names::is_token(text) {
            return Ok(self.items.get(text)?.ok_or_else(unknown)?.value);
        }
        let (share, path) = text.split_once('/').ok_or_else(unknown)?;
        let share = self.share(share)?;
        let items = self.items_of(&share.id)?.into_iter();
        let (missing, there): (Vec<_>, Vec<_>) = items
            .filter(|item| item.path() == path)
            .partition(|item| item.missing);
        let found = there.into_iter().chain(missing).next();
        Ok(found.ok_or_else(unknown)?.as_ref().clone())
    }

    /// Whether a share is there: what this instance's view does not know yet counts.
    pub(crate) async fn share_is_there(&self, id: &str) -> Result<bool, Status> {
        let look =
            |share: Option<&Stored<Share>>| Ok(Decision::<Share, bool>::Keep(share.is_some()));
        self.shares.update(&Context::new("system"), id, look).await
    }

    pub(crate) async fn forget_items(&self, ids: &[String]) -> Result<(), Status> {
        let context = Context::new("system");
        let work: Vec<_> = ids
            .iter()
            .map(|id| delete(&self.items, &context, id))
            .collect();
        futures::stream::iter(work)
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect()
            .await
    }
}

pub(crate) async fn delete<R: Record>(
    records: &Records<R>,
    context: &Context,
    id: &str,
) -> Result<(), Status> {
    records
        .update(context, id, |_| Ok(Decision::Delete(())))
        .await
}

/// The one with this id, or the only one of this name.
fn one<T>(
    kind: &str,
    text: &str,
    all: Vec<T>,
    names: impl Fn(&T) -> (&String, &String),
) -> Result<T, Status> {
    let mut named = Vec::new();
    for object in all {
        let (id, name) = names(&object);
        if id == text {
            return Ok(object);
        }
        if name == text {
            named.push(object);
        }
    }
    let object = ObjectRef::new(kind, "", &names::shorten(text));
    match (named.pop(), named.is_empty()) {
        (Some(found), true) => Ok(found),
        (None, _) => Err(Status::not_found(object)),
        (Some(_), false) => {
            let message = format!("More than one is called {}.", object.name);
            Err(Status::new(Code::FailedPrecondition, message)
                .about(object)
                .action("Name it by its id."))
        }
    }
}
