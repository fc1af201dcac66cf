//! Requests that are sent again while no answer comes.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::bus::{BusError, Message};

/// A request under an idempotency key is sent again after this time without an answer, and then after twice as long each
/// time. Too low and slow work is asked for many times; too high and a caller notices that an instance was killed.
const ASK_AGAIN_FIRST: Duration = Duration::from_secs(2);

/// Sends a request that may be made twice, and sends it again while no answer comes: an instance that was killed with the
/// request in its hands never answers it, and another will. The first answer counts, whichever request it is of.
///
/// `send` sends it once and waits for so long.
pub(super) async fn ask<A>(
    subject: &str,
    timeout: Duration,
    send: impl Fn(Duration) -> A,
) -> Result<Message, BusError>
where
    A: Future<Output = Result<Message, BusError>>,
{
    let deadline = Instant::now() + timeout;
    let mut patience = ASK_AGAIN_FIRST;
    let mut asked = FuturesUnordered::new();
    while Instant::now() < deadline {
        asked.push(send(deadline - Instant::now()));
        let until = (Instant::now() + patience).min(deadline);
        let is_first = patience == ASK_AGAIN_FIRST;
        if let Ok(answer) = tokio::time::timeout_at(until, first_answer(&mut asked, is_first)).await
        {
            return answer;
        }
        patience *= 2;
    }
    Err(BusError::TimedOut(subject.to_owned()))
}

/// That nobody is there is an answer to the first request only: later an earlier one may be in work, and whoever is not
/// there now may be so the next time.
async fn first_answer<A>(
    asked: &mut FuturesUnordered<A>,
    is_first: bool,
) -> Result<Message, BusError>
where
    A: Future<Output = Result<Message, BusError>>,
{
    while let Some(answer) = asked.next().await {
        if is_first || !matches!(answer, Err(BusError::NoResponders(_))) {
            return answer;
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_its_deadline_though_every_request_found_nobody() {
        let timeout = Duration::from_secs(30);
        let (begun, times) = (Instant::now(), Cell::new(0));
        let nobody = |_| {
            times.set(times.get() + 1);
            // The first one finds out when it has been given up already.
            let late = ASK_AGAIN_FIRST * 2 * u32::from(times.get() == 1);
            async move {
                tokio::time::sleep(late).await;
                Err(BusError::NoResponders("x".to_owned()))
            }
        };
        let answer = ask("x", timeout, nobody).await;
        assert!(matches!(answer, Err(BusError::TimedOut(_))), "{answer:?}");
        assert_eq!(begun.elapsed(), timeout);
        assert!((3..10).contains(&times.get()), "{}", times.get());
    }
}
