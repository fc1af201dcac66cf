//! The job kinds, one file each: a table of steps in running order, each with its undo or the reason why it has none.

mod group_create;
mod group_delete;
mod group_update;
mod groups;
mod host_add;
mod host_move;
mod host_remove;
mod host_set;
mod image_copy;
mod image_delete;
mod item_convert;
mod machine;
mod refresh;
mod refresher_set;
mod settings;
pub(crate) mod table;
mod transfers;
mod vm_create;
mod vm_delete;
mod vm_pause;
mod vm_reset;
mod vm_resume;
mod vm_save;
mod vm_shutdown;
mod vm_start;
mod vm_store;
mod vm_turn_off;
mod vm_update;

use contracts::Status;
use contracts::jobs::job_params::Kind as Params;
use kit::world::World;
use prost::Message;

use crate::fleet::Fleet;
use table::{Kind, Table};

static ALL: [&dyn Kind; 23] = [
    &vm_create::KIND,
    &vm_delete::KIND,
    &vm_start::KIND,
    &vm_shutdown::KIND,
    &vm_turn_off::KIND,
    &vm_reset::KIND,
    &vm_pause::KIND,
    &vm_resume::KIND,
    &vm_save::KIND,
    &vm_update::KIND,
    &host_add::KIND,
    &host_remove::KIND,
    &host_move::KIND,
    &host_set::KIND,
    &group_create::KIND,
    &group_update::KIND,
    &group_delete::KIND,
    &refresh::KIND,
    &refresher_set::KIND,
    &image_copy::KIND,
    &image_delete::KIND,
    &item_convert::KIND,
    &vm_store::KIND,
];

/// The kind of a job that is there.
pub(crate) fn named(name: &str) -> Result<&'static dyn Kind, Status> {
    ALL.into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| {
            Status::internal(format!("This release knows no jobs of kind {name}."))
                .action("Run the release that the job was begun with, then restart the job.")
        })
}

/// Kind of the jobs that are only the record of a change that somebody found.
pub(crate) const FOUND: &str = "found";

/// Whether jobs of a kind take the object that they are about. One of a kind that this release does not know may.
pub(crate) fn takes_object(name: &str) -> bool {
    name != FOUND && named(name).map_or(true, |kind| kind.takes_object())
}

/// A request as a kind and the state that its steps begin with. Refuses what is wrong in itself.
pub(crate) struct Draft {
    pub(crate) kind: &'static dyn Kind,
    pub(crate) state: Vec<u8>,
}

fn draft<S: Message + Default + 'static>(table: &'static Table<S>, state: &S) -> Draft {
    Draft {
        kind: table,
        state: state.encode_to_vec(),
    }
}

/// Reads a request. `owner` is who asks.
pub(crate) fn read(
    params: &Params,
    owner: &str,
    fleet: &Fleet,
    world: &World,
) -> Result<Draft, Status> {
    Ok(match params {
        Params::VmCreate(p) => draft(&vm_create::KIND, &vm_create::read(p, owner, fleet, world)?),
        Params::VmDelete(p) => draft(&vm_delete::KIND, &machine::read(p)?),
        Params::VmStart(p) => draft(&vm_start::KIND, &machine::read(p)?),
        Params::VmShutdown(p) => draft(&vm_shutdown::KIND, &machine::read(p)?),
        Params::VmTurnOff(p) => draft(&vm_turn_off::KIND, &machine::read(p)?),
        Params::VmReset(p) => draft(&vm_reset::KIND, &machine::read(p)?),
        Params::VmPause(p) => draft(&vm_pause::KIND, &machine::read(p)?),
        Params::VmResume(p) => draft(&vm_resume::KIND, &machine::read(p)?),
        Params::VmSave(p) => draft(&vm_save::KIND, &machine::read(p)?),
        Params::VmUpdate(p) => draft(&vm_update::KIND, &vm_update::read(p)?),
        Params::HostAdd(p) => draft(&host_add::KIND, &host_add::read(p)?),
        Params::HostRemove(p) => draft(&host_remove::KIND, &host_remove::read(p)?),
        Params::HostMove(p) => draft(&host_move::KIND, &host_move::read(p)?),
        Params::HostSet(p) => draft(&host_set::KIND, &host_set::read(p)?),
        Params::GroupCreate(p) => draft(&group_create::KIND, &group_create::read(p, world)?),
        Params::GroupUpdate(p) => draft(&group_update::KIND, &group_update::read(p)?),
        Params::GroupDelete(p) => draft(&group_delete::KIND, &group_delete::read(p)?),
        Params::Refresh(p) => draft(&refresh::KIND, &refresh::read(p)?),
        Params::RefresherSet(p) => draft(&refresher_set::KIND, &refresher_set::read(p)?),
        Params::VmStore(p) => draft(&vm_store::KIND, &vm_store::read(p, world)?),
        Params::ItemConvert(p) => draft(&item_convert::KIND, &item_convert::read(p, world)?),
        Params::ImageDelete(p) => draft(&image_delete::KIND, &image_delete::read(p, world)?),
        Params::ImageCopy(p) => draft(&image_copy::KIND, &image_copy::read(p, world)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name_and_every_step_once() {
        let mut names: Vec<&str> = ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(named("vm_create").is_ok() && named("vm_fly").is_err());
    }
}
