//! `muster vm store`, `muster vm deploy` and `muster vm make-template`.

use clap::Args;
use contracts::rest::{DeployVm, MakeTemplate, StoreVm};
use reqwest::Method;

use crate::change::make;
use crate::cli::ChangeArgs;
use crate::client::Request;
use crate::commands::Session;
use crate::error::{Exit, Failure};
use crate::values;

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Name or id of the machine; it must be stopped
    #[arg(value_parser = values::object)]
    vm: String,
    /// Share of the library that it is stored in
    #[arg(long)]
    share: String,
    /// Folder below the share that it becomes; the one above it is there [default: the machine's name]
    #[arg(long, value_name = "PATH")]
    to: Option<String>,
    /// Leave the machine where it is, too
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TemplateArgs {
    /// Name or id of the machine; it must be stopped
    #[arg(value_parser = values::object)]
    vm: String,
    /// Name of the template, and of its hardware profile
    name: String,
    /// Share of the library that its disks are stored in
    #[arg(long)]
    share: String,
    /// Folder below the share that they lie in; the one above it is there [default: the template's name]
    #[arg(long, value_name = "PATH")]
    to: Option<String>,
    /// Who owns it [default: who asks]
    #[arg(long)]
    owner: Option<String>,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// Stored machine, OVF, OVA or definition of libvirt, or the folder of one, as SHARE/PATH; or an item by its id
    item: String,
    /// Name of the machine: letters, digits and hyphens [default: the one it had]
    #[arg(long, value_parser = values::vm_name)]
    name: Option<String>,
    /// Who owns it [default: who did; of an imported one, who asks]
    #[arg(long)]
    owner: Option<String>,
    /// Only on this host [default: the best one]
    #[arg(long, value_parser = values::object)]
    host: Option<String>,
    /// Only on hosts of this group and below
    #[arg(long, value_parser = values::object)]
    group: Option<String>,
    /// Datastore of the host [default: the largest that has room]
    #[arg(long)]
    datastore: Option<String>,
    /// Start it once it is there
    #[arg(long)]
    start: bool,
    /// Start it, and be done only when its guest answers
    #[arg(long)]
    wait_guest: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn store(session: &Session, args: StoreArgs) -> Result<Exit, Failure> {
    let body = StoreVm {
        share: args.share,
        path: args.to,
        keep: args.keep,
    };
    let segments = ["vms", &args.vm, "actions", "store"];
    let change = Request::change(Method::POST, &segments).body(&body)?;
    make(session, vec![change], &args.change).await
}

pub(super) async fn make_template(session: &Session, args: TemplateArgs) -> Result<Exit, Failure> {
    let body = MakeTemplate {
        name: args.name,
        share: args.share,
        path: args.to,
        owner: args.owner,
        description: args.description,
    };
    let segments = ["vms", &args.vm, "actions", "make-template"];
    let change = Request::change(Method::POST, &segments).body(&body)?;
    make(session, vec![change], &args.change).await
}

pub(super) async fn deploy(session: &Session, args: DeployArgs) -> Result<Exit, Failure> {
    let segments = ["library", "items", &args.item, "actions", "deploy"];
    let change = Request::change(Method::POST, &segments).body(&request(&args))?;
    make(session, vec![change], &args.change).await
}

fn request(args: &DeployArgs) -> DeployVm {
    DeployVm {
        name: args.name.clone(),
        owner: args.owner.clone(),
        group: args.group.clone(),
        host: args.host.clone(),
        datastore: args.datastore.clone(),
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
            let line = ["muster", "vm", "deploy"]
                .into_iter()
                .chain(words.split(' '));
            match Cli::try_parse_from(line).unwrap().command {
                Command::Vm(vm::Command::Deploy(args)) => request(&args),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(asked("images/web-01"), DeployVm::default());
        let line = ["muster", "vm", "import", "images/web.ova"];
        let imported = Cli::try_parse_from(line).unwrap().command;
        assert!(matches!(imported, Command::Vm(vm::Command::Deploy(_))));
        let body = asked("images/web-01 --name web-02 --host host-2 --wait-guest");
        assert!(body.start && body.wait_for_guest);
        assert_eq!(body.name.as_deref(), Some("web-02"));
        assert_eq!(body.host.as_deref(), Some("host-2"));
    }
}
