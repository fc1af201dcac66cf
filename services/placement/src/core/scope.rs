//! Which hosts come into question.

use std::collections::HashSet;

use contracts::inherit::path;
use contracts::placement::{HostState, RateRequest};
use contracts::{ObjectRef, Status};

use super::fleet::Fleet;

/// Hosts in the group or below it, and the one host if one is named.
pub struct Scope<'a> {
    host_id: &'a str,
    /// Unset: all.
    groups: Option<HashSet<&'a str>>,
}

/// Refuses a scope that names what is not there.
pub fn of<'a>(request: &'a RateRequest, fleet: &'a Fleet) -> Result<Scope<'a>, Status> {
    let (group_id, host_id) = (&request.group_id, &request.host_id);
    if !host_id.is_empty() && fleet.slot(host_id).is_none() {
        return Err(Status::not_found(ObjectRef::new("host", host_id, "")));
    }
    Ok(Scope {
        host_id,
        groups: below(fleet, group_id)?,
    })
}

/// A group and all below it; `None` for no group.
pub fn below<'a>(fleet: &'a Fleet, group_id: &str) -> Result<Option<HashSet<&'a str>>, Status> {
    let groups = fleet.groups();
    if group_id.is_empty() {
        return Ok(None);
    }
    if !groups.contains_key(group_id) {
        let object = ObjectRef::new("host_group", group_id, "");
        return Err(Status::not_found(object));
    }
    let is_below = |id: &&String| path(groups, id).any(|group| group.id == group_id);
    Ok(Some(
        groups.keys().filter(is_below).map(String::as_str).collect(),
    ))
}

impl Scope<'_> {
    pub fn is_all(&self) -> bool {
        self.host_id.is_empty() && self.groups.is_none()
    }

    pub fn holds(&self, state: &HostState) -> bool {
        let is_named = self.host_id.is_empty() || state.host_id == self.host_id;
        let groups = self.groups.as_ref();
        is_named && groups.is_none_or(|groups| groups.contains(state.group_id.as_str()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::query::tests::DEFAULTS;
    use super::*;
    use contracts::Code;
    use contracts::inventory::{Host, HostGroup};

    fn fleet() -> Fleet {
        let mut fleet = Fleet::new(DEFAULTS);
        for (id, parent) in [("root", ""), ("a", "root"), ("b", "a"), ("c", "root")] {
            let group = HostGroup {
                id: id.to_owned(),
                parent_id: parent.to_owned(),
                ..HostGroup::default()
            };
            fleet.put_group(id.to_owned(), Some(group));
            let host = Host {
                id: format!("host-in-{id}"),
                group_id: id.to_owned(),
                ..Host::default()
            };
            fleet.put_host(host.id.clone(), Some(host));
        }
        fleet.refresh();
        fleet
    }

    fn request(group_id: &str, host_id: &str) -> RateRequest {
        RateRequest {
            group_id: group_id.to_owned(),
            host_id: host_id.to_owned(),
            ..RateRequest::default()
        }
    }

    #[test]
    fn hosts_of_a_group_and_below_it_are_in_scope() {
        let fleet = fleet();
        let inside = |group_id, host_id| {
            let request = request(group_id, host_id);
            let scope = of(&request, &fleet).unwrap();
            fleet
                .slots()
                .iter()
                .filter(|slot| scope.holds(&slot.state))
                .count()
        };
        assert_eq!((inside("", ""), inside("root", "")), (4, 4));
        assert_eq!((inside("a", ""), inside("b", "")), (2, 1));
        assert_eq!((inside("", "host-in-a"), inside("c", "host-in-a")), (1, 0));
    }

    #[test]
    fn a_scope_that_is_not_there_is_not_found() {
        for request in [request("nowhere", ""), request("", "nobody")] {
            let refused = of(&request, &fleet()).err().unwrap();
            assert_eq!(refused.code(), Code::NotFound);
        }
    }
}
