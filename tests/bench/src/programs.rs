//! The programs that are measured: built as this one was, and found beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

const PROGRAMS: [&str; 2] = ["musterd", "agent"];

/// Builds what is not up to date, when cargo has started us; what is there is taken otherwise.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("the program is in no folder")?;
    if let Some(cargo) = std::env::var_os("CARGO") {
        build_with(Path::new(&cargo), folder)?;
    }
    for program in PROGRAMS {
        ensure!(
            folder.join(program).exists(),
            "{program} is not in {}: start the benchmarks with cargo run --release -p bench",
            folder.display()
        );
    }
    Ok(folder.to_owned())
}

fn build_with(cargo: &Path, folder: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--locked"]);
    command.args(PROGRAMS.map(|program| format!("--package={program}")));
    if folder.ends_with("release") {
        command.arg("--release");
    }
    if let Some(target) = folder.parent() {
        command.arg("--target-dir").arg(target);
    }
    let status = command.status().context("cargo could not be run")?;
    ensure!(status.success(), "musterd and agent were not built");
    Ok(())
}
