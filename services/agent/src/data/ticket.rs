//! Tickets: what a host may do here, as the transfer service has signed it. Nobody else is asked.

use contracts::data::{Encryption, SignedTicket, Ticket};
use contracts::{Code, Status};
use prost::Message as _;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::chunk;

/// Reads a ticket that one of the keys has signed and that has not ended.
pub(super) fn read(
    keys: &[Vec<u8>],
    signed: Option<&SignedTicket>,
    now_ms: i64,
) -> Result<Ticket, Status> {
    let signed = signed.ok_or_else(|| refused("There is no ticket."))?;
    let is_signed = keys.iter().any(|key| {
        let key = UnparsedPublicKey::new(&ED25519, key);
        key.verify(&signed.ticket, &signed.signature).is_ok()
    });
    if !is_signed {
        return Err(refused(
            "The ticket is not signed by this fleet's transfer service.",
        ));
    }
    let ticket = Ticket::decode(signed.ticket.as_slice())
        .map_err(|error| refused(format!("The ticket cannot be read: {error}.")))?;
    if ticket.not_after_ms < now_ms {
        let late_secs = now_ms.saturating_sub(ticket.not_after_ms) / 1000;
        return Err(refused(format!(
            "The ticket of transfer {} ended {late_secs} s ago by this host's clock.",
            ticket.transfer_id
        ))
        .action("Start the transfer again; see that the clocks of the hosts agree."));
    }
    Ok(ticket)
}

/// Whether a chunk lies wholly in what the ticket is for.
pub(super) fn covers(ticket: &Ticket, index: u64, size_bytes: u64) -> bool {
    let start = chunk::offset(index);
    let length = chunk::length(index, size_bytes) as u64;
    let end = match ticket.length_bytes {
        0 => u64::MAX,
        length => ticket.offset_bytes.saturating_add(length),
    };
    length > 0 && start >= ticket.offset_bytes && start.saturating_add(length) <= end
}

/// Refuses what is told of the whole file to who may have a part of it.
pub(super) fn check_whole(ticket: &Ticket) -> Result<(), Status> {
    if ticket.offset_bytes == 0 && ticket.length_bytes == 0 {
        return Ok(());
    }
    Err(refused("The ticket is for a part of the file only."))
}

/// Whether a connection is as the ticket wants it. Nothing that is to be encrypted ever goes over one that is not.
pub(super) fn check_encryption(ticket: &Ticket, found: Encryption) -> Result<(), Status> {
    if ticket.encryption() == found {
        return Ok(());
    }
    Err(refused(format!(
        "The ticket of transfer {} is for another kind of connection.",
        ticket.transfer_id
    )))
}

pub(super) fn refused(message: impl Into<String>) -> Status {
    Status::new(Code::PermissionDenied, message).action("Start the transfer again.")
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    fn key() -> Ed25519KeyPair {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()
    }

    fn sign(key: &Ed25519KeyPair, ticket: &Ticket) -> SignedTicket {
        let ticket = ticket.encode_to_vec();
        SignedTicket {
            signature: key.sign(&ticket).as_ref().to_vec(),
            ticket,
        }
    }

    #[test]
    fn a_ticket_is_taken_until_it_ends_and_only_as_it_was_signed() {
        let (ours, another) = (key(), key());
        let keys = [ours.public_key().as_ref().to_vec()];
        let ticket = Ticket {
            transfer_id: "t1".to_owned(),
            not_after_ms: 1_000,
            ..Ticket::default()
        };
        let signed = sign(&ours, &ticket);
        assert_eq!(read(&keys, Some(&signed), 1_000).unwrap(), ticket);
        let late = read(&keys, Some(&signed), 61_000).unwrap_err();
        assert!(late.message.contains("ended 60 s ago"), "{late}");
        let mut changed = signed.clone();
        changed.ticket.push(0);
        for bad in [Some(&changed), Some(&sign(&another, &ticket)), None] {
            let code = read(&keys, bad, 0).unwrap_err().code();
            assert_eq!(code, Code::PermissionDenied);
        }
    }

    #[test]
    fn only_chunks_within_its_range_are_covered() {
        let mib = chunk::CHUNK_BYTES as u64;
        let ticket = Ticket {
            offset_bytes: mib,
            length_bytes: 2 * mib,
            ..Ticket::default()
        };
        let covered = |size| {
            (0..5)
                .filter(|i| covers(&ticket, *i, size))
                .collect::<Vec<_>>()
        };
        assert_eq!(covered(10 * mib), [1, 2]);
        assert_eq!(covered(mib + 5), [1]);
        assert!(covered(mib).is_empty());
        assert!(covers(&Ticket::default(), 4, 5 * mib));
        assert!(!covers(&Ticket::default(), u64::MAX, 5 * mib));
    }
}
