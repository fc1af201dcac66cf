//! Parcels of machines: at the host that packs them, and in the share that they come into.

use std::collections::BTreeMap;

use contracts::host::{PackVmRequest, Parcel, ParcelFile, VmReport};
use contracts::library::{
    CloseParcelRequest, OpenParcelRequest, OpenParcelResponse, PackageDisk, PackageFile,
    ParcelPlace, ReadPackageResponse,
};
use contracts::stored::{DEFINITION, StoredCard, StoredDisk, StoredVm, disk_file};
use contracts::{ObjectRef, Status};

use super::FakeHost;

/// What a host answers that packs a machine of one disk.
pub(super) fn pack(
    host: &FakeHost,
    vm: VmReport,
    request: &PackVmRequest,
) -> Result<Parcel, Status> {
    let id = &request.parcel_id;
    if !request.check_only {
        host.parcels.lock().unwrap().insert(id.clone(), vm.name);
    }
    let words = (!request.disks_only).then(|| DEFINITION.to_owned());
    let names = [disk_file("disk0")].into_iter().chain(words);
    let file = |name: String| ParcelFile {
        path: format!("parcels/{id}-{name}"),
        name,
        bytes: 7,
    };
    Ok(Parcel {
        parcel_id: id.clone(),
        datastore: "ds".to_owned(),
        files: names.map(file).collect(),
    })
}

/// The definition of a machine that is stored in a folder of its name.
pub(super) fn definition(path: &str) -> String {
    let folder = path.rsplit_once('/').unwrap_or_default().0;
    let stored = StoredVm {
        version: StoredVm::VERSION,
        id: format!("old-{folder}"),
        name: folder.to_owned(),
        owner: "before".to_owned(),
        vcpus: 1,
        memory_bytes: 128 << 20,
        disks: vec![StoredDisk {
            id: "disk0".to_owned(),
            file: disk_file("disk0"),
            size_bytes: 1 << 20,
        }],
        network_cards: vec![StoredCard {
            id: "nic0".to_owned(),
            mac: String::new(),
            network: "user".to_owned(),
        }],
        ..StoredVm::default()
    };
    stored.to_text().unwrap()
}

/// What another program wrote down, as an archive of two disks.
pub(super) fn package(path: String) -> Result<ReadPackageResponse, Status> {
    if path.contains("broken") {
        let broken = Status::precondition(format!("Package {path} names file ../x."));
        return Err(broken.action("Mend the package."));
    }
    let name = path.rsplit('/').next().unwrap_or(&path);
    let disk = |offset_bytes: u64| PackageDisk {
        path: path.clone(),
        format: "vmdk".to_owned(),
        offset_bytes,
        length_bytes: 512,
        virtual_bytes: 1 << 20,
    };
    Ok(ReadPackageResponse {
        uefi: false,
        name: name.trim_end_matches(".ova").trim_matches('_').to_owned(),
        description: "from elsewhere".to_owned(),
        vcpus: 1,
        memory_bytes: 128 << 20,
        disks: vec![disk(512), disk(1536)],
        macs: vec!["00:50:56:00:00:01".to_owned()],
        files: vec![PackageFile {
            path: path.clone(),
            file_bytes: 7,
            modified_ms: 7,
        }],
    })
}

/// Parcels that come into a share, by their ids: the folder, and how far it is.
#[derive(Default)]
pub(super) struct Folders(BTreeMap<String, (String, &'static str)>);

impl Folders {
    pub(super) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        let named = self
            .0
            .values()
            .filter(move |(folder, _)| folder.contains(name));
        named.map(|(folder, state)| format!("folder {folder}, {state}"))
    }

    pub(super) fn open(
        &mut self,
        request: OpenParcelRequest,
    ) -> Result<OpenParcelResponse, Status> {
        let place = request.place.unwrap_or_default();
        if place.folder == "taken" {
            let object = ObjectRef::new("folder", "taken", "taken");
            let there = Status::already_exists(object, "There is a file or folder taken already.");
            return Err(there.action("Choose another path."));
        }
        let hidden_folder = format!(".{}.{}.parcel", place.folder, place.parcel_id);
        if !request.check_only {
            self.0
                .entry(place.parcel_id)
                .or_insert((place.folder, "coming"));
        }
        Ok(OpenParcelResponse { hidden_folder })
    }

    pub(super) fn name(&mut self, place: &ParcelPlace) {
        let (_, state) = self.0.get_mut(&place.parcel_id).unwrap();
        *state = "named";
    }

    pub(super) fn close(&mut self, request: &CloseParcelRequest) {
        let id = &request.place.as_ref().unwrap().parcel_id;
        match (self.0.get_mut(id), request.keep) {
            (Some((_, state)), true) => {
                assert_ne!(*state, "coming", "what has no name is not kept");
                *state = "kept";
            }
            (Some((_, "coming" | "named")), false) => drop(self.0.remove(id)),
            _ => {}
        }
    }
}
