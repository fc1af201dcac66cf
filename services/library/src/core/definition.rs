//! Templates and profiles: what each may say, and what becomes of one that is put.
//!
//! One is known by its name, from which its id is made: two of one name are one record, so a compare-and-set is all that
//! keeps names apart. None is renamed; it is copied, and the old one removed.

use contracts::host::Firmware;
use contracts::host::disk::Source;
use contracts::library::{
    ExpectedLoad, GuestProfile, HardwareProfile, Put, Template, TemplateDisk,
};
use contracts::records::Record;
use contracts::{ObjectRef, Status, limits, names};
use uuid::Uuid;

/// Namespace of the ids.
const DEFINITIONS: Uuid = Uuid::from_u128(0x6d75_7374_6572_5465_6d70_6c61_7465_7300);

/// The only network that every host has.
const USER_NETWORK: &str = "user";

/// What all of them have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub id: String,
    pub name: String,
    pub version: u64,
    pub created_ms: i64,
    pub changed_ms: i64,
}

pub trait Definition: Record {
    /// For people.
    const TITLE: &'static str;

    fn head(&self) -> Head;

    fn set_head(&mut self, head: Head);

    /// Refuses what cannot be, whatever else there is.
    fn check(&self) -> Result<(), Status>;
}

macro_rules! definition {
    ($message:ty, $title:literal, $check:path) => {
        impl Definition for $message {
            const TITLE: &'static str = $title;

            fn head(&self) -> Head {
                Head {
                    id: self.id.clone(),
                    name: self.name.clone(),
                    version: self.version,
                    created_ms: self.created_ms,
                    changed_ms: self.changed_ms,
                }
            }

            fn set_head(&mut self, head: Head) {
                self.id = head.id;
                self.name = head.name;
                self.version = head.version;
                self.created_ms = head.created_ms;
                self.changed_ms = head.changed_ms;
            }

            fn check(&self) -> Result<(), Status> {
                names::check_title("name", &self.name)?;
                names::check_words(&self.owner, &self.description, &self.tags)?;
                $check(self)
            }
        }
    };
}

definition!(Template, "template", check_template);
definition!(HardwareProfile, "hardware profile", check_hardware);
definition!(GuestProfile, "guest profile", check_guest);

/// Of the one with this name, whatever its case.
pub fn id<D: Definition>(name: &str) -> String {
    let text = format!("{}\n{}", D::BUCKET, name.to_lowercase());
    Uuid::new_v5(&DEFINITIONS, text.as_bytes()).to_string()
}

pub fn object<D: Definition>(definition: &D) -> ObjectRef {
    let head = definition.head();
    ObjectRef::new(D::BUCKET, &head.id, &head.name)
}

/// The record that there is to be; `None` when it is so already, as when somebody asks again whose answer was lost.
pub fn put<D: Definition>(
    current: Option<&D>,
    wanted: &D,
    how: Put,
    now_ms: i64,
) -> Result<Option<D>, Status> {
    let asked = wanted.head();
    let mut next = wanted.clone();
    let Some(current) = current else {
        if how != Put::Create {
            let object = ObjectRef::new(D::BUCKET, "", &names::shorten(&asked.name));
            return Err(Status::not_found(object));
        }
        next.set_head(Head {
            id: id::<D>(&asked.name),
            name: asked.name,
            version: 1,
            created_ms: now_ms,
            changed_ms: now_ms,
        });
        return Ok(Some(next));
    };
    let there = current.head();
    next.set_head(there.clone());
    if next == *current {
        return Ok(None);
    }
    if how == Put::Create {
        let message = format!("There is a {} {} already.", D::TITLE, there.name);
        return Err(Status::already_exists(object(current), message)
            .action("Choose another name, or edit that one."));
    }
    if asked.version != 0 && asked.version != there.version {
        let message = format!(
            "{} {} was changed meanwhile: it is of version {}, and version {} was to be replaced.",
            capital(D::TITLE),
            there.name,
            there.version,
            asked.version
        );
        return Err(Status::precondition(message)
            .about(object(current))
            .action("Look at it again, and make the change to what it is now."));
    }
    next.set_head(Head {
        version: there.version + 1,
        changed_ms: now_ms,
        ..there
    });
    Ok(Some(next))
}

