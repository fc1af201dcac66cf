//! The whole at a glance.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use contracts::inventory::host::Approval;
use contracts::rest::{self, Counts, Versions};

use super::Failed;
use super::change::ReadHeaders;
use super::extract::{Asked, Reflecting};
use crate::core::fields::shown_state;
use crate::error::Outcome;

fn count<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    words.fold(BTreeMap::new(), |mut counts, word| {
        *counts.entry(word.to_owned()).or_default() += 1;
        counts
    })
}

fn counts<'a>(words: impl Iterator<Item = &'a str>) -> Counts {
    let by_state = count(words);
    Counts {
        total: by_state.values().sum(),
        by_state,
    }
}

/// How many hosts, virtual machines and jobs there are, by state.
#[utoipa::path(get, path = "/api/v1/status", tag = "status", operation_id = "get_status",
    params(ReadHeaders), responses((status = 200, description = "The status", body = rest::Status), Failed))]
pub(super) async fn status(asked: Asked) -> Outcome<Response> {
    let views = &asked.views;
    let revision = views.revisions();
    let host_groups = views.groups.snapshot()?.count();
    let (hosts, agents) = {
        let hosts = views.hosts.snapshot()?;
        let states = hosts.records().map(|host| match host.approval() {
            Approval::Pending => rest::Approval::Pending.word(),
            Approval::Approved | Approval::Unspecified => {
                rest::HostStatus::from(host.status()).word()
            }
        });
        let facts = hosts.records().filter_map(|host| host.facts.as_ref());
        (
            counts(states),
            count(facts.map(|facts| facts.agent_version.as_str())),
        )
    };
    let vms = {
        let names = views.names()?;
        let vms = views.vms.snapshot()?;
        counts(vms.records().map(|vm| {
            let word = rest::VmState::from(vm.state()).word();
            shown_state(word, &vm.host_id, |id| names.is_silent(id))
        }))
    };
    let jobs = {
        let jobs = views.jobs.snapshot()?;
        counts(
            jobs.records()
                .map(|job| rest::JobState::from(job.state()).word()),
        )
    };
    let status = rest::Status {
        versions: Versions {
            gateway: env!("CARGO_PKG_VERSION").to_owned(),
            agents,
        },
        instance: asked.app.instance.clone(),
        host_groups,
        hosts,
        vms,
        jobs,
        revision: revision.clone(),
    };
    Ok(Reflecting(revision, Json(status)).into_response())
}
