//! What a machine needs: whether it can be at all.

use contracts::placement::Requirements;
use contracts::{Status, limits, names};

/// One for each disk, and each could be made from a chain.
const IMAGES_MAX: usize = 64;

/// A datastore's name and a file's.
const IMAGE_CHARS_MAX: usize = 512;

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
    Ok(needs)
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
