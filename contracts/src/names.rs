//! What names and ids may look like. Checked where they enter, trusted afterwards.

use std::collections::{BTreeMap, BTreeSet};

use crate::host::BootDevice;
use crate::{Status, limits};

/// The root of the tree of host groups.
pub const ROOT_GROUP_ID: &str = "all-hosts";

/// Whether a text can be one token of a subject and the name of a folder: letters, digits, `-` and `_`, at most 64.
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Checks an id that came from outside.
pub fn check_id(field: &str, id: &str) -> Result<(), Status> {
    if is_token(id) {
        return Ok(());
    }
    Err(
        Status::invalid(field, format!("{:?} is not an id.", shorten(id))).action(
            "Use the id as Muster showed it: letters, digits, hyphens and underscores, at most 64.",
        ),
    )
}

/// Checks the name of a machine: a DNS label, since it is also the guest's host name.
pub fn check_vm_name(name: &str) -> Result<(), Status> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let ok = !name.is_empty()
        && name.len() <= limits::VM_NAME_CHARS_MAX
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if ok {
        return Ok(());
    }
    Err(Status::invalid(
        "name",
        format!(
            "{:?} cannot be the name of a virtual machine.",
            shorten(name)
        ),
    )
    .action("Use 1 to 63 letters, digits and hyphens, with a letter or digit at both ends."))
}

/// The name in the certificate of a host's data end. No two hosts have the same, whatever their ids are made of.
pub fn data_end(host_id: &str) -> String {
    /// An id has 64 characters at most and a label of a DNS name 63; each character becomes two.
    const CHARS_IN_A_LABEL: usize = 31;
    let bytes = host_id.as_bytes().chunks(CHARS_IN_A_LABEL);
    let labels: Vec<String> = bytes
        .map(|bytes| bytes.iter().map(|b| format!("{b:02x}")).collect())
        .collect();
    format!("{}.data.muster", labels.join("."))
}

/// Checks the name of an image file, alone or in a datastore. No name leads out of the folder of images.
pub fn check_image_file(field: &str, file: &str) -> Result<(), Status> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-+".contains(&b);
    let ok = (1..=200).contains(&file.len()) && file.bytes().all(plain) && !file.starts_with('.');
    if ok {
        return Ok(());
    }
    let shown = shorten(file);
    Err(
        Status::invalid(field, format!("{shown:?} cannot be the name of an image."))
            .action("Use letters, digits, dots, hyphens, underscores and plus signs, at most 200."),
    )
}

/// What an image of the library is called on datastores: of which item it is, and which content that had.
pub fn library_image(item_id: &str, content: &str, format: &str) -> String {
    format!("{LIBRARY_IMAGE}{item_id}-{content}.{format}")
}

/// Of which item of the library an image is, by its name; `None`: of none.
pub fn item_of_image(image: &str) -> Option<&str> {
    let file = image.rsplit('/').next()?.strip_prefix(LIBRARY_IMAGE)?;
    let (item_id, _) = file.rsplit_once('.')?.0.rsplit_once('-')?;
    is_token(item_id).then_some(item_id)
}

const LIBRARY_IMAGE: &str = "library-";

/// Checks the path of a virtual disk that is to be made in a share: no part of it is hidden or leads up, and its ending says
/// its format.
pub fn check_disk_path(field: &str, path: &str, format: &str) -> Result<(), Status> {
    let endings: &[&str] = match format {
        "raw" => &["raw", "img"],
        "qcow2" | "vhd" | "vhdx" | "vmdk" => &[format],
        _ => {
            let message = format!("{:?} is no format of a virtual disk.", shorten(format));
            return Err(
                Status::invalid("format", message).action("Use qcow2, raw, vhd, vhdx or vmdk.")
            );
        }
    };
    let is_fine =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(char::is_control);
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    if path.len() <= limits::LIBRARY_PATH_BYTES_MAX
        && path.split('/').all(is_fine)
        && endings.contains(&ending)
    {
        return Ok(());
    }
    let message = format!(
        "{:?} cannot be the path of a {format} disk in a share.",
        shorten(path)
    );
    let action = format!(
        "Name a path below the share that ends with .{}.",
        endings.join(" or .")
    );
    Err(Status::invalid(field, message).action(action))
}

