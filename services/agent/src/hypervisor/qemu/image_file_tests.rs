use super::*;

#[test]
fn a_name_can_never_lead_out_of_the_images() {
    assert_eq!(
        split_name("debian-12.qcow2").unwrap(),
        (None, "debian-12.qcow2")
    );
    assert_eq!(split_name("ssd/a.raw").unwrap(), (Some("ssd"), "a.raw"));
    for bad in [
        "",
        "/",
        "..",
        "../x.qcow2",
        "/etc/shadow",
        "a/b/c.img",
        "ssd/../x",
        ".hidden",
        "a b",
        "a,b",
        "a:b",
    ] {
        assert!(split_name(bad).is_err(), "{bad}");
    }
}

fn stored(dir: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, content).unwrap();
    path
}

fn why(result: Result<Found, Refused>) -> String {
    match result.err().unwrap() {
        Refused::Missing => "missing".to_owned(),
        Refused::File(why) | Refused::Outside(why) | Refused::Content(why) => why,
    }
}

#[test]
fn only_plain_files_that_stay_inside_are_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(dir.path()).unwrap();
    assert_eq!(why(look(&root, &root.join("no.img"), None)), "missing");
    let link = root.join("link.img");
    std::os::unix::fs::symlink("/etc/shadow", &link).unwrap();
    assert!(why(look(&root, &link, None)).contains("leads out"));
    fs::create_dir(root.join("folder.img")).unwrap();
    assert!(why(look(&root, &root.join("folder.img"), None)).contains("not a regular file"));
}

#[test]
fn raw_is_what_is_named_so_and_has_whole_sectors() {
    let dir = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(dir.path()).unwrap();
    let raw = look(&root, &stored(&root, "a.raw", &[0; 1024]), None)
        .ok()
        .unwrap();
    assert_eq!((raw.format, raw.virtual_bytes), (Format::Raw, 1024));
    for (name, bytes) in [
        ("a.qcow2", 1024),
        ("b.img", 1000),
        ("c.raw", 0),
        ("noname", 512),
    ] {
        let path = stored(&root, name, &vec![0; bytes]);
        assert_eq!(why(look(&root, &path, None)), "is not an image", "{name}");
    }
}

#[test]
fn a_backing_name_of_a_protocol_is_only_a_path() {
    let path = backing_path(
        Path::new("/store/images/a.qcow2"),
        "json:{\"driver\":\"nbd\"}",
    );
    assert!(path.starts_with("/store/images"));
    assert_eq!(
        backing_path(Path::new("/store/images/a"), "/etc/shadow"),
        Path::new("/etc/shadow")
    );
}
