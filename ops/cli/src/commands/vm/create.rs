//! `muster vm create`.

use std::time::Duration;

use clap::Args;
use contracts::rest::{CreateVm, DiskSource, NewDisk, NewNetworkCard, Placing, SetGuest};
use reqwest::Method;

use crate::change::make;
use crate::cli::ChangeArgs;
use crate::client::Request;
use crate::commands::Session;
use crate::commands::firmware::FirmwareArgs;
use crate::error::{Exit, Failure};
use crate::values;

/// Memory of a machine when nothing is said.
const MEMORY_BYTES: u64 = 128 << 20;

/// Stands for the number of a machine, where several are made.
const NUMBER: &str = "{n}";

/// The word that asks for no network card at all.
const NO_NETWORK: &str = "none";

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Name of the new machine: letters, digits and hyphens
    name: String,
    /// Image for the first disk, as hosts list it: FILE or DATASTORE/FILE
    #[arg(long)]
    image: Option<String>,
    /// Copy the image whole instead of writing beside it
    #[arg(long, requires = "image")]
    copy: bool,
    /// Template of the library; what else is said goes before it
    #[arg(long, conflicts_with = "image")]
    template: Option<String>,
    /// So many machines, each by a job of its own; {n} in the name stands for their numbers, from 1
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: Option<u32>,
    /// What the guest is called [default: as the template says, or as the machine]
    #[arg(long, value_name = "NAME")]
    host_name: Option<String>,
    /// Public key for the user that the image comes with, or a file with keys; can be given several times
    #[arg(long, value_name = "KEY", value_parser = values::ssh_keys)]
    ssh_key: Vec<values::Lines>,
    /// Guest profile instead of the template's
    #[arg(long, value_name = "PROFILE", requires = "template")]
    guest_profile: Option<String>,
    /// Virtual processors [default: 1, or those of the template]
    #[arg(long, value_parser = values::cpus)]
    cpus: Option<u32>,
    /// Memory [default: 128MiB, or that of the template]
    #[arg(long, value_name = "SIZE", value_parser = values::memory)]
    memory: Option<u64>,
    /// A blank disk of this size; can be given several times
    #[arg(long, value_name = "SIZE", value_parser = values::disk_size)]
    disk: Vec<u64>,
    /// Network for a card, or none; can be given several times [default: user]
    #[arg(long)]
    network: Vec<String>,
    /// Only this host [default: the one that suits best]
    #[arg(long)]
    host: Option<String>,
    /// Only hosts of this group and below
    #[arg(long)]
    group: Option<String>,
    /// Datastore of the host [default: the one with most room]
    #[arg(long)]
    datastore: Option<String>,
    /// Who owns it [default: who asks]
    #[arg(long)]
    owner: Option<String>,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// A tag; can be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::tag)]
    tag: Vec<(String, String)>,
    /// Start it once it is made
    #[arg(long)]
    start: bool,
    /// Start it, and be done only when its guest answers
    #[arg(long)]
    wait_guest: bool,
    /// A tag that the host must have; can be given several times
    #[arg(long, value_name = "TAG")]
    host_tag: Vec<String>,
    /// A tag that the datastore must have; can be given several times
    #[arg(long, value_name = "TAG")]
    datastore_tag: Vec<String>,
    /// How long it is expected to stay, such as 12h; counts where machines are packed [default: what was learned]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    expected_stay: Option<Duration>,
    #[command(flatten)]
    firmware: FirmwareArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(session: &Session, args: CreateArgs) -> Result<Exit, Failure> {
    let mut changes = Vec::new();
    for name in names(&args)? {
        let body = CreateVm {
            name,
            ..request(&args)?
        };
        changes.push(Request::change(Method::POST, &["vms"]).body(&body)?);
    }
    make(session, changes, &args.change).await
}

/// The names of the machines that are wanted.
fn names(args: &CreateArgs) -> Result<Vec<String>, Failure> {
    let has_place = args.name.contains(NUMBER);
    let names: Vec<String> = match args.count {
        None if has_place => {
            let message = "A name with {n} is for several machines: say how many with --count.";
            return Err(Failure::Usage(message.to_owned()));
        }
        None => vec![args.name.clone()],
        Some(_) if !has_place => {
            let message = "--count needs a name with {n} in it, like web-{n}.";
            return Err(Failure::Usage(message.to_owned()));
        }
        Some(count) => (1..=count)
            .map(|number| args.name.replace(NUMBER, &number.to_string()))
            .collect(),
    };
    for name in &names {
        values::vm_name(name).map_err(Failure::Usage)?;
    }
    Ok(names)
}

