//! Typed calls on a real nats-server.

mod hostile;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use contracts::call::{Call, Context, Revisions};
use contracts::common::Empty;
use contracts::placement::{
    PlaceRequest, PlaceResponse, Placement, PlacementClient, PlacementServer, RateRequest,
    RateResponse, ReleaseRequest,
};
use contracts::{Code, ObjectRef, Status, subjects};
use futures::StreamExt;
use kit::bus::nats::NatsBus;
use kit::bus::{Bus, Endpoints};
use kit::rpc::{Caller, Gate, Server, serve};
use support::{NatsServer, eventually};
use tokio::sync::Notify;

/// Says yes, no, nothing, or falls over, as the request wants.
#[derive(Default)]
struct Fickle {
    calls: AtomicU32,
    entered: Notify,
    go_on: Notify,
}

#[async_trait]
impl Placement for Fickle {
    async fn rate(&self, context: &Context, request: RateRequest) -> Result<RateResponse, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match request.group_id.as_str() {
            "no" => Err(Status::not_found(ObjectRef::new("host_group", "no", ""))),
            "panic" => panic!("on purpose"),
            "wait" => {
                self.entered.notify_one();
                self.go_on.notified().await;
                Ok(RateResponse::default())
            }
            "principal" => Err(Status::precondition(format!(
                "{} {} {}",
                context.principal, context.job_id, context.idempotency_key
            ))),
            _ => {
                context.saw("host_claims", 7);
                Ok(RateResponse::default())
            }
        }
    }

    async fn place(&self, _: &Context, _: PlaceRequest) -> Result<PlaceResponse, Status> {
        Ok(PlaceResponse::default())
    }

    async fn release(&self, _: &Context, _: ReleaseRequest) -> Result<Empty, Status> {
        Ok(Empty {})
    }
}

/// A view that is behind everything.
struct Never;

#[async_trait]
impl Gate for Never {
    async fn wait_for(&self, revisions: &Revisions, timeout: Duration) -> bool {
        if revisions.is_empty() {
            return true;
        }
        tokio::time::sleep(timeout / 2).await; // slow on purpose
        false
    }
}

async fn start(nats: &NatsServer) -> (Arc<Fickle>, Server, PlacementClient) {
    let bus: Arc<dyn Bus> = Arc::new(NatsBus::connect("test", &nats.bus_config()).await.unwrap());
    let fickle = Arc::new(Fickle::default());
    let placement = Arc::new(PlacementServer(Arc::clone(&fickle)));
    let server = serve(&bus, Arc::new(Never), "placement", placement)
        .await
        .unwrap();
    let caller: Arc<dyn Call> = Caller::new(bus);
    (fickle, server, PlacementClient::new(caller))
}

fn of_group(group_id: &str) -> RateRequest {
    RateRequest {
        group_id: group_id.to_owned(),
        ..RateRequest::default()
    }
}

#[tokio::test]
async fn an_answer_brings_the_revisions_that_it_reflects() {
    let nats = NatsServer::start().await.unwrap();
    let (_, _server, client) = start(&nats).await;
    let context = Context::new("alice");
    client.rate(&context, &of_group("")).await.unwrap();
    assert_eq!(context.seen_of("host_claims"), 7);
}

#[tokio::test]
async fn a_call_under_a_key_survives_the_instance_that_has_it() {
    let nats = NatsServer::start().await.unwrap();
    let dying: Arc<dyn Bus> = Arc::new(NatsBus::connect("test", &nats.bus_config()).await.unwrap());
    let subject = subjects::call("placement", "Rate");
    let mut taken = dying
        .serve(Endpoints {
            service: "placement".to_owned(),
            endpoints: vec![("Rate".to_owned(), subject)],
        })
        .await
        .unwrap();
    let bus: Arc<dyn Bus> = Arc::new(NatsBus::connect("test", &nats.bus_config()).await.unwrap());
    let client = PlacementClient::new(Caller::new(bus));
    let call = tokio::spawn(async move {
        let mut context = Context::new("alice");
        context.idempotency_key = "k1".to_owned();
        client.rate(&context, &of_group("")).await
    });
    // It takes the request, and is gone with it.
    taken.requests.next().await.unwrap();
    drop((taken, dying));
    let (_, _server, _) = start(&nats).await;
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_error_arrives_whole_with_its_object_and_action() {
    let nats = NatsServer::start().await.unwrap();
    let (_, _server, client) = start(&nats).await;
    let error = client
        .rate(&Context::new("alice"), &of_group("no"))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        Status::not_found(ObjectRef::new("host_group", "no", ""))
    );
}

