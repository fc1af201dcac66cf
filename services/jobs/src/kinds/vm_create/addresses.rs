//! Hardware addresses of new network cards: no two machines of the fleet have one.

use contracts::Status;
use contracts::host::Hardware;
use kit::world::World;

use crate::core::naming;
use crate::fleet::Fleet;
use crate::hands::Calls;

pub(super) fn free_mac(fleet: &Fleet, world: &World) -> Result<String, Status> {
    /// Three bytes are free: with a million machines in the fleet every sixteenth draw is taken.
    const DRAWS_MAX: usize = 64;
    for _ in 0..DRAWS_MAX {
        let mac = naming::mac(world.ids.next());
        if fleet.vm_with_mac(&mac)?.is_none() {
            return Ok(mac);
        }
    }
    Err(Status::internal("No free hardware address was found."))
}

/// Cards keep their addresses, but for those that other machines have.
pub(super) fn give_macs(
    calls: &Calls,
    hardware: &mut Hardware,
    is_another: bool,
) -> Result<(), Status> {
    let fleet = &calls.fleet;
    for card in &mut hardware.network_cards {
        if is_another || card.mac.is_empty() || fleet.vm_with_mac(&card.mac)?.is_some() {
            card.mac = free_mac(fleet, &calls.world)?;
        }
    }
    Ok(())
}
