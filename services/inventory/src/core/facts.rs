//! Whether what a host says of itself can be true.

use contracts::Status;
use contracts::host::{Datastore, HostFacts};

/// Datastores of one host.
pub const DATASTORES_MAX: usize = 64;

/// Image files of one datastore that are listed.
const IMAGES_MAX: usize = 10_000;

/// Characters of a name, a version and the like.
pub const WORD_CHARS_MAX: usize = 256;

/// Characters of a path or an explanation.
const SENTENCE_CHARS_MAX: usize = 4_096;

/// Processors of one host; no machine that there is has more.
const CPUS_MAX: u32 = 65_536;

/// Networks or CPU features of one host.
const LIST_MAX: usize = 4_096;

/// Operations or Mbit a second; no host has as many.
const RATE_MAX: f64 = 1e12;

/// 1 EiB: more memory or storage than a host can have.
pub const BYTES_MAX: u64 = 1 << 60;

/// Refuses facts that cannot be true, naming the first that cannot.
pub fn check(facts: &HostFacts) -> Result<(), Status> {
    let words = [
        ("facts.hostname", &facts.hostname),
        ("facts.os", &facts.os),
        ("facts.kernel", &facts.kernel),
        ("facts.agent_version", &facts.agent_version),
        ("facts.hypervisor", &facts.hypervisor),
        ("facts.hypervisor_version", &facts.hypervisor_version),
        ("facts.accelerator", &facts.accelerator),
        ("facts.cpu_model", &facts.cpu_model),
        ("facts.platform", &facts.platform),
        ("facts.other_virtualization", &facts.other_virtualization),
    ];
    for (field, text) in words {
        check_text(field, text, WORD_CHARS_MAX)?;
    }
    for (field, text) in [
        ("facts.accelerator_reason", &facts.accelerator_reason),
        ("facts.confinement", &facts.confinement),
    ] {
        check_text(field, text, SENTENCE_CHARS_MAX)?;
    }
    check_numbers(facts)?;
    check_lists(facts)?;
    check_datastores(&facts.datastores)
}

fn check_numbers(facts: &HostFacts) -> Result<(), Status> {
    check_that(facts.cpus <= CPUS_MAX, "facts.cpus", facts.cpus)?;
    for (field, bytes) in [
        ("facts.memory_bytes", facts.memory_bytes),
        ("facts.memory_used_bytes", facts.memory_used_bytes),
        ("facts.memory_overhead_bytes", facts.memory_overhead_bytes),
    ] {
        check_that(bytes <= BYTES_MAX, field, bytes)?;
    }
    for (field, rate) in [
        ("facts.disk_io_per_sec", facts.disk_io_per_sec),
        ("facts.network_mbit", facts.network_mbit),
    ] {
        check_that((0.0..=RATE_MAX).contains(&rate), field, rate)?;
    }
    let percent = facts.cpu_used_percent;
    check_that(
        (0.0..=100.0).contains(&percent),
        "facts.cpu_used_percent",
        percent,
    )
}

fn check_lists(facts: &HostFacts) -> Result<(), Status> {
    let count = facts.networks.len().max(facts.cpu_features.len());
    check_that(count <= LIST_MAX, "facts.networks", count)?;
    let names = facts.networks.iter().flat_map(|n| [&n.name, &n.location]);
    for name in names.chain(&facts.cpu_features) {
        check_text("facts.networks", name, WORD_CHARS_MAX)?;
    }
    Ok(())
}

fn check_datastores(datastores: &[Datastore]) -> Result<(), Status> {
    let count = datastores.len();
    check_that(count <= DATASTORES_MAX, "facts.datastores", count)?;
    for datastore in datastores {
        check_text("facts.datastores.name", &datastore.name, WORD_CHARS_MAX)?;
        check_text("facts.datastores.path", &datastore.path, SENTENCE_CHARS_MAX)?;
        let problem = &datastore.problem;
        check_text("facts.datastores.problem", problem, SENTENCE_CHARS_MAX)?;
        let capacity = datastore.capacity_bytes;
        check_that(
            capacity <= BYTES_MAX,
            "facts.datastores.capacity_bytes",
            capacity,
        )?;
        let free = datastore.free_bytes;
        check_that(free <= capacity, "facts.datastores.free_bytes", free)?;
        let images = datastore.images.len();
        check_that(images <= IMAGES_MAX, "facts.datastores.images", images)?;
        for image in &datastore.images {
            check_text("facts.datastores.images.name", &image.name, WORD_CHARS_MAX)?;
        }
    }
    Ok(())
}

/// Refuses a text that is too long for what it is.
pub fn check_text(field: &str, text: &str, chars_max: usize) -> Result<(), Status> {
    if text.len() <= chars_max {
        return Ok(());
    }
    Err(Status::invalid(
        field,
        format!("{field} has {} bytes, more than {chars_max}.", text.len()),
    )
    .action("Update the agent; it sends what cannot be right."))
}

pub fn check_that(holds: bool, field: &str, value: impl std::fmt::Display) -> Result<(), Status> {
    if holds {
        return Ok(());
    }
    Err(
        Status::invalid(field, format!("{field} cannot be {value}."))
            .action("Update the agent; it sends what cannot be right."),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_that_no_host_has_are_refused_by_name() {
        for percent in [-1.0, 100.5, f64::NAN, f64::INFINITY] {
            let facts = HostFacts {
                cpu_used_percent: percent,
                ..HostFacts::default()
            };
            assert_eq!(check(&facts).unwrap_err().field, "facts.cpu_used_percent");
        }
        let facts = HostFacts {
            memory_bytes: u64::MAX,
            ..HostFacts::default()
        };
        assert_eq!(check(&facts).unwrap_err().field, "facts.memory_bytes");
    }

    #[test]
    fn no_host_has_sixty_five_datastores_or_a_novel_for_a_name() {
        let facts = HostFacts {
            datastores: vec![Datastore::default(); DATASTORES_MAX + 1],
            ..HostFacts::default()
        };
        assert_eq!(check(&facts).unwrap_err().field, "facts.datastores");
        let facts = HostFacts {
            hostname: "x".repeat(300),
            ..HostFacts::default()
        };
        assert_eq!(check(&facts).unwrap_err().field, "facts.hostname");
    }
}
