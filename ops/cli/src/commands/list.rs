//! Lists: which part of one is wanted, and all of its pages.

use clap::Args;
use contracts::rest::Page;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Session, name_line};
use crate::change::remark;
use crate::client::{Request, not_understood};
use crate::error::{Exit, Failure};
use crate::output::{Column, Format, pick};

/// The most that the gateway puts on one page.
const PAGE_ITEMS_MAX: usize = 1_000;

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "List")]
pub(crate) struct ListArgs {
    /// Only these: field:value,... with * for anything, > and < for bounds; can be given several times
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// Order by these fields, each with - before it for descending: name,-created
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    sort: Option<String>,
    /// At most so many [default: 100]
    #[arg(long, value_name = "COUNT", value_parser = count)]
    limit: Option<usize>,
    /// Every one
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Only these: columns of a table, fields of json and yaml
    #[arg(
        long,
        visible_alias = "columns",
        value_name = "FIELDS",
        value_delimiter = ','
    )]
    fields: Vec<String>,
}

impl ListArgs {
    pub(crate) fn every() -> Self {
        Self {
            all: true,
            ..Self::default()
        }
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..) => Ok(count),
        _ => Err("write a whole number from 1; for everything use --all".to_owned()),
    }
}

/// What is listed.
pub(crate) struct Kind<T: 'static> {
    /// Segment of the address.
    pub(crate) segment: &'static str,
    /// In front of names: `vm/web-01`.
    pub(crate) noun: &'static str,
    /// "virtual machines" in a sentence.
    pub(crate) plural: &'static str,
    pub(crate) columns: &'static [Column<T>],
}

pub(crate) async fn list<T: DeserializeOwned>(
    session: &Session,
    kind: &Kind<T>,
    args: &ListArgs,
) -> Result<Exit, Failure> {
    let output = &session.output;
    // A column that is not there is refused before anything is asked.
    let columns = match output.format {
        Format::Table => pick(kind.columns, &args.fields)?,
        _ => Vec::new(),
    };
    let page = fetch(session, kind.segment, args).await?;
    match output.format {
        Format::Json | Format::Yaml => {
            let value = serde_json::to_value(&page).map_err(not_understood)?;
            output.print_value(&value)?;
        }
        Format::Name => {
            let lines: String = page
                .items
                .iter()
                .map(|item| name_line(kind.noun, item))
                .collect();
            output.print(&lines)?;
        }
        Format::Table if page.items.is_empty() => {}
        Format::Table => output.print(&output.table(&columns, &decode::<T>(&page.items)?))?,
    }
    if let Some(text) = comment(kind.plural, &page, !args.filter.is_empty()) {
        remark(session, &text);
    }
    Ok(Exit::Done)
}

/// Every object of a kind, for what needs to know them all.
pub(crate) async fn all<T: DeserializeOwned>(
    session: &Session,
    segment: &str,
) -> Result<Vec<T>, Failure> {
    decode(&fetch(session, segment, &ListArgs::every()).await?.items)
}

fn decode<T: DeserializeOwned>(items: &[Value]) -> Result<Vec<T>, Failure> {
    let decoded: Result<Vec<T>, _> = items
        .iter()
        .map(|i| serde_json::from_value(i.clone()))
        .collect();
    decoded.map_err(not_understood)
}

/// Page after page, as one.
async fn fetch(session: &Session, segment: &str, args: &ListArgs) -> Result<Page<Value>, Failure> {
    let mut so_far: Vec<Value> = Vec::new();
    let mut cursor = None;
    loop {
        let query = query(args, so_far.len(), cursor, session.output.format);
        let request = Request::get(&[segment]).query(query);
        let page: Page<Value> = session.client.send(request).await?.json()?;
        let got_none = page.items.is_empty();
        so_far.extend(page.items);
        let enough = match args.limit {
            Some(limit) => so_far.len() >= limit,
            None => !args.all,
        };
        cursor = page.next_cursor;
        if enough || got_none || cursor.is_none() {
            return Ok(Page {
                items: so_far,
                next_cursor: cursor,
                total: page.total,
            });
        }
    }
}

fn query(
    args: &ListArgs,
    have: usize,
    cursor: Option<String>,
    format: Format,
) -> Vec<(&'static str, String)> {
    let most = match args.limit {
        Some(limit) => Some(limit.saturating_sub(have).min(PAGE_ITEMS_MAX)),
        None => args.all.then_some(PAGE_ITEMS_MAX),
    };
    let whole = matches!(format, Format::Table | Format::Name);
    let fields = (!whole && !args.fields.is_empty()).then(|| args.fields.join(","));
    let filter = (!args.filter.is_empty()).then(|| args.filter.join(","));
    let parts = [
        ("filter", filter),
        ("sort", args.sort.clone()),
        ("limit", most.map(|most| most.to_string())),
        ("cursor", cursor),
        ("fields", fields),
    ];
    parts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// What is not to be seen in the list itself.
fn comment(plural: &str, page: &Page<Value>, filtered: bool) -> Option<String> {
    let shown = page.items.len();
    match (shown, &page.next_cursor) {
        (0, _) if filtered => Some(format!("No {plural} match the filter.")),
        (0, _) => Some(format!("There are no {plural}.")),
        (_, Some(_)) => Some(format!(
            "{shown} of {} are shown; --all shows every one, --limit more of them.",
            page.total
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(args: &ListArgs, have: usize, format: Format) -> String {
        let parts = query(args, have, None, format);
        parts
            .iter()
            .map(|(name, value)| format!("{name}={value};"))
            .collect()
    }

    #[test]
    fn only_what_is_wanted_is_asked_for() {
        let mut args = ListArgs::default();
        assert_eq!(asked(&args, 0, Format::Table), "");
        args.filter = vec!["state:running".to_owned(), "name:web*".to_owned()];
        args.fields = vec!["id".to_owned(), "name".to_owned()];
        args.limit = Some(1_500);
        assert_eq!(
            asked(&args, 0, Format::Json),
            "filter=state:running,name:web*;limit=1000;fields=id,name;"
        );
        assert_eq!(
            asked(&args, 1_000, Format::Table),
            "filter=state:running,name:web*;limit=500;"
        );
    }

    #[test]
    fn what_a_list_does_not_show_is_said() {
        let page = |items: usize, next: Option<&str>| Page {
            items: vec![Value::Null; items],
            next_cursor: next.map(ToOwned::to_owned),
            total: 250,
        };
        assert_eq!(
            comment("hosts", &page(0, None), false).unwrap(),
            "There are no hosts."
        );
        assert_eq!(
            comment("hosts", &page(0, None), true).unwrap(),
            "No hosts match the filter."
        );
        assert!(
            comment("hosts", &page(100, Some("c")), false)
                .unwrap()
                .starts_with("100 of 250")
        );
        assert_eq!(comment("hosts", &page(9, None), false), None);
    }
}
