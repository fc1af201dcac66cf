//! The nouns, one file each.

pub(crate) mod completion;
pub(crate) mod definition;
pub(crate) mod events;
mod firmware;
pub(crate) mod group;
pub(crate) mod host;
mod host_settings;
pub(crate) mod image;
pub(crate) mod job;
pub(crate) mod library;
mod list;
pub(crate) mod placement;
pub(crate) mod refresher;
mod settings;
mod status;
mod top;
mod tree;
pub(crate) mod vm;
pub(crate) mod webhook;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::{Cli, Command, Profile};
use crate::client::{Client, Request, not_understood};
use crate::error::{Exit, Failure};
use crate::output::{Format, Output};

/// One invocation.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) output: Output,
    pub(crate) quiet: bool,
}

pub(crate) async fn run(cli: Cli) -> Result<Exit, Failure> {
    let session = Session {
        client: Client::new(cli.global.server, cli.global.quiet)?,
        output: Output::new(cli.global.output, cli.global.no_color),
        quiet: cli.global.quiet,
    };
    match cli.command {
        Command::Vm(command) => vm::run(&session, command).await,
        Command::Host(command) => host::run(&session, command).await,
        Command::Group(command) => group::run(&session, command).await,
        Command::Image(command) => image::run(&session, command).await,
        Command::Library(command) => library::run(&session, command).await,
        Command::Template(command) => {
            definition::run::<definition::template::Templates>(&session, command).await
        }
        Command::Profile(command) => profile(&session, command).await,
        Command::Job(command) => job::run(&session, command).await,
        Command::Placement(command) => placement::run(&session, command).await,
        Command::Refresher(command) => refresher::run(&session, command).await,
        Command::Webhook(command) => webhook::run(&session, command).await,
        Command::Events(args) => events::run(&session, args).await,
        Command::Status => status::run(&session).await,
        Command::Completion(args) => completion::run(&args),
    }
}

async fn profile(session: &Session, command: Profile) -> Result<Exit, Failure> {
    match command {
        Profile::Hardware(command) => {
            definition::run::<definition::hardware_profile::HardwareProfiles>(session, command)
                .await
        }
        Profile::Guest(command) => {
            definition::run::<definition::guest_profile::GuestProfiles>(session, command).await
        }
    }
}

/// Gets one object and tells it whole.
async fn show<T: DeserializeOwned>(
    session: &Session,
    noun: &str,
    segments: &[&str],
    describe: fn(&T, &Output) -> String,
) -> Result<Exit, Failure> {
    let value = session.client.send(Request::get(segments)).await?.value()?;
    tell(session, noun, &value, describe)
}

/// Tells one object in the form that is wanted.
fn tell<T: DeserializeOwned>(
    session: &Session,
    noun: &str,
    value: &Value,
    describe: fn(&T, &Output) -> String,
) -> Result<Exit, Failure> {
    let output = &session.output;
    match output.format {
        Format::Table => {
            let object: T = serde_json::from_value(value.clone()).map_err(not_understood)?;
            output.print(&describe(&object, output))?;
        }
        Format::Name => output.print(&name_line(noun, value))?,
        Format::Json | Format::Yaml => output.print_value(value)?,
    }
    Ok(Exit::Done)
}

/// `vm/web-01`; what has no name goes by its id.
fn name_line(noun: &str, value: &Value) -> String {
    let field = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let name = field("name").or_else(|| field("id")).unwrap_or_default();
    format!("{noun}/{name}\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_goes_by_its_name_or_else_by_its_id() {
        assert_eq!(
            name_line("vm", &json!({"id": "1", "name": "web-01"})),
            "vm/web-01\n"
        );
        assert_eq!(name_line("job", &json!({"id": "1"})), "job/1\n");
        assert_eq!(name_line("vm", &json!({"id": "1", "name": ""})), "vm/1\n");
    }
}
