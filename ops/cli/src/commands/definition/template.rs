//! `muster template`.

use clap::Args;
use contracts::rest::{DiskSource, SetTemplate, Template, TemplateDisk, TemplateStatus};

use super::{Common, Kind, tags};
use crate::error::Failure;
use crate::output::detail::Detail;
use crate::output::{Cell, Column, Output, Tone, human};
use crate::values;

/// The word that takes a profile away.
const NONE: &str = "none";

#[derive(Debug, Args)]
pub(crate) struct Words {
    /// Image of the library for the disk that machines boot from: SHARE/PATH. With any of --image, --family and --disk all
    /// disks are said anew
    #[arg(long, value_name = "ITEM", conflicts_with = "family")]
    image: Option<String>,
    /// The newest enabled release of this family instead
    #[arg(long)]
    family: Option<String>,
    /// Copy the image whole for each machine instead of writing beside it
    #[arg(long)]
    copy: bool,
    /// A blank disk of this size; can be given several times
    #[arg(long, value_name = "SIZE", value_parser = values::disk_size)]
    disk: Vec<u64>,
    /// Hardware profile: processors, memory, network cards
    #[arg(long, value_name = "PROFILE")]
    hardware_profile: Option<String>,
    /// Guest profile: host name, keys, users, user data; or none
    #[arg(long, value_name = "PROFILE")]
    guest_profile: Option<String>,
    /// What a machine counts for a quota
    #[arg(long, value_name = "POINTS")]
    quota_points: Option<u32>,
    /// Roles whose self-service users may make machines from it; can be given several times
    #[arg(long)]
    role: Vec<String>,
}

pub(crate) struct Templates;

impl Kind for Templates {
    type Shown = Template;
    type Set = SetTemplate;
    type Words = Words;
    const SEGMENT: &'static str = "templates";
    const NOUN: &'static str = "template";
    const NONE: &'static str = "There are no templates.";
    const COLUMNS: &'static [Column<Template>] = &[
        Column::always("name", |t, _| t.name.as_str().into()),
        Column::always("status", |t, _| Cell::new(t.status, tone(t.status))),
        Column::always("image", |t, _| {
            t.disks.first().map_or(String::new(), source).into()
        }),
        Column::always("hardware", |t, _| t.hardware_profile.as_str().into()),
        Column::always("guest", |t, _| {
            t.guest_profile.as_deref().unwrap_or_default().into()
        }),
        Column::always("owner", |t, _| t.owner.as_str().into()),
        Column::always("problem", |t, _| {
            Cell::new(t.problem.as_deref().unwrap_or_default(), Tone::Bad)
        }),
    ];

    fn describe(template: &Template, output: &Output) -> String {
        let mut detail = Detail::default()
            .line("Name", &template.name)
            .line("Id", &template.id)
            .toned("Status", template.status, tone(template.status))
            .toned(
                "Problem",
                template.problem.as_deref().unwrap_or_default(),
                Tone::Bad,
            );
        for (index, disk) in template.disks.iter().enumerate() {
            detail = detail.line(&format!("Disk {index}"), disk_line(disk));
        }
        detail
            .line("Hardware profile", &template.hardware_profile)
            .line(
                "Guest profile",
                template.guest_profile.as_deref().unwrap_or_default(),
            )
            .line("Quota points", template.quota_points)
            .line("Roles", template.roles.join(", "))
            .line("Owner", &template.owner)
            .line("Tags", tags(&template.tags))
            .line("Description", &template.description)
            .line("Version", template.version)
            .line("Changed", human::moment(template.changed, output.now))
            .render()
    }

    fn apply(words: Words, set: &mut SetTemplate) -> Result<(), Failure> {
        let source = words.copy.then_some(DiskSource::Copy);
        let first = (words.image.is_some() || words.family.is_some()).then_some(TemplateDisk {
            image: words.image,
            family: words.family,
            source,
            size_bytes: None,
        });
        if words.copy && first.is_none() {
            let message = "--copy goes with --image or --family.";
            return Err(Failure::Usage(message.to_owned()));
        }
        let blank = words.disk.into_iter().map(|size| TemplateDisk {
            size_bytes: Some(size),
            ..TemplateDisk::default()
        });
        let disks: Vec<TemplateDisk> = first.into_iter().chain(blank).collect();
        if !disks.is_empty() {
            set.disks = disks;
        }
        if let Some(profile) = words.hardware_profile {
            set.hardware_profile = profile;
        }
        if let Some(profile) = words.guest_profile {
            set.guest_profile = (profile != NONE).then_some(profile);
        }
        set.quota_points = words.quota_points.unwrap_or(set.quota_points);
        if !words.role.is_empty() {
            set.roles = words.role;
        }
        Ok(())
    }

    fn common(set: &mut SetTemplate) -> Common<'_> {
        Common {
            name: &mut set.name,
            version: &mut set.version,
            owner: &mut set.owner,
            description: &mut set.description,
            tags: &mut set.tags,
        }
    }
}

