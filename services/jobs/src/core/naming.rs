//! Ids that are a function of what they name, so that the same thing asked twice gets the same id.

use uuid::Uuid;

/// Namespace of job ids that come from idempotency keys.
const JOBS: Uuid = Uuid::from_u128(0x6d75_7374_6572_4a6f_8262_7300_6964_656d);

/// The job that a principal's idempotency key stands for.
pub(crate) fn job_of_key(principal: &str, key: &str) -> String {
    // A principal holds no line break, so no two pairs make one text.
    Uuid::new_v5(&JOBS, format!("{principal}\n{key}").as_bytes()).to_string()
}

/// Namespace of transfers that several jobs share.
const TRANSFERS: Uuid = Uuid::from_u128(0x6d75_7374_6572_4a6f_8262_7300_7466_7273);

/// The transfer that brings an image of the library to a host, for every job that wants it there. Another `number` is
/// another transfer of the same, for when the file of the one before was removed.
pub(crate) fn shared_transfer(host_id: &str, image: &str, number: u32) -> String {
    Uuid::new_v5(
        &TRANSFERS,
        format!("{host_id}\n{image}\n{number}").as_bytes(),
    )
    .to_string()
}

/// The transfer that brings one file of a parcel.
pub(crate) fn parcel_transfer(parcel_id: &str, file: &str) -> String {
    Uuid::new_v5(&TRANSFERS, format!("{parcel_id}\n{file}").as_bytes()).to_string()
}

/// The id under which a host stores the result of a step.
///
/// It is the same for a runner that takes the job over, and for a retry after an answer that was lost: the host then
/// answers with what it did. It is another after a restart of the job and after a failure that the host certainly
/// answered, since the stored answer would only come again: `number` counts both.
pub(crate) fn operation(job_id: &str, step: &str, number: u32) -> String {
    match number {
        0 => format!("{job_id}/{step}"),
        n => format!("{job_id}/{step}/{n}"),
    }
}

/// The id under which a host stores the result of undoing a step.
pub(crate) fn undo_operation(job_id: &str, step: &str, number: u32) -> String {
    format!("{}/undo", operation(job_id, step, number))
}

/// A hardware address in the range that QEMU uses for its guests.
pub(crate) fn mac(random: Uuid) -> String {
    let [.., a, b, c] = random.into_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

/// Whether a text is the address of one card: six bytes, not a group's address, not all zero.
pub(crate) fn is_mac(text: &str) -> bool {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|part| {
            let is_byte = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            is_byte.then(|| u8::from_str_radix(part, 16).ok())?
        })
        .collect();
    bytes.is_some_and(|b| {
        b.len() == 6 && b.first().is_some_and(|f| f & 1 == 0) && b.iter().any(|b| *b != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_one_job_for_each_principal() {
        assert_eq!(job_of_key("alice", "k"), job_of_key("alice", "k"));
        assert_ne!(job_of_key("alice", "k"), job_of_key("bob", "k"));
        assert_ne!(job_of_key("alice", "k"), job_of_key("alice", "l"));
    }

    #[test]
    fn a_restart_is_another_operation_and_so_is_the_undo() {
        assert_eq!(operation("j", "disks", 0), "j/disks");
        assert_eq!(operation("j", "disks", 2), "j/disks/2");
        assert_eq!(undo_operation("j", "disks", 0), "j/disks/undo");
        assert_eq!(undo_operation("j", "disks", 2), "j/disks/2/undo");
    }

    #[test]
    fn addresses_are_those_of_single_cards() {
        assert!(is_mac(&mac(Uuid::from_u128(0xABCDEF))));
        for bad in [
            "",
            "52:54:00:1:2:3",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "52:54:00:aa:bb",
            "52:54:00:aa:bb:+c",
        ] {
            assert!(!is_mac(bad), "{bad}");
        }
    }
}
