use std::fs;

use serde_json::json;

use super::*;

fn found(format: Format, virtual_bytes: u64) -> Found {
    Found {
        path: PathBuf::from("/x"),
        format,
        metadata: fs::metadata("/").unwrap(),
        cluster_bytes: 65536,
        virtual_bytes,
        backing: None,
    }
}

#[test]
fn what_qemu_img_says_must_be_what_we_saw() {
    let good = json!({"format": "qcow2", "virtual-size": 1024});
    assert_eq!(check_info(&good, &found(Format::Qcow2, 1024)), Ok(()));
    for bad in [
        json!({"format": "raw", "virtual-size": 1024}),
        json!({"format": "qcow2", "virtual-size": 1025}),
        json!({"format": "qcow2", "virtual-size": 1024, "encrypted": true}),
        json!({"format": "qcow2", "virtual-size": 1024, "format-specific": {"data": {"data-file": "x"}}}),
        json!([]),
    ] {
        assert!(
            check_info(&bad, &found(Format::Qcow2, 1024)).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn a_file_that_ends_before_its_last_cluster_is_truncated() {
    let report = json!({"image-end-offset": 1_000_000});
    assert_eq!(check_report(Some(0), &report, 990_000, 65_536), Ok(()));
    assert_eq!(check_report(Some(3), &report, 1_000_000, 65_536), Ok(()));
    assert!(check_report(Some(0), &report, 934_464, 65_536).is_err());
    for code in [Some(1), Some(2), None] {
        assert!(check_report(code, &report, 1_000_000, 65_536).is_err());
    }
}
