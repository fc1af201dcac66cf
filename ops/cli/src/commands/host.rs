//! `muster host`.

use std::time::Duration;

use clap::{Args, Subcommand};
use contracts::rest::{
    AddHost, Approval, CreateJoinToken, Datastore, Host, HostFacts, HostStatus, JoinToken,
    MeasuredKind, MoveHost, SetHost, SetThrottle,
};
use reqwest::Method;

use super::host_settings::{self, MaintenanceArgs, Mode, SetArgs};
use super::list::{Kind, ListArgs, list};
use super::top::{self, TopArgs};
use super::{Session, refresher, show, tell};
use crate::change::{forced, make};
use crate::cli::ChangeArgs;
use crate::client::Request;
use crate::error::{Exit, Failure};
use crate::output::detail::Detail;
use crate::output::{Cell, Column, Output, Tone, human};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List hosts
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// List hosts that wait to be added
    Pending(ListArgs),
    /// Show one host: what it is, what it has, what it holds
    Show(HostArg),
    /// Show what hosts use now, the busiest first
    Top(TopArgs),
    /// Let a host that registered itself take part
    Add(AddArgs),
    /// Let a host take part no longer
    Remove(RemoveArgs),
    /// Move a host to another group
    Move(MoveArgs),
    /// Look at a host and its machines afresh, now
    Refresh(RefreshArgs),
    /// Limit how fast files travel from and to a host
    Throttle(ThrottleArgs),
    /// Change reserves, tags, failure domains and limits of a host
    Set(Box<SetArgs>),
    /// Place nothing new on a host, or do so again
    Maintenance(MaintenanceArgs),
    /// Tokens with which hosts join by themselves
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; its secret is shown this once
    Create(TokenArgs),
}

#[derive(Debug, Args)]
pub(crate) struct HostArg {
    /// Name or id of the host
    #[arg(value_parser = values::object)]
    pub(super) host: String,
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    which: HostArg,
    /// Group to put it into [default: the root]
    #[arg(long)]
    group: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    which: HostArg,
    /// Also when machines are on it
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    #[command(flatten)]
    which: HostArg,
    /// Group to move it to
    group: String,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RefreshArgs {
    #[command(flatten)]
    which: HostArg,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ThrottleArgs {
    #[command(flatten)]
    which: HostArg,
    /// Size a second, at least 64KiB, or 0 for as fast as it goes
    #[arg(value_parser = values::rate)]
    rate: u64,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Group that hosts join with it [default: the root]
    #[arg(long)]
    group: Option<String>,
    /// How long it can be used, 30 days at most [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    lifetime: Option<Duration>,
}

const KIND: Kind<Host> = Kind {
    segment: "hosts",
    noun: "host",
    plural: "hosts",
    columns: &[
        Column::always("name", |h, _| h.name.as_str().into()),
        Column::always("status", |h, _| status(h)),
        Column::always("group", |h, _| {
            h.group_path.as_deref().unwrap_or_default().into()
        }),
        Column::always("vms", |h, _| h.vm_count.into()),
        Column::always("cpus", |h, _| fact(h, |f| f.cpus.to_string())),
        Column::always("cpu_used", |h, _| {
            fact(h, |f| format!("{:.0} %", f.cpu_used_percent))
        }),
        Column::always("memory", |h, _| fact(h, |f| human::bytes(f.memory_bytes))),
        Column::always("memory_used", |h, _| {
            fact(h, |f| human::bytes(f.memory_used_bytes))
        }),
        Column::always("accelerator", |h, _| fact(h, |f| f.accelerator.clone())),
        Column::on_request("id", |h, _| h.id.as_str().into()),
        Column::on_request("os", |h, _| fact(h, |f| f.os.clone())),
        Column::on_request("agent_version", |h, _| fact(h, |f| f.agent_version.clone())),
        Column::on_request("hypervisor", |h, _| {
            fact(h, |f| format!("{} {}", f.hypervisor, f.hypervisor_version))
        }),
        Column::on_request("disk_free", |h, _| {
            fact(h, |f| {
                human::bytes(f.datastores.iter().map(|d| d.free_bytes).sum())
            })
        }),
        Column::on_request("age", |h, now| human::age(h.created, now).into()),
        Column::on_request("job_id", |h, _| {
            h.job_id.as_deref().unwrap_or_default().into()
        }),
    ],
};

fn fact(host: &Host, get: fn(&HostFacts) -> String) -> Cell {
    host.facts.as_ref().map_or_else(String::new, get).into()
}

/// One word for approval and life: a host that waits for approval is that first of all.
fn status(host: &Host) -> Cell {
    if host.removing {
        return Cell::new("being removed", Tone::Busy);
    }
    if host.settings.maintenance && host.status == HostStatus::Responding {
        return Cell::new("maintenance", Tone::Busy);
    }
    match (host.approval, host.status) {
        (Approval::Pending, _) => Cell::new("pending", Tone::Busy),
        (_, HostStatus::Responding) => Cell::new("responding", Tone::Good),
        (_, HostStatus::NotResponding) => Cell::new("not responding", Tone::Bad),
        (_, HostStatus::Unknown) => Cell::new("unknown", Tone::Faint),
    }
}

pub(crate) async fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List(args) => list(session, &KIND, &args).await,
        Command::Pending(mut args) => {
            args.filter.push("approval:pending".to_owned());
            list(session, &KIND, &args).await
        }
        Command::Show(which) => show(session, "host", &["hosts", &which.host], describe).await,
        Command::Top(args) => top::run(session, MeasuredKind::Host, args).await,
        Command::Add(args) => {
            let body = AddHost { group: args.group };
            act(session, &args.which, "add", &body, &args.change, false).await
        }
        Command::Remove(args) => {
            let body = serde_json::json!({});
            act(
                session,
                &args.which,
                "remove",
                &body,
                &args.change,
                args.force,
            )
            .await
        }
        Command::Move(args) => {
            let body = MoveHost { group: args.group };
            act(session, &args.which, "move", &body, &args.change, false).await
        }
        Command::Refresh(args) => {
            let segments = ["hosts", &args.which.host, "actions", "refresh"];
            let change = Request::change(Method::POST, &segments);
            make(session, vec![change], &args.change).await
        }
        Command::Throttle(args) => {
            let body = SetThrottle {
                bytes_per_sec: args.rate,
            };
            let segments = ["hosts", &args.which.host, "throttle"];
            let request = Request::change(Method::PUT, &segments).body(&body)?;
            session.client.send(request).await?;
            Ok(Exit::Done)
        }
        Command::Set(args) => set(session, &args.which, &args.request(), &args.change).await,
        Command::Maintenance(args) => {
            let request = SetHost {
                maintenance: Some(args.mode == Mode::On),
                ..SetHost::default()
            };
            set(session, &args.which, &request, &args.change).await
        }
        Command::Token(TokenCommand::Create(args)) => create_token(session, args).await,
    }
}

