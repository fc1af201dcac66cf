use super::*;

/// As VMware writes it: units by the standard, settings of its own, prefixes everywhere.
const VMWARE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ovf:Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/rasd"
  xmlns:vmw="http://www.vmware.com/schema/ovf" xmlns:vssd="http://schemas.dmtf.org/vssd">
  <ovf:References>
    <ovf:File ovf:href="web-disk1.vmdk" ovf:id="file1" ovf:size="1234"/>
    <ovf:File ovf:href="web-disk2.vmdk" ovf:id="file2" ovf:size="1234"/>
  </ovf:References>
  <ovf:DiskSection><ovf:Info>disks</ovf:Info>
    <ovf:Disk ovf:capacity="16" ovf:capacityAllocationUnits="byte * 2^30" ovf:diskId="vmdisk1" ovf:fileRef="file1"
      ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
    <ovf:Disk ovf:capacity="1073741824" ovf:diskId="vmdisk2" ovf:fileRef="file2"/>
    <ovf:Disk ovf:capacity="1000" ovf:diskId="vmdisk3"/>
  </ovf:DiskSection>
  <ovf:NetworkSection><ovf:Info/><ovf:Network ovf:name="VM Network"/></ovf:NetworkSection>
  <ovf:VirtualSystem ovf:id="vm"><ovf:Info/>
    <ovf:Name>web 01</ovf:Name>
    <ovf:AnnotationSection><ovf:Info/><ovf:Annotation>for the web &amp; more</ovf:Annotation></ovf:AnnotationSection>
    <ovf:OperatingSystemSection ovf:id="96"><ovf:Info/><ovf:Description>Debian</ovf:Description></ovf:OperatingSystemSection>
    <ovf:VirtualHardwareSection><ovf:Info/>
      <ovf:Item><rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits><rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>4</rasd:VirtualQuantity></ovf:Item>
      <ovf:Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>2048</rasd:VirtualQuantity></ovf:Item>
      <ovf:Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></ovf:Item>
      <ovf:Item><rasd:AddressOnParent>1</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/vmdisk2</rasd:HostResource>
        <rasd:InstanceID>9</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></ovf:Item>
      <ovf:Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource>
        <rasd:InstanceID>10</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></ovf:Item>
      <ovf:Item><rasd:HostResource>ovf:/disk/vmdisk3</rasd:HostResource>
        <rasd:InstanceID>11</rasd:InstanceID><rasd:ResourceType>17</rasd:ResourceType></ovf:Item>
      <ovf:Item><rasd:Address>00:50:56:AB:00:01</rasd:Address><rasd:InstanceID>12</rasd:InstanceID>
        <rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></ovf:Item>
      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="bios"/>
    </ovf:VirtualHardwareSection>
  </ovf:VirtualSystem>
</ovf:Envelope>"#;

/// As VirtualBox writes it: old names of units, the default namespace, and a section of its own.
const VIRTUALBOX: &str = r#"<?xml version="1.0"?>
<Envelope ovf:version="1.0" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/rasd" xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References><File ovf:id="file1" ovf:href="small-disk001.vmdk"/></References>
  <DiskSection><Info/><Disk ovf:capacity="8589934592" ovf:diskId="vmdisk1" ovf:fileRef="file1"/></DiskSection>
  <VirtualSystem ovf:id="small"><Info/>
    <OperatingSystemSection ovf:id="96"><Info/><Description>Debian_64</Description></OperatingSystemSection>
    <VirtualHardwareSection><Info/>
      <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits><rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>512</rasd:VirtualQuantity></Item>
      <Item><rasd:HostResource>/disk/vmdisk1</rasd:HostResource><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:ElementName>NAT</rasd:ElementName><rasd:ResourceType>10</rasd:ResourceType></Item>
    </VirtualHardwareSection>
    <vbox:Machine><Hardware><Firmware type="BIOS"/></Hardware></vbox:Machine>
  </VirtualSystem>
