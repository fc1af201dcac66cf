//! Whether an action is done, was done already, or is refused in the machine's state. Plain data, no I/O.

use contracts::host::VmState;

use super::Action;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Do,
    AlreadyDone,
    /// Another action is under way: "starting".
    Busy(&'static str),
    /// Why ("is paused"), and what to do instead.
    Refused(&'static str, &'static str),
}

pub(crate) fn admit(state: VmState, action: Action) -> Admission {
    use Admission::{AlreadyDone, Do};
    match (action, state) {
        // The plug can be pulled while the guest takes its time to shut down.
        (Action::TurnOff, VmState::Stopping) => Do,
        (_, VmState::Creating) => Admission::Busy("being made"),
        (_, VmState::Starting) => Admission::Busy("starting"),
        (_, VmState::Saving) => Admission::Busy("being saved"),
        (_, VmState::Stopping) => Admission::Busy("shutting down"),
        (_, VmState::Deleting) => Admission::Busy("being deleted"),
        (Action::Start | Action::Resume, VmState::Running)
        | (Action::Shutdown | Action::TurnOff, VmState::Stopped)
        | (Action::Pause, VmState::Paused)
        | (Action::Save, VmState::Saved) => AlreadyDone,
        (Action::Start, VmState::Stopped | VmState::Saved)
        | (Action::Shutdown | Action::Pause, VmState::Running)
        | (Action::Reset, VmState::Running | VmState::Crashed)
        | (Action::Resume, VmState::Paused)
        | (Action::Save, VmState::Running | VmState::Paused)
        // Of a saved machine this gives its memory up: the way out when it cannot be restored.
        | (
            Action::TurnOff,
            VmState::Running | VmState::Paused | VmState::Crashed | VmState::Saved,
        ) => Do,
        (_, state) => refuse(state),
    }
}

fn refuse(state: VmState) -> Admission {
    match state {
        VmState::Running => {
            Admission::Refused("is running", "Shut it down, save it or turn it off first.")
        }
        VmState::Paused => Admission::Refused("is paused", "Resume it first, or turn it off."),
        VmState::Crashed => Admission::Refused("has crashed", "Reset it, or turn it off."),
        VmState::Saved => Admission::Refused("is saved", "Start it first."),
        _ => Admission::Refused("is off", "Start it first."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIONS: [Action; 7] = [
        Action::Start,
        Action::Shutdown,
        Action::TurnOff,
        Action::Reset,
        Action::Pause,
        Action::Resume,
        Action::Save,
    ];

    #[test]
    fn an_action_that_leads_where_the_machine_is_does_nothing() {
        assert_eq!(
            admit(VmState::Running, Action::Start),
            Admission::AlreadyDone
        );
        assert_eq!(
            admit(VmState::Stopped, Action::TurnOff),
            Admission::AlreadyDone
        );
        assert_eq!(admit(VmState::Saved, Action::Save), Admission::AlreadyDone);
        assert_eq!(
            admit(VmState::Paused, Action::Pause),
            Admission::AlreadyDone
        );
    }

    #[test]
    fn nothing_interrupts_a_machine_on_its_way_but_the_plug_during_a_shutdown() {
        for state in [
            VmState::Starting,
            VmState::Saving,
            VmState::Stopping,
            VmState::Deleting,
        ] {
            for action in ACTIONS {
                let busy = matches!(admit(state, action), Admission::Busy(_));
                assert_eq!(
                    busy,
                    (state, action) != (VmState::Stopping, Action::TurnOff)
                );
            }
        }
    }

    #[test]
    fn what_the_state_forbids_is_refused_with_a_way_out() {
        for (state, action) in [
            (VmState::Stopped, Action::Pause),
            (VmState::Stopped, Action::Save),
            (VmState::Paused, Action::Shutdown),
            (VmState::Crashed, Action::Start),
            (VmState::Saved, Action::Reset),
        ] {
            assert!(
                matches!(admit(state, action), Admission::Refused(_, _)),
                "{state:?} {action:?}"
            );
        }
    }
}
