//! Templates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DiskSource, TemplateStatus, id, time};
use crate::{host, library};

/// What machines are made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Template {
    pub id: String,
    pub name: String,
    /// Counts up with each change.
    pub version: u64,
    pub status: TemplateStatus,
    /// Why no machine can be made from it now; null when one can.
    pub problem: Option<String>,
    pub owner: String,
    pub description: String,
    /// Its machines get them too.
    pub tags: BTreeMap<String, String>,
    /// The first is what machines boot from.
    pub disks: Vec<TemplateDisk>,
    pub hardware_profile: String,
    pub guest_profile: Option<String>,
    /// What a machine counts for a quota.
    pub quota_points: u32,
    /// Roles whose self-service users may make machines from it.
    pub roles: Vec<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<jiff::Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub changed: Option<jiff::Timestamp>,
}

/// A disk of a template: from an image of the library, from the newest enabled release of a family, or blank.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateDisk {
    /// Item of the library, as `<share>/<path>` or by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Absent: `overlay` with an image or family, else `blank`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<DiskSource>,
    /// Absent with an image: the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

impl From<library::TemplateDisk> for TemplateDisk {
    fn from(message: library::TemplateDisk) -> Self {
        let source = message.source();
        let library::TemplateDisk {
            item_id,
            family,
            size_bytes,
            source: _,
            image,
        } = message;
        Self {
            image: id(if image.is_empty() { item_id } else { image }),
            family: id(family),
            source: (source != host::disk::Source::Unspecified).then(|| source.into()),
            size_bytes: (size_bytes > 0).then_some(size_bytes),
        }
    }
}

impl From<TemplateDisk> for library::TemplateDisk {
    fn from(disk: TemplateDisk) -> Self {
        let TemplateDisk {
            image,
            family,
            source,
            size_bytes,
        } = disk;
        let source = source.map_or(host::disk::Source::Unspecified, Into::into);
        Self {
            item_id: image.unwrap_or_default(),
            family: family.unwrap_or_default(),
            size_bytes: size_bytes.unwrap_or_default(),
            source: source.into(),
            image: String::new(),
        }
    }
}

impl From<library::Template> for Template {
    fn from(message: library::Template) -> Self {
        let status = message.status();
        let library::Template {
            id: template_id,
            name,
            version,
            created_ms,
            changed_ms,
            owner,
            description,
            tags,
            disks,
            hardware_profile_id,
            guest_profile_id,
            quota_points,
            roles,
            hardware_profile_name,
            guest_profile_name,
            status: _,
            problem,
        } = message;
        // One that is gone is shown by its id.
        let named = |name: String, id: String| if name.is_empty() { id } else { name };
        Self {
            id: template_id,
            name,
            version,
            status: status.into(),
            problem: id(problem),
            owner,
            description,
            tags,
            disks: disks.into_iter().map(Into::into).collect(),
            hardware_profile: named(hardware_profile_name, hardware_profile_id),
            guest_profile: id(named(guest_profile_name, guest_profile_id)),
            quota_points,
            roles,
            created: time(created_ms),
            changed: time(changed_ms),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TemplateList {
    pub items: Vec<Template>,
}

/// A template as people write it, in requests and in files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetTemplate {
    pub name: String,
    /// Of a template that is to be replaced: the version that is meant. Absent: whatever there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Absent: who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The first is what machines boot from.
    #[serde(default)]
    pub disks: Vec<TemplateDisk>,
    /// By name or id.
    pub hardware_profile: String,
    /// By name or id. Absent: guests are only told their host names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_profile: Option<String>,
    #[serde(default)]
    pub quota_points: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

impl From<Template> for SetTemplate {
    fn from(template: Template) -> Self {
        Self {
            name: template.name,
            version: Some(template.version),
            owner: Some(template.owner),
            description: template.description,
            tags: template.tags,
            disks: template.disks,
            hardware_profile: template.hardware_profile,
            guest_profile: template.guest_profile,
            quota_points: template.quota_points,
            roles: template.roles,
        }
    }
}

impl SetTemplate {
    /// As the library takes it.
    pub fn of(self, principal: &str) -> library::Template {
        let Self {
            name,
            version,
            owner,
            description,
            tags,
            disks,
            hardware_profile,
            guest_profile,
            quota_points,
            roles,
        } = self;
        library::Template {
            name,
            version: version.unwrap_or_default(),
            owner: owner.unwrap_or_else(|| principal.to_owned()),
            description,
            tags,
            disks: disks.into_iter().map(Into::into).collect(),
            hardware_profile_id: hardware_profile,
            guest_profile_id: guest_profile.unwrap_or_default(),
            quota_points,
            roles,
            ..library::Template::default()
        }
    }
}
