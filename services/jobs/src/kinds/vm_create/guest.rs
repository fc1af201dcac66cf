//! The guest of a new machine: what it is told, and waiting until it answers.

use std::time::Duration;

use contracts::Status;
use contracts::host::{GuestFacts, GuestSetup};
use contracts::library::UserDataRef;

use super::State;
use crate::hands::{Done, Hands};

/// Between two looks whether the guest answers.
const GUEST_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What the guest is told. Its user data is with the library until then.
pub(super) async fn setup(hands: &Hands, state: &State) -> Result<Option<GuestSetup>, Status> {
    let Some(guest) = state.guest.clone() else {
        return Ok(None);
    };
    let reference = state.user_data.clone().unwrap_or_default();
    if reference == UserDataRef::default() {
        return Ok(Some(guest));
    }
    let templates = hands.templates();
    let user_data = templates.get_user_data(&hands.context, &reference).await?;
    Ok(Some(GuestSetup {
        user_data: user_data.text,
        ..guest
    }))
}

/// A guest without an agent is no failure of the machine: after a while the job goes on and says so.
pub(super) async fn wait_for_guest(hands: &Hands, state: &State) -> Result<Done, Status> {
    let answers = async {
        loop {
            let report = hands.look_at(&state.host_id, &state.vm_id).await;
            let report = match report {
                Ok(Some(report)) => report,
                Ok(None) => {
                    return Err(Status::precondition(
                        "The host does not have the machine any more.",
                    ));
                }
                Err(error) => return Err(error),
            };
            if report
                .guest
                .as_ref()
                .is_some_and(|guest| guest.agent_responding)
            {
                return Ok(report);
            }
            if !report.state().is_active() {
                let reason = format!("The machine did not stay on: {}", report.state_reason);
                return Err(Status::precondition(reason).action("Look at the machine's log."));
            }
            hands.say("The guest boots.").await;
            tokio::time::sleep(GUEST_LOOK_INTERVAL).await;
        }
    };
    match tokio::time::timeout(hands.guest_patience, answers).await {
        Ok(report) => {
            let report = report?;
            let guest = report.guest.clone().unwrap_or_default();
            hands.apply(&state.host_id, report).await?;
            Done::saying(tell(&guest))
        }
        Err(_) => Done::saying(format!(
            "The guest agent did not answer within {} s; the machine runs.",
            hands.guest_patience.as_secs()
        )),
    }
}

fn tell(guest: &GuestFacts) -> String {
    let address = guest
        .addresses
        .first()
        .map_or(String::new(), |a| format!(" at {a}"));
    format!(
        "{} answers{address}.",
        if guest.hostname.is_empty() {
            "The guest"
        } else {
            &guest.hostname
        }
    )
}
