//! What is refused of a copy before anything is changed.

use contracts::data::{FileFacts, FileRef};
use contracts::inventory::{Host, host};
use contracts::library::Share;
use contracts::transfer::transfer_record::Direction;
use contracts::transfer::{DataEndRecord, Endpoint, StartRequest};
use contracts::{Code, ObjectRef, Status, limits, names};

/// The host as an error names it.
pub fn object(host: &Host) -> ObjectRef {
    ObjectRef::new("host", &host.id, &host.name)
}

/// One end of a copy, with everything that it has to name.
pub fn endpoint(field: &str, end: Option<&Endpoint>) -> Result<Endpoint, Status> {
    let end = end.cloned().unwrap_or_default();
    names::check_id(&format!("{field}.host_id"), &end.host_id)?;
    let file = end.file.clone().unwrap_or_default();
    names::check_id(&format!("{field}.file.datastore"), &file.datastore)?;
    if file.path.is_empty() {
        return Err(
            Status::invalid(format!("{field}.file.path"), "No file is named.")
                .action("Name a file below one of the host's datastores."),
        );
    }
    Ok(end)
}

/// Refuses a rate that is too slow; 0 is none.
pub fn check_rate(bytes_per_sec: u64) -> Result<(), Status> {
    if bytes_per_sec == 0 || bytes_per_sec >= limits::TRANSFER_RATE_MIN {
        return Ok(());
    }
    let least = limits::TRANSFER_RATE_MIN >> 10;
    Err(Status::invalid(
        "bytes_per_sec",
        format!("A transfer cannot go slower than {least} KiB/s."),
    )
    .action("Use a higher rate, or 0 for as fast as it goes."))
}

/// Who dials: the target, unless only the source can.
pub fn direction(
    from: &Host,
    from_end: &DataEndRecord,
    to: &Host,
    to_end: &DataEndRecord,
) -> Result<Direction, Status> {
    for host in [from, to] {
        if host.status() != host::Status::Responding {
            let message = format!("Host {} does not respond.", host.name);
            return Err(Status::unavailable(message)
                .about(object(host))
                .action("Bring the host and its agent back, then try again."));
        }
    }
    match (from_end.address.as_str(), to_end.address.as_str()) {
        ("", "") if from.id != to.id => {
            let message = format!(
                "Neither host {} nor host {} can be dialled.",
                from.name, to.name
            );
            Err(Status::precondition(message)
                .about(object(to))
                .action("Set data_listen on one of them."))
        }
        ("", _) => Ok(Direction::Push),
        _ => Ok(Direction::Pull),
    }
}

/// Refuses a source that is another than the caller has looked at.
pub fn check_source(
    request: &StartRequest,
    source: &Endpoint,
    facts: &FileFacts,
) -> Result<(), Status> {
    let stamp = facts.stamp.unwrap_or_default();
    let is_other = |wanted: i64, there: i64| wanted != 0 && wanted != there;
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    if !is_other(bytes(request.source_bytes), bytes(facts.size_bytes))
        && !is_other(request.source_modified_ms, stamp.modified_ns / 1_000_000)
    {
        return Ok(());
    }
    let path = file_name(source);
    let message = format!("File {path} has changed since it was looked at.");
    Err(Status::precondition(message)
        .about(ObjectRef::new("file", &path, &path))
        .action("Wait until the library has seen the change, then ask anew."))
}

/// What inventory knows of the target. The host itself looks again before it begins.
pub fn check_room(host: &Host, target: &Endpoint, facts: &FileFacts) -> Result<(), Status> {
    let file = target.file.clone().unwrap_or_default();
    let known = host.facts.clone().unwrap_or_default();
    let datastore = known
        .datastores
        .into_iter()
        .find(|d| d.name == file.datastore);
    let Some(datastore) = datastore else {
        let message = format!("Host {} has no datastore {}.", host.name, file.datastore);
        return Err(Status::new(Code::NotFound, message)
            .about(object(host))
            .action("List the host's datastores."));
    };
    let image = file.path.strip_prefix("images/");
    if image.is_some_and(|image| datastore.images.iter().any(|known| known.name == image)) {
        let path = file_name(target);
        let message = format!("Host {} has a file {path} already.", host.name);
        return Err(
            Status::already_exists(ObjectRef::new("file", &path, &path), message)
                .action("Choose another name, or remove that file."),
        );
    }
    if datastore.capacity_bytes > 0 && datastore.free_bytes < facts.allocated_bytes {
        let message = format!(
            "Datastore {} of host {} has {} MiB free, and the file needs {} MiB.",
            datastore.name,
            host.name,
            datastore.free_bytes >> 20,
            facts.allocated_bytes >> 20
        );
        return Err(Status::new(Code::ResourceExhausted, message)
            .about(object(host))
            .action("Free room on it, or use another datastore."));
    }
    Ok(())
}

