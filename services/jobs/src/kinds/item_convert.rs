//! Makes a virtual disk of another format of one of the library, in the same share. Its library server does the work.

use contracts::jobs::{ItemConvert, Plan};
use contracts::library::{
    ConvertRequest, EndConversionRequest, Item, ItemFacts, ItemKind, ItemRef, ItemStatus,
};
use contracts::names::{check_disk_path, shorten};
use contracts::{Code, ObjectRef, Status};
use kit::world::World;

use super::table::{Object, Step, Table, Target, Undo, always};
use crate::hands::{Calls, Done, Hands};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(message, required, tag = "1")]
    request: ItemConvert,
    #[prost(string, tag = "2")]
    conversion_id: String,
    /// As it was when the job was asked for.
    #[prost(message, optional, tag = "3")]
    item: Option<Item>,
    #[prost(string, tag = "4")]
    target_path: String,
}

pub(crate) static KIND: Table<State> = Table {
    name: "item_convert",
    object: Object::Untouched,
    target: |state| Target {
        object: ObjectRef::new("library_item", &state.conversion_id, &state.title()),
        group_id: String::new(),
    },
    look: |_, _, _| Ok(()),
    plan: |calls, state| Box::pin(plan(calls, state)),
    steps: &[
        Step {
            name: "convert",
            description: "Make the disk in the other format",
            needed: always,
            action: |hands, state| Box::pin(convert(hands, state)),
            undo: Undo::By(|hands, state| Box::pin(end(hands, state, Made::Removed))),
        },
        Step {
            name: "keep",
            description: "Keep what was made",
            needed: always,
            action: |hands, state| Box::pin(end(hands, state, Made::Kept)),
            undo: Undo::Closing,
        },
    ],
};

/// What becomes of the new file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    Kept,
    Removed,
}

pub(super) fn read(request: &ItemConvert, world: &World) -> Result<State, Status> {
    if request.item.is_empty() {
        return Err(Status::invalid("item", "No item is named.")
            .action("Name one by its id or as <share>/<path>."));
    }
    // Of the format alone, where no path is said.
    let path = match request.target_path.as_str() {
        "" => format!("disk.{}", request.format),
        path => path.to_owned(),
    };
    check_disk_path("path", &path, &request.format)?;
    Ok(State {
        request: request.clone(),
        conversion_id: world.new_id(),
        ..State::default()
    })
}

impl State {
    fn title(&self) -> String {
        shorten(&self.request.item)
    }

    fn facts(&self) -> ItemFacts {
        let item = self.item.clone().unwrap_or_default();
        item.facts.unwrap_or_default()
    }

    fn server_id(&self) -> &str {
        self.item.as_ref().map_or("", |item| &item.server_id)
    }

    fn share_id(&self) -> String {
        let item = self.item.as_ref();
        item.map_or_else(String::new, |item| item.share_id.clone())
    }

    fn convert_request(&self, operation_id: &str, check_only: bool) -> ConvertRequest {
        let facts = self.facts();
        ConvertRequest {
            operation_id: operation_id.to_owned(),
            conversion_id: self.conversion_id.clone(),
            share_id: self.share_id(),
            path: facts.path,
            file_bytes: facts.file_bytes,
            modified_ms: facts.modified_ms,
            target_path: self.target_path.clone(),
            format: self.request.format.clone(),
            check_only,
        }
    }
}

/// The path with the ending of another format.
fn beside(path: &str, format: &str) -> String {
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    format!("{stem}.{format}")
}

/// Notes what the item is now, and has its server say why it would not.
async fn plan(calls: &Calls, state: &mut State) -> Result<Plan, Status> {
    let request = ItemRef {
        item: state.request.item.clone(),
    };
    let item = calls.library().get_item(&calls.context, &request).await?;
    check_item(&item)?;
    let facts = item.facts.clone().unwrap_or_default();
    state.target_path = match state.request.target_path.as_str() {
        "" => beside(&facts.path, &state.request.format),
        path => path.to_owned(),
    };
    state.item = Some(item);
    let request = state.convert_request("", true);
    let end = calls.library_end(state.server_id());
    end.convert(&calls.context, &request).await?;
    Ok(Plan {
        bytes_to_move: facts.file_bytes,
        ..Plan::default()
    })
}

fn check_item(item: &Item) -> Result<(), Status> {
    let facts = item.facts.clone().unwrap_or_default();
    let refused = |why: &str, action: &str| {
        let object = ObjectRef::new("library_item", &item.id, &facts.path);
        let message = format!("Item {} {why}.", facts.path);
        Err(Status::precondition(message).about(object).action(action))
    };
    if item.status() == ItemStatus::Missing {
        return refused("is missing", "Bring the file or its share back.");
    }
    if facts.kind() != ItemKind::VirtualDisk {
        return refused("is no virtual disk", "Name one that is.");
    }
    if !facts.backing_path.is_empty() {
        let action = "Flatten it with qemu-img convert on the library server.";
        return refused("lies on another file", action);
    }
    Ok(())
}

/// It takes as long as the disk is large: the server is asked for as long as it is there, and joins what it is doing.
async fn convert(hands: &Hands, state: &State) -> Result<Done, Status> {
    let request = &state.convert_request(&hands.operation, false);
    loop {
        let asked = hands.ask_library(state.server_id(), |end, context| async move {
            end.convert(&context, request).await
        });
        match asked.await {
            Err(late) if late.code() == Code::DeadlineExceeded => {
                hands.say("The disk is being converted.").await;
            }
            answer => {
                answer?;
                return Done::saying(format!("{} is made.", state.target_path));
            }
        }
    }
}

async fn end(hands: &Hands, state: &State, made: Made) -> Result<Done, Status> {
    let request = EndConversionRequest {
        conversion_id: state.conversion_id.clone(),
        share_id: state.share_id(),
        target_path: state.target_path.clone(),
        keep: made == Made::Kept,
    };
    let end = hands.library_end(state.server_id());
    match end.end_conversion(&hands.context, &request).await {
        // The share is none of the server's any more: what lies there is its owner's.
        Err(gone) if gone.code() == Code::NotFound && made == Made::Removed => {
            Done::saying("The share is gone.")
        }
        ended => {
            ended?;
            Done::quiet()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_disk_lies_beside_the_other_under_its_format() {
        assert_eq!(beside("deep/a.b.vmdk", "qcow2"), "deep/a.b.qcow2");
        assert_eq!(beside("a.img", "raw"), "a.raw");
    }

    #[test]
    fn only_disks_that_are_there_and_stand_alone_are_converted() {
        let refusal = |status: ItemStatus, kind: ItemKind, backing: &str| {
            let mut facts = ItemFacts {
                path: "a.vmdk".to_owned(),
                backing_path: backing.to_owned(),
                ..ItemFacts::default()
            };
            facts.set_kind(kind);
            let item = Item {
                facts: Some(facts),
                status: status.into(),
                ..Item::default()
            };
            check_item(&item).err().map(|refusal| refusal.message)
        };
        let (ok, disk) = (ItemStatus::Ok, ItemKind::VirtualDisk);
        assert_eq!(refusal(ok, disk, ""), None);
        let refused = |said: Option<String>, words: &str| said.is_some_and(|s| s.contains(words));
        assert!(refused(
            refusal(ItemStatus::Missing, disk, ""),
            "is missing"
        ));
        assert!(refused(refusal(ok, ItemKind::Iso, ""), "no virtual disk"));
        assert!(refused(refusal(ok, disk, "b.qcow2"), "lies on another"));
    }
}
