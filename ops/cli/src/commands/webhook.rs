//! `muster webhook`.

use clap::{Args, Subcommand};
use contracts::rest::{
    CreateWebhook, DeadLetter, DeadLetterList, NewWebhook, Redelivery, UpdateWebhook, Webhook,
    WebhookList, WebhookTest,
};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Session, name_line, show, tell};
use crate::change::remark;
use crate::client::{Request, not_understood};
use crate::error::{Exit, Failure};
use crate::output::detail::Detail;
use crate::output::{Cell, Column, Format, Output, Tone, human};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Deliver events to an address; the secret that signs them is shown this once
    Add(AddArgs),
    /// List webhooks
    #[command(visible_alias = "ls")]
    List,
    /// Show one webhook and how far its deliveries have got
    Show(WebhookArg),
    /// Go on with deliveries where they were stopped
    Enable(WebhookArg),
    /// Stop deliveries for a while
    Disable(WebhookArg),
    /// Stop deliveries for good and forget what is undelivered
    #[command(visible_alias = "rm")]
    Remove(WebhookArg),
    /// Send a test now
    Test(WebhookArg),
    /// List events that the endpoint did not take
    DeadLetters(WebhookArg),
    /// Send dead letters again, in order, until one is not taken
    Redeliver(WebhookArg),
}

#[derive(Debug, Args)]
pub(crate) struct WebhookArg {
    /// Name or id of the webhook
    #[arg(value_parser = values::object)]
    webhook: String,
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// What to call it
    name: String,
    /// Where to deliver to, http or https
    url: String,
    /// Only events of this kind: vm, host, host_group or job; can be given several times
    #[arg(long)]
    kind: Vec<String>,
    /// Only events of this verb, as state_changed; can be given several times
    #[arg(long)]
    verb: Vec<String>,
    /// Only events of this host group itself
    #[arg(long)]
    group: Option<String>,
}

const COLUMNS: [Column<Webhook>; 7] = [
    Column::always("name", |w, _| w.name.as_str().into()),
    Column::always("url", |w, _| w.url.as_str().into()),
    Column::always("enabled", |w, _| {
        if w.enabled { "yes" } else { "no" }.into()
    }),
    Column::always("delivered", |w, _| w.delivered.into()),
    Column::always("dead_letters", |w, _| w.dead_letters.into()),
    Column::always("last_delivery", |w, now| {
        human::age(w.last_delivery, now).into()
    }),
    Column::always("problem", |w, _| Cell::new(&w.problem, Tone::Bad)),
];

const DEAD_COLUMNS: [Column<DeadLetter>; 5] = [
    Column::always("sequence", |d, _| d.sequence.into()),
    Column::always("type", |d, _| type_of(&d.body).into()),
    Column::always("age", |d, now| human::age(d.given_up, now).into()),
    Column::always("attempts", |d, _| d.attempts.into()),
    Column::always("problem", |d, _| d.problem.as_str().into()),
];

/// What kind of event a body tells of.
fn type_of(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let word = body.get("type").and_then(Value::as_str);
    word.unwrap_or_default().to_owned()
}

pub(crate) async fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Add(args) => add(session, args).await,
        Command::List => list(session).await,
        Command::Show(which) => {
            show(session, "webhook", &["webhooks", &which.webhook], describe).await
        }
        Command::Enable(which) => enable(session, &which, true).await,
        Command::Disable(which) => enable(session, &which, false).await,
        Command::Remove(which) => remove(session, &which).await,
        Command::Test(which) => test(session, &which).await,
        Command::DeadLetters(which) => dead_letters(session, &which).await,
        Command::Redeliver(which) => redeliver(session, &which).await,
    }
}

