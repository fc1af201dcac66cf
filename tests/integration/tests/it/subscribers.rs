//! Programs that are no part of Muster and read events: they miss none and take none twice, whatever is killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use contracts::common::Event;
use serde_json::json;
use support::eventually;

use crate::fleet::Fleet;
use crate::log::Log;
use crate::process::{program, signal};

/// A subscriber that is started and killed as often as one likes.
struct Subscriber {
    command: Command,
    file: PathBuf,
    child: Option<Child>,
}

impl Subscriber {
    fn new(mut command: Command, file: PathBuf) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self {
            command,
            file,
            child: None,
        }
    }

    fn start(&mut self) {
        self.child = Some(self.command.spawn().unwrap());
    }

    /// `kill -9`.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn has(&self, count: usize) {
        eventually("the subscriber to get further", async || {
            (self.lines().len() >= count).then_some(())
        })
        .await
        .unwrap();
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.kill();
    }
}

fn rust(url: &str, password: &str, folder: &Path) -> Subscriber {
    let file = folder.join("rust.txt");
    let mut command = Command::new(program("subscriber"));
    command.args([url, password]).arg(&file);
    Subscriber::new(command, file)
}

/// With the stock clients from the package index, which `ops/test` installs.
fn python(url: &str, password: &str, gateway: &str, folder: &Path) -> Subscriber {
    let modules = std::env::var_os("MUSTER_PYTHON_MODULES")
        .expect("MUSTER_PYTHON_MODULES is not set: eval \"$(./ops/test --env)\"");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/subscriber.py");
    let file = folder.join("python.txt");
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", modules).arg(example);
    command.args([url, password, gateway]).arg(&file);
    Subscriber::new(command, file)
}

/// The log of events, as a subscriber writes it.
async fn told(fleet: &Fleet) -> Vec<String> {
    let log = Log::open(&fleet.bus).await;
    let line = |(sequence, event): &(u64, Event)| {
        let Event {
            kind,
            id,
            verb,
            revision,
            ..
        } = event;
        format!("{sequence} {kind} {id} {verb} {revision}")
    };
    log.events().await.unwrap().iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_miss_nothing_and_take_nothing_twice() {
    let mut fleet = Fleet::start(0).await;
    let (url, password) = (fleet.bus.url.clone(), fleet.bus_password("subscriber"));
    let client = fleet.client.patient();
    let folder = fleet.folder.path().to_owned();
    let mut subscribers = [
        rust(&url, &password, &folder),
        python(&url, &password, client.server(), &folder),
    ];
    subscribers.iter_mut().for_each(Subscriber::start);
    for round in 1..=3 {
        for subscriber in &mut subscribers {
            subscriber.kill();
            subscriber.start();
        }
        // While they come up, and after that: some is caught up with, some is heard.
        for number in 0..4 {
            let name = format!("group-{round}-{number}");
            client
                .done("POST", "/api/v1/host-groups", json!({"name": name}))
                .await;
        }
        // What was told in this round only those have that were started in it: they are up.
        let told = told(&fleet).await;
        for subscriber in &subscribers {
            subscriber.has(told.len()).await;
        }
    }
    // Also across a death of the server, and of the service that publishes.
    signal(fleet.nats_process(), "KILL");
    fleet.kill_musterd();
    fleet.start_musterd();
    fleet.ready().await;
    let after = json!({"name": "after"});
    client.done("POST", "/api/v1/host-groups", after).await;
    let wanted = told(&fleet).await;
    assert!(wanted.iter().any(|line| line.contains(" host_group ")));
    for subscriber in &subscribers {
        subscriber.has(wanted.len()).await;
        assert_eq!(subscriber.lines()[..wanted.len()], wanted);
    }
}
