//! Every reader of bytes, with samples of what it really reads.

mod clients;
mod host;
mod library;
mod placing;
mod programs;
mod sockets;

use contracts::{Code, Status};

use crate::Target;

macro_rules! targets {
    ($($module:ident::$name:ident,)*) => {
        &[$(Target {
            name: stringify!($name),
            samples: $module::samples::$name,
            run: $module::$name,
        }),*]
    };
}

pub const TARGETS: &[Target] = targets![
    sockets::qmp_session,
    sockets::guest_session,
    host::qmp_line,
    host::image_header,
    host::image_reports,
    host::definition,
    library::stored,
    library::package,
    library::archive,
    clients::rest_bodies,
    clients::rest_lists,
    programs::messages,
    programs::reports,
    programs::requests,
    programs::headers,
    placing::placements,
];

/// What a person would say of a refusal: it is theirs to mend, and it says what and how.
fn is_clear(status: &Status) -> Result<(), String> {
    let is_theirs = matches!(
        status.code(),
        Code::InvalidArgument | Code::FailedPrecondition | Code::NotFound | Code::AlreadyExists
    );
    if !is_theirs || status.message.is_empty() || status.recommended_action.is_empty() {
        return Err(format!("the refusal is not clear: {status:?}"));
    }
    if status.message.len() > 4_000 {
        return Err(format!("the refusal has {} bytes", status.message.len()));
    }
    Ok(())
}

fn promise(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}
