//! A library of disks in memory, and the end of its only server: conversions leave files that can be seen.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use contracts::call::{Context, Serve, Service};
use contracts::common::Empty;
use contracts::library::{
    ConvertRequest, EndConversionRequest, Item, ItemFacts, ItemKind, ItemRef, ItemStatus, LIBRARY,
    LIBRARYEND,
};
use contracts::{ObjectRef, Status};
use prost::Message as _;

/// The server that has every share.
pub(crate) const SERVER: &str = "s1";

/// Every item is a disk of the only share, of which nothing else is known.
pub(crate) struct FakeLibrary;

#[async_trait]
impl Serve for FakeLibrary {
    fn service(&self) -> &'static Service {
        &LIBRARY
    }

    async fn dispatch(&self, method: &str, _: &Context, payload: &[u8]) -> Result<Vec<u8>, Status> {
        assert_eq!(method, "GetItem");
        let asked = ItemRef::decode(payload).unwrap().item;
        if asked.starts_with("none") {
            return Err(Status::not_found(ObjectRef::new(
                "library_item",
                &asked,
                "",
            )));
        }
        let mut facts = ItemFacts {
            path: format!("{asked}.vmdk"),
            file_bytes: 1,
            ..ItemFacts::default()
        };
        facts.set_kind(ItemKind::VirtualDisk);
        let item = Item {
            id: asked,
            server_id: SERVER.to_owned(),
            share_id: "images".to_owned(),
            facts: Some(facts),
            status: ItemStatus::Ok.into(),
            ..Item::default()
        };
        Ok(item.encode_to_vec())
    }
}

/// What conversions have made, by conversion: its path, and whether it is kept.
#[derive(Default)]
pub(crate) struct FakeLibraryEnd(Mutex<BTreeMap<String, (String, bool)>>);

impl FakeLibraryEnd {
    pub(crate) fn files_named(&self, name: &str) -> Vec<String> {
        let made = self.0.lock().unwrap();
        let named = made.values().filter(|(path, _)| path.contains(name));
        named
            .map(|(path, kept)| format!("disk {path}, kept: {kept}"))
            .collect()
    }
}

#[async_trait]
impl Serve for FakeLibraryEnd {
    fn service(&self) -> &'static Service {
        &LIBRARYEND
    }

    async fn dispatch(&self, method: &str, _: &Context, payload: &[u8]) -> Result<Vec<u8>, Status> {
        let mut made = self.0.lock().unwrap();
        if method == "Convert" {
            let request = ConvertRequest::decode(payload).unwrap();
            if !request.check_only {
                made.entry(request.conversion_id)
                    .or_insert((request.target_path, false));
            }
            return Ok(Empty {}.encode_to_vec());
        }
        assert_eq!(method, "EndConversion");
        let request = EndConversionRequest::decode(payload).unwrap();
        match (made.get_mut(&request.conversion_id), request.keep) {
            (Some((_, kept)), true) => *kept = true,
            (Some((_, false)), false) => drop(made.remove(&request.conversion_id)),
            _ => {}
        }
        Ok(Empty {}.encode_to_vec())
    }
}
