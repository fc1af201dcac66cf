//! What hosts and machines use.

use axum::Json;
use axum::response::{IntoResponse, Response};
use contracts::performance::{self, HistoryRequest, PerformanceClient, TopRequest};
use contracts::rest::{History, HistoryQuery, MeasuredKind, Top, TopEntry, TopQuery};

use super::change::ReadHeaders;
use super::extract::{Asked, Path, Query};
use super::{Failed, groups, hosts, vms};
use crate::error::{Failure, Outcome};

/// Rows of a list at most.
const LIMIT_MAX: u32 = 1_000;

/// Hosts or virtual machines that use most now.
///
/// Of the last minute; what sends no samples (a machine that is off, a host that does not respond) is not listed.
#[utoipa::path(get, path = "/api/v1/top", tag = "performance", operation_id = "top",
    params(TopQuery, ReadHeaders), responses((status = 200, description = "The busiest first", body = Top), Failed))]
pub(super) async fn top(asked: Asked, Query(query): Query<TopQuery>) -> Outcome<Response> {
    let limit = query.limit.unwrap_or(20);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let message = format!("limit: {limit} is not between 1 and {LIMIT_MAX}.");
        return Err(Failure::invalid("limit", message, "Ask for fewer rows."));
    }
    let group = query.group.as_deref();
    let group = group.map(|text| groups::find(&asked, text)).transpose()?;
    let request = TopRequest {
        kind: query.kind.word().to_owned(),
        sort: query.sort.word().to_owned(),
        limit,
        group_id: group.map(|group| group.id).unwrap_or_default(),
    };
    let answer = PerformanceClient::new(asked.app.caller.clone())
        .top(&asked.context, &request)
        .await?;
    let names = asked.views.names()?;
    let mut items = Vec::with_capacity(answer.entries.len());
    for entry in answer.entries {
        let host = names.host(&entry.host_id).to_owned();
        let name = match query.kind {
            MeasuredKind::Host => host.clone(),
            MeasuredKind::Vm => name_of_vm(&asked, &entry)?,
        };
        items.push(TopEntry::new(entry, name, host));
    }
    let total = answer.total;
    Ok(Json(Top { items, total }).into_response())
}

/// Empty when the machine is gone already.
fn name_of_vm(asked: &Asked, entry: &performance::TopEntry) -> Outcome<String> {
    let vm = asked.views.vms.mirror.get(&entry.id)?;
    Ok(vm.map(|vm| vm.value.name).unwrap_or_default())
}

/// What a host has used: by the minute for the last hour, in means of nine minutes for a week.
#[utoipa::path(get, path = "/api/v1/hosts/{id_or_name}/performance", tag = "performance", operation_id = "get_host_performance",
    params(("id_or_name" = String, Path), HistoryQuery, ReadHeaders),
    responses((status = 200, description = "Its curve", body = History), Failed))]
pub(super) async fn host(
    asked: Asked,
    Path(text): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Outcome<Response> {
    let id = hosts::find(&asked, &text)?.id;
    history(&asked, MeasuredKind::Host, id, &query).await
}

/// What a machine has used: by the minute for the last hour, in means of nine minutes for a week.
///
/// A mean is of what was measured since the machine's power state last changed.
#[utoipa::path(get, path = "/api/v1/vms/{id_or_name}/performance", tag = "performance", operation_id = "get_vm_performance",
    params(("id_or_name" = String, Path), HistoryQuery, ReadHeaders),
    responses((status = 200, description = "Its curve", body = History), Failed))]
pub(super) async fn vm(
    asked: Asked,
    Path(text): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Outcome<Response> {
    let id = vms::find(&asked, &text)?.id;
    history(&asked, MeasuredKind::Vm, id, &query).await
}

async fn history(
    asked: &Asked,
    kind: MeasuredKind,
    id: String,
    query: &HistoryQuery,
) -> Outcome<Response> {
    let resolution = query.resolution.map(performance::Resolution::from);
    let request = HistoryRequest {
        kind: kind.word().to_owned(),
        id,
        from_ms: query.from.map_or(0, |time| time.as_millisecond()),
        to_ms: query.to.map_or(0, |time| time.as_millisecond()),
        resolution: resolution.unwrap_or_default().into(),
    };
    let answer = PerformanceClient::new(asked.app.caller.clone())
        .history(&asked.context, &request)
        .await?;
    Ok(Json(History::from(answer)).into_response())
}
