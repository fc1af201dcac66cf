//! Hosts that make themselves known.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::common::PropertyChange;
use contracts::inventory::host::Approval;
use contracts::inventory::{CreateJoinTokenRequest, Host, JoinToken, ObjectId, RegisterRequest};
use contracts::jobs::{
    FoundChange, JOBS, Job, JobRef, Jobs, JobsServer, RecordRequest, SubmitRequest, SubmitResponse,
};
use contracts::{Code, Status};
use kit::rpc::{Gate, Server, serve};

use crate::harness::{Fleet, code, context, host_change, registration};

/// Notes what was recorded.
#[derive(Default)]
struct Recorded(Mutex<Vec<FoundChange>>);

#[async_trait]
impl Jobs for Recorded {
    async fn submit(&self, _: &Context, _: SubmitRequest) -> Result<SubmitResponse, Status> {
        Err(Status::internal("not asked for here"))
    }

    async fn cancel(&self, _: &Context, _: JobRef) -> Result<Job, Status> {
        Ok(Job::default())
    }

    async fn restart(&self, _: &Context, _: JobRef) -> Result<Job, Status> {
        Ok(Job::default())
    }

    async fn record(&self, context: &Context, request: RecordRequest) -> Result<Empty, Status> {
        assert_eq!(context.principal, "system");
        self.0.lock().unwrap().extend(request.found);
        Ok(Empty {})
    }
}

async fn serve_jobs(fleet: &Fleet) -> (Arc<Recorded>, Server) {
    let jobs = Arc::new(Recorded::default());
    let gate: Arc<dyn Gate> = Arc::<kit::records::Store>::clone(&fleet.store);
    let served = Arc::new(JobsServer(Arc::clone(&jobs)));
    let server = serve(&fleet.bus, gate, JOBS.subject, served).await.unwrap();
    (jobs, server)
}

async fn token(fleet: &Fleet, group_id: &str) -> String {
    let request = CreateJoinTokenRequest {
        group_id: group_id.to_owned(),
        lifetime_secs: 0,
    };
    fleet
        .client
        .create_join_token(&context(), &request)
        .await
        .unwrap()
        .token
}

fn with_token(id: &str, token: &str) -> RegisterRequest {
    RegisterRequest {
        join_token: token.to_owned(),
        ..registration(id, 1)
    }
}

#[tokio::test]
async fn a_host_waits_until_it_is_approved() {
    let fleet = Fleet::start().await;
    let (client, context) = (&fleet.client, context());
    let answer = client
        .register(&context, &registration("h1", 1))
        .await
        .unwrap();
    assert!(!answer.approved && answer.message.contains("approval"));
    assert_eq!(answer.retry_after_ms, 2_000);
    let host = fleet.record::<Host>("h1").await.unwrap();
    assert_eq!(host.approval(), Approval::Pending);
    let too_early = client.move_host(&context, &host_change("h1", "")).await;
    assert_eq!(code(too_early), Some(Code::FailedPrecondition));
    fleet.add_group("lab", "").await;
    let host = client
        .approve_host(&context, &host_change("h1", "lab"))
        .await
        .unwrap();
    assert_eq!(
        (host.approval(), host.group_id.as_str()),
        (Approval::Approved, "lab")
    );
    assert!(
        client
            .register(&context, &registration("h1", 1))
            .await
            .unwrap()
            .approved
    );
}

#[tokio::test]
async fn of_two_agents_with_one_identity_the_older_is_refused() {
    let fleet = Fleet::start().await;
    let (client, context) = (&fleet.client, context());
    client
        .register(&context, &registration("h1", 2))
        .await
        .unwrap();
    let older = client
        .register(&context, &registration("h1", 1))
        .await
        .unwrap_err();
    assert_eq!(older.code(), Code::FailedPrecondition);
    assert!(older.message.contains("Another agent"));
}

