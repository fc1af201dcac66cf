//! What was acknowledged is in the log once, and no count was lost or doubled.

use std::collections::BTreeMap;

use contracts::inventory::Vm;
use contracts::records::Record;
use contracts::subjects;
use kit::bus::{LogEntry, headers};

use super::ledger::{Asked, Ledger, Told};
use super::{Site, log_of_records, value_of, was_put_back};
use crate::bus::Epoch;
use crate::world::World;

pub(super) fn check(site: &Site) {
    let epochs = site.server.history(&log_of_records());
    let ledger = site.ledger();
    for (number, epoch) in epochs.iter().enumerate() {
        counts_go_on(&site.world, number, epoch);
    }
    for (token, asked) in &ledger.asked {
        is_there_once(&site.world, &epochs, token, asked);
    }
    for (epoch, floor) in &ledger.floors {
        survives(&site.world, &ledger, &epochs, *epoch, *floor);
    }
    let done = |ledger: &Ledger| {
        ledger
            .asked
            .values()
            .filter(|a| a.told != Told::Unknown)
            .count()
    };
    let said = format!("{} writes, {} answered", ledger.asked.len(), done(&ledger));
    site.world.tell("plan", said);
}

/// Each write goes on from the one before: the count of an object is one more each time, from its making on.
fn counts_go_on(world: &World, number: usize, epoch: &Epoch) {
    let mut counts = BTreeMap::<&str, i64>::new();
    for entry in &epoch.beginning {
        counts.insert(&entry.subject, count_of(entry));
    }
    for entry in &epoch.taken {
        let before = counts.insert(&entry.subject, count_of(entry)).unwrap_or(0);
        let Some(value) = value_of(entry) else {
            continue;
        };
        if was_put_back(entry).is_none() && value.started_ms != before + 1 {
            world.violation(format!(
                "log {number}: {} at {} counts {} after {before}",
                entry.subject, entry.sequence, value.started_ms
            ));
        }
    }
}

fn count_of(entry: &LogEntry) -> i64 {
    value_of(entry).map_or(0, |value| value.started_ms)
}

/// A write that was acknowledged is in a log, at the revision that its client was told; and no write is in one twice.
fn is_there_once(world: &World, epochs: &[Epoch], token: &str, asked: &Asked) {
    let subject = subjects::record(Vm::BUCKET, &asked.id);
    let is_its = |entry: &&LogEntry| {
        entry.subject == subject && entry.message.get(headers::PRINCIPAL) == Some(token)
    };
    let (mut all, mut since_answered): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
    for (number, epoch) in epochs.iter().enumerate() {
        let there: Vec<u64> = epoch
            .taken
            .iter()
            .filter(is_its)
            .map(|e| e.sequence)
            .collect();
        if there.len() > 1 {
            world.violation(format!(
                "log {number} has {token} more than once: {there:?}"
            ));
        }
        if number >= asked.answered_in {
            since_answered.extend(there.iter().copied());
        }
        all.extend(there);
    }
    match asked.told {
        Told::Done(revision) if !all.contains(&revision) => {
            world.violation(format!(
                "{token} was acknowledged at {revision} and is at {all:?}"
            ));
        }
        // A log that was lost before the answer took along what was in doubt: in the next one there may be nothing to do.
        Told::Nothing if !since_answered.is_empty() => {
            world.violation(format!(
                "{token} had nothing to do and is at {since_answered:?}"
            ));
        }
        Told::Done(_) | Told::Nothing | Told::Unknown => {}
    }
}

/// What every owner's view had when a log was lost is in the next one before anything that was written since.
fn survives(world: &World, ledger: &Ledger, epochs: &[Epoch], epoch: usize, floor: u64) {
    let (Some(lost), Some(next)) = (epochs.get(epoch.wrapping_sub(1)), epochs.get(epoch)) else {
        return;
    };
    let mut known = BTreeMap::<&str, &LogEntry>::new();
    let all = lost.beginning.iter().chain(&lost.taken);
    for entry in all.filter(|entry| entry.sequence <= floor) {
        known.insert(&entry.subject, entry);
    }
    for (subject, entry) in known {
        if value_of(entry).is_some() && !begins_with_late_write(ledger, next, epoch, subject) {
            put_back_first(world, next, subject, entry.sequence);
        }
    }
}

/// Whether a creation that was asked for before the log was lost, and still being sent, reached the new one before
/// anything was put back: then it counts as written since.
fn begins_with_late_write(ledger: &Ledger, next: &Epoch, number: usize, subject: &str) -> bool {
    let mut of_subject = next.taken.iter().filter(|entry| entry.subject == subject);
    let first = of_subject.next().filter(|e| was_put_back(e).is_none());
    let token = first.and_then(|entry| entry.message.get(headers::PRINCIPAL));
    let asked = token.and_then(|token| ledger.asked.get(token));
    asked.is_some_and(|asked| asked.asked_in < number)
}

fn put_back_first(world: &World, next: &Epoch, subject: &str, revision: u64) {
    let of_subject = next.taken.iter().filter(|entry| entry.subject == subject);
    let put_back = of_subject.map_while(was_put_back).max();
    if put_back.is_none_or(|put_back| put_back < revision) {
        world.violation(format!(
            "{subject} at {revision} was in every view and is put back as {put_back:?}"
        ));
    }
}
