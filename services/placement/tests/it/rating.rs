//! Ratings of a fleet.

use contracts::Code;
use contracts::inventory::Reserves;
use contracts::inventory::host::Status as HostStatus;
use contracts::placement::RateRequest;

use crate::harness::{Fleet, MIB, host, place, rate};

#[tokio::test]
async fn hosts_of_a_group_are_rated_best_first_with_every_reason() {
    let fleet = Fleet::start().await;
    for (group, parent) in [("all-hosts", ""), ("lab", "all-hosts"), ("deep", "lab")] {
        fleet.put_group(group, parent).await;
    }
    for (id, room_mib, group) in [
        ("h1", 8_192, "deep"),
        ("h2", 1_024, "lab"),
        ("h3", 16_384, "all-hosts"),
    ] {
        let mut host = host(id, room_mib);
        group.clone_into(&mut host.group_id);
        fleet.put_host(host).await;
    }
    let mut silent = host("h4", 512);
    silent.status = HostStatus::NotResponding.into();
    fleet.put_host(silent).await;
    let order = |request: RateRequest| {
        let (client, context) = (fleet.client.clone(), fleet.context());
        async move {
            let ratings = client.rate(&context, &request).await.unwrap().ratings;
            ratings
                .into_iter()
                .map(|r| (r.host_id, r.half_stars > 0))
                .collect::<Vec<_>>()
        }
    };
    let owned = |list: &[(&str, bool)]| {
        list.iter()
            .map(|(h, s)| ((*h).to_owned(), *s))
            .collect::<Vec<_>>()
    };
    let all = order(rate(1_024)).await;
    assert_eq!(
        all,
        owned(&[("h3", true), ("h1", true), ("h2", true), ("h4", false)])
    );
    let lab = RateRequest {
        group_id: "lab".to_owned(),
        ..rate(2_048)
    };
    assert_eq!(order(lab).await, owned(&[("h1", true), ("h2", false)]));
    let one = RateRequest {
        host_id: "h4".to_owned(),
        ..rate(1_024)
    };
    let ratings = fleet
        .client
        .rate(&fleet.context(), &one)
        .await
        .unwrap()
        .ratings;
    let checks: Vec<&str> = ratings[0]
        .zero_reasons
        .iter()
        .map(|r| r.check.as_str())
        .collect();
    assert_eq!(checks, ["not_responding", "memory"]);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_cannot_be_is_refused() {
    let fleet = Fleet::start().await;
    fleet.put_group("all-hosts", "").await;
    let refused = |request: RateRequest| {
        let (client, context) = (fleet.client.clone(), fleet.context());
        async move { client.rate(&context, &request).await.map_err(|s| s.code()) }
    };
    let group = RateRequest {
        group_id: "nowhere".to_owned(),
        ..rate(64)
    };
    assert_eq!(refused(group).await, Err(Code::NotFound));
    let host = RateRequest {
        host_id: "nobody".to_owned(),
        ..rate(64)
    };
    assert_eq!(refused(host).await, Err(Code::NotFound));
    let bad_id = RateRequest {
        host_id: "a.b".to_owned(),
        ..rate(64)
    };
    assert_eq!(refused(bad_id).await, Err(Code::InvalidArgument));
    assert_eq!(refused(rate(1)).await, Err(Code::InvalidArgument));
    assert_eq!(
        refused(RateRequest::default()).await,
        Err(Code::InvalidArgument)
    );
    assert!(refused(rate(64)).await.unwrap().ratings.is_empty());
    let nowhere = fleet
        .client
        .place(&fleet.context(), &place("v1", 64))
        .await
        .unwrap_err();
    assert_eq!(nowhere.code(), Code::FailedPrecondition);
    assert!(nowhere.message.contains("no host"));
}

#[tokio::test]
async fn a_machine_that_fits_nowhere_is_told_why_and_what_would_help() {
    let fleet = Fleet::start().await;
    fleet.put_host(host("h1", 1_000)).await;
    fleet.put_host(host("h2", 1_500)).await;
    let refused = fleet
        .client
        .place(&fleet.context(), &place("v1", 2_000))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message.contains("memory on 2"),
        "{}",
        refused.message
    );
    let action = &refused.recommended_action;
    assert!(
        action.contains("name-of-h2") && action.contains("at most 1500 MiB"),
        "{action}"
    );
    assert!(fleet.place("v1", 1_500).await.is_ok());
}

#[tokio::test]
async fn a_hosts_own_reserve_counts() {
    let fleet = Fleet::start().await;
    let mut host = host("h1", 1_024);
    host.reserves = Some(Reserves {
        memory_bytes: Some(1_024 * MIB),
        ..Reserves::default()
    });
    fleet.put_host(host).await;
    assert!(fleet.place("v1", 513).await.is_err());
    assert!(fleet.place("v2", 512).await.is_ok());
}
