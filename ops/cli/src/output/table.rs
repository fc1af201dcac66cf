//! Tables: columns in an order that never changes, as wide as the terminal, whole when they go elsewhere.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Color, ContentArrangement, Table};
use jiff::Timestamp;

use super::{Output, tame};
use crate::error::Failure;

/// What a value means, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Busy,
    Bad,
    Faint,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl Cell {
    pub(crate) fn new(text: impl ToString, tone: Tone) -> Self {
        Self {
            text: text.to_string(),
            tone,
        }
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// Whether a column is shown without being asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Always,
    OnRequest,
}

/// One column of a list.
pub(crate) struct Column<T> {
    /// What `--fields` calls it; the header is the same in capitals.
    pub(crate) key: &'static str,
    pub(crate) shown: Shown,
    pub(crate) cell: fn(&T, Timestamp) -> Cell,
}

impl<T> Column<T> {
    pub(crate) const fn always(key: &'static str, cell: fn(&T, Timestamp) -> Cell) -> Self {
        Self {
            key,
            shown: Shown::Always,
            cell,
        }
    }

    pub(crate) const fn on_request(key: &'static str, cell: fn(&T, Timestamp) -> Cell) -> Self {
        Self {
            key,
            shown: Shown::OnRequest,
            cell,
        }
    }
}

/// The columns that are asked for, in the order of asking; without asking, those that are always shown.
pub(crate) fn pick<'a, T>(
    columns: &'a [Column<T>],
    wanted: &[String],
) -> Result<Vec<&'a Column<T>>, Failure> {
    if wanted.is_empty() {
        return Ok(columns
            .iter()
            .filter(|c| c.shown == Shown::Always)
            .collect());
    }
    let find = |key: &String| {
        columns.iter().find(|c| c.key == key).ok_or_else(|| {
            let known: Vec<&str> = columns.iter().map(|c| c.key).collect();
            Failure::Usage(format!(
                "There is no column {key:?}.\n  next: use some of {}",
                known.join(", ")
            ))
        })
    };
    wanted.iter().map(find).collect()
}

pub(super) fn render<T>(columns: &[&Column<T>], rows: &[T], output: &Output) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    match output.width {
        Some(width) => table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    if output.color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let header = |column: &&Column<T>| {
        let title = column.key.replace('_', " ").to_uppercase();
        comfy_table::Cell::new(title).add_attribute(Attribute::Bold)
    };
    table.set_header(columns.iter().map(header).collect::<Vec<_>>());
    for row in rows {
        table.add_row(
            columns
                .iter()
                .map(|column| paint((column.cell)(row, output.now)))
                .collect::<Vec<_>>(),
        );
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    format!("{}\n", table.trim_fmt())
}

fn paint(cell: Cell) -> comfy_table::Cell {
    let plain = comfy_table::Cell::new(tame(&cell.text));
    match cell.tone {
        Tone::Plain => plain,
        Tone::Good => plain.fg(Color::Green),
        Tone::Busy => plain.fg(Color::Yellow),
        Tone::Bad => plain.fg(Color::Red),
        Tone::Faint => plain.fg(Color::DarkGrey),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;

    const COLUMNS: [Column<&str>; 3] = [
        Column::always("name", |s, _| s.into()),
        Column::always("chars", |s, _| s.chars().count().into()),
        Column::on_request("in_full", |s, _| Cell::new(s.repeat(20), Tone::Bad)),
    ];

    fn output(width: Option<u16>, color: bool) -> Output {
        Output {
            format: Format::Table,
            width,
            color,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    fn wide(width: Option<u16>, color: bool) -> String {
        let wanted = ["name".to_owned(), "in_full".to_owned()];
        render(
            &pick(&COLUMNS, &wanted).unwrap(),
            &["web-01"],
            &output(width, color),
        )
    }

    #[test]
    fn columns_stay_in_order_and_lines_end_without_blanks() {
        let columns = pick(&COLUMNS, &[]).unwrap();
        assert_eq!(
            render(&columns, &["a", "web-01"], &output(None, false)),
            "NAME    CHARS\na       1\nweb-01  6\n"
        );
    }

    #[test]
    fn a_table_fits_the_terminal_and_is_whole_elsewhere() {
        let fitted = wide(Some(60), false);
        assert!(
            fitted.lines().all(|line| line.chars().count() <= 60),
            "{fitted}"
        );
        assert!(wide(None, false).contains(&"web-01".repeat(20)));
    }

    #[test]
    fn colour_is_only_there_when_it_is_wanted() {
        assert!(wide(None, true).contains('\u{1b}'));
        assert!(!wide(None, false).contains('\u{1b}'));
    }

    #[test]
    fn a_column_that_is_not_there_is_refused_with_those_that_are() {
        let refused = pick(&COLUMNS, &["colour".to_owned()]).err().unwrap();
        assert!(refused.describe().contains("name, chars, in_full"));
    }
}