/// Checks the path of a folder that is to be made in a share: no part of it is hidden or leads up.
pub fn check_folder_path(field: &str, path: &str) -> Result<(), Status> {
    /// Leaves room for what is put around it while the folder is filled; filesystems take 255.
    const LAST_BYTES_MAX: usize = 180;
    let is_fine =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(char::is_control);
    let last = path.rsplit('/').next().unwrap_or(path);
    if path.len() <= limits::LIBRARY_PATH_BYTES_MAX
        && last.len() <= LAST_BYTES_MAX
        && path.split('/').all(is_fine)
    {
        return Ok(());
    }
    let message = format!(
        "{:?} cannot be the path of a folder in a share.",
        shorten(path)
    );
    Err(Status::invalid(field, message)
        .action("Name a path below the share, no part of which is hidden."))
}

/// Checks a name that people give to groups and the like: one line, not empty.
pub fn check_title(field: &str, title: &str) -> Result<(), Status> {
    let ok = !title.trim().is_empty()
        && title.chars().count() <= limits::TITLE_CHARS_MAX
        && !title.chars().any(char::is_control)
        && !title.contains('/');
    if ok {
        return Ok(());
    }
    Err(
        Status::invalid(field, format!("{:?} cannot be a name.", shorten(title)))
            .action("Use 1 to 120 characters on one line, without a slash."),
    )
}

/// Checks owner, description and tags, as people give them.
pub fn check_words(
    owner: &str,
    description: &str,
    tags: &BTreeMap<String, String>,
) -> Result<(), Status> {
    short_line("owner", owner, limits::TITLE_CHARS_MAX)?;
    if description.chars().count() > limits::DESCRIPTION_CHARS_MAX {
        return Err(
            Status::invalid("description", "The description is too long.").action(format!(
                "Use {} characters at most.",
                limits::DESCRIPTION_CHARS_MAX
            )),
        );
    }
    if tags.len() > limits::TAGS_MAX {
        let message = format!("{} tags are too many.", tags.len());
        let action = format!("Give it {} at most.", limits::TAGS_MAX);
        return Err(Status::invalid("tags", message).action(action));
    }
    for (tag, value) in tags {
        if tag.trim().is_empty() {
            return Err(
                Status::invalid("tags", "A tag has no name.").action("Give each tag a name.")
            );
        }
        short_line("tags", tag, limits::TAG_CHARS_MAX)?;
        short_line("tags", value, limits::TAG_CHARS_MAX)?;
    }
    Ok(())
}

fn short_line(field: &str, text: &str, chars_max: usize) -> Result<(), Status> {
    if text.chars().count() <= chars_max && !text.contains(char::is_control) {
        return Ok(());
    }
    Err(Status::invalid(
        field,
        format!("{:?} is too long, or more than a line.", shorten(text)),
    )
    .action(format!("Use {chars_max} characters at most, on one line.")))
}

/// Checks the host name of a guest: labels of letters, digits and hyphens, with dots between them.
pub fn check_host_name(field: &str, name: &str) -> Result<(), Status> {
    const CHARS_MAX: usize = 253;
    let fits = name.len() <= CHARS_MAX;
    if fits && name.split('.').all(|label| check_vm_name(label).is_ok()) {
        return Ok(());
    }
    let message = format!("{:?} cannot be a host name.", shorten(name));
    Err(Status::invalid(field, message)
        .action("Use labels of 1 to 63 letters, digits and hyphens, with dots between them."))
}

/// Checks public keys for SSH, one a line as OpenSSH writes them. A private key is refused without being shown.
pub fn check_ssh_keys(field: &str, keys: &[String]) -> Result<(), Status> {
    let is_one = |key: &String| {
        let mut words = key.split(' ');
        let kind = words.next().unwrap_or_default();
        let known = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];
        known.iter().any(|start| kind.starts_with(start))
            && words.next().is_some_and(|blob| blob.starts_with("AAAA"))
            && key.chars().count() <= limits::SSH_KEY_CHARS_MAX
            && !key.contains(|c: char| c.is_control() || c == '"' || c == '\'' || c == '\\')
    };
    if keys.len() <= limits::SSH_KEYS_MAX && keys.iter().all(is_one) {
        return Ok(());
    }
    let count = limits::SSH_KEYS_MAX;
    Err(Status::invalid(
        field,
        "What is given is no public key for SSH, or too many.",
    )
    .action(format!(
        "Give up to {count} lines as in a file id_ed25519.pub: type, key, comment."
    )))
}

/// Checks in which order a machine's devices are tried at its start.
pub fn check_boot_order(field: &str, order: &[i32]) -> Result<(), Status> {
    let devices: Option<BTreeSet<BootDevice>> = order
        .iter()
        .map(|number| BootDevice::try_from(*number).ok())
        .map(|device| device.filter(|device| *device != BootDevice::Unspecified))
        .collect();
    if devices.is_some_and(|devices| devices.len() == order.len()) {
        return Ok(());
    }
    let message = "What a machine is started from is not known, or named twice.";
    Err(Status::invalid(field, message).action("Name disk and network, each once at most."))
}

