//! A source that cannot be dialled dials the target itself, and then answers as it would have.

use std::sync::Arc;
use std::time::Instant;

use contracts::data::{Hello, PushRequest, Ticket};

use super::serve::{Ended, serve};
use super::{Shared, dial, limits};

/// Dials with as many connections as a transfer has, each a thread of its own.
pub(super) fn start(shared: &Arc<Shared>, ticket: &Ticket, request: &PushRequest) {
    for _ in 0..limits::STREAMS {
        let (shared, ticket, request) = (Arc::clone(shared), ticket.clone(), request.clone());
        let thread = std::thread::Builder::new().name("data-push".to_owned());
        let spawned = thread.spawn(move || run(&shared, &ticket, &request));
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for a connection to a target");
        }
    }
}

/// Until the target has everything, or does not want any more for a while.
fn run(shared: &Shared, ticket: &Ticket, request: &PushRequest) {
    let mut since = Instant::now();
    while since.elapsed() < limits::FETCH_PATIENCE && !shared.is_stopping() {
        let begun = Instant::now();
        match push(shared, ticket, request) {
            Ok(Ended::Whole) => return,
            Ok(Ended::Closed) => {}
            Err(error) => {
                tracing::debug!(
                    transfer = ticket.transfer_id,
                    error = format!("{error:#}"),
                    "a connection to a target ended"
                );
            }
        }
        // One that lasted was wanted.
        if begun.elapsed() > limits::REDIAL_INTERVAL {
            since = Instant::now();
        }
        std::thread::park_timeout(limits::REDIAL_INTERVAL);
    }
}

fn push(shared: &Shared, ticket: &Ticket, request: &PushRequest) -> anyhow::Result<Ended> {
    let target = &ticket.target_host_id;
    let mut connection = dial::dial(shared, &request.target_address, target, ticket.encryption())?;
    let hello = Hello {
        ticket: request.ticket.clone(),
        is_source: true,
    };
    connection.send(&hello, &[])?;
    Ok(serve(shared, &mut connection, ticket)?)
}
