//! Clones of a machine with a disk of 20 GiB, of which 1 GiB is data: linked and whole, beside `qemu-img` by hand.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::json;
use support::eventually;

use crate::muster::{HOSTS, Muster};
use crate::steps::{Steps, between};
use crate::table::{Report, Samples, millis, ratio};

const LINKED: usize = 20;
const WHOLE: usize = 3;

const MIB: usize = 1 << 20;
const DISK_BYTES: u64 = 20 << 30;
const DATA_MIB: u64 = 1024;

const VMS: &str = "/api/v1/vms";
const IMAGE: &str = "golden.raw";

pub(crate) async fn run() -> anyhow::Result<Vec<Report>> {
    let muster = Muster::start().await?;
    let image = muster.store_of(HOSTS[0]).join("images").join(IMAGE);
    fill(&image)?;
    let golden = json!({
        "name": "golden", "vcpus": 1, "memory_bytes": 128 << 20, "disks": [{"image": IMAGE}],
    });
    let job = eventually("the image to be known", async || {
        muster.send("POST", VMS, Some(golden.clone())).await.ok()
    });
    muster.succeeded(&job.await?).await?;
    let mut report = Report::new(
        "A clone of a machine with a disk of 20 GiB, 1 GiB of it data (aim: linked under 200 ms)",
        &["", "median", "of qemu-img's"],
    );
    let (linked, steps) = clones(&muster, LINKED, true).await?;
    let scratch = image.with_file_name("by-hand.qcow2");
    let overlay = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"];
    let by_hand = by_hand(LINKED, &overlay, &image, &scratch)?;
    row(
        &mut report,
        "qemu-img create with a backing file",
        by_hand,
        by_hand,
    );
    row(&mut report, "linked clone, its whole job", linked, by_hand);
    let (whole, _) = clones(&muster, WHOLE, false).await?;
    let convert = ["convert", "-f", "raw", "-O", "qcow2"];
    let by_hand = self::by_hand(WHOLE, &convert, &image, &scratch)?;
    row(&mut report, "qemu-img convert", by_hand, by_hand);
    row(&mut report, "whole clone, its whole job", whole, by_hand);
    let steps = steps.report("Where the time of the job of a linked clone goes");
    Ok(vec![report, steps])
}

fn row(report: &mut Report, name: &str, took: Duration, by_hand: Duration) {
    let ratio = ratio(took.as_secs_f64(), by_hand.as_secs_f64());
    report.row([name.to_owned(), millis(took), ratio]);
}

fn fill(image: &Path) -> anyhow::Result<()> {
    let file = File::create(image)?;
    file.set_len(DISK_BYTES)?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut bytes = vec![0; MIB];
    let stride = DISK_BYTES / DATA_MIB;
    for number in 0..DATA_MIB {
        random.fill_bytes(&mut bytes);
        file.write_all_at(&bytes, number * stride)?;
    }
    Ok(file.sync_all()?)
}

/// The median of some clones' jobs, and their steps.
async fn clones(muster: &Muster, count: usize, linked: bool) -> anyhow::Result<(Duration, Steps)> {
    let (mut took, mut steps) = (Samples::default(), Steps::default());
    for number in 0..count {
        let name = format!("clone-{number}");
        let body = json!({"name": name, "linked": linked});
        let path = format!("{VMS}/golden/actions/clone");
        let job = muster.done("POST", &path, body).await?;
        took.push(between(&job, "/created", "/ended")?);
        steps.note(&job)?;
        let path = format!("{VMS}/{name}");
        muster.done("DELETE", &path, json!({})).await?;
    }
    Ok((took.quantile(0.5), steps))
}

/// The median of some runs of `qemu-img`, each until it is on disk.
fn by_hand(
    count: usize,
    arguments: &[&str],
    image: &Path,
    target: &Path,
) -> anyhow::Result<Duration> {
    let mut took = Samples::default();
    for _ in 0..count {
        let since = Instant::now();
        let status = Command::new("qemu-img")
            .args(arguments)
            .args([image, target])
            .status()?;
        ensure!(status.success(), "qemu-img has failed");
        File::open(target)?.sync_all()?;
        took.push(since.elapsed());
        std::fs::remove_file(target)?;
    }
    Ok(took.quantile(0.5))
}
