//! `muster group`.

use clap::{Args, Subcommand};
use contracts::rest::{CreateGroup, Encryption, HostGroup, UpdateGroup};
use reqwest::Method;

use super::list::{Kind, ListArgs, all, list};
use super::settings::{self, SettingArgs};
use super::{Session, show, tree};
use crate::change::make;
use crate::cli::ChangeArgs;
use crate::client::Request;
use crate::error::{Exit, Failure};
use crate::output::detail::Detail;
use crate::output::{Column, Output, human};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List host groups
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Draw the tree of groups with their hosts
    Tree,
    /// Show one group
    Show(GroupArg),
    /// Make a group
    Create(CreateArgs),
    /// Change a group's name, description, or how files travel
    Edit(EditArgs),
    /// Change what hosts in a group and below it inherit
    Set(SetArgs),
    /// Move a group, and all below it, below another one
    Move(MoveArgs),
    /// Delete a group; it must be empty
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(crate) struct GroupArg {
    /// Name or id of the group
    #[arg(value_parser = values::object)]
    group: String,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Name of the new group
    name: String,
    /// Group above it [default: the root]
    #[arg(long)]
    parent: Option<String>,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
#[group(id = "edits", required = true, multiple = true, args = ["name", "description", "encryption"])]
pub(crate) struct EditArgs {
    #[command(flatten)]
    which: GroupArg,
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// New description
    #[arg(long)]
    description: Option<String>,
    /// How files travel between its hosts and others: tls, plain (where the groups of both hosts say so), or inherit
    #[arg(long, value_name = "HOW", value_parser = values::encryption)]
    encryption: Option<Encryption>,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    which: GroupArg,
    #[command(flatten)]
    what: SettingArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    #[command(flatten)]
    which: GroupArg,
    /// Group to move it below
    parent: String,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    which: GroupArg,
    #[command(flatten)]
    change: ChangeArgs,
}

const KIND: Kind<HostGroup> = Kind {
    segment: "host-groups",
    noun: "group",
    plural: "host groups",
    columns: &[
        Column::always("name", |g, _| g.name.as_str().into()),
        Column::always("path", |g, _| g.path.as_str().into()),
        Column::always("description", |g, _| g.description.as_str().into()),
        Column::on_request("id", |g, _| g.id.as_str().into()),
        Column::on_request("parent_id", |g, _| {
            g.parent_id.as_deref().unwrap_or_default().into()
        }),
        Column::on_request("age", |g, now| human::age(g.created, now).into()),
    ],
};

pub(crate) async fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List(args) => list(session, &KIND, &args).await,
        Command::Tree => draw(session).await,
        Command::Show(which) => {
            show(session, "group", &["host-groups", &which.group], describe).await
        }
        Command::Create(args) => create(session, args).await,
        Command::Edit(args) => {
            let update = UpdateGroup {
                name: args.name,
                description: args.description,
                encryption: args.encryption,
                ..UpdateGroup::default()
            };
            edit(session, &args.which, &update, &args.change).await
        }
        Command::Set(args) => {
            let update = args.what.update();
            edit(session, &args.which, &update, &args.change).await
        }
        Command::Move(args) => {
            let update = UpdateGroup {
                parent: Some(args.parent),
                ..UpdateGroup::default()
            };
            edit(session, &args.which, &update, &args.change).await
        }
        Command::Delete(args) => {
            let segments = ["host-groups", &args.which.group];
            make(
                session,
                vec![Request::change(Method::DELETE, &segments)],
                &args.change,
            )
            .await
        }
    }
}

/// A drawing is for people; programs get the list, in which every group names its parent.
async fn draw(session: &Session) -> Result<Exit, Failure> {
    if !session.output.is_for_people() {
        return list(session, &KIND, &ListArgs::every()).await;
    }
    let groups = all(session, "host-groups").await?;
    let hosts = all(session, "hosts").await?;
    session.output.print(&tree::draw(&groups, &hosts))?;
    Ok(Exit::Done)
}

async fn create(session: &Session, args: CreateArgs) -> Result<Exit, Failure> {
    let body = CreateGroup {
        name: args.name,
        parent: args.parent,
        description: args.description,
    };
    let change = Request::change(Method::POST, &["host-groups"]).body(&body)?;
    make(session, vec![change], &args.change).await
}

async fn edit(
    session: &Session,
    which: &GroupArg,
    update: &UpdateGroup,
    args: &ChangeArgs,
) -> Result<Exit, Failure> {
    let segments = ["host-groups", &which.group];
    let change = Request::change(Method::PATCH, &segments).body(update)?;
    make(session, vec![change], args).await
}

fn describe(group: &HostGroup, output: &Output) -> String {
    let detail = Detail::default()
        .line("Group", &group.name)
        .line("Id", &group.id)
        .line("Path", &group.path)
        .line("Description", &group.description)
        .line("Created", human::moment(group.created, output.now))
        .line("Busy with", group.job_id.as_deref().unwrap_or_default());
    let Some(effective) = &group.effective else {
        return detail.render();
    };
    settings::effective(detail, effective).render()
}
