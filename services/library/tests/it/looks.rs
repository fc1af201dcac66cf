//! Looks at shares that take long.

use std::collections::BTreeSet;

use contracts::library::RefreshShareRequest;
use contracts::refresher::{Outcome, RefreshRequest};
use support::eventually;

use crate::harness::{Site, tester};

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_takes_long_says_how_far_it_is_and_ends_as_one_job() {
    let mut site = Site::start().await;
    let share = site.server("s1", "/srv/iso").await;
    let ask = async |look: &str| {
        let request = RefreshShareRequest {
            share: "iso".to_owned(),
            look: look.to_owned(),
        };
        site.client
            .refresh_share(&tester(), &request)
            .await
            .unwrap()
    };
    let begun = ask("").await;
    assert!(begun.in_work && begun.left_to_tell == 5, "{begun:?}");
    // Told although nobody has come back.
    eventually("what was found to be told", async || {
        (!site.found().is_empty()).then_some(())
    })
    .await
    .unwrap();
    let ended = ask(&begun.look).await;
    assert_eq!((ended.in_work, ended.new), (false, 1));
    let request = RefreshRequest {
        kind: "library".to_owned(),
        target_id: share.id.clone(),
        ..RefreshRequest::default()
    };
    let due = site.refreshable().refresh(&tester(), &request).await;
    assert_eq!(due.unwrap().outcome(), Outcome::Changed);
    let jobs: BTreeSet<String> = site.found().into_iter().map(|found| found.job_id).collect();
    assert_eq!(jobs.len(), 1, "one look is one job: {jobs:?}");
}
