//! What each program may publish and subscribe to on the bus: derived from the `callers` of the methods and from who
//! owns and mirrors which bucket. nats-server is configured from it, so a program that is taken over can do no more
//! than its own work.
//!
//! `allow_responses` of NATS is not used: a caller could name any subject as the place for the answer and make the
//! service write there. Answers go only to the inboxes of those that may call.

use crate::services;
use crate::subjects::{self, EVENTS, RUNS, bucket_stream, buckets};

/// Every program that connects to the bus, as its bus user is named.
pub const PROGRAMS: [&str; 10] = [
    "gateway",
    "inventory",
    "jobs",
    "placement",
    "refresher",
    "transfer",
    "performance",
    "webhooks",
    "library",
    "agent",
];

/// Programs whose picture goes stale: each serves `Refreshable`.
const REFRESHABLES: [&str; 3] = ["inventory", "performance", "library"];

/// Bus user of programs that are no part of Muster and only read events.
pub const SUBSCRIBER: &str = "subscriber";

/// Every bus user but the administrator's.
pub fn users() -> impl Iterator<Item = &'static str> {
    PROGRAMS.into_iter().chain([SUBSCRIBER])
}

/// Buckets that a program reads and another owns.
const MIRRORS: [(&str, &[&str]); 7] = [
    (
        "gateway",
        &[
            buckets::HOST_GROUP,
            buckets::HOST,
            buckets::VM,
            buckets::JOB,
        ],
    ),
    ("inventory", &[buckets::JOB]),
    ("jobs", &[buckets::HOST_GROUP, buckets::HOST, buckets::VM]),
    (
        "placement",
        &[buckets::HOST_GROUP, buckets::HOST, buckets::VM],
    ),
    ("refresher", &[buckets::HOST_GROUP]),
    (
        "transfer",
        &[
            buckets::HOST_GROUP,
            buckets::HOST,
            buckets::LIBRARY_SERVER,
            buckets::LIBRARY_SHARE,
        ],
    ),
    ("performance", &[buckets::HOST_GROUP, buckets::HOST]),
];

/// Lists of subjects, wildcards included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub publish: Vec<String>,
    pub subscribe: Vec<String>,
}

/// Inbox of a program's connections.
pub fn inbox(program: &str) -> String {
    format!("_INBOX_{program}")
}

/// What one bus user may do.
pub fn of(program: &str) -> Access {
    if program == SUBSCRIBER {
        return of_subscriber();
    }
    let mut access = Access::default();
    add_calls(program, &mut access);
    add_records(program, &mut access);
    add_own_subjects(program, &mut access);
    // Answers to an operator's `nats` tool, which discovers and measures services.
    access.publish.push("_INBOX.>".to_owned());
    access.subscribe.push("$SRV.>".to_owned());
    access.subscribe.push(format!("{}.>", inbox(program)));
    access.publish.sort();
    access.publish.dedup();
    access.subscribe.sort();
    access.subscribe.dedup();
    access
}

/// Reads events by consumers of its own, and nothing else. It may not delete consumers: they may be another's.
fn of_subscriber() -> Access {
    let api = |what: &str| format!("$JS.API.{what}");
    Access {
        publish: vec![
            format!("$JS.ACK.*.*.{EVENTS}.>"),
            format!("$JS.ACK.{EVENTS}.>"),
            api(&format!("CONSUMER.CREATE.{EVENTS}")),
            api(&format!("CONSUMER.CREATE.{EVENTS}.>")),
            api(&format!("CONSUMER.DURABLE.CREATE.{EVENTS}.>")),
            api(&format!("CONSUMER.INFO.{EVENTS}.>")),
            api(&format!("CONSUMER.MSG.NEXT.{EVENTS}.>")),
            api(&format!("STREAM.INFO.{EVENTS}")),
        ],
        subscribe: vec![format!("{}.>", inbox(SUBSCRIBER))],
    }
}

/// Programs that mirror a bucket of another.
pub fn readers_of(bucket: &str) -> Vec<&'static str> {
    let reads = |(_, read): &(&str, &[&str])| read.contains(&bucket);
    MIRRORS
        .into_iter()
        .filter(reads)
        .map(|(reader, _)| reader)
        .collect()
}

/// The program that serves a service block; of several the first.
pub fn server_of(service: &crate::call::Service) -> &'static str {
    servers_of(service).first().copied().unwrap_or_default()
}

/// The programs that serve a service block.
pub fn servers_of(service: &crate::call::Service) -> &'static [&'static str] {
    match service.name {
        "Inventory" => &["inventory"],
        "Jobs" => &["jobs"],
        "Placement" | "Planning" => &["placement"],
        "Transfer" => &["transfer"],
        "Performance" => &["performance"],
        "Webhooks" => &["webhooks"],
        "Library" | "Templates" => &["library"],
        "Refresher" => &["refresher"],
        "Refreshable" => &REFRESHABLES,
        _ => &["agent"],
    }
}

fn add_calls(program: &str, access: &mut Access) {
    for service in services() {
        let anywhere = service.subject_of_host("*").replace("{service}", "*");
        let own = service.subject_of_host("*");
        let own = own.replace("{service}", program);
        let serves = servers_of(service).contains(&program);
        for method in service.methods {
            if method.callers.contains(&program) {
                access.publish.push(subjects::call(&anywhere, method.name));
            }
            if serves {
                access.subscribe.push(subjects::call(&own, method.name));
                let inboxes = method.callers.iter().map(|c| format!("{}.>", inbox(c)));
                access.publish.extend(inboxes);
            }
        }
    }
}

