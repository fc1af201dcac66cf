//! What a template means now: its images, profiles and user data, or why it cannot be used.

use std::collections::BTreeMap;
use std::sync::Arc;

use contracts::call::Context;
use contracts::host::GuestSetup;
use contracts::host::disk::Source;
use contracts::library::{
    AnswerFile, GuestProfile, HardwareProfile, Item, LibraryImage, ReadTextRequest, ResolveRequest,
    Resolved, ResolvedDisk, Share, Template, TemplateDisk, UserData, UserDataRef,
};
use contracts::{ObjectRef, Status, limits, names};
use kit::records::{Records, Stored};

use super::Api;
use crate::core::definition::{self, Definition};
use crate::core::image::{self, Shelved};
use crate::store::Desk;

/// The library as it is at one moment.
pub(super) struct Shelf<'a> {
    desk: &'a Desk,
    shares: BTreeMap<String, Share>,
    /// Every item that has a family.
    families: Vec<Arc<Item>>,
}

impl<'a> Shelf<'a> {
    pub(super) fn open(desk: &'a Desk) -> Result<Self, Status> {
        let shares = desk.all_shares()?.into_iter();
        let has_family = |item: &&Arc<Item>| {
            let words = item.words.as_ref();
            words.is_some_and(|words| !words.family.is_empty())
        };
        let families = desk
            .all_items()?
            .records()
            .filter(has_family)
            .cloned()
            .collect();
        Ok(Self {
            desk,
            shares: shares.map(|s| (s.id.clone(), s)).collect(),
            families,
        })
    }

    /// An item with its share; one of the two that is gone is told by the item's id.
    fn with<T>(
        &self,
        item_id: &str,
        look: impl Fn(Shelved<'_>) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let gone = || {
            let message = format!("Item {item_id} is not in the library any more.");
            Status::precondition(message)
                .about(ObjectRef::new("library_item", item_id, ""))
                .action("Name another one.")
        };
        let item = self.desk.items.get(item_id)?.ok_or_else(gone)?.value;
        let share = self.shares.get(&item.share_id).ok_or_else(gone)?;
        look(Shelved { item: &item, share })
    }

    pub(super) fn title(&self, item_id: &str) -> String {
        let title = self.with(item_id, |shelved| Ok(shelved.title()));
        title.unwrap_or_default()
    }

    fn image(&self, disk: &TemplateDisk) -> Result<Option<LibraryImage>, Status> {
        if !disk.item_id.is_empty() {
            return self
                .with(&disk.item_id, |shelved| shelved.image())
                .map(Some);
        }
        if disk.family.is_empty() {
            return Ok(None);
        }
        let shelved = self.families.iter().filter_map(|item| {
            let share = self.shares.get(&item.share_id)?;
            Some(Shelved { item, share })
        });
        let newest = image::newest(&disk.family, shelved).ok_or_else(|| {
            let message = format!("No image of family {} is there and enabled.", disk.family);
            Status::precondition(message)
                .action("Give an image of a share this family, or enable one that has it.")
        })?;
        newest.image().map(Some)
    }

    fn disk(&self, disk: &TemplateDisk) -> Result<ResolvedDisk, Status> {
        let image = self.image(disk)?;
        if let Some(image) = &image
            && disk.size_bytes != 0
            && disk.size_bytes < image.virtual_bytes
        {
            let message = format!(
                "A disk of {} bytes cannot hold image {}/{} of {}.",
                disk.size_bytes, image.share_name, image.path, image.virtual_bytes
            );
            return Err(Status::precondition(message)
                .action("Leave the disk's size out, or give at least the image's."));
        }
        let source = match (disk.source(), &image) {
            (Source::Unspecified, Some(_)) => Source::Overlay,
            (Source::Unspecified, None) => Source::Blank,
            (said, _) => said,
        };
        Ok(ResolvedDisk {
            image,
            size_bytes: disk.size_bytes,
            source: source.into(),
        })
    }

    fn user_data(&self, profile: &GuestProfile) -> Result<UserDataRef, Status> {
        let item_id = profile.answer_item_id.as_str();
        let answer_file = match item_id {
            "" => None,
            _ => Some(self.with(item_id, |shelved| shelved.answer_file())?),
        };
        Ok(UserDataRef {
            user_data_id: profile.user_data_id.clone(),
            answer_file,
        })
    }

