//! Which chunks are still to be had, and whose turn each is.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use contracts::data::ChunkRun;

use super::super::limits;

/// Runs of chunks, in order, of a limited number.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: Vec<ChunkRun>,
    /// Holes of up to so many chunks count as data.
    gap: u64,
}

impl Runs {
    pub(super) fn push(&mut self, run: ChunkRun) {
        let gap = self.gap;
        match self.runs.last_mut() {
            Some(last) if run.first <= last.first + last.count + gap => {
                let end = (run.first + run.count).max(last.first + last.count);
                last.count = end - last.first;
            }
            _ => self.runs.push(run),
        }
        while self.runs.len() > limits::RUNS_MAX {
            self.gap = (self.gap * 2).max(1);
            for run in std::mem::take(&mut self.runs) {
                self.push(run);
            }
        }
    }

    pub(super) fn chunks(&self) -> u64 {
        self.runs.iter().map(|run| run.count).sum()
    }
}

/// Shared by the connections of a fetch.
pub(super) struct Work(Mutex<State>);

struct State {
    runs: VecDeque<ChunkRun>,
    /// Asked for on a connection that then broke.
    again: Vec<u64>,
    /// One bit for each chunk of the file.
    done: Vec<u64>,
}

impl Work {
    pub(super) fn new(runs: Runs, chunks: u64) -> Self {
        let words = usize::try_from(chunks.div_ceil(64)).unwrap_or_default();
        Self(Mutex::new(State {
            runs: runs.runs.into(),
            again: Vec::new(),
            done: vec![0; words],
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_done(&self, index: u64) {
        self.lock().set_done(index);
    }

    /// Every chunk that is not there yet.
    pub(super) fn missing(&self) -> Vec<ChunkRun> {
        let state = self.lock();
        let mut missing = Runs::default();
        for index in state
            .runs
            .iter()
            .flat_map(|run| run.first..run.first + run.count)
        {
            if !state.is_done(index) {
                missing.push(ChunkRun {
                    first: index,
                    count: 1,
                });
            }
        }
        missing.runs
    }

    /// A chunk to ask for. `None`: all are there, or have been asked for.
    pub(super) fn next(&self) -> Option<u64> {
        let mut state = self.lock();
        if let Some(index) = state.again.pop() {
            return Some(index);
        }
        loop {
            let run = state.runs.front_mut()?;
            let index = run.first;
            run.first += 1;
            run.count = run.count.saturating_sub(1);
            if run.count == 0 {
                state.runs.pop_front();
            }
            if !state.is_done(index) {
                return Some(index);
            }
        }
    }

    /// Takes back what was asked for and did not come.
    pub(super) fn give_back(&self, indexes: impl IntoIterator<Item = u64>) {
        self.lock().again.extend(indexes);
    }
}

impl State {
    fn place(index: u64) -> (usize, u64) {
        (
            usize::try_from(index / 64).unwrap_or(usize::MAX),
            1 << (index % 64),
        )
    }

    fn is_done(&self, index: u64) -> bool {
        let (word, bit) = Self::place(index);
        self.done.get(word).is_some_and(|word| word & bit != 0)
    }

    fn set_done(&mut self, index: u64) {
        let (word, bit) = Self::place(index);
        if let Some(word) = self.done.get_mut(word) {
            *word |= bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, count: u64) -> ChunkRun {
        ChunkRun { first, count }
    }

    #[test]
    fn each_chunk_is_given_out_once_unless_it_comes_back() {
        let mut runs = Runs::default();
        for run in [run(0, 2), run(2, 1), run(7, 2)] {
            runs.push(run);
        }
        assert_eq!((runs.runs.len(), runs.chunks()), (2, 5));
        let work = Work::new(runs, 9);
        work.set_done(1);
        assert_eq!(work.missing(), [run(0, 1), run(2, 1), run(7, 2)]);
        assert_eq!([work.next(), work.next()], [Some(0), Some(2)]);
        work.give_back([0]);
        let rest: Vec<u64> = std::iter::from_fn(|| work.next()).collect();
        assert_eq!(rest, [0, 7, 8]);
    }

    #[test]
    fn however_many_holes_there_are_few_runs_are_kept() {
        let mut runs = Runs::default();
        (0..300_000).for_each(|n| runs.push(run(n * 3, 1)));
        assert!(runs.runs.len() <= limits::RUNS_MAX);
        let last = runs.runs.last().unwrap();
        assert_eq!(last.first + last.count, 899_998);
    }
}
