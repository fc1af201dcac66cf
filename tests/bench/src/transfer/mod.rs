//! An image from one host to another beside what else moves files over a network, in turn; and what does not travel.

mod peers;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};
use support::eventually;

use crate::chunks;
use crate::kernel::{self, loopback_bytes};
use crate::muster::{HOSTS, Muster, text};
use crate::steps::between;
use crate::table::{Report, Samples, millis};
use peers::{PEERS, Peers};

const ROUNDS: usize = 3;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 2 << 30;
/// Data and holes in turn, each so long.
const STRIPE: u64 = MIB;
const DATA: f64 = (SIZE / 2) as f64;

/// One data stripe of so many is another in the image's next release: 5 %.
const CHANGED_ONE_OF: u64 = 20;

/// Slow enough to be killed on the way.
const WALKING: u64 = 200 * MIB;

const IMAGE: &str = "big.raw";

/// What moving the image once took.
pub(crate) struct Move {
    /// Until it was whole and on disk.
    took: Duration,
    cpu: Duration,
    wire_bytes: u64,
}

/// What several moves took.
#[derive(Default)]
struct Moves {
    took: Samples,
    cpu: Samples,
    wire_bytes: Vec<u64>,
}

impl Moves {
    fn push(&mut self, moved: Move) {
        self.took.push(moved.took);
        self.cpu.push(moved.cpu);
        self.wire_bytes.push(moved.wire_bytes);
    }

    fn wire(&mut self) -> u64 {
        self.wire_bytes.sort_unstable();
        let middle = self.wire_bytes.get(self.wire_bytes.len() / 2);
        middle.copied().unwrap_or_default()
    }

    fn row(&mut self, report: &mut Report, name: &str, beside: &str) {
        report.row([
            name.to_owned(),
            millis(self.took.quantile(0.5)),
            millis(self.took.quantile(0.0)),
            beside.to_owned(),
            format!("{:.2} s", self.cpu.quantile(0.5).as_secs_f64()),
            format!("{:.3}", share(self.wire(), DATA)),
        ]);
    }
}

pub(crate) async fn run() -> anyhow::Result<Vec<Report>> {
    let mut muster = Muster::start_hosts(HOSTS.len()).await?;
    let source = image(&muster, 0, IMAGE);
    make(&source)?;
    let peers = Peers::set_up(muster.folder().join("peers"), source)?;
    let (mut plain, mut tls) = (Moves::default(), Moves::default());
    let mut others: Vec<Moves> = PEERS.iter().map(|_| Moves::default()).collect();
    for _ in 0..ROUNDS {
        encrypt(&muster, "plain").await?;
        plain.push(by_muster(&muster).await?);
        encrypt(&muster, "tls").await?;
        tls.push(by_muster(&muster).await?);
        for (peer, moves) in PEERS.iter().zip(&mut others) {
            match peers.run(peer) {
                Ok(Some(moved)) => moves.push(moved),
                Ok(None) => {}
                Err(error) => eprintln!("{}: {error:#}", peer.name),
            }
        }
    }
    let mut report = Report::new(
        "2 GiB image, 1 GiB of data in stripes of 1 MiB, over loopback, until on disk (aims: plain 1.1 times as fast as \
         nbdcopy; TLS 1.5 times as fast as nbdcopy, 3.3 times curl; CPU below rsync; 1.01 on the wire)",
        &[
            "",
            "median",
            "best",
            "Muster is so many times as fast",
            "CPU, 1 GiB of data",
            "wire / data",
        ],
    );
    plain.row(&mut report, "Muster, plain", "");
    tls.row(&mut report, "Muster, TLS 1.3", "");
    for (peer, mut moves) in PEERS.iter().zip(others) {
        let ours = if peer.encrypted { &mut tls } else { &mut plain };
        let (ours, theirs) = (ours.took.quantile(0.5), moves.took.quantile(0.5));
        let beside = format!("{:.2}", theirs.as_secs_f64() / ours.as_secs_f64());
        match moves.wire_bytes.is_empty() {
            true => report.row(
                [
                    peer.name,
                    "does not run here; it takes:",
                    peer.missing(),
                    "",
                    "",
                    "",
                ]
                .map(str::to_owned),
            ),
            false => moves.row(&mut report, peer.name, &beside),
        }
    }
    let saved = what_does_not_travel(&mut muster, tls.wire()).await?;
    Ok(vec![report, saved])
}

fn image(muster: &Muster, host: usize, name: &str) -> PathBuf {
    let host = HOSTS.get(host).copied().unwrap_or_default();
    muster.store_of(host).join("images").join(name)
}

/// Data that nothing makes smaller, and holes.
fn make(path: &Path) -> anyhow::Result<()> {
    let file = File::create(path)?;
    file.set_len(SIZE)?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut stripe = vec![0; usize::try_from(STRIPE)?];
    for at in (0..SIZE).step_by(usize::try_from(2 * STRIPE)?) {
        random.fill_bytes(&mut stripe);
        file.write_all_at(&stripe, at)?;
    }
    Ok(file.sync_all()?)
}

/// The image's next release beside it.
fn make_next(image: &Path, next: &Path) -> anyhow::Result<()> {
    std::fs::copy(image, next)?;
    let file = File::options().write(true).open(next)?;
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut stripe = vec![0; usize::try_from(STRIPE)?];
    for at in (0..SIZE).step_by(usize::try_from(2 * STRIPE * CHANGED_ONE_OF)?) {
        random.fill_bytes(&mut stripe);
        file.write_all_at(&stripe, at)?;
    }
    Ok(file.sync_all()?)
}

