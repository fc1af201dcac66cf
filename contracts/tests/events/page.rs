//! A page for a kind of object: its record, and a section for each verb.

use std::fmt::Write as _;

use contracts::common::Event;
use contracts::diff;
use contracts::events::{Described, Verb};
use contracts::rest;
use contracts::subjects;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::examples;

pub(crate) fn of(described: &Described) -> String {
    let mut page = format!(
        "# Events of `{kind}`\n\n\
         Made from `contracts` by its test; do not edit. [Events](../events.md) says what holds for all of them.\n\n\
         {meaning} Subject: `{subject}`. The group: {group}\n\n\
         ## The record\n\n\
         `before` and `after` are a `{message}`. A change of *measured* properties alone is no event.\n\n",
        kind = described.kind,
        meaning = described.meaning,
        subject = subjects::event("<group_id>", described.kind, "<id>", "<verb>"),
        group = described.group,
        message = described.message,
    );
    let message = diff::pool().get_message_by_name(described.message).unwrap();
    page.push_str(&fields(&message));
    for nested in nested(&message) {
        write!(page, "\n### {}\n\n{}", nested.name(), fields(&nested)).unwrap();
    }
    for verb in described.verbs {
        let event = examples::of(described.kind).find(|e| e.verb == verb.name);
        page.push_str(&section(described, verb, &event.unwrap()));
    }
    page
}

fn section(described: &Described, verb: &Verb, event: &Event) -> String {
    let absent = match verb.name {
        "created" => " `before` is empty.",
        "deleted" => " `after` is empty.",
        _ => "",
    };
    let rest = rest::Event::new(815, event.clone());
    format!(
        "\n## `{verb}`\n\n{when}{absent}\n\nOn the bus: `{subject}`\n\n```\n{text}```\n\n\
         As a server-sent event (`event: {kind}.{verb}`):\n\n```json\n{json}\n```\n",
        verb = verb.name,
        when = verb.when,
        subject = subjects::event(&event.group_id, &event.kind, &event.id, &event.verb),
        text = text(event),
        kind = described.kind,
        json = serde_json::to_string_pretty(&rest).unwrap(),
    )
}

/// The event, the records in it as their length.
fn text(event: &Event) -> String {
    let Event {
        kind,
        id,
        verb,
        group_id,
        revision,
        time_ms,
        principal,
        job_id,
        name,
        before,
        after,
        changes,
    } = event;
    let mut text = format!(
        "kind: {kind:?}\nid: {id:?}\nverb: {verb:?}\ngroup_id: {group_id:?}\nrevision: {revision}\n\
         time_ms: {time_ms}\nprincipal: {principal:?}\njob_id: {job_id:?}\nname: {name:?}\n\
         before: {} bytes\nafter: {} bytes\n",
        before.len(),
        after.len()
    );
    for change in changes {
        writeln!(
            text,
            "changes {{ property: {:?}, previous: {:?}, new: {:?} }}",
            change.property, change.previous, change.new
        )
        .unwrap();
    }
    text
}

fn fields(message: &MessageDescriptor) -> String {
    let mut table = String::from("| field | type | meaning |\n|---|---|---|\n");
    for field in message.fields() {
        let measured = if diff::is_tracked(&field) {
            ""
        } else {
            "*Measured.* "
        };
        writeln!(
            table,
            "| `{}` = {} | {} | {measured}{} |",
            field.name(),
            field.number(),
            type_of(&field),
            comment(&field)
        )
        .unwrap();
    }
    table
}

fn type_of(field: &FieldDescriptor) -> String {
    if field.is_map() {
        return "map of text".to_owned();
    }
    let of = match field.kind() {
        Kind::Message(message) => message.name().to_owned(),
        Kind::Enum(of) => of.name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    if field.is_list() {
        format!("list of {of}")
    } else {
        of
    }
}

fn comment(field: &FieldDescriptor) -> String {
    let file = field.parent_file();
    let info = file
        .file_descriptor_proto()
        .source_code_info
        .clone()
        .unwrap();
    let location = info.location.iter().find(|l| l.path == field.path());
    let comment = location.and_then(|l| l.leading_comments.clone());
    let words = comment.unwrap_or_default();
    words
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

/// Messages that stand in a record, each once, in the order in which they are met.
fn nested(message: &MessageDescriptor) -> Vec<MessageDescriptor> {
    let mut found: Vec<MessageDescriptor> = Vec::new();
    let mut open = vec![message.clone()];
    while !open.is_empty() {
        let next = open.remove(0);
        for field in next.fields() {
            let Kind::Message(of) = field.kind() else {
                continue;
            };
            // What a job is to do differs from kind to kind; the contract says it all.
            if of.is_map_entry() || found.contains(&of) || of.name() == "JobParams" {
                continue;
            }
            found.push(of.clone());
            open.push(of);
        }
    }
    found
}