/// A share that a file is to come into. Where in it, and whether there is room, its library server says when it begins.
pub fn check_share(share: &Share) -> Result<(), Status> {
    if share.problem.is_empty() {
        return Ok(());
    }
    let message = format!("Share {} cannot be used: {}", share.name, share.problem);
    Err(Status::precondition(message)
        .about(ObjectRef::new("library_share", &share.id, &share.name))
        .action("Bring the share back, then try again."))
}

/// `<datastore>/<path>`.
pub fn file_name(end: &Endpoint) -> String {
    let FileRef { datastore, path } = end.file.clone().unwrap_or_default();
    format!("{datastore}/{path}")
}

#[cfg(test)]
mod tests {
    use contracts::host::{Datastore, HostFacts, ImageFile};

    use super::*;

    fn host(id: &str) -> Host {
        let datastore = Datastore {
            name: "ds".to_owned(),
            capacity_bytes: 100,
            free_bytes: 50,
            images: vec![ImageFile {
                name: "there.raw".to_owned(),
                file_bytes: 1,
            }],
            ..Datastore::default()
        };
        Host {
            id: id.to_owned(),
            status: host::Status::Responding.into(),
            facts: Some(HostFacts {
                datastores: vec![datastore],
                ..HostFacts::default()
            }),
            ..Host::default()
        }
    }

    #[test]
    fn who_dials_depends_on_who_can_be_dialled() {
        let end = |address: &str| DataEndRecord {
            address: address.to_owned(),
            ..DataEndRecord::default()
        };
        let (one, other) = (host("h1"), host("h2"));
        let dials = |from: &str, to: &str| direction(&one, &end(from), &other, &end(to)).ok();
        assert_eq!(dials("a:1", ""), Some(Direction::Pull));
        assert_eq!(dials("", "b:1"), Some(Direction::Push));
        assert_eq!(dials("", ""), None);
        let silent = Host {
            status: host::Status::NotResponding.into(),
            ..host("h2")
        };
        assert!(direction(&one, &end("a:1"), &silent, &end("b:1")).is_err());
    }

    #[test]
    fn what_has_no_place_at_the_target_is_refused() {
        let refused = |datastore: &str, path: &str, allocated_bytes: u64| {
            let target = Endpoint::new("h1", FileRef::new(datastore, path));
            let facts = FileFacts {
                allocated_bytes,
                ..FileFacts::default()
            };
            check_room(&host("h1"), &target, &facts)
                .err()
                .map(|e| e.code())
        };
        assert_eq!(refused("ds", "images/new.raw", 50), None);
        assert_eq!(refused("no", "images/new.raw", 1), Some(Code::NotFound));
        assert_eq!(
            refused("ds", "images/there.raw", 1),
            Some(Code::AlreadyExists)
        );
        assert_eq!(
            refused("ds", "images/new.raw", 51),
            Some(Code::ResourceExhausted)
        );
    }

    #[test]
    fn a_share_that_cannot_be_reached_gets_nothing() {
        let mut share = Share {
            name: "images".to_owned(),
            ..Share::default()
        };
        assert!(check_share(&share).is_ok());
        "It is not mounted.".clone_into(&mut share.problem);
        let refusal = check_share(&share).unwrap_err();
        assert!(
            refusal.message.contains("images cannot be used: It is not"),
            "{refusal}"
        );
    }

    #[test]
    fn a_source_that_has_changed_is_refused() {
        let facts = FileFacts {
            size_bytes: 7,
            stamp: Some(contracts::data::FileStamp {
                modified_ns: 5_999_999,
                ..contracts::data::FileStamp::default()
            }),
            ..FileFacts::default()
        };
        let refused = |source_bytes, source_modified_ms| {
            let request = StartRequest {
                source_bytes,
                source_modified_ms,
                ..StartRequest::default()
            };
            check_source(&request, &Endpoint::default(), &facts).is_err()
        };
        assert!(!refused(0, 0) && !refused(7, 5));
        assert!(refused(8, 5) && refused(7, 6));
    }

    #[test]
    fn a_rate_is_none_or_fast_enough() {
        assert!(check_rate(0).is_ok() && check_rate(limits::TRANSFER_RATE_MIN).is_ok());
        assert!(check_rate(1).is_err());
    }
}
