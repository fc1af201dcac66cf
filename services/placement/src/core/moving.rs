//! A machine that there is, to be placed elsewhere: what the request leaves out is read from its record.

use contracts::Status;
use contracts::placement::{RateRequest, Requirements};

use super::choose;
use super::fleet::Fleet;

pub fn complete(request: &RateRequest, fleet: &Fleet) -> Result<RateRequest, Status> {
    choose::check_guest(fleet, &request.vm_id)?;
    let Some(guest) = fleet.guest(&request.vm_id) else {
        return Ok(request.clone());
    };
    let asked = request.requirements.clone().unwrap_or_default();
    let or = |asked: u64, has: u64| if asked == 0 { has } else { asked };
    let requirements = Requirements {
        vcpus: if asked.vcpus == 0 {
            guest.vcpus
        } else {
            asked.vcpus
        },
        memory_bytes: or(asked.memory_bytes, guest.memory_bytes),
        disk_bytes: or(asked.disk_bytes, guest.disk_bytes),
        networks: if asked.networks.is_empty() {
            guest.networks.clone()
        } else {
            asked.networks.clone()
        },
        tags: if asked.tags.is_empty() {
            guest.tags.clone()
        } else {
            asked.tags.clone()
        },
        ..asked
    };
    Ok(RateRequest {
        requirements: Some(requirements),
        ..request.clone()
    })
}
