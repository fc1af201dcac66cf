//! `muster status`.

use contracts::rest::{Counts, Status};

use super::{Session, show};
use crate::error::{Exit, Failure};
use crate::output::Output;
use crate::output::detail::Detail;

pub(super) async fn run(session: &Session) -> Result<Exit, Failure> {
    show(session, "status", &["status"], describe).await
}

fn describe(status: &Status, _output: &Output) -> String {
    let agents = status.versions.agents.iter();
    let agents: Vec<String> = agents
        .map(|(version, count)| format!("{version} on {count}"))
        .collect();
    Detail::default()
        .line(
            "Muster",
            format!("{} (gateway {})", status.versions.gateway, status.instance),
        )
        .line("Agents", agents.join(", "))
        .line("Groups", status.host_groups)
        .line("Hosts", counts(&status.hosts))
        .line("Machines", counts(&status.vms))
        .line("Jobs", counts(&status.jobs))
        .render()
}

/// `3: 2 responding, 1 not responding`.
fn counts(counts: &Counts) -> String {
    let parts = counts.by_state.iter().filter(|(_, count)| **count > 0);
    let parts: Vec<String> = parts
        .map(|(state, count)| format!("{count} {}", state.replace('_', " ")))
        .collect();
    match parts.is_empty() {
        true => counts.total.to_string(),
        false => format!("{}: {}", counts.total, parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_by_state() {
        let mut some = Counts::default();
        assert_eq!(counts(&some), "0");
        some.total = 3;
        some.by_state = [
            ("not_responding".to_owned(), 1),
            ("responding".to_owned(), 2),
            ("x".to_owned(), 0),
        ]
        .into();
        assert_eq!(counts(&some), "3: 1 not responding, 2 responding");
    }
}
