//! What a guest is told when it first boots, in the words of cloud-init's NoCloud: the files of its seed.
//!
//! `meta-data` has the id of the instance, the host name, and keys of the user that the image comes with. `user-data` is what
//! a person wrote, word for word, and `vendor-data` then the cloud-config for users and time zone: cloud-init does both, and
//! where they say different things, what the person wrote. Without such words that cloud-config is the `user-data`.
//!
//! An answer file of Windows is no user data: it becomes `unattend.xml`, and `autounattend.xml` for an installation, which
//! Windows looks for in the root of removable disks.

use std::fmt::Write as _;

use contracts::host::GuestSetup;
use contracts::{Status, limits, names};

/// The files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    pub meta_data: String,
    pub user_data: String,
    pub vendor_data: Option<String>,
    /// For Windows.
    pub answers: Option<String>,
}

/// Whether a text is an answer file of Windows.
pub fn is_answers(text: &str) -> bool {
    text.trim_start().starts_with('<') && text.contains(ANSWERS_MARK)
}

/// The namespace of such files.
pub const ANSWERS_MARK: &str = "urn:schemas-microsoft-com:unattend";

/// The name that answers are looked for by once Windows is installed; FAT has no capitals of its own.
pub const ANSWERS: &str = "unattend.xml";

impl Seed {
    /// Those that there are, with their names.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let always = [
            ("meta-data", self.meta_data.as_str()),
            ("user-data", self.user_data.as_str()),
        ];
        let vendor_data = self.vendor_data.iter();
        let vendor_data = vendor_data.map(|text| ("vendor-data", text.as_str()));
        let answers = self.answers.iter();
        let answers = answers
            .flat_map(|text| [ANSWERS, "autounattend.xml"].map(|name| (name, text.as_str())));
        always.into_iter().chain(vendor_data).chain(answers)
    }
}

/// All files together: keys and user data have limits of their own far below.
pub const SEED_BYTES_MAX: usize = 1 << 20;

/// Refuses what would make other files than meant.
pub fn seed(vm_id: &str, setup: &GuestSetup) -> Result<Seed, Status> {
    names::check_id("vm_id", vm_id)?;
    names::check_host_name("guest.host_name", &setup.host_name)?;
    names::check_ssh_keys("guest.ssh_keys", &setup.ssh_keys)?;
    for user in &setup.users {
        names::check_ssh_keys("guest.users.ssh_keys", &user.ssh_keys)?;
    }
    let is_told_more = !setup.users.is_empty() || !setup.time_zone.is_empty();
    let answers = is_answers(&setup.user_data).then(|| answers(setup));
    let (user_data, vendor_data) = match (setup.user_data.as_str(), is_told_more) {
        _ if answers.is_some() => (cloud_config(setup), None),
        ("", _) => (cloud_config(setup), None),
        (text, false) => (text.to_owned(), None),
        (text, true) => (text.to_owned(), Some(cloud_config(setup))),
    };
    let seed = Seed {
        meta_data: meta_data(vm_id, setup),
        user_data,
        vendor_data,
        answers,
    };
    let is_long = setup.user_data.len() > limits::USER_DATA_BYTES_MAX;
    let bytes = seed.files().map(|(_, text)| text.len()).sum::<usize>();
    if is_long || bytes > SEED_BYTES_MAX {
        let message = "What the guest is told is too long.";
        return Err(Status::invalid("guest.user_data", message).action("Shorten it."));
    }
    Ok(seed)
}

/// The answers with the machine's name where they say `{name}`: the first part of its host name, as long as Windows takes it.
fn answers(setup: &GuestSetup) -> String {
    const NAME_CHARS_MAX: usize = 15;
    let first = setup.host_name.split('.').next().unwrap_or_default();
    let name: String = first.chars().take(NAME_CHARS_MAX).collect();
    setup.user_data.replace("{name}", &name)
}

/// A string of YAML, which takes those of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn meta_data(vm_id: &str, setup: &GuestSetup) -> String {
    let mut text = format!(
        "instance-id: {vm_id}\nlocal-hostname: {}\n",
        setup.host_name
    );
    add_keys(&mut text, "", "public-keys", &setup.ssh_keys);
    text
}

fn add_keys(text: &mut String, indent: &str, name: &str, keys: &[String]) {
    if !keys.is_empty() {
        let _ = writeln!(text, "{indent}{name}:");
    }
    for key in keys {
        let _ = writeln!(text, "{indent}  - {}", quoted(key));
    }
}

