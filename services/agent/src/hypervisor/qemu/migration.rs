//! QEMU's migration, as far as saving a machine to a file and bringing it back needs it.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::qmp::{Qmp, QmpError};
use crate::limits;

#[derive(Debug, thiserror::Error)]
pub(super) enum MigrationError {
    #[error(transparent)]
    Qmp(#[from] QmpError),
    #[error("{0}")]
    Failed(String),
    #[error("it was not done within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Sets every capability and parameter to what we want. They stay in the process: what the last migration had set would
/// make the next one fail, and multifd left on kills QEMU 10.0.2 at its next snapshot.
pub(super) async fn reset(qmp: &Qmp) -> Result<(), QmpError> {
    let listed = qmp.execute("query-migrate-capabilities", json!({})).await?;
    let listed = listed.as_array().cloned().unwrap_or_default();
    let set: Vec<Value> = listed
        .iter()
        .filter(|c| c.get("state").and_then(Value::as_bool) == Some(true))
        .filter_map(|c| Some(json!({"capability": c.get("capability")?, "state": false})))
        .collect();
    if !set.is_empty() {
        qmp.execute("migrate-set-capabilities", json!({"capabilities": set}))
            .await?;
    }
    let parameters = json!({
        // To a disk there is nobody to be considerate of; QEMU's default is 128 MiB a second.
        "max-bandwidth": 16u64 << 30,
        "tls-creds": "", "tls-hostname": "",
    });
    qmp.execute("migrate-set-parameters", parameters).await?;
    Ok(())
}

/// Writes the stopped machine to a file.
pub(super) async fn save(qmp: &Qmp, file: &Path, limit: Duration) -> Result<(), MigrationError> {
    reset(qmp).await?;
    qmp.execute("migrate", json!({"channels": [channel(file)]}))
        .await?;
    finish(qmp, limit).await
}

/// Reads the machine from a file, in a QEMU that was started to wait for it.
pub(super) async fn restore(qmp: &Qmp, file: &Path, limit: Duration) -> Result<(), MigrationError> {
    reset(qmp).await?;
    qmp.execute("migrate-incoming", json!({"channels": [channel(file)]}))
        .await?;
    finish(qmp, limit).await
}

fn channel(file: &Path) -> Value {
    json!({
        "channel-type": "main",
        "addr": {"transport": "file", "filename": file.to_string_lossy(), "offset": 0},
    })
}

/// Waits until a migration has ended, well or not.
pub(super) async fn finish(qmp: &Qmp, limit: Duration) -> Result<(), MigrationError> {
    let start = Instant::now();
    while start.elapsed() < limit {
        let progress = qmp.execute("query-migrate", json!({})).await?;
        match progress
            .get("status")
            .and_then(Value::as_str)
            .unwrap_or_default()
        {
            "completed" => return Ok(()),
            "failed" | "cancelled" => return Err(MigrationError::Failed(reason(&progress))),
            _ => sleep(limits::POLL_INTERVAL).await,
        }
    }
    Err(MigrationError::TimedOut(limit))
}

fn reason(progress: &Value) -> String {
    let reason = progress.get("error-desc").and_then(Value::as_str);
    reason.unwrap_or("QEMU does not say why").to_owned()
}

/// Whether a migration goes on or has completed; `None` when there was none, or it failed.
pub(super) async fn is_under_way(qmp: &Qmp) -> Result<bool, QmpError> {
    let progress = qmp.execute("query-migrate", json!({})).await?;
    let status = progress
        .get("status")
        .and_then(Value::as_str)
        .unwrap_or("none");
    Ok(!matches!(status, "none" | "failed" | "cancelled"))
}

/// Ends a migration that goes on, so that the machine can run again.
pub(super) async fn cancel(qmp: &Qmp) -> Result<(), MigrationError> {
    qmp.execute("migrate_cancel", json!({})).await?;
    match finish(qmp, limits::QMP_COMMAND_TIMEOUT).await {
        Err(MigrationError::Failed(_)) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}
