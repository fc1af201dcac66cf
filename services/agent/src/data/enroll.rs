//! Gets the data end its certificate, and another one before that ends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use contracts::call::{Call, Context};
use contracts::transfer::{EnrollRequest, TransferClient};

use super::{DataEnd, Key, limits};

/// Goes on for ever. While the transfer service is away, or the host is not approved, it asks again.
pub(crate) async fn keep_enrolled(
    data: Arc<DataEnd>,
    caller: Arc<dyn Call>,
    host_id: String,
    address: String,
) {
    let transfer = TransferClient::new(caller);
    let mut patience = limits::ENROLL_RETRY_MIN;
    let mut last_word = String::new();
    loop {
        match enroll(&data, &transfer, &host_id, &address).await {
            Ok(renew_after) => {
                tracing::info!(host_id, address, "the data end has a certificate");
                patience = limits::ENROLL_RETRY_MIN;
                last_word.clear();
                tokio::time::sleep(renew_after).await;
            }
            Err(error) => {
                let word = format!("{error:#}");
                if word != last_word {
                    tracing::info!(host_id, word, "the data end has no new certificate yet");
                    last_word = word;
                }
                tokio::time::sleep(patience).await;
                patience = (patience * 2).min(limits::ENROLL_RETRY_MAX);
            }
        }
    }
}

async fn enroll(
    data: &DataEnd,
    transfer: &TransferClient,
    host_id: &str,
    address: &str,
) -> anyhow::Result<Duration> {
    let key = Key::generate()?;
    let request = EnrollRequest {
        host_id: host_id.to_owned(),
        public_key: key.public().to_vec(),
        address: address.to_owned(),
    };
    let context = Context::new(format!("host:{host_id}"));
    let answer = transfer.enroll(&context, &request).await?;
    data.enrolled(&key, &answer)
        .context("what the transfer service answered cannot be used")?;
    Ok(Duration::from_secs(answer.renew_after_secs.max(1)))
}