fn tone(status: TemplateStatus) -> Tone {
    match status {
        TemplateStatus::Ok => Tone::Good,
        TemplateStatus::Unusable => Tone::Bad,
        TemplateStatus::Unknown => Tone::Faint,
    }
}

fn source(disk: &TemplateDisk) -> String {
    match (&disk.image, &disk.family) {
        (Some(image), _) => image.clone(),
        (None, Some(family)) => format!("newest of {family}"),
        (None, None) => "blank".to_owned(),
    }
}

fn disk_line(disk: &TemplateDisk) -> String {
    let size = disk.size_bytes.map(human::bytes);
    let how = disk.source.filter(|how| *how == DiskSource::Copy);
    let how = how.map(|how| how.word().to_owned());
    let words = [Some(source(disk)), size, how];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::commands::definition;

    fn written(words: &str, set: &mut SetTemplate) -> Result<(), Failure> {
        let line = ["muster", "template", "edit", "t"];
        let line = line.into_iter().chain(words.split(' '));
        match Cli::try_parse_from(line).unwrap().command {
            Command::Template(definition::Command::Edit(args)) => {
                definition::set_words::<Templates>(set, args)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_said_is_written_and_the_rest_stays() {
        let mut set = SetTemplate {
            hardware_profile: "small".to_owned(),
            guest_profile: Some("web".to_owned()),
            quota_points: 3,
            tags: [("old".to_owned(), "1".to_owned())].into(),
            ..SetTemplate::default()
        };
        written(
            "--family debian --copy --disk 20GiB --tag a=b --untag old",
            &mut set,
        )
        .unwrap();
        assert_eq!(set.disks.len(), 2);
        assert_eq!(set.disks[0].source, Some(DiskSource::Copy));
        assert_eq!(set.disks[1].size_bytes, Some(20 << 30));
        assert_eq!(
            (set.hardware_profile.as_str(), set.quota_points),
            ("small", 3)
        );
        assert_eq!(set.tags, [("a".to_owned(), "b".to_owned())].into());
        written("--guest-profile none", &mut set).unwrap();
        assert_eq!((set.guest_profile.as_deref(), set.disks.len()), (None, 2));
        assert!(written("--copy", &mut set).is_err());
    }

    #[test]
    fn what_is_exported_is_imported_word_for_word() {
        let set = SetTemplate {
            name: "debian".to_owned(),
            disks: vec![TemplateDisk {
                image: Some("images/debian 13: new.qcow2".to_owned()),
                size_bytes: Some(u64::MAX),
                ..TemplateDisk::default()
            }],
            hardware_profile: "no".to_owned(),
            description: "a: b\n# c".to_owned(),
            ..SetTemplate::default()
        };
        let text = crate::output::yaml(&serde_json::to_value(&set).unwrap()).unwrap();
        let read: SetTemplate = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, set, "{text}");
        let misspelt = text.replace("hardware_profile", "hardware");
        let refused = serde_saphyr::from_str::<SetTemplate>(&misspelt).unwrap_err();
        assert!(refused.to_string().contains("hardware"), "{refused}");
    }
}
