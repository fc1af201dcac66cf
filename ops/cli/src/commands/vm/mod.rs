//! `muster vm`.

mod clone;
mod create;
mod describe;
mod log;
mod screenshot;
mod store;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use contracts::rest::{MeasuredKind, UpdateVm, Vm, VmState};
use reqwest::Method;

use super::list::{Kind, ListArgs, list};
use super::top::{self, TopArgs};
use super::{Session, show};
use crate::change::{forced, make};
use crate::cli::ChangeArgs;
use crate::client::Request;
use crate::error::{Exit, Failure};
use crate::output::{Cell, Column, Tone, human};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a machine, on the host that suits it best
    Create(Box<create::CreateArgs>),
    /// Make a machine of another one that is stopped, beside it
    Clone(clone::CloneArgs),
    /// Store a machine that is stopped in a share of the library
    Store(store::StoreArgs),
    /// Make a template of a machine that is stopped: its disks become images of the library
    MakeTemplate(store::TemplateArgs),
    /// Bring a stored machine back, or import one of another program: OVF, OVA, libvirt
    #[command(visible_alias = "import")]
    Deploy(store::DeployArgs),
    /// List machines
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show one machine: where it runs, what it is made of, what its guest says
    Show(VmArg),
    /// Show what machines use now, the busiest first
    Top(TopArgs),
    /// Start machines; saved ones go on where they were
    Start(PowerArgs),
    /// Ask the guests to shut down
    Shutdown(PowerArgs),
    /// Turn machines off at once, as by pulling the plug
    Off(PowerArgs),
    /// Reset machines at once
    Reset(PowerArgs),
    /// Pause machines; they keep their memory
    Pause(PowerArgs),
    /// Resume paused machines
    Resume(PowerArgs),
    /// Save machines to disk, to go on later
    Save(PowerArgs),
    /// Look at machines afresh, now
    Refresh(PowerArgs),
    /// Change a machine's owner, description or tags
    Edit(EditArgs),
    /// Delete machines with their disks
    Delete(DeleteArgs),
    /// Save the screen as a PNG image
    Screenshot(screenshot::ScreenshotArgs),
    /// Print the log of the serial console
    Log(log::LogArgs),
}

#[derive(Debug, Args)]
pub(crate) struct VmArg {
    /// Name or id of the machine
    #[arg(value_parser = values::object)]
    vm: String,
}