async fn encrypt(muster: &Muster, how: &str) -> anyhow::Result<()> {
    let path = "/api/v1/host-groups/all-hosts";
    muster
        .done("PATCH", path, json!({"encryption": how}))
        .await?;
    Ok(())
}

/// No limit: 0.
fn copy(name: &str, bytes_per_sec: u64) -> Value {
    let [source_host, host] = HOSTS;
    json!({
        "source_host": source_host,
        "source_image": format!("local/{name}"),
        "host": host,
        "bytes_per_sec": bytes_per_sec,
    })
}

/// Asks for a copy, again while the hosts' data ends are still to be made known.
async fn ask(muster: &Muster, copy: &Value) -> anyhow::Result<Value> {
    eventually("the copy to be taken", async || {
        let path = "/api/v1/images/actions/copy";
        muster.send("POST", path, Some(copy.clone())).await.ok()
    })
    .await
}

async fn moved(muster: &Muster, copy: &Value) -> anyhow::Result<Move> {
    let (wire, cpu) = (loopback_bytes()?, cpu(muster)?);
    let job = ask(muster, copy).await?;
    let job = muster.succeeded(&job).await?;
    Ok(Move {
        took: between(&job, "/created", "/ended")?,
        cpu: self::cpu(muster)?.saturating_sub(cpu),
        wire_bytes: loopback_bytes()? - wire,
    })
}

/// Time on processors of all that Muster is, its bus included.
fn cpu(muster: &Muster) -> anyhow::Result<Duration> {
    let each = muster.every_process()?.into_iter();
    each.map(|(_, id)| Ok(kernel::times(id)?.own)).sum()
}

async fn by_muster(muster: &Muster) -> anyhow::Result<Move> {
    let moved = moved(muster, &copy(IMAGE, 0)).await?;
    forget(muster, IMAGE).await?;
    Ok(moved)
}

/// Takes an image away from the target.
async fn forget(muster: &Muster, name: &str) -> anyhow::Result<()> {
    let image = json!({"host": HOSTS[1], "image": format!("local/{name}")});
    muster
        .done("POST", "/api/v1/images/actions/delete", image)
        .await?;
    Ok(())
}

#[allow(clippy::cast_precision_loss)]
async fn what_does_not_travel(muster: &mut Muster, whole: u64) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "What travels when part of the image is there",
        &["", "measured", "aim"],
    );
    let mut row = |what: &str, measured: String, aim: &str| {
        report.row([what.to_owned(), measured, aim.to_owned()]);
    };
    let again = killed_midway(muster).await?.saturating_sub(whole);
    let again = format!("{:.1} MiB", again as f64 / MIB as f64);
    row(
        "sent again after kill -9 of the target on the way",
        again,
        "4 MiB",
    );
    // The whole image is at the target now.
    let (this, next) = (image(muster, 0, IMAGE), image(muster, 0, "next.raw"));
    make_next(&this, &next)?;
    let moved_next = moved(muster, &copy("next.raw", 0)).await?;
    row(
        "95 % there: of the data",
        percent(share(moved_next.wire_bytes, DATA)),
        "6 %",
    );
    std::fs::rename(&this, image(muster, 0, "again.raw"))?;
    let moved_again = moved(muster, &copy("again.raw", 0)).await?;
    row(
        "all there, under another name: of the data",
        percent(share(moved_again.wire_bytes, DATA)),
        "1 %",
    );
    let releases = chunks::make(&muster.folder().join("peers"))?;
    let mut came = Vec::new();
    for (release, name) in releases
        .iter()
        .zip(["before.raw", "updated.raw", "anew.raw"])
    {
        std::fs::rename(release, image(muster, 0, name))?;
        came.push(moved(muster, &copy(name, 0)).await?.wire_bytes);
    }
    if let [before, updated, anew] = came[..] {
        let of_it = |bytes| percent(share(bytes, before as f64));
        let what = "an image's next release, updated in place: of what the one before took";
        row(what, of_it(updated), "");
        row("the same, made anew", of_it(anew), "");
    }
    for (name, id) in muster.every_process()? {
        if name == "agent" {
            let peak = kernel::memory_bytes(id, "VmHWM:")? / 1_000_000;
            row(
                "an agent's memory at its peak",
                format!("{peak} MB"),
                "64 MB",
            );
        }
    }
    Ok(report)
}

/// Bytes on the wire of a copy whose target is killed in the middle.
async fn killed_midway(muster: &mut Muster) -> anyhow::Result<u64> {
    let before = loopback_bytes()?;
    let job = ask(muster, &copy(IMAGE, WALKING)).await?;
    eventually("half of it to be there", async || {
        let came = loopback_bytes().ok()? - before;
        (share(came, DATA) > 0.5).then_some(())
    })
    .await?;
    muster.crash(1).await?;
    let path = format!("/api/v1/jobs/{}/throttle", text(&job, "/id")?);
    // Its data end is there a moment after the host.
    eventually("the limit to be lifted", async || {
        let unlimited = json!({"bytes_per_sec": 0});
        muster.send("PUT", &path, Some(unlimited)).await.ok()
    })
    .await?;
    muster.succeeded(&job).await?;
    Ok(loopback_bytes()? - before)
}

#[allow(clippy::cast_precision_loss)]
fn share(bytes: u64, of: f64) -> f64 {
    bytes as f64 / of
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
