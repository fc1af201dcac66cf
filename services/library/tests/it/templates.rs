//! Templates and profiles: what they mean now, and what is refused.

use contracts::call::Context;
use contracts::common::Empty;
use contracts::host::{BootDevice, Firmware};
use contracts::library::{
    DefinitionRef, GuestProfile, HardwareProfile, ItemFacts, ItemKind, Put, PutGuestProfileRequest,
    PutHardwareProfileRequest, PutTemplateRequest, ReportRequest, ResolveRequest, Share, Template,
    TemplateDisk, TemplateStatus, TemplatesClient, UpdateItemRequest,
};
use contracts::{Code, Status, digest, subjects};
use futures::StreamExt;
use support::eventually;

use crate::harness::{ANSWERS, Site, report, tester};

const SECRET: &str = "#!/bin/sh\necho root:sesame | chpasswd\n";

fn named(name: &str) -> DefinitionRef {
    DefinitionRef {
        definition: name.to_owned(),
    }
}

/// One person, who sees what they have done whichever instance answers.
struct Person {
    templates: TemplatesClient,
    context: Context,
}

impl Person {
    fn at(site: &Site) -> Self {
        Self {
            templates: site.templates(),
            context: tester(),
        }
    }

    async fn put(&self, put: Put, template: Template) -> Result<Template, Status> {
        let request = PutTemplateRequest {
            put: put.into(),
            template: Some(template),
        };
        self.templates.put_template(&self.context, &request).await
    }

    async fn put_hardware(&self, profile: HardwareProfile) -> Result<HardwareProfile, Status> {
        let request = PutHardwareProfileRequest {
            put: Put::Create.into(),
            profile: Some(profile),
        };
        let context = &self.context;
        self.templates.put_hardware_profile(context, &request).await
    }

    async fn put_guest(&self, put: Put, profile: GuestProfile) -> Result<GuestProfile, Status> {
        let request = PutGuestProfileRequest {
            put: put.into(),
            profile: Some(profile),
        };
        let context = &self.context;
        self.templates.put_guest_profile(context, &request).await
    }

    async fn template(&self, name: &str) -> Result<Template, Status> {
        self.templates
            .get_template(&self.context, &named(name))
            .await
    }

    async fn resolve(&self, template: &str) -> Result<contracts::library::Resolved, Status> {
        let request = ResolveRequest {
            template: template.to_owned(),
            vm_name: "web-01".to_owned(),
            ..ResolveRequest::default()
        };
        self.templates.resolve(&self.context, &request).await
    }
}

fn small() -> HardwareProfile {
    HardwareProfile {
        name: "small".to_owned(),
        vcpus: 1,
        memory_bytes: 128 << 20,
        networks: vec!["user".to_owned()],
        firmware: Firmware::Uefi.into(),
        boot_order: vec![BootDevice::Disk.into()],
        ..HardwareProfile::default()
    }
}

fn web() -> GuestProfile {
    GuestProfile {
        name: "web".to_owned(),
        host_name: "{name}.example.org".to_owned(),
        user_data: SECRET.to_owned(),
        ..GuestProfile::default()
    }
}

fn debian(disk: TemplateDisk) -> Template {
    Template {
        name: "debian".to_owned(),
        disks: vec![disk],
        hardware_profile_id: "small".to_owned(),
        guest_profile_id: "web".to_owned(),
        ..Template::default()
    }
}

fn file(id: &str, path: &str, kind: ItemKind) -> ItemFacts {
    ItemFacts {
        id: id.to_owned(),
        path: path.to_owned(),
        kind: kind.into(),
        format: "qcow2".to_owned(),
        file_bytes: ANSWERS.len() as u64,
        virtual_bytes: 64 << 20,
        modified_ms: 7,
        ..ItemFacts::default()
    }
}

/// The files of a share, from its first report on.
async fn shelve(site: &Site, share: &Share, files: Vec<ItemFacts>) {
    let known = files.iter().map(|f| (f.id.clone(), digest::item(f)));
    let whole = ReportRequest {
        whole: true,
        known: known.collect(),
        ..report(share, 1, Vec::new())
    };
    let count = files.len();
    site.client.report(&tester(), &whole).await.unwrap();
    let files = report(share, 2, files);
    site.client.report(&tester(), &files).await.unwrap();
    site.items(|items| items.len() == count).await;
}

