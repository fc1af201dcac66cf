//! `muster profile guest`.

use clap::Args;
use contracts::rest::{GuestProfile, GuestUser, SetGuestProfile};

use super::{Common, Kind, tags};
use crate::error::Failure;
use crate::output::detail::Detail;
use crate::output::{Column, Output, human};
use crate::values;

/// The word that takes something away.
const NONE: &str = "none";

#[derive(Debug, Args)]
pub(crate) struct Words {
    /// What guests are called; {name} stands for the machine's name [default: {name}]
    #[arg(long, value_name = "PATTERN")]
    host_name: Option<String>,
    /// Public key for the user that the image comes with, or a file with keys; can be given several times
    #[arg(long, value_name = "KEY", value_parser = values::ssh_keys)]
    ssh_key: Vec<values::Lines>,
    /// A user to be made, with a public key or a file with keys; can be given several times
    #[arg(long, value_name = "NAME=KEY", value_parser = values::user)]
    user: Vec<(String, values::Lines)>,
    /// One of these users who may become root; can be given several times
    #[arg(long, value_name = "NAME")]
    administrator: Vec<String>,
    /// As in the tz database, or none
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// File with what cloud-init takes, or none; - is the standard input
    #[arg(long, value_name = "FILE", conflicts_with = "answer_file")]
    user_data: Option<String>,
    /// Answer file of the library as user data: SHARE/PATH, or none
    #[arg(long, value_name = "ITEM")]
    answer_file: Option<String>,
}

pub(crate) struct GuestProfiles;

impl Kind for GuestProfiles {
    type Shown = GuestProfile;
    type Set = SetGuestProfile;
    type Words = Words;
    const SEGMENT: &'static str = "guest-profiles";
    const NOUN: &'static str = "guest_profile";
    const NONE: &'static str = "There are no guest profiles.";
    const COLUMNS: &'static [Column<GuestProfile>] = &[
        Column::always("name", |p, _| p.name.as_str().into()),
        Column::always("host_name", |p, _| p.host_name.as_str().into()),
        Column::always("keys", |p, _| p.ssh_keys.len().into()),
        Column::always("users", |p, _| users(&p.users).into()),
        Column::always("user_data", |p, _| user_data(p).into()),
        Column::always("owner", |p, _| p.owner.as_str().into()),
    ];

    fn describe(profile: &GuestProfile, output: &Output) -> String {
        let mut detail = Detail::default()
            .line("Name", &profile.name)
            .line("Id", &profile.id)
            .line("Host name", &profile.host_name);
        for key in &profile.ssh_keys {
            detail = detail.line("SSH key", key);
        }
        detail
            .line("Users", users(&profile.users))
            .line(
                "Time zone",
                profile.time_zone.as_deref().unwrap_or_default(),
            )
            .line("User data", user_data(profile))
            .line("Owner", &profile.owner)
            .line("Tags", tags(&profile.tags))
            .line("Description", &profile.description)
            .line("Version", profile.version)
            .line("Changed", human::moment(profile.changed, output.now))
            .render()
    }

    fn apply(words: Words, set: &mut SetGuestProfile) -> Result<(), Failure> {
        if words.host_name.is_some() {
            set.host_name = words.host_name;
        }
        if !words.ssh_key.is_empty() {
            set.ssh_keys = words.ssh_key.into_iter().flat_map(|keys| keys.0).collect();
        }
        if !words.user.is_empty() {
            let user = |(name, keys): (String, values::Lines)| GuestUser {
                name,
                ssh_keys: keys.0,
                administrator: false,
            };
            set.users = words.user.into_iter().map(user).collect();
        }
        for name in &words.administrator {
            let user = set.users.iter_mut().find(|user| user.name == *name);
            let unknown = || Failure::Usage(format!("--administrator {name} is no --user."));
            user.ok_or_else(unknown)?.administrator = true;
        }
        if let Some(zone) = words.time_zone {
            set.time_zone = (zone != NONE).then_some(zone);
        }
        if let Some(item) = words.answer_file {
            set.user_data = None;
            set.answer_file = (item != NONE).then_some(item);
        }
        if let Some(file) = words.user_data {
            set.answer_file = None;
            set.user_data = match file.as_str() {
                NONE => None,
                file => Some(values::read_file(file).map_err(Failure::Usage)?),
            };
        }
        Ok(())
    }

    fn common(set: &mut SetGuestProfile) -> Common<'_> {
        Common {
            name: &mut set.name,
            version: &mut set.version,
            owner: &mut set.owner,
            description: &mut set.description,
            tags: &mut set.tags,
        }
    }
}

fn users(users: &[GuestUser]) -> String {
    let names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
    names.join(", ")
}

/// Where it comes from. What it says may be secret, and is written by `export` only.
fn user_data(profile: &GuestProfile) -> String {
    match (&profile.answer_file, profile.has_user_data) {
        (Some(file), _) => file.clone(),
        (None, true) => "its own".to_owned(),
        (None, false) => String::new(),
    }
}
