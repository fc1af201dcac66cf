//! Machines that a client wants stored or brought back, as jobs take it.

use contracts::{jobs, names, rest};

use super::creating::check_waiting;
use super::requests::Scope;
use crate::error::Outcome;

pub(crate) fn vm_store(vm_id: String, request: rest::StoreVm) -> Outcome<jobs::VmStore> {
    let rest::StoreVm { share, path, keep } = request;
    if let Some(path) = &path {
        names::check_folder_path("path", path)?;
    }
    Ok(jobs::VmStore {
        vm_id,
        share,
        path: path.unwrap_or_default(),
        keep,
        ..jobs::VmStore::default()
    })
}

pub(crate) fn vm_template(
    vm_id: String,
    request: rest::MakeTemplate,
    principal: &str,
) -> Outcome<jobs::VmStore> {
    let rest::MakeTemplate {
        name,
        share,
        path,
        owner,
        description,
    } = request;
    let template = jobs::TemplateOf {
        name,
        owner: owner.unwrap_or_else(|| principal.to_owned()),
        description,
    };
    let store = rest::StoreVm {
        share,
        path,
        keep: true,
    };
    Ok(jobs::VmStore {
        template: Some(template),
        ..vm_store(vm_id, store)?
    })
}

pub(crate) fn vm_deploy(
    stored: String,
    request: rest::DeployVm,
    scope: Scope,
) -> Outcome<jobs::VmCreate> {
    let rest::DeployVm {
        name,
        owner,
        // Looked up in `scope`.
        group: _,
        host: _,
        datastore,
        start,
        wait_for_guest,
    } = request;
    if let Some(name) = &name {
        names::check_vm_name(name)?;
    }
    check_waiting(start, wait_for_guest)?;
    Ok(jobs::VmCreate {
        name: name.unwrap_or_default(),
        owner: owner.unwrap_or_default(),
        stored,
        group_id: scope.group_id,
        host_id: scope.host_id,
        datastore: datastore.unwrap_or_default(),
        start,
        wait_for_guest,
        ..jobs::VmCreate::default()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_of_a_stored_machine_is_left_to_its_definition() {
        let deploy = |change: fn(&mut rest::DeployVm)| {
            let mut request = rest::DeployVm::default();
            change(&mut request);
            vm_deploy("images/web-01".to_owned(), request, Scope::default())
        };
        let asked = deploy(|_| {}).unwrap();
        assert_eq!(asked.stored, "images/web-01");
        assert!(asked.name.is_empty() && asked.owner.is_empty() && asked.hardware.is_none());
        let field =
            |change: fn(&mut rest::DeployVm)| deploy(change).unwrap_err().status().field.clone();
        assert_eq!(field(|r| r.name = Some("a/b".to_owned())), "name");
        assert_eq!(field(|r| r.wait_for_guest = true), "wait_for_guest");
    }

    #[test]
    fn a_machine_is_stored_below_its_share() {
        let store = |path: Option<&str>| {
            let request = rest::StoreVm {
                share: "images".to_owned(),
                path: path.map(str::to_owned),
                keep: true,
            };
            vm_store("v1".to_owned(), request)
        };
        assert!(store(None).unwrap().path.is_empty());
        assert_eq!(store(Some("a/b")).unwrap().path, "a/b");
        let refused = store(Some("../a")).unwrap_err();
        assert_eq!(refused.status().field, "path");
    }
}
