//! What happened is told: in order for each object, once, from the truth, and to the end.

use std::collections::BTreeMap;

use contracts::common::Event;
use contracts::inventory::Vm;
use contracts::records::Record;
use contracts::subjects;
use kit::bus::{LogEntry, headers};
use prost::Message as _;

use super::{Site, log_of_records, value_of, was_put_back};
use crate::bus::Epoch;
use crate::world::World;

/// An event with the log that it is of.
struct Told {
    created: String,
    event: Event,
    /// When the stream took it.
    time_ms: i64,
}

/// How long the stream keeps events, and the log deletions.
const KEPT_MS: i64 = 7 * 24 * 3600 * 1000;

fn told(epoch: &Epoch) -> Vec<Told> {
    let entries = epoch.beginning.iter().chain(&epoch.taken);
    entries
        .filter_map(|entry| {
            Some(Told {
                created: entry.message.get(headers::INCARNATION)?.to_owned(),
                event: Event::decode(entry.message.payload.clone()).ok()?,
                time_ms: entry.time_ms,
            })
        })
        .collect()
}

pub(super) fn check(site: &Site) {
    let logs = site.server.history(&log_of_records());
    for epoch in site.server.history(subjects::EVENTS) {
        let told = told(&epoch);
        revisions_rise(&site.world, &told);
        each_goes_on(&site.world, &told);
        for told in &told {
            is_true(&site.world, &logs, told);
        }
        site.world.tell("plan", format!("{} events", told.len()));
    }
}

fn revisions_rise(world: &World, told: &[Told]) {
    let mut newest = BTreeMap::<(&str, &str), u64>::new();
    for Told { created, event, .. } in told {
        let object = (created.as_str(), event.id.as_str());
        let before = newest.insert(object, event.revision).unwrap_or(0);
        if event.revision <= before {
            world.violation(format!(
                "event {} of {} comes after {before}",
                event.revision, event.id
            ));
        }
    }
}

/// An event says of its revision what the log said.
fn is_true(world: &World, logs: &[Epoch], told: &Told) {
    let subject = subjects::record(Vm::BUCKET, &told.event.id);
    let of_log = logs.iter().filter(|epoch| epoch.created == told.created);
    let mut entries = of_log.flat_map(|epoch| epoch.beginning.iter().chain(&epoch.taken));
    let says = |entry: &LogEntry| {
        let after = value_of(entry)
            .map(|value| value.encode_to_vec())
            .unwrap_or_default();
        entry.subject == subject
            && entry.sequence == told.event.revision
            && after == told.event.after
    };
    if !entries.any(says) {
        world.violation(format!(
            "event {} of {} is not true",
            told.event.revision, told.event.id
        ));
    }
}

/// What an object was before an event is what it was after the last one; unless the stream has forgotten that one.
fn each_goes_on(world: &World, told: &[Told]) {
    let mut known = BTreeMap::<&str, &Told>::new();
    for now in told {
        let event = &now.event;
        let last = known.insert(&event.id, now);
        let last = last.filter(|last| now.time_ms - last.time_ms < KEPT_MS);
        if last.is_some_and(|last| last.event.after != event.before) {
            world.violation(format!(
                "event {} of {} does not go on",
                event.revision, event.id
            ));
        }
    }
}

/// An object whose last change was not told yet.
pub(super) fn what_is_untold(site: &Site) -> Option<String> {
    let logs = site.server.history(&log_of_records());
    let epoch = logs.last()?;
    let told = told(site.server.history(subjects::EVENTS).last()?);
    let mut last = BTreeMap::<&str, &LogEntry>::new();
    for entry in &epoch.taken {
        last.insert(&entry.subject, entry);
    }
    let untold = last.values().find(|entry| {
        let of_now = told.iter().filter(|told| told.created == epoch.created);
        !of_now
            .map(|told| told.event.revision)
            .any(|revision| revision == entry.sequence)
            && must_be_told(epoch, entry, &told, site.server.now_ms())
    });
    untold.map(|entry| format!("{} at {} is not told", entry.subject, entry.sequence))
}

fn must_be_told(epoch: &Epoch, entry: &LogEntry, told: &[Told], now_ms: i64) -> bool {
    let is_forgotten = now_ms - entry.time_ms >= KEPT_MS;
    if was_put_back(entry).is_some() || is_forgotten {
        return false;
    }
    let id = subjects::record_id(Vm::BUCKET, &entry.subject).unwrap_or_default();
    let still_there = told.iter().filter(|told| now_ms - told.time_ms < KEPT_MS);
    let known = still_there.rev().find(|told| told.event.id == id);
    // It was told before its log was lost, and written again as it was.
    let is_of_lost = |told: &&&Told| told.created != epoch.created;
    let of_lost = known.as_ref().filter(is_of_lost);
    if of_lost.is_some_and(|told| told.event.after == entry.message.payload) {
        return false;
    }
    let was_there = known.is_some_and(|told| !told.event.after.is_empty());
    // Made and deleted before anybody looked: nothing to tell.
    value_of(entry).is_some() || was_there
}
