//! A share of many files: looked at for the first time, and again when nothing has changed.
//!
//! The share lies beside the programs, on a filesystem with extended attributes; all else where the temporary folders are.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use support::eventually;

use crate::PATIENCE;
use crate::kernel;
use crate::muster::{HOSTS, Muster};
use crate::table::{Report, Samples, millis};

const FOLDERS: usize = 100;
const FILES: usize = 20_000;

/// Each of these is shown to `qemu-img`, which is a process.
const DISKS: usize = 100;

const REFRESHES: usize = 5;

/// Between two looks at how many items there are; what is measured does not hang on it.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

const SHARES: &str = "/api/v1/library/shares";

/// Time on processors.
struct Cpu {
    agent: Duration,
    /// Its children: `qemu-img`.
    children: Duration,
    /// musterd and its nats-server.
    centre: Duration,
}

pub(crate) async fn run() -> anyhow::Result<Report> {
    let own = std::env::current_exe()?;
    let beside = own.parent().context("the program is in no folder")?;
    let share = tempfile::tempdir_in(beside)?;
    fs::set_permissions(share.path(), fs::Permissions::from_mode(0o755))?;
    fill(share.path())?;
    let lines = format!(
        "roles = [\"host\", \"library\"]\nlibrary_folders = [{:?}]\n",
        share.path()
    );
    let muster = Muster::start_with(1, &lines).await?;
    let mut report = Report::new(
        "A share of 20,000 files, of them 100 virtual disks (aims: first look 10 s of CPU, again 0.3 s)",
        &["", "took", "agent", "qemu-img", "musterd and its bus"],
    );
    let server = json!({"server": HOSTS[0]});
    eventually("the server to make itself known", async || {
        let path = "/api/v1/library/servers";
        muster.send("POST", path, Some(server.clone())).await.ok()
    })
    .await?;
    let (before, since) = (cpu(&muster)?, Instant::now());
    let body = json!({"server": HOSTS[0], "path": share.path(), "name": "many"});
    muster.send("POST", SHARES, Some(body)).await?;
    all_known(&muster).await?;
    report.row(row("first look", since.elapsed(), &before, &cpu(&muster)?));
    for _ in 0..REFRESHES {
        let (before, since) = (cpu(&muster)?, Instant::now());
        refresh(&muster).await?;
        report.row(row("again", since.elapsed(), &before, &cpu(&muster)?));
    }
    let mut took = Samples::default();
    let before = kernel::times("self")?.children;
    for _ in 0..REFRESHES {
        let since = Instant::now();
        find(share.path())?;
        took.push(since.elapsed());
    }
    let each = (kernel::times("self")?.children - before) / u32::try_from(REFRESHES)?;
    let name = "find, for names, sizes and times".to_owned();
    let nothing = String::new();
    let took = millis(took.quantile(0.5));
    report.row([name, took, millis(each), nothing.clone(), nothing]);
    Ok(report)
}

fn row(name: &str, took: Duration, before: &Cpu, after: &Cpu) -> [String; 5] {
    [
        name.to_owned(),
        millis(took),
        millis(after.agent - before.agent),
        millis(after.children - before.children),
        millis(after.centre - before.centre),
    ]
}

/// Files of every kind in folders of their own.
fn fill(share: &Path) -> anyhow::Result<()> {
    let disk = share.join("folder-0/disk-0.qcow2");
    for folder in 0..FOLDERS {
        fs::create_dir(share.join(format!("folder-{folder}")))?;
    }
    let mut make = Command::new("qemu-img");
    make.args(["create", "-q", "-f", "qcow2"])
        .arg(&disk)
        .arg("20G");
    ensure!(make.status()?.success(), "qemu-img has made no disk");
    for number in 1..FILES {
        let folder = share.join(format!("folder-{}", number % FOLDERS));
        match number {
            ..DISKS => {
                fs::copy(&disk, folder.join(format!("disk-{number}.qcow2")))?;
            }
            _ if number % 2 == 0 => {
                let iso = File::create(folder.join(format!("install-{number}.iso")))?;
                iso.set_len(700 << 20)?;
            }
            _ => fs::write(folder.join(format!("setup-{number}.sh")), "exit\n")?,
        }
    }
    Ok(())
}

fn cpu(muster: &Muster) -> anyhow::Result<Cpu> {
    let mut cpu = Cpu {
        agent: Duration::ZERO,
        children: Duration::ZERO,
        centre: Duration::ZERO,
    };
    for (name, id) in muster.every_process()? {
        let times = kernel::times(id)?;
        match name {
            "agent" => (cpu.agent, cpu.children) = (times.own, times.children),
            _ => cpu.centre += times.own,
        }
    }
    Ok(cpu)
}

async fn all_known(muster: &Muster) -> anyhow::Result<()> {
    let since = Instant::now();
    loop {
        let shares = muster.send("GET", SHARES, None).await?;
        let share = shares.pointer("/items/0").context("there is no share")?;
        if share.pointer("/items") == Some(&FILES.into()) {
            return Ok(());
        }
        ensure!(
            since.elapsed() < PATIENCE,
            "not every file is an item: {share:#}"
        );
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Has the share looked at, and waits until that is done.
async fn refresh(muster: &Muster) -> anyhow::Result<()> {
    let path = format!("{SHARES}/many/actions/refresh");
    let mut found = muster.send("POST", &path, None).await?;
    while found.pointer("/in_work") == Some(&true.into()) {
        let look = crate::muster::text(&found, "/look")?;
        let path = format!("{path}?look={look}");
        found = muster.send("POST", &path, None).await?;
    }
    let items = found.pointer("/items").and_then(serde_json::Value::as_u64);
    ensure!(items == Some(FILES as u64), "{found:#}");
    Ok(())
}

fn find(share: &Path) -> anyhow::Result<()> {
    let mut find = Command::new("find");
    find.arg(share).args(["-printf", "%p %s %T@ %C@ %i\n"]);
    ensure!(
        find.stdout(Stdio::null()).status()?.success(),
        "find has failed"
    );
    Ok(())
}
