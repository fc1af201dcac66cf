//! Stand-ins for the services that the gateway calls: they note what they were asked, and answer as a test wants.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use contracts::call::{Context, Serve, Service};
use contracts::common::Empty;
use contracts::host::{HOST, ReadLogRequest, ReadLogResponse, ScreenshotResponse};
use contracts::inventory::{CreateJoinTokenRequest, INVENTORY, JoinTokenSecret};
use contracts::jobs::{
    Job, JobRef, JobState, Jobs, JobsServer, Plan, PlannedStep, RecordRequest, SubmitRequest,
    SubmitResponse,
};
use contracts::placement::{PLACEMENT, RateRequest, RateResponse, Rating};
use contracts::{ObjectRef, Status};
use kit::bus::Bus;
use kit::records::{Decision, Records, Store};
use kit::rpc::{Gate, Server, serve};
use prost::Message;

pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\nand so on";

/// What was asked, newest last.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) submitted: Mutex<Vec<(Context, SubmitRequest)>>,
    pub(crate) rated: Mutex<Vec<RateRequest>>,
    pub(crate) tokens: Mutex<Vec<CreateJoinTokenRequest>>,
    pub(crate) logs: Mutex<Vec<ReadLogRequest>>,
    /// What jobs answers instead of doing its work.
    pub(crate) refuse: Mutex<Option<Status>>,
}

impl Notes {
    pub(crate) fn last_submitted(&self) -> (Context, SubmitRequest) {
        self.submitted.lock().unwrap().last().unwrap().clone()
    }
}

pub(crate) struct StandIns {
    pub(crate) notes: Arc<Notes>,
    _servers: Vec<Server>,
}

impl StandIns {
    pub(crate) async fn start(bus: &Arc<dyn Bus>, store: &Arc<Store>, jobs: &Records<Job>) -> Self {
        let notes = Arc::<Notes>::default();
        let stand_in = JobsStandIn {
            notes: Arc::clone(&notes),
            jobs: jobs.clone(),
        };
        let others = |service, subject: &str| -> (String, Arc<dyn Serve>) {
            let notes = Arc::clone(&notes);
            (subject.to_owned(), Arc::new(Others { service, notes }))
        };
        let services: [(String, Arc<dyn Serve>); 4] = [
            ("jobs".to_owned(), Arc::new(JobsServer(Arc::new(stand_in)))),
            others(&PLACEMENT, "placement"),
            others(&INVENTORY, "inventory"),
            others(&HOST, "host.h1"),
        ];
        let gate: Arc<dyn Gate> = store.clone();
        let mut servers = Vec::new();
        for (subject, server) in services {
            servers.push(
                serve(bus, Arc::clone(&gate), &subject, server)
                    .await
                    .unwrap(),
            );
        }
        Self {
            notes,
            _servers: servers,
        }
    }
}

struct JobsStandIn {
    notes: Arc<Notes>,
    jobs: Records<Job>,
}

impl JobsStandIn {
    async fn write(&self, context: &Context, job: Job) -> Result<Job, Status> {
        let id = job.id.clone();
        self.jobs
            .update(context, &id, |_| Ok(Decision::Put(job.clone(), ())))
            .await?;
        Ok(job)
    }

    async fn turn(&self, context: &Context, id: &str, state: JobState) -> Result<Job, Status> {
        let stored = self.jobs.get(id)?;
        let stored = stored.ok_or_else(|| Status::not_found(ObjectRef::new("job", id, "")))?;
        let job = Job {
            state: state.into(),
            ..stored.value
        };
        self.write(context, job).await
    }
}

#[async_trait]
impl Jobs for JobsStandIn {
    async fn submit(
        &self,
        context: &Context,
        request: SubmitRequest,
    ) -> Result<SubmitResponse, Status> {
        let number = {
            let mut submitted = self.notes.submitted.lock().unwrap();
            submitted.push((context.clone(), request.clone()));
            submitted.len()
        };
        if let Some(status) = self.notes.refuse.lock().unwrap().clone() {
            return Err(status);
        }
        if request.dry_run {
            let step = PlannedStep {
                name: "place".to_owned(),
                ..PlannedStep::default()
            };
            let plan = Plan {
                steps: vec![step],
                host_id: "h1".to_owned(),
                ..Plan::default()
            };
            return Ok(SubmitResponse {
                plan: Some(plan),
                ..SubmitResponse::default()
            });
        }
        let id = match context.idempotency_key.as_str() {
            "" => format!("job-{number}"),
            key => format!("job-of-{key}"),
        };
        let existed = self.jobs.get(&id)?.is_some();
        let job = Job {
            id,
            kind: "vm_create".to_owned(),
            state: JobState::Queued.into(),
            owner: context.principal.clone(),
            params: request.params,
            ..Job::default()
        };
        Ok(SubmitResponse {
            job: Some(self.write(context, job).await?),
            plan: None,
            existed,
        })
    }

    async fn record(&self, _: &Context, _: RecordRequest) -> Result<Empty, Status> {
        Err(Status::internal("not asked for here"))
    }

    async fn cancel(&self, context: &Context, request: JobRef) -> Result<Job, Status> {
        self.turn(context, &request.job_id, JobState::Cancelled)
            .await
    }

    async fn restart(&self, context: &Context, request: JobRef) -> Result<Job, Status> {
        self.turn(context, &request.job_id, JobState::Queued).await
    }
}

/// The few methods of the other services that the gateway calls.
struct Others {
    service: &'static Service,
    notes: Arc<Notes>,
}

#[async_trait]
impl Serve for Others {
    fn service(&self) -> &'static Service {
        self.service
    }

    async fn dispatch(
        &self,
        method: &str,
        _context: &Context,
        payload: &[u8],
    ) -> Result<Vec<u8>, Status> {
        match method {
            "Rate" => {
                let request = RateRequest::decode(payload).unwrap();
                self.notes.rated.lock().unwrap().push(request);
                let rating = Rating {
                    host_id: "h1".to_owned(),
                    half_stars: 7,
                    ..Rating::default()
                };
                let ratings = vec![rating];
                Ok(RateResponse {
                    ratings,
                    ..RateResponse::default()
                }
                .encode_to_vec())
            }
            "CreateJoinToken" => {
                let request = CreateJoinTokenRequest::decode(payload).unwrap();
                self.notes.tokens.lock().unwrap().push(request);
                let token = "id.secret".to_owned();
                let expires_ms = 1_767_225_600_000;
                Ok(JoinTokenSecret { token, expires_ms }.encode_to_vec())
            }
            "Screenshot" => Ok(ScreenshotResponse { png: PNG.to_vec() }.encode_to_vec()),
            "ReadLog" => {
                let request = ReadLogRequest::decode(payload).unwrap();
                self.notes.logs.lock().unwrap().push(request);
                let answer = ReadLogResponse {
                    data: b"Linux version 6\n".to_vec(),
                    next_offset: 116,
                    size_bytes: 500,
                };
                Ok(answer.encode_to_vec())
            }
            other => Err(Status::internal(format!("{other} stands in for nothing"))),
        }
    }
}
