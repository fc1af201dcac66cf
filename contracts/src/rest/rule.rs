//! Rules of placement.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Bond, Level, Strength, id, time};
use crate::placement;

/// Which machines belong together or apart, or on which hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rule {
    pub id: String,
    pub name: String,
    pub bond: Bond,
    pub strength: Strength,
    /// The domain, for rules between machines.
    pub level: Level,
    /// Machines by id.
    pub vm_ids: Vec<String>,
    /// Machines by tag: `key=value`, or `key` with any value.
    pub vm_tag: Option<String>,
    pub host_ids: Vec<String>,
    pub host_tag: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<jiff::Timestamp>,
    pub created_by: String,
}

impl From<placement::Rule> for Rule {
    fn from(message: placement::Rule) -> Self {
        let (bond, strength, level) = (message.bond(), message.strength(), message.level());
        let placement::Rule {
            id: rule_id,
            name,
            bond: _,
            strength: _,
            level: _,
            vm_ids,
            vm_tag,
            host_ids,
            host_tag,
            created_ms,
            created_by,
        } = message;
        Self {
            id: rule_id,
            name,
            bond: bond.into(),
            strength: strength.into(),
            level: level.into(),
            vm_ids,
            vm_tag: id(vm_tag),
            host_ids,
            host_tag: id(host_tag),
            created: time(created_ms),
            created_by,
        }
    }
}

/// Every rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rules {
    pub rules: Vec<Rule>,
}

impl From<placement::Rules> for Rules {
    fn from(message: placement::Rules) -> Self {
        let placement::Rules { rules } = message;
        Self {
            rules: rules.into_iter().map(Into::into).collect(),
        }
    }
}

/// A rule to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddRule {
    pub name: String,
    pub bond: Bond,
    #[serde(default = "must")]
    pub strength: Strength,
    #[serde(default = "host")]
    pub level: Level,
    /// Machines by id or name.
    #[serde(default)]
    pub vms: Vec<String>,
    /// Machines by tag: `key=value`, or `key` with any value.
    #[serde(default)]
    pub vm_tag: Option<String>,
    /// Hosts by id or name, for rules on hosts.
    #[serde(default)]
    pub hosts: Vec<String>,
    #[serde(default)]
    pub host_tag: Option<String>,
}

fn must() -> Strength {
    Strength::Must
}

fn host() -> Level {
    Level::Host
}
