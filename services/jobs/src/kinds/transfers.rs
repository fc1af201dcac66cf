//! Files that a job has brought from one place to another, by transfers that are its own.

use std::time::Duration;

use contracts::data::Encryption;
use contracts::transfer::transfer_record::State as Transfer;
use contracts::transfer::{StartRequest, TransferRecord, TransferRef};
use contracts::{Code, Status};
use tokio::time::Instant;

use crate::hands::Hands;

/// Between two looks at a transfer. It tells its progress itself.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(300);

/// How long one try to remove a copy waits for its host. The engine tries more than once.
pub(super) const REMOVE_PATIENCE: Duration = Duration::from_secs(20);

/// Has a file brought, and waits until it is there.
pub(super) async fn bring(hands: &Hands, request: &StartRequest) -> Result<TransferRecord, Status> {
    let transfers = hands.transfer();
    transfers.start(&hands.context, request).await?;
    loop {
        match look(hands, reference(&request.transfer_id)).await {
            Ok(now) if now.state().is_final() => return ended(now),
            Err(error) if !error.retryable() => return Err(error),
            // The service is away; the hosts go on meanwhile.
            _ => {}
        }
    }
}

/// How a transfer stands once it has ended, or else after a while.
pub(super) async fn look(hands: &Hands, transfer: TransferRef) -> Result<TransferRecord, Status> {
    let asked = Instant::now();
    let transfer = TransferRef {
        wait_ms: u32::try_from(LOOK_INTERVAL.as_millis()).unwrap_or(u32::MAX),
        ..transfer
    };
    let answer = hands.transfer().get(&hands.context, &transfer).await;
    if !answer.as_ref().is_ok_and(|now| now.state().is_final()) {
        // A service of an earlier release has answered at once.
        tokio::time::sleep(LOOK_INTERVAL.saturating_sub(asked.elapsed())).await;
    }
    answer
}

fn reference(transfer_id: &str) -> TransferRef {
    TransferRef {
        transfer_id: transfer_id.to_owned(),
        ..TransferRef::default()
    }
}

fn ended(transfer: TransferRecord) -> Result<TransferRecord, Status> {
    match transfer.state() {
        Transfer::Succeeded => Ok(transfer),
        Transfer::Cancelled => Err(Status::precondition("The transfer was cancelled.")
            .action("Restart the job to copy the file after all.")),
        _ => {
            let unknown = || Status::internal("The transfer does not say why it has failed.");
            Err(given_up(transfer.problem.unwrap_or_else(unknown)))
        }
    }
}

/// The transfer was tried again for as long as that made sense: another try of the step is for a person to ask for.
pub(super) fn given_up(problem: Status) -> Status {
    match problem.retryable() {
        true => Status {
            code: Code::FailedPrecondition.into(),
            ..problem
        },
        false => problem,
    }
}

/// What it took, in a sentence.
pub(super) fn tell(transfer: &TransferRecord) -> String {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    match transfer.method.as_str() {
        "network" => format!(
            "{} MiB are there and verified; {} MiB travelled {}, {} MiB were there already.",
            mib(transfer.bytes_total),
            mib(transfer.bytes_received),
            match transfer.encryption() {
                Encryption::Plain => "unencrypted",
                _ => "encrypted",
            },
            mib(transfer.bytes_reused),
        ),
        "reflink" => "The copy shares its blocks with the image.".to_owned(),
        _ => format!("{} MiB are copied.", mib(transfer.bytes_total)),
    }
}

/// Stops a transfer and waits until nothing of it is left. `title` is what it makes.
pub(super) async fn take_back(hands: &Hands, transfer_id: &str, title: &str) -> Result<(), Status> {
    let (transfers, reference) = (hands.transfer(), reference(transfer_id));
    let since = Instant::now();
    while since.elapsed() < REMOVE_PATIENCE {
        let transfer = transfers.cancel(&hands.context, &reference).await?;
        if transfer.state() == Transfer::Cancelled {
            return Ok(());
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let message = format!("What the copy has made of {title} is not removed yet.");
    Err(Status::unavailable(message).action("Bring the host and its agent back."))
}