#[tokio::test]
async fn who_asks_and_for_which_job_travels_along() {
    let nats = NatsServer::start().await.unwrap();
    let (_, _server, client) = start(&nats).await;
    let mut context = Context::new("alice");
    context.job_id = "job-1".to_owned();
    context.idempotency_key = "key".to_owned();
    let error = client
        .rate(&context, &of_group("principal"))
        .await
        .unwrap_err();
    assert_eq!(error.message, "alice job-1 key");
}

#[tokio::test]
async fn a_handler_that_falls_over_is_answered_for_and_serves_on() {
    let nats = NatsServer::start().await.unwrap();
    let (_, _server, client) = start(&nats).await;
    let context = Context::new("alice");
    let error = client.rate(&context, &of_group("panic")).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    client.rate(&context, &of_group("")).await.unwrap();
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_on_both_sides() {
    let nats = NatsServer::start().await.unwrap();
    let (_, _server, client) = start(&nats).await;
    let context = Context::new("alice").with_timeout(Duration::from_millis(200));
    let error = client.rate(&context, &of_group("wait")).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_slow_request_does_not_hold_up_the_others() {
    let nats = NatsServer::start().await.unwrap();
    let (fickle, _server, client) = start(&nats).await;
    let slow = client.clone();
    let slow = tokio::spawn(async move { slow.rate(&Context::new("a"), &of_group("wait")).await });
    fickle.entered.notified().await;
    client
        .rate(&Context::new("b"), &of_group(""))
        .await
        .unwrap();
    fickle.go_on.notify_one();
    slow.await.unwrap().unwrap();
}

#[tokio::test]
async fn stopping_lets_running_requests_finish_and_takes_no_more() {
    let nats = NatsServer::start().await.unwrap();
    let (fickle, server, client) = start(&nats).await;
    let slow = client.clone();
    let slow = tokio::spawn(async move { slow.rate(&Context::new("a"), &of_group("wait")).await });
    fickle.entered.notified().await;
    let stopping = tokio::spawn(server.stop());
    eventually("new requests to find nobody", async || {
        let context = Context::new("b").with_timeout(Duration::from_secs(1));
        let refused = client.rate(&context, &of_group("")).await;
        refused
            .is_err_and(|e| e.code() == Code::Unavailable)
            .then_some(())
    })
    .await
    .unwrap();
    fickle.go_on.notify_one();
    slow.await.unwrap().unwrap();
    stopping.await.unwrap();
}

#[tokio::test]
async fn an_instance_that_is_behind_says_so_instead_of_answering_from_the_past() {
    let nats = NatsServer::start().await.unwrap();
    let (fickle, _server, client) = start(&nats).await;
    let context = Context::new("alice").with_timeout(Duration::from_secs(1));
    context.saw("vm", 99);
    let error = client.rate(&context, &of_group("")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(fickle.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let nats = NatsServer::start().await.unwrap();
    let bus: Arc<dyn Bus> = Arc::new(NatsBus::connect("test", &nats.bus_config()).await.unwrap());
    let client = PlacementClient::new(Caller::new(bus));
    let error = client
        .rate(&Context::new("a"), &of_group(""))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message.contains("not running"), "{error}");
}

#[tokio::test]
async fn the_stock_discovery_finds_every_instance_and_method() {
    let nats = NatsServer::start().await.unwrap();
    let (_, _one, _) = start(&nats).await;
    let (_, _two, _) = start(&nats).await;
    let client = async_nats::connect(nats.url()).await.unwrap();
    let info = client
        .request("$SRV.INFO.placement", "".into())
        .await
        .unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.payload).unwrap();
    let names: Vec<_> = info["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 3);
    assert!(names.contains(&"Rate"), "{names:?}");
}

#[tokio::test]
async fn two_instances_share_the_calls() {
    let nats = NatsServer::start().await.unwrap();
    let (one, _server_one, client) = start(&nats).await;
    let (two, _server_two, _) = start(&nats).await;
    eventually("both to have served", async || {
        client
            .rate(&Context::new("a"), &of_group(""))
            .await
            .unwrap();
        let served = |f: &Fickle| f.calls.load(Ordering::SeqCst) > 0;
        (served(&one) && served(&two)).then_some(())
    })
    .await
    .unwrap();
}