pub(crate) fn capital(title: &str) -> String {
    let mut chars = title.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

fn at_most(field: &str, what: &str, count: usize, most: usize) -> Result<(), Status> {
    if count <= most {
        return Ok(());
    }
    let message = format!("{count} {what} are too many.");
    Err(Status::invalid(field, message).action(format!("Name {most} at most.")))
}

fn check_template(template: &Template) -> Result<(), Status> {
    at_most("disks", "disks", template.disks.len(), limits::DISKS_MAX)?;
    at_most("roles", "roles", template.roles.len(), limits::ROLES_MAX)?;
    for role in &template.roles {
        names::check_title("roles", role)?;
    }
    for (index, disk) in template.disks.iter().enumerate() {
        check_disk(&format!("disks[{index}]"), disk)?;
    }
    Ok(())
}

fn check_disk(field: &str, disk: &TemplateDisk) -> Result<(), Status> {
    let refused = |name: &str, message: &str, action: &str| {
        Err(Status::invalid(format!("{field}.{name}"), message).action(action))
    };
    let has_image = match (disk.item_id.as_str(), disk.family.as_str()) {
        ("", "") => false,
        (_, "") => true,
        ("", family) => {
            names::check_title(&format!("{field}.family"), family)?;
            true
        }
        _ => {
            let message = "The disk names an image and a family.";
            return refused("family", message, "Name one of the two.");
        }
    };
    match (disk.source(), has_image) {
        (Source::Blank, true) => {
            let message = "A blank disk is made from no image.";
            return refused(
                "source",
                message,
                "Leave the image out, or use overlay or copy.",
            );
        }
        (Source::Overlay | Source::Copy, false) => {
            let message = "An overlay or copy needs an image or a family.";
            return refused("source", message, "Name an image of the library.");
        }
        _ => {}
    }
    let least = u64::from(!has_image);
    if !(least..=limits::DISK_BYTES_MAX).contains(&disk.size_bytes) {
        let message = format!("A disk cannot have {} bytes.", disk.size_bytes);
        let action = format!("Give it 1 to {}.", limits::DISK_BYTES_MAX);
        return refused("size_bytes", &message, &action);
    }
    Ok(())
}

fn check_hardware(profile: &HardwareProfile) -> Result<(), Status> {
    let refused = |field: &str, message: String, action: &str| {
        Err(Status::invalid(field, message).action(action))
    };
    if !(1..=limits::VCPUS_MAX).contains(&profile.vcpus) {
        let message = format!("A machine cannot have {} processors.", profile.vcpus);
        return refused("vcpus", message, "Ask for 1 to 240.");
    }
    let range = limits::VM_MEMORY_BYTES_MIN..=limits::VM_MEMORY_BYTES_MAX;
    let memory = profile.memory_bytes;
    if !range.contains(&memory) || !memory.is_multiple_of(1 << 20) {
        let message = format!("A machine cannot have {memory} bytes of memory.");
        return refused(
            "memory_bytes",
            message,
            "Ask for whole mebibytes, 16 MiB to 16 TiB.",
        );
    }
    let (disks, cards) = (profile.disk_bytes.len(), profile.networks.len());
    at_most("disk_bytes", "disks", disks, limits::DISKS_MAX)?;
    at_most(
        "networks",
        "network cards",
        cards,
        limits::NETWORK_CARDS_MAX,
    )?;
    let is_size = |bytes: &u64| (1..=limits::DISK_BYTES_MAX).contains(bytes);
    if let Some(bytes) = profile.disk_bytes.iter().find(|bytes| !is_size(bytes)) {
        let message = format!("A disk cannot have {bytes} bytes.");
        return refused("disk_bytes", message, "Give it 1 byte to 64 TiB.");
    }
    let unknown = profile.networks.iter().find(|name| *name != USER_NETWORK);
    if let Some(name) = unknown {
        let message = format!("There is no network {:?}.", names::shorten(name));
        return refused("networks", message, "Use the network \"user\".");
    }
    if Firmware::try_from(profile.firmware).is_err() {
        let message = "That firmware is not known.".to_owned();
        return refused("firmware", message, "Choose BIOS or UEFI.");
    }
    names::check_boot_order("boot_order", &profile.boot_order)?;
    check_load(&profile.expected_load.unwrap_or_default())
}

fn check_load(load: &ExpectedLoad) -> Result<(), Status> {
    for (field, expected, max) in [
        ("cpu_percent", load.cpu_percent, 100.0),
        (
            "disk_io_per_sec",
            load.disk_io_per_sec,
            limits::EXPECTED_LOAD_MAX,
        ),
        ("network_mbit", load.network_mbit, limits::EXPECTED_LOAD_MAX),
    ] {
        let expected = expected.unwrap_or(0.0);
        if !(0.0..=max).contains(&expected) {
            let message = format!("A machine cannot be expected to use {expected}.");
            let field = format!("expected_load.{field}");
            return Err(Status::invalid(&field, message).action(format!("Use 0 to {max}.")));
        }
    }
    Ok(())
}

fn check_guest(profile: &GuestProfile) -> Result<(), Status> {
    let sample = host_name(profile, "a");
    names::check_host_name("host_name", &sample)?;
    names::check_ssh_keys("ssh_keys", &profile.ssh_keys)?;
    let of_users = profile.users.iter().map(|user| user.ssh_keys.len());
    let keys = profile.ssh_keys.len() + of_users.sum::<usize>();
    at_most("users", "keys of all users", keys, limits::SSH_KEYS_MAX)?;
    at_most(
        "users",
        "users",
        profile.users.len(),
        limits::GUEST_USERS_MAX,
    )?;
    for (index, user) in profile.users.iter().enumerate() {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
        let starts = user
            .name
            .starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        if !starts || user.name.len() > 32 || !user.name.bytes().all(is_plain) {
            let message = format!("{:?} cannot be a user's name.", names::shorten(&user.name));
            return Err(Status::invalid(format!("users[{index}].name"), message)
                .action("Use up to 32 lower-case letters, digits, hyphens and underscores."));
        }
        names::check_ssh_keys(&format!("users[{index}].ssh_keys"), &user.ssh_keys)?;
    }
    let is_zone = |b: u8| b.is_ascii_alphanumeric() || b"_+-/".contains(&b);
    if profile.time_zone.len() > 64 || !profile.time_zone.bytes().all(is_zone) {
        return Err(Status::invalid("time_zone", "That cannot be a time zone.")
            .action("Name one as in the tz database, like Europe/Berlin."));
    }
    check_user_data(profile)
}

fn check_user_data(profile: &GuestProfile) -> Result<(), Status> {
    let text = &profile.user_data;
    if text.len() > limits::USER_DATA_BYTES_MAX || text.contains('\0') {
        let most = limits::USER_DATA_BYTES_MAX >> 10;
        let message = format!("The user data is longer than {most} KiB, or not text.");
        return Err(Status::invalid("user_data", message).action("Shorten it."));
    }
    if !text.is_empty() && !profile.answer_item_id.is_empty() {
        let message = "The profile has user data of its own and an answer file.";
        return Err(Status::invalid("answer_file", message).action("Leave out one of the two."));
    }
    Ok(())
}

/// What the guest of a machine is called.
pub fn host_name(profile: &GuestProfile, vm_name: &str) -> String {
    match profile.host_name.as_str() {
        "" => vm_name.to_owned(),
        pattern => pattern.replace("{name}", vm_name),
    }
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
