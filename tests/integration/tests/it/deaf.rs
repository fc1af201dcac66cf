//! Runners of jobs that hear nothing more from a step of a create on: what they do next is nothing, wherever they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contracts::jobs::Job;
use contracts::jobs::step::State;
use contracts::records::Record;
use contracts::subjects;
use prost::Message;

use crate::site::Site;

/// A job's record in a message that a reader of the log is sent.
fn record_in(message: &[u8]) -> Option<Job> {
    let end = message.windows(2).position(|pair| pair == b"\r\n")?;
    let line = std::str::from_utf8(&message[..end]).ok()?;
    let words: Vec<&str> = line.split_whitespace().collect();
    subjects::record_id(Job::BUCKET, words.get(1)?)?;
    let number = |word: &str| word.parse::<usize>().ok();
    let total = number(words.last()?)?;
    let headers = if words[0] == "HMSG" {
        number(words[words.len() - 2])?
    } else {
        0
    };
    let body = &message[end + 2..];
    Job::decode(body.get(headers..total)?).ok()
}

/// The step that the record says is being worked on; past the last one when the job has ended.
pub fn step_of(job: &Job) -> Option<usize> {
    if job.state().is_final() {
        return Some(job.steps.len());
    }
    job.steps.iter().position(|s| s.state() == State::Running)
}

/// From the moment that a create has reached a step, its runner hears nothing more: not even that its write was taken.
pub fn deafen_at(site: &Site, step: usize) -> Arc<AtomicBool> {
    let is_reached = Arc::new(AtomicBool::new(false));
    let reached = Arc::clone(&is_reached);
    site.line.as_ref().unwrap().lose(move |message| {
        let is_there = record_in(message)
            .is_some_and(|job| job.kind == "vm_create" && step_of(&job) == Some(step));
        is_there && !reached.swap(true, Ordering::SeqCst) || reached.load(Ordering::SeqCst)
    });
    is_reached
}
