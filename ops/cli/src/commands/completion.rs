//! Completion for shells.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use crate::cli::Cli;
use crate::error::{Exit, Failure};
use crate::output::write;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Which {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    shell: Which,
}

pub(crate) fn run(args: &CompletionArgs) -> Result<Exit, Failure> {
    let shell = match args.shell {
        Which::Bash => Shell::Bash,
        Which::Zsh => Shell::Zsh,
        Which::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "muster", &mut script);
    write(&script)?;
    Ok(Exit::Done)
}
