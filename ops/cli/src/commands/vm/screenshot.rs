//! `muster vm screenshot`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;

use super::VmArg;
use crate::change::remark;
use crate::client::Request;
use crate::commands::Session;
use crate::error::{Exit, Failure};
use crate::output::{human, write};

#[derive(Debug, Args)]
pub(crate) struct ScreenshotArgs {
    #[command(flatten)]
    which: VmArg,
    /// File to write, or - for the standard output [default: NAME.png]
    file: Option<PathBuf>,
}

pub(super) async fn run(session: &Session, args: ScreenshotArgs) -> Result<Exit, Failure> {
    let file = args
        .file
        .unwrap_or_else(|| PathBuf::from(format!("{}.png", args.which.vm)));
    let to_stdout = file == Path::new("-");
    if to_stdout && std::io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "An image is nothing for a terminal.\n  next: name a file, or send the output into one"
                .to_owned(),
        ));
    }
    let request = Request::get(&["vms", &args.which.vm, "screenshot"]);
    let image = session.client.send(request).await?.body;
    if to_stdout {
        write(&image)?;
        return Ok(Exit::Done);
    }
    std::fs::write(&file, &image).map_err(|e| {
        Failure::Local(format!(
            "{} cannot be written: {}.",
            file.display(),
            human::io(&e)
        ))
    })?;
    let size = human::bytes(image.len() as u64);
    remark(
        session,
        &format!("Saved the screen to {} ({size}).", file.display()),
    );
    Ok(Exit::Done)
}
