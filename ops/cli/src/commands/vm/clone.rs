//! `muster vm clone`.

use clap::Args;
use contracts::rest::{CloneVm, SetGuest};
use reqwest::Method;

use crate::change::make;
use crate::cli::ChangeArgs;
use crate::client::Request;
use crate::commands::Session;
use crate::error::{Exit, Failure};
use crate::values;

#[derive(Debug, Args)]
pub(crate) struct CloneArgs {
    /// Name or id of the machine to make another of; it must be stopped
    #[arg(value_parser = values::object)]
    source: String,
    /// Name of the new machine: letters, digits and hyphens
    #[arg(value_parser = values::vm_name)]
    name: String,
    /// Share what the disks hold now instead of copying it: instant
    #[arg(long)]
    linked: bool,
    /// What the guest is called; it hears of it when it boots, through a seed of cloud-init
    #[arg(long, value_name = "NAME")]
    host_name: Option<String>,
    /// Public key for the user that the image comes with, or a file with keys; can be given several times
    #[arg(long, value_name = "KEY", value_parser = values::ssh_keys)]
    ssh_key: Vec<values::Lines>,
    /// Who owns it [default: who asks]
    #[arg(long)]
    owner: Option<String>,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// A tag beside those of the other; can be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::tag)]
    tag: Vec<(String, String)>,
    /// Start it once it is made
    #[arg(long)]
    start: bool,
    /// Start it, and be done only when its guest answers
    #[arg(long)]
    wait_guest: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(session: &Session, args: CloneArgs) -> Result<Exit, Failure> {
    let segments = ["vms", &args.source, "actions", "clone"];
    let change = Request::change(Method::POST, &segments).body(&request(&args))?;
    make(session, vec![change], &args.change).await
}

fn request(args: &CloneArgs) -> CloneVm {
    let keys = args.ssh_key.iter().flat_map(|keys| keys.0.clone());
    let guest = SetGuest {
        profile: None,
        host_name: args.host_name.clone(),
        ssh_keys: keys.collect(),
    };
    CloneVm {
        name: args.name.clone(),
        linked: args.linked,
        guest: (guest != SetGuest::default()).then_some(guest),
        owner: args.owner.clone(),
        description: args.description.clone(),
        tags: args.tag.iter().cloned().collect(),
        start: args.start || args.wait_guest,
        wait_for_guest: args.wait_guest,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::commands::vm;

    #[test]
    fn everything_that_is_said_is_asked_for() {
        let asked = |words: &str| {
            let line = ["muster", "vm", "clone"]
                .into_iter()
                .chain(words.split(' '));
            match Cli::try_parse_from(line).unwrap().command {
                Command::Vm(vm::Command::Clone(args)) => request(&args),
                other => panic!("{other:?}"),
            }
        };
        let plain = CloneVm {
            name: "b".to_owned(),
            ..CloneVm::default()
        };
        assert_eq!(asked("a b"), plain);
        let body = asked("a b --linked --host-name b.example.org --tag x=1 --wait-guest");
        assert!(body.linked && body.start && body.wait_for_guest);
        assert_eq!(
            body.guest.unwrap().host_name.as_deref(),
            Some("b.example.org")
        );
        assert_eq!(body.tags.len(), 1);
    }
}
