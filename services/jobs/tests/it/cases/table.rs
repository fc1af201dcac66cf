//! The table of cases: of each kind its steps, and where it leads back.

use super::{CLONE, Case, IMPORT, STORED, TEMPLATE};

const POWER: Case = Case {
    kind: "",
    steps: &[],
    undoable: &[],
    closing: &["release"],
    irrevocable: None,
    way: "",
};

pub(crate) const CASES: [Case; 28] = [
    Case {
        kind: "vm_create",
        steps: &[
            "record", "place", "assign", "disks", "report", "start", "guest", "claim", "release",
        ],
        undoable: &["record", "place", "disks", "start"],
        closing: &["claim", "release"],
        ..POWER
    },
    Case {
        kind: "vm_create",
        steps: &[
            "record", "place", "assign", "image", "disks", "report", "start", "guest", "claim",
            "release",
        ],
        undoable: &["record", "place", "image", "disks", "start"],
        closing: &["claim", "release"],
        way: TEMPLATE,
        ..POWER
    },
    Case {
        kind: "vm_create",
        steps: &[
            "record", "place", "assign", "disks", "report", "start", "claim", "release",
        ],
        undoable: &["record", "place", "disks", "start"],
        closing: &["claim", "release"],
        way: CLONE,
        ..POWER
    },
    Case {
        kind: "vm_create",
        steps: &[
            "record", "place", "assign", "receive", "disks", "report", "start", "claim", "release",
        ],
        undoable: &["record", "place", "receive", "disks", "start"],
        closing: &["claim", "release"],
        way: STORED,
        ..POWER
    },
    Case {
        kind: "vm_create",
        steps: &[
            "record", "place", "assign", "receive", "disks", "report", "start", "claim", "release",
        ],
        undoable: &["record", "place", "receive", "disks", "start"],
        closing: &["claim", "release"],
        way: IMPORT,
        ..POWER
    },
    Case {
        kind: "vm_store",
        steps: &[
            "take", "pack", "folder", "send", "name", "disks", "forget", "keep", "release",
        ],
        undoable: &["take", "pack", "folder", "send"],
        closing: &["keep", "release"],
        irrevocable: Some("disks"),
        ..POWER
    },
    Case {
        kind: "vm_store",
        steps: &[
            "take", "pack", "folder", "send", "name", "items", "profile", "template", "keep",
            "release",
        ],
        undoable: &["take", "pack", "folder", "send", "profile", "template"],
        closing: &["keep", "release"],
        way: TEMPLATE,
        ..POWER
    },
    Case {
        kind: "vm_delete",
        steps: &["take", "turn_off", "disks", "forget", "release"],
        undoable: &["take"],
        irrevocable: Some("disks"),
        ..POWER
    },
    Case {
        kind: "vm_start",
        steps: &["take", "start", "release"],
        undoable: &["take", "start"],
        ..POWER
    },
    Case {
        kind: "vm_shutdown",
        steps: &["take", "shutdown", "release"],
        undoable: &["take"],
        ..POWER
    },
    Case {
        kind: "vm_turn_off",
        steps: &["take", "turn_off", "release"],
        undoable: &["take"],
        irrevocable: Some("turn_off"),
        ..POWER
    },
    Case {
        kind: "vm_reset",
        steps: &["take", "reset", "release"],
        undoable: &["take"],
        irrevocable: Some("reset"),
        ..POWER
    },
    Case {
        kind: "vm_pause",
        steps: &["take", "pause", "release"],
        undoable: &["take", "pause"],
        ..POWER
    },
    Case {
        kind: "vm_resume",
        steps: &["take", "resume", "release"],
        undoable: &["take", "resume"],
        ..POWER
    },
    Case {
        kind: "vm_save",
        steps: &["take", "save", "release"],
        undoable: &["take", "save"],
        ..POWER
    },
    Case {
        kind: "vm_update",
        steps: &["take", "update", "release"],
        undoable: &["take", "update"],
        ..POWER
    },
    Case {
        kind: "host_add",
        steps: &["take", "approve", "release"],
        undoable: &["take", "approve"],
        ..POWER
    },
    Case {
        kind: "host_remove",
        steps: &["take", "remove", "release"],
        undoable: &["take"],
        irrevocable: Some("remove"),
        ..POWER
    },
    Case {
        kind: "host_move",
        steps: &["take", "move", "release"],
        undoable: &["take", "move"],
        ..POWER
    },
    Case {
        kind: "host_set",
        steps: &["take", "set", "release"],
        undoable: &["take", "set"],
        ..POWER
    },
    Case {
        kind: "group_create",
        steps: &["group", "release"],
        undoable: &["group"],
        ..POWER
    },
    Case {
        kind: "group_update",
        steps: &["take", "update", "release"],
        undoable: &["take", "update"],
        ..POWER
    },
    Case {
        kind: "group_delete",
        steps: &["take", "delete", "release"],
        undoable: &["take"],
        irrevocable: Some("delete"),
        ..POWER
    },
    Case {
        kind: "refresh",
        steps: &["refresh"],
        undoable: &[],
        closing: &[],
        ..POWER
    },
    Case {
        kind: "refresher_set",
        steps: &["set"],
        undoable: &["set"],
        closing: &[],
        ..POWER
    },
    Case {
        kind: "image_copy",
        steps: &["copy"],
        undoable: &["copy"],
        closing: &[],
        ..POWER
    },
    Case {
        kind: "image_delete",
        steps: &["remove"],
        undoable: &[],
        closing: &[],
        irrevocable: Some("remove"),
        ..POWER
    },
    Case {
        kind: "item_convert",
        steps: &["convert", "keep"],
        undoable: &["convert"],
        closing: &["keep"],
        ..POWER
    },
];
