//! After the faults: every program is back, every client has its answer, and every view equals the log.

use std::time::Duration;

use contracts::inventory::Vm;
use contracts::records::{Record, indexes};
use contracts::subjects;

use super::program::Program;
use super::{Site, log_of_records, value_of};

/// How long it may take, in simulated time: longer than all patience and intervals of the kit.
const PATIENCE: Duration = Duration::from_secs(300);

const LOOK_INTERVAL: Duration = Duration::from_millis(500);

pub(super) async fn comes_to_rest(site: &Site) {
    for program in &site.programs {
        program.start();
    }
    let mut waited = Duration::ZERO;
    while let Some(reason) = unrest(site) {
        if waited >= PATIENCE {
            return site
                .world
                .violation(format!("no rest after {PATIENCE:?}: {reason}"));
        }
        site.world.pass(LOOK_INTERVAL).await;
        waited += LOOK_INTERVAL;
    }
    site.world.tell("plan", format!("at rest after {waited:?}"));
    let indexes_fit = site.programs.iter().all(|program| indexes_fit(program));
    if !indexes_fit {
        site.world.violation("an index does not fit the records");
    }
}

/// What is not as it should be in the end; `None`: all is.
fn unrest(site: &Site) -> Option<String> {
    if let Some(busy) = site.sessions.iter().position(|session| session.is_busy()) {
        return Some(format!("client-{busy} has no answer"));
    }
    let log = the_log(site);
    for program in &site.programs {
        let Some(view) = the_view(program) else {
            return Some(format!("{} has not caught up", program.name));
        };
        if view != log {
            return Some(format!(
                "{} sees {view:?}, the log has {log:?}",
                program.name
            ));
        }
    }
    if !site.subscriber.is_up_to_date() {
        return Some("the subscriber has not got everything".to_owned());
    }
    super::events::what_is_untold(site)
}

/// Id, revision and count of every record.
type Rows = Vec<(String, u64, i64)>;

fn the_log(site: &Site) -> Rows {
    let entries = site
        .server
        .entries(&log_of_records(), &subjects::all_records(Vm::BUCKET), 1);
    let mut rows: Rows = entries
        .iter()
        .filter_map(|entry| {
            let id = subjects::record_id(Vm::BUCKET, &entry.subject)?.to_owned();
            Some((id, entry.sequence, value_of(entry)?.started_ms))
        })
        .collect();
    rows.sort();
    rows
}

fn the_view(program: &Program) -> Option<Rows> {
    let records = program.ready()?.view.list().ok()?;
    let row = |record: &kit::records::Stored<Vm>| {
        (record.id.clone(), record.revision, record.value.started_ms)
    };
    Some(records.iter().map(row).collect())
}

/// Whether each record, and nothing else, is found by its name.
fn indexes_fit(program: &Program) -> bool {
    let Some(ready) = program.ready() else {
        return false;
    };
    let all = ready.view.list().unwrap_or_default();
    ["name-0", "name-1", "name-2"].iter().all(|name| {
        let named = all
            .iter()
            .filter(|vm| vm.value.name.to_lowercase() == *name);
        let found = ready.view.find(indexes::NAME, name).unwrap_or_default();
        named.eq(found.iter())
    })
}