/// A text from outside, cut so that it fits into a message.
pub fn shorten(text: &str) -> String {
    const CHARS_SHOWN: usize = 80;
    if text.chars().count() <= CHARS_SHOWN {
        return text.to_owned();
    }
    let start: String = text.chars().take(CHARS_SHOWN).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_the_library_says_of_which_item_it_is() {
        let image = library_image("0198c1a2-aa", "0123456789ab", "qcow2");
        assert_eq!(item_of_image(&image), Some("0198c1a2-aa"));
        assert_eq!(item_of_image(&format!("ssd/{image}")), Some("0198c1a2-aa"));
        for other in [
            "debian-13.qcow2",
            "library-x",
            "library-.-a.raw",
            "layer-a-b.qcow2",
        ] {
            assert_eq!(item_of_image(other), None, "{other}");
        }
    }

    #[test]
    fn a_disk_of_a_share_has_a_path_below_it_and_the_ending_of_its_format() {
        let ok = |path, format| check_disk_path("path", path, format).is_ok();
        assert!(ok("a.qcow2", "qcow2") && ok("deep/a b.img", "raw") && ok("x.vhdx", "vhdx"));
        for (path, format) in [
            ("", "raw"),
            ("a.qcow2", "raw"),
            ("a", "qcow2"),
            ("/a.raw", "raw"),
            ("../a.raw", "raw"),
            ("a/./b.raw", "raw"),
            (".a.raw", "raw"),
            ("a\0.raw", "raw"),
            ("a.iso", "iso"),
        ] {
            assert!(!ok(path, format), "{path} {format}");
        }
    }

    #[test]
    fn a_folder_of_a_share_lies_below_it_and_is_seen() {
        let ok = |path: &str| check_folder_path("path", path).is_ok();
        assert!(ok("web-01") && ok("stored/of ann/web-01"));
        for bad in ["", "/a", "a/", "../a", "a/../b", ".a", "a/.b", "a\0"] {
            assert!(!ok(bad), "{bad}");
        }
        assert!(!ok(&"x".repeat(181)) && !ok(&"x/".repeat(600)));
    }

    #[test]
    fn a_machine_is_named_like_a_dns_label() {
        for good in ["a", "hello-01", "9lives", &"x".repeat(63)] {
            assert!(check_vm_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a/b", "a b", "ä", "../x", &"x".repeat(64)] {
            assert!(check_vm_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_guest_is_told_host_names_and_public_keys_only() {
        assert!(check_host_name("host_name", "web-01.example.org").is_ok());
        for bad in ["", "a..b", "-a", "a b", "a.", &"x.".repeat(200)] {
            assert!(check_host_name("host_name", bad).is_err(), "{bad}");
        }
        let keys = |key: &str| check_ssh_keys("ssh_keys", &[key.to_owned()]);
        assert!(keys("ssh-ed25519 AAAAC3Nz ann@example.org").is_ok());
        assert!(keys("ecdsa-sha2-nistp256 AAAAE2Vj").is_ok());
        for bad in [
            "",
            "ssh-ed25519",
            "AAAAC3Nz",
            "ssh-rsa AAAA\nssh-rsa AAAA",
            "ssh-rsa AAAA \"x\"",
        ] {
            assert!(keys(bad).is_err(), "{bad}");
        }
        let secret = keys("-----BEGIN OPENSSH PRIVATE KEY-----").unwrap_err();
        assert!(!secret.to_string().contains("OPENSSH"), "{secret}");
    }

    #[test]
    fn every_host_has_a_name_of_its_own_in_its_certificate() {
        assert_eq!(data_end("h1"), "6831.data.muster");
        assert_ne!(data_end("h1"), data_end("H1"));
        let longest = data_end(&"x".repeat(64));
        assert!(longest.len() < 253 && longest.split('.').all(|label| label.len() <= 63));
    }

    #[test]
    fn no_name_of_an_image_leads_out_of_its_folder() {
        assert!(check_image_file("file", "debian-12_a+b.qcow2").is_ok());
        for bad in ["", ".hidden", "../x", "a/b", "a b", "ä", &"x".repeat(201)] {
            assert!(check_image_file("file", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_can_never_leave_its_subject_or_folder() {
        for bad in [
            "",
            ".",
            "..",
            "a.b",
            "a/b",
            "*",
            ">",
            "a b",
            &"x".repeat(65),
        ] {
            assert!(check_id("id", bad).is_err(), "{bad}");
        }
        assert!(check_id("id", "0198-af_X").is_ok());
    }
}
