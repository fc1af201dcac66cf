//! What becomes of a transfer's record.

use std::time::Duration;

use contracts::Status;
use contracts::data::FetchStatus;
use contracts::transfer::TransferRecord;
use contracts::transfer::transfer_record::{Direction, State};

/// Between two tries of a transfer that did not go on: twice as long each time, up to the most.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MOST: Duration = Duration::from_secs(15);

/// Its hosts have room.
pub fn begin(record: &mut TransferRecord, now_ms: i64) {
    record.set_state(State::Running);
    if record.started_ms == 0 {
        record.started_ms = now_ms;
    }
}

/// Takes over how the fetch stands.
pub fn note(record: &mut TransferRecord, status: &FetchStatus, bytes_per_sec: u64) {
    record.size_bytes = status.size_bytes;
    record.bytes_total = status.bytes_total;
    record.bytes_done = status.bytes_done;
    record.bytes_reused = status.bytes_reused;
    record.bytes_received = status.bytes_received;
    record.rate_bytes_per_sec = bytes_per_sec;
    record.method.clone_from(&status.method);
}

/// The file is there.
pub fn succeed(record: &mut TransferRecord, status: &FetchStatus, now_ms: i64) {
    note(record, status, record.rate_bytes_per_sec);
    record.bytes_done = record.bytes_total;
    record.content_hash.clone_from(&status.content_hash);
    record.problem = None;
    end(record, State::Succeeded, now_ms);
}

pub fn fail(record: &mut TransferRecord, problem: Status, now_ms: i64) {
    record.problem = Some(problem);
    end(record, State::Failed, now_ms);
}

pub fn end(record: &mut TransferRecord, state: State, now_ms: i64) {
    record.set_state(state);
    record.ended_ms = now_ms;
    record.rate_bytes_per_sec = 0;
}

/// It did not go on. The next try is made from the other end, where that can be: whoever cannot be dialled may dial.
pub fn retry(record: &mut TransferRecord, problem: Status, can_push: bool, can_pull: bool) {
    record.problem = Some(problem);
    record.retries += 1;
    record.rate_bytes_per_sec = 0;
    record.set_state(State::Retrying);
    let other = match record.direction() {
        Direction::Push if can_pull => Direction::Pull,
        Direction::Pull if can_push => Direction::Push,
        same => same,
    };
    record.set_direction(other);
}

/// How long to wait before the next try.
pub fn pause(retries: u32) -> Duration {
    let doublings = retries.saturating_sub(1).min(10);
    RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_MOST)
}

/// Somebody wants it gone.
pub fn cancel(record: &mut TransferRecord, now_ms: i64) {
    match record.state() {
        State::Cancelled | State::Cancelling => {}
        State::Queued if record.started_ms == 0 => end(record, State::Cancelled, now_ms),
        _ => record.set_state(State::Cancelling),
    }
}

/// One more job waits for a transfer that several share.
pub fn join(record: &mut TransferRecord, job_id: &str) {
    if !record.waiting_job_ids.iter().any(|id| id == job_id) {
        record.waiting_job_ids.push(job_id.to_owned());
    }
}

/// A job waits no longer. When it was the last, what is not whole yet goes; a file that is whole stays for those to come.
pub fn leave(record: &mut TransferRecord, job_id: &str, now_ms: i64) {
    record.waiting_job_ids.retain(|id| id != job_id);
    if !goes_on(record) {
        cancel(record, now_ms);
    }
}

/// Whether a transfer goes on, or its file stays, after somebody has left it.
pub fn goes_on(record: &TransferRecord) -> bool {
    !record.waiting_job_ids.is_empty() || record.state() == State::Succeeded
}

/// Asked for again after it had ended without the file: it goes on with what has come. The old problem stays until the
/// next try begins, which tells the two apart.
pub fn requeue(record: &mut TransferRecord) {
    if matches!(record.state(), State::Failed | State::Cancelled) {
        record.set_state(State::Queued);
        record.retries = 0;
        record.ended_ms = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_try_is_made_from_the_other_end_where_that_can_be() {
        let tried = |direction, can_push, can_pull| {
            let mut record = TransferRecord::default();
            record.set_direction(direction);
            retry(&mut record, Status::unavailable("gone"), can_push, can_pull);
            record.direction()
        };
        assert_eq!(tried(Direction::Pull, true, true), Direction::Push);
        assert_eq!(tried(Direction::Pull, false, true), Direction::Pull);
        assert_eq!(tried(Direction::Push, true, false), Direction::Push);
        assert_eq!(tried(Direction::Push, true, true), Direction::Pull);
    }

    #[test]
    fn a_shared_transfer_ends_with_the_last_that_leaves_it() {
        let mut record = TransferRecord::default();
        record.set_state(State::Running);
        for job in ["a", "b", "a"] {
            join(&mut record, job);
        }
        leave(&mut record, "a", 5);
        leave(&mut record, "a", 5);
        assert_eq!(record.state(), State::Running);
        assert!(goes_on(&record));
        leave(&mut record, "b", 5);
        assert_eq!(record.state(), State::Cancelling);
        let mut whole = TransferRecord::default();
        whole.set_state(State::Succeeded);
        join(&mut whole, "a");
        leave(&mut whole, "a", 5);
        assert_eq!(whole.state(), State::Succeeded);
    }

    #[test]
    fn what_never_began_leaves_nothing_to_be_removed() {
        let mut record = TransferRecord::default();
        record.set_state(State::Queued);
        cancel(&mut record, 5);
        assert_eq!((record.state(), record.ended_ms), (State::Cancelled, 5));
        requeue(&mut record);
        begin(&mut record, 7);
        cancel(&mut record, 9);
        assert_eq!((record.state(), record.started_ms), (State::Cancelling, 7));
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let pauses = [1, 2, 3, 30].map(pause);
        assert_eq!(pauses.map(|p| p.as_millis()), [250, 500, 1000, 15_000]);
    }
}