async fn add(session: &Session, args: AddArgs) -> Result<Exit, Failure> {
    let body = CreateWebhook {
        name: args.name,
        url: args.url,
        kinds: args.kind,
        verbs: args.verb,
        group: args.group,
    };
    let request = Request::change(Method::POST, &["webhooks"]).body(&body)?;
    let value = session.client.send(request).await?.value()?;
    let output = &session.output;
    match output.format {
        Format::Json | Format::Yaml => output.print_value(&value)?,
        Format::Name => output.print(&name_line(
            "webhook",
            value.get("webhook").unwrap_or(&value),
        ))?,
        Format::Table => {
            let made: NewWebhook = understood(&value)?;
            output.print(&format!("{}\n", made.secret))?;
            remark(
                session,
                "This is the secret that signs deliveries. It is not shown again.",
            );
        }
    }
    Ok(Exit::Done)
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let value = session
        .client
        .send(Request::get(&["webhooks"]))
        .await?
        .value()?;
    let WebhookList { items } = understood(&value)?;
    table(session, &value, &COLUMNS, &items, "There are no webhooks.")
}

async fn dead_letters(session: &Session, which: &WebhookArg) -> Result<Exit, Failure> {
    let segments = ["webhooks", &which.webhook, "dead-letters"];
    let value = session
        .client
        .send(Request::get(&segments))
        .await?
        .value()?;
    let DeadLetterList { items } = understood(&value)?;
    table(
        session,
        &value,
        &DEAD_COLUMNS,
        &items,
        "There are no dead letters.",
    )
}

fn table<T>(
    session: &Session,
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
                .map(|item| name_line("webhook", item));
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

async fn enable(session: &Session, which: &WebhookArg, enabled: bool) -> Result<Exit, Failure> {
    let segments = ["webhooks", &which.webhook];
    let request = Request::change(Method::PATCH, &segments).body(&UpdateWebhook { enabled })?;
    let value = session.client.send(request).await?.value()?;
    tell(session, "webhook", &value, describe)
}

async fn remove(session: &Session, which: &WebhookArg) -> Result<Exit, Failure> {
    let request = Request::change(Method::DELETE, &["webhooks", &which.webhook]);
    session.client.send(request).await?;
    remark(session, "It is gone, with what was undelivered.");
    Ok(Exit::Done)
}

async fn test(session: &Session, which: &WebhookArg) -> Result<Exit, Failure> {
    let value = act(session, which, "test").await?;
    let WebhookTest { taken, problem } = understood(&value)?;
    if !session.output.is_for_people() {
        session.output.print_value(&value)?;
    } else if taken {
        session.output.print("The endpoint has taken it.\n")?;
    }
    match taken {
        true => Ok(Exit::Done),
        false => Err(Failure::Local(format!("The test was not taken: {problem}"))),
    }
}

async fn redeliver(session: &Session, which: &WebhookArg) -> Result<Exit, Failure> {
    let value = act(session, which, "redeliver").await?;
    if !session.output.is_for_people() {
        session.output.print_value(&value)?;
        return Ok(Exit::Done);
    }
    let Redelivery {
        delivered,
        left,
        problem,
    } = understood(&value)?;
    session
        .output
        .print(&format!("{delivered} delivered, {left} left. {problem}\n"))?;
    Ok(Exit::Done)
}

async fn act(session: &Session, which: &WebhookArg, action: &str) -> Result<Value, Failure> {
    let segments = ["webhooks", &which.webhook, "actions", action];
    session.client.send(Request::ask(&segments)).await?.value()
}

fn understood<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    serde_json::from_value(value.clone()).map_err(not_understood)
}

fn describe(webhook: &Webhook, output: &Output) -> String {
    let or_all = |words: &[String]| match words.is_empty() {
        true => "all".to_owned(),
        false => words.join(", "),
    };
    Detail::default()
        .line("Name", &webhook.name)
        .line("Id", &webhook.id)
        .line("URL", &webhook.url)
        .line("Enabled", if webhook.enabled { "yes" } else { "no" })
        .line("Kinds", or_all(&webhook.kinds))
        .line("Verbs", or_all(&webhook.verbs))
        .line("Group", webhook.group_id.as_deref().unwrap_or("all"))
        .line("Delivered", webhook.delivered)
        .line("Dead letters", webhook.dead_letters)
        .line(
            "Last delivery",
            human::moment(webhook.last_delivery, output.now),
        )
        .line("Problem", &webhook.problem)
        .line("Attempts", webhook.attempts)
        .render()
}
