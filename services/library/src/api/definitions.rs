//! Templates and profiles: put, shown, removed.

use async_trait::async_trait;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::library::{
    DefinitionRef, GuestProfile, HardwareProfile, ListGuestProfilesResponse,
    ListHardwareProfilesResponse, ListTemplatesResponse, Put, PutGuestProfileRequest,
    PutHardwareProfileRequest, PutTemplateRequest, ResolveRequest, Resolved, StoredUserData,
    Template, TemplateStatus, Templates, UserData, UserDataRef,
};
use contracts::{Code, Status, limits, names};
use kit::records::{Decision, Records, Stored};

use super::Api;
use super::resolve::Shelf;
use crate::core::definition::{self, Definition, capital, object};
use crate::store::delete;

/// Says at which field of the request something is wrong.
fn at(field: &str) -> impl FnOnce(Status) -> Status {
    let field = field.to_owned();
    move |status| Status { field, ..status }
}

impl Api {
    /// Makes a record, or puts another in its place.
    async fn put<D: Definition>(
        &self,
        context: &Context,
        records: &Records<D>,
        wanted: &D,
        how: Put,
    ) -> Result<D, Status> {
        if how == Put::Unspecified {
            return Err(Status::invalid("put", "Whether it is new is not said."));
        }
        wanted.check()?;
        let id = definition::id::<D>(&wanted.head().name);
        let is_new = records.get(&id)?.is_none();
        if is_new && how == Put::Create && records.list()?.len() >= limits::DEFINITIONS_MAX {
            let most = limits::DEFINITIONS_MAX;
            let message = format!("There are {most} of kind {} already.", D::TITLE);
            return Err(Status::new(Code::ResourceExhausted, message)
                .action("Remove those that nobody uses."));
        }
        let now_ms = self.desk.world.now_ms();
        let decide = |current: Option<&Stored<D>>| {
            let current = current.map(|current| &current.value);
            let next = definition::put(current, wanted, how, now_ms)?;
            Ok(match (next, current) {
                (Some(next), _) => Decision::Put(next.clone(), next),
                (None, current) => Decision::Keep(current.cloned().unwrap_or_default()),
            })
        };
        records.update(context, &id, decide).await
    }

    async fn remove<D: Definition>(
        &self,
        context: &Context,
        records: &Records<D>,
        text: &str,
    ) -> Result<Empty, Status> {
        let found: D = self.desk.definition(records, text)?;
        self.refuse_used(&found)?;
        delete(records, context, &found.head().id).await?;
        Ok(Empty {})
    }

    /// Refuses to remove a profile that templates use, and names them.
    fn refuse_used<D: Definition>(&self, found: &D) -> Result<(), Status> {
        let head = found.head();
        let uses = |t: &Template| t.hardware_profile_id == head.id || t.guest_profile_id == head.id;
        let templates = self.desk.definitions(&self.desk.templates)?.into_iter();
        let users: Vec<String> = templates.filter(uses).map(|t| t.name).collect();
        if users.is_empty() {
            return Ok(());
        }
        let title = capital(D::TITLE);
        let users = names::shorten(&users.join(", "));
        let message = format!("{title} {} is used by templates: {users}.", head.name);
        Err(Status::precondition(message)
            .about(object(found))
            .action("Remove these templates, or give them another profile, first."))
    }

