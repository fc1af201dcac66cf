//! `muster events`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use contracts::rest::{Event, PropertyChange, sse};

use super::Session;
use crate::change::remark;
use crate::client::{Message, backoff, not_understood};
use crate::error::{Exit, Failure};
use crate::output::{Format, Output, human, tame};
use crate::values;
use crate::wait::may_pass;

/// Whoever follows events wants to go on soon after the gateway is back.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Changes that a line of the table form has room for.
const CHANGES_SHOWN: usize = 4;

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Go on after this event, by its number [default: only what happens from now on]
    #[arg(long, value_name = "NUMBER")]
    since: Option<u64>,
    /// Only objects of this kind
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only this host group and below
    #[arg(long, value_parser = values::object)]
    group: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Vm,
    Host,
    Job,
    Group,
    LibraryServer,
    LibraryShare,
    LibraryItem,
}

impl Kind {
    /// The kind as events name it.
    fn word(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Host => "host",
            Self::Job => "job",
            Self::Group => "host_group",
            Self::LibraryServer => "library_server",
            Self::LibraryShare => "library_share",
            Self::LibraryItem => "library_item",
        }
    }
}

/// Follows until interrupted, or until nobody reads the output any more.
pub(crate) async fn run(session: &Session, args: EventsArgs) -> Result<Exit, Failure> {
    let query = query(&args);
    let mut last = args.since.map(|sequence| sequence.to_string());
    let mut connected_once = false;
    let mut attempt = 1;
    loop {
        match session
            .client
            .events(&["events"], &query, last.as_deref())
            .await
        {
            Ok(mut events) => {
                connected_once = true;
                while let Some(message) = events.next().await {
                    attempt = 1;
                    tell(session, &message)?;
                }
                last = events.last_id().map(ToOwned::to_owned).or(last);
                remark(
                    session,
                    "The connection to Muster was lost; going on where it stopped.",
                );
            }
            Err(failure) if connected_once && may_pass(&failure) => {}
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(backoff(attempt, RECONNECT_PAUSE_MAX)).await;
        attempt += 1;
    }
}

fn query(args: &EventsArgs) -> Vec<(&'static str, String)> {
    let kind = args.kind.map(|kind| ("kind", kind.word().to_owned()));
    let group = args.group.clone().map(|group| ("group", group));
    kind.into_iter().chain(group).collect()
}

fn tell(session: &Session, message: &Message) -> Result<(), Failure> {
    if message.event == sse::RESET {
        remark(
            session,
            "Some events are no longer there to be told; what follows is from now on.",
        );
        return Ok(());
    }
    let event: Event = serde_json::from_str(&message.data).map_err(not_understood)?;
    session
        .output
        .print(&line(&session.output, &event, &message.data)?)
}

/// One event: a line, or with YAML a document.
fn line(output: &Output, event: &Event, data: &str) -> Result<String, Failure> {
    Ok(match output.format {
        Format::Table => sentence(event),
        Format::Name => format!("{}/{}\n", noun(event), name(event)),
        Format::Json => format!("{}\n", data.replace('\n', " ")),
        Format::Yaml => {
            let value = serde_json::from_str(data).map_err(not_understood)?;
            format!("---\n{}\n", crate::output::yaml(&value)?.trim_end())
        }
    })
}

fn sentence(event: &Event) -> String {
    let time = event.time.map(human::clock).unwrap_or_default();
    let by = match event.principal.as_str() {
        "" => String::new(),
        who => format!("  by {who}"),
    };
    let verb = event.verb.replace('_', " ");
    let text = format!(
        "{}  {time}  {}  {}  {verb}  {}{by}",
        event.sequence,
        noun(event),
        name(event),
        changes(event)
    );
    format!("{}\n", tame(text.trim_end()))
}

/// What a person would want to read of what changed. All of it is in the other forms of output.
fn changes(event: &Event) -> String {
    if matches!(event.verb.as_str(), "created" | "deleted") {
        return String::new();
    }
    let told: Vec<String> = event
        .changes
        .iter()
        .filter(|c| is_telling(c))
        .map(change)
        .collect();
    let shown = told.get(..CHANGES_SHOWN).unwrap_or(&told).join(", ");
    match told.len().saturating_sub(CHANGES_SHOWN) {
        0 => shown,
        more => format!("{shown}, and {more} more"),
    }
}

/// Times and the inner lists of a job only repeat what the line says already.
fn is_telling(change: &PropertyChange) -> bool {
    let inner = ["steps[", "changes[", "ratings[", "target_before"];
    !change.property.ends_with("_ms")
        && !inner.iter().any(|start| change.property.starts_with(start))
}

fn change(change: &PropertyChange) -> String {
    match change.previous.as_str() {
        "" => format!("{}: {}", change.property, change.new),
        previous => format!("{}: {previous} -> {}", change.property, change.new),
    }
}

fn noun(event: &Event) -> &str {
    match event.kind.as_str() {
        "host_group" => "group",
        other => other,
    }
}

fn name(event: &Event) -> &str {
    if event.name.is_empty() {
        &event.id
    } else {
        &event.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(verb: &str, properties: &[&str]) -> Event {
        let change = |property: &&str| contracts::PropertyChange {
            property: (*property).to_owned(),
            previous: "a".to_owned(),
            new: "b".to_owned(),
        };
        let message = contracts::common::Event {
            kind: "host_group".to_owned(),
            name: "Prod".to_owned(),
            verb: verb.to_owned(),
            time_ms: 1_000,
            principal: "alice".to_owned(),
            changes: properties.iter().map(change).collect(),
            ..Default::default()
        };
        Event::new(7, message)
    }

    #[test]
    fn an_event_is_one_line() {
        assert_eq!(
            sentence(&event(
                "state_changed",
                &["state", "state_changed_ms", "steps[1].state"]
            )),
            "7  1970-01-01 00:00:01 UTC  group  Prod  state changed  state: a -> b  by alice\n"
        );
    }

    #[test]
    fn a_line_stays_short_however_much_changed() {
        let many = event("updated", &["a", "b", "c", "d", "e", "f"]);
        assert!(
            changes(&many).ends_with("d: a -> b, and 2 more"),
            "{}",
            changes(&many)
        );
        assert_eq!(changes(&event("deleted", &["name"])), "");
    }
}
