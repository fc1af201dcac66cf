//! One object, told line by line.

use super::table::Tone;
use super::tame;

/// Label and value; lines without a value are left out.
#[derive(Default)]
pub(crate) struct Detail {
    lines: Vec<(String, String, Tone)>,
}

impl Detail {
    pub(crate) fn line(self, label: &str, value: impl ToString) -> Self {
        self.toned(label, value, Tone::Plain)
    }

    pub(crate) fn toned(mut self, label: &str, value: impl ToString, tone: Tone) -> Self {
        let value = tame(&value.to_string());
        if !value.is_empty() {
            self.lines.push((label.to_owned(), value, tone));
        }
        self
    }

    pub(crate) fn render(&self) -> String {
        let longest = self
            .lines
            .iter()
            .map(|(label, _, _)| label.chars().count())
            .max();
        let width = longest.unwrap_or(0) + 2;
        self.lines
            .iter()
            .map(|(label, value, tone)| format!("{label:width$}{}\n", paint(value, *tone)))
            .collect()
    }
}

/// A text in its colour, where colours are shown at all.
pub(crate) fn paint(text: &str, tone: Tone) -> String {
    let styled = console::style(text);
    match tone {
        Tone::Plain => styled,
        Tone::Good => styled.green(),
        Tone::Busy => styled.yellow(),
        Tone::Bad => styled.red(),
        Tone::Faint => styled.dim(),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_below_each_other_and_empty_ones_are_left_out() {
        let detail = Detail::default()
            .line("Name", "web-01")
            .line("Owner", "")
            .line("Memory", "4 GiB");
        assert_eq!(detail.render(), "Name    web-01\nMemory  4 GiB\n");
    }
}
