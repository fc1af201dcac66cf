//! Changes: asked for, followed where that is wanted, told at the end.

use std::io::IsTerminal;
use std::time::Duration;

use contracts::rest::{Job, JobState, Plan};
use futures::{StreamExt, stream};
use serde_json::Value;

use crate::cli::{ChangeArgs, IfBusy, WaitArgs};
use crate::client::{Request, not_understood};
use crate::commands::Session;
use crate::error::{Exit, Failure};
use crate::output::{self, Format, Output, job_result, note, steps_table};
use crate::wait::{Waited, Watched, wait_all};

/// Requests under way at a time, when several objects are named.
const REQUESTS_MAX: usize = 8;

/// The end of a job that is wanted: whoever cancels one does not want it to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Succeeded,
    Cancelled,
}

/// Asks for changes; each is a job of its own.
pub(crate) async fn make(
    session: &Session,
    changes: Vec<Request>,
    args: &ChangeArgs,
) -> Result<Exit, Failure> {
    let query = query(args);
    let sent = stream::iter(changes)
        .map(|request| send(session, request.query(query.clone())))
        .buffered(REQUESTS_MAX)
        .collect()
        .await;
    if args.dry_run {
        return tell_plans(session, sent);
    }
    finish(session, sent, &args.wait, Wanted::Succeeded).await
}

/// Also what would otherwise be refused, if that is wanted.
pub(crate) fn forced(force: bool) -> Option<(&'static str, String)> {
    force.then(|| ("force", "true".to_owned()))
}

fn query(args: &ChangeArgs) -> Vec<(&'static str, String)> {
    let mut query = Vec::new();
    if args.dry_run {
        query.push(("dry_run", "true".to_owned()));
    }
    if args.if_busy == IfBusy::Refuse {
        query.push(("if_busy", "refuse".to_owned()));
    }
    query
}

async fn send(session: &Session, request: Request) -> Result<Value, Failure> {
    session.client.send(request).await?.value()
}

/// Jobs that were accepted, or refused: waits if that is wanted, then tells how each stands.
pub(crate) async fn finish(
    session: &Session,
    sent: Vec<Result<Value, Failure>>,
    args: &WaitArgs,
    wanted: Wanted,
) -> Result<Exit, Failure> {
    let sent: Vec<Waited> = sent.into_iter().map(|s| s.and_then(Watched::new)).collect();
    if !waits(args) {
        return tell(session, sent, accepted, |_| None);
    }
    let ended = wait_for(session, sent, args.timeout.timeout).await?;
    tell(session, ended, result, |watched| failure(watched, wanted))
}

/// Waits for those that were accepted; what was refused stays in its place.
pub(crate) async fn wait_for(
    session: &Session,
    sent: Vec<Waited>,
    timeout: Duration,
) -> Result<Vec<Waited>, Failure> {
    let accepted = sent.iter().flatten().cloned().collect();
    let waited = wait_all(&session.client, accepted, timeout, session.quiet).await?;
    let mut waited = waited.into_iter();
    Ok(sent
        .into_iter()
        .map(|sent| sent.and_then(|watched| waited.next().unwrap_or(Ok(watched))))
        .collect())
}

fn waits(args: &WaitArgs) -> bool {
    let at_terminal = std::io::stdout().is_terminal() || std::io::stderr().is_terminal();
    args.wait || (at_terminal && !args.no_wait)
}

/// Says how all stand; the exit code is that of the first that did not go well.
pub(crate) fn tell(
    session: &Session,
    all: Vec<Waited>,
    describe: fn(&Watched, &Output) -> String,
    judge: impl Fn(&Watched) -> Option<Failure>,
) -> Result<Exit, Failure> {
    let output = &session.output;
    let several = all.len() > 1;
    let (mut known, mut failures) = (Vec::new(), Vec::new());
    for one in all {
        match one {
            Ok(watched) => {
                failures.extend(judge(&watched));
                known.push(watched);
            }
            Err(failure) => failures.push(failure),
        }
    }
    match (output.format, known.as_slice()) {
        (Format::Table, _) if session.quiet => {}
        (Format::Table, [one]) if !several => output.print(&describe(one, output))?,
        (Format::Table, all) => output.print(&summary(all, output))?,
        (_, all) => print_values(output, all, several)?,
    }
    told(&failures)
}

/// Complains of every failure; the exit code is that of the first.
fn told(failures: &[Failure]) -> Result<Exit, Failure> {
    failures.iter().for_each(output::complain);
    match failures.first() {
        Some(failure) => Err(Failure::Told(failure.exit())),
        None => Ok(Exit::Done),
    }
}

/// Several jobs, one a line.
fn summary(all: &[Watched], output: &Output) -> String {
    if all.is_empty() {
        return String::new();
    }
    let jobs: Vec<Job> = all.iter().map(|watched| watched.job.clone()).collect();
    output::job_table(&jobs, output)
}

fn print_values(output: &Output, all: &[Watched], several: bool) -> Result<(), Failure> {
    match (output.format, all) {
        (Format::Name, all) => {
            let lines: String = all.iter().map(|w| format!("job/{}\n", w.job.id)).collect();
            output.print(&lines)
        }
        (_, [one]) if !several => output.print_value(&one.value),
        (_, []) if !several => Ok(()),
        (_, all) => output.print_value(&all.iter().map(|w| w.value.clone()).collect()),
    }
}

fn accepted(watched: &Watched, _output: &Output) -> String {
    let job = &watched.job;
    let title = output::job_title(job);
    format!(
        "{title}: {} as job {1} (muster job watch {1})\n",
        job.state, job.id
    )
}

pub(crate) fn result(watched: &Watched, output: &Output) -> String {
    let line = job_result(&watched.job, output);
    match steps_table(&watched.job, output) {
        steps if steps.is_empty() => line,
        steps => format!("{line}\n{steps}\n"),
    }
}

pub(crate) fn failure(watched: &Watched, wanted: Wanted) -> Option<Failure> {
    match (watched.job.state, wanted) {
        (JobState::Succeeded, Wanted::Succeeded) | (JobState::Cancelled, Wanted::Cancelled) => None,
        _ => Some(Failure::Job(Box::new(watched.job.clone()))),
    }
}

fn tell_plans(session: &Session, sent: Vec<Result<Value, Failure>>) -> Result<Exit, Failure> {
    let several = sent.len() > 1;
    let (plans, failures): (Vec<_>, Vec<_>) = sent.into_iter().partition(Result::is_ok);
    let plans: Vec<Value> = plans.into_iter().flatten().collect();
    match (session.output.format, plans.as_slice()) {
        (Format::Table | Format::Name, plans) => {
            for value in plans {
                let plan: Plan = serde_json::from_value(value.clone()).map_err(not_understood)?;
                session
                    .output
                    .print(&describe_plan(&plan, &session.output))?;
            }
        }
        (_, [plan]) if !several => session.output.print_value(plan)?,
        (_, plans) => session.output.print_value(&plans.into())?,
    }
    let failures: Vec<Failure> = failures.into_iter().filter_map(Result::err).collect();
    told(&failures)
}

fn describe_plan(plan: &Plan, output: &Output) -> String {
    match (output.format, &plan.target) {
        (Format::Name, Some(target)) => format!("{}/{}\n", target.kind, target.name),
        (Format::Name, None) => String::new(),
        _ => output::plan(plan, output),
    }
}

/// Says something beside the output, unless the person wants it quiet.
pub(crate) fn remark(session: &Session, text: &str) {
    if !session.quiet {
        note(text);
    }
}