#[derive(Debug, Args)]
pub(crate) struct PowerArgs {
    /// Names or ids of machines; each is a job of its own
    #[arg(required = true, value_parser = values::object)]
    vms: Vec<String>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Names or ids of machines; each is a job of its own
    #[arg(required = true, value_parser = values::object)]
    vms: Vec<String>,
    /// Also a running machine, which is turned off first
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
#[group(id = "edits", required = true, multiple = true, args = ["owner", "description", "tag", "untag"])]
pub(crate) struct EditArgs {
    #[command(flatten)]
    which: VmArg,
    /// New owner
    #[arg(long)]
    owner: Option<String>,
    /// New description
    #[arg(long)]
    description: Option<String>,
    /// A tag to set; can be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::tag)]
    tag: Vec<(String, String)>,
    /// A tag to remove; can be given several times
    #[arg(long, value_name = "KEY")]
    untag: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

const KIND: Kind<Vm> = Kind {
    segment: "vms",
    noun: "vm",
    plural: "virtual machines",
    columns: &[
        Column::always("name", |v, _| v.name.as_str().into()),
        Column::always("state", |v, _| Cell::new(v.state, tone(v.state))),
        Column::always("host", |v, _| {
            v.host_name.as_deref().unwrap_or_default().into()
        }),
        Column::always("cpus", |v, _| {
            v.hardware.as_ref().map_or(0, |h| h.vcpus).into()
        }),
        Column::always("memory", |v, _| {
            v.hardware
                .as_ref()
                .map_or_else(String::new, |h| human::bytes(h.memory_bytes))
                .into()
        }),
        Column::always("address", |v, _| address(v).into()),
        Column::always("uptime", |v, now| human::age(v.started, now).into()),
        Column::always("owner", |v, _| v.owner.as_str().into()),
        Column::on_request("id", |v, _| v.id.as_str().into()),
        Column::on_request("state_reason", |v, _| v.state_reason.as_str().into()),
        Column::on_request("description", |v, _| v.description.as_str().into()),
        Column::on_request("tags", |v, _| tags(&v.tags).into()),
        Column::on_request("os", |v, _| v.guest.as_ref().map_or("", |g| &g.os).into()),
        Column::on_request("disk", |v, _| {
            let sizes = v
                .hardware
                .iter()
                .flat_map(|h| &h.disks)
                .map(|d| d.size_bytes);
            human::bytes(sizes.sum()).into()
        }),
        Column::on_request("accelerator", |v, _| v.accelerator.as_str().into()),
        Column::on_request("datastore", |v, _| v.datastore.as_str().into()),
        Column::on_request("origin", |v, _| v.origin.into()),
        Column::on_request("age", |v, now| human::age(v.created, now).into()),
        Column::on_request("job_id", |v, _| {
            v.job_id.as_deref().unwrap_or_default().into()
        }),
    ],
};

pub(crate) async fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Create(args) => create::run(session, *args).await,
        Command::Clone(args) => clone::run(session, args).await,
        Command::Store(args) => store::store(session, args).await,
        Command::MakeTemplate(args) => store::make_template(session, args).await,
        Command::Deploy(args) => store::deploy(session, args).await,
        Command::List(args) => list(session, &KIND, &args).await,
        Command::Show(which) => show(session, "vm", &["vms", &which.vm], describe::describe).await,
        Command::Top(args) => top::run(session, MeasuredKind::Vm, args).await,
        Command::Start(args) => power(session, "start", args).await,
        Command::Shutdown(args) => power(session, "shutdown", args).await,
        Command::Off(args) => power(session, "turn-off", args).await,
        Command::Reset(args) => power(session, "reset", args).await,
        Command::Pause(args) => power(session, "pause", args).await,
        Command::Resume(args) => power(session, "resume", args).await,
        Command::Save(args) => power(session, "save", args).await,
        Command::Refresh(args) => power(session, "refresh", args).await,
        Command::Edit(args) => edit(session, args).await,
        Command::Delete(args) => delete(session, args).await,
        Command::Screenshot(args) => screenshot::run(session, args).await,
        Command::Log(args) => log::run(session, args).await,
    }
}

async fn power(session: &Session, action: &str, args: PowerArgs) -> Result<Exit, Failure> {
    let change = |vm: &String| Request::change(Method::POST, &["vms", vm, "actions", action]);
    make(session, args.vms.iter().map(change).collect(), &args.change).await
}

async fn delete(session: &Session, args: DeleteArgs) -> Result<Exit, Failure> {
    let change =
        |vm: &String| Request::change(Method::DELETE, &["vms", vm]).query(forced(args.force));
    make(session, args.vms.iter().map(change).collect(), &args.change).await
}

async fn edit(session: &Session, args: EditArgs) -> Result<Exit, Failure> {
    let set = args.tag.into_iter().map(|(key, value)| (key, Some(value)));
    let removed = args.untag.into_iter().map(|key| (key, None));
    let body = UpdateVm {
        owner: args.owner,
        description: args.description,
        tags: set.chain(removed).collect(),
    };
    let change = Request::change(Method::PATCH, &["vms", &args.which.vm]).body(&body)?;
    make(session, vec![change], &args.change).await
}

fn tone(state: VmState) -> Tone {
    match state {
        VmState::Running => Tone::Good,
        VmState::Creating
        | VmState::Starting
        | VmState::Saving
        | VmState::Stopping
        | VmState::Deleting
        | VmState::Paused => Tone::Busy,
        VmState::Crashed | VmState::Missing | VmState::HostNotResponding => Tone::Bad,
        VmState::Stopped | VmState::Saved | VmState::Unknown => Tone::Faint,
    }
}

/// The address that a person would use: the first that is not the machine talking to itself.
fn address(vm: &Vm) -> &str {
    let addresses = vm.guest.iter().flat_map(|guest| &guest.addresses);
    let mut outward =
        addresses.filter(|a| !a.starts_with("127.") && *a != "::1" && !a.starts_with("fe80"));
    outward.next().map_or("", String::as_str)
}

fn tags(tags: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = tags
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(", ")
}
