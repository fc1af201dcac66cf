//! Which events there are: what subscribers can rely on. The pages below `docs/events` are made from it.

use crate::subjects::buckets;

/// One kind of object whose changes are told.
#[derive(Debug)]
pub struct Described {
    /// As in the subject.
    pub kind: &'static str,
    /// Type of the record before and after.
    pub message: &'static str,
    pub meaning: &'static str,
    /// What the group in the subject is.
    pub group: &'static str,
    pub verbs: &'static [Verb],
}

/// What can happen to an object.
#[derive(Debug)]
pub struct Verb {
    pub name: &'static str,
    pub when: &'static str,
}

const fn verb(name: &'static str, when: &'static str) -> Verb {
    Verb { name, when }
}

/// Every kind that has events, in the order of the documentation.
pub const DESCRIBED: [Described; 13] = [
    Described {
        kind: buckets::VM,
        message: "muster.inventory.v1.Vm",
        meaning: "A virtual machine.",
        group: "The group of the machine's host; `all-hosts` before it is placed.",
        verbs: &[
            verb(
                "created",
                "A job has begun to make a machine, or one was found on a host.",
            ),
            verb(
                "state_changed",
                "It was started, stopped, paused, saved, crashed, or is missing: `state` is another than before. Other \
                 properties may have changed with it.",
            ),
            verb("moved", "It is on another host than before."),
            verb(
                "updated",
                "Anything else that is tracked: owner, tags, hardware, what its guest says, the job that has it.",
            ),
            verb(
                "deleted",
                "It is gone, with its disks, or its host was taken out of the fleet.",
            ),
        ],
    },
    Described {
        kind: buckets::HOST,
        message: "muster.inventory.v1.Host",
        meaning: "A host that runs machines.",
        group: "The host's group.",
        verbs: &[
            verb("created", "A host has registered itself."),
            verb(
                "state_changed",
                "It responds, or does so no longer; or it was approved.",
            ),
            verb("moved", "It is in another group than before."),
            verb(
                "updated",
                "Anything else that is tracked: facts, datastores and their images, the job that has it. Free bytes and CPU \
                 use are not.",
            ),
            verb("deleted", "It was taken out of the fleet."),
        ],
    },
    Described {
        kind: buckets::HOST_GROUP,
        message: "muster.inventory.v1.HostGroup",
        meaning: "A group of hosts, and of groups.",
        group: "The group itself.",
        verbs: &[
            verb("created", "A group was made."),
            verb("moved", "It is in another group than before."),
            verb(
                "updated",
                "Its name, description, reserves or encryption have changed.",
            ),
            verb("deleted", "It is gone."),
        ],
    },
    Described {
        kind: buckets::JOB,
        message: "muster.jobs.v1.Job",
        meaning: "A change of something, from when it is asked for until it has ended. The name is the job's kind.",
        group: "The group of the job's object when the job was submitted.",
        verbs: &[
            verb("created", "Somebody asked for a change, and it was taken."),
            verb(
                "state_changed",
                "It runs, waits, is being undone, or has ended. Its end is one of `SUCCEEDED`, `FAILED`, `CANCELLED` and \
                 `STUCK`.",
            ),
            verb("updated", "A step has begun or ended."),
            verb("deleted", "It was old enough to be forgotten."),
        ],
    },
    Described {
        kind: buckets::REFRESHER,
        message: "muster.refresher.v1.Intervals",
        meaning: "How often one kind of refresh is done. Id and name are those of the kind.",
        group: "`all-hosts`.",
        verbs: &[
            verb(
                "created",
                "Somebody has set an interval of this kind for the first time.",
            ),
            verb("updated", "An interval is another than before."),
            verb(
                "deleted",
                "The intervals that were set are gone; those of the house hold.",
            ),
        ],
    },
    Described {
        kind: buckets::TRANSFER,
        message: "muster.transfer.v1.TransferRecord",
        meaning: "A copy of a file from one host to another. The name is that of the file at the target.",
        group: "The group of the target's host when the copy was asked for.",
        verbs: &[
            verb(
                "created",
                "A job has asked for the copy, and it was queued.",
            ),
            verb(
                "state_changed",
                "It has begun, is tried again, is being removed, or has ended. Its end is one of `SUCCEEDED`, `FAILED` and \
                 `CANCELLED`.",
            ),
            verb(
                "updated",
                "Anything else that is tracked: the limit of its rate, how the hosts are connected. How far it has got is \
                 not.",
            ),
            verb("deleted", "It was old enough to be forgotten."),
        ],
    },
    Described {
        kind: buckets::LIBRARY_SERVER,
        message: "muster.library.v1.Server",
        meaning: "An agent that keeps shares of the library.",
        group: "`all-hosts`.",
        verbs: &[
            verb(
                "created",
                "An agent with the role library has made itself known.",
            ),
            verb("state_changed", "It was taken into the library."),
            verb("updated", "Its name or its folders are others than before."),
            verb("deleted", "It was taken out of the library."),
        ],
    },
    Described {
        kind: buckets::LIBRARY_SHARE,
        message: "muster.library.v1.Share",
        meaning: "A folder of a library server.",
        group: "`all-hosts`.",
        verbs: &[
            verb("created", "A folder was made a share."),
            verb(
                "state_changed",
                "It can be reached no longer, or again: `problem` says why not. All its items are missing as long as there \
                 is one, and have no events of their own for that.",
            ),
            verb(
                "updated",
                "Anything else that is tracked: which files are passed over, how files are recognised.",
            ),
            verb(
                "deleted",
                "It is no share any more; its items are forgotten after it.",
            ),
        ],
    },
    Described {
        kind: buckets::LIBRARY_ITEM,
        message: "muster.library.v1.Item",
        meaning: "A file of a share. The name is its path below the share.",
        group: "`all-hosts`.",
        verbs: &[
            verb("created", "A file was found."),
            verb(
                "state_changed",
                "It is missing, or there again; or somebody has disabled or enabled it. Other properties may have changed \
                 with it.",
            ),
            verb("moved", "It has another path, or is in another share."),
            verb(
                "updated",
                "Anything else that is tracked: the file was written anew, or somebody has described it.",
            ),
            verb("deleted", "It was forgotten, by itself or with its share."),
        ],
    },
    Described {
        kind: buckets::TEMPLATE,
        message: "muster.library.v1.Template",
        meaning: "What machines are made from: disks by reference to the library, a hardware profile, a guest profile. That \
                  it can be used, or no longer, is no change of its own: events of its images tell why.",
        group: "`all-hosts`.",
        verbs: &[
            verb("created", "Somebody has made it."),
            verb("updated", "Somebody has changed it."),
            verb(
                "deleted",
                "Somebody has removed it; machines that were made from it stay.",
            ),
        ],
    },
    Described {
        kind: buckets::HARDWARE_PROFILE,
        message: "muster.library.v1.HardwareProfile",
        meaning: "What machines of a template have: processors, memory, blank disks, network cards.",
        group: "`all-hosts`.",
        verbs: &[
            verb("created", "Somebody has made it."),
            verb("updated", "Somebody has changed it."),
            verb("deleted", "Somebody has removed it; no template used it."),
        ],
    },
    Described {
        kind: buckets::GUEST_PROFILE,
        message: "muster.library.v1.GuestProfile",
        meaning: "How guests of a template are set up. User data is in no event: it may hold passwords. Other user data is \
                  another `user_data_id`.",
        group: "`all-hosts`.",
        verbs: &[
            verb("created", "Somebody has made it."),
            verb("updated", "Somebody has changed it."),
            verb("deleted", "Somebody has removed it; no template used it."),
        ],
    },
    Described {
        kind: buckets::PLACEMENT_RULE,
        message: "muster.placement.v1.Rule",
        meaning: "A rule on where machines run: together, apart, on hosts or not on these.",
        group: "`all-hosts`.",
        verbs: &[
            verb("created", "Somebody has made it; it holds from now on."),
            verb("deleted", "Somebody has removed it."),
        ],
    },
];
