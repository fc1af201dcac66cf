//! What lies in shares of the library.

use contracts::limits::{DISK_BYTES_MAX, DISKS_MAX};
use contracts::stored::StoredVm;

use super::promise;

/// A definition that is accepted is the same when it is written and read again, and names nothing outside its folder.
pub(super) fn stored(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else {
        return Ok(());
    };
    let stored = match StoredVm::parse(text) {
        Ok(stored) => stored,
        Err(why) => return promise(!why.is_empty(), "a refusal without a reason"),
    };
    let again = StoredVm::parse(&stored.to_text()?);
    promise(
        again.as_ref() == Ok(&stored),
        "a definition changed by being written",
    )?;
    promise(stored.disks.len() <= DISKS_MAX, "too many disks")?;
    for disk in &stored.disks {
        let is_beside =
            !disk.file.is_empty() && !disk.file.contains('/') && !disk.file.starts_with('.');
        promise(is_beside, "a disk outside the folder")?;
        promise(disk.size_bytes <= DISK_BYTES_MAX, "a disk of absurd size")?;
    }
    promise(
        !stored.machine_type.contains(','),
        "a word of the command line more",
    )
}

pub(super) mod samples {
    pub(in super::super) fn stored() -> Vec<Vec<u8>> {
        let whole = r#"{"version": 1, "id": "0198c1a2-7f5e-7b60-9d2b-0a8f2f3c4d5e", "name": "web-01", "owner": "ann",
            "description": "for the web", "tags": {"tier": "web"}, "vcpus": 2, "memory_bytes": 134217728,
            "disks": [{"id": "disk0", "file": "disk0.qcow2", "size_bytes": 67108864}],
            "network_cards": [{"id": "nic0", "mac": "52:54:00:12:34:56", "network": "user"}],
            "machine_type": "pc-q35-10.0", "seeded": true}"#;
        let least =
            r#"{"version": 1, "id": "v1", "name": "v1", "vcpus": 1, "memory_bytes": 16777216}"#;
        [whole, least].map(|text| text.as_bytes().to_vec()).into()
    }
}
