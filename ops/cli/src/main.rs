//! `muster`: the fleet from the command line, for people and for scripts.
//!
//! Speaks to the gateway's REST API and to nothing else; holds no state between two calls.

mod change;
mod cli;
mod client;
mod commands;
mod error;
mod output;
mod values;
mod wait;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let exit = match commands::run(cli::Cli::parse()).await {
        Ok(exit) => exit,
        Err(failure) => {
            output::complain(&failure);
            failure.exit()
        }
    };
    ExitCode::from(exit as u8)
}
