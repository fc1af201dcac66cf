//! Programs of their own, to be killed: this test binary, started again with a role.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use contracts::call::Context;
use contracts::inventory::Vm;
use kit::bus::Bus;
use kit::bus::nats::NatsBus;
use kit::config::BusConfig;
use kit::records::{Decision, Records, Store, Stored};
use kit::world::World;
use support::NatsServer;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio_util::sync::CancellationToken;

use crate::altered::{Alter, Altered};

const ROLE: &str = "KIT_TEST_ROLE";
const URL: &str = "KIT_TEST_URL";
const FOLDER: &str = "KIT_TEST_FOLDER";
const POINT: &str = "KIT_TEST_POINT";
const FLUSHES: &str = "KIT_TEST_FLUSHES";

/// Lines of a child that are meant for its parent start so.
const SAYS: &str = "child: ";

/// What the parent sees of a child. It is killed when dropped.
pub(crate) struct Child {
    process: tokio::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    pub(crate) fn start(role: &str, nats: &NatsServer, folder: &Path) -> Self {
        Self::spawn(Self::command(role, nats, folder))
    }

    /// A child that dies at a point, with or without everything written to its disk.
    pub(crate) fn that_dies(nats: &NatsServer, folder: &Path, point: &str, flushes: bool) -> Self {
        let mut command = Self::command("script", nats, folder);
        command.env(POINT, point);
        if flushes {
            command.env(FLUSHES, "1");
        }
        Self::spawn(command)
    }

    fn command(role: &str, nats: &NatsServer, folder: &Path) -> Command {
        // A file that may not grow is an error to see, not a signal to die of.
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["child::act", "--exact", "--nocapture"])
            .env(ROLE, role)
            .env(URL, nats.url())
            .env(FOLDER, folder);
        command
    }

    fn spawn(mut command: Command) -> Self {
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// What it says next. `None`: it has ended.
    pub(crate) async fn says(&mut self) -> Option<String> {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            if let Some((_, said)) = line.split_once(SAYS) {
                return Some(said.to_owned());
            }
        }
        None
    }

    pub(crate) async fn ended(mut self) -> ExitStatus {
        self.process.wait().await.unwrap()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// `kill -9`, and waits until it is gone. Answers with what it had still said.
    pub(crate) async fn kill(mut self) -> Vec<String> {
        self.process.start_kill().unwrap();
        let mut rest = Vec::new();
        while let Some(said) = self.says().await {
            rest.push(said);
        }
        self.process.wait().await.unwrap();
        rest
    }
}

#[test]
fn act() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        match role.as_str() {
            "script" => script().await,
            "counters" => counters().await,
            "filler" => filler().await,
            other => panic!("no role {other}"),
        }
    });
}

fn say(what: impl std::fmt::Display) {
    println!("\n{SAYS}{what}");
}

async fn bus() -> Arc<dyn Bus> {
    let config = BusConfig {
        url: std::env::var(URL).unwrap(),
        ..BusConfig::default()
    };
    Arc::new(NatsBus::connect("test", &config).await.unwrap())
}

fn open(bus: Arc<dyn Bus>) -> Arc<Store> {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    Store::open(&folder, bus, &World::real(), CancellationToken::new()).unwrap()
}

/// Says each point that it passes, and dies at one.
struct Points {
    dies_at: Option<String>,
    passed: std::sync::Mutex<std::collections::BTreeMap<String, u32>>,
    flushes: OnceLock<Arc<Store>>,
}

#[async_trait]
impl Alter for Points {
    async fn at(&self, point: String) {
        let number = {
            let mut passed = self.passed.lock().unwrap();
            let number = passed.entry(point.clone()).or_default();
            *number += 1;
            *number
        };
        let point = format!("{point} {number}");
        if self.dies_at.as_ref() != Some(&point) {
            return say(format!("point {point}"));
        }
        if let Some(store) = self.flushes.get() {
            store.flush().await.unwrap();
        }
        std::process::abort();
    }
}

/// Makes a record, changes it and deletes it.
async fn script() {
    let points = Arc::new(Points {
        dies_at: std::env::var(POINT).ok(),
        passed: std::sync::Mutex::default(),
        flushes: OnceLock::new(),
    });
    let store = open(Arc::new(Altered {
        bus: bus().await,
        by: Arc::clone(&points),
    }));
    if std::env::var(FLUSHES).is_ok() {
        let _ = points.flushes.set(Arc::clone(&store));
    }
    let vms = store.own::<Vm>().await.unwrap();
    count_up(&vms, "x").await.unwrap();
    say("acked 1");
    count_up(&vms, "x").await.unwrap();
    say("acked 2");
    let context = Context::new("child");
    let delete = |_: Option<&Stored<Vm>>| Ok(Decision::Delete(()));
    vms.update(&context, "x", delete).await.unwrap();
    say("acked 3");
    std::future::pending().await
}

async fn count_up(vms: &Records<Vm>, id: &str) -> Result<u32, contracts::Status> {
    vms.update(&Context::new("child"), id, |vm| {
        let mut vm = vm.map(|vm| vm.value.clone()).unwrap_or_default();
        vm.pid += 1;
        let count = vm.pid;
        Ok(Decision::Put(vm, count))
    })
    .await
}

/// Counts up in some records until it is killed, and says each number that was acknowledged. Writes to its disk all the
/// time.
async fn counters() {
    let store = open(bus().await);
    let vms = store.own::<Vm>().await.unwrap();
    let count = |n: usize| {
        let (vms, id) = (vms.clone(), format!("counter-{n}"));
        async move {
            loop {
                let count = count_up(&vms, &id).await.unwrap();
                say(format!("acked {id} {count}"));
            }
        }
    };
    let flush = async {
        loop {
            store.flush().await.unwrap();
        }
    };
    let counting = futures::future::join_all((0..8).map(count));
    tokio::join!(flush, counting);
}

/// Makes large records until it is killed. Says which were acknowledged, how far its view is, and whether it is read.
async fn filler() {
    const LARGE_BYTES: usize = 16 * 1024;
    let store = open(bus().await);
    let vms = store.own::<Vm>().await.unwrap();
    let fill = async |writer: usize| {
        for n in 0.. {
            let id = format!("fill-{writer}-{n}");
            let vm = Vm {
                owner: "x".repeat(LARGE_BYTES),
                ..Vm::default()
            };
            let put = |_: Option<&Stored<Vm>>| Ok(Decision::Put(vm.clone(), ()));
            match vms.update(&Context::new("child"), &id, put).await {
                Ok(()) => say(format!("acked {id}")),
                Err(status) => {
                    say(format!("refused {id}: {status}"));
                    // A view that cannot be read refuses without waiting for anything, and the others must get on too.
                    tokio::task::yield_now().await;
                }
            }
        }
    };
    let watch = async {
        loop {
            let read = vms.list();
            let read = read.map_or_else(|e| e.to_string(), |_| "whole".to_owned());
            say(format!("view {} {read}", vms.revision()));
            tokio::time::sleep(Duration::from_millis(50)).await; // slow on purpose
        }
    };
    tokio::join!(watch, futures::future::join_all((0..4).map(fill)));
}
