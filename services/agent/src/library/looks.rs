//! Looks at one share: which are asked for, how far the one under way is, what the last ones have found.
//!
//! Looks are numbered as they begin. Whoever asks for one waits for the next that begins, so that it sees what was there
//! when they asked; those who ask meanwhile wait for the same one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::call::Revisions;
use contracts::library::Found;
use tokio::sync::watch;

use crate::core::library::count;

/// Looks whose findings are kept for those who ask after them.
const KEPT_MAX: usize = 16;

#[derive(Default)]
struct State {
    begun: u64,
    ended: u64,
    /// The last look that is asked for.
    wanted: u64,
    /// What the library had when it was asked for.
    digest: Option<Vec<u8>>,
    /// Of the look under way.
    left_to_look: usize,
    left_to_tell: usize,
    found: BTreeMap<u64, (Found, Revisions)>,
}

/// The looks of one share, shared by who looks and who asks.
#[derive(Clone)]
pub(super) struct Looks {
    /// Start counter of the agent: a look of an earlier start is not known.
    generation: u64,
    state: Arc<watch::Sender<State>>,
}

impl Looks {
    pub(super) fn new(generation: u64) -> Self {
        Self {
            generation,
            state: Arc::new(watch::Sender::new(State::default())),
        }
    }

    /// Waits until a look is asked for.
    pub(super) async fn wanted(&self) {
        let mut state = self.state.subscribe();
        // Only an end of the sender fails, which is ours.
        let _ = state.wait_for(|now| now.wanted > now.begun).await;
    }

    /// A look begins. Answers with what the library had, if it has said so.
    pub(super) fn begin(&self) -> Option<Vec<u8>> {
        let mut digest = None;
        self.state.send_modify(|now| {
            now.begun += 1;
            digest = now.digest.take();
        });
        digest
    }

    pub(super) fn note_left_to_look(&self, left: usize) {
        self.state.send_modify(|now| now.left_to_look = left);
    }

    pub(super) fn note_left_to_tell(&self, left: usize) {
        self.state.send_modify(|now| now.left_to_tell = left);
    }

    /// The look has ended, and what it found is told: the library has it at these revisions.
    pub(super) fn end(&self, found: Found, seen: Revisions) {
        self.state.send_modify(|now| {
            now.ended = now.begun;
            now.found.insert(now.ended, (found, seen));
            while now.found.len() > KEPT_MAX {
                now.found.pop_first();
            }
        });
    }

    /// Asks for a look, or after the one of this name. Answers when it has ended, or after a while with how far it is.
    pub(super) async fn ask(
        &self,
        name: &str,
        digest: Vec<u8>,
        wait: Duration,
    ) -> (Found, Revisions) {
        let number = self.known(name).unwrap_or_else(|| self.want(digest));
        let mut state = self.state.subscribe();
        let ended = state.wait_for(|now| now.ended >= number);
        // Too late or not, the state says how it is.
        let _ = tokio::time::timeout(wait, ended).await;
        let now = self.state.borrow();
        let name = format!("{}-{number}", self.generation);
        if now.ended < number {
            let found = Found {
                look: name,
                in_work: true,
                left_to_look: count(now.left_to_look),
                left_to_tell: count(now.left_to_tell),
                ..Found::default()
            };
            return (found, Revisions::new());
        }
        let (found, seen) = now.found.get(&number).cloned().unwrap_or_default();
        (
            Found {
                look: name,
                ..found
            },
            seen,
        )
    }

    /// The number of a look that was asked for since this start.
    fn known(&self, name: &str) -> Option<u64> {
        let (generation, number) = name.split_once('-')?;
        let number = number.parse().ok()?;
        let state = self.state.borrow();
        let is_known =
            generation.parse() == Ok(self.generation) && number <= state.wanted.max(state.begun);
        is_known.then_some(number)
    }

    fn want(&self, digest: Vec<u8>) -> u64 {
        let mut number = 0;
        self.state.send_modify(|now| {
            number = now.begun + 1;
            now.wanted = number;
            now.digest = Some(digest);
        });
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_WAIT: Duration = Duration::ZERO;

    async fn ask(looks: &Looks, name: &str) -> Found {
        looks.ask(name, vec![1], NO_WAIT).await.0
    }

    fn found(new: u32) -> Found {
        Found {
            new,
            ..Found::default()
        }
    }

    #[tokio::test]
    async fn who_asks_during_a_look_gets_the_next_one_with_all_others() {
        let looks = Looks::new(7);
        assert_eq!(looks.begin(), None);
        looks.note_left_to_tell(3);
        let first = ask(&looks, "").await;
        assert!(first.in_work && first.left_to_tell == 3, "{first:?}");
        assert_eq!(ask(&looks, "").await.look, first.look);
        looks.end(found(9), Revisions::new());
        assert!(ask(&looks, &first.look).await.in_work);
        looks.wanted().await;
        assert_eq!(looks.begin(), Some(vec![1]), "once");
        looks.end(found(2), Revisions::new());
        // Asked after as often as wanted, also when others have followed it.
        looks.begin();
        looks.end(found(0), Revisions::new());
        let told = ask(&looks, &first.look).await;
        assert_eq!((told.in_work, told.new), (false, 2));
    }

    #[tokio::test]
    async fn a_look_of_an_earlier_start_is_another_one() {
        let looks = Looks::new(7);
        for unknown in ["6-1", "7-5", "x", "7-x"] {
            let asked = ask(&looks, unknown).await;
            assert_eq!((asked.in_work, asked.look.as_str()), (true, "7-1"));
        }
    }
}
