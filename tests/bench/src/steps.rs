//! Where the time of a job goes.

use std::time::Duration;

use serde_json::Value;

use crate::muster::text;
use crate::table::{Report, Samples, millis};

/// How long each step of the jobs took, by the jobs' own records.
#[derive(Default)]
pub(crate) struct Steps(Vec<(String, Samples)>);

impl Steps {
    pub(crate) fn note(&mut self, job: &Value) -> anyhow::Result<()> {
        self.push(
            "until a runner has it",
            between(job, "/created", "/started")?,
        );
        let steps = job.pointer("/steps").and_then(Value::as_array);
        for step in steps.into_iter().flatten() {
            if text(step, "/state")? == "done" {
                self.push(text(step, "/name")?, between(step, "/started", "/ended")?);
            }
        }
        self.push("all", between(job, "/created", "/ended")?);
        Ok(())
    }

    fn push(&mut self, name: &str, took: Duration) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, samples)) => samples.push(took),
            None => {
                let mut samples = Samples::default();
                samples.push(took);
                self.0.push((name.to_owned(), samples));
            }
        }
    }

    pub(crate) fn report(self, title: &'static str) -> Report {
        let mut report = Report::new(title, &["step", "median", "p90"]);
        for (name, mut samples) in self.0 {
            report.row([
                name,
                millis(samples.quantile(0.5)),
                millis(samples.quantile(0.9)),
            ]);
        }
        report
    }
}

pub(crate) fn between(job: &Value, from: &str, to: &str) -> anyhow::Result<Duration> {
    let time = |pointer| -> anyhow::Result<jiff::Timestamp> { Ok(text(job, pointer)?.parse()?) };
    Ok(time(from)?.duration_until(time(to)?).try_into()?)
}
