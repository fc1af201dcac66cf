//! The library: items.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{ItemIdentity, ItemKind, ItemStatus, id, time};
use crate::library;

/// A file of the library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LibraryItem {
    pub id: String,
    pub share_id: String,
    pub server_id: String,
    /// Below the share.
    pub path: String,
    pub kind: ItemKind,
    pub status: ItemStatus,
    /// `qcow2`, `raw`, `vhd`, `vhdx`, `vmdk`, or by the file's name: `iso`, `sh`.
    pub format: String,
    pub file_bytes: u64,
    /// Of a virtual disk: what a guest sees.
    pub virtual_bytes: Option<u64>,
    /// Of a virtual disk: the file of the same share that it lies on.
    pub backing_path: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub modified: Option<jiff::Timestamp>,
    /// How the file is recognised when it has been renamed or moved.
    pub identity: ItemIdentity,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub found: Option<jiff::Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub missing_since: Option<jiff::Timestamp>,
    /// When the file was last changed while it was copied to a host.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub changed_in_use: Option<jiff::Timestamp>,
    pub owner: String,
    pub os: String,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    /// Images of one family follow each other.
    pub family: String,
    pub release: String,
    pub disabled: bool,
}

impl From<library::Item> for LibraryItem {
    fn from(message: library::Item) -> Self {
        let status = message.status();
        let library::Item {
            id: item_id,
            share_id,
            server_id,
            facts,
            // Both are in the status.
            missing: _,
            status: _,
            found_ms,
            missing_ms,
            words,
            // Of the service's own concern.
            generation: _,
            report_number: _,
        } = message;
        let facts = facts.unwrap_or_default();
        let (kind, identity) = (facts.kind(), facts.identity());
        let library::ItemFacts {
            id: _,
            path,
            kind: _,
            format,
            file_bytes,
            virtual_bytes,
            backing_path,
            modified_ms,
            identity: _,
            content_hash: _,
            changed_in_use_ms,
        } = facts;
        let library::ItemWords {
            owner,
            os,
            description,
            tags,
            family,
            release,
            disabled,
            // It is in the status.
            accepted_change_ms: _,
        } = words.unwrap_or_default();
        Self {
            id: item_id,
            share_id,
            server_id,
            path,
            kind: kind.into(),
            status: status.into(),
            format,
            file_bytes,
            virtual_bytes: (virtual_bytes > 0).then_some(virtual_bytes),
            backing_path: id(backing_path),
            modified: time(modified_ms),
            identity: identity.into(),
            found: time(found_ms),
            missing_since: time(missing_ms),
            changed_in_use: time(changed_in_use_ms),
            owner,
            os,
            description,
            tags: tags.into_iter().collect(),
            family,
            release,
            disabled,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LibraryItemList {
    pub items: Vec<LibraryItem>,
    /// For `after` of the next request; null when this is the last page.
    pub next: Option<String>,
}

/// Which items are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LibraryItemQuery {
    /// By id or name.
    pub share: Option<String>,
    pub kind: Option<ItemKind>,
    pub status: Option<ItemStatus>,
    pub family: Option<String>,
    /// `next` of the page before.
    pub after: Option<String>,
    /// At most 1,000; 200 if nothing is said.
    pub limit: Option<u32>,
}

/// What people say of an item; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateLibraryItem {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set_tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

impl UpdateLibraryItem {
    /// As the library takes it.
    pub fn of(self, item: String) -> library::UpdateItemRequest {
        let Self {
            owner,
            os,
            description,
            set_tags,
            remove_tags,
            family,
            release,
            disabled,
        } = self;
        library::UpdateItemRequest {
            item,
            owner,
            os,
            description,
            set_tags: set_tags.into_iter().collect(),
            remove_tags,
            family,
            release,
            disabled,
        }
    }
}
