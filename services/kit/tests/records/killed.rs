//! A process that is killed again and again while it writes to its store.

use std::collections::BTreeMap;

use support::dice::Dice;

use super::log::{assert_told_once, beginning, jetstream, replay, shown};
use super::*;
use crate::child::Child;

const KILLS: u64 = 30;

/// The highest number that was acknowledged of each counter.
#[derive(Default)]
struct Acknowledged(BTreeMap<String, u32>);

impl Acknowledged {
    fn note(&mut self, said: &str) {
        let mut words = said.split(' ').skip(1);
        let id = words.next().unwrap().to_owned();
        let count: u32 = words.next().unwrap().parse().unwrap();
        let known = self.0.entry(id).or_default();
        // A number that comes twice would be a write that was taken back.
        assert!(count > *known, "{said} after {known}");
        *known = count;
    }
}

#[tokio::test]
async fn a_store_that_is_killed_while_it_commits_is_whole_and_loses_nothing() {
    let nats = NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    for round in 0..KILLS {
        let mut child = Child::start("counters", &nats, folder.path());
        for _ in 0..1 + Dice::new(round).below(40) {
            acknowledged.note(&child.says().await.expect("the process ended by itself"));
        }
        for said in child.kill().await {
            acknowledged.note(&said);
        }
        assert!(!folder.path().join("records.damaged").exists());
    }
    let a = Instance::start(&nats, folder.path()).await;
    let jetstream = jetstream(&nats).await;
    let (view, log) = (shown(&a.vms), replay(&jetstream).await);
    assert_eq!(view, log);
    for (id, count) in acknowledged.0 {
        assert!(log[&id].1.pid >= count, "{id} was acknowledged {count}");
    }
    let written = a.vms.revision() - beginning(&jetstream).await;
    let revisions: Vec<u64> = (1..=written).collect();
    assert_told_once(&jetstream, &revisions).await;
}
