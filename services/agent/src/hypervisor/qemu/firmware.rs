//! UEFI firmware for machines: which file of it there is on the host, by the descriptions that packages of firmware bring for
//! everybody who starts QEMU (`docs/interop/firmware.json` of QEMU), and what each machine's has noted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use contracts::{Status, stored};
use serde::Deserialize;

use super::folder::{self, Folder};
use super::{Environment, making};

/// Folders of descriptions. One of the same name in a later folder takes the place of that in an earlier one.
const FOLDERS: [&str; 2] = ["/usr/share/qemu/firmware", "/etc/qemu/firmware"];

/// A description has some hundred bytes.
const DESCRIPTION_BYTES_MAX: u64 = 64 << 10;

/// Room that what a firmware notes takes: those of 4 MiB have 528 KiB of it.
pub(super) const VARIABLES_BYTES: u64 = 1 << 20;

/// The firmware's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uefi {
    pub(super) code: PathBuf,
    /// What a machine begins with: nothing is noted in it.
    pub(super) variables: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Description {
    interface_types: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    #[serde(default)]
    features: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "device", rename_all = "kebab-case")]
enum Mapping {
    #[serde(rename_all = "kebab-case")]
    Flash {
        /// Absent: split.
        mode: Option<String>,
        executable: FlashFile,
        nvram_template: Option<FlashFile>,
    },
    #[serde(other)]
    Another,
}

#[derive(Deserialize)]
struct FlashFile {
    filename: PathBuf,
    format: String,
}

#[derive(Deserialize)]
struct Target {
    architecture: String,
    machines: Vec<String>,
}

impl Description {
    /// For any machine of ours: without secure boot, which would need keys and another chipset.
    fn suits(&self) -> bool {
        let is_uefi = self.interface_types.iter().any(|kind| kind == "uefi");
        let is_ours = |target: &Target| {
            let mut machines = target.machines.iter();
            target.architecture == "x86_64" && machines.any(|name| name.starts_with("pc-q35"))
        };
        let needs = ["requires-smm", "enrolled-keys"];
        let wants_more = |feature: &String| needs.contains(&feature.as_str());
        is_uefi && self.targets.iter().any(is_ours) && !self.features.iter().any(wants_more)
    }

    fn files(self) -> Option<Uefi> {
        let Mapping::Flash {
            mode,
            executable,
            nvram_template: Some(variables),
        } = self.mapping
        else {
            return None;
        };
        let is_split = mode.is_none_or(|mode| mode == "split");
        let are_raw = executable.format == "raw" && variables.format == "raw";
        (is_split && are_raw).then_some(Uefi {
            code: executable.filename,
            variables: variables.filename,
        })
    }
}

/// The firmware that the host's packages rather want used. `None`: none is installed that suits.
pub(super) fn find() -> Option<Uefi> {
    find_in(&FOLDERS.map(Path::new))
}

fn find_in(folders: &[&Path]) -> Option<Uefi> {
    let mut descriptions = BTreeMap::new();
    for folder in folders {
        // One that cannot be listed has none.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            descriptions.insert(entry.file_name(), entry.path());
        }
    }
    descriptions.values().find_map(|path| {
        let content = folder::read_limited(path, DESCRIPTION_BYTES_MAX).ok()?;
        let description: Description = serde_json::from_slice(&content).ok()?;
        let uefi = description.suits().then(|| description.files())??;
        (uefi.code.is_file() && uefi.variables.is_file()).then_some(uefi)
    })
}

impl Environment {
    /// The firmware for machines that have UEFI.
    pub(super) fn uefi(&self) -> Result<&Uefi, Status> {
        self.uefi.as_ref().ok_or_else(|| {
            Status::precondition("This host has no UEFI firmware for machines.").action(
                "Install it (Debian: package ovmf) and restart the agent, or choose another host.",
            )
        })
    }
}

/// Gives a new machine's firmware what another's has noted, or nothing.
pub(super) fn copy_variables(
    environment: &Environment,
    from: &Path,
    folder: &Folder,
) -> io::Result<()> {
    let to = folder.file(stored::VARIABLES);
    let mut read = folder::open_regular(from)?;
    if read.metadata()?.len() > VARIABLES_BYTES {
        return Err(io::Error::other("what its firmware has noted is too long"));
    }
    making::make_file(&environment.confinement, &to)?;
    let mut written = File::options().write(true).open(&to)?;
    io::copy(&mut read, &mut written)?;
    written.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(code: &Path, variables: &Path, features: &[&str], machine: &str) -> String {
        serde_json::json!({
            "description": "UEFI", "interface-types": ["uefi"], "tags": [], "features": features,
            "mapping": {
                "device": "flash",
                "executable": {"filename": code, "format": "raw"},
                "nvram-template": {"filename": variables, "format": "raw"},
            },
            "targets": [{"architecture": "x86_64", "machines": [machine]}],
        })
        .to_string()
    }

    #[test]
    fn the_first_that_suits_is_taken_and_the_administrators_word_goes_before_the_packages() {
        let dir = tempfile::tempdir().unwrap();
        let (package, own) = (dir.path().join("package"), dir.path().join("own"));
        let [code, variables] = ["code.fd", "vars.fd"].map(|name| dir.path().join(name));
        for folder in [&package, &own] {
            fs::create_dir(folder).unwrap();
        }
        let find = || find_in(&[&package, &own]);
        let put = |folder: &Path, name: &str, text: &str| {
            fs::write(folder.join(name), text).unwrap();
        };
        put(&package, "20-broken.json", "{");
        let bios =
            r#"{"interface-types": ["bios"], "mapping": {"device": "memory"}, "targets": []}"#;
        put(&package, "30-bios.json", bios);
        let secure = description(&code, &variables, &["requires-smm"], "pc-q35-*");
        put(&package, "40-secure.json", &secure);
        let other = description(&code, &variables, &[], "microvm");
        put(&package, "50-other.json", &other);
        assert_eq!(find(), None);
        let plain = description(&code, &variables, &["acpi-s3"], "pc-q35-*");
        put(&package, "60-plain.json", &plain);
        // Described, but not installed.
        assert_eq!(find(), None);
        for file in [&code, &variables] {
            fs::write(file, "x").unwrap();
        }
        let found = Uefi {
            code: code.clone(),
            variables: variables.clone(),
        };
        assert_eq!(find(), Some(found));
        put(&own, "60-plain.json", "");
        assert_eq!(find(), None);
    }
}
