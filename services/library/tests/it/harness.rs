//! Two instances of the service, and an end of a library server that takes every folder.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::Status;
use contracts::call::{Context, Revisions};
use contracts::common::Empty;
use contracts::jobs::{
    FoundChange, JOBS, Job, JobRef, Jobs, JobsServer, RecordRequest, SubmitRequest, SubmitResponse,
};
use contracts::library::{
    AddShareRequest, CheckShareRequest, CheckShareResponse, CloseParcelRequest, ConvertRequest,
    EndConversionRequest, Found, Item, ItemFacts, ItemKind, LIBRARYEND, LibraryClient, LibraryEnd,
    LibraryEndServer, ListItemsRequest, LookRequest, OpenParcelRequest, OpenParcelResponse,
    ParcelPlace, ReadPackageRequest, ReadPackageResponse, ReadTextRequest, ReadTextResponse,
    RegisterRequest, ReportRequest, ServerRef, Share, TemplatesClient,
};
use contracts::refresher::RefreshableClient;
use kit::bus::Bus;
use kit::bus::nats::NatsBus;
use kit::rpc::{Caller, Server};
use support::{NatsServer, eventually};

pub(crate) struct Site {
    pub(crate) client: LibraryClient,
    pub(crate) bus: Arc<dyn Bus>,
    ends: Vec<Server>,
    recorder: Arc<Recorder>,
    instances: Vec<Child>,
    _folder: tempfile::TempDir,
    _nats: NatsServer,
}

struct End;

/// What every look is called.
const LOOK: &str = "1-1";

#[async_trait]
impl LibraryEnd for End {
    async fn check_share(
        &self,
        _: &Context,
        request: CheckShareRequest,
    ) -> Result<CheckShareResponse, Status> {
        Ok(CheckShareResponse { path: request.path })
    }

    async fn shares_changed(&self, _: &Context, _: Empty) -> Result<Empty, Status> {
        Ok(Empty {})
    }

    async fn read_text(&self, _: &Context, _: ReadTextRequest) -> Result<ReadTextResponse, Status> {
        Ok(ReadTextResponse {
            text: ANSWERS.to_owned(),
            file_bytes: ANSWERS.len() as u64,
            modified_ms: 7,
        })
    }

    /// Every look takes long: it is done when somebody asks after it.
    async fn look(&self, _: &Context, request: LookRequest) -> Result<Found, Status> {
        let is_new = request.look.is_empty();
        Ok(Found {
            look: LOOK.to_owned(),
            in_work: is_new,
            left_to_tell: if is_new { 5 } else { 0 },
            new: if is_new { 0 } else { 1 },
            ..Found::default()
        })
    }

    async fn read_package(
        &self,
        _: &Context,
        _: ReadPackageRequest,
    ) -> Result<ReadPackageResponse, Status> {
        Err(Status::internal("not asked for by the library"))
    }

    async fn convert(&self, _: &Context, _: ConvertRequest) -> Result<Empty, Status> {
        Err(Status::internal("not asked for by the library"))
    }

    async fn end_conversion(&self, _: &Context, _: EndConversionRequest) -> Result<Empty, Status> {
        Err(Status::internal("not asked for by the library"))
    }

    async fn open_parcel(
        &self,
        _: &Context,
        _: OpenParcelRequest,
    ) -> Result<OpenParcelResponse, Status> {
        Err(Status::internal("not asked for by the library"))
    }

    async fn name_parcel(&self, _: &Context, _: ParcelPlace) -> Result<Empty, Status> {
        Err(Status::internal("not asked for by the library"))
    }

    async fn close_parcel(&self, _: &Context, _: CloseParcelRequest) -> Result<Empty, Status> {
        Err(Status::internal("not asked for by the library"))
    }
}

/// What every answer file says.
pub(crate) const ANSWERS: &str = "#cloud-config\n";

/// Takes down which jobs it was told of.
#[derive(Default)]
struct Recorder(Mutex<Vec<FoundChange>>);

#[async_trait]
impl Jobs for Recorder {
    async fn submit(&self, _: &Context, _: SubmitRequest) -> Result<SubmitResponse, Status> {
        Err(Status::internal("only for what is found"))
    }

    async fn cancel(&self, _: &Context, _: JobRef) -> Result<Job, Status> {
        Err(Status::internal("only for what is found"))
    }

    async fn restart(&self, _: &Context, _: JobRef) -> Result<Job, Status> {
        Err(Status::internal("only for what is found"))
    }

    async fn record(&self, _: &Context, request: RecordRequest) -> Result<Empty, Status> {
        self.0.lock().unwrap().extend(request.found);
        Ok(Empty {})
    }
}

struct NoRecords;

