//! Ratings, the reasons of placements, questions, and rules.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use contracts::common::Empty;
use contracts::jobs::Job;
use contracts::performance::{HistoryRequest, PerformanceClient};
use contracts::placement::{self, PlacementClient, PlanningClient, RuleRef};
use contracts::records::indexes;
use contracts::rest::{
    AddRule, Decision, ExpectedLoad, MeasuredKind, Placing, RateRequest, Ratings, Rule, Rules,
    Simulate, Simulation,
};
use contracts::{Code, ObjectRef, Status, names};

use super::change::{ReadHeaders, reflecting};
use super::extract::{Asked, Body, Path};
use super::{Failed, groups, hosts, vms};
use crate::core::learnt;
use crate::core::placing::{self, NamedHosts, NamedParts};
use crate::error::Outcome;

/// How long a rating waits for what a machine has used.
const HISTORY_PATIENCE: Duration = Duration::from_secs(1);

/// As far back as means are kept.
const WEEK_MS: i64 = 7 * 24 * 3_600_000;

/// Ids of the hosts that a placement is to be on, or rather on.
pub(super) fn named(asked: &Asked, placing: &Placing) -> Outcome<NamedHosts> {
    Ok(NamedHosts {
        possible: host_ids(asked, &placing.possible_hosts)?,
        preferred: host_ids(asked, &placing.preferred_hosts)?,
    })
}

fn host_ids(asked: &Asked, named: &[String]) -> Outcome<Vec<String>> {
    let id = |text: &String| Ok(hosts::find(asked, text)?.id);
    named.iter().map(id).collect()
}

/// Rates every host in scope for a machine, best first. Changes nothing.
#[utoipa::path(post, path = "/api/v1/placement/rate", tag = "placement", operation_id = "rate",
    params(ReadHeaders), request_body = RateRequest,
    responses((status = 200, description = "Ratings, best first", body = Ratings), Failed))]
pub(super) async fn rate(asked: Asked, Body(request): Body<RateRequest>) -> Outcome<Response> {
    let scope = vms::scope(&asked, request.group.as_deref(), request.host.as_deref())?;
    let named = named(&asked, &request.placing)?;
    let vm = request.vm.as_deref().map(|text| vms::find(&asked, text));
    let vm_id = vm.transpose()?.map(|vm| vm.id).unwrap_or_default();
    let mut request = placing::rate(request, scope, named, vm_id)?;
    let learnt = learn(&asked, &mut request).await;
    let answer = PlacementClient::new(asked.app.caller.clone())
        .rate(&asked.context, &request)
        .await?;
    let ratings = Ratings {
        learnt,
        ..answer.into()
    };
    Ok(reflecting(&asked, Json(ratings)))
}

/// Fills in what a machine that there is may be expected to use. Without an answer in time it is the site's default.
async fn learn(asked: &Asked, request: &mut placement::RateRequest) -> Option<ExpectedLoad> {
    let needs = request.requirements.as_mut();
    let needs = needs.filter(|needs| !request.vm_id.is_empty() && learnt::is_wanted(needs))?;
    let week = HistoryRequest {
        kind: MeasuredKind::Vm.word().to_owned(),
        id: request.vm_id.clone(),
        from_ms: asked.app.world.now_ms() - WEEK_MS,
        ..HistoryRequest::default()
    };
    // Means are there when nine minutes are over; minutes are of the last hour.
    let hour = HistoryRequest {
        from_ms: 0,
        ..week.clone()
    };
    let client = PerformanceClient::new(asked.app.caller.clone());
    let context = asked.context.with_timeout(HISTORY_PATIENCE);
    for span in [week, hour] {
        match client.history(&context, &span).await {
            Ok(history) => {
                let Some(load) = learnt::load(&history.points) else {
                    continue;
                };
                learnt::fill(needs, &load);
                return Some(load);
            }
            Err(status) => {
                tracing::warn!(%status, vm = span.id, "what a machine used is not known; it is rated by the default");
                return None;
            }
        }
    }
    None
}

