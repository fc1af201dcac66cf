//! Which queued transfer may begin.

use std::collections::HashMap;

use contracts::transfer::TransferRecord;
use contracts::transfer::transfer_record::State;

/// Why a transfer has to wait.
#[derive(Debug, PartialEq, Eq)]
pub struct Full {
    pub host_id: String,
    pub running: usize,
}

/// Whether a queued transfer may begin now: each of its hosts has room, and nobody who came before waits for the same
/// host. `open` holds every transfer that has not ended.
pub fn may_begin<'a>(
    transfer: &TransferRecord,
    open: impl IntoIterator<Item = &'a TransferRecord>,
    per_host: usize,
) -> Result<(), Full> {
    let mut taken: HashMap<&str, usize> = HashMap::new();
    for other in open {
        let counts = match other.state() {
            State::Running | State::Retrying => true,
            State::Queued => is_before(other, transfer),
            _ => false,
        };
        if counts && other.id != transfer.id {
            for host in hosts(other) {
                *taken.entry(host).or_default() += 1;
            }
        }
    }
    for host in hosts(transfer) {
        let running = taken.get(host).copied().unwrap_or(0);
        if running >= per_host {
            return Err(Full {
                host_id: host.to_owned(),
                running,
            });
        }
    }
    Ok(())
}

fn is_before(one: &TransferRecord, other: &TransferRecord) -> bool {
    (one.created_ms, &one.id) < (other.created_ms, &other.id)
}

/// The hosts that a transfer is between; one, where it is within a host.
fn hosts(transfer: &TransferRecord) -> impl Iterator<Item = &str> {
    let source = transfer.source.as_ref().map(|e| e.host_id.as_str());
    let target = transfer.target.as_ref().map(|e| e.host_id.as_str());
    source
        .into_iter()
        .chain(target.filter(|t| Some(*t) != source))
}

#[cfg(test)]
mod tests {
    use contracts::transfer::Endpoint;

    use super::*;

    fn transfer(id: &str, created_ms: i64, state: State, from: &str, to: &str) -> TransferRecord {
        let end = |host: &str| {
            Some(Endpoint {
                host_id: host.to_owned(),
                file: None,
            })
        };
        TransferRecord {
            id: id.to_owned(),
            created_ms,
            state: state.into(),
            source: end(from),
            target: end(to),
            ..TransferRecord::default()
        }
    }

    #[test]
    fn a_transfer_waits_while_one_of_its_hosts_is_busy_and_for_who_came_before() {
        let running = transfer("a", 1, State::Running, "h1", "h2");
        let queued = transfer("b", 2, State::Queued, "h1", "h3");
        let after = transfer("c", 3, State::Queued, "h4", "h3");
        let within = transfer("d", 4, State::Queued, "h5", "h5");
        let ended = transfer("e", 0, State::Succeeded, "h5", "h5");
        let open = [
            running.clone(),
            queued.clone(),
            after.clone(),
            within.clone(),
            ended,
        ];
        let full = |host: &str| {
            Err(Full {
                host_id: host.to_owned(),
                running: 1,
            })
        };
        assert_eq!(may_begin(&queued, &open, 1), full("h1"));
        assert_eq!(may_begin(&after, &open, 1), full("h3"));
        assert_eq!(may_begin(&within, &open, 1), Ok(()));
        assert_eq!(may_begin(&queued, &open, 2), Ok(()));
        // It does not wait for itself.
        assert_eq!(may_begin(&running, [&running], 1), Ok(()));
    }
}