    /// References as ids. What is not there is told by its field.
    fn referring(&self, mut template: Template) -> Result<Template, Status> {
        for (index, disk) in template.disks.iter_mut().enumerate() {
            disk.image.clear();
            if !disk.item_id.is_empty() {
                let item = self.desk.item(&disk.item_id);
                disk.item_id = item.map_err(at(&format!("disks[{index}].image")))?.id;
            }
        }
        let text = &template.hardware_profile_id;
        if text.is_empty() {
            let message = "The template has no hardware profile.";
            return Err(Status::invalid("hardware_profile", message)
                .action("Name one: it says what processors and memory machines have."));
        }
        let hardware: Result<HardwareProfile, _> =
            self.desk.definition(&self.desk.hardware_profiles, text);
        template.hardware_profile_id = hardware.map_err(at("hardware_profile"))?.id;
        let text = &template.guest_profile_id;
        if !text.is_empty() {
            let guest: Result<GuestProfile, _> =
                self.desk.definition(&self.desk.guest_profiles, text);
            template.guest_profile_id = guest.map_err(at("guest_profile"))?.id;
        }
        // These are for answers.
        template.hardware_profile_name.clear();
        template.guest_profile_name.clear();
        template.problem.clear();
        template.set_status(TemplateStatus::Unspecified);
        Ok(template)
    }

    /// With names, and with how it stands.
    fn shown(&self, shelf: &Shelf<'_>, mut template: Template) -> Result<Template, Status> {
        let hardware = self
            .desk
            .hardware_profiles
            .get(&template.hardware_profile_id)?;
        let guest = self.desk.guest_profiles.get(&template.guest_profile_id)?;
        template.hardware_profile_name = hardware.map(|h| h.value.name).unwrap_or_default();
        template.guest_profile_name = guest.map(|g| g.value.name).unwrap_or_default();
        for disk in &mut template.disks {
            disk.image = shelf.title(&disk.item_id);
        }
        let resolved = shelf.resolve(&template, "vm", None);
        match resolved {
            Ok(_) => template.set_status(TemplateStatus::Ok),
            Err(why) => {
                template.set_status(TemplateStatus::Unusable);
                template.problem = why.message;
            }
        }
        Ok(template)
    }

    fn shown_guest(&self, mut profile: GuestProfile) -> Result<GuestProfile, Status> {
        if !profile.answer_item_id.is_empty() {
            profile.answer_file = Shelf::open(&self.desk)?.title(&profile.answer_item_id);
        }
        let stored = self.desk.user_data.get(&profile.user_data_id)?;
        profile.user_data = stored.map(|stored| stored.value.text).unwrap_or_default();
        Ok(profile)
    }

    /// Keeps the user data of a profile where no event tells it, and answers with the profile as its record is.
    async fn keep_user_data(
        &self,
        context: &Context,
        mut profile: GuestProfile,
    ) -> Result<GuestProfile, Status> {
        // Before its user data is kept, everything else must be right.
        profile.check()?;
        profile.answer_file.clear();
        profile.user_data_id.clear();
        if !profile.answer_item_id.is_empty() {
            let item = self.desk.item(&profile.answer_item_id);
            profile.answer_item_id = item.map_err(at("answer_file"))?.id;
        }
        let text = std::mem::take(&mut profile.user_data);
        if text.is_empty() {
            return Ok(profile);
        }
        let current = self
            .desk
            .guest_profiles
            .get(&definition::id::<GuestProfile>(&profile.name))?;
        let kept = current.map(|c| c.value.user_data_id).unwrap_or_default();
        let stored = self.desk.user_data.get(&kept)?;
        if stored.is_some_and(|stored| stored.value.text == text) {
            profile.user_data_id = kept;
            return Ok(profile);
        }
        let new = StoredUserData {
            id: self.desk.world.new_id(),
            text,
            created_ms: self.desk.world.now_ms(),
            unused_ms: 0,
        };
        profile.user_data_id.clone_from(&new.id);
        let decide = |_: Option<&Stored<StoredUserData>>| Ok(Decision::Put(new.clone(), ()));
        self.desk.user_data.update(context, &new.id, decide).await?;
        Ok(profile)
    }
}

#[async_trait]
impl Templates for Api {
    async fn put_template(
        &self,
        context: &Context,
        request: PutTemplateRequest,
    ) -> Result<Template, Status> {
        let how = request.put();
        let wanted = self.referring(request.template.unwrap_or_default())?;
        let made = self
            .put(context, &self.desk.templates, &wanted, how)
            .await?;
        self.shown(&Shelf::open(&self.desk)?, made)
    }

