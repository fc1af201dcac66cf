//! What a library server pays for a share of many files: the first look, and one that finds nothing new.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use support::eventually;

use crate::muster::{HOSTS, Muster, text};
use crate::table::{Report, millis};
use crate::{PATIENCE, kernel};

const FILES: usize = 20_000;
const FOLDERS: usize = 200;

/// One file of so many is a disk that is shown to `qemu-img`; the others are known by their names and sizes.
const DISK_ONE_OF: usize = 200;

/// Between two looks at the share; it adds nothing to the server's time on processors.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

const SHARES: &str = "/api/v1/library/shares";

pub(crate) async fn run() -> anyhow::Result<Report> {
    let muster = Muster::start_library().await?;
    let folder = muster.library().join("images");
    fill(&folder)?;
    let [server, ..] = HOSTS;
    eventually("the server to be known", async || {
        let body = json!({"server": server});
        let path = "/api/v1/library/servers";
        muster.send("POST", path, Some(body)).await.ok()
    })
    .await?;
    let mut report = Report::new(
        "A share of 20,000 files, one of 200 a qcow2 disk (aims for the server's processor: cold 10 s, unchanged 0.3 s)",
        &[
            "",
            "library server, on a processor",
            "musterd and nats-server",
            "until all was durable",
        ],
    );
    let from = Costs::now(&muster)?;
    let body = json!({"server": server, "path": folder, "name": "images"});
    eventually("the server to be known to who is asked", async || {
        muster.send("POST", SHARES, Some(body.clone())).await.ok()
    })
    .await?;
    until_all_are_known(&muster).await?;
    report.row(from.row("the first look", &muster)?);
    let from = Costs::now(&muster)?;
    look(&muster).await?;
    report.row(from.row("nothing has changed", &muster)?);
    Ok(report)
}

struct Costs {
    server: Duration,
    others: Duration,
    begun: Instant,
}

impl Costs {
    fn now(muster: &Muster) -> anyhow::Result<Self> {
        let (mut server, mut others) = (Duration::ZERO, Duration::ZERO);
        for (name, id) in muster.every_process()? {
            match name {
                // What it runs, as qemu-img, is its cost too.
                "agent" => server += kernel::times(id)?.own + kernel::times(id)?.children,
                _ => others += kernel::times(id)?.own,
            }
        }
        Ok(Self {
            server,
            others,
            begun: Instant::now(),
        })
    }

    fn row(&self, name: &str, muster: &Muster) -> anyhow::Result<[String; 4]> {
        let took = self.begun.elapsed();
        let now = Self::now(muster)?;
        Ok([
            name.to_owned(),
            millis(now.server - self.server),
            millis(now.others - self.others),
            millis(took),
        ])
    }
}

/// Folders of small files of every kind.
fn fill(folder: &Path) -> anyhow::Result<()> {
    let disk = folder.join("disk.qcow2");
    for n in 0..FOLDERS {
        fs::create_dir_all(folder.join(format!("{n}")))?;
    }
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .arg(&disk)
        .arg("1G")
        .status()?;
    ensure!(made.success(), "qemu-img made no disk");
    for n in 1..FILES {
        let folder = folder.join(format!("{}", n % FOLDERS));
        match (n % DISK_ONE_OF, n % 4) {
            (0, _) => {
                fs::copy(&disk, folder.join(format!("{n}.qcow2")))?;
            }
            (_, 0) => fs::write(folder.join(format!("{n}.sh")), "#!/bin/sh\n")?,
            (_, 1) => fs::write(folder.join(format!("{n}.py")), "print()\n")?,
            (_, 2) => File::create(folder.join(format!("{n}.iso")))?.set_len(1 << 20)?,
            _ => File::create(folder.join(format!("{n}.raw")))?.set_len(1 << 30)?,
        }
    }
    Ok(())
}

async fn until_all_are_known(muster: &Muster) -> anyhow::Result<()> {
    let known = async {
        loop {
            let shares = muster.send("GET", SHARES, None).await?;
            let items = shares.pointer("/items/0/items").and_then(Value::as_u64);
            if items.context("no count of items")? == FILES as u64 {
                return anyhow::Ok(());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, known)
        .await
        .context("not all files are known")?
}

/// Has the share looked at, until that look has ended.
async fn look(muster: &Muster) -> anyhow::Result<()> {
    let refresh = format!("{SHARES}/images/actions/refresh");
    let mut path = refresh.clone();
    loop {
        let found = muster.send("POST", &path, None).await?;
        if found.get("in_work") != Some(&Value::Bool(true)) {
            return Ok(());
        }
        path = format!("{refresh}?look={}", text(&found, "/look")?);
    }
}
