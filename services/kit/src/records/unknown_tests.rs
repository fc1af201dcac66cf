#![allow(clippy::unwrap_used)]

use contracts::host::{Disk, GuestFacts, Hardware, NetworkCard, VmState};
use contracts::inventory::Vm;
use prost::encoding::{WireType, encode_key};

use super::*;

/// Fields of a program to come, one for each wire type.
fn newer(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::string::encode(900, &text.to_owned(), &mut bytes);
    prost::encoding::uint64::encode(901, &7, &mut bytes);
    encode_key(902, WireType::ThirtyTwoBit, &mut bytes);
    bytes.extend([1, 2, 3, 4]);
    encode_key(903, WireType::SixtyFourBit, &mut bytes);
    bytes.extend([8; 8]);
    bytes
}

/// Encodes a field of a message in which there may be more than this program knows.
fn nested(field: u32, bytes: Vec<u8>) -> Vec<u8> {
    let mut into = Vec::new();
    prost::encoding::bytes::encode(field, &bytes, &mut into);
    into
}

fn plus(message: &impl prost::Message, more: &[u8]) -> Vec<u8> {
    [message.encode_to_vec().as_slice(), more].concat()
}

fn disk(id: &str) -> Disk {
    Disk {
        id: id.to_owned(),
        ..Disk::default()
    }
}

fn card(mac: &str) -> NetworkCard {
    NetworkCard {
        mac: mac.to_owned(),
        ..NetworkCard::default()
    }
}

fn vm() -> Vm {
    Vm {
        id: "v1".to_owned(),
        state: VmState::Stopped.into(),
        tags: [("a", "1"), ("b", "2")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        guest: Some(GuestFacts::default()),
        hardware: Some(Hardware {
            disks: vec![disk("disk0"), disk("disk1")],
            network_cards: vec![card("m0"), card("m1")],
            ..Hardware::default()
        }),
        ..Vm::default()
    }
}

/// The machine as a newer program wrote it: more at the top, in a message, in two disks, in the second card.
fn written() -> Vec<u8> {
    let hardware = [
        nested(3, plus(&disk("disk0"), &newer("disk0"))),
        nested(3, plus(&disk("disk1"), &newer("disk1"))),
        nested(4, plus(&card("m0"), &[])),
        nested(4, plus(&card("m1"), &newer("m1"))),
        newer("hardware"),
    ];
    let bare = Vm {
        hardware: None,
        ..vm()
    };
    plus(
        &bare,
        &[nested(10, hardware.concat()), newer("top")].concat(),
    )
}

fn known() -> Vm {
    let known = Vm::decode(written().as_slice()).unwrap();
    assert_eq!(known, vm());
    known
}

fn residue_of(bytes: &[u8]) -> Residue {
    residue::<Vm>((&Vm::decode(bytes).unwrap(), bytes))
}

#[test]
fn what_an_old_program_changes_keeps_what_a_newer_one_wrote() {
    let mut changed = known();
    changed.state = VmState::Running.into();
    changed.tags.remove("a");
    let kept = keep(&written(), &known(), &changed);
    assert_eq!(Vm::decode(kept.as_slice()).unwrap(), changed);
    assert_eq!(residue_of(&kept), residue_of(&written()));
    assert_eq!(residue_of(&kept).len(), 5);
}

#[test]
fn an_item_is_known_by_its_name_and_goes_with_what_it_had() {
    let mut changed = known();
    let hardware = changed.hardware.as_mut().unwrap();
    hardware.disks = vec![disk("disk2"), disk("disk1")];
    hardware.network_cards.remove(0);
    let kept = keep(&written(), &known(), &changed);
    assert_eq!(Vm::decode(kept.as_slice()).unwrap(), changed);
    let paths: Vec<String> = residue_of(&kept).into_keys().collect();
    // A card without a name could be any of the two that were there.
    assert_eq!(paths, ["", ".10", ".10.3[1]"]);
    assert_eq!(residue_of(&kept).get(".10.3[1]"), Some(&newer("disk1")));
}

#[test]
fn what_is_taken_away_stays_away() {
    let changed = Vm {
        hardware: None,
        ..known()
    };
    let kept = keep(&written(), &known(), &changed);
    assert_eq!(Vm::decode(kept.as_slice()).unwrap(), changed);
    assert_eq!(residue_of(&kept).into_keys().collect::<Vec<_>>(), [""]);
}

#[test]
fn a_record_of_this_program_is_encoded_as_it_is() {
    let bytes = vm().encode_to_vec();
    assert_eq!(keep(&bytes, &vm(), &vm()), bytes);
    // The same fields in another order are no reason to do otherwise.
    let odd = [nested(4, b"g".to_vec()), nested(1, b"v".to_vec())].concat();
    let vm = Vm::decode(odd.as_slice()).unwrap();
    assert_eq!(keep(&odd, &vm, &vm), vm.encode_to_vec());
}

#[test]
fn a_change_of_a_field_that_is_not_known_is_seen() {
    let other = [written(), newer("again")].concat();
    let (vm, written) = (known(), written());
    assert!(differ((&vm, &written), (&vm, &other)));
    assert!(!differ((&vm, &written), (&vm, &written)));
    let bytes = vm.encode_to_vec();
    assert!(differ((&vm, &written), (&vm, &bytes)));
}