#[tokio::test]
async fn what_cannot_be_a_host_is_refused_before_anything_is_written() {
    let fleet = Fleet::start().await;
    let (client, context) = (&fleet.client, context());
    for bad in ["", "a.b", "../x"] {
        let refused = client.register(&context, &registration(bad, 1)).await;
        assert_eq!(code(refused), Some(Code::InvalidArgument), "{bad}");
    }
    let good = token(&fleet, "").await;
    let (id, _) = good.split_once('.').unwrap();
    for bad in [
        "nonsense",
        "a.b",
        &format!("{id}.{id}"),
        &format!("{good}x"),
    ] {
        let refused = client
            .register(&context, &with_token("h1", bad))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{bad}");
        assert!(refused.recommended_action.contains("join token"));
    }
    assert!(fleet.records::<Host>().await.is_empty());
}

#[tokio::test]
async fn a_host_with_a_join_token_is_in_the_fleet_at_once_and_a_job_says_on_whose_word() {
    let fleet = Fleet::start().await;
    fleet.add_group("lab", "").await;
    let (jobs, server) = serve_jobs(&fleet).await;
    let request = with_token("h1", &token(&fleet, "lab").await);
    for _ in 0..2 {
        let answer = fleet.client.register(&context(), &request).await.unwrap();
        assert!(answer.approved, "{}", answer.message);
    }
    let host = fleet.record::<Host>("h1").await.unwrap();
    assert_eq!(
        (host.approval(), host.group_id.as_str()),
        (Approval::Approved, "lab")
    );
    let recorded = jobs.0.lock().unwrap().clone();
    let [joined] = recorded.as_slice() else {
        panic!("not once: {recorded:?}");
    };
    let said = (joined.kind.as_str(), joined.owner.as_str());
    assert_eq!(said, ("host_add", context().principal.as_str()));
    let id = joined.target.as_ref().map(|target| target.id.as_str());
    assert_eq!(id, Some("h1"));
    let is_told = |change: &&PropertyChange| change.property == "approval";
    assert!(joined.changes.iter().any(|change| is_told(&change)));
    server.stop().await;
}

#[tokio::test]
async fn a_host_with_a_join_token_does_not_wait_for_jobs() {
    let fleet = Fleet::start().await;
    let request = with_token("h1", &token(&fleet, "").await);
    let answer = fleet.client.register(&context(), &request).await.unwrap();
    assert!(answer.approved, "{}", answer.message);
}

#[tokio::test]
async fn a_join_token_of_a_group_that_is_gone_lets_nobody_in() {
    let fleet = Fleet::start().await;
    fleet.add_group("lab", "").await;
    let request = with_token("h1", &token(&fleet, "lab").await);
    let lab = ObjectId {
        id: "lab".to_owned(),
        ..ObjectId::default()
    };
    fleet.client.delete_group(&context(), &lab).await.unwrap();
    let answer = fleet.client.register(&context(), &request).await.unwrap();
    assert!(!answer.approved);
    assert!(answer.message.contains("group"), "{}", answer.message);
    let host = fleet.record::<Host>("h1").await.unwrap();
    assert_eq!(host.approval(), Approval::Pending);
}

#[tokio::test]
async fn a_join_token_ends_and_its_secret_is_kept_nowhere() {
    let fleet = Fleet::start().await;
    let shown = token(&fleet, "").await;
    let (id, secret) = shown.split_once('.').unwrap();
    let kept = fleet.record::<JoinToken>(id).await.unwrap();
    assert!(!kept.hash.is_empty());
    assert!(!String::from_utf8_lossy(&kept.hash).contains(secret));
    fleet.clock.advance_ms(3_600_001);
    let late = fleet
        .client
        .register(&context(), &with_token("h1", &shown))
        .await
        .unwrap_err();
    assert_eq!(late.code(), Code::Unauthenticated);
    assert!(late.message.contains("expired"));
    let forever = CreateJoinTokenRequest {
        lifetime_secs: 31 * 24 * 3600,
        ..CreateJoinTokenRequest::default()
    };
    let refused = fleet.client.create_join_token(&context(), &forever).await;
    assert_eq!(code(refused), Some(Code::InvalidArgument));
}
