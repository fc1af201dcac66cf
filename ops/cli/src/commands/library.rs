//! `muster library`.

mod item;

use clap::{Args, Subcommand};
use contracts::rest::{
    AddLibraryServer, AddLibraryShare, Encryption, LibraryFound, LibraryServer, LibraryServerList,
    LibraryShare, LibraryShareList, UpdateLibraryServer,
};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Session, name_line};
use crate::change::remark;
use crate::client::{Request, not_understood};
use crate::error::{Exit, Failure};
use crate::output::{Cell, Column, Format, Tone};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Servers that keep shares
    #[command(subcommand)]
    Server(ServerCommand),
    /// Folders of library servers
    #[command(subcommand)]
    Share(ShareCommand),
    /// Files on shares
    #[command(subcommand)]
    Item(item::Command),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Take a server that has made itself known into the library
    Add(ServerArg),
    /// List library servers, those too that only have made themselves known
    #[command(visible_alias = "ls")]
    List,
    /// Change how files travel to and from a server
    Update(UpdateServerArgs),
    /// Forget a server that has no share
    #[command(visible_alias = "rm")]
    Remove(ServerArg),
}

#[derive(Debug, Args)]
pub(crate) struct ServerArg {
    /// Name or id of the server
    // Muster's own address has the id `server`.
    #[arg(id = "library_server", value_name = "SERVER", value_parser = values::object)]
    server: String,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateServerArgs {
    #[command(flatten)]
    which: ServerArg,
    /// tls, plain (where both ends say so), or inherit: as the groups of the host that it is say
    #[arg(long, value_name = "HOW", value_parser = values::encryption)]
    encryption: Encryption,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ShareCommand {
    /// Make a folder of a library server a share
    Add(AddShareArgs),
    /// List shares
    #[command(visible_alias = "ls")]
    List,
    /// Look at a share afresh and say what was found
    Refresh(ShareArg),
    /// List files of a share that are passed over, and why
    Skipped(ShareArg),
    /// Forget a share and its items; the files stay
    #[command(visible_alias = "rm")]
    Remove(ShareArg),
}

#[derive(Debug, Args)]
pub(crate) struct AddShareArgs {
    /// Name or id of the server
    // Muster's own address has the id `server`.
    #[arg(id = "library_server", value_name = "SERVER", value_parser = values::object)]
    server: String,
    /// Folder on the server, as an absolute path
    path: String,
    /// What to call it, if not as the folder
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShareArg {
    /// Name or id of the share
    #[arg(value_parser = values::object)]
    share: String,
}

const SERVERS: [Column<LibraryServer>; 6] = [
    Column::always("name", |s, _| s.name.as_str().into()),
    Column::always("in_library", |s, _| {
        if s.added { "yes" } else { "no" }.into()
    }),
    Column::always("responding", |s, _| match s.responding {
        true => "yes".into(),
        false => Cell::new("no", Tone::Bad),
    }),
    Column::always("shares", |s, _| s.shares.into()),
    Column::always("encryption", |s, _| s.encryption.word().into()),
    Column::always("folders", |s, _| s.folders.join(", ").into()),
];

const SHARES: [Column<LibraryShare>; 7] = [
    Column::always("name", |s, _| s.name.as_str().into()),
    Column::always("server", |s, _| s.server.as_str().into()),
    Column::always("path", |s, _| s.path.as_str().into()),
    Column::always("items", |s, _| s.items.into()),
    Column::always("missing", |s, _| s.missing.into()),
    Column::always("skipped", |s, _| s.skipped_count.into()),
    Column::always("problem", |s, _| Cell::new(&s.problem, Tone::Bad)),
];

pub(crate) async fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Server(command) => run_server(session, command).await,
        Command::Share(command) => run_share(session, command).await,
        Command::Item(command) => item::run(session, command).await,
    }
}

async fn run_server(session: &Session, command: ServerCommand) -> Result<Exit, Failure> {
    match command {
        ServerCommand::Add(ServerArg { server }) => {
            let said = format!("{server} is in the library.");
            let body = AddLibraryServer { server };
            let request = Request::change(Method::POST, &["library", "servers"]).body(&body)?;
            done(session, request, &said).await
        }
        ServerCommand::List => {
            let value = got(session, Request::get(&["library", "servers"])).await?;
            let LibraryServerList { items } = understood(&value)?;
            let none = "No library server has made itself known.";
            table(session, "library_server", &value, &SERVERS, &items, none)
        }
        ServerCommand::Update(args) => {
            let body = UpdateLibraryServer {
                encryption: Some(args.encryption),
            };
            let segments = ["library", "servers", &args.which.server];
            let request = Request::change(Method::PATCH, &segments).body(&body)?;
            done(session, request, "It is changed.").await
        }
        ServerCommand::Remove(ServerArg { server }) => {
            let request = Request::change(Method::DELETE, &["library", "servers", &server]);
            done(
                session,
                request,
                "It is forgotten; its files are as they were.",
            )
            .await
        }
    }
}

async fn run_share(session: &Session, command: ShareCommand) -> Result<Exit, Failure> {
    match command {
        ShareCommand::Add(args) => add_share(session, args).await,
        ShareCommand::List => {
            let value = got(session, Request::get(&["library", "shares"])).await?;
            let LibraryShareList { items } = understood(&value)?;
            let none = "There are no shares.";
            table(session, "library_share", &value, &SHARES, &items, none)
        }
        ShareCommand::Refresh(which) => refresh(session, &which.share).await,
        ShareCommand::Skipped(which) => skipped(session, &which.share).await,
        ShareCommand::Remove(ShareArg { share }) => {
            let request = Request::change(Method::DELETE, &["library", "shares", &share]);
            done(
                session,
                request,
                "It is forgotten; its files are as they were.",
            )
            .await
        }
    }
}

async fn add_share(session: &Session, args: AddShareArgs) -> Result<Exit, Failure> {
    let body = AddLibraryShare {
        server: args.server,
        path: args.path,
        name: args.name,
    };
    let request = Request::change(Method::POST, &["library", "shares"]).body(&body)?;
    let value = got(session, request).await?;
    if session.output.is_for_people() {
        let share: LibraryShare = understood(&value)?;
        let said = format!(
            "Share {} is made; its files are being looked at.\n",
            share.name
        );
        session.output.print(&said)?;
    } else {
        tell(session, "library_share", &value)?;
    }
    Ok(Exit::Done)
}

async fn refresh(session: &Session, share: &str) -> Result<Exit, Failure> {
    let mut value = look(session, share, None).await?;
    let mut found: LibraryFound = understood(&value)?;
    while found.in_work {
        remark(
            session,
            &format!(
                "{} files have to be looked at yet, {} items to be taken down.",
                found.left_to_look, found.left_to_tell
            ),
        );
        value = look(session, share, Some(found.look)).await?;
        found = understood(&value)?;
    }
    if !session.output.is_for_people() {
        tell(session, "library_share", &value)?;
        return Ok(Exit::Done);
    }
    if !found.problem.is_empty() {
        return Err(Failure::Local(found.problem));
    }
    session.output.print(&format!(
        "{} items: {} new, {} changed, {} renamed, {} missing; {} files are passed over.\n",
        found.items, found.new, found.changed, found.renamed, found.missing, found.skipped
    ))?;
    Ok(Exit::Done)
}

/// Has a share looked at, or asks after a look that goes on.
async fn look(session: &Session, share: &str, look: Option<String>) -> Result<Value, Failure> {
    let request = Request::ask(&["library", "shares", share, "actions", "refresh"]);
    let query = look.map(|look| ("look", look));
    got(session, request.query(query)).await
}

async fn skipped(session: &Session, share: &str) -> Result<Exit, Failure> {
    let value = got(session, Request::get(&["library", "shares"])).await?;
    let LibraryShareList { items } = understood(&value)?;
    let mut shares = items.into_iter();
    let found = shares.find(|s| s.name == share || s.id == share);
    let Some(found) = found else {
        return Err(Failure::Local(format!("There is no share {share}.")));
    };
    for file in &found.skipped {
        session
            .output
            .print(&format!("{}: {}\n", file.path, file.reason))?;
    }
    let count = usize::try_from(found.skipped_count).unwrap_or(usize::MAX);
    let unnamed = count.saturating_sub(found.skipped.len());
    if unnamed > 0 {
        remark(session, &format!("{unnamed} more are not named."));
    }
    Ok(Exit::Done)
}

pub(super) async fn got(session: &Session, request: Request) -> Result<Value, Failure> {
    session.client.send(request).await?.value()
}

pub(super) async fn done(session: &Session, request: Request, said: &str) -> Result<Exit, Failure> {
    session.client.send(request).await?;
    remark(session, said);
    Ok(Exit::Done)
}

pub(super) fn understood<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    serde_json::from_value(value.clone()).map_err(not_understood)
}

/// For programs.
fn tell(session: &Session, noun: &str, value: &Value) -> Result<(), Failure> {
    match session.output.format {
        Format::Name => session.output.print(&name_line(noun, value)),
        _ => session.output.print_value(value),
    }
}

pub(super) fn table<T>(
    session: &Session,
    noun: &str,
    value: &Value,
    columns: &[Column<T>],
    items: &[T],
    none: &str,
) -> Result<Exit, Failure> {
    let output = &session.output;
    match output.format {
        Format::Json | Format::Yaml => output.print_value(value)?,
        Format::Name => {
            let listed = value.get("items").and_then(Value::as_array);
            let lines = listed
                .into_iter()
                .flatten()
                .map(|item| name_line(noun, item));
            output.print(&lines.collect::<String>())?;
        }
        Format::Table => {
            if items.is_empty() {
                remark(session, none);
            }
            let columns: Vec<&Column<T>> = columns.iter().collect();
            output.print(&output.table(&columns, items))?;
        }
    }
    Ok(Exit::Done)
}
