//! Which action a machine's state allows.

use contracts::host::VmState;
use contracts::inventory::Vm;
use contracts::{ObjectRef, Status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Start,
    Shutdown,
    TurnOff,
    Reset,
    Pause,
    Resume,
    Save,
    Delete {
        force: bool,
    },
    /// Another is made of it.
    Clone,
    /// It goes into the library.
    Store,
}

/// Refuses what the machine's state forbids, naming machine, state and what to do.
pub(crate) fn check(action: Action, vm: &Vm) -> Result<(), Status> {
    let state = vm.state();
    if is_allowed(action, state) {
        return Ok(());
    }
    let object = ObjectRef::new("vm", &vm.id, &vm.name);
    let message = format!(
        "{} {}; {}.",
        capitalised(&object.describe()),
        in_words(state),
        wanted(action)
    );
    Err(Status::precondition(message)
        .about(object)
        .action(advice(action, state)))
}

fn is_allowed(action: Action, state: VmState) -> bool {
    use VmState as S;
    match action {
        Action::Start => matches!(state, S::Stopped | S::Saved),
        Action::Shutdown | Action::Pause => state == S::Running,
        Action::TurnOff => state.is_active(),
        Action::Reset => matches!(state, S::Running | S::Crashed),
        Action::Resume => state == S::Paused,
        Action::Save => matches!(state, S::Running | S::Paused),
        Action::Delete { force } => force || !state.is_active(),
        Action::Clone | Action::Store => state == S::Stopped,
    }
}

/// "is running", for a sentence about a machine.
fn in_words(state: VmState) -> &'static str {
    match state {
        VmState::Unspecified => "is in no known state",
        VmState::Creating => "is being created",
        VmState::Stopped => "is stopped",
        VmState::Starting => "is starting",
        VmState::Running => "is running",
        VmState::Paused => "is paused",
        VmState::Saving => "is being saved",
        VmState::Saved => "is saved",
        VmState::Stopping => "is stopping",
        VmState::Crashed => "has crashed",
        VmState::Deleting => "is being deleted",
        VmState::Missing => "is missing on its host",
        VmState::HostNotResponding => "is on a host that does not respond",
    }
}

fn wanted(action: Action) -> &'static str {
    match action {
        Action::Start => "only a stopped or saved one can be started",
        Action::Shutdown => "only the guest of a running one can be asked to shut down",
        Action::TurnOff => "only one that is on can be turned off",
        Action::Reset => "only a running or crashed one can be reset",
        Action::Pause => "only a running one can be paused",
        Action::Resume => "only a paused one can be resumed",
        Action::Save => "only a running or paused one can be saved",
        Action::Delete { .. } => "only one that is off can be deleted",
        Action::Clone => "only a stopped one can be cloned",
        Action::Store => "only a stopped one can be stored",
    }
}

fn advice(action: Action, state: VmState) -> &'static str {
    use VmState as S;
    match (state, action) {
        (S::Missing, _) => "Look at the host for the machine, or delete it here.",
        (S::Creating | S::Unspecified, _) => "Wait until it is created, or delete it.",
        (S::Deleting, _) => "Wait until it is deleted, or delete it again.",
        (S::HostNotResponding, _) => "Bring its host back, then try again.",
        (S::Starting | S::Stopping | S::Saving, _) => "Wait a moment and look again.",
        (_, Action::Delete { .. }) => "Shut it down or turn it off first, or delete it with force.",
        (S::Saved, Action::Clone | Action::Store) => {
            "Start it and shut it down, or turn it off to give up its memory."
        }
        (_, Action::Clone | Action::Store) => "Shut it down or turn it off first.",
        (S::Running, Action::Start) => "Nothing is to be done: it runs.",
        (S::Paused, Action::Start | Action::Shutdown | Action::Reset | Action::Pause) => {
            "Resume it first."
        }
        (S::Crashed, _) => "Reset it, or turn it off.",
        (S::Stopped | S::Saved, Action::TurnOff | Action::Shutdown) => {
            "Nothing is to be done: it is off."
        }
        (S::Stopped | S::Saved, _) => "Start it first.",
        (S::Running, _) | (S::Paused, _) => "Nothing is to be done.",
    }
}

/// The text with a capital at its start.
pub(crate) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [VmState; 11] = [
        VmState::Creating,
        VmState::Stopped,
        VmState::Starting,
        VmState::Running,
        VmState::Paused,
        VmState::Saving,
        VmState::Saved,
        VmState::Stopping,
        VmState::Crashed,
        VmState::Deleting,
        VmState::Missing,
    ];

    fn allowed(action: Action) -> Vec<VmState> {
        let vm = |state: VmState| Vm {
            name: "web".to_owned(),
            state: state.into(),
            ..Vm::default()
        };
        STATES
            .into_iter()
            .filter(|state| check(action, &vm(*state)).is_ok())
            .collect()
    }

    #[test]
    fn each_action_is_allowed_in_these_states_and_no_other() {
        use VmState as S;
        let off = [S::Creating, S::Stopped, S::Saved, S::Deleting, S::Missing];
        let on = [
            S::Starting,
            S::Running,
            S::Paused,
            S::Saving,
            S::Stopping,
            S::Crashed,
        ];
        let table: [(Action, &[VmState]); 11] = [
            (Action::Start, &[S::Stopped, S::Saved]),
            (Action::Shutdown, &[S::Running]),
            (Action::TurnOff, &on),
            (Action::Reset, &[S::Running, S::Crashed]),
            (Action::Pause, &[S::Running]),
            (Action::Resume, &[S::Paused]),
            (Action::Save, &[S::Running, S::Paused]),
            (Action::Delete { force: false }, &off),
            (Action::Delete { force: true }, &STATES),
            (Action::Clone, &[S::Stopped]),
            (Action::Store, &[S::Stopped]),
        ];
        for (action, states) in table {
            assert_eq!(allowed(action), states, "{action:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_machine_its_state_and_what_to_do() {
        let vm = Vm {
            id: "v1".to_owned(),
            name: "web-01".to_owned(),
            state: VmState::Running.into(),
            ..Vm::default()
        };
        let refusal = check(Action::Delete { force: false }, &vm).unwrap_err();
        assert_eq!(refusal.code(), contracts::Code::FailedPrecondition);
        assert!(
            refusal
                .message
                .starts_with("Virtual machine web-01 is running;"),
            "{refusal}"
        );
        assert!(
            refusal.recommended_action.contains("turn it off"),
            "{refusal}"
        );
    }
}
