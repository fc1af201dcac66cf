//! Two instances of the service, and a script for what befalls each job.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::Status;
use contracts::call::{Call, Context};
use contracts::jobs::job_params::Kind;
use contracts::jobs::{
    Job, JobParams, JobRef, JobState, JobsClient, SubmitRequest, SubmitResponse,
};
use jobs::Config;
use jobs::probe::{At, Point, Probe, Verdict};
use kit::bus::Bus;
use kit::bus::nats::NatsBus;
use kit::config::{BusConfig, Common};
use kit::records::Mirror;
use kit::rpc::Caller;
use kit::service::Parts;
use kit::world::World;
use support::{NatsServer, eventually};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fleet::{Fleet, open};

/// What befalls one job: asked at every point.
pub(crate) type Plan = Box<dyn FnMut(&Point) -> Verdict + Send>;

/// Plans by job. A job without one waits at its first point, since its id is known only after it was submitted.
#[derive(Default)]
pub(crate) struct Script {
    plans: Mutex<HashMap<String, Plan>>,
    /// Where a job stands until it gets another plan.
    holds: Mutex<HashMap<String, (String, At)>>,
    known: watch::Sender<u64>,
    pub(crate) seen: Mutex<Vec<Point>>,
}

impl Script {
    pub(crate) fn plan(&self, job_id: &str, plan: impl FnMut(&Point) -> Verdict + Send + 'static) {
        self.plans
            .lock()
            .unwrap()
            .insert(job_id.to_owned(), Box::new(plan));
        self.holds.lock().unwrap().remove(job_id);
        self.known.send_modify(|version| *version += 1);
    }

    /// Lets a job go as far as a point, and stand there until it gets another plan.
    pub(crate) fn hold(&self, job_id: &str, step: &str, at: At) {
        self.holds
            .lock()
            .unwrap()
            .insert(job_id.to_owned(), (step.to_owned(), at));
        self.plans
            .lock()
            .unwrap()
            .insert(job_id.to_owned(), Box::new(|_| Verdict::GoOn));
        self.known.send_modify(|version| *version += 1);
    }

    fn ask(&self, point: &Point) -> Option<Verdict> {
        let mut plans = self.plans.lock().unwrap();
        let plan = plans.get_mut(&point.job_id)?;
        self.seen.lock().unwrap().push(point.clone());
        let hold = self.holds.lock().unwrap().get(&point.job_id).cloned();
        let is_held = hold.is_some_and(|(step, at)| point.step == step && point.at == at);
        (!is_held).then(|| plan(point))
    }

    /// Waits until a job has come by a point.
    pub(crate) async fn passed(&self, job_id: &str, of: impl Fn(&Point) -> bool) {
        eventually("the job to come by the point", async || {
            let seen = self.seen.lock().unwrap();
            seen.iter()
                .any(|p| p.job_id == job_id && of(p))
                .then_some(())
        })
        .await
        .unwrap();
    }
}

#[async_trait]
impl Probe for Script {
    async fn reach(&self, point: Point) -> Verdict {
        let mut known = self.known.subscribe();
        loop {
            if let Some(verdict) = self.ask(&point) {
                return verdict;
            }
            known.changed().await.unwrap();
        }
    }
}

pub(crate) fn no() -> Status {
    Status::precondition("Injected.")
}

/// Quick where production is patient.
pub(crate) fn config() -> Config {
    Config {
        lease_secs: 1,
        sweep_interval_secs: 1,
        attempts_max: 5,
        undo_attempts_max: 5,
        backoff_first_ms: 1,
        backoff_max_ms: 10,
        guest_patience_secs: 5,
        runners_max: 256,
        ..Config::default()
    }
}

/// One instance of the service.
pub(crate) struct Instance {
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<anyhow::Result<()>>,
}

pub(crate) async fn parts(
    nats: &BusConfig,
    folder: &Path,
    name: &str,
    config: Config,
) -> Parts<Config> {
    let bus: Arc<dyn Bus> = Arc::new(NatsBus::connect("jobs", nats).await.unwrap());
    Parts {
        config,
        common: Common {
            data_dir: folder.to_owned(),
            instance: name.to_owned(),
            ..Common::default()
        },
        caller: Caller::new(Arc::clone(&bus)),
        bus,
        world: World::real(),
        stop: CancellationToken::new(),
    }
}

impl Instance {
    pub(crate) fn start(parts: Parts<Config>, script: Arc<Script>) -> Self {
        Self {
            stop: parts.stop.clone(),
            running: tokio::spawn(jobs::run_with(parts, script)),
        }
    }
}

/// Everything that a test needs.
pub(crate) struct House {
    pub(crate) fleet: Fleet,
    pub(crate) script: Arc<Script>,
    pub(crate) client: JobsClient,
    pub(crate) jobs: Mirror<Job>,
    pub(crate) instances: Vec<Instance>,
    stop: CancellationToken,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) nats: NatsServer,
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
        for instance in &self.instances {
            instance.stop.cancel();
        }
    }
}

impl House {
    /// A fleet and two instances.
    pub(crate) async fn build() -> Self {
        let mut house = Self::build_without_instances().await;
        for name in ["a", "b"] {
            house.add_instance(name).await;
        }
        house.wait_until_served().await;
        house
    }

