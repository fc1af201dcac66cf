//! Every subject, bucket and stream name of Muster. A literal of one anywhere else fails the tidy test.

/// First tokens of everything that is Muster's own.
pub const ROOT: &str = "muster.v1";

/// Stream of what happened.
pub const EVENTS: &str = "EVENTS";

/// Work queue of jobs that want a runner.
pub const RUNS: &str = "RUNS";

/// Buckets, one for each record kind; each is owned by one service.
pub mod buckets {
    pub const HOST_GROUP: &str = "host_group";
    pub const HOST: &str = "host";
    pub const VM: &str = "vm";
    pub const VM_NAME: &str = "vm_name";
    pub const JOIN_TOKEN: &str = "join_token";
    pub const JOB: &str = "job";
    pub const HOST_CLAIMS: &str = "host_claims";
    pub const WEBHOOK: &str = "webhook";
    pub const WEBHOOK_STATE: &str = "webhook_state";
    pub const WEBHOOK_LEASE: &str = "webhook_lease";
    pub const DEAD_LETTER: &str = "dead_letter";
    pub const REFRESHER: &str = "refresher";
    pub const TRANSFER: &str = "transfer";
    pub const TRANSFER_AUTHORITY: &str = "transfer_authority";
    pub const DATA_END: &str = "data_end";
    pub const PLACEMENT_RULE: &str = "placement_rule";
    pub const LIBRARY_SERVER: &str = "library_server";
    pub const LIBRARY_SHARE: &str = "library_share";
    pub const LIBRARY_ITEM: &str = "library_item";
    pub const TEMPLATE: &str = "template";
    pub const HARDWARE_PROFILE: &str = "hardware_profile";
    pub const GUEST_PROFILE: &str = "guest_profile";
    pub const GUEST_USER_DATA: &str = "guest_user_data";

    /// Each bucket with the service that owns it.
    pub const OWNERS: [(&str, &str); 23] = [
        (HOST_GROUP, "inventory"),
        (HOST, "inventory"),
        (VM, "inventory"),
        (VM_NAME, "inventory"),
        (JOIN_TOKEN, "inventory"),
        (JOB, "jobs"),
        (HOST_CLAIMS, "placement"),
        (WEBHOOK, "webhooks"),
        (WEBHOOK_STATE, "webhooks"),
        (WEBHOOK_LEASE, "webhooks"),
        (DEAD_LETTER, "webhooks"),
        (REFRESHER, "refresher"),
        (TRANSFER, "transfer"),
        (TRANSFER_AUTHORITY, "transfer"),
        (DATA_END, "transfer"),
        (PLACEMENT_RULE, "placement"),
        (LIBRARY_SERVER, "library"),
        (LIBRARY_SHARE, "library"),
        (LIBRARY_ITEM, "library"),
        (TEMPLATE, "library"),
        (HARDWARE_PROFILE, "library"),
        (GUEST_PROFILE, "library"),
        (GUEST_USER_DATA, "library"),
    ];
}

/// A call: `muster.v1.<service>.<Method>`.
pub fn call(service_subject: &str, method: &str) -> String {
    format!("{ROOT}.{service_subject}.{method}")
}

/// One event.
pub fn event(group_id: &str, kind: &str, id: &str, verb: &str) -> String {
    format!("{ROOT}.event.{group_id}.{kind}.{id}.{verb}")
}

/// Every event.
pub fn all_events() -> String {
    format!("{ROOT}.event.>")
}

/// Every event of one record kind.
pub fn events_of_kind(kind: &str) -> String {
    format!("{ROOT}.event.*.{kind}.>")
}

/// A job that wants a runner.
pub fn run(job_id: &str) -> String {
    format!("{ROOT}.run.{job_id}")
}

/// Every job that wants a runner.
pub fn all_runs() -> String {
    format!("{ROOT}.run.>")
}

/// A host says that it is alive.
pub fn heartbeat(host_id: &str) -> String {
    format!("{ROOT}.heartbeat.{host_id}")
}

pub fn all_heartbeats() -> String {
    format!("{ROOT}.heartbeat.*")
}

/// What a host and its machines use.
pub fn samples(host_id: &str) -> String {
    format!("{ROOT}.samples.{host_id}")
}

/// How far a job has got.
pub fn progress(job_id: &str) -> String {
    format!("{ROOT}.progress.{job_id}")
}

/// A service says which kinds of refresh it serves.
pub fn refreshable(service: &str) -> String {
    format!("{ROOT}.refreshable.{service}")
}

/// An instance of refresher says that it is there, and what it has refreshed.
pub fn refreshed(instance: &str) -> String {
    format!("{ROOT}.refreshed.{instance}")
}

/// Stream behind a bucket.
pub fn bucket_stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// Where one record lives.
pub fn record(bucket: &str, id: &str) -> String {
    format!("$KV.{bucket}.{id}")
}

/// Every record of a bucket.
pub fn all_records(bucket: &str) -> String {
    format!("$KV.{bucket}.>")
}

/// Every entry of a log that keeps more than one subject.
pub fn subject_of_log(log: &str) -> Option<String> {
    match log.strip_prefix("KV_") {
        Some(bucket) => Some(all_records(bucket)),
        None if log == EVENTS => Some(all_events()),
        None => None,
    }
}

/// The id in the subject of a record.
pub fn record_id<'a>(bucket: &str, subject: &'a str) -> Option<&'a str> {
    subject
        .strip_prefix("$KV.")?
        .strip_prefix(bucket)?
        .strip_prefix('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_of_a_log_is_that_of_all_that_it_keeps() {
        assert_eq!(
            subject_of_log(&bucket_stream("vm")),
            Some(all_records("vm"))
        );
        assert_eq!(subject_of_log(EVENTS), Some(all_events()));
    }

    #[test]
    fn a_record_id_comes_back_from_its_subject() {
        assert_eq!(record_id("vm", &record("vm", "x1")), Some("x1"));
        assert_eq!(record_id("vm", "$KV.vm_name.x1"), None);
    }
}
