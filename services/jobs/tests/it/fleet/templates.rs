//! Templates by any name, each with an image of that name. What is called `gone…` is not there, and `unusable…` cannot be used.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::host::{GuestSetup, disk};
use contracts::library::{
    DefinitionRef, GuestProfile, HardwareProfile, LibraryImage, ListGuestProfilesResponse,
    ListHardwareProfilesResponse, ListTemplatesResponse, PutGuestProfileRequest,
    PutHardwareProfileRequest, PutTemplateRequest, ResolveRequest, Resolved, ResolvedDisk,
    Template, Templates, UserData, UserDataRef,
};
use contracts::{ObjectRef, Status};

pub(crate) const USER_DATA: &str = "#!/bin/sh\necho root:sesame | chpasswd\n";

#[derive(Default)]
pub(crate) struct FakeTemplates {
    /// Of every template: what is resolved later has more memory.
    pub(crate) version: AtomicU64,
    /// Templates and hardware profiles that jobs have made, by their names.
    made: Mutex<BTreeMap<String, Template>>,
    profiles: Mutex<BTreeMap<String, HardwareProfile>>,
}

impl FakeTemplates {
    pub(crate) fn named(&self, name: &str) -> Vec<String> {
        let (made, profiles) = (self.made.lock().unwrap(), self.profiles.lock().unwrap());
        let made = made.keys().filter(|made| *made == name);
        let profiles = profiles.keys().filter(|made| *made == name);
        let templates = made.map(|name| format!("template {name}"));
        templates
            .chain(profiles.map(|name| format!("profile {name}")))
            .collect()
    }
}

/// Makes what there must be none of.
fn put<T: Clone>(made: &Mutex<BTreeMap<String, T>>, name: &str, new: T) -> Result<T, Status> {
    let mut made = made.lock().unwrap();
    if made.contains_key(name) {
        let object = ObjectRef::new("definition", name, name);
        return Err(Status::already_exists(object, "There is one already."));
    }
    made.insert(name.to_owned(), new.clone());
    Ok(new)
}

fn get<T: Clone>(made: &Mutex<BTreeMap<String, T>>, name: &str) -> Result<T, Status> {
    let found = made.lock().unwrap().get(name).cloned();
    found.ok_or_else(|| Status::not_found(ObjectRef::new("definition", name, name)))
}

/// The file of a template's image on datastores.
pub(crate) fn file_of(template: &str) -> String {
    format!("library-{template}-1.qcow2")
}

fn nobody<T>() -> Result<T, Status> {
    panic!("jobs define no guests and list nothing")
}

#[async_trait]
impl Templates for FakeTemplates {
    async fn resolve(&self, _: &Context, request: ResolveRequest) -> Result<Resolved, Status> {
        let name = request.template;
        let object = ObjectRef::new("template", &name, &name);
        if name.starts_with("gone") {
            return Err(Status::not_found(object));
        }
        if name.starts_with("unusable") {
            let message = "No machine can be made from it: its image is missing.";
            return Err(Status::precondition(message)
                .about(object)
                .action("Bring the image back."));
        }
        let version = self.version.load(Ordering::SeqCst);
        let image = LibraryImage {
            item_id: name.clone(),
            server_id: "h1".to_owned(),
            share_id: "s1".to_owned(),
            share_name: "images".to_owned(),
            path: format!("{name}.qcow2"),
            file: file_of(&name),
            file_bytes: 1 << 20,
            virtual_bytes: 1 << 30,
            modified_ms: 7,
        };
        Ok(Resolved {
            template_id: name.clone(),
            template_name: name,
            template_version: version,
            vcpus: 2,
            memory_bytes: (128 + version) << 20,
            disks: vec![ResolvedDisk {
                image: Some(image),
                source: disk::Source::Overlay.into(),
                ..ResolvedDisk::default()
            }],
            expected_load: None,
            firmware: 0,
            boot_order: Vec::new(),
            networks: vec!["user".to_owned()],
            tags: [("os".to_owned(), "debian".to_owned())].into(),
            guest: Some(GuestSetup {
                host_name: request.vm_name,
                ..GuestSetup::default()
            }),
            user_data: Some(UserDataRef {
                user_data_id: "u1".to_owned(),
                ..UserDataRef::default()
            }),
        })
    }

    async fn get_user_data(&self, _: &Context, request: UserDataRef) -> Result<UserData, Status> {
        assert_eq!(request.user_data_id, "u1");
        Ok(UserData {
            text: USER_DATA.to_owned(),
        })
    }

    async fn put_template(
        &self,
        _: &Context,
        request: PutTemplateRequest,
    ) -> Result<Template, Status> {
        let template = request.template.unwrap();
        put(&self.made, &template.name.clone(), template)
    }

    async fn get_template(&self, _: &Context, name: DefinitionRef) -> Result<Template, Status> {
        get(&self.made, &name.definition)
    }

    async fn list_templates(&self, _: &Context, _: Empty) -> Result<ListTemplatesResponse, Status> {
        nobody()
    }

    async fn remove_template(&self, _: &Context, name: DefinitionRef) -> Result<Empty, Status> {
        self.made.lock().unwrap().remove(&name.definition);
        Ok(Empty {})
    }

    async fn put_hardware_profile(
        &self,
        _: &Context,
        request: PutHardwareProfileRequest,
    ) -> Result<HardwareProfile, Status> {
        let profile = request.profile.unwrap();
        put(&self.profiles, &profile.name.clone(), profile)
    }

    async fn get_hardware_profile(
        &self,
        _: &Context,
        name: DefinitionRef,
    ) -> Result<HardwareProfile, Status> {
        get(&self.profiles, &name.definition)
    }

    async fn list_hardware_profiles(
        &self,
        _: &Context,
        _: Empty,
    ) -> Result<ListHardwareProfilesResponse, Status> {
        nobody()
    }

    async fn remove_hardware_profile(
        &self,
        _: &Context,
        name: DefinitionRef,
    ) -> Result<Empty, Status> {
        self.profiles.lock().unwrap().remove(&name.definition);
        Ok(Empty {})
    }

    async fn put_guest_profile(
        &self,
        _: &Context,
        _: PutGuestProfileRequest,
    ) -> Result<GuestProfile, Status> {
        nobody()
    }

    async fn get_guest_profile(
        &self,
        _: &Context,
        _: DefinitionRef,
    ) -> Result<GuestProfile, Status> {
        nobody()
    }

    async fn list_guest_profiles(
        &self,
        _: &Context,
        _: Empty,
    ) -> Result<ListGuestProfilesResponse, Status> {
        nobody()
    }

    async fn remove_guest_profile(&self, _: &Context, _: DefinitionRef) -> Result<Empty, Status> {
        nobody()
    }
}
