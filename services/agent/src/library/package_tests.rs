use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use ::tar::{Builder, Header};
use contracts::Code;

use super::*;

/// A share with a disk of 9 MiB in each format.
struct Share {
    dir: tempfile::TempDir,
    disks: DiskLook,
}

const DISK_BYTES: u64 = 9 << 20;

fn tool(arguments: &[&str], folder: &Path) {
    let mut command = Command::new("qemu-img");
    let ran = command.args(arguments).current_dir(folder).output();
    let ran = ran.unwrap();
    assert!(ran.status.success(), "{arguments:?}: {ran:?}");
}

/// A descriptor of a machine with one disk.
fn ovf(file: &str) -> String {
    format!(
        r#"<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"><References><File ovf:id="f" ovf:href="{file}"/></References>
        <DiskSection><Disk ovf:capacity="9437184" ovf:diskId="d" ovf:fileRef="f"/></DiskSection>
        <VirtualSystem ovf:id="web"><VirtualHardwareSection>
        <Item><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
        <Item><rasd:ResourceType>4</rasd:ResourceType><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
        <rasd:VirtualQuantity>256</rasd:VirtualQuantity></Item>
        <Item><rasd:ResourceType>17</rasd:ResourceType><rasd:HostResource>ovf:/disk/d</rasd:HostResource></Item>
        </VirtualHardwareSection></VirtualSystem></Envelope>"#
    )
}

fn domain(file: &str, format: &str) -> String {
    format!(
        "<domain type='kvm'><name>db</name><memory unit='MiB'>64</memory><devices><disk type='file' device='disk'>
        <driver type='{format}'/><source file='/elsewhere/{file}'/><target dev='vda'/></disk></devices></domain>"
    )
}

