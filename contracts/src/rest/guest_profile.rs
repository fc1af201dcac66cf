//! Guest profiles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{id, time};
use crate::{host, library};

/// How a guest is set up when it first boots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuestProfile {
    pub id: String,
    pub name: String,
    /// Counts up with each change.
    pub version: u64,
    pub owner: String,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    /// `{name}` stands for the machine's name.
    pub host_name: String,
    /// Of the user that the image comes with.
    pub ssh_keys: Vec<String>,
    pub users: Vec<GuestUser>,
    /// As in the tz database; null: as the image has it.
    pub time_zone: Option<String>,
    /// What cloud-init takes; null in lists, and when there is none. It may hold passwords.
    pub user_data: Option<String>,
    /// Whether there is user data of its own, which lists do not show.
    pub has_user_data: bool,
    /// Item of the library that is the user data, as `<share>/<path>`.
    pub answer_file: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<jiff::Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub changed: Option<jiff::Timestamp>,
}

/// A user that is made in the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestUser {
    pub name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
    /// May become root without a password.
    #[serde(default)]
    pub administrator: bool,
}

impl From<host::GuestUser> for GuestUser {
    fn from(message: host::GuestUser) -> Self {
        let host::GuestUser {
            name,
            ssh_keys,
            administrator,
        } = message;
        Self {
            name,
            ssh_keys,
            administrator,
        }
    }
}

impl From<GuestUser> for host::GuestUser {
    fn from(user: GuestUser) -> Self {
        let GuestUser {
            name,
            ssh_keys,
            administrator,
        } = user;
        Self {
            name,
            ssh_keys,
            administrator,
        }
    }
}

impl From<library::GuestProfile> for GuestProfile {
    fn from(message: library::GuestProfile) -> Self {
        let library::GuestProfile {
            id: profile_id,
            name,
            version,
            created_ms,
            changed_ms,
            owner,
            description,
            tags,
            host_name,
            ssh_keys,
            users,
            time_zone,
            answer_item_id,
            user_data_id,
            user_data,
            answer_file,
        } = message;
        Self {
            id: profile_id,
            name,
            version,
            owner,
            description,
            tags,
            host_name,
            ssh_keys,
            users: users.into_iter().map(Into::into).collect(),
            time_zone: id(time_zone),
            has_user_data: !user_data_id.is_empty(),
            user_data: id(user_data),
            answer_file: id(if answer_file.is_empty() {
                answer_item_id
            } else {
                answer_file
            }),
            created: time(created_ms),
            changed: time(changed_ms),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuestProfileList {
    pub items: Vec<GuestProfile>,
}

/// A guest profile as people write it, in requests and in files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetGuestProfile {
    pub name: String,
    /// Of a profile that is to be replaced: the version that is meant. Absent: whatever there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Absent: who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// `{name}` stands for the machine's name. Absent: that alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// Of the user that the image comes with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<GuestUser>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What cloud-init takes. Not with an answer file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// Item of the library, as `<share>/<path>` or by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_file: Option<String>,
}

impl From<GuestProfile> for SetGuestProfile {
    fn from(profile: GuestProfile) -> Self {
        Self {
            name: profile.name,
            version: Some(profile.version),
            owner: Some(profile.owner),
            description: profile.description,
            tags: profile.tags,
            host_name: id(profile.host_name),
            ssh_keys: profile.ssh_keys,
            users: profile.users,
            time_zone: profile.time_zone,
            user_data: profile.user_data,
            answer_file: profile.answer_file,
        }
    }
}

impl SetGuestProfile {
    /// As the library takes it.
    pub fn of(self, principal: &str) -> library::GuestProfile {
        let Self {
            name,
            version,
            owner,
            description,
            tags,
            host_name,
            ssh_keys,
            users,
            time_zone,
            user_data,
            answer_file,
        } = self;
        library::GuestProfile {
            name,
            version: version.unwrap_or_default(),
            owner: owner.unwrap_or_else(|| principal.to_owned()),
            description,
            tags,
            host_name: host_name.unwrap_or_default(),
            ssh_keys,
            users: users.into_iter().map(Into::into).collect(),
            time_zone: time_zone.unwrap_or_default(),
            user_data: user_data.unwrap_or_default(),
            answer_item_id: answer_file.unwrap_or_default(),
            ..library::GuestProfile::default()
        }
    }
}
