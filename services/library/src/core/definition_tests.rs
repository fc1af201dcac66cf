use contracts::Code;
use contracts::host::GuestUser;

use super::*;

fn small() -> HardwareProfile {
    HardwareProfile {
        name: "Small".to_owned(),
        vcpus: 1,
        memory_bytes: 128 << 20,
        networks: vec!["user".to_owned()],
        ..HardwareProfile::default()
    }
}

#[test]
fn a_name_is_there_once_and_asking_again_changes_nothing() {
    let made = put(None, &small(), Put::Create, 5).unwrap().unwrap();
    assert_eq!((made.version, made.created_ms), (1, 5));
    assert_eq!(made.id, id::<HardwareProfile>("sMALL"));
    assert_ne!(made.id, id::<Template>("small"));
    assert_eq!(put(Some(&made), &small(), Put::Create, 9), Ok(None));
    let other = HardwareProfile {
        vcpus: 2,
        ..small()
    };
    let refused = put(Some(&made), &other, Put::Create, 9).unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
}

#[test]
fn only_the_version_that_was_looked_at_is_replaced() {
    let made = put(None, &small(), Put::Create, 5).unwrap().unwrap();
    let larger = HardwareProfile {
        memory_bytes: 1 << 30,
        version: 1,
        ..small()
    };
    let changed = put(Some(&made), &larger, Put::Replace, 9).unwrap().unwrap();
    assert_eq!(
        (changed.version, changed.created_ms, changed.changed_ms),
        (2, 5, 9)
    );
    // The answer was lost: it is as wanted.
    assert_eq!(put(Some(&changed), &larger, Put::Replace, 9), Ok(None));
    let late = HardwareProfile {
        vcpus: 4,
        version: 1,
        ..small()
    };
    let refused = put(Some(&changed), &late, Put::Replace, 9).unwrap_err();
    assert!(refused.message.contains("version 2"), "{refused}");
    let gone = put(None, &late, Put::Replace, 9).unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[test]
fn each_mistake_is_named_by_its_field() {
    let disk = |item: &str, family: &str, size_bytes: u64, source: Source| {
        let disk = TemplateDisk {
            item_id: item.to_owned(),
            family: family.to_owned(),
            size_bytes,
            source: source.into(),
            ..TemplateDisk::default()
        };
        let template = Template {
            name: "t".to_owned(),
            disks: vec![disk],
            ..Template::default()
        };
        template.check().map_err(|e| e.field)
    };
    let field = |name: &str| Err(format!("disks[0].{name}"));
    assert_eq!(disk("i", "", 0, Source::Overlay), Ok(()));
    assert_eq!(disk("", "f", 7, Source::Unspecified), Ok(()));
    assert_eq!(disk("i", "f", 0, Source::Copy), field("family"));
    assert_eq!(disk("i", "", 0, Source::Blank), field("source"));
    assert_eq!(disk("", "", 5, Source::Copy), field("source"));
    assert_eq!(disk("", "", 0, Source::Blank), field("size_bytes"));

    type Spoil = fn(&mut HardwareProfile);
    let cases: [(&str, Spoil); 8] = [
        ("name", |p| p.name.clear()),
        ("expected_load.cpu_percent", |p| {
            let cpu_percent = Some(101.0);
            p.expected_load = Some(ExpectedLoad {
                cpu_percent,
                ..ExpectedLoad::default()
            });
        }),
        ("expected_load.network_mbit", |p| {
            let network_mbit = Some(f64::NAN);
            p.expected_load = Some(ExpectedLoad {
                network_mbit,
                ..ExpectedLoad::default()
            });
        }),
        ("vcpus", |p| p.vcpus = 0),
        ("memory_bytes", |p| p.memory_bytes += 1),
        ("disk_bytes", |p| p.disk_bytes = vec![0]),
        ("networks", |p| p.networks = vec!["dmz".to_owned()]),
        ("owner", |p| p.owner = "a\nb".to_owned()),
    ];
    for (field, spoil) in cases {
        let mut profile = small();
        spoil(&mut profile);
        assert_eq!(profile.check().unwrap_err().field, field);
    }
}

#[test]
fn a_guest_profile_says_only_what_a_guest_understands() {
    let good = GuestProfile {
        name: "web".to_owned(),
        host_name: "{name}.example.org".to_owned(),
        users: vec![GuestUser {
            name: "ann".to_owned(),
            ssh_keys: vec!["ssh-ed25519 AAAAC3Nz".to_owned()],
            administrator: true,
        }],
        time_zone: "Europe/Berlin".to_owned(),
        ..GuestProfile::default()
    };
    assert_eq!(good.check(), Ok(()));
    assert_eq!(host_name(&good, "web-01"), "web-01.example.org");
    assert_eq!(host_name(&GuestProfile::default(), "web-01"), "web-01");
    type Spoil = fn(&mut GuestProfile);
    let cases: [(&str, Spoil); 7] = [
        ("host_name", |p| p.host_name = "a b".to_owned()),
        ("ssh_keys", |p| p.ssh_keys = vec!["secret".to_owned()]),
        ("users[0].name", |p| p.users[0].name = "Ann: x".to_owned()),
        ("users[0].ssh_keys", |p| {
            p.users[0].ssh_keys = vec!["x\ny".to_owned()];
        }),
        ("time_zone", |p| p.time_zone = "a: b".to_owned()),
        ("user_data", |p| p.user_data = "x".repeat(70_000)),
        ("answer_file", |p| {
            p.user_data = "#cloud-config".to_owned();
            p.answer_item_id = "i".to_owned();
        }),
    ];
    for (field, spoil) in cases {
        let mut profile = good.clone();
        spoil(&mut profile);
        assert_eq!(profile.check().unwrap_err().field, field);
    }
}