#[async_trait]
impl kit::rpc::Gate for NoRecords {
    async fn wait_for(&self, _: &Revisions, _: Duration) -> bool {
        true
    }
}

pub(crate) fn tester() -> Context {
    Context::new("tester")
}

impl Site {
    pub(crate) async fn start() -> Self {
        let nats = NatsServer::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = nats.bus_config();
        let bus: Arc<dyn Bus> = Arc::new(NatsBus::connect("test", &config).await.unwrap());
        let recorder = Arc::<Recorder>::default();
        let server = Arc::new(JobsServer(Arc::clone(&recorder)));
        let jobs = kit::rpc::serve(&bus, Arc::new(NoRecords), JOBS.subject, server);
        let jobs = jobs.await.unwrap();
        let mut instances = Vec::new();
        for name in ["a", "b"] {
            let text = format!(
                "data_dir = {data:?}\ninstance = {name:?}\n[bus]\nurl = {url:?}\nmonitor_urls = {monitor:?}\n",
                data = folder.path(),
                url = config.url,
                monitor = config.monitor_urls,
            );
            std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
            instances.push(spawn(folder.path(), name));
        }
        let site = Self {
            client: LibraryClient::new(Caller::new(Arc::clone(&bus))),
            bus,
            ends: vec![jobs],
            recorder,
            instances,
            _folder: folder,
            _nats: nats,
        };
        eventually("the service to answer", async || {
            site.client.list_servers(&tester(), &Empty {}).await.ok()
        })
        .await
        .unwrap();
        site
    }

    /// A server with one share.
    pub(crate) async fn server(&mut self, id: &str, path: &str) -> Share {
        let subject = LIBRARYEND.subject_of_host(id);
        let server = Arc::new(LibraryEndServer(Arc::new(End)));
        let end = kit::rpc::serve(&self.bus, Arc::new(NoRecords), &subject, server).await;
        self.ends.push(end.unwrap());
        let context = tester();
        let register = RegisterRequest {
            server_id: id.to_owned(),
            name: id.to_owned(),
            generation: 1,
            ..RegisterRequest::default()
        };
        let known = self.client.register(&context, &register).await.unwrap();
        assert!(!known.added && known.shares.is_empty());
        let server = ServerRef {
            server: id.to_owned(),
        };
        let share = AddShareRequest {
            server: id.to_owned(),
            path: path.to_owned(),
            ..AddShareRequest::default()
        };
        let early = self.client.add_share(&context, &share).await.unwrap_err();
        assert!(
            early.recommended_action.contains("Add the server"),
            "{early}"
        );
        self.client.add_server(&context, &server).await.unwrap();
        let again = self.client.add_share(&context, &share).await.unwrap();
        let share = self.client.add_share(&context, &share).await.unwrap();
        assert_eq!(share, again, "asked again, it is the same share");
        let known = self.client.register(&context, &register).await.unwrap();
        assert!(known.added && known.shares == [share.clone()]);
        share
    }

    /// What jobs were told was found.
    pub(crate) fn found(&self) -> Vec<FoundChange> {
        self.recorder.0.lock().unwrap().clone()
    }

    pub(crate) fn templates(&self) -> TemplatesClient {
        TemplatesClient::new(Caller::new(Arc::clone(&self.bus)))
    }

    /// As the refresher asks.
    pub(crate) fn refreshable(&self) -> RefreshableClient {
        RefreshableClient::new(Caller::new(Arc::clone(&self.bus)), "library")
    }

    /// Every item, as it is once it is as wanted: another instance may answer, which has not seen all.
    pub(crate) async fn items(&self, wanted: impl Fn(&[Item]) -> bool) -> Vec<Item> {
        eventually("the items to be as wanted", async || {
            let request = ListItemsRequest::default();
            let items = self
                .client
                .list_items(&tester(), &request)
                .await
                .ok()?
                .items;
            wanted(&items).then_some(items)
        })
        .await
        .unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for child in &mut self.instances {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(folder: &Path, name: &str) -> Child {
    let log = std::fs::File::create(folder.join(format!("{name}.log"))).unwrap();
    Command::new(env!("CARGO_BIN_EXE_library"))
        .arg("--config")
        .arg(folder.join(format!("{name}.toml")))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

pub(crate) fn facts(id: &str, path: &str) -> ItemFacts {
    ItemFacts {
        id: id.to_owned(),
        path: path.to_owned(),
        kind: ItemKind::Iso.into(),
        ..ItemFacts::default()
    }
}

/// A report of this number on a share.
pub(crate) fn report(share: &Share, number: u64, items: Vec<ItemFacts>) -> ReportRequest {
    ReportRequest {
        server_id: share.server_id.clone(),
        generation: 1,
        share_id: share.id.clone(),
        number,
        items,
        ..ReportRequest::default()
    }
}