    fn profile<D: Definition>(&self, profiles: &Records<D>, id: &str) -> Result<D, Status> {
        let found: Option<Stored<D>> = profiles.get(id)?;
        let gone = || {
            let message = format!("Its {} is there no more.", D::TITLE);
            Status::precondition(message)
                .about(ObjectRef::new(D::BUCKET, id, ""))
                .action("Edit the template, and name another profile.")
        };
        Ok(found.ok_or_else(gone)?.value)
    }

    /// What a machine of the template is made of. `guest` stands in for the template's own guest profile.
    pub(super) fn resolve(
        &self,
        template: &Template,
        vm_name: &str,
        guest: Option<GuestProfile>,
    ) -> Result<Resolved, Status> {
        let id = &template.hardware_profile_id;
        let hardware: HardwareProfile = self.profile(&self.desk.hardware_profiles, id)?;
        let guest = match (guest, template.guest_profile_id.as_str()) {
            (Some(guest), _) => guest,
            (None, "") => GuestProfile::default(),
            (None, id) => self.profile(&self.desk.guest_profiles, id)?,
        };
        let disks = template.disks.iter().map(|disk| self.disk(disk));
        let blank = hardware.disk_bytes.iter().map(|bytes| ResolvedDisk {
            image: None,
            size_bytes: *bytes,
            source: Source::Blank.into(),
        });
        let mut disks: Vec<ResolvedDisk> = disks.collect::<Result<_, _>>()?;
        disks.extend(blank);
        if disks.len() > limits::DISKS_MAX {
            let message = format!("Template and hardware profile have {} disks.", disks.len());
            let action = format!("A machine has {} at most.", limits::DISKS_MAX);
            return Err(Status::precondition(message).action(action));
        }
        Ok(Resolved {
            template_id: template.id.clone(),
            template_name: template.name.clone(),
            template_version: template.version,
            vcpus: hardware.vcpus,
            memory_bytes: hardware.memory_bytes,
            disks,
            networks: hardware.networks,
            expected_load: hardware.expected_load,
            firmware: hardware.firmware,
            boot_order: hardware.boot_order,
            tags: template.tags.clone(),
            user_data: Some(self.user_data(&guest)?),
            guest: Some(GuestSetup {
                host_name: definition::host_name(&guest, vm_name),
                ssh_keys: guest.ssh_keys,
                users: guest.users,
                time_zone: guest.time_zone,
                user_data: String::new(),
            }),
        })
    }
}

impl Api {
    pub(super) fn resolved(&self, request: &ResolveRequest) -> Result<Resolved, Status> {
        names::check_vm_name(&request.vm_name)?;
        let template: Template = self
            .desk
            .definition(&self.desk.templates, &request.template)?;
        let guest = match request.guest_profile.as_str() {
            "" => None,
            text => Some(self.desk.definition(&self.desk.guest_profiles, text)?),
        };
        let shelf = Shelf::open(&self.desk)?;
        shelf
            .resolve(&template, &request.vm_name, guest)
            .map_err(|why| unusable(&template, why))
    }

    pub(super) async fn user_data(
        &self,
        context: &Context,
        request: &UserDataRef,
    ) -> Result<UserData, Status> {
        if let Some(file) = &request.answer_file {
            return self.answer_file(context, file).await;
        }
        let id = request.user_data_id.as_str();
        if id.is_empty() {
            return Ok(UserData::default());
        }
        let stored = self.desk.user_data.get(id)?;
        let gone = || {
            Status::precondition(
                "The user data that was asked for is kept no longer: its guest profile has other.",
            )
            .action("Ask for the machine anew.")
        };
        let text = stored.ok_or_else(gone)?.value.text;
        Ok(UserData { text })
    }

    async fn answer_file(&self, context: &Context, file: &AnswerFile) -> Result<UserData, Status> {
        let request = ReadTextRequest {
            share_id: file.share_id.clone(),
            path: file.path.clone(),
        };
        let end = self.end(&file.server_id);
        let read = end.read_text(context, &request).await?;
        if (read.file_bytes, read.modified_ms) == (file.file_bytes, file.modified_ms) {
            return Ok(UserData { text: read.text });
        }
        let title = format!("{}/{}", file.share_name, file.path);
        let message = format!("Answer file {title} has changed since it was asked for.");
        Err(Status::precondition(message)
            .about(ObjectRef::new("library_item", &file.item_id, &title))
            .action("Ask for the machine anew."))
    }
}

fn unusable(template: &Template, why: Status) -> Status {
    let message = format!(
        "No machine can be made from template {}: {}",
        template.name, why.message
    );
    Status { message, ..why }.about(definition::object(template))
}