fn request(args: &CreateArgs) -> Result<CreateVm, Failure> {
    Ok(CreateVm {
        name: args.name.clone(),
        template: args.template.clone(),
        guest: guest(args),
        vcpus: args.cpus,
        memory_bytes: match args.template {
            Some(_) => args.memory,
            None => args.memory.or(Some(MEMORY_BYTES)),
        },
        disks: disks(args),
        network_cards: cards(&args.network)?,
        firmware: args.firmware.firmware.map(Into::into),
        boot_order: args.firmware.order(),
        owner: args.owner.clone(),
        description: args.description.clone(),
        tags: args.tag.iter().cloned().collect(),
        group: args.group.clone(),
        host: args.host.clone(),
        datastore: args.datastore.clone(),
        start: args.start || args.wait_guest,
        wait_for_guest: args.wait_guest,
        placing: Placing {
            host_tags: args.host_tag.clone(),
            datastore_tags: args.datastore_tag.clone(),
            expected_stay_secs: args.expected_stay.map(|stay| stay.as_secs()),
            ..Placing::default()
        },
    })
}

fn guest(args: &CreateArgs) -> Option<SetGuest> {
    let guest = SetGuest {
        profile: args.guest_profile.clone(),
        host_name: args.host_name.clone(),
        ssh_keys: args
            .ssh_key
            .iter()
            .flat_map(|keys| keys.0.clone())
            .collect(),
    };
    (guest != SetGuest::default()).then_some(guest)
}

/// The disk with the image comes first: machines boot from it.
fn disks(args: &CreateArgs) -> Vec<NewDisk> {
    let from_image = args.image.iter().map(|image| NewDisk {
        image: Some(image.clone()),
        source: args.copy.then_some(DiskSource::Copy),
        size_bytes: None,
    });
    let blank = args.disk.iter().map(|size| NewDisk {
        image: None,
        source: None,
        size_bytes: Some(*size),
    });
    from_image.chain(blank).collect()
}

fn cards(networks: &[String]) -> Result<Option<Vec<NewNetworkCard>>, Failure> {
    let card = |network: &String| NewNetworkCard {
        network: network.clone(),
        mac: None,
    };
    match networks {
        [] => Ok(None),
        [one] if one == NO_NETWORK => Ok(Some(Vec::new())),
        some if some.iter().any(|network| network == NO_NETWORK) => Err(Failure::Usage(
            "--network none goes with no other network.".to_owned(),
        )),
        some => Ok(Some(some.iter().map(card).collect())),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::commands::vm;

    fn asked(words: &str) -> CreateVm {
        let line = ["muster", "vm", "create"]
            .into_iter()
            .chain(words.split(' '));
        match Cli::try_parse_from(line).unwrap().command {
            Command::Vm(vm::Command::Create(args)) => request(&args).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_said_is_left_to_muster() {
        let body = asked("web-01 --image guest.qcow2");
        assert_eq!((body.vcpus, body.memory_bytes), (None, Some(128 << 20)));
        assert_eq!((body.template, body.guest), (None, None));
        assert_eq!(body.disks.len(), 1);
        assert_eq!(body.disks[0].source, None);
        assert_eq!(
            (body.network_cards, body.owner, body.host),
            (None, None, None)
        );
        assert!(!body.start && !body.wait_for_guest);
    }

    #[test]
    fn everything_that_is_said_is_asked_for() {
        let body = asked(
            "web-01 --disk 20GiB --image g --copy --disk 1.5T --network user --tag a=1 --tag b=2 --wait-guest",
        );
        let sizes: Vec<_> = body.disks.iter().map(|disk| disk.size_bytes).collect();
        assert_eq!(sizes, [None, Some(20 << 30), Some(3 << 39)]);
        assert_eq!(body.disks[0].source, Some(DiskSource::Copy));
        assert_eq!(body.network_cards.unwrap()[0].network, "user");
        assert_eq!(body.tags.len(), 2);
        assert!(body.start && body.wait_for_guest);
    }

    #[test]
    fn beside_a_template_only_what_is_said_is_asked_for() {
        let key = "ssh-ed25519 AAAAC3Nz";
        let line = ["muster", "vm", "create", "web-{n}", "--template", "debian"];
        let more = ["--ssh-key", key, "--count", "3"];
        let args = match Cli::try_parse_from(line.into_iter().chain(more))
            .unwrap()
            .command
        {
            Command::Vm(vm::Command::Create(args)) => *args,
            other => panic!("{other:?}"),
        };
        assert_eq!(names(&args).unwrap(), ["web-1", "web-2", "web-3"]);
        let body = request(&args).unwrap();
        assert_eq!((body.vcpus, body.memory_bytes), (None, None));
        assert_eq!(body.template.as_deref(), Some("debian"));
        assert_eq!(body.guest.unwrap().ssh_keys, [key]);
    }

    #[test]
    fn several_machines_have_several_names() {
        let refused = |words: &str| {
            let line = ["muster", "vm", "create"]
                .into_iter()
                .chain(words.split(' '));
            match Cli::try_parse_from(line).unwrap().command {
                Command::Vm(vm::Command::Create(args)) => names(&args).is_err(),
                other => panic!("{other:?}"),
            }
        };
        assert!(refused("web --count 2") && refused("web-{n}") && refused("a.{n} --count 2"));
        assert!(!refused("web-{n} --count 2"));
    }

    #[test]
    fn no_network_is_said_alone() {
        assert_eq!(
            asked("web-01 --network none").network_cards,
            Some(Vec::new())
        );
        assert!(cards(&["none".to_owned(), "user".to_owned()]).is_err());
    }
}
