//! `muster job`.

use clap::{Args, Subcommand};
use contracts::rest::Job;
use reqwest::Method;

use super::list::{Kind, ListArgs, list};
use super::{Session, show};
use crate::change::{Wanted, failure, finish, result, tell, wait_for};
use crate::cli::{TimeoutArgs, WaitArgs};
use crate::client::Request;
use crate::error::{Exit, Failure};
use crate::output::{Cell, Column, human, job_detail, job_time, job_title, job_tone};
use crate::values;
use crate::wait::Watched;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List jobs, the newest first
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show one job: its steps, what it chose from, what it changed
    Show(JobArg),
    /// Follow a job until it has ended
    Watch(WatchArgs),
    /// Stop a job; what it has done is undone
    Cancel(AgainArgs),
    /// Run a failed, cancelled or stuck job again from the step that failed
    Restart(AgainArgs),
}

#[derive(Debug, Args)]
pub(crate) struct JobArg {
    /// Id of the job
    #[arg(value_parser = values::object)]
    job: String,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    which: JobArg,
    #[command(flatten)]
    timeout: TimeoutArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AgainArgs {
    #[command(flatten)]
    which: JobArg,
    #[command(flatten)]
    wait: WaitArgs,
}

const KIND: Kind<Job> = Kind {
    segment: "jobs",
    noun: "job",
    plural: "jobs",
    columns: &[
        Column::always("id", |j, _| j.id.as_str().into()),
        Column::always("what", |j, _| job_title(j).into()),
        Column::always("state", |j, _| Cell::new(j.state, job_tone(j.state))),
        Column::always("progress", |j, _| {
            format!("{} %", j.progress_percent).into()
        }),
        Column::always("age", |j, now| human::age(j.created, now).into()),
        Column::always("took", |j, now| job_time(j, now).into()),
        Column::always("owner", |j, _| j.owner.as_str().into()),
        Column::on_request("message", |j, _| j.message.as_str().into()),
        Column::on_request("problem", |j, _| {
            j.problem.as_ref().map_or("", |p| &p.detail).into()
        }),
        Column::on_request("kind", |j, _| j.kind.as_str().into()),
        Column::on_request("target", |j, _| {
            j.target.as_ref().map_or("", |t| &t.name).into()
        }),
        Column::on_request("parent_id", |j, _| {
            j.parent_id.as_deref().unwrap_or_default().into()
        }),
        Column::on_request("runner", |j, _| {
            j.runner.as_deref().unwrap_or_default().into()
        }),
    ],
};

pub(crate) async fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List(args) => list(session, &KIND, &args).await,
        Command::Show(which) => show(session, "job", &["jobs", &which.job], job_detail).await,
        Command::Watch(args) => watch(session, args).await,
        Command::Cancel(args) => again(session, "cancel", args, Wanted::Cancelled).await,
        Command::Restart(args) => again(session, "restart", args, Wanted::Succeeded).await,
    }
}

async fn watch(session: &Session, args: WatchArgs) -> Result<Exit, Failure> {
    let segments = ["jobs", &args.which.job];
    let value = session
        .client
        .send(Request::get(&segments))
        .await?
        .value()?;
    let waited = wait_for(session, vec![Watched::new(value)], args.timeout.timeout).await?;
    tell(session, waited, result, |watched| {
        failure(watched, Wanted::Succeeded)
    })
}

async fn again(
    session: &Session,
    action: &str,
    args: AgainArgs,
    wanted: Wanted,
) -> Result<Exit, Failure> {
    let segments = ["jobs", &args.which.job, "actions", action];
    let request = Request::change(Method::POST, &segments);
    let answer = session.client.send(request).await?.value();
    finish(session, vec![answer], &args.wait, wanted).await
}
