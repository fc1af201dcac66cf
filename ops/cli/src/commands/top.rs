//! `muster vm top` and `muster host top`.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use console::Term;
use contracts::rest::{Figure, MeasuredKind, Top, TopEntry, Usage};
use jiff::Timestamp;
use serde_json::Value;

use super::{Session, name_line};
use crate::change::remark;
use crate::client::{Request, not_understood};
use crate::error::{Exit, Failure};
use crate::output::{Cell, Column, Format, Output, human};

/// How often a live table is made anew. Samples come once a minute, each host's at a time of its own.
const LIVE_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// What to order by
    #[arg(long, value_name = "FIGURE", default_value = "cpu",
        value_parser = PossibleValuesParser::new(Figure::ALL.map(Figure::word)))]
    sort: String,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Only on hosts of this group and below
    #[arg(long)]
    group: Option<String>,
    /// Show it once and return, as is done anyway where nobody looks at a terminal
    #[arg(long)]
    once: bool,
}

pub(crate) async fn run(
    session: &Session,
    kind: MeasuredKind,
    args: TopArgs,
) -> Result<Exit, Failure> {
    let is_live = session.output.is_for_people() && std::io::stdout().is_terminal() && !args.once;
    if !is_live {
        let value = ask(session, kind, &args).await?;
        return tell(session, kind, &value);
    }
    loop {
        let value = ask(session, kind, &args).await?;
        let text = table(&understood(&value)?, kind, &session.output);
        // A terminal that cannot be cleared shows one table after another.
        let _ = Term::stdout().clear_screen();
        let now = human::clock(Timestamp::now());
        let title = format!("{}s by {}, {now}; Ctrl-C ends\n\n", kind.word(), args.sort);
        session.output.print(&(title + &text))?;
        tokio::time::sleep(LIVE_INTERVAL).await;
    }
}

async fn ask(session: &Session, kind: MeasuredKind, args: &TopArgs) -> Result<Value, Failure> {
    let mut query = vec![
        ("kind", kind.word().to_owned()),
        ("sort", args.sort.clone()),
        ("limit", args.limit.to_string()),
    ];
    query.extend(args.group.clone().map(|group| ("group", group)));
    let request = Request::get(&["top"]).query(query);
    session.client.send(request).await?.value()
}

fn understood(value: &Value) -> Result<Top, Failure> {
    serde_json::from_value(value.clone()).map_err(not_understood)
}

fn tell(session: &Session, kind: MeasuredKind, value: &Value) -> Result<Exit, Failure> {
    let output = &session.output;
    match output.format {
        Format::Json | Format::Yaml => output.print_value(value)?,
        Format::Name => {
            let items = value.get("items").and_then(Value::as_array);
            let lines = items.into_iter().flatten();
            let lines = lines.map(|item| name_line(kind.word(), item));
            output.print(&lines.collect::<String>())?;
        }
        Format::Table => {
            let top = understood(value)?;
            if top.items.is_empty() {
                remark(session, "There are no samples of the last minutes.");
            }
            output.print(&table(&top, kind, output))?;
        }
    }
    Ok(Exit::Done)
}

fn table(top: &Top, kind: MeasuredKind, output: &Output) -> String {
    let columns = COLUMNS.iter().filter(|column| {
        // A host is on no other.
        kind == MeasuredKind::Vm || column.key != "host"
    });
    let columns: Vec<&Column<TopEntry>> = columns.collect();
    output.table(&columns, &top.items)
}

const COLUMNS: [Column<TopEntry>; 10] = [
    Column::always("name", |e, _| {
        if e.name.is_empty() { &e.id } else { &e.name }.into()
    }),
    Column::always("host", |e, _| e.host.as_str().into()),
    Column::always("cpu", |e, _| {
        figure(e.usage.cpu_percent, |percent| format!("{percent:.1} %"))
    }),
    Column::always("memory", |e, _| figure(e.usage.memory_bytes, human::bytes)),
    Column::always("disk_read", |e, _| rate(e, |u| u.disk_read_bytes_per_sec)),
    Column::always("disk_write", |e, _| rate(e, |u| u.disk_write_bytes_per_sec)),
    Column::always("disk_operations", |e, _| {
        figure(e.usage.disk_operations_per_sec, |count| {
            format!("{count}/s")
        })
    }),
    Column::always("disk_used", |e, _| {
        figure(e.usage.disk_used_bytes, human::bytes)
    }),
    Column::always("network_received", |e, _| {
        rate(e, |u| u.network_received_bytes_per_sec)
    }),
    Column::always("network_sent", |e, _| {
        rate(e, |u| u.network_sent_bytes_per_sec)
    }),
];

/// A figure that cannot be had is no 0.
fn figure<T>(value: Option<T>, tell: impl Fn(T) -> String) -> Cell {
    value.map_or_else(|| "-".to_owned(), tell).into()
}

fn rate(entry: &TopEntry, figure_of: fn(&Usage) -> Option<u64>) -> Cell {
    figure(figure_of(&entry.usage), |bytes| {
        format!("{}/s", human::bytes(bytes))
    })
}
