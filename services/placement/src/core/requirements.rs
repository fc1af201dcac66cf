//! What a machine needs: whether it can be at all.

use contracts::placement::Requirements;
use contracts::{Status, limits, names};

/// One for each disk, and each could be made from a chain.
const IMAGES_MAX: usize = 64;

/// A datastore's name and a file's.
const IMAGE_CHARS_MAX: usize = 512;

/// Names of one kind that one machine may ask for; a processor has some two hundred features.
const WORDS_MAX: usize = 1_000;

/// Refuses what no machine can need.
pub fn check(needs: Option<&Requirements>) -> Result<&Requirements, Status> {
    let needs = needs.ok_or_else(|| {
        Status::invalid(
            "requirements",
            "The request does not say what the machine needs.",
        )
        .action("Give at least virtual processors and memory.")
    })?;
    let vcpus = needs.vcpus;
    if !(1..=limits::VCPUS_MAX).contains(&vcpus) {
        let action = format!("Use 1 to {}.", limits::VCPUS_MAX);
        return Err(wrong(
            "vcpus",
            format!("A machine cannot have {vcpus} virtual processors."),
            action,
        ));
    }
    let memory = needs.memory_bytes;
    if !(limits::VM_MEMORY_BYTES_MIN..=limits::VM_MEMORY_BYTES_MAX).contains(&memory) {
        let message = format!("A machine cannot have {memory} bytes of memory.");
        return Err(wrong(
            "memory_bytes",
            message,
            "Use 16 MiB to 16 TiB.".to_owned(),
        ));
    }
    let percent = needs.expected_cpu_percent.unwrap_or(0.0);
    if !(0.0..=100.0).contains(&percent) {
        let message = format!("A machine cannot use {percent} % of its processors.");
        return Err(wrong(
            "expected_cpu_percent",
            message,
            "Use 0 to 100.".to_owned(),
        ));
    }
    check_images(&needs.images)?;
    check_expected(needs)?;
    check_words(needs)?;
    Ok(needs)
}

fn check_expected(needs: &Requirements) -> Result<(), Status> {
    for (field, expected) in [
        ("expected_disk_io_per_sec", needs.expected_disk_io_per_sec),
        ("expected_network_mbit", needs.expected_network_mbit),
    ] {
        let expected = expected.unwrap_or(0.0);
        if !(0.0..=limits::EXPECTED_LOAD_MAX).contains(&expected) {
            let message = format!("A machine cannot be expected to need {expected}.");
            let action = format!("Use 0 to {}.", limits::EXPECTED_LOAD_MAX);
            return Err(wrong(field, message, action));
        }
    }
    Ok(())
}

/// Names and tags: few, and none without end.
fn check_words(needs: &Requirements) -> Result<(), Status> {
    for (field, words) in [
        ("networks", &needs.networks),
        ("cpu_features", &needs.cpu_features),
        ("host_tags", &needs.host_tags),
        ("datastore_tags", &needs.datastore_tags),
        ("possible_host_ids", &needs.possible_host_ids),
        ("preferred_host_ids", &needs.preferred_host_ids),
    ] {
        if words.len() > WORDS_MAX {
            let message = format!("{} {field} are too many for one machine.", words.len());
            return Err(wrong(field, message, format!("Use at most {WORDS_MAX}.")));
        }
        check_chars(field, words.iter())?;
    }
    check_chars("platform", [&needs.platform].into_iter())?;
    check_chars("accelerator", [&needs.accelerator].into_iter())?;
    check_chars("datastore", [&needs.datastore].into_iter())?;
    if needs.tags.len() > limits::TAGS_MAX {
        let message = format!("{} tags are too many for one machine.", needs.tags.len());
        return Err(wrong(
            "tags",
            message,
            format!("Use at most {}.", limits::TAGS_MAX),
        ));
    }
    check_chars(
        "tags",
        needs.tags.iter().flat_map(|(key, value)| [key, value]),
    )
}

fn check_chars<'a>(field: &str, mut words: impl Iterator<Item = &'a String>) -> Result<(), Status> {
    let long = words.find(|word| word.len() > IMAGE_CHARS_MAX);
    long.map_or(Ok(()), |word| {
        let message = format!("{:?} is too long.", names::shorten(word));
        let action = format!("Use at most {IMAGE_CHARS_MAX} bytes.");
        Err(wrong(field, message, action))
    })
}

fn check_images(images: &[String]) -> Result<(), Status> {
    if images.len() > IMAGES_MAX {
        let message = format!("{} images are too many for one machine.", images.len());
        return Err(wrong(
            "images",
            message,
            format!("Use at most {IMAGES_MAX}."),
        ));
    }
    let bad = images
        .iter()
        .find(|image| image.is_empty() || image.len() > IMAGE_CHARS_MAX);
    bad.map_or(Ok(()), |image| {
        let message = format!("{:?} is not the name of an image.", names::shorten(image));
        Err(wrong(
            "images",
            message,
            "Use <file> or <datastore>/<file>.".to_owned(),
        ))
    })
}

fn wrong(field: &str, message: String, action: String) -> Status {
    Status::invalid(format!("requirements.{field}"), message).action(action)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_no_machine_can_need_is_refused_by_field() {
        let good = Requirements {
            vcpus: 1,
            memory_bytes: 64 << 20,
            ..Requirements::default()
        };
        assert!(check(Some(&good)).is_ok());
        let field = |needs: Requirements| check(Some(&needs)).unwrap_err().field;
        let vcpus = Requirements {
            vcpus: 0,
            ..good.clone()
        };
        assert_eq!(field(vcpus), "requirements.vcpus");
        let memory = Requirements {
            memory_bytes: u64::MAX,
            ..good.clone()
        };
        assert_eq!(field(memory), "requirements.memory_bytes");
        let percent = Requirements {
            expected_cpu_percent: Some(f64::NAN),
            ..good
        };
        assert_eq!(field(percent), "requirements.expected_cpu_percent");
        assert_eq!(check(None).unwrap_err().field, "requirements");
    }
}