    async fn get_template(&self, _: &Context, request: DefinitionRef) -> Result<Template, Status> {
        let found = self
            .desk
            .definition(&self.desk.templates, &request.definition)?;
        self.shown(&Shelf::open(&self.desk)?, found)
    }

    async fn list_templates(&self, _: &Context, _: Empty) -> Result<ListTemplatesResponse, Status> {
        let shelf = Shelf::open(&self.desk)?;
        let all = self.desk.definitions(&self.desk.templates)?.into_iter();
        let templates = all.map(|template| self.shown(&shelf, template));
        Ok(ListTemplatesResponse {
            templates: templates.collect::<Result<_, _>>()?,
        })
    }

    async fn remove_template(
        &self,
        context: &Context,
        request: DefinitionRef,
    ) -> Result<Empty, Status> {
        let records = &self.desk.templates;
        self.remove(context, records, &request.definition).await
    }

    async fn put_hardware_profile(
        &self,
        context: &Context,
        request: PutHardwareProfileRequest,
    ) -> Result<HardwareProfile, Status> {
        let how = request.put();
        let wanted = request.profile.unwrap_or_default();
        self.put(context, &self.desk.hardware_profiles, &wanted, how)
            .await
    }

    async fn get_hardware_profile(
        &self,
        _: &Context,
        request: DefinitionRef,
    ) -> Result<HardwareProfile, Status> {
        let records = &self.desk.hardware_profiles;
        self.desk.definition(records, &request.definition)
    }

    async fn list_hardware_profiles(
        &self,
        _: &Context,
        _: Empty,
    ) -> Result<ListHardwareProfilesResponse, Status> {
        Ok(ListHardwareProfilesResponse {
            profiles: self.desk.definitions(&self.desk.hardware_profiles)?,
        })
    }

    async fn remove_hardware_profile(
        &self,
        context: &Context,
        request: DefinitionRef,
    ) -> Result<Empty, Status> {
        let records = &self.desk.hardware_profiles;
        self.remove(context, records, &request.definition).await
    }

    async fn put_guest_profile(
        &self,
        context: &Context,
        request: PutGuestProfileRequest,
    ) -> Result<GuestProfile, Status> {
        let how = request.put();
        let wanted = request.profile.unwrap_or_default();
        let wanted = self.keep_user_data(context, wanted).await?;
        let records = &self.desk.guest_profiles;
        let made = self.put(context, records, &wanted, how).await?;
        self.shown_guest(made)
    }

    async fn get_guest_profile(
        &self,
        _: &Context,
        request: DefinitionRef,
    ) -> Result<GuestProfile, Status> {
        let records = &self.desk.guest_profiles;
        self.shown_guest(self.desk.definition(records, &request.definition)?)
    }

    async fn list_guest_profiles(
        &self,
        _: &Context,
        _: Empty,
    ) -> Result<ListGuestProfilesResponse, Status> {
        let shelf = Shelf::open(&self.desk)?;
        let mut profiles = self.desk.definitions(&self.desk.guest_profiles)?;
        for profile in &mut profiles {
            profile.answer_file = shelf.title(&profile.answer_item_id);
        }
        Ok(ListGuestProfilesResponse { profiles })
    }

    async fn remove_guest_profile(
        &self,
        context: &Context,
        request: DefinitionRef,
    ) -> Result<Empty, Status> {
        let records = &self.desk.guest_profiles;
        self.remove(context, records, &request.definition).await
    }

    async fn resolve(&self, _: &Context, request: ResolveRequest) -> Result<Resolved, Status> {
        self.resolved(&request)
    }

    async fn get_user_data(
        &self,
        context: &Context,
        request: UserDataRef,
    ) -> Result<UserData, Status> {
        self.user_data(context, &request).await
    }
}