impl Share {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(path.join("deep")).unwrap();
        let deep = path.join("deep");
        tool(&["create", "-q", "-f", "qcow2", "a.qcow2", "9M"], &deep);
        for (format, options, name) in [
            ("vmdk", "subformat=streamOptimized", "a.vmdk"),
            ("vpc", "force_size=on", "a.vhd"),
            ("vhdx", "subformat=dynamic", "a.vhdx"),
            ("raw", "size=9M", "a"),
        ] {
            let convert = ["convert", "-q", "-O", format];
            let options = match format {
                "raw" => vec!["a.qcow2", name],
                _ => vec!["-o", options, "a.qcow2", name],
            };
            tool(&[&convert[..], &options].concat(), &deep);
        }
        for made in [
            "create -q -f qcow2 -b a.qcow2 -F qcow2 on.qcow2",
            "create -q -f vmdk below.vmdk 9M",
            "create -q -f vmdk -b below.vmdk -F vmdk on.vmdk",
        ] {
            tool(&made.split(' ').collect::<Vec<_>>(), &deep);
        }
        Self {
            disks: DiskLook::new(Path::new("qemu-img"), "nobody").await,
            dir,
        }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.dir.path().join("deep").join(name), content).unwrap();
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join("deep").join(name)).unwrap()
    }

    fn archive(&self, name: &str, members: &[(&str, Vec<u8>)]) {
        let mut tar = Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, content.as_slice())
                .unwrap();
        }
        self.write(name, tar.into_inner().unwrap());
    }

    async fn read(&self, name: &str) -> Result<ReadPackageResponse, Status> {
        read(&self.disks, self.dir.path(), &format!("deep/{name}")).await
    }

    async fn refused(&self, name: &str, words: &str) {
        let refused = self.read(name).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(!refused.recommended_action.is_empty(), "{refused}");
        let said = &refused.message;
        assert!(said.contains(name) && said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn a_package_is_read_with_its_disks_whatever_wrote_them() {
    let share = Share::new().await;
    for (file, format) in [
        ("a.vmdk", "vmdk"),
        ("a.vhd", "vhd"),
        ("a.vhdx", "vhdx"),
        ("a.qcow2", "qcow2"),
    ] {
        share.write("web.ovf", ovf(file));
        let read = share.read("web.ovf").await.unwrap();
        assert_eq!((read.name.as_str(), read.vcpus), ("web", 2));
        let [disk] = read.disks.try_into().unwrap();
        assert_eq!(
            (disk.format.as_str(), disk.virtual_bytes),
            (format, DISK_BYTES)
        );
        assert_eq!((disk.path, disk.length_bytes), (format!("deep/{file}"), 0));
        let [found] = read.files.try_into().unwrap();
        assert_eq!(found.file_bytes, share.file(file).len() as u64);
    }
    // libvirt says what is raw; its name need not.
    for (file, format) in [("a.qcow2", "qcow2"), ("a", "raw")] {
        share.write("db.xml", domain(file, format));
        let read = share.read("db.xml").await.unwrap();
        let [disk] = read.disks.try_into().unwrap();
        assert_eq!(
            (disk.format.as_str(), disk.virtual_bytes),
            (format, DISK_BYTES)
        );
    }
}

#[tokio::test]
async fn members_of_an_archive_are_looked_at_where_they_lie() {
    let share = Share::new().await;
    for file in ["a.vmdk", "a.vhd", "a.vhdx", "a.qcow2"] {
        let content = share.file(file);
        let descriptor = ("web.ovf", ovf(file).into_bytes());
        share.archive("web.ova", &[descriptor, (file, content.clone())]);
        let read = share.read("web.ova").await.unwrap();
        let [disk] = read.disks.try_into().unwrap();
        assert_eq!(disk.virtual_bytes, DISK_BYTES, "{file}");
        assert_eq!(disk.path, "deep/web.ova");
        let start = usize::try_from(disk.offset_bytes).unwrap();
        let end = start + usize::try_from(disk.length_bytes).unwrap();
        assert!(share.file("web.ova")[start..end] == content, "{file}");
    }
}

#[tokio::test]
async fn what_leads_out_is_missing_or_is_no_disk_is_refused_by_name() {
    let share = Share::new().await;
    fs::write(share.dir.path().join("secret.raw"), [0; 512]).unwrap();
    symlink("../secret.raw", share.dir.path().join("deep/link.raw")).unwrap();
    share.write("zipped.vmdk", [0x1f, 0x8b, 8, 0]);
    // QEMU would open what the descriptor of such a file names.
    let mut names_others = share.file("a.vmdk");
    names_others[12..20].fill(0);
    share.write("names.vmdk", names_others);
    let mut difference = share.file("a.vhd");
    difference[60..64].copy_from_slice(&4_u32.to_be_bytes());
    share.write("difference.vhd", difference);
    for (file, words) in [
        ("../secret.raw", "../secret.raw"),
        ("%2e%2e/secret.raw", "beside it"),
        ("/etc/shadow", "/etc/shadow"),
        ("link.raw", "\"link.raw\", which cannot be opened"),
        ("none.vmdk", "\"none.vmdk\", which cannot be opened"),
        ("zipped.vmdk", "compressed by gzip"),
        ("names.vmdk", "only names other files"),
        ("difference.vhd", "difference to another"),
        ("on.qcow2", "lies on another file, \"a.qcow2\""),
        ("on.vmdk", "difference to another"),
        ("web.ovf", "is none"),
    ] {
        share.write("web.ovf", ovf(file));
        share.refused("web.ovf", words).await;
    }
    share.write("db.xml", domain("a.qcow2", "raw"));
    share
        .refused("db.xml", "is qcow2, and the definition says raw")
        .await;
    share.write("long.ovf", " ".repeat(DESCRIPTOR_BYTES_MAX + 1));
    share.refused("long.ovf", "1024 KiB").await;
    share.write("bytes.ovf", [0xff; 16]);
    share.refused("bytes.ovf", "no UTF-8").await;
    share.write("blank.ovf", ovf("a.vmdk").replace(" ovf:fileRef=\"f\"", ""));
    share
        .refused("blank.ovf", "no disk with anything on it")
        .await;

    let web = ovf("a.vmdk").into_bytes();
    let descriptor = ("web.ovf", web.clone());
    let disk = ("a.vmdk", share.file("a.vmdk"));
    for (members, words) in [
        (vec![descriptor.clone()], "no member of it"),
        (vec![disk.clone()], "no member that ends in .ovf"),
        (vec![descriptor.clone(), ("b.ovf", web)], "several members"),
        (vec![], "empty archive"),
    ] {
        share.archive("web.ova", &members);
        share.refused("web.ova", words).await;
    }
    share.archive("web.ova", &[descriptor, disk]);
    let cut = share.file("web.ova");
    share.write("web.ova", &cut[..cut.len() / 2]);
    share
        .refused("web.ova", "cut off within its member \"a.vmdk\"")
        .await;
}

#[tokio::test]
async fn a_descriptor_that_is_not_what_its_manifest_says_is_refused() {
    let share = Share::new().await;
    let text = ovf("a.vmdk");
    share.write("web.ovf", &text);
    let hex = |algorithm| {
        let digest = digest::digest(algorithm, text.as_bytes());
        digest
            .as_ref()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    };
    for (name, algorithm) in [
        ("SHA1", &digest::SHA1_FOR_LEGACY_USE_ONLY),
        ("SHA256", &digest::SHA256),
    ] {
        share.write("web.mf", format!("{name}(web.ovf)= {}\n", hex(algorithm)));
        share.read("web.ovf").await.unwrap();
        share.write("web.mf", format!("{name}(web.ovf)= {}\n", "0".repeat(40)));
        share.refused("web.ovf", "web.mf was written").await;
    }
    let manifest = ("web.mf", share.file("web.mf"));
    let members = [
        ("web.ovf", text.into_bytes()),
        ("a.vmdk", share.file("a.vmdk")),
        manifest,
    ];
    share.archive("web.ova", &members);
    share.refused("web.ova", "web.mf was written").await;
}
