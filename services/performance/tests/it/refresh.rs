//! What nobody said is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use contracts::call::{Context, Revisions, Serve, Service};
use contracts::host::{HOST, SendSamplesResponse};
use contracts::inventory::host::Approval;
use contracts::refresher::{
    Announcement, ListTargetsRequest, Outcome, RefreshRequest, RefreshResponse, RefreshableClient,
};
use contracts::{Code, Status, subjects};
use futures::StreamExt as _;
use kit::bus::{Bus, Message};
use kit::rpc::{Caller, Gate};
use prost::Message as _;
use support::eventually;

use crate::harness::{Site, samples};

/// A host that says what it uses when it is asked, and never else.
struct Silent {
    bus: Arc<dyn Bus>,
    asked: Arc<AtomicU32>,
}

#[async_trait]
impl Serve for Silent {
    fn service(&self) -> &'static Service {
        &HOST
    }

    async fn dispatch(&self, method: &str, _: &Context, _: &[u8]) -> Result<Vec<u8>, Status> {
        assert_eq!(method, "SendSamples");
        self.asked.fetch_add(1, Ordering::SeqCst);
        let payload = samples("h1", &[("v1", 40.0)]).encode_to_vec();
        let bytes = payload.len() as u64;
        let subject = subjects::samples("h1");
        let sent = self.bus.publish(&subject, Message::new(payload)).await;
        sent.unwrap();
        Ok(SendSamplesResponse { bytes }.encode_to_vec())
    }
}

struct NoRecords;

#[async_trait]
impl Gate for NoRecords {
    async fn wait_for(&self, _: &Revisions, _: Duration) -> bool {
        true
    }
}

/// Refreshes what a host uses; for a job, or because it is due.
async fn refresh(
    client: &RefreshableClient,
    target_id: &str,
    job_id: &str,
) -> Result<RefreshResponse, Status> {
    let mut context = Context::new("refresher").with_timeout(Duration::from_secs(5));
    context.job_id = job_id.to_owned();
    let request = RefreshRequest {
        kind: "performance".to_owned(),
        target_id: target_id.to_owned(),
        ..RefreshRequest::default()
    };
    client.refresh(&context, &request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_which_nothing_was_heard_is_asked_and_every_instance_hears_it() {
    let mut site = Site::start().await;
    site.put_group("root", "").await;
    site.put_host("h1", "root", Approval::Approved).await;
    site.put_host("h2", "root", Approval::Approved).await;
    let mut said = site
        .bus
        .subscribe(&subjects::refreshable("*"))
        .await
        .unwrap();
    let host = Silent {
        bus: Arc::clone(&site.bus),
        asked: Arc::default(),
    };
    let asked = Arc::clone(&host.asked);
    let count = || asked.load(Ordering::SeqCst);
    let subject = HOST.subject_of_host("h1");
    let _serving = kit::rpc::serve(&site.bus, Arc::new(NoRecords), &subject, Arc::new(host))
        .await
        .unwrap();
    site.start_instance("a").await;
    site.start_instance("b").await;
    let announced = Announcement::decode(said.next().await.unwrap().message.payload).unwrap();
    assert_eq!(announced.kinds[0].name, "performance");
    assert_eq!(announced.kinds[0].interval_secs, 540);

    let client = RefreshableClient::new(Caller::new(Arc::clone(&site.bus)), "performance");
    let context = Context::new("refresher");
    let targets = client
        .list_targets(&context, &ListTargetsRequest::default())
        .await
        .unwrap();
    assert_eq!(targets.targets.len(), 2);
    let first = refresh(&client, "h1", "").await.unwrap();
    assert_eq!(first.outcome(), Outcome::Unchanged);
    assert!(first.bytes > 0 && count() == 1);
    // Whichever instance answers has it; they may have begun to listen after the first.
    eventually("both instances to have heard", async || {
        refresh(&client, "h1", "job-1").await.unwrap();
        let heard = site.top_vms(1, &[]).await == ["v1"];
        heard.then_some(())
    })
    .await
    .unwrap();
    let times = count();
    assert!(times >= 2, "what a person asks for is asked of the host");
    eventually("what was heard not to be asked for", async || {
        let answer = refresh(&client, "h1", "").await.unwrap();
        (answer.bytes == 0).then_some(())
    })
    .await
    .unwrap();

    // A host that does not answer is named, so that it alone is held back.
    let failed = refresh(&client, "h2", "").await.unwrap_err();
    assert_eq!(failed.object.unwrap().id, "h2");
    let other = RefreshRequest {
        kind: "host".to_owned(),
        target_id: "h1".to_owned(),
        ..RefreshRequest::default()
    };
    let refused = client.refresh(&context, &other).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}