    pub(crate) async fn build_without_instances() -> Self {
        let nats = NatsServer::start().await.unwrap();
        let fleet = Fleet::start(&nats).await;
        let (folder, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let bus: Arc<dyn Bus> = Arc::new(
            NatsBus::connect("gateway", &nats.bus_config())
                .await
                .unwrap(),
        );
        let caller: Arc<dyn Call> = Caller::new(Arc::clone(&bus));
        let store = open(&folder.path().join("test"), &bus, &stop);
        // The bucket is made by the service; a mirror waits for it.
        let spec = kit::bus::LogSpec {
            name: contracts::subjects::bucket_stream("job"),
            subject: contracts::subjects::all_records("job"),
            kind: kit::bus::LogKind::Bucket,
            first_sequence: 1,
        };
        bus.ensure(&spec).await.unwrap();
        Self {
            fleet,
            script: Arc::default(),
            client: JobsClient::new(caller),
            jobs: store.mirror::<Job>().await.unwrap(),
            instances: Vec::new(),
            stop,
            folder,
            nats,
        }
    }

    pub(crate) async fn add_instance(&mut self, name: &str) {
        let parts = parts(&self.nats.bus_config(), self.folder.path(), name, config()).await;
        self.instances
            .push(Instance::start(parts, Arc::clone(&self.script)));
    }

    pub(crate) async fn wait_until_served(&self) {
        eventually("the service to answer", async || {
            let context = Context::new("test").with_timeout(Duration::from_secs(1));
            let request = JobRef {
                job_id: "none".to_owned(),
            };
            let answer = self.client.cancel(&context, &request).await;
            answer
                .is_err_and(|e| e.code() == contracts::Code::NotFound)
                .then_some(())
        })
        .await
        .unwrap();
    }

    pub(crate) async fn ask(
        &self,
        context: &Context,
        request: &SubmitRequest,
    ) -> Result<SubmitResponse, Status> {
        self.client.submit(context, request).await
    }

    /// Somebody who has seen everything that is in the fleet now.
    pub(crate) fn alice(&self) -> Context {
        let context = Context::new("alice");
        context.saw("vm", self.fleet.vms.revision());
        context.saw("host", self.fleet.hosts.revision());
        context.saw("host_group", self.fleet.groups.revision());
        context
    }

    pub(crate) async fn try_submit(&self, kind: Kind) -> Result<Job, Status> {
        let answer = self.ask(&self.alice(), &request(kind)).await?;
        Ok(answer.job.unwrap())
    }

    /// Submits a job that waits for its plan.
    pub(crate) async fn submit(&self, kind: Kind) -> Job {
        self.try_submit(kind).await.unwrap()
    }

    /// Submits a job that nothing befalls, and waits for its end.
    pub(crate) async fn run(&self, kind: Kind) -> Job {
        let job = self.submit(kind).await;
        self.script.plan(&job.id, |_| Verdict::GoOn);
        self.end_of(&job.id).await
    }

    pub(crate) fn job(&self, id: &str) -> Option<Job> {
        self.jobs.get(id).unwrap().map(|s| s.value)
    }

    pub(crate) async fn until(&self, id: &str, what: &str, is: impl Fn(&Job) -> bool) -> Job {
        let seen = eventually(what, async || self.job(id).filter(|job| is(job))).await;
        seen.unwrap_or_else(|error| {
            panic!(
                "{error}: {}",
                self.job(id).map(|job| tell(&job)).unwrap_or_default()
            )
        })
    }

    pub(crate) async fn end_of(&self, id: &str) -> Job {
        self.until(id, "the job to end", |job| job.state().is_final())
            .await
    }

    pub(crate) async fn cancel(&self, id: &str) -> Result<Job, Status> {
        let request = JobRef {
            job_id: id.to_owned(),
        };
        self.client.cancel(&Context::new("bob"), &request).await
    }

    pub(crate) async fn restart(&self, id: &str) -> Result<Job, Status> {
        let request = JobRef {
            job_id: id.to_owned(),
        };
        self.client.restart(&Context::new("bob"), &request).await
    }

    /// Restarts a job, and waits until it has ended again.
    pub(crate) async fn end_after_restart(&self, id: &str) -> Job {
        let restarted = self.restart(id).await.unwrap();
        let again = |job: &Job| job.restarts == restarted.restarts && job.state().is_final();
        self.until(id, "the restarted job to end", again).await
    }
}

pub(crate) fn request(kind: Kind) -> SubmitRequest {
    SubmitRequest {
        params: Some(JobParams { kind: Some(kind) }),
        ..SubmitRequest::default()
    }
}

pub(crate) fn assert_state(job: &Job, state: JobState, what: &str) {
    assert_eq!(job.state(), state, "{what}: {}", tell(job));
}

/// A job in a few lines.
pub(crate) fn tell(job: &Job) -> String {
    let mut text = format!(
        "{} {} {:?} epoch {}: {}",
        job.kind,
        job.id,
        job.state(),
        job.epoch,
        job.message
    );
    for step in &job.steps {
        let line = (
            step.name.as_str(),
            step.state(),
            step.attempts,
            &step.message,
        );
        text.push_str(&format!("\n  {line:?}"));
    }
    if let Some(problem) = &job.problem {
        text.push_str(&format!("\n  {problem}"));
    }
    text
}
