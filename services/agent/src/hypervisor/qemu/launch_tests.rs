use contracts::rest::Firmware;

use super::*;
use crate::hypervisor::qemu::definition;

fn line(restore: bool, change: impl Fn(&mut Definition)) -> Vec<String> {
    line_with(restore, false, change)
}

fn line_with(restore: bool, removable_seed: bool, change: impl Fn(&mut Definition)) -> Vec<String> {
    let mut definition = definition::sample();
    change(&mut definition);
    let uefi = Uefi {
        code: "/fw/code.fd".into(),
        variables: "/fw/vars.fd".into(),
    };
    arguments(&Launch {
        definition: &definition,
        folder: &Folder::new("/ds,1/vms/x".into()),
        sockets: &Sockets::new(Path::new("/run/m"), "x"),
        datastore: Path::new("/ds,1"),
        accelerator: Accelerator::Tcg,
        user_network: UserNetwork::Isolated,
        uefi: (!definition.firmware.is_bios()).then_some(&uefi),
        removable_seed,
        restore,
    })
}

fn values<'a>(line: &'a [String], option: &str) -> Vec<&'a str> {
    let pairs = line.iter().zip(line.iter().skip(1));
    pairs
        .filter(|(name, _)| *name == option)
        .map(|(_, value)| value.as_str())
        .collect()
}

#[test]
fn a_machine_has_two_control_sockets_and_never_an_unlocked_disk() {
    let line = line(false, |_| {});
    assert_eq!(values(&line, "-mon").len(), 2);
    assert!(
        values(&line, "-blockdev")
            .iter()
            .all(|d| d.contains(r#""locking":"on""#))
    );
    assert!(!line.iter().any(|word| word.contains("locking=off")));
    assert!(
        values(&line, "-sandbox")
            .iter()
            .all(|s| s.contains("spawn=deny"))
    );
}

#[test]
fn a_guest_reads_its_seed_and_cannot_write_it() {
    let seeded = line(false, |definition| definition.seeded = true);
    let blocks = values(&seeded, "-blockdev");
    let seed: Vec<_> = blocks.iter().filter(|b| b.contains("seed.img")).collect();
    assert_eq!(seed.len(), 1);
    assert!(seed[0].contains(r#""read-only":true"#));
    // Beside it the machine is the same, device by device.
    let plain = line(false, |_| {});
    assert!(plain.iter().all(|word| seeded.contains(word)));
    assert!(!plain.iter().any(|word| word.contains("seed")));
}

#[test]
fn answers_for_windows_are_on_a_usb_stick() {
    let seeded = |removable| line_with(false, removable, |definition| definition.seeded = true);
    let (stick, disk) = (seeded(true), seeded(false));
    let devices = |line: &[String]| -> Vec<Value> {
        let of_it = values(line, "-device").into_iter();
        of_it.map(|d| serde_json::from_str(d).unwrap()).collect()
    };
    let (of_stick, of_disk) = (devices(&stick), devices(&disk));
    let [controller, storage] = of_stick.last_chunk::<2>().unwrap();
    assert_eq!(controller["driver"], "qemu-xhci");
    assert_eq!(controller["addr"], of_disk.last().unwrap()["addr"]);
    assert_eq!(
        (&storage["driver"], &storage["removable"]),
        (&json!("usb-storage"), &json!(true))
    );
    assert_eq!(of_stick.len(), of_disk.len() + 1);
}

#[test]
fn uefi_has_its_code_read_only_and_notes_in_the_machines_own_file() {
    let line = line(false, |definition| definition.firmware = Firmware::Uefi);
    assert_eq!(
        values(&line, "-machine"),
        ["pc-q35-10.0,pflash0=firmware-code,pflash1=firmware-vars"]
    );
    let blocks = values(&line, "-blockdev");
    let node = |name: &str| {
        let nodes = blocks
            .iter()
            .map(|b| serde_json::from_str::<Value>(b).unwrap());
        let mut nodes = nodes.filter(|node| node["node-name"] == name);
        nodes.next().unwrap()
    };
    let code = node("firmware-code");
    assert_eq!(code["file"]["filename"], "/fw/code.fd");
    assert_eq!(
        (&code["read-only"], &code["file"]["read-only"]),
        (&json!(true), &json!(true))
    );
    let variables = node("firmware-vars");
    assert_eq!(variables["file"]["filename"], "/ds,1/vms/x/firmware.vars");
    assert_eq!(variables["read-only"], json!(false));
}

#[test]
fn devices_are_tried_in_the_order_that_is_said_and_no_other_is() {
    let turns = |order: &[BootDevice]| {
        let line = line(false, |definition| {
            definition.boot_order = order.to_vec();
            definition.disks.push(Disk {
                id: "disk1".to_owned(),
                ..definition.disks[0].clone()
            });
        });
        let devices = values(&line, "-device");
        let devices = devices
            .iter()
            .map(|d| serde_json::from_str::<Value>(d).unwrap());
        let of = |id: &str| devices.clone().find(|d| d["id"] == id).unwrap();
        let card = of("nic0");
        assert_eq!(card["bootindex"].is_null(), card["romfile"] == "");
        ["disk0", "disk1", "nic0"].map(|id| of(id)["bootindex"].as_u64())
    };
    let (disk, network) = (BootDevice::Disk, BootDevice::Network);
    assert_eq!(turns(&[]), [Some(1), Some(2), None]);
    assert_eq!(turns(&[disk, network]), [Some(1), Some(2), Some(3)]);
    assert_eq!(turns(&[network, disk]), [Some(2), Some(3), Some(1)]);
    assert_eq!(turns(&[network]), [None, None, Some(1)]);
}

#[test]
fn a_comma_in_a_path_stays_in_the_path() {
    let line = line(false, |_| {});
    let logs = values(&line, "-chardev");
    assert!(
        logs.iter()
            .any(|c| c.contains("logfile=/ds,,1/vms/x/console.log,logappend=on"))
    );
}

#[test]
fn only_a_saved_machine_waits_for_its_memory() {
    assert_eq!(values(&line(true, |_| {}), "-incoming"), ["defer"]);
    assert!(values(&line(false, |_| {}), "-incoming").is_empty());
}

#[test]
fn the_largest_machine_has_an_address_for_every_device() {
    let line = line(false, |definition| {
        let (disk, card) = (definition.disks.clone(), definition.network_cards.clone());
        definition.disks = disk
            .into_iter()
            .cycle()
            .take(contracts::limits::DISKS_MAX)
            .collect();
        let cards = card.into_iter().cycle();
        definition.network_cards = cards.take(contracts::limits::NETWORK_CARDS_MAX).collect();
        definition.seeded = true;
    });
    let devices = values(&line, "-device");
    let mut addresses: Vec<Value> = devices
        .iter()
        .filter_map(|d| serde_json::from_str::<Value>(d).ok()?.get("addr").cloned())
        .collect();
    let count = addresses.len();
    addresses.sort_by_key(Value::to_string);
    addresses.dedup();
    assert_eq!((addresses.len(), count), (34, 34));
    // 31 is the chipset's own.
    assert_eq!(slots::SPARE_PORTS, 30);
}
