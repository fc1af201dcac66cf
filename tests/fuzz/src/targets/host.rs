//! What the agent reads of a host: lines of QEMU, what `qemu-img` prints, files of a datastore.

use std::io::Write as _;

use agent::hypervisor::qemu::{foreign, qmp};
use serde_json::Value;

use super::promise;

/// What the sample image's header says, and so must `qemu-img`.
const VIRTUAL_BYTES: u64 = 1 << 30;

pub(super) fn qmp_line(input: &[u8]) -> Result<(), String> {
    match qmp::parse(input) {
        Ok(qmp::Line::Event(event)) => promise(
            contains(input, b"event") || event.name.is_empty(),
            "an event came of a line that has none",
        ),
        // Whatever is no line of QMP is refused or passed over.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn contains(input: &[u8], word: &[u8]) -> bool {
    // A key may be written with escapes.
    input.contains(&b'\\') || input.windows(word.len()).any(|part| part == word)
}

pub(super) fn image_header(input: &[u8]) -> Result<(), String> {
    match foreign::image_header(input) {
        Ok(cluster) => promise(
            cluster.is_power_of_two() && (512..=2 << 20).contains(&cluster),
            "clusters of a size that QEMU does not know",
        ),
        Err(why) => promise(!why.is_empty(), "a refusal without a reason"),
    }
}

/// The two documents, one after the other, as two lines.
pub(super) fn image_reports(input: &[u8]) -> Result<(), String> {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (info, report) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    file.as_file()
        .write_all(&[0; 4096])
        .map_err(|error| error.to_string())?;
    match foreign::image_reports(file.path(), VIRTUAL_BYTES, info, report) {
        Ok(()) => {
            let info: Value = serde_json::from_slice(info).unwrap_or_default();
            let bytes = info.get("virtual-size").and_then(Value::as_u64);
            let format = info.get("format").and_then(Value::as_str);
            promise(
                (bytes, format) == (Some(VIRTUAL_BYTES), Some("qcow2")),
                "an image was taken for another one",
            )
        }
        Err(why) => promise(!why.is_empty(), "a refusal without a reason"),
    }
}

/// What is accepted is written again as it was read, and names nothing outside its folder and the images.
pub(super) fn definition(input: &[u8]) -> Result<(), String> {
    let Ok(written) = foreign::definition(input) else {
        return Ok(());
    };
    let again = foreign::definition(&written).map_err(|error| format!("written again: {error}"))?;
    promise(again == written, "a definition changed by being written")?;
    let value: Value = serde_json::from_slice(&written).map_err(|error| error.to_string())?;
    for disk in list(&value, "disks") {
        let file = text(disk, "file");
        promise(
            !file.is_empty() && !file.contains('/') && !file.starts_with('.'),
            "a disk outside its folder",
        )?;
        for layer in list(disk, "backing") {
            let file = text(layer, "file");
            promise(
                file.starts_with("images/") && !file.split('/').any(|part| part == ".."),
                "a disk on a file that is no image",
            )?;
        }
    }
    Ok(())
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let items = value.get(key).and_then(Value::as_array);
    items.map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) mod samples {
    fn lines(lines: &[&str]) -> Vec<Vec<u8>> {
        lines.iter().map(|line| line.as_bytes().to_vec()).collect()
    }

    pub(in super::super) fn qmp_line() -> Vec<Vec<u8>> {
        lines(&[
            r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": "Debian"}, "capabilities": ["oob"]}}"#,
            r#"{"return": {"status": "running", "running": true}, "id": 2}"#,
            r#"{"return": {}, "id": 1}"#,
            r#"{"id": 3, "error": {"class": "GenericError", "desc": "Device 'x' not found"}}"#,
            r#"{"timestamp": {"seconds": 1763700000, "microseconds": 1}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}"#,
            r#"{"timestamp": {"seconds": 1763700000, "microseconds": 1}, "event": "MIGRATION", "data": {"status": "completed"}}"#,
            r#"{"return": [{"device": "disk0", "stats": {"rd_bytes": 1, "wr_bytes": 2}}], "id": 9}"#,
        ])
    }

    pub(in super::super) fn image_header() -> Vec<Vec<u8>> {
        let mut header = vec![0; 512];
        let mut put = |at: usize, bytes: &[u8]| {
            header.splice(at..at + bytes.len(), bytes.iter().copied());
        };
        put(0, b"QFI\xfb");
        put(4, &3_u32.to_be_bytes());
        put(8, &400_u64.to_be_bytes());
        put(16, &4_u32.to_be_bytes());
        put(20, &16_u32.to_be_bytes());
        put(24, &(1_u64 << 30).to_be_bytes());
        put(100, &112_u32.to_be_bytes());
        put(112, &0xe279_2aca_u32.to_be_bytes());
        put(116, &5_u32.to_be_bytes());
        put(120, b"qcow2");
        put(400, b"base");
        vec![header]
    }

    pub(in super::super) fn image_reports() -> Vec<Vec<u8>> {
        let info = r#"{"virtual-size": 1073741824, "filename": "x", "cluster-size": 65536, "format": "qcow2", "actual-size": 4096, "format-specific": {"type": "qcow2", "data": {"compat": "1.1", "lazy-refcounts": false, "refcount-bits": 16, "corrupt": false, "extended-l2": false}}, "dirty-flag": false}"#;
        let report = r#"{"image-end-offset": 4096, "total-clusters": 16384, "check-errors": 0, "filename": "x", "format": "qcow2"}"#;
        let both = format!("{info}\n{report}");
        lines(&[&both, info, report])
    }

    pub(in super::super) fn definition() -> Vec<Vec<u8>> {
        lines(&[
            r#"{"version": 1, "vm_id": "0198c1a2-7f5e-7b60-9d2b-0a8f2f3c4d5e", "name": "web-01", "operation_id": "job/create",
                "created_ms": 1, "machine_type": "pc-q35-10.0", "vcpus": 2, "memory_bytes": 134217728,
                "disks": [{"id": "disk0", "file": "disk0.qcow2", "image": "guest.qcow2", "source": "overlay", "size_bytes": 67108864,
                           "backing": [{"file": "images/guest.qcow2", "format": "qcow2"}]}],
                "network_cards": [{"id": "nic0", "mac": "52:54:00:12:34:56", "network": "user"}]}"#,
        ])
    }
}
