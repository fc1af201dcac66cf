//! How images are cut into chunks: of a fixed size, or by their content. What of an image's next release has to travel to
//! whom has the one before?
//!
//! The images are filesystems with this machine's own programs and texts. The next release has some of the files changed,
//! as an upgrade of packages does: either within the same filesystem, or in one that is made anew.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use fastcdc::v2020::StreamCDC;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::table::Report;

/// What the images hold.
const FOLDERS: [&str; 3] = ["/usr/bin", "/usr/lib/python3", "/usr/share/doc"];

const KIB: usize = 1 << 10;
const BLOCK_BYTES: usize = 4 * KIB;

/// One file of so many is another in the next release.
const CHANGED_ONE_OF: u32 = 25;

#[derive(Clone, Copy)]
enum Cut {
    Fixed(usize),
    /// FastCDC with so many bytes on average, a quarter at least and four times as many at most.
    ByContent(usize),
}

const CUTS: [Cut; 8] = [
    Cut::Fixed(BLOCK_BYTES),
    Cut::Fixed(64 * KIB),
    Cut::Fixed(256 * KIB),
    Cut::Fixed(1024 * KIB),
    Cut::Fixed(4096 * KIB),
    Cut::ByContent(64 * KIB),
    Cut::ByContent(256 * KIB),
    Cut::ByContent(1024 * KIB),
];

/// How an image is written down.
const FORMATS: [(&str, &[&str]); 3] = [
    ("raw", &["-O", "raw"]),
    ("qcow2", &["-O", "qcow2"]),
    ("qcow2, compressed", &["-O", "qcow2", "-c"]),
];

/// What a cut of a file came to.
#[derive(Default)]
struct Chunks {
    hashes: HashSet<blake3::Hash>,
    count: u64,
    /// Without blocks of zeros.
    data_bytes: u64,
    /// Data in chunks that another file does not have.
    news_bytes: u64,
    took: Duration,
}

pub(crate) fn run() -> anyhow::Result<Report> {
    let folder = tempfile::tempdir()?;
    let images = make(folder.path())?;
    let mut report = Report::new(
        "What of an image's next release travels to whom has the one before (one file of 25 is another)",
        &[
            "chunks",
            "format",
            "updated in place",
            "made anew",
            "hashes for a GiB",
            "cut and hashed",
        ],
    );
    for (format, arguments) in FORMATS {
        let [before, updated, anew] = images.each_ref().map(|image| {
            let file = image.with_extension(format.replace(", ", "-"));
            let mut convert = Command::new("qemu-img");
            done(convert.arg("convert").args(arguments).args([image, &file])).map(|()| file)
        });
        let (before, updated, anew) = (before?, updated?, anew?);
        for cut in CUTS {
            let known = chunks(&before, cut, &HashSet::new())?;
            let updated = chunks(&updated, cut, &known.hashes)?;
            let anew = chunks(&anew, cut, &known.hashes)?;
            let gib = as_f64(known.data_bytes) / f64::from(1 << 30);
            report.row([
                cut.name(),
                format.to_owned(),
                updated.news(),
                anew.news(),
                format!("{:.0} KiB", as_f64(known.count) * 32.0 / 1024.0 / gib),
                format!("{:.2} GB/s", known.rate()),
            ]);
        }
        for file in [before, updated, anew] {
            fs::remove_file(file)?;
        }
    }
    Ok(report)
}

impl Cut {
    fn name(self) -> String {
        match self {
            Self::Fixed(bytes) => format!("{} KiB", bytes / KIB),
            Self::ByContent(bytes) => format!("by content, {} KiB", bytes / KIB),
        }
    }
}

impl Chunks {
    fn add(&mut self, chunk: &[u8], known: &HashSet<blake3::Hash>) {
        let blocks = chunk.chunks(BLOCK_BYTES);
        let data = blocks.filter(|block| block.iter().any(|byte| *byte != 0));
        let data_bytes = data.map(|block| block.len() as u64).sum::<u64>();
        if data_bytes == 0 {
            return;
        }
        self.count += 1;
        self.data_bytes += data_bytes;
        let hash = blake3::hash(chunk);
        // One that is there twice travels once.
        if self.hashes.insert(hash) && !known.contains(&hash) {
            self.news_bytes += data_bytes;
        }
    }