</Envelope>"#;

fn file(name: &str) -> Disk {
    Disk::File {
        name: name.to_owned(),
        format: None,
    }
}

#[test]
fn a_descriptor_of_vmware_is_read() {
    let blank = Disk::Blank { size_bytes: 1024 };
    let expected = Package {
        uefi: false,
        name: "web-01".to_owned(),
        description: "for the web & more".to_owned(),
        vcpus: 4,
        memory_bytes: 2 << 30,
        disks: vec![file("web-disk1.vmdk"), file("web-disk2.vmdk"), blank],
        macs: vec!["00:50:56:ab:00:01".to_owned()],
    };
    assert_eq!(parse(VMWARE), Ok(expected));
}

#[test]
fn a_descriptor_of_virtualbox_is_read() {
    let expected = Package {
        uefi: false,
        name: "small".to_owned(),
        description: "Debian_64".to_owned(),
        vcpus: 1,
        memory_bytes: 512 << 20,
        disks: vec![file("small-disk001.vmdk")],
        macs: vec![String::new()],
    };
    assert_eq!(parse(VIRTUALBOX), Ok(expected));
}

#[test]
fn of_several_configurations_the_one_is_taken_that_is_marked() {
    let items = r#"<Item><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
      <Item ovf:configuration="large"><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>8</rasd:VirtualQuantity></Item>
      <Item ovf:bound="max"><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>64</rasd:VirtualQuantity></Item>
      <Item ovf:configuration="small"><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>MegaBytes"#;
    let options = |marked: &str| {
        let section = format!(
            r#"<DeploymentOptionSection><Info/><Configuration ovf:id="small"/><Configuration ovf:id="large"{marked}/>
            </DeploymentOptionSection><VirtualSystem ovf:id"#
        );
        let text = VIRTUALBOX.replace("<VirtualSystem ovf:id", &section);
        let text = text.replace("<Item><rasd:AllocationUnits>MegaBytes", items);
        parse(&text).unwrap().vcpus
    };
    assert_eq!(options(""), 2);
    assert_eq!(options(r#" ovf:default="true""#), 8);
}

#[test]
fn units_are_those_of_the_standard_and_those_before_it() {
    for (text, bytes) in [
        ("", 1),
        ("byte", 1),
        ("byte * 2^10", 1024),
        ("byte*2^30", 1 << 30),
        ("byte * 10^6", 1_000_000),
        ("byte * 1024 * 1024", 1 << 20),
        ("KiloBytes", 1024),
        ("GB", 1 << 30),
    ] {
        assert_eq!(unit(text), Ok(bytes), "{text}");
    }
    for text in [
        "hertz * 10^6",
        "byte * 2^64",
        "byte * 2^",
        "byte * -1",
        "byte *",
        "x",
    ] {
        assert!(unit(text).unwrap_err().contains("not known"), "{text}");
    }
}

#[test]
fn what_leads_out_or_makes_no_machine_is_refused_by_name() {
    let with = |from: &str, to: &str| {
        assert!(VMWARE.contains(from), "{from} is not in the sample");
        parse(&VMWARE.replace(from, to)).unwrap_err()
    };
    for href in [
        "../web.vmdk",
        "/etc/shadow",
        "http://example.org/web.vmdk",
        ".x",
    ] {
        let refused = with("web-disk1.vmdk", href);
        assert!(
            refused.contains(href) && refused.contains("beside"),
            "{refused}"
        );
    }
    for (from, to, words) in [
        (
            "ovf:capacity=\"16\"",
            "ovf:capacity=\"9223372036854775808\"",
            "disk",
        ),
        ("ovf:capacity=\"16\"", "ovf:capacity=\"${size}\"", "${size}"),
        (
            "ovf:capacity=\"1073741824\"",
            "ovf:capacity=\"9223372036854775807\"",
            "a disk of 92",
        ),
        (
            "ovf:capacity=\"1000\"",
            "ovf:capacity=\"0\"",
            "a disk of 0 bytes",
        ),
        (">2048<", ">18446744073709551615<", "memory"),
        (">2048<", ">1<", "1048576 bytes of memory"),
        (
            ">4</rasd:VirtualQuantity>",
            ">100000</rasd:VirtualQuantity>",
            "100000 processors",
        ),
        (
            ">4</rasd:VirtualQuantity>",
            ">-1</rasd:VirtualQuantity>",
            "\"-1\" processors",
        ),
        (
            "ovf:id=\"file2\"",
            "ovf:id=\"file1\"",
            "twice what its File \"file1\"",
        ),
        (
            "ovf:diskId=\"vmdisk2\"",
            "ovf:diskId=\"vmdisk1\"",
            "twice what its Disk",
        ),
        (
            "ovf:diskId=\"vmdisk2\"",
            "ovf:diskId=\"x\"",
            "nothing of its Disk \"vmdisk2\"",
        ),
        (
            "ovf:fileRef=\"file2\"",
            "ovf:fileRef=\"none\"",
            "nothing of its File \"none\"",
        ),
        ("web-disk2.vmdk", "web-disk1.vmdk", "two disks in one file"),
        (
            "ovf:fileRef=\"file2\"",
            "ovf:fileRef=\"file2\" ovf:parentRef=\"vmdisk1\"",
            "difference",
        ),
        (
            "ovf:id=\"file1\"",
            "ovf:id=\"file1\" ovf:compression=\"gzip\"",
            "compressed by \"gzip\"",
        ),
        (
            "ovf:id=\"file1\"",
            "ovf:id=\"file1\" ovf:chunkSize=\"7\"",
            "in pieces",
        ),
        ("ovf:/disk/vmdisk1", "/dev/sda", "\"/dev/sda\""),
        (
            "ovf:VirtualSystem",
            "ovf:VirtualSystemCollection",
            "several machines",
        ),
        ("ovf:VirtualSystem", "ovf:Content", "no VirtualSystem"),
        ("ovf:Envelope", "ovf:domain", "is no OVF"),
        (
            "<rasd:ResourceType>4<",
            "<rasd:ResourceType>5<",
            "nothing of the machine's memory",
        ),
        (
            "<rasd:ResourceType>3<",
            "<rasd:ResourceType>5<",
            "nothing of the machine's processors",
        ),
        (
            "VirtualHardwareSection",
            "Section",
            "nothing of the machine's hardware",
        ),
    ] {
        let refused = with(from, to);
        assert!(refused.contains(words), "{to}: {refused}");
    }
    let disk = "<Item><rasd:HostResource>/disk/vmdisk1</rasd:HostResource><rasd:ResourceType>17</rasd:ResourceType></Item>";
    let blank = "<Disk ovf:capacity=\"512\" ovf:diskId=\"b\"/></DiskSection>";
    let many = VIRTUALBOX.replace("</DiskSection>", blank);
    let many = many.replace(disk, &disk.replace("vmdisk1", "b").repeat(17));
    assert!(parse(&many).unwrap_err().contains("17 disks"));
    let card = "<Item><rasd:ElementName>NAT";
    let cards = VIRTUALBOX.replace(
        card,
        &format!(
            "{}{card}",
            "<Item><rasd:ResourceType>10</rasd:ResourceType></Item>".repeat(8)
        ),
    );
    assert!(parse(&cards).unwrap_err().contains("9 network cards"));
}

#[test]
fn the_firmware_is_what_the_package_says() {
    for (descriptor, bios, efi) in [
        (VMWARE, "value=\"bios\"", "value=\"efi\""),
        (VIRTUALBOX, "type=\"BIOS\"", "type=\"EFI64\""),
    ] {
        assert!(!parse(descriptor).unwrap().uefi);
        assert!(parse(&descriptor.replace(bios, efi)).unwrap().uefi);
    }
}
