//! What the service tells of itself over OTLP.

use contracts::telemetry::TRANSFERS_FINISHED;
use contracts::transfer::transfer_record::State;
use kit::telemetry::Counter;

static FINISHED: Counter = Counter::new(&TRANSFERS_FINISHED);

/// A transfer has ended.
pub(crate) fn note_end(state: State) {
    let outcome = match state {
        State::Succeeded => "succeeded",
        State::Cancelled => "cancelled",
        _ => "failed",
    };
    FINISHED.add(1, &[("outcome", outcome)]);
}
