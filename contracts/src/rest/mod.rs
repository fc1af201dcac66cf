//! The REST types: what the gateway answers and takes as JSON, shared with the CLI.
//!
//! Enumerations are lower-case words, times are RFC 3339, bytes are numbers with the unit in the field's name. A
//! conversion from a message names every field of it, so that a new field does not compile until it has its place here
//! or is passed over in plain sight.
//!
//! Answers grow by addition: a client passes over fields that it does not know. Requests refuse unknown fields by name.

mod enums;
mod event;
mod group;
mod guest_profile;
mod hardware_profile;
mod host;
mod job;
mod library;
mod library_item;
mod page;
mod performance;
mod placement;
mod problem;
mod refresher;
mod request;
mod rule;
mod settings;
mod simulate;
mod status;
mod stored;
mod template;
mod vm;
mod webhook;

pub use enums::boot_numbers;
pub use enums::{
    Approval, Bond, BootDevice, DiskSource, Encryption, Firmware, Goal, HostStatus, IfBusy,
    ItemIdentity, ItemKind, ItemStatus, JobState, Level, RefreshOutcome, RefreshTrigger, StepState,
    Strength, TemplateStatus, Tips, VmOrigin, VmState,
};
pub use event::{Event, ObjectRef, PropertyChange};
pub use group::{EffectiveGroup, EffectiveReserves, GroupSettings, HostGroup, InForce, Reserves};
pub use guest_profile::{GuestProfile, GuestProfileList, GuestUser, SetGuestProfile};
pub use hardware_profile::{HardwareProfile, HardwareProfileList, SetHardwareProfile};
pub use host::{Datastore, Host, HostFacts, HostSettings, ImageFile, Network};
pub use job::{Job, Plan, PlannedStep, Progress, Step};
pub use library::{
    AddLibraryServer, AddLibraryShare, LibraryFound, LibraryLookQuery, LibraryServer,
    LibraryServerList, LibraryShare, LibraryShareList, SkippedFile, UpdateLibraryServer,
};
pub use library_item::{LibraryItem, LibraryItemList, LibraryItemQuery, UpdateLibraryItem};
pub use page::Page;
pub use performance::{
    Figure, History, HistoryQuery, MeasuredKind, Point, Resolution, Top, TopEntry, TopQuery, Usage,
};
pub use placement::{
    Decision, ExpectedLoad, Rating, Ratings, Reason, ResourceRating, Transfer, TransferOption,
};
pub use problem::Problem;
pub use refresher::{Refreshed, Refresher, RefresherInterval, Refreshers, SetRefresher};
pub use request::{
    AddHost, ChangeOptions, CloneVm, ConvertItem, CopyImage, CreateGroup, CreateJoinToken,
    CreateVm, DeleteImage, DeleteOptions, JoinToken, MoveHost, NewDisk, NewNetworkCard, Placing,
    RateRequest, SetGuest, SetThrottle, UpdateGroup, UpdateVm, Weights,
};
pub use rule::{AddRule, Rule, Rules};
pub use settings::{SetGroupSettings, SetHost, SetReserves};
pub use simulate::{
    Bottleneck, Simulate, SimulatedMachines, SimulatedOutcome, SimulatedResource, Simulation,
};
pub use status::{Counts, Status, Versions};
pub use stored::{DeployVm, MakeTemplate, StoreVm};
pub use template::{SetTemplate, Template, TemplateDisk, TemplateList};
pub use vm::{Disk, GuestFacts, Hardware, NetworkCard, Vm};
pub use webhook::{
    CreateWebhook, DeadLetter, DeadLetterList, NewWebhook, Redelivery, UpdateWebhook, Webhook,
    WebhookList, WebhookTest,
};

/// Names of headers that the API adds to those of HTTP.
pub mod headers {
    /// Both ways: the revisions that the client has seen, and those that the answer reflects.
    pub const REVISION: &str = "muster-revision";
    /// Of a request: names the change, so that sending it twice makes it once.
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
    /// Of an answer: "true" when the key named a job that was there already.
    pub const IDEMPOTENCY_REPLAYED: &str = "idempotency-replayed";
    /// Both ways: names one request in logs and problem documents.
    pub const REQUEST_ID: &str = "x-request-id";
    /// Of a piece of a console log: where the next read goes on.
    pub const LOG_NEXT_OFFSET: &str = "x-muster-next-offset";
    /// Of a piece of a console log: how long the log is now.
    pub const LOG_SIZE: &str = "x-muster-log-size";
}

/// Names of the events in server-sent event streams that are not `<kind>.<verb>`.
pub mod sse {
    /// What the client had cannot be continued: it must load everything again.
    pub const RESET: &str = "reset";
    /// A job as it is now.
    pub const JOB: &str = "job";
    /// How far a job has got.
    pub const PROGRESS: &str = "progress";
}

/// A time of a record; 0 is none.
fn time(ms: i64) -> Option<jiff::Timestamp> {
    (ms != 0)
        .then(|| jiff::Timestamp::from_millisecond(ms).ok())
        .flatten()
}

/// An id of a record; empty is none.
fn id(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_unset_value_is_null_and_a_time_is_rfc_3339() {
        assert_eq!(super::time(0), None);
        assert_eq!(
            super::time(1_000).map(|t| t.to_string()).as_deref(),
            Some("1970-01-01T00:00:01Z")
        );
        assert_eq!(super::id(String::new()), None);
    }
}