fn image(item: &str) -> TemplateDisk {
    TemplateDisk {
        item_id: item.to_owned(),
        ..TemplateDisk::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_says_whether_it_can_be_used_and_why_not() {
    let mut site = Site::start().await;
    let share = site.server("s1", "/srv/images").await;
    let disk = |id: &str| file(id, &format!("{id}.qcow2"), ItemKind::VirtualDisk);
    shelve(&site, &share, vec![disk("d1"), disk("d2")]).await;
    let ann = Person::at(&site);
    ann.put_hardware(small()).await.unwrap();
    ann.put_guest(Put::Create, web()).await.unwrap();

    let wanted = debian(image("images/d1.qcow2"));
    let no_such = ann.put(Put::Create, debian(image("images/d9.qcow2"))).await;
    assert_eq!(no_such.unwrap_err().field, "disks[0].image");
    let made = ann.put(Put::Create, wanted.clone()).await.unwrap();
    assert_eq!((made.status(), made.version), (TemplateStatus::Ok, 1));
    assert_eq!(made.disks[0].image, "images/d1.qcow2");
    assert_eq!(made.hardware_profile_name, "small");
    // Asked again it is the same, and another of the name is refused.
    assert_eq!(ann.put(Put::Create, wanted).await.unwrap(), made);
    let other = ann.put(Put::Create, debian(image("d2"))).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists);

    let resolved = ann.resolve("debian").await.unwrap();
    let found = resolved.disks[0].image.clone().unwrap();
    assert_eq!(
        (found.item_id.as_str(), found.path.as_str()),
        ("d1", "d1.qcow2")
    );
    assert_eq!(
        resolved.guest.clone().unwrap().host_name,
        "web-01.example.org"
    );
    assert_eq!(resolved.firmware(), Firmware::Uefi);
    assert!(resolved.boot_order().eq([BootDevice::Disk]));

    // Missing: it says so, and nothing is made from it.
    let gone = ReportRequest {
        missing_ids: vec!["d1".to_owned()],
        ..report(&share, 3, Vec::new())
    };
    site.client.report(&tester(), &gone).await.unwrap();
    let shown = eventually(
        "the template to say that its image is missing",
        async || {
            let shown = ann.template("debian").await.ok()?;
            (shown.status() == TemplateStatus::Unusable).then_some(shown)
        },
    );
    let shown = shown.await.unwrap();
    assert_eq!(shown.problem, "Image images/d1.qcow2 is missing.");
    let refused = ann.resolve("debian").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message.contains("template debian") && refused.message.contains("missing"));

    // By family: the newest that is there and enabled.
    let by_family = TemplateDisk {
        family: "debian".to_owned(),
        ..TemplateDisk::default()
    };
    let replaced = ann.put(Put::Replace, debian(by_family)).await.unwrap();
    assert_eq!(
        (replaced.version, replaced.status()),
        (2, TemplateStatus::Unusable)
    );
    let words = UpdateItemRequest {
        item: "d2".to_owned(),
        family: Some("debian".to_owned()),
        ..UpdateItemRequest::default()
    };
    site.client.update_item(&ann.context, &words).await.unwrap();
    let resolved = ann.resolve("debian").await.unwrap();
    assert_eq!(resolved.disks[0].image.clone().unwrap().item_id, "d2");
    let disabled = UpdateItemRequest {
        disabled: Some(true),
        family: None,
        ..words
    };
    site.client
        .update_item(&ann.context, &disabled)
        .await
        .unwrap();
    let shown = ann.template("debian").await.unwrap();
    assert!(
        shown.problem.contains("No image of family debian"),
        "{shown:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_a_template_uses_stays() {
    let site = Site::start().await;
    let ann = Person::at(&site);
    let small = ann.put_hardware(small()).await.unwrap();
    let web = ann.put_guest(Put::Create, web()).await.unwrap();
    let blank = TemplateDisk {
        size_bytes: 1 << 30,
        ..TemplateDisk::default()
    };
    ann.put(Put::Create, debian(blank)).await.unwrap();
    let (templates, context) = (&ann.templates, &ann.context);
    let hardware = templates
        .remove_hardware_profile(context, &named("small"))
        .await;
    let refused = hardware.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message.contains("used by templates: debian"),
        "{refused}"
    );
    let guest = templates
        .remove_guest_profile(context, &named(&web.id))
        .await;
    assert!(guest.unwrap_err().message.contains("debian"));

    templates
        .remove_template(context, &named("debian"))
        .await
        .unwrap();
    let again = templates.remove_template(context, &named("debian")).await;
    assert_eq!(again.unwrap_err().code(), Code::NotFound);
    let hardware = templates
        .remove_hardware_profile(context, &named(&small.id))
        .await;
    hardware.unwrap();
    templates
        .remove_guest_profile(context, &named("web"))
        .await
        .unwrap();
    let left = templates.list_hardware_profiles(context, &Empty {}).await;
    assert_eq!(left.unwrap().profiles, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn user_data_is_told_to_who_asks_for_it_and_in_no_event() {
    let site = Site::start().await;
    let mut events = site.bus.subscribe(&subjects::all_events()).await.unwrap();
    let ann = Person::at(&site);
    ann.put_hardware(small()).await.unwrap();
    let made = ann.put_guest(Put::Create, web()).await.unwrap();
    assert_eq!(made.user_data, SECRET);
    let listed = ann
        .templates
        .list_guest_profiles(&ann.context, &Empty {})
        .await;
    assert_eq!(listed.unwrap().profiles[0].user_data, "");
    let blank = TemplateDisk {
        size_bytes: 1 << 30,
        ..TemplateDisk::default()
    };
    ann.put(Put::Create, debian(blank)).await.unwrap();
    let asked = ann.resolve("debian").await.unwrap();
    let reference = asked.user_data.clone().unwrap();

    // What was asked for before the profile got other user data is still there.
    let other = GuestProfile {
        user_data: "#cloud-config\n".to_owned(),
        version: 1,
        ..web()
    };
    let changed = ann.put_guest(Put::Replace, other).await.unwrap();
    assert_ne!(changed.user_data_id, made.user_data_id);
    let kept = ann.templates.get_user_data(&ann.context, &reference).await;
    assert_eq!(kept.unwrap().text, SECRET);
    assert!(!format!("{asked:?}").contains("sesame"));

    // Three profiles' and templates' worth of events, and not a word of it in any.
    let mut kinds = Vec::new();
    while kinds.len() < 4 {
        let event = events.next().await.unwrap();
        let payload = String::from_utf8_lossy(&event.message.payload).into_owned();
        assert!(!payload.contains("sesame"), "{payload}");
        kinds.push(event.subject.clone());
    }
    let told = kinds
        .iter()
        .filter(|subject| subject.contains(".guest_profile."));
    assert_eq!(told.count(), 2, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_file_is_the_one_that_was_looked_at() {
    let mut site = Site::start().await;
    let share = site.server("s1", "/srv/images").await;
    let answers = file("a1", "user-data", ItemKind::AnswerFile);
    shelve(&site, &share, vec![answers.clone()]).await;
    let ann = Person::at(&site);
    ann.put_hardware(small()).await.unwrap();
    let profile = GuestProfile {
        user_data: String::new(),
        answer_item_id: "images/user-data".to_owned(),
        ..web()
    };
    let made = ann.put_guest(Put::Create, profile).await.unwrap();
    assert_eq!(made.answer_file, "images/user-data");
    let blank = TemplateDisk {
        size_bytes: 1 << 30,
        ..TemplateDisk::default()
    };
    ann.put(Put::Create, debian(blank)).await.unwrap();
    let mut reference = ann.resolve("debian").await.unwrap().user_data.unwrap();
    let read = ann.templates.get_user_data(&ann.context, &reference).await;
    assert_eq!(read.unwrap().text, ANSWERS);
    reference.answer_file.as_mut().unwrap().modified_ms += 1;
    let changed = ann.templates.get_user_data(&ann.context, &reference).await;
    assert!(changed.unwrap_err().message.contains("has changed"));
}
