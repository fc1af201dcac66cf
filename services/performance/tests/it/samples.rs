//! Samples in, lists and curves out.

use contracts::inventory::host::Approval;
use contracts::performance::{HistoryRequest, Resolution, TopRequest};
use contracts::{Code, subjects};
use support::eventually;

use crate::harness::{Site, samples};

const NINE_MINUTES_MS: i64 = 9 * 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_instance_hears_every_host_and_the_busiest_come_first() {
    let mut site = Site::start().await;
    site.put_group("root", "").await;
    site.put_group("prod", "root").await;
    site.put_host("h1", "root", Approval::Approved).await;
    site.put_host("h2", "prod", Approval::Approved).await;
    site.start_instance("a").await;
    site.start_instance("b").await;
    let sent = [
        samples("h1", &[("v1", 10.0), ("v2", 90.0)]),
        samples("h2", &[("v3", 50.0)]),
    ];
    assert_eq!(site.top_vms(3, &sent).await, ["v2", "v3", "v1"]);
    site.stop_instance().await;
    assert_eq!(site.top_vms(3, &sent).await, ["v2", "v3", "v1"]);
    let below = TopRequest {
        kind: "vm".to_owned(),
        group_id: "prod".to_owned(),
        ..TopRequest::default()
    };
    let answer = site.top(below).await.unwrap();
    assert_eq!((answer.entries[0].id.as_str(), answer.total), ("v3", 1));
    assert_eq!(answer.entries[0].host_id, "h2");
    let usage = answer.entries[0].usage.unwrap();
    assert_eq!(usage.cpu_percent, Some(50.0));
    assert_eq!(
        usage.disk_read_bytes_per_sec, None,
        "what cannot be had is no 0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_passed_over_and_harms_no_other() {
    let mut site = Site::start().await;
    site.put_group("root", "").await;
    site.put_host("good", "root", Approval::Approved).await;
    site.put_host("new", "root", Approval::Pending).await;
    site.start_instance("a").await;
    let good = [samples("good", &[("v1", 10.0)])];
    site.top_vms(1, &good).await;
    // Not heard: who does not take part, who speaks for another, whose machines are none.
    site.send(&samples("new", &[("v2", 99.0)])).await;
    site.send(&samples("stranger", &[("v3", 99.0)])).await;
    let forged = samples("good", &[("v4", 99.0)]);
    let subject = subjects::samples("new");
    site.send_on(&subject, prost::Message::encode_to_vec(&forged))
        .await;
    site.send_on(&subject, vec![0xff; 100]).await;
    site.send(&samples("good", &[("not an id", 99.0)])).await;
    let many: Vec<(&str, f32)> = vec![("v5", 1.0); 5_000];
    site.send(&samples("good", &many)).await;
    assert_eq!(site.top_vms(1, &good).await, ["v1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn means_are_kept_across_a_restart() {
    let mut site = Site::start().await;
    site.put_group("root", "").await;
    site.put_host("h1", "root", Approval::Approved).await;
    site.start_instance("a").await;
    site.top_vms(1, &[samples("h1", &[("v1", 40.0)])]).await;
    let mut ask = HistoryRequest {
        kind: "vm".to_owned(),
        id: "v1".to_owned(),
        ..HistoryRequest::default()
    };
    let minutes = site.history(&ask).await.unwrap();
    assert_eq!(minutes.resolution(), Resolution::Minute);
    assert!(!minutes.points.is_empty());
    site.clock.move_by_ms(NINE_MINUTES_MS);
    ask.from_ms = 1;
    let of_week = async |site: &Site| {
        eventually("the mean to be kept", async || {
            let answer = site.history(&ask).await.ok()?;
            (!answer.points.is_empty()).then_some(answer)
        })
        .await
        .unwrap()
    };
    let before = of_week(&site).await;
    assert_eq!(before.resolution(), Resolution::NineMinutes);
    let cpu = before.points[0].usage.unwrap().cpu_percent.unwrap();
    assert!((cpu - 40.0).abs() < 0.5, "{cpu}");
    site.stop_instance().await;
    site.start_instance("a").await;
    assert_eq!(of_week(&site).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_makes_no_sense_is_refused_by_name() {
    let mut site = Site::start().await;
    site.put_group("root", "").await;
    site.put_host("h1", "root", Approval::Approved).await;
    site.start_instance("a").await;
    site.top_vms(1, &[samples("h1", &[("v1", 40.0)])]).await;
    let top = |kind: &str, sort: &str, group: &str| TopRequest {
        kind: kind.to_owned(),
        sort: sort.to_owned(),
        group_id: group.to_owned(),
        ..TopRequest::default()
    };
    for (request, code) in [
        (top("datastore", "", ""), Code::InvalidArgument),
        (top("vm", "beauty", ""), Code::InvalidArgument),
        (top("vm", "", "nowhere"), Code::NotFound),
    ] {
        let refused = site.top(request).await.unwrap_err();
        assert_eq!(refused.code(), code);
        assert!(!refused.recommended_action.is_empty() || code == Code::NotFound);
    }
    let backwards = HistoryRequest {
        kind: "host".to_owned(),
        id: "h1".to_owned(),
        from_ms: 2_000,
        to_ms: 1_000,
        ..HistoryRequest::default()
    };
    let refused = site.history(&backwards).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}
