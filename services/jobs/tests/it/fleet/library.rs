//! A library in memory, and the end of its only server: what conversions and parcels make can be seen.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use contracts::call::{Context, Serve, Service};
use contracts::common::Empty;
use contracts::library::{
    CloseParcelRequest, ConvertRequest, EndConversionRequest, Item, ItemFacts, ItemKind, ItemRef,
    ItemStatus, LIBRARY, LIBRARYEND, ListSharesResponse, ListedShare, OpenParcelRequest,
    ParcelPlace, ReadPackageRequest, ReadTextRequest, ReadTextResponse, Share,
};
use contracts::stored::DEFINITION;
use contracts::{ObjectRef, Status};
use prost::Message as _;

use super::parcels::{Folders, definition, package};

/// The server that has every share.
pub(crate) const SERVER: &str = "s1";

/// Every item is a disk of the only share, of which nothing else is known, or a machine that is stored in it.
pub(crate) struct FakeLibrary;

impl FakeLibrary {
    fn item(asked: String) -> Result<Item, Status> {
        let path = asked.strip_prefix("images/").map(str::to_owned);
        let is_package = asked.ends_with(".ova");
        let is_machine = asked.ends_with(DEFINITION) || is_package;
        if asked.starts_with("none")
            || (path.is_some() && !is_machine && !asked.ends_with(".qcow2"))
        {
            let object = ObjectRef::new("library_item", &asked, "");
            return Err(Status::not_found(object));
        }
        let kind = match (is_package, is_machine) {
            (true, _) => ItemKind::Ova,
            (false, true) => ItemKind::StoredVm,
            (false, false) => ItemKind::VirtualDisk,
        };
        let facts = ItemFacts {
            path: path.unwrap_or_else(|| format!("{asked}.vmdk")),
            kind: kind.into(),
            file_bytes: 1,
            ..ItemFacts::default()
        };
        let status = match asked.contains("disabled") {
            true => ItemStatus::Disabled,
            false => ItemStatus::Ok,
        };
        Ok(Item {
            id: asked,
            server_id: SERVER.to_owned(),
            share_id: "images".to_owned(),
            facts: Some(facts),
            status: status.into(),
            ..Item::default()
        })
    }

    fn shares() -> ListSharesResponse {
        let share = |name: &str, problem: &str| ListedShare {
            share: Some(Share {
                id: name.to_owned(),
                name: name.to_owned(),
                server_id: SERVER.to_owned(),
                problem: problem.to_owned(),
                ..Share::default()
            }),
            ..ListedShare::default()
        };
        ListSharesResponse {
            shares: vec![share("images", ""), share("away", "It is not mounted.")],
        }
    }
}

#[async_trait]
impl Serve for FakeLibrary {
    fn service(&self) -> &'static Service {
        &LIBRARY
    }

    async fn dispatch(&self, method: &str, _: &Context, payload: &[u8]) -> Result<Vec<u8>, Status> {
        if method == "ListShares" {
            return Ok(Self::shares().encode_to_vec());
        }
        assert_eq!(method, "GetItem");
        let asked = ItemRef::decode(payload).unwrap().item;
        Ok(Self::item(asked)?.encode_to_vec())
    }
}

/// What has been made in the share.
#[derive(Default)]
pub(crate) struct FakeLibraryEnd {
    /// By conversion: the path, and whether it is kept.
    converted: Mutex<BTreeMap<String, (String, bool)>>,
    folders: Mutex<Folders>,
}

impl FakeLibraryEnd {
    pub(crate) fn files_named(&self, name: &str) -> Vec<String> {
        let made = self.converted.lock().unwrap();
        let named = made.values().filter(|(path, _)| path.contains(name));
        let disks = named.map(|(path, kept)| format!("disk {path}, kept: {kept}"));
        let folders = self.folders.lock().unwrap();
        disks.chain(folders.named(name)).collect()
    }

    /// What is asked for a parcel; `None`: something else is.
    fn parcel(&self, method: &str, payload: &[u8]) -> Result<Option<Vec<u8>>, Status> {
        let mut folders = self.folders.lock().unwrap();
        match method {
            "OpenParcel" => {
                let opened = folders.open(OpenParcelRequest::decode(payload).unwrap())?;
                return Ok(Some(opened.encode_to_vec()));
            }
            "NameParcel" => folders.name(&ParcelPlace::decode(payload).unwrap()),
            "CloseParcel" => folders.close(&CloseParcelRequest::decode(payload).unwrap()),
            _ => return Ok(None),
        }
        Ok(Some(Empty {}.encode_to_vec()))
    }
}

#[async_trait]
impl Serve for FakeLibraryEnd {
    fn service(&self) -> &'static Service {
        &LIBRARYEND
    }

    async fn dispatch(&self, method: &str, _: &Context, payload: &[u8]) -> Result<Vec<u8>, Status> {
        if let Some(answer) = self.parcel(method, payload)? {
            return Ok(answer);
        }
        if method == "ReadText" {
            let path = ReadTextRequest::decode(payload).unwrap().path;
            let read = ReadTextResponse {
                text: definition(&path),
                ..ReadTextResponse::default()
            };
            return Ok(read.encode_to_vec());
        }
        if method == "ReadPackage" {
            let path = ReadPackageRequest::decode(payload).unwrap().path;
            return Ok(package(path)?.encode_to_vec());
        }
        let mut made = self.converted.lock().unwrap();
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
