//! Which datastore of a host gets the images of a machine.

use contracts::host::Datastore;
use contracts::inventory::Host;
use contracts::{Code, ObjectRef, Status};

/// The one that is named; else the one that has an image already; else the largest that has room. Never the one with most
/// room: that is another from job to job, and each would fetch the same image for itself.
pub(crate) fn choose<'a>(
    host: &'a Host,
    wanted: &str,
    files: &[&str],
    bytes: u64,
) -> Result<&'a str, Status> {
    let known = host
        .facts
        .as_ref()
        .map_or(&[][..], |facts| &facts.datastores);
    if !wanted.is_empty() {
        let named = known.iter().find(|d| d.name == wanted);
        let unknown = || {
            let message = format!("Host {} has no datastore {wanted}.", host.name);
            Status::new(Code::NotFound, message)
                .about(ObjectRef::new("host", &host.id, &host.name))
                .action("List the host's datastores, or leave the choice to Muster.")
        };
        return Ok(&named.ok_or_else(unknown)?.name);
    }
    let has_one = |d: &&Datastore| d.images.iter().any(|i| files.contains(&i.name.as_str()));
    let with_room = || {
        let fits = |d: &&Datastore| d.problem.is_empty() && d.free_bytes >= bytes;
        let size = |d: &&Datastore| (d.capacity_bytes, std::cmp::Reverse(d.name.clone()));
        known.iter().filter(fits).max_by_key(size)
    };
    let chosen = known.iter().find(has_one).or_else(with_room);
    let full = || {
        let message = format!(
            "No datastore of host {} has {} MiB free.",
            host.name,
            bytes.div_ceil(1 << 20)
        );
        Status::new(Code::ResourceExhausted, message)
            .about(ObjectRef::new("host", &host.id, &host.name))
            .action("Free room on the host, or name another one.")
    };
    Ok(&chosen.ok_or_else(full)?.name)
}

#[cfg(test)]
mod tests {
    use contracts::host::{HostFacts, ImageFile};

    use super::*;

    fn host() -> Host {
        let datastore = |name: &str, capacity_bytes, free_bytes, image: &str| Datastore {
            name: name.to_owned(),
            capacity_bytes,
            free_bytes,
            images: vec![ImageFile {
                name: image.to_owned(),
                file_bytes: 1,
            }],
            ..Datastore::default()
        };
        Host {
            facts: Some(HostFacts {
                datastores: vec![
                    datastore("small", 50, 50, "a.raw"),
                    datastore("large", 100, 40, "b.raw"),
                ],
                ..HostFacts::default()
            }),
            ..Host::default()
        }
    }

    #[test]
    fn every_job_chooses_the_same_while_there_is_room() {
        let host = host();
        let choose = |wanted: &str, file: &str, bytes| choose(&host, wanted, &[file], bytes);
        assert_eq!(choose("", "new.raw", 40).ok(), Some("large"));
        assert_eq!(choose("", "new.raw", 45).ok(), Some("small"));
        assert_eq!(choose("", "a.raw", 1).ok(), Some("small"));
        assert_eq!(choose("large", "a.raw", 1).ok(), Some("large"));
        assert_eq!(
            choose("none", "a.raw", 1).unwrap_err().code(),
            Code::NotFound
        );
        let full = choose("", "new.raw", 51).unwrap_err();
        assert_eq!(full.code(), Code::ResourceExhausted);
    }
}
