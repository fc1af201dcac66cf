//! The fleet of this instance, brought up to date with its views before every look.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use contracts::Status;
use contracts::inventory::{Host, HostGroup, Vm};
use contracts::placement::{Claim, HostClaims, Rule};
use kit::world::World;
use tokio::time::Instant;

use crate::Config;
use crate::core::choose;
use crate::core::claims::Owner;
use crate::core::fleet::Fleet;
use crate::core::guest::Guest;
use crate::core::lifetimes::Lifetimes;
use crate::feed::Feed;

/// How often it is looked which samples have grown old.
const TRUST_INTERVAL: Duration = Duration::from_secs(10);

pub(crate) struct Live {
    inner: Mutex<Inner>,
    world: World,
    claim_lifetime: Duration,
    samples_lifetime_ms: i64,
}

struct Inner {
    fleet: Fleet,
    feeds: Feeds,
    seen: Seen,
    trust_checked: Option<Instant>,
}

pub(crate) struct Feeds {
    pub(crate) groups: Feed<HostGroup>,
    pub(crate) hosts: Feed<Host>,
    pub(crate) vms: Feed<Vm>,
    pub(crate) claims: Feed<HostClaims>,
    pub(crate) rules: Feed<Rule>,
}

/// When this instance first saw each claim: its revision then, which is its place among all claims, and the time that
/// passes here. The wall clock says nothing of a claim's age: another machine's may be an hour off, and each may jump.
#[derive(Default)]
struct Seen {
    /// By host, then by machine and job.
    first: HashMap<String, HashMap<(String, String), u64>>,
    ends: VecDeque<End>,
}

/// When a claim ends.
struct End {
    since: Instant,
    host_id: String,
    /// Machine and job.
    key: (String, String),
    revision: u64,
}

/// A look at the fleet.
pub(crate) struct Look<'a> {
    pub(crate) fleet: &'a mut Fleet,
    /// Of machines: the fleet reflects it.
    pub(crate) vm_revision: u64,
    seen: &'a Seen,
}

/// Where a machine was placed by the same job.
pub(crate) enum Earlier {
    /// Nowhere.
    No,
    At(String),
    /// The claim on this host is being written, and may yet turn out not to fit.
    Pending(String),
}

impl Look<'_> {
    /// The place that a machine has by an earlier answer to the same job. Of several claims the one that the log took first.
    pub(crate) fn earlier(&self, owner: Owner<'_>) -> Earlier {
        let claims = self.fleet.claims_for(owner.vm_id);
        let own = claims.filter(|(_, claim)| claim.job_id == owner.job_id);
        let dated = own.map(|(host_id, claim)| (self.since(host_id, claim), host_id));
        match dated.min() {
            Some((u64::MAX, host_id)) => Earlier::Pending(host_id.to_owned()),
            Some((_, host_id)) => Earlier::At(host_id.to_owned()),
            None => match choose::made(self.fleet, owner.vm_id, owner.job_id) {
                Some(host_id) => Earlier::At(host_id.to_owned()),
                None => Earlier::No,
            },
        }
    }

    /// The revision at which a claim was first there.
    pub(crate) fn since(&self, host_id: &str, claim: &Claim) -> u64 {
        let key = (claim.vm_id.clone(), claim.job_id.clone());
        let first = self.seen.first.get(host_id).and_then(|on| on.get(&key));
        first.copied().unwrap_or(u64::MAX)
    }
}

impl Live {
    pub(crate) fn new(feeds: Feeds, config: &Config, world: World, known: Lifetimes) -> Self {
        let samples_lifetime = Duration::from_secs(config.samples_lifetime_secs);
        let mut fleet = Fleet::new(config.defaults());
        if config.maximise && config.learn_stays {
            fleet.learn_stays(known);
        }
        Self {
            inner: Mutex::new(Inner {
                fleet,
                feeds,
                seen: Seen::default(),
                trust_checked: None,
            }),
            world,
            claim_lifetime: Duration::from_secs(config.claim_lifetime_secs),
            samples_lifetime_ms: i64::try_from(samples_lifetime.as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// Looks at the fleet as the views have it now. Nobody else does meanwhile, so it is for quick work.
    pub(crate) fn look<T>(&self, work: impl FnOnce(&mut Look<'_>) -> T) -> Result<T, Status> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        inner.fleet.grow_older(self.world.now_ms());
        inner.take_news()?;
        inner.fleet.look_at_stays();
        inner.end_claims(self.claim_lifetime);
        self.check_trust(inner);
        inner.fleet.refresh();
        let mut look = Look {
            vm_revision: inner.feeds.vms.revision(),
            fleet: &mut inner.fleet,
            seen: &inner.seen,
        };
        Ok(work(&mut look))
    }

    fn check_trust(&self, inner: &mut Inner) {
        let is_recent = |checked: Instant| checked.elapsed() < TRUST_INTERVAL;
        if inner.trust_checked.is_some_and(is_recent) {
            return;
        }
        inner.trust_checked = Some(Instant::now());
        let from_ms = self.world.now_ms().saturating_sub(self.samples_lifetime_ms);
        inner.fleet.trust_from(from_ms);
    }

    /// When a claim that is made now ends by the wall clock, for people who look at it.
    pub(crate) fn claim_end_ms(&self) -> i64 {
        let lifetime_ms = i64::try_from(self.claim_lifetime.as_millis()).unwrap_or(i64::MAX);
        self.world.now_ms().saturating_add(lifetime_ms)
    }
}

impl Inner {
    fn take_news(&mut self) -> Result<(), Status> {
        let (fleet, feeds) = (&mut self.fleet, &mut self.feeds);
        for news in feeds.groups.take()? {
            fleet.put_group(news.id, news.value);
        }
        for news in feeds.hosts.take()? {
            fleet.put_host(news.id, news.value);
        }
        for news in feeds.vms.take()? {
            fleet.put_guest(news.id, news.value.as_ref().map(Guest::from));
        }
        for news in feeds.rules.take()? {
            fleet.put_rule(news.id, news.value);
        }
        for news in feeds.claims.take()? {
            self.seen.note(&news.id, news.revision, news.value.as_ref());
            fleet.put_claims(news.id, news.revision, news.value);
        }
        Ok(())
    }

    fn end_claims(&mut self, lifetime: Duration) {
        while let Some(end) = self.seen.ends.pop_front() {
            if end.since.elapsed() < lifetime {
                self.seen.ends.push_front(end);
                break;
            }
            let on_host = self.seen.first.get(&end.host_id);
            let is_there = on_host.and_then(|on| on.get(&end.key)) == Some(&end.revision);
            if is_there {
                let (vm_id, job_id) = &end.key;
                let owner = Owner { vm_id, job_id };
                self.fleet.close_claim(&end.host_id, owner);
            }
        }
    }
}

impl Seen {
    /// A host's record is another one now.
    fn note(&mut self, host_id: &str, revision: u64, record: Option<&HostClaims>) {
        let claims = record.map(|record| record.claims.as_slice());
        let claims = claims.unwrap_or_default();
        if claims.is_empty() {
            self.first.remove(host_id);
            return;
        }
        let before = self.first.remove(host_id).unwrap_or_default();
        let on_host = self.first.entry(host_id.to_owned()).or_default();
        for claim in claims {
            let key = (claim.vm_id.clone(), claim.job_id.clone());
            let known = before.get(&key).copied();
            if known.is_none() {
                self.ends.push_back(End {
                    since: Instant::now(),
                    host_id: host_id.to_owned(),
                    key: key.clone(),
                    revision,
                });
            }
            on_host.insert(key, known.unwrap_or(revision));
        }
    }
}
