//! Fuzzing for as long as one likes: `cargo run -p fuzz -- --target qmp --seconds 600`.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use fuzz::{TARGETS, Target, target};

#[derive(Parser)]
struct Cli {
    /// One target; without it each in turn.
    #[arg(long)]
    target: Option<String>,
    /// How long for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What the inputs are drawn from; without it a fresh one.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs one file instead of fresh inputs.
    #[arg(long, requires = "target")]
    input: Option<std::path::PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if let (Some(name), Some(path)) = (&cli.target, &cli.input) {
        let input = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        return target(name)?.try_one(&input).map_err(anyhow::Error::msg);
    }
    // Panics are what is looked for: they are told once, with their input.
    std::panic::set_hook(Box::new(|_| {}));
    let fresh = std::time::UNIX_EPOCH.elapsed()?.subsec_nanos().into();
    let seed = cli.seed.unwrap_or(fresh);
    let wanted = cli.target.as_deref().map(target).transpose()?;
    let all = TARGETS
        .iter()
        .filter(|t| wanted.is_none_or(|w| w.name == t.name));
    for target in all {
        run(target, seed, Duration::from_secs(cli.seconds))?;
    }
    Ok(())
}

fn run(target: &Target, seed: u64, time: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut tried = 0_u64;
    for input in target.inputs(seed) {
        if let Err(why) = target.try_one(&input) {
            return keep(target, &input, &why);
        }
        tried += 1;
        if begun.elapsed() > time {
            break;
        }
    }
    let rate = tried / begun.elapsed().as_secs().max(1);
    println!(
        "{}: {tried} inputs of seed {seed} held, {rate} a second",
        target.name
    );
    Ok(())
}

fn keep(target: &Target, input: &[u8], why: &str) -> anyhow::Result<()> {
    let small = target.smallest(input);
    let folder = target.folder();
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}-bytes", small.len()));
    std::fs::write(&path, &small)?;
    bail!(
        "{name}: {why}\nkept as {path}; run it alone: cargo run -p fuzz -- --target {name} --input {path}",
        name = target.name,
        path = path.display(),
    )
}