fn cloud_config(setup: &GuestSetup) -> String {
    let mut text = "#cloud-config\n".to_owned();
    if !setup.time_zone.is_empty() {
        let _ = writeln!(text, "timezone: {}", quoted(&setup.time_zone));
    }
    if !setup.users.is_empty() {
        text.push_str("users:\n  - default\n");
    }
    for user in &setup.users {
        let _ = writeln!(text, "  - name: {}", quoted(&user.name));
        text.push_str("    lock_passwd: true\n");
        if user.administrator {
            text.push_str("    sudo: \"ALL=(ALL) NOPASSWD:ALL\"\n");
        }
        add_keys(&mut text, "    ", "ssh_authorized_keys", &user.ssh_keys);
    }
    text
}

#[cfg(test)]
mod tests {
    use contracts::host::GuestUser;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3Nz ann@example.org";

    fn setup() -> GuestSetup {
        GuestSetup {
            host_name: "web-01.example.org".to_owned(),
            ssh_keys: vec![KEY.to_owned()],
            ..GuestSetup::default()
        }
    }

    #[test]
    fn a_guest_is_told_its_name_and_the_keys_of_its_user() {
        let seed = seed("vm-1", &setup()).unwrap();
        assert_eq!(
            seed.meta_data,
            format!(
                "instance-id: vm-1\nlocal-hostname: web-01.example.org\npublic-keys:\n  - \"{KEY}\"\n"
            )
        );
        assert_eq!(seed.user_data, "#cloud-config\n");
    }

    #[test]
    fn users_and_time_zone_are_cloud_config() {
        let setup = GuestSetup {
            users: vec![GuestUser {
                name: "ann".to_owned(),
                ssh_keys: vec![KEY.to_owned()],
                administrator: true,
            }],
            time_zone: "Europe/Berlin".to_owned(),
            ..setup()
        };
        let text = seed("vm-1", &setup).unwrap().user_data;
        let expected = format!(
            "#cloud-config\ntimezone: \"Europe/Berlin\"\nusers:\n  - default\n  - name: \"ann\"\n    lock_passwd: true\n    \
             sudo: \"ALL=(ALL) NOPASSWD:ALL\"\n    ssh_authorized_keys:\n      - \"{KEY}\"\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn what_a_person_wrote_is_handed_over_word_for_word_and_all_else_beside_it() {
        let script = GuestSetup {
            user_data: "#!/bin/sh\ntouch /x\n".to_owned(),
            ..setup()
        };
        let alone = seed("vm-1", &script).unwrap();
        assert_eq!(alone.user_data, script.user_data);
        assert_eq!(alone.vendor_data, None);
        let both = GuestSetup {
            time_zone: "UTC".to_owned(),
            ..script.clone()
        };
        let both = seed("vm-1", &both).unwrap();
        assert_eq!(both.user_data, script.user_data);
        let rest = "#cloud-config\ntimezone: \"UTC\"\n";
        assert_eq!(both.vendor_data.as_deref(), Some(rest));
    }

    #[test]
    fn answers_for_windows_are_files_of_their_own_and_have_the_name() {
        let xml = |name: &str| {
            format!(
                "<?xml version=\"1.0\"?>\n<unattend xmlns=\"urn:schemas-microsoft-com:unattend\">\
                 <ComputerName>{name}</ComputerName></unattend>\n"
            )
        };
        let windows = GuestSetup {
            host_name: "web-0123456789abcdef.example.org".to_owned(),
            user_data: xml("{name}"),
            ..setup()
        };
        let seed = seed("vm-1", &windows).unwrap();
        assert_eq!(seed.user_data, "#cloud-config\n");
        let files: Vec<_> = seed.files().skip(2).collect();
        let expected = xml("web-0123456789a");
        assert_eq!(
            files,
            [
                ("unattend.xml", expected.as_str()),
                ("autounattend.xml", expected.as_str())
            ]
        );
        assert!(!is_answers(
            "#!/bin/sh\n# urn:schemas-microsoft-com:unattend\n"
        ));
    }

    #[test]
    fn nothing_that_would_be_another_line_gets_into_a_seed() {
        let spoilt = |change: fn(&mut GuestSetup)| {
            let mut setup = setup();
            change(&mut setup);
            seed("vm-1", &setup).unwrap_err().field
        };
        assert_eq!(
            spoilt(|s| s.host_name = "a\nb: c".to_owned()),
            "guest.host_name"
        );
        assert_eq!(
            spoilt(|s| s.ssh_keys = vec!["ssh-rsa AAAA\nx".to_owned()]),
            "guest.ssh_keys"
        );
        assert_eq!(
            spoilt(|s| s.user_data = "x".repeat(1 << 20)),
            "guest.user_data"
        );
    }
}
