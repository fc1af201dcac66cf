//! What a new machine would take: asked of placement and of a host, before there is a job.

use contracts::host::disk::Source;
use contracts::host::{CheckImageRequest, Firmware};
use contracts::inventory::Vm;
use contracts::jobs::Plan;
use contracts::library::LibraryImage;
use contracts::placement::{RateRequest, Rating, Requirements};
use contracts::{Status, diff};

use super::{State, clone, from_share, images, stored, template};
use crate::core::rating;
use crate::hands::Calls;

/// Notes what the template means, rates hosts, has the best one look at the images, and rates again with what the disks then take.
pub(super) async fn plan(calls: &Calls, state: &mut State) -> Result<Plan, Status> {
    stored::resolve(calls, state).await?;
    template::resolve(calls, state).await?;
    let wanted: u64 = state.hardware().disks.iter().map(|d| d.size_bytes).sum();
    let mut ratings = rate(calls, state, wanted).await?;
    let host_id = best(state, &ratings)?.host_id.clone();
    let (disk_bytes, mut bytes_to_move) = look_at_images(calls, state, &host_id).await?;
    if disk_bytes != wanted {
        ratings = rate(calls, state, disk_bytes).await?;
    }
    let best = best(state, &ratings)?;
    state.disk_bytes = disk_bytes;
    if !state.request.clone_of.is_empty() {
        bytes_to_move = clone::bytes_to_copy(&calls.fleet, &state.request)?;
    }
    if state.comes_from_library() {
        let host = calls.fleet.host(&best.host_id)?;
        let datastore = state.choose_datastore(&host)?;
        bytes_to_move += images::bytes_to_fetch(calls, state, &host.id, &datastore).await?;
        bytes_to_move += from_share::bytes_to_bring(calls, state, &host.id, &datastore).await?;
    }
    Ok(Plan {
        host_id: best.host_id.clone(),
        host_name: best.host_name.clone(),
        changes: diff::changes(None, Some(&record(state))),
        ratings,
        bytes_to_move,
        ..Plan::default()
    })
}

async fn rate(calls: &Calls, state: &State, disk_bytes: u64) -> Result<Vec<Rating>, Status> {
    let request = state.rate_request(disk_bytes);
    let answer = calls.placement().rate(&calls.context, &request).await?;
    Ok(answer.ratings)
}

fn best<'a>(state: &State, ratings: &'a [Rating]) -> Result<&'a Rating, Status> {
    ratings
        .iter()
        .find(|r| rating::is_usable(r))
        .ok_or_else(|| rating::refusal(&state.request.name, ratings))
}

/// Bytes that the disks may grow to, and bytes that are copied to make them. A refusal of an image is told by its disk.
async fn look_at_images(calls: &Calls, state: &State, host_id: &str) -> Result<(u64, u64), Status> {
    let (mut disk_bytes, mut bytes_to_move) = (0_u64, 0_u64);
    for (index, disk) in state.hardware().disks.iter().enumerate() {
        let mut size = disk.size_bytes;
        if let Some(image) = state.library_image(index) {
            // The host gets it, and the disk beside it.
            size = size
                .max(image.virtual_bytes)
                .saturating_add(image.file_bytes);
        } else if !disk.image.is_empty() {
            let request = CheckImageRequest {
                image: disk.image.clone(),
            };
            let info = calls
                .host(host_id)
                .check_image(&calls.context, &request)
                .await
                .map_err(|refusal| Status {
                    field: format!("hardware.disks[{index}].image"),
                    ..refusal
                })?;
            if size != 0 && size < info.virtual_bytes {
                return Err(Status::invalid(
                    format!("hardware.disks[{index}].size_bytes"),
                    format!(
                        "Disk {} of {size} bytes cannot hold image {} of {}.",
                        disk.id, disk.image, info.virtual_bytes
                    ),
                )
                .action("Leave the size out, or give at least the image's."));
            }
            size = size.max(info.virtual_bytes);
            if disk.source() == Source::Copy {
                bytes_to_move += info.file_bytes;
            }
        }
        disk_bytes = disk_bytes.saturating_add(size);
    }
    if let Some(stored) = &state.stored {
        disk_bytes = disk_bytes.saturating_add(stored.bytes_beside());
    }
    Ok((disk_bytes, bytes_to_move))
}

/// The record that would be made.
fn record(state: &State) -> Vm {
    let request = state.request.clone();
    Vm {
        name: request.name,
        owner: request.owner,
        description: request.description,
        tags: request.tags,
        hardware: request.hardware,
        ..Vm::default()
    }
}

impl State {
    /// The image of the library that a disk is made from.
    fn library_image(&self, disk: usize) -> Option<&LibraryImage> {
        let mut images = self.images.iter();
        let found = images.find(|from| usize::try_from(from.disk) == Ok(disk));
        found.map(|from| &from.image)
    }

    /// What placement is asked.
    pub(super) fn rate_request(&self, disk_bytes: u64) -> RateRequest {
        let hardware = self.hardware();
        let uefi = hardware.firmware() == Firmware::Uefi;
        let stored = self.stored.as_ref();
        let machine_type = stored.map(|stored| stored.machine_type.clone());
        let of_host = |index: &usize| self.library_image(*index).is_none();
        let disks = hardware.disks.into_iter().enumerate();
        let mut images: Vec<String> = disks
            .filter(|(index, disk)| !disk.image.is_empty() && of_host(index))
            .map(|(_, disk)| disk.image)
            .collect();
        images.sort();
        images.dedup();
        let cards = hardware.network_cards.into_iter();
        let request = &self.request;
        RateRequest {
            requirements: Some(Requirements {
                vcpus: hardware.vcpus,
                memory_bytes: hardware.memory_bytes,
                disk_bytes,
                images,
                networks: cards.map(|card| card.network).collect(),
                uefi,
                machine_type: machine_type.unwrap_or_default(),
                datastore: request.datastore.clone(),
                tags: request.tags.clone(),
                ..request.placing.clone().unwrap_or_default()
            }),
            group_id: request.group_id.clone(),
            host_id: request.host_id.clone(),
            goal: request.goal,
            weights: request.weights,
            ..RateRequest::default()
        }
    }
}
