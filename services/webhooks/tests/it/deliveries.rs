//! What endpoints are sent, whatever they do and whatever dies.

use axum::http::StatusCode;
use contracts::Code;
use contracts::webhooks::EnableRequest;

use crate::endpoint::{Endpoint, Mood};
use crate::harness::{Site, names};

/// Impatient, and allowed to deliver to this machine.
const SECTION: &str = "allow_internal = true\nretry_first_ms = 20\nretry_longest_secs = 1\n\
                       refused_attempts_max = 2\naway_attempts_max = 10000\ntimeout_secs = 2";

#[tokio::test(flavor = "multi_thread")]
async fn events_are_delivered_signed_and_in_order_across_the_death_of_who_delivers() {
    let mut site = Site::start(SECTION).await;
    let endpoint = Endpoint::start(Mood::Takes).await;
    let made = site.add("chat", &endpoint.url).await.unwrap();
    let mut wanted = names("first", 5);
    site.make_groups(&wanted).await;
    endpoint.takes(&wanted).await;
    let first = endpoint.sent().remove(0);
    assert!(first.is_signed_with(&made.secret) && !first.is_signed_with(b"another"));
    assert_eq!(first.json()["type"], "host_group.created");
    assert_eq!(first.json()["data"]["verb"], "created");

    site.kill_the_holder().await;
    let after = names("after", 5);
    site.make_groups(&after).await;
    wanted.extend(after);
    endpoint.takes(&wanted).await;

    // Stopped for a while, it goes on where it was.
    let enable = |enabled| EnableRequest {
        id: made.reference.id.clone(),
        enabled,
    };
    site.known(async |context| site.client.enable(context, &enable(false)).await)
        .await;
    site.listed(&made, |l| !l.webhook.as_ref().unwrap().enabled)
        .await;
    let later = names("later", 2);
    site.make_groups(&later).await;
    site.known(async |context| site.client.enable(context, &enable(true)).await)
        .await;
    wanted.extend(later);
    endpoint.takes(&wanted).await;
    let told = site
        .listed(&made, |l| {
            l.state.as_ref().is_some_and(|s| s.delivered >= 12)
        })
        .await;
    assert!(told.webhook.unwrap().secret.is_empty());
    let shown = String::from_utf8_lossy(&made.secret).into_owned();
    assert!(!site.logs().contains(&shown) && !site.logs().contains("whsec_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_hangs_or_is_away_holds_up_no_other_and_misses_nothing() {
    let site = Site::start(SECTION).await;
    let (good, hanging) = (
        Endpoint::start(Mood::Takes).await,
        Endpoint::start(Mood::Hangs).await,
    );
    let away = Endpoint::start(Mood::Answers(StatusCode::SERVICE_UNAVAILABLE)).await;
    for (name, endpoint) in [("hanging", &hanging), ("away", &away), ("good", &good)] {
        site.add(name, &endpoint.url).await.unwrap();
    }
    let wanted = names("group", 6);
    site.make_groups(&wanted).await;
    good.takes(&wanted).await;
    away.is_asked(3).await;
    assert!(away.taken().is_empty());
    let tries = away.sent();
    assert!(
        tries.iter().all(|sent| sent.id == tries[0].id),
        "the same delivery, again"
    );
    away.set(Mood::Takes);
    hanging.set(Mood::Takes);
    away.takes(&wanted).await;
    hanging.takes(&wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_kept_and_can_be_delivered_again() {
    let site = Site::start(SECTION).await;
    // A redirect is a refusal: nobody is sent elsewhere.
    let endpoint = Endpoint::start(Mood::Answers(StatusCode::TEMPORARY_REDIRECT)).await;
    let made = site.add("strict", &endpoint.url).await.unwrap();
    let wanted = names("group", 2);
    site.make_groups(&wanted).await;
    let told = site.listed(&made, |l| l.dead_letters == 2).await;
    assert!(
        told.state
            .unwrap()
            .problem
            .contains("redirects are not followed")
    );
    assert_eq!(
        endpoint.sent().len(),
        4,
        "each twice, and nothing elsewhere"
    );

    let tested = site
        .known(async |c| site.client.test(c, &made.reference).await)
        .await;
    assert!(!tested.taken && tested.problem.contains("307"));
    endpoint.set(Mood::Takes);
    let tested = site
        .known(async |c| site.client.test(c, &made.reference).await)
        .await;
    assert!(tested.taken);

    let dead = site
        .known(async |c| site.client.dead_letters(c, &made.reference).await)
        .await;
    let sequences: Vec<u64> = dead.dead_letters.iter().map(|d| d.sequence).collect();
    assert!(sequences.is_sorted() && sequences.len() == 2);
    let again = site
        .known(async |c| site.client.redeliver(c, &made.reference).await)
        .await;
    assert_eq!((again.delivered, again.left), (2, 0));
    let taken: Vec<String> = endpoint
        .taken()
        .into_iter()
        .filter(|n| n != "strict")
        .collect();
    assert_eq!(taken, wanted);
    site.listed(&made, |l| l.dead_letters == 0).await;

    site.known(async |c| site.client.remove(c, &made.reference).await)
        .await;
    site.make_groups(&names("unwanted", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn muster_is_no_way_into_what_only_muster_reaches() {
    let site = Site::start("").await;
    for url in [
        "http://127.0.0.1:8222/varz",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:8100/",
        "http://10.0.0.1/",
        "file:///etc/passwd",
    ] {
        let refused = site.add("inside", url).await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument, "{url}");
    }
    // Also by a name, which is looked at when it is connected to.
    let made = site
        .add("by-name", "http://localhost:8222/varz")
        .await
        .unwrap();
    let tested = site
        .known(async |c| site.client.test(c, &made.reference).await)
        .await;
    assert!(
        !tested.taken && tested.problem.contains("may not be connected to"),
        "{tested:?}"
    );
    let twice = site.add("by-name", "http://example.com/").await.err();
    assert!(twice.is_none_or(|status| status.code() == Code::AlreadyExists));
}