/// Why a virtual machine is where it was placed: the hosts that it was chosen from, as they were, and whether deciding again
/// gives the same.
#[utoipa::path(get, path = "/api/v1/placement/why/{id_or_name}", tag = "placement", operation_id = "why",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 200, description = "The decision", body = Decision), Failed))]
pub(super) async fn why(asked: Asked, Path(text): Path<String>) -> Outcome<Response> {
    let vm = vms::find(&asked, &text)?;
    let target = format!("vm/{}", vm.id);
    let jobs = asked.views.jobs.mirror.find(indexes::TARGET, &target)?;
    let placed = jobs.into_iter().map(|job| job.value);
    let placed = placed.filter(|job| job.decision.is_some());
    let latest = placed.max_by_key(|job: &Job| (job.created_ms, job.id.clone()));
    let Some(job) = latest else {
        return Err(never_placed(&vm.id, &vm.value.name).into());
    };
    let mut decision = job.decision.unwrap_or_default();
    decision.ratings = job.ratings;
    let replayed = PlanningClient::new(asked.app.caller.clone())
        .replay(&asked.context, &decision)
        .await?;
    let decision = Decision::new(decision, replayed.same);
    Ok(reflecting(&asked, Json(decision)))
}

fn never_placed(id: &str, name: &str) -> Status {
    let message = format!("No job that there still is has placed virtual machine {name}.");
    Status::new(Code::NotFound, message)
        .about(ObjectRef::new("vm", id, name))
        .action("Machines that were found on their hosts were never placed; jobs are kept 90 days.")
}

/// Says what would fit on a copy of the fleet that is changed as asked. Changes nothing.
#[utoipa::path(post, path = "/api/v1/placement/simulate", tag = "placement", operation_id = "simulate",
    params(ReadHeaders), request_body = Simulate,
    responses((status = 200, description = "What would become of it", body = Simulation), Failed))]
pub(super) async fn simulate(asked: Asked, Body(request): Body<Simulate>) -> Outcome<Response> {
    let group_id = |text: &String| Ok::<_, crate::error::Failure>(groups::find(&asked, text)?.id);
    let lost = request.lose_groups.iter().map(group_id);
    let named = NamedParts {
        hosts: host_ids(&asked, &request.lose_hosts)?,
        groups: lost.collect::<Outcome<_>>()?,
        group_id: request
            .group
            .as_ref()
            .map(group_id)
            .transpose()?
            .unwrap_or_default(),
    };
    let request = placing::simulate(request, named);
    let answer = PlanningClient::new(asked.app.caller.clone())
        .simulate(&asked.context, &request)
        .await?;
    Ok(reflecting(&asked, Json(Simulation::from(answer))))
}

/// Rules of placement, in order of name.
#[utoipa::path(get, path = "/api/v1/placement/rules", tag = "placement", operation_id = "list_rules",
    params(ReadHeaders), responses((status = 200, description = "Every rule", body = Rules), Failed))]
pub(super) async fn list_rules(asked: Asked) -> Outcome<Response> {
    let answer = PlanningClient::new(asked.app.caller.clone())
        .list_rules(&asked.context, &Empty {})
        .await?;
    Ok(reflecting(&asked, Json(Rules::from(answer))))
}

/// Makes a rule, unless it contradicts those that there are.
#[utoipa::path(post, path = "/api/v1/placement/rules", tag = "placement", operation_id = "add_rule",
    params(ReadHeaders), request_body = AddRule,
    responses((status = 201, description = "The rule", body = Rule), Failed))]
pub(super) async fn add_rule(asked: Asked, Body(request): Body<AddRule>) -> Outcome<Response> {
    let vm_id = |text: &String| Ok::<_, crate::error::Failure>(vms::find(&asked, text)?.id);
    let vm_ids: Vec<String> = request.vms.iter().map(vm_id).collect::<Outcome<_>>()?;
    let host_ids = host_ids(&asked, &request.hosts)?;
    let rule = placing::rule(asked.app.world.new_id(), request, vm_ids, host_ids);
    let made = PlanningClient::new(asked.app.caller.clone())
        .add_rule(&asked.context, &rule)
        .await?;
    Ok(reflecting(
        &asked,
        (StatusCode::CREATED, Json(Rule::from(made))),
    ))
}

/// Forgets a rule. Machines stay where they are.
#[utoipa::path(delete, path = "/api/v1/placement/rules/{id_or_name}", tag = "placement", operation_id = "remove_rule",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 200, description = "The rule that was", body = Rule), Failed))]
pub(super) async fn remove_rule(asked: Asked, Path(text): Path<String>) -> Outcome<Response> {
    let planning = PlanningClient::new(asked.app.caller.clone());
    let rules = planning.list_rules(&asked.context, &Empty {}).await?.rules;
    let rule = rules
        .into_iter()
        .find(|rule| rule.id == text || rule.name == text);
    let Some(rule) = rule else {
        let object = ObjectRef::new("placement_rule", "", &names::shorten(&text));
        return Err(Status::not_found(object).into());
    };
    let which = RuleRef {
        id: rule.id.clone(),
    };
    planning.remove_rule(&asked.context, &which).await?;
    Ok(reflecting(&asked, Json(Rule::from(rule))))
}
