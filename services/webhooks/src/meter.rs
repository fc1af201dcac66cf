//! What the webhooks service tells of itself over OTLP.

use contracts::telemetry::WEBHOOK_DELIVERIES;
use kit::telemetry::Counter;

use crate::core::retry::Problem;

static DELIVERIES: Counter = Counter::new(&WEBHOOK_DELIVERIES);

/// One try.
pub(crate) fn count(tried: &Result<(), Problem>) {
    let outcome = match tried {
        Ok(()) => "taken",
        Err(Problem::Refused(_)) => "refused",
        Err(Problem::Away(_)) => "away",
    };
    DELIVERIES.add(1, &[("outcome", outcome)]);
}