    fn news(&self) -> String {
        let share = as_f64(self.news_bytes) / as_f64(self.data_bytes);
        format!("{:.1} %", share * 100.0)
    }

    /// GB of data a second.
    fn rate(&self) -> f64 {
        as_f64(self.data_bytes) / self.took.as_secs_f64() / 1e9
    }
}

fn chunks(file: &Path, cut: Cut, known: &HashSet<blake3::Hash>) -> anyhow::Result<Chunks> {
    let mut chunks = Chunks::default();
    let opened = File::open(file)?;
    let since = Instant::now();
    match cut {
        Cut::Fixed(bytes) => {
            let mut buffer = Vec::with_capacity(bytes);
            while (&opened).take(bytes as u64).read_to_end(&mut buffer)? > 0 {
                chunks.add(&buffer, known);
                buffer.clear();
            }
        }
        Cut::ByContent(average) => {
            for chunk in StreamCDC::new(opened, average / 4, average, average * 4) {
                chunks.add(&chunk?.data, known);
            }
        }
    }
    chunks.took = since.elapsed();
    Ok(chunks)
}

/// An image, the same updated in place, and its next release made anew; all raw.
pub(crate) fn make(folder: &Path) -> anyhow::Result<[PathBuf; 3]> {
    let tree = folder.join("tree");
    fs::create_dir(&tree)?;
    for from in FOLDERS {
        let name = from.replace('/', "-");
        done(
            Command::new("cp")
                .arg("-a")
                .arg(from)
                .arg(tree.join(&name[1..])),
        )?;
    }
    let before = folder.join("before.img");
    filesystem(&tree, &before)?;
    let updated = folder.join("updated.img");
    fs::copy(&before, &updated)?;
    let script = change(&tree)?;
    let mut debugfs = Command::new("debugfs")
        .arg("-w")
        .arg(&updated)
        .current_dir(&tree)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("debugfs is not there: apt install e2fsprogs")?;
    let mut input = debugfs.stdin.take().context("debugfs does not listen")?;
    input.write_all(script.as_bytes())?;
    drop(input);
    ensure!(debugfs.wait()?.success(), "debugfs has failed");
    let anew = folder.join("anew.img");
    filesystem(&tree, &anew)?;
    fs::remove_dir_all(&tree)?;
    Ok([before, updated, anew])
}

fn filesystem(tree: &Path, image: &Path) -> anyhow::Result<()> {
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args([
        "-q",
        "-t",
        "ext4",
        "-U",
        "00000000-0000-4000-8000-000000000000",
        "-d",
    ]);
    mke2fs.arg(tree).arg(image).arg("2G");
    // The same tree gives the same image.
    mke2fs.env("E2FSPROGS_FAKE_TIME", "1750000000");
    done(&mut mke2fs)
}

/// Makes the next release of a tree. Answers with what does the same within a filesystem.
fn change(tree: &Path) -> anyhow::Result<String> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut script = String::new();
    let files = walkdir::WalkDir::new(tree).sort_by_file_name();
    for entry in files {
        let entry = entry?;
        if !entry.file_type().is_file() || random.next_u32() % CHANGED_ONE_OF != 0 {
            continue;
        }
        let path = entry.path();
        let mut content = fs::read(path)?;
        if content.is_empty() {
            continue;
        }
        // A few lines more, somewhere; what lies behind moves on.
        let mut news = vec![0; 512];
        random.fill_bytes(&mut news);
        let at = usize::try_from(random.next_u32())? % content.len();
        content.splice(at..at, news);
        fs::write(path, content)?;
        let below = path.strip_prefix(tree)?.to_string_lossy();
        script += &format!("rm \"/{below}\"\nwrite \"{below}\" \"/{below}\"\n");
    }
    Ok(script)
}

fn done(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error: io::Error| anyhow::anyhow!("{name}: {error}"))?;
    ensure!(output.status.success(), "{name}: {output:?}");
    Ok(())
}

#[allow(clippy::cast_precision_loss)]
fn as_f64(count: u64) -> f64 {
    count as f64
}
