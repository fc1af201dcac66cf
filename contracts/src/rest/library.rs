//! The library: servers and shares.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Encryption, ItemIdentity, time};
use crate::library;

/// A server that keeps shares of the library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LibraryServer {
    pub id: String,
    pub name: String,
    /// False: it has only made itself known.
    pub added: bool,
    pub responding: bool,
    /// Below which of its folders shares may lie.
    pub folders: Vec<String>,
    pub shares: u32,
    /// How files travel to and from it; `inherit`: as the groups of the host that it is say, and encrypted if it is none.
    #[serde(default)]
    pub encryption: Encryption,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<jiff::Timestamp>,
}

impl From<library::ListedServer> for LibraryServer {
    fn from(message: library::ListedServer) -> Self {
        let library::ListedServer {
            server,
            responding,
            shares,
        } = message;
        let server = server.unwrap_or_default();
        let encryption = server.encryption().into();
        let library::Server {
            id,
            name,
            added,
            created_ms,
            // Of the service's own concern.
            generation: _,
            folders,
            encryption: _,
        } = server;
        Self {
            id,
            name,
            added,
            responding,
            folders,
            shares,
            encryption,
            created: time(created_ms),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LibraryServerList {
    pub items: Vec<LibraryServer>,
}

/// Takes a server that has made itself known into the library.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddLibraryServer {
    /// By id or name.
    pub server: String,
}

/// What is to be changed of a library server; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateLibraryServer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

/// A folder of a library server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LibraryShare {
    pub id: String,
    pub name: String,
    pub server_id: String,
    pub server: String,
    /// On the server.
    pub path: String,
    /// Why its files cannot be reached; empty when they can.
    pub problem: String,
    /// How files are recognised; null before the first look.
    pub identity: Option<ItemIdentity>,
    pub items: u32,
    pub missing: u32,
    /// Files that are passed over, and of these the first with the reasons.
    pub skipped_count: u32,
    pub skipped: Vec<SkippedFile>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<jiff::Timestamp>,
}

/// A file that is passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SkippedFile {
    /// Below the share.
    pub path: String,
    pub reason: String,
}

impl From<library::ListedShare> for LibraryShare {
    fn from(message: library::ListedShare) -> Self {
        let library::ListedShare {
            share,
            server_name,
            items,
            missing,
        } = message;
        let share = share.unwrap_or_default();
        let identity = identity(share.identity());
        let library::Share {
            id,
            server_id,
            name,
            path,
            created_ms,
            problem,
            identity: _,
            skipped,
            skipped_count,
            // Of the service's own concern.
            generation: _,
            report_number: _,
        } = share;
        let skipped = skipped.into_iter().map(|file| {
            let library::Skipped { path, reason } = file;
            SkippedFile { path, reason }
        });
        Self {
            id,
            name,
            server_id,
            server: server_name,
            path,
            problem,
            identity,
            items,
            missing,
            skipped_count,
            skipped: skipped.collect(),
            created: time(created_ms),
        }
    }
}

fn identity(identity: library::Identity) -> Option<ItemIdentity> {
    match ItemIdentity::from(identity) {
        ItemIdentity::Unknown => None,
        known => Some(known),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LibraryShareList {
    pub items: Vec<LibraryShare>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddLibraryShare {
    /// By id or name.
    pub server: String,
    /// Absolute, on the server.
    pub path: String,
    /// The last part of the path, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What a look at a share has found since the one before, or how far the look is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LibraryFound {
    pub items: u32,
    pub new: u32,
    pub changed: u32,
    pub renamed: u32,
    pub missing: u32,
    pub skipped: u32,
    /// Why the share cannot be reached; empty when it can.
    pub problem: String,
    /// The first of what changed.
    pub names: Vec<String>,
    /// Names the look, to ask after it.
    pub look: String,
    /// The look goes on by itself: nothing of the above is known yet.
    pub in_work: bool,
    /// Files that have to be looked at yet.
    pub left_to_look: u32,
    /// Items that have to be told to the library yet.
    pub left_to_tell: u32,
}

impl From<library::Found> for LibraryFound {
    fn from(message: library::Found) -> Self {
        let library::Found {
            items,
            new,
            changed,
            renamed,
            missing,
            skipped,
            problem,
            names,
            look,
            in_work,
            left_to_look,
            left_to_tell,
        } = message;
        Self {
            items,
            new,
            changed,
            renamed,
            missing,
            skipped,
            problem,
            names,
            look,
            in_work,
            left_to_look,
            left_to_tell,
        }
    }
}

/// Which look is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LibraryLookQuery {
    /// `look` of an answer before: that one is asked after, and none is begun.
    pub look: Option<String>,
}
