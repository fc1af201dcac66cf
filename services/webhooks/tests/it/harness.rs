//! Two instances of the service, host groups that the test makes, whose events are what is delivered.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::inventory::HostGroup;
use contracts::webhooks::{CreateRequest, Listed, WebhookRef, WebhooksClient};
use contracts::{Code, Status};
use kit::bus::Bus;
use kit::bus::nats::NatsBus;
use kit::records::{Decision, Records, Store};
use kit::rpc::Caller;
use kit::world::World;
use support::{NatsServer, eventually};
use tokio_util::sync::CancellationToken;

pub(crate) struct Site {
    pub(crate) client: WebhooksClient,
    groups: Records<HostGroup>,
    instances: Vec<(String, Child)>,
    stop: CancellationToken,
    folder: tempfile::TempDir,
    _nats: NatsServer,
}

/// A webhook that was made.
pub(crate) struct Made {
    pub(crate) reference: WebhookRef,
    pub(crate) secret: Vec<u8>,
}

impl Site {
    /// With lines for the service's own section.
    pub(crate) async fn start(section: &str) -> Self {
        let nats = NatsServer::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = nats.bus_config();
        let bus: Arc<dyn Bus> = Arc::new(NatsBus::connect("test", &config).await.unwrap());
        let stop = CancellationToken::new();
        let own = folder.path().join("test");
        let store = Store::open(&own, Arc::clone(&bus), &World::real(), stop.clone()).unwrap();
        let groups = store.own().await.unwrap();
        let mut instances = Vec::new();
        for name in ["a", "b"] {
            let text = format!(
                "data_dir = {data:?}\ninstance = {name:?}\n[bus]\nurl = {url:?}\nmonitor_urls = {monitor:?}\n\
                 [webhooks]\n{section}\n",
                data = folder.path(),
                url = config.url,
                monitor = config.monitor_urls,
            );
            std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
            instances.push((name.to_owned(), spawn(folder.path(), name)));
        }
        let site = Self {
            client: WebhooksClient::new(Caller::new(bus)),
            groups,
            instances,
            stop,
            folder,
            _nats: nats,
        };
        site.answers().await;
        site
    }

    async fn answers(&self) {
        eventually("the service to answer", async || {
            self.client
                .list(&Context::new("tester"), &Empty {})
                .await
                .ok()
        })
        .await
        .unwrap();
    }

    /// `kill -9` of the instance that has written last that it holds the lease.
    pub(crate) async fn kill_the_holder(&mut self) {
        let holder = eventually("an instance to hold the lease", async || {
            let mut holders = self.instances.iter();
            holders.position(|(name, _)| {
                let log = self.log(name);
                log.rfind("holds=true") > log.rfind("holds=false")
            })
        });
        let (_, mut child) = self.instances.remove(holder.await.unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// What all instances have logged.
    pub(crate) fn logs(&self) -> String {
        self.log("a") + &self.log("b")
    }

    pub(crate) async fn add(&self, name: &str, url: &str) -> Result<Made, Status> {
        let request = CreateRequest {
            name: name.to_owned(),
            url: url.to_owned(),
            kinds: vec!["host_group".to_owned()],
            verbs: vec!["created".to_owned()],
            ..CreateRequest::default()
        };
        let created = self
            .client
            .create(&Context::new("tester"), &request)
            .await?;
        let webhook = created.webhook.unwrap();
        assert!(
            webhook.secret.is_empty(),
            "only the text beside it tells the secret"
        );
        let secret = created.secret.strip_prefix("whsec_").unwrap();
        Ok(Made {
            reference: WebhookRef { id: webhook.id },
            secret: BASE64.decode(secret).unwrap(),
        })
    }

    /// Makes groups, one event each that is wanted and one that is not.
    pub(crate) async fn make_groups(&self, names: &[String]) {
        for name in names {
            for description in ["", "described"] {
                let group = HostGroup {
                    id: name.clone(),
                    name: name.clone(),
                    description: description.to_owned(),
                    ..HostGroup::default()
                };
                self.groups
                    .update(&Context::new("tester"), name, |_| {
                        Ok(Decision::Put(group.clone(), ()))
                    })
                    .await
                    .unwrap();
            }
        }
    }

    /// A webhook as it is told, once it is as wanted. Another instance may answer, which has not seen all.
    pub(crate) async fn listed(&self, made: &Made, wanted: impl Fn(&Listed) -> bool) -> Listed {
        eventually("the webhook to be as wanted", async || {
            let all = self
                .client
                .list(&Context::new("tester"), &Empty {})
                .await
                .ok()?;
            let is_it = |l: &Listed| l.webhook.as_ref().unwrap().id == made.reference.id;
            all.webhooks
                .into_iter()
                .find(is_it)
                .filter(|found| wanted(found))
        })
        .await
        .unwrap()
    }

    /// Asks again while an instance answers that has not yet seen the webhook.
    pub(crate) async fn known<T>(
        &self,
        mut ask: impl AsyncFnMut(&Context) -> Result<T, Status>,
    ) -> T {
        let context = Context::new("tester");
        eventually("the webhook to be known", async || {
            match ask(&context).await {
                Ok(answer) => Some(answer),
                Err(status) if status.code() == Code::NotFound => None,
                Err(status) => panic!("{status}"),
            }
        })
        .await
        .unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
        for (_, child) in &mut self.instances {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

fn spawn(folder: &Path, name: &str) -> Child {
    let log = std::fs::File::create(folder.join(format!("{name}.log"))).unwrap();
    Command::new(env!("CARGO_BIN_EXE_webhooks"))
        .arg("--config")
        .arg(folder.join(format!("{name}.toml")))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

pub(crate) fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n}")).collect()
}
