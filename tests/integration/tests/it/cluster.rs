//! The main job on a bus of three servers with three copies of everything, one of which is killed.

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};
use support::eventually;

use crate::invariants;
use crate::log::Log;
use crate::rolling::Work;
use crate::site::{Plan, Site, monitor};

/// What the issue allows from the death of a leader to the next acknowledged change.
const RESUME_MAX: Duration = Duration::from_secs(10);

/// How often a change is asked for while none is acknowledged.
const ASK_INTERVAL: Duration = Duration::from_millis(200);

/// Every stream that a server has a copy of, as that server sees it.
async fn streams(site: &Site, server: usize) -> Option<Vec<Value>> {
    let url = site.servers[server].monitor_url();
    let answer = monitor(&url, "/jsz?accounts=1&streams=1&config=1").await?;
    let accounts = answer["account_details"].as_array()?.iter();
    let of_account = |account: &Value| account["stream_detail"].as_array().cloned();
    Some(accounts.filter_map(of_account).flatten().collect())
}

/// The server that leads a stream.
async fn leader(site: &Site, stream: &str) -> usize {
    eventually("a leader", async || {
        let streams = streams(site, 0).await?;
        let found = streams.iter().find(|s| s["name"] == stream)?;
        let name = found["cluster"]["leader"].as_str()?;
        name.strip_prefix('n')?.parse().ok()
    })
    .await
    .unwrap()
}

/// Waits until every stream has three copies, none of them behind.
async fn all_copies_are_current(site: &Site) {
    eventually("every copy to be current", async || {
        let mut led = 0;
        let mut all = 0;
        for server in 0..site.servers.len() {
            let name = format!("n{server}");
            let streams = streams(site, server).await?;
            all = streams.len().max(all);
            let leads = |s: &&Value| s["cluster"]["leader"] == name.as_str();
            for stream in streams.iter().filter(leads) {
                let copies = stream["cluster"]["replicas"].as_array()?;
                let current = |copy: &&Value| {
                    copy["current"] == true && copy["lag"].as_u64().unwrap_or(0) == 0
                };
                (copies.iter().filter(current).count() == 2).then_some(())?;
                led += 1;
            }
        }
        (led == all && all > 0).then_some(())
    })
    .await
    .unwrap();
}

/// Asks for changes until one is acknowledged, and insists that all are in the end.
async fn next_acknowledged(site: &Site, since: Instant) -> Duration {
    let client = site.client().patient();
    let ask = |number: usize| {
        let (client, body) = (client.clone(), json!({"name": format!("group-{number}")}));
        async move { client.submit("POST", "/api/v1/host-groups", body).await }
    };
    let mut asked = FuturesUnordered::new();
    let mut ticks = tokio::time::interval(ASK_INTERVAL);
    let mut number = 0;
    let took = loop {
        tokio::select! {
            _ = ticks.tick() => {
                asked.push(ask(number));
                number += 1;
            }
            Some(answer) = asked.next() => {
                answer.unwrap();
                break since.elapsed();
            }
        }
    };
    while let Some(answer) = asked.next().await {
        answer.unwrap();
    }
    took
}

async fn kill_a_leader(site: &mut Site, work: &Work) {
    work.goes_on().await;
    let leader = leader(site, &contracts::subjects::bucket_stream("job")).await;
    let killed = Instant::now();
    site.servers[leader].kill();
    let took = next_acknowledged(site, killed).await;
    println!("the next change was acknowledged {took:?} after the leader was killed");
    assert!(took < RESUME_MAX, "writes resumed only after {took:?}");
    work.goes_on().await;
    site.servers[leader].restart().await.unwrap();
    all_copies_are_current(site).await;
    work.goes_on().await;
    work.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_resume_and_nothing_is_lost_when_a_leader_is_killed() {
    let mut site = Site::build(Plan {
        is_cluster: true,
        ..Plan::default()
    })
    .await;
    let work = Work::new(site.client().patient());
    tokio::join!(
        kill_a_leader(&mut site, &work),
        work.with_guest("guest"),
        work.without_guests("a"),
    );
    println!("{} requests were sent again", site.client().sent_again());
    site.fleet.nothing_is_left().await;
    invariants::hold(&site.fleet).await;
    // What the administrator reads, it reads from the leaders: also from the server that was away.
    let log = Log::open(&site.fleet.bus).await;
    let groups = log.bucket::<contracts::inventory::HostGroup>().await;
    assert!(groups.unwrap().len() > 1, "no group was made");
    site.nothing_was_refused();
}
