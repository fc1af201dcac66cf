//! `muster refresher`.

use std::time::Duration;

use clap::{Args, Subcommand};
use contracts::rest::{
    RefreshOutcome, Refreshed, Refresher, RefresherInterval, Refreshers, SetRefresher,
};
use reqwest::Method;

use super::{Session, show};
use crate::change::make;
use crate::cli::ChangeArgs;
use crate::client::Request;
use crate::error::{Exit, Failure};
use crate::output::detail::Detail;
use crate::output::{Cell, Column, Output, Tone, human};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the kinds of refresh: what they look at, how often, how it goes
    #[command(visible_alias = "ls")]
    List,
    /// Show one kind, with every interval that is set
    Show(RefresherArg),
    /// Set how often a kind is due
    Set(SetArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RefresherArg {
    /// Name of the kind, as `vm_light`
    #[arg(value_parser = values::object)]
    refresher: String,
}

#[derive(Debug, Args)]
#[group(id = "value", required = true, multiple = false, args = ["interval", "off", "default"])]
#[group(id = "place", required = false, multiple = false, args = ["group", "server"])]
pub(crate) struct SetArgs {
    #[command(flatten)]
    which: RefresherArg,
    /// From one refresh to the next
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    interval: Option<Duration>,
    /// Not at all, where the kind allows it
    #[arg(long)]
    off: bool,
    /// As if nothing had been set
    #[arg(long)]
    default: bool,
    /// Only for this host group and those below it
    #[arg(long)]
    group: Option<String>,
    /// Only for this host or library server
    #[arg(long)]
    server: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

const COLUMNS: [Column<Refresher>; 8] = [
    Column::always("name", |r, _| r.name.as_str().into()),
    Column::always("interval", |r, _| interval(r).into()),
    Column::always("targets", |r, _| u64::from(r.targets).into()),
    Column::always("passed_over", |r, _| u64::from(r.passed_over).into()),
    Column::always("failing", |r, _| {
        let tone = if r.failing == 0 {
            Tone::Plain
        } else {
            Tone::Bad
        };
        Cell::new(r.failing, tone)
    }),
    Column::always("bytes", |r, _| human::bytes(r.bytes).into()),
    Column::always("service", |r, _| {
        let tone = if r.is_served { Tone::Plain } else { Tone::Bad };
        Cell::new(&r.service, tone)
    }),
    Column::always("covers", |r, _| r.covers.as_str().into()),
];

const SET: [Column<RefresherInterval>; 3] = [
    Column::always("for", |i, _| {
        let group = i.group_id.as_deref().map(|id| format!("group {id}"));
        let server = i.server_id.as_deref().map(|id| format!("server {id}"));
        group.or(server).unwrap_or_else(|| "all".to_owned()).into()
    }),
    Column::always("interval", |i, _| word(i).into()),
    Column::always("off", |i, _| if i.off { "yes" } else { "" }.into()),
];

/// When an object was refreshed, by kind.
const REFRESHED: [Column<Refreshed>; 6] = [
    Column::always("refreshed_by", |r, _| r.by.as_str().into()),
    Column::always("when", |r, now| human::age(r.time, now).into()),
    Column::always("outcome", |r, _| {
        let tone = match r.outcome {
            RefreshOutcome::Failed => Tone::Bad,
            _ => Tone::Plain,
        };
        Cell::new(r.outcome, tone)
    }),
    Column::always("because", |r, _| r.trigger.into()),
    Column::always("bytes", |r, _| r.bytes.into()),
    Column::always("error", |r, _| Cell::new(&r.error, Tone::Bad)),
];

fn secs(secs: u32) -> String {
    human::duration(Duration::from_secs(secs.into()))
}

fn word(interval: &RefresherInterval) -> String {
    interval
        .interval_secs
        .map_or_else(|| "off".to_owned(), secs)
}

/// What counts where nothing nearer is set.
fn interval(refresher: &Refresher) -> String {
    let is_for_all = |i: &&RefresherInterval| i.group_id.is_none() && i.server_id.is_none();
    let set = refresher.set.iter().find(is_for_all);
    set.map_or_else(|| secs(refresher.default_interval_secs), word)
}

pub(crate) async fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List => list(session).await,
        Command::Show(which) => {
            let segments = ["refreshers", &which.refresher];
            show(session, "refresher", &segments, describe).await
        }
        Command::Set(args) => set(session, args).await,
    }
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let answer = session.client.send(Request::get(&["refreshers"])).await?;
    let output = &session.output;
    if output.is_for_people() {
        let refreshers: Refreshers = answer.json()?;
        let columns: Vec<_> = COLUMNS.iter().collect();
        output.print(&output.table(&columns, &refreshers.items))?;
    } else {
        output.print_value(&answer.value()?)?;
    }
    Ok(Exit::Done)
}

async fn set(session: &Session, args: SetArgs) -> Result<Exit, Failure> {
    let secs = |interval: Duration| u32::try_from(interval.as_secs()).unwrap_or(u32::MAX);
    let body = SetRefresher {
        group: args.group,
        server: args.server,
        interval_secs: args.interval.map(secs),
        off: args.off,
    };
    let segments = ["refreshers", &args.which.refresher];
    let change = Request::change(Method::PUT, &segments).body(&body)?;
    make(session, vec![change], &args.change).await
}

fn describe(refresher: &Refresher, output: &Output) -> String {
    let (least, most) = (refresher.interval_secs_min, refresher.interval_secs_max);
    let off = if refresher.may_be_off { ", or off" } else { "" };
    let mut text = Detail::default()
        .line("Refresher", &refresher.name)
        .line("Covers", &refresher.covers)
        .line("Writes", &refresher.writes)
        .line("Served by", &refresher.service)
        .line("Interval", interval(refresher))
        .line("Default", secs(refresher.default_interval_secs))
        .line("Allowed", format!("{} to {}{off}", secs(least), secs(most)))
        .line("Targets", refresher.targets)
        .line("Off", refresher.off)
        .line("Passed over", refresher.passed_over)
        .line("Failing", refresher.failing)
        .line("Last pass", human::bytes(refresher.bytes))
        .render();
    if !refresher.set.is_empty() {
        let columns: Vec<_> = SET.iter().collect();
        text += &format!("\n{}", output.table(&columns, &refresher.set));
    }
    text
}

/// The table of an object's last refreshes; nothing where none is known.
pub(crate) fn table(refreshed: &[Refreshed], output: &Output) -> String {
    if refreshed.is_empty() {
        return String::new();
    }
    let columns: Vec<_> = REFRESHED.iter().collect();
    format!("\n{}", output.table(&columns, refreshed))
}