async fn act(
    session: &Session,
    which: &HostArg,
    action: &str,
    body: &impl serde::Serialize,
    args: &ChangeArgs,
    force: bool,
) -> Result<Exit, Failure> {
    let segments = ["hosts", &which.host, "actions", action];
    let request = Request::change(Method::POST, &segments).body(body)?;
    make(session, vec![request.query(forced(force))], args).await
}

async fn set(
    session: &Session,
    which: &HostArg,
    request: &SetHost,
    args: &ChangeArgs,
) -> Result<Exit, Failure> {
    let change = Request::change(Method::PATCH, &["hosts", &which.host]).body(request)?;
    make(session, vec![change], args).await
}

async fn create_token(session: &Session, args: TokenArgs) -> Result<Exit, Failure> {
    let body = CreateJoinToken {
        group: args.group,
        lifetime_secs: args.lifetime.map(|lifetime| lifetime.as_secs()),
    };
    let request = Request::change(Method::POST, &["join-tokens"]).body(&body)?;
    let value = session.client.send(request).await?.value()?;
    tell(session, "token", &value, describe_token)
}

fn describe_token(token: &JoinToken, _output: &Output) -> String {
    Detail::default()
        .line("Token", &token.token)
        .line(
            "Expires",
            token.expires.map(human::clock).unwrap_or_default(),
        )
        .line(
            "Note",
            "The token is not shown again; keep it where only new hosts can read it.",
        )
        .render()
}

fn describe(host: &Host, output: &Output) -> String {
    let status = status(host);
    let text = Detail::default()
        .line("Host", &host.name)
        .line("Id", &host.id)
        .toned("Status", status.text, status.tone)
        .line("Since", human::moment(host.status_changed, output.now))
        .line("Group", host.group_path.as_deref().unwrap_or_default())
        .line("Machines", host.vm_count)
        .line("Busy with", host.job_id.as_deref().unwrap_or_default());
    let mut text = host_settings::describe(text, host).render();
    if let Some(facts) = &host.facts {
        text += &describe_facts(facts);
        if !facts.datastores.is_empty() {
            let columns: Vec<_> = DATASTORES.iter().collect();
            text += &format!("\n{}", output.table(&columns, &facts.datastores));
        }
    }
    text += &refresher::table(&host.refreshed, output);
    text
}

fn describe_facts(facts: &HostFacts) -> String {
    let (used, all) = (
        human::bytes(facts.memory_used_bytes),
        human::bytes(facts.memory_bytes),
    );
    let detail = Detail::default()
        .line("Hostname", &facts.hostname)
        .line("System", format!("{}, kernel {}", facts.os, facts.kernel))
        .line("Agent", &facts.agent_version)
        .line(
            "Hypervisor",
            format!("{} {}", facts.hypervisor, facts.hypervisor_version),
        )
        .line(
            "Accelerator",
            format!("{}: {}", facts.accelerator, facts.accelerator_reason),
        )
        .line("Firmware", if facts.uefi { "bios, uefi" } else { "bios" })
        .line("Confinement", &facts.confinement)
        .line(
            "CPU",
            format!(
                "{} x {}, {:.0} % used",
                facts.cpus, facts.cpu_model, facts.cpu_used_percent
            ),
        )
        .line("Memory", format!("{used} of {all} used"));
    format!("\n{}", detail.render())
}

const DATASTORES: [Column<Datastore>; 6] = [
    Column::always("datastore", |d, _| d.name.as_str().into()),
    Column::always("free", |d, _| human::bytes(d.free_bytes).into()),
    Column::always("capacity", |d, _| human::bytes(d.capacity_bytes).into()),
    Column::always("path", |d, _| d.path.as_str().into()),
    Column::always("images", |d, _| {
        let names: Vec<&str> = d.images.iter().map(|image| image.name.as_str()).collect();
        names.join(", ").into()
    }),
    Column::always("problem", |d, _| Cell::new(&d.problem, Tone::Bad)),
];
