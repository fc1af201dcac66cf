//! Intervals that are changed while the service runs.

use contracts::Code;
use contracts::refresher::{Interval, Intervals, SetIntervalRequest};
use contracts::{Status, subjects};
use futures::StreamExt as _;
use kit::bus::headers;
use prost::Message as _;
use support::eventually;

use crate::harness::{Fleet, context, kind, target};

async fn set(fleet: &Fleet, request: SetIntervalRequest) -> Result<Intervals, Status> {
    fleet.client.set_interval(&context(), &request).await
}

fn for_server(kind: &str, server_id: &str, interval: Option<Interval>) -> SetIntervalRequest {
    SetIntervalRequest {
        kind: kind.to_owned(),
        server_id: server_id.to_owned(),
        interval,
        ..SetIntervalRequest::default()
    }
}

fn secs(secs: u32) -> Option<Interval> {
    Some(Interval { secs, off: false })
}

#[tokio::test]
async fn an_interval_that_is_set_counts_at_once_in_every_instance_and_is_an_event() {
    let targets = vec![target("h1", &["library"]), target("h2", &["library"])];
    let fleet = Fleet::start(vec![kind("library", 3_600)], targets).await;
    let (a, b) = (fleet.instance("a").await, fleet.instance("b").await);
    fleet.until_known("library", 2).await;
    assert_eq!(fleet.played.count("library", "h1"), 0);
    set(&fleet, for_server("library", "h1", secs(1)))
        .await
        .unwrap();
    eventually("it to be due each second", async || {
        (fleet.played.count("library", "h1") >= 3).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(fleet.played.count("library", "h2"), 0);
    // Group above: only h2 has no word of its own.
    let site = SetIntervalRequest {
        kind: "library".to_owned(),
        group_id: "site".to_owned(),
        interval: secs(1),
        ..SetIntervalRequest::default()
    };
    set(&fleet, site).await.unwrap();
    eventually("the group's to count", async || {
        (fleet.played.count("library", "h2") >= 2).then_some(())
    })
    .await
    .unwrap();
    let off = Some(Interval { secs: 0, off: true });
    let now = set(&fleet, for_server("library", "h1", off)).await.unwrap();
    assert!(now.servers["h1"].off);
    eventually("both instances to know", async || {
        let kinds = fleet
            .client
            .list_kinds(&context(), &Default::default())
            .await;
        let kinds = kinds.ok()?.kinds;
        (kinds.first()?.off == 1).then_some(())
    })
    .await
    .unwrap();

    let kind = subjects::events_of_kind("refresher");
    let mut events = fleet.bus.read(subjects::EVENTS, &kind, 1).await.unwrap();
    let first = events.next().await.unwrap().unwrap();
    let event = contracts::common::Event::decode(first.message.payload.clone()).unwrap();
    assert_eq!(
        (event.id.as_str(), event.verb.as_str()),
        ("library", "created")
    );
    assert!(first.message.get(headers::MESSAGE_ID).is_some());
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn what_a_kind_does_not_allow_is_refused() {
    let targets = vec![target("h1", &["light"])];
    let fleet = Fleet::start(vec![kind("light", 60)], targets).await;
    let a = fleet.instance("a").await;
    fleet.until_known("light", 1).await;
    let off = Some(Interval { secs: 0, off: true });
    for (request, code) in [
        (for_server("light", "h1", off), Code::InvalidArgument),
        (
            for_server("light", "h1", secs(7_200)),
            Code::InvalidArgument,
        ),
        (for_server("light", "a/b", secs(60)), Code::InvalidArgument),
        (for_server("tips", "h1", secs(60)), Code::NotFound),
    ] {
        let refused = set(&fleet, request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), code, "{request:?}");
        assert!(!refused.recommended_action.is_empty());
    }
    let nowhere = SetIntervalRequest {
        kind: "light".to_owned(),
        group_id: "nowhere".to_owned(),
        interval: secs(60),
        ..SetIntervalRequest::default()
    };
    assert_eq!(
        set(&fleet, nowhere).await.unwrap_err().code(),
        Code::NotFound
    );
    a.stop().await;
}
