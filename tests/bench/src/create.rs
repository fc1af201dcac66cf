//! What Muster adds to a create-and-start: from the request to the API until QEMU lets the guest run, beside the same
//! command line started by hand, in turn.
//!
//! By hand means: `qemu-img create` of the overlay, QEMU with the words that Muster gave it, `cont` as soon as it listens.
//! Both end with QEMU's own word that the guest runs; neither waits for the guest to boot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use support::eventually;

use crate::muster::{HOSTS, Muster, small_vm, text};
use crate::qmp::Qmp;
use crate::steps::Steps;
use crate::table::{Report, Samples, millis};

const ROUNDS: usize = 20;

/// The command line that Muster starts a machine with, changed to have its files in a folder of its own.
struct Line {
    words: Vec<String>,
    folder: PathBuf,
    image: PathBuf,
}

/// A machine that was started by hand; ended when dropped.
struct ByHand(Child);

pub(crate) async fn run() -> anyhow::Result<Vec<Report>> {
    let muster = Muster::start().await?;
    let line = learn(&muster).await?;
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    let mut steps = Steps::default();
    for round in 0..ROUNDS {
        theirs.push(by_hand(&line).await?);
        let (took, job) = by_muster(&muster, round).await?;
        ours.push(took);
        steps.note(&job)?;
    }
    let mut report = Report::new(
        "Create and start, until the guest runs (aim: Muster adds under 150 ms to the median)",
        &["", "median", "p90"],
    );
    let quantiles = |samples: &mut Samples| (samples.quantile(0.5), samples.quantile(0.9));
    let ((our_median, our_p90), (median, p90)) = (quantiles(&mut ours), quantiles(&mut theirs));
    let added = (
        our_median.saturating_sub(median),
        our_p90.saturating_sub(p90),
    );
    report.row([
        "qemu-img and QEMU by hand".to_owned(),
        millis(median),
        millis(p90),
    ]);
    report.row([
        "the same through Muster".to_owned(),
        millis(our_median),
        millis(our_p90),
    ]);
    report.row(["Muster adds".to_owned(), millis(added.0), millis(added.1)]);
    Ok(vec![report, steps.report("Where the time of its job goes")])
}

/// Creates and starts a machine; answers with the time and with its job.
async fn by_muster(muster: &Muster, round: usize) -> anyhow::Result<(Duration, Value)> {
    let name = format!("bench-{round}");
    let begun = SystemTime::now();
    let body = small_vm(&name, true, false);
    let (job, running) = tokio::try_join!(
        muster.send("POST", "/api/v1/vms", Some(body)),
        running(muster)
    )?;
    let job = muster.succeeded(&job).await?;
    remove(muster, &name).await?;
    Ok((running.duration_since(begun)?, job))
}

/// Waits for the one machine that there is, and says since when it runs.
async fn running(muster: &Muster) -> anyhow::Result<SystemTime> {
    let socket = loop {
        let sockets = muster
            .sockets()
            .into_iter()
            .map(|folder| folder.join("qmp2"));
        match sockets.into_iter().find(|socket| socket.exists()) {
            Some(socket) => break socket,
            None => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    };
    Qmp::open(&socket).await?.running().await
}

async fn remove(muster: &Muster, name: &str) -> anyhow::Result<()> {
    muster
        .done(
            "POST",
            &format!("/api/v1/vms/{name}/actions/turn-off"),
            json!({}),
        )
        .await?;
    muster
        .done("DELETE", &format!("/api/v1/vms/{name}"), json!({}))
        .await?;
    eventually("its sockets to be gone", async || {
        muster.sockets().is_empty().then_some(())
    })
    .await
}

/// Has Muster start a machine, and takes its command line from the kernel. Warms both ways up.
async fn learn(muster: &Muster) -> anyhow::Result<Line> {
    let job = muster
        .done("POST", "/api/v1/vms", small_vm("bench", true, false))
        .await?;
    let id = text(&job, "/target/id")?;
    let words = muster.command_line()?;
    let sockets = muster.sockets();
    let [sockets] = &sockets[..] else {
        anyhow::bail!("the machine has not exactly one folder of sockets");
    };
    let folder = muster.folder().join("hand");
    let replaced = [
        (
            muster.store_of(HOSTS[0]).join("vms").join(id),
            folder.clone(),
        ),
        (sockets.clone(), folder.clone()),
    ];
    let replace = |word: String| {
        replaced.iter().fold(word, |word, (from, to)| {
            word.replace(&*from.to_string_lossy(), &to.to_string_lossy())
        })
    };
    let line = Line {
        words: words.into_iter().map(replace).collect(),
        folder,
        image: muster.image(),
    };
    remove(muster, "bench").await?;
    by_hand(&line).await?;
    Ok(line)
}

async fn by_hand(line: &Line) -> anyhow::Result<Duration> {
    let _ = fs::remove_dir_all(&line.folder);
    fs::create_dir(&line.folder)?;
    let begun = SystemTime::now();
    make_disk(&line.image, &line.folder.join("disk0.qcow2"))?;
    let (program, words) = line
        .words
        .split_first()
        .context("the command line is empty")?;
    let command = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn();
    let _machine = ByHand(command.with_context(|| format!("{program} was not started"))?);
    let mut qmp = Qmp::open(&line.folder.join("qmp")).await?;
    qmp.execute("cont").await?;
    Ok(qmp.happened("RESUME").await?.duration_since(begun)?)
}

fn make_disk(image: &Path, disk: &Path) -> anyhow::Result<()> {
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .args([image, disk])
        .status()?;
    ensure!(made.success(), "qemu-img made no disk");
    Ok(())
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
