//! The share that a machine is stored in.

use std::time::Duration;

use contracts::common::Empty;
use contracts::data::FileRef;
use contracts::library::{ItemRef, ItemStatus, OpenParcelRequest, ParcelPlace};
use contracts::names::{self, shorten};
use contracts::{ObjectRef, Status, stored};

use crate::hands::{Calls, Done, Hands};

/// How long is waited until the library has seen what was stored. Where nobody tells its server of changes, it sees it at its
/// next look.
const SEEN_PATIENCE: Duration = Duration::from_secs(10);

const LOOK_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Share {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) server_id: String,
}

/// The share of an id or a name, if it can be used now.
pub(super) async fn find(calls: &Calls, wanted: &str) -> Result<Share, Status> {
    let listed = calls
        .library()
        .list_shares(&calls.context, &Empty {})
        .await?;
    let shares = listed.shares.into_iter().filter_map(|listed| listed.share);
    let is_it = |share: &contracts::library::Share| {
        share.id == wanted || share.name.to_lowercase() == wanted.to_lowercase()
    };
    let found = shares.into_iter().find(is_it).ok_or_else(|| {
        let name = shorten(wanted);
        Status {
            field: "share".to_owned(),
            ..Status::not_found(ObjectRef::new("library_share", "", &name))
        }
        .action("List the shares, and name one of them.")
    })?;
    if !found.problem.is_empty() {
        let message = format!("Share {} cannot be used: {}", found.name, found.problem);
        return Err(Status::precondition(message)
            .about(ObjectRef::new("library_share", &found.id, &found.name))
            .action("Bring the share back, or use another one."));
    }
    Ok(Share {
        id: found.id,
        name: found.name,
        server_id: found.server_id,
    })
}

/// The file that a disk was made from, if the share's server has it: what that holds does not have to travel there.
pub(super) async fn seed(hands: &Hands, share: &Share, image: &str) -> Option<FileRef> {
    let request = ItemRef {
        item: names::item_of_image(image)?.to_owned(),
    };
    // It would only save something.
    let item = hands.library().get_item(&hands.context, &request).await;
    let item = item.ok()?;
    let is_there = item.server_id == share.server_id && item.status() != ItemStatus::Missing;
    is_there.then(|| FileRef::new(&item.share_id, item.path()))
}

/// Has the share's server say why it would not take the files.
pub(super) async fn check(
    calls: &Calls,
    share: &Share,
    place: ParcelPlace,
    bytes: u64,
) -> Result<(), Status> {
    let request = OpenParcelRequest {
        place: Some(place),
        bytes,
        check_only: true,
    };
    let end = calls.library_end(&share.server_id);
    end.open_parcel(&calls.context, &request).await?;
    Ok(())
}

/// Has a hidden folder made for the files. Answers with where it is, below the share.
pub(super) async fn open(
    hands: &Hands,
    share: &Share,
    place: ParcelPlace,
    bytes: u64,
) -> Result<String, Status> {
    let request = OpenParcelRequest {
        place: Some(place),
        bytes,
        check_only: false,
    };
    let end = hands.library_end(&share.server_id);
    let opened = end.open_parcel(&hands.context, &request).await?;
    Ok(opened.hidden_folder)
}

/// Waits until the library has seen what was stored, so that who is told finds it there.
pub(super) async fn wait_for_item(
    hands: &Hands,
    share: &Share,
    folder: &str,
) -> Result<Done, Status> {
    let title = format!("{}/{folder}", share.name);
    let request = ItemRef {
        item: format!("{}/{folder}/{}", share.id, stored::DEFINITION),
    };
    let seen = async {
        loop {
            let asked = hands.library().get_item(&hands.context, &request).await;
            if asked.is_ok_and(|item| item.status() == ItemStatus::Ok) {
                return;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    match tokio::time::timeout(SEEN_PATIENCE, seen).await {
        Ok(()) => Done::saying(format!("Stored: {title}.")),
        Err(_) => Done::saying(format!(
            "Stored: {title}. The library sees it at its next look at the share."
        )),
    }
}
