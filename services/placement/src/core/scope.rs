//! Which hosts come into question.

use contracts::inventory::Host;
use contracts::placement::RateRequest;
use contracts::{ObjectRef, Status};

use super::reserves::{Groups, path};

/// Refuses a scope that names what is not there.
pub fn check(request: &RateRequest, groups: &Groups, hosts: &[Host]) -> Result<(), Status> {
    let (group_id, host_id) = (&request.group_id, &request.host_id);
    if !group_id.is_empty() && !groups.contains_key(group_id) {
        return Err(Status::not_found(ObjectRef::new(
            "host_group",
            group_id,
            "",
        )));
    }
    if !host_id.is_empty() && !hosts.iter().any(|host| host.id == *host_id) {
        return Err(Status::not_found(ObjectRef::new("host", host_id, "")));
    }
    Ok(())
}

/// Whether a host is in the group or below it, and is the one host if one is named.
pub fn holds(request: &RateRequest, groups: &Groups, host: &Host) -> bool {
    let is_named = request.host_id.is_empty() || host.id == request.host_id;
    let is_inside = request.group_id.is_empty()
        || path(groups, &host.group_id).any(|group| group.id == request.group_id);
    is_named && is_inside
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use contracts::Code;
    use contracts::inventory::HostGroup;

    fn groups() -> Groups {
        let pairs = [("root", ""), ("a", "root"), ("b", "a"), ("c", "root")];
        let group = |(id, parent): (&str, &str)| {
            let group = HostGroup {
                id: id.to_owned(),
                parent_id: parent.to_owned(),
                ..HostGroup::default()
            };
            (id.to_owned(), group)
        };
        pairs.into_iter().map(group).collect()
    }

    fn host(group_id: &str) -> Host {
        Host {
            id: format!("host-in-{group_id}"),
            group_id: group_id.to_owned(),
            ..Host::default()
        }
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
        let inside = |group| {
            let hosts = ["root", "a", "b", "c"].map(host);
            let request = request(group, "");
            hosts
                .into_iter()
                .filter(|h| holds(&request, &groups(), h))
                .count()
        };
        assert_eq!(
            (inside(""), inside("root"), inside("a"), inside("b")),
            (4, 4, 2, 1)
        );
        assert!(holds(&request("", "host-in-a"), &groups(), &host("a")));
        assert!(!holds(&request("c", "host-in-a"), &groups(), &host("a")));
    }

    #[test]
    fn a_scope_that_is_not_there_is_not_found() {
        for request in [request("nowhere", ""), request("", "nobody")] {
            let refused = check(&request, &groups(), &[host("a")]).unwrap_err();
            assert_eq!(refused.code(), Code::NotFound);
        }
        assert!(check(&request("a", "host-in-a"), &groups(), &[host("a")]).is_ok());
    }
}
