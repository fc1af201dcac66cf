//! What people and programs get to read.

pub(crate) mod detail;
pub(crate) mod human;
mod job;
mod stars;
mod table;

use std::io::{ErrorKind, IsTerminal, Write};

use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::Value;

pub(crate) use job::{
    job_detail, job_result, job_table, job_time, job_title, job_tone, plan, rating_table,
    steps_table,
};
pub(crate) use table::{Cell, Column, Tone, pick};

use crate::error::Failure;

/// Width of a terminal that does not tell its own.
const WIDTH_DEFAULT: u16 = 80;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// The objects as the API has them.
    Json,
    /// The same as YAML.
    Yaml,
    /// `vm/web-01`, one a line.
    Name,
}

/// Where output goes, and how.
pub(crate) struct Output {
    pub(crate) format: Format,
    /// Of the terminal; `None` when the output goes elsewhere, where nothing is cut or wrapped.
    width: Option<u16>,
    color: bool,
    /// When the command was started: what times are told against.
    pub(crate) now: Timestamp,
}

impl Output {
    pub(crate) fn new(format: Format, no_color: bool) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let wanted = !no_color && colour_is_welcome();
        console::set_colors_enabled(wanted && is_terminal);
        console::set_colors_enabled_stderr(wanted && std::io::stderr().is_terminal());
        let width = console::Term::stdout().size_checked();
        Self {
            format,
            width: is_terminal.then(|| width.map_or(WIDTH_DEFAULT, |(_, columns)| columns)),
            color: wanted && is_terminal,
            now: Timestamp::now(),
        }
    }

    pub(crate) fn is_for_people(&self) -> bool {
        self.format == Format::Table
    }

    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        write(text.as_bytes())
    }

    /// An object or a list as the API has it. Only for the formats that show it whole.
    pub(crate) fn print_value(&self, value: &Value) -> Result<(), Failure> {
        let text = match self.format {
            Format::Yaml => yaml(value)?,
            _ => serde_json::to_string_pretty(value).map_err(|e| {
                Failure::Local(format!("The answer cannot be written as JSON: {e}."))
            })?,
        };
        self.print(&format!("{}\n", text.trim_end()))
    }

    pub(crate) fn table<T>(&self, columns: &[&Column<T>], rows: &[T]) -> String {
        table::render(columns, rows, self)
    }
}

/// Writes to the standard output. A reader that has gone, as `head` does, ends the command quietly.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|e| match e.kind() {
        ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Local(format!("The output cannot be written: {}.", human::io(&e))),
    })
}

/// A text from elsewhere, without what would steer the terminal: guests and users choose their own names and words.
pub(crate) fn tame(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A word to the person, apart from the output. Nobody to hear it is no reason to stop.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Why the command ends as it does.
pub(crate) fn complain(failure: &Failure) {
    let text: Vec<String> = failure.describe().lines().map(tame).collect();
    if !text.is_empty() {
        let text = text.join("\n");
        let label = console::style("error:").for_stderr().red().bold();
        note(&format!("{label} {text}"));
    }
}

/// `NO_COLOR` set to anything says no, as <https://no-color.org> has it.
fn colour_is_welcome() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !no_color && !dumb
}

pub(crate) fn yaml(value: &Value) -> Result<String, Failure> {
    serde_saphyr::to_string(value)
        .map_err(|e| Failure::Local(format!("The answer cannot be written as YAML: {e}.")))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A job as the API has it; its second step runs when the job does.
    pub(crate) fn job_value(state: &str) -> Value {
        let step = |name: &str, state: &str| {
            serde_json::json!({
                "name": name, "state": state, "started": "2026-01-31T12:00:00Z", "ended": null,
                "attempts": 1, "message": "",
            })
        };
        let second = if state == "running" {
            "running"
        } else {
            "pending"
        };
        serde_json::json!({
            "id": "j-1", "kind": "vm_create", "state": state, "owner": "alice",
            "target": {"kind": "vm", "id": "v-1", "name": "web-01"}, "group_id": null, "params": {},
            "steps": [step("choose_host", "done"), step("copy_image", second)],
            "progress_percent": 40, "message": "", "problem": null,
            "created": "2026-01-31T12:00:00Z", "started": null, "ended": null,
            "cancel_requested": false, "cancelled_by": null, "parent_id": null,
            "waits_for_job_id": null, "runner": null, "restarts": 0, "changes": [], "ratings": [],
        })
    }

    #[test]
    fn no_text_steers_the_terminal() {
        assert_eq!(tame("a\u{1b}]0;x\u{7}b\nc\u{9b}d ★"), "a ]0;x b c d ★");
    }

    #[test]
    fn yaml_keeps_text_text_and_numbers_exact() {
        let value = serde_json::json!({
            "owner": "no", "version": "1.10", "null": "null", "empty": "", "time": "2026-01-31T12:00:00Z",
            "bytes": 18_446_744_073_709_551_615u64, "stars": 4.5, "none": null, "list": [], "tags": {},
            "lines": "a: b\n# c", "items": [{"name": "web-01"}],
        });
        let text = yaml(&value).unwrap();
        for line in [
            "version: \"1.10\"",
            "bytes: 18446744073709551615",
            "stars: 4.5",
            "none: null",
            "list: []",
            "tags: {}",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(
            !text.contains("owner: no\n") && !text.contains("empty: \n"),
            "{text}"
        );
    }
}