fn add_records(program: &str, access: &mut Access) {
    let owned = buckets::OWNERS
        .iter()
        .filter(|(_, owner)| *owner == program);
    for (bucket, _) in owned {
        let stream = bucket_stream(bucket);
        access.publish.extend([
            subjects::all_records(bucket),
            subjects::events_of_kind(bucket),
            format!("$JS.API.STREAM.CREATE.{stream}"),
        ]);
        access.publish.extend(reading(&stream));
        access.publish.extend([
            format!("$JS.API.STREAM.CREATE.{EVENTS}"),
            format!("$JS.API.STREAM.INFO.{EVENTS}"),
            format!("$JS.API.STREAM.MSG.GET.{EVENTS}"),
        ]);
    }
    let mirrored = MIRRORS.iter().filter(|(reader, _)| *reader == program);
    for bucket in mirrored.flat_map(|(_, buckets)| *buckets) {
        access.publish.extend(reading(&bucket_stream(bucket)));
    }
}

fn add_own_subjects(program: &str, access: &mut Access) {
    if REFRESHABLES.contains(&program) {
        access.publish.push(subjects::refreshable(program));
    }
    match program {
        "gateway" => {
            access.publish.extend(reading(EVENTS));
            access.subscribe.push(subjects::refreshed("*"));
            access.subscribe.push(subjects::progress("*"));
        }
        "inventory" | "library" => access.subscribe.push(subjects::all_heartbeats()),
        "webhooks" => access.publish.extend(reading(EVENTS)),
        "performance" => access.subscribe.push(subjects::samples("*")),
        "jobs" => {
            access.publish.extend(reading(RUNS));
            access.publish.extend([
                subjects::all_runs(),
                subjects::progress("*"),
                format!("$JS.API.STREAM.CREATE.{RUNS}"),
                // Acknowledgements, in the shape of today's servers and in that of the next.
                format!("$JS.ACK.{RUNS}.>"),
                format!("$JS.ACK.*.*.{RUNS}.>"),
            ]);
        }
        "refresher" => {
            access.publish.push(subjects::refreshed("*"));
            access
                .subscribe
                .extend([subjects::refreshed("*"), subjects::refreshable("*")]);
        }
        "transfer" => access.publish.push(subjects::progress("*")),
        "agent" => access
            .publish
            .extend([subjects::heartbeat("*"), subjects::samples("*")]),
        _ => {}
    }
}

/// What reading a stream takes.
fn reading(stream: &str) -> [String; 6] {
    [
        format!("$JS.API.CONSUMER.CREATE.{stream}"),
        format!("$JS.API.STREAM.INFO.{stream}"),
        format!("$JS.API.STREAM.MSG.GET.{stream}"),
        format!("$JS.API.CONSUMER.*.{stream}.>"),
        format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.>"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.>"),
    ]
}

/// The `authorization` block of a nats-server for Muster. Passwords come from the server's environment,
/// `MUSTER_BUS_PASSWORD_<PROGRAM>`; `admin` is for the operator's `nats` tool.
pub fn nats_authorization() -> String {
    let list = |subjects: &[String]| {
        let quoted: Vec<String> = subjects.iter().map(|s| format!("      {s:?}")).collect();
        format!("[\n{}\n    ]", quoted.join("\n"))
    };
    let mut users = String::new();
    for program in self::users() {
        let access = of(program);
        users.push_str(&format!(
            "  {{ user: {program}, password: ${}, permissions: {{\n    publish: {}\n    subscribe: {}\n  }} }}\n",
            password_variable(program),
            list(&access.publish),
            list(&access.subscribe),
        ));
    }
    format!(
        "authorization {{ users: [\n  {{ user: admin, password: ${} }}\n{users}] }}\n",
        password_variable("admin")
    )
}

/// Environment variable that holds a bus user's password.
pub fn password_variable(user: &str) -> String {
    format!("MUSTER_BUS_PASSWORD_{}", user.to_uppercase())
}

/// Whether a list of subjects with wildcards covers a subject.
pub fn covers(list: &[String], subject: &str) -> bool {
    list.iter().any(|pattern| matches(pattern, subject))
}

fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subjects::ROOT;

    #[test]
    fn no_program_may_write_where_another_owns() {
        for program in users() {
            let access = of(program);
            for (bucket, owner) in buckets::OWNERS {
                let may = covers(&access.publish, &subjects::record(bucket, "x"));
                assert_eq!(may, owner == program, "{program} and {bucket}");
            }
        }
    }

    #[test]
    fn no_program_may_delete_or_purge_a_stream() {
        for program in users() {
            let access = of(program);
            for verb in ["DELETE", "PURGE", "UPDATE", "RESTORE"] {
                let subject = format!("$JS.API.STREAM.{verb}.{EVENTS}");
                assert!(!covers(&access.publish, &subject), "{program} {verb}");
            }
        }
    }

    #[test]
    fn an_agent_commands_nobody() {
        let access = of("agent");
        assert!(!covers(
            &access.publish,
            &subjects::call("host.h1", "DeleteVm")
        ));
        assert!(!covers(&access.publish, &subjects::call("jobs", "Submit")));
        assert!(covers(
            &access.publish,
            &subjects::call("inventory", "Report")
        ));
    }

    #[test]
    fn wildcards_match_as_on_the_bus() {
        assert!(matches(
            &format!("{ROOT}.event.*.vm.>"),
            &format!("{ROOT}.event.g.vm.x.created")
        ));
        assert!(!matches("a.*", "a.b.c"));
        assert!(!matches("a.>", "a"));
    }
}
