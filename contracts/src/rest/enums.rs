//! Enumerations as lower-case words.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{data, host, inventory, jobs, library, placement, refresher};

/// An enumeration of a message as a word: the conversion is exhaustive, the word is the same in JSON and in a table.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident from $message:ty {
        $($(#[$variant_doc:meta])* $variant:ident = $number:ident => $word:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word that JSON has for it.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl From<$message> for $name {
            fn from(value: $message) -> Self {
                match value {
                    $(<$message>::$number => Self::$variant,)*
                }
            }
        }

        impl From<$name> for $message {
            fn from(value: $name) -> Self {
                match value {
                    $($name::$variant => Self::$number,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

words! {
    /// What a machine starts with.
    #[derive(Default)]
    Firmware from host::Firmware {
        #[default]
        Bios = Unspecified => "bios",
        Uefi = Uefi => "uefi",
    }
}

words! {
    /// What a machine is started from.
    BootDevice from host::BootDevice {
        Unknown = Unspecified => "unknown",
        /// Its disks, in their order.
        Disk = Disk => "disk",
        /// Its network cards, in their order, by PXE.
        Network = Network => "network",
    }
}

words! {
    /// What a file of the library is.
    ItemKind from library::ItemKind {
        Unknown = Unspecified => "unknown",
        VirtualDisk = VirtualDisk => "virtual_disk",
        Iso = Iso => "iso",
        Floppy = Floppy => "floppy",
        Script = Script => "script",
        /// cloud-init user data, sysprep answers.
        AnswerFile = AnswerFile => "answer_file",
        Ovf = Ovf => "ovf",
        Ova = Ova => "ova",
        /// The definition of a machine whose disks lie beside it.
        StoredVm = StoredVm => "stored_vm",
        /// The definition of a machine as libvirt writes it, whose disks lie beside it.
        LibvirtDomain = LibvirtDomain => "libvirt_domain",
    }
}

words! {
    /// How a file of the library stands.
    ItemStatus from library::ItemStatus {
        Unknown = Unspecified => "unknown",
        Ok = Ok => "ok",
        /// Somebody does not want it used.
        Disabled = Disabled => "disabled",
        /// The file is not there.
        Missing = Missing => "missing",
        /// The file was changed while it was copied to a host, and nobody has said yet that it is fine as it is now.
        ChangedInUse = ChangedInUse => "changed_in_use",
    }
}

words! {
    /// Whether machines can be made from a template.
    TemplateStatus from library::TemplateStatus {
        Unknown = Unspecified => "unknown",
        Ok = Ok => "ok",
        /// None can be made now.
        Unusable = Unusable => "unusable",
    }
}

words! {
    /// How a file of the library is recognised.
    ItemIdentity from library::Identity {
        Unknown = Unspecified => "unknown",
        /// By an id in its extended attribute.
        Attribute = Attribute => "attribute",
        /// By its content, since the share keeps no extended attributes.
        Content = Content => "content",
    }
}

words! {
    /// What a virtual machine is doing.
    VmState from host::VmState {
        Unknown = Unspecified => "unknown",
        /// Disks and definition are being made.
        Creating = Creating => "creating",
        Stopped = Stopped => "stopped",
        Starting = Starting => "starting",
        Running = Running => "running",
        Paused = Paused => "paused",
        Saving = Saving => "saving",
        /// Memory and devices are on disk.
        Saved = Saved => "saved",
        Stopping = Stopping => "stopping",
        /// The guest's kernel panicked.
        Crashed = Crashed => "crashed",
        Deleting = Deleting => "deleting",
        /// The record is there, the host says that the machine is not.
        Missing = Missing => "missing",
        /// Its host does not respond, so nobody knows what it does.
        HostNotResponding = HostNotResponding => "host_not_responding",
    }
}

words! {
    /// How a virtual machine came to be known.
    VmOrigin from inventory::vm::Origin {
        Unknown = Unspecified => "unknown",
        Created = Created => "created",
        /// Found on its host.
        Imported = Imported => "imported",
    }
}

words! {
    /// What a disk is made from.
    DiskSource from host::disk::Source {
        Unknown = Unspecified => "unknown",
        /// Copy-on-write overlay on the image: instant, the image must stay.
        Overlay = Overlay => "overlay",
        /// A whole copy of the image.
        Copy = Copy => "copy",
        Blank = Blank => "blank",
    }
}

words! {
    /// Whether a host may run machines.
    Approval from inventory::host::Approval {
        Unknown = Unspecified => "unknown",
        /// Waits for an administrator.
        Pending = Pending => "pending",
        Approved = Approved => "approved",
    }
}

words! {
    /// Whether a host is heard of.
    HostStatus from inventory::host::Status {
        Unknown = Unspecified => "unknown",
        Responding = Responding => "responding",
        NotResponding = NotResponding => "not_responding",
    }
}

words! {
    /// How files travel between hosts.
    #[derive(Default)]
    Encryption from data::Encryption {
        /// As the group above says; encrypted where none says.
        #[default]
        Inherit = Unspecified => "inherit",
        /// TLS 1.3.
        Tls = Tls => "tls",
        /// As they are, where the groups of both hosts say so.
        Plain = Plain => "plain",
    }
}

words! {
    /// Where a job stands.
    JobState from jobs::JobState {
        Unknown = Unspecified => "unknown",
        /// Wants a runner.
        Queued = Queued => "queued",
        /// Another job has the object.
        Waiting = Waiting => "waiting",
        Running = Running => "running",
        /// Finished steps are being undone.
        Undoing = Undoing => "undoing",
        Succeeded = Succeeded => "succeeded",
        /// Failed, and everything that was done is undone.
        Failed = Failed => "failed",
        Cancelled = Cancelled => "cancelled",
        /// Could not be undone: a person must look.
        Stuck = Stuck => "stuck",
    }
}

impl JobState {
    /// Whether nothing more happens to the job by itself.
    pub fn is_final(self) -> bool {
        jobs::JobState::from(self).is_final()
    }
}

words! {
    /// Where one step of a job stands.
    StepState from jobs::step::State {
        Unknown = Unspecified => "unknown",
        Pending = Pending => "pending",
        Running = Running => "running",
        Done = Done => "done",
        Failed = Failed => "failed",
        Undoing = Undoing => "undoing",
        Undone = Undone => "undone",
        UndoFailed = UndoFailed => "undo_failed",
    }
}

words! {
    /// How a refresh ended.
    RefreshOutcome from refresher::Outcome {
        Unknown = Unspecified => "unknown",
        Unchanged = Unchanged => "unchanged",
        Changed = Changed => "changed",
        Failed = Failed => "failed",
    }
}

words! {
    /// Why something was refreshed.
    RefreshTrigger from refresher::Trigger {
        Unknown = Unspecified => "unknown",
        /// It was due.
        Schedule = Schedule => "schedule",
        /// Somebody asked for it.
        Manual = Manual => "manual",
    }
}

words! {
    /// What to do when another job has the object.
    #[derive(Default)]
    IfBusy from jobs::submit_request::IfBusy {
        /// The job waits its turn.
        #[default]
        Wait = Wait => "wait",
        /// The request is refused.
        Refuse = Refuse => "refuse",
    }
}

words! {
    /// The weight of tips.
    Tips from inventory::group_settings::Tips {
        Unknown = Unspecified => "unknown",
        Critical = Critical => "critical",
        Warning = Warning => "warning",
        None = None => "none",
    }
}

words! {
    /// Which end of the scale a placement wants.
    Goal from placement::Goal {
        /// The site's.
        Default = Unspecified => "default",
        /// The host with most left.
        Balance = Balance => "balance",
        /// The fullest host that still fits.
        Maximise = Maximise => "maximise",
    }
}

words! {
    /// What a rule of placement asks for.
    Bond from placement::rule::Bond {
        Unknown = Unspecified => "unknown",
        /// The machines are in one domain.
        Together = Together => "together",
        /// No two machines are in one domain.
        Apart = Apart => "apart",
        /// The machines are on these hosts.
        On = On => "on",
        /// The machines are on none of these hosts.
        NotOn = NotOn => "not_on",
    }
}

words! {
    /// What a broken rule costs.
    Strength from placement::rule::Strength {
        Unknown = Unspecified => "unknown",
        /// All stars.
        Must = Must => "must",
        /// Some.
        Should = Should => "should",
    }
}

words! {
    /// How wide the domain of a rule is.
    Level from placement::rule::Level {
        Unknown = Unspecified => "unknown",
        Host = Host => "host",
        Rack = Rack => "rack",
        Room = Room => "room",
    }
}

impl Firmware {
    pub fn is_bios(&self) -> bool {
        *self == Self::Bios
    }
}

/// As messages have it.
pub fn boot_numbers(order: &[BootDevice]) -> Vec<i32> {
    let numbers = order
        .iter()
        .map(|device| host::BootDevice::from(*device).into());
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};

    use super::*;

    fn check<'de, T: Deserialize<'de> + PartialEq + fmt::Debug>(words: Vec<(T, &'de str)>) {
        for (value, word) in words {
            let read: StrDeserializer<'de, Error> = word.into_deserializer();
            assert_eq!(T::deserialize(read).ok(), Some(value), "{word}");
        }
    }

    #[test]
    fn a_table_shows_the_word_that_json_has() {
        check(VmState::ALL.iter().map(|v| (*v, v.word())).collect());
        check(VmOrigin::ALL.iter().map(|v| (*v, v.word())).collect());
        check(DiskSource::ALL.iter().map(|v| (*v, v.word())).collect());
        check(Approval::ALL.iter().map(|v| (*v, v.word())).collect());
        check(HostStatus::ALL.iter().map(|v| (*v, v.word())).collect());
        check(Encryption::ALL.iter().map(|v| (*v, v.word())).collect());
        check(JobState::ALL.iter().map(|v| (*v, v.word())).collect());
        check(StepState::ALL.iter().map(|v| (*v, v.word())).collect());
        check(RefreshOutcome::ALL.iter().map(|v| (*v, v.word())).collect());
        check(RefreshTrigger::ALL.iter().map(|v| (*v, v.word())).collect());
        check(IfBusy::ALL.iter().map(|v| (*v, v.word())).collect());
        check(Tips::ALL.iter().map(|v| (*v, v.word())).collect());
        check(Goal::ALL.iter().map(|v| (*v, v.word())).collect());
        check(Bond::ALL.iter().map(|v| (*v, v.word())).collect());
        check(Strength::ALL.iter().map(|v| (*v, v.word())).collect());
        check(Level::ALL.iter().map(|v| (*v, v.word())).collect());
    }
}
