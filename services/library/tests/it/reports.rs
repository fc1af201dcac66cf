//! Reports: in order, once, and each server's own.

use contracts::digest;
use contracts::library::{ItemStatus, ReportRequest, ShareRef, UpdateItemRequest};

use crate::harness::{Site, facts, report, tester};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_tells_is_there_in_order_and_once() {
    let mut site = Site::start().await;
    let share = site.server("s1", "/srv/iso").await;
    let tell =
        async |request: ReportRequest| site.client.report(&tester(), &request).await.unwrap();
    let early = tell(report(&share, 1, vec![facts("i1", "a.iso")])).await;
    assert!(early.want_whole, "nobody knows what came before");

    let (one, two) = (facts("i1", "a.iso"), facts("i2", "b.iso"));
    let known = [&one, &two].map(|facts| (facts.id.clone(), digest::item(facts)));
    let whole = ReportRequest {
        whole: true,
        known: known.into(),
        ..report(&share, 1, Vec::new())
    };
    assert_eq!(tell(whole.clone()).await.wanted_ids, ["i1", "i2"]);
    tell(report(&share, 2, vec![one.clone(), two])).await;
    // Sent again, since the answer was lost.
    tell(report(&share, 2, vec![facts("i1", "late.iso")])).await;
    site.items(|items| {
        items.len() == 2 && items.iter().all(|item| item.status() == ItemStatus::Ok)
    })
    .await;
    assert_eq!(tell(whole).await.wanted_ids, Vec::<String>::new());
    assert!(tell(report(&share, 9, Vec::new())).await.want_whole);

    let update = UpdateItemRequest {
        item: "iso/a.iso".to_owned(),
        owner: Some("ann".to_owned()),
        ..UpdateItemRequest::default()
    };
    let words = site.client.update_item(&tester(), &update).await.unwrap();
    assert_eq!(words.id, "i1");
    let gone = ReportRequest {
        missing_ids: vec!["i1".to_owned()],
        ..report(&share, 3, Vec::new())
    };
    tell(gone).await;
    site.items(|items| items[0].status() == ItemStatus::Missing)
        .await;
    // A share that is away: its items are missing, and nothing was written to them.
    let away = ReportRequest {
        problem: "It is not mounted.".to_owned(),
        ..report(&share, 4, vec![facts("i1", "c.iso")])
    };
    tell(away).await;
    site.items(|items| {
        items
            .iter()
            .all(|item| item.status() == ItemStatus::Missing)
    })
    .await;
    tell(report(&share, 5, Vec::new())).await;
    let back = site
        .items(|items| items.iter().all(|item| item.status() == ItemStatus::Ok))
        .await;
    assert_eq!(back[0].words.clone().unwrap().owner, "ann");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_takes_what_is_anothers() {
    let mut site = Site::start().await;
    let share = site.server("s1", "/srv/iso").await;
    let other = site.server("s2", "/srv/other").await;
    let tell =
        async |request: ReportRequest| site.client.report(&tester(), &request).await.unwrap();
    for share in [&share, &other] {
        let whole = ReportRequest {
            whole: true,
            ..report(share, 1, Vec::new())
        };
        tell(whole).await;
    }
    tell(report(&share, 2, vec![facts("i1", "a.iso")])).await;
    let stolen = tell(report(&other, 2, vec![facts("i1", "a.iso")])).await;
    assert_eq!(stolen.foreign_ids, ["i1"]);
    let items = site.items(|items| items.len() == 1).await;
    assert_eq!(items[0].server_id, "s1");
    let posing = ReportRequest {
        server_id: "s2".to_owned(),
        ..report(&share, 3, Vec::new())
    };
    assert!(tell(posing).await.unknown_share);
    let removed = ShareRef {
        share: "iso".to_owned(),
    };
    site.client.remove_share(&tester(), &removed).await.unwrap();
    site.items(|items| items.is_empty()).await;
    assert!(tell(report(&share, 3, Vec::new())).await.unknown_share);
}
