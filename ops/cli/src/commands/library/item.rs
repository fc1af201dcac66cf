//! `muster library item`.

use clap::{Args, Subcommand};
use contracts::rest::{ConvertItem, LibraryItem, LibraryItemList, UpdateLibraryItem};
use reqwest::Method;
use serde_json::{Value, json};

use super::{done, got, table, understood};
use crate::change::make;
use crate::cli::ChangeArgs;
use crate::client::Request;
use crate::commands::{Session, show, tell};
use crate::error::{Exit, Failure};
use crate::output::detail::Detail;
use crate::output::{Column, Output, human};
use crate::values;

/// Items that are asked for at a time.
const PAGE: u32 = 1_000;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List items
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show one item
    Show(ItemArg),
    /// Say whose an item is, what it is, of which family, and whether it may be used
    #[command(visible_alias = "set")]
    Update(UpdateArgs),
    /// Make a disk of another format of one, in the same share
    Convert(ConvertArgs),
    /// Forget an item whose file is missing
    #[command(visible_alias = "rm")]
    Remove(ItemArg),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only of this share
    #[arg(long)]
    share: Option<String>,
    /// Only of this kind: virtual_disk, iso, floppy, script, answer_file, ovf, ova, stored_vm or libvirt_domain
    #[arg(long)]
    kind: Option<String>,
    /// Only of this status: ok, disabled, missing or changed_in_use
    #[arg(long)]
    status: Option<String>,
    /// Only of this family
    #[arg(long)]
    family: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ItemArg {
    /// Id of the item, or SHARE/PATH
    item: String,
}

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// Id of the item, or SHARE/PATH
    item: String,
    /// qcow2, raw, vhd, vhdx or vmdk
    #[arg(long)]
    format: String,
    /// Where it is to be, below the share [default: beside the other, with the ending of the format]
    #[arg(long, value_name = "PATH")]
    to: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Id of the item, or SHARE/PATH
    item: String,
    #[arg(long)]
    owner: Option<String>,
    /// Operating system
    #[arg(long)]
    os: Option<String>,
    #[arg(long)]
    description: Option<String>,
    /// Images of one family follow each other
    #[arg(long)]
    family: Option<String>,
    #[arg(long)]
    release: Option<String>,
    /// Set a tag; can be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::tag)]
    tag: Vec<(String, String)>,
    /// Take a tag away; can be given several times
    #[arg(long, value_name = "KEY")]
    remove_tag: Vec<String>,
    /// Do not use it for anything new
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Let it be used again, and take a file that was changed in use as it is now
    #[arg(long)]
    enable: bool,
}

const COLUMNS: [Column<LibraryItem>; 8] = [
    Column::always("path", |i, _| i.path.as_str().into()),
    Column::always("kind", |i, _| i.kind.word().into()),
    Column::always("status", |i, _| i.status.word().into()),
    Column::always("format", |i, _| i.format.as_str().into()),
    Column::always("size", |i, _| human::bytes(i.file_bytes).into()),
    Column::always("family", |i, _| i.family.as_str().into()),
    Column::always("release", |i, _| i.release.as_str().into()),
    Column::always("id", |i, _| i.id.as_str().into()),
];

pub(crate) async fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List(args) => list(session, args).await,
        Command::Show(which) => {
            let segments = ["library", "items", &which.item];
            show(session, "library_item", &segments, describe).await
        }
        Command::Update(args) => update(session, args).await,
        Command::Convert(args) => convert(session, args).await,
        Command::Remove(which) => {
            let request = Request::change(Method::DELETE, &["library", "items", &which.item]);
            done(session, request, "It is forgotten.").await
        }
    }
}

async fn convert(session: &Session, args: ConvertArgs) -> Result<Exit, Failure> {
    let body = ConvertItem {
        format: args.format,
        path: args.to,
    };
    let segments = ["library", "items", &args.item, "actions", "convert"];
    let change = Request::change(Method::POST, &segments).body(&body)?;
    make(session, vec![change], &args.change).await
}

async fn list(session: &Session, args: ListArgs) -> Result<Exit, Failure> {
    let wanted = [
        ("share", args.share),
        ("kind", args.kind),
        ("status", args.status),
        ("family", args.family),
    ];
    let wanted: Vec<(&'static str, String)> = wanted
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    let mut values: Vec<Value> = Vec::new();
    let mut items: Vec<LibraryItem> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = [("limit", PAGE.to_string())];
        let on = after.take().map(|after| ("after", after));
        let query = wanted.iter().cloned().chain(page).chain(on);
        let request = Request::get(&["library", "items"]).query(query);
        let value = got(session, request).await?;
        let list: LibraryItemList = understood(&value)?;
        let listed = value.get("items").and_then(Value::as_array);
        values.extend(listed.into_iter().flatten().cloned());
        items.extend(list.items);
        after = list.next;
        if after.is_none() {
            break;
        }
    }
    items.sort_by(|a, b| (&a.path, &a.id).cmp(&(&b.path, &b.id)));
    let value = json!({"items": values});
    table(
        session,
        "library_item",
        &value,
        &COLUMNS,
        &items,
        "There are no items.",
    )
}

async fn update(session: &Session, args: UpdateArgs) -> Result<Exit, Failure> {
    let disabled = match (args.disable, args.enable) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let body = UpdateLibraryItem {
        owner: args.owner,
        os: args.os,
        description: args.description,
        set_tags: args.tag.into_iter().collect(),
        remove_tags: args.remove_tag,
        family: args.family,
        release: args.release,
        disabled,
    };
    let request = Request::change(Method::PATCH, &["library", "items", &args.item]).body(&body)?;
    let value = got(session, request).await?;
    tell(session, "library_item", &value, describe)
}

fn describe(item: &LibraryItem, output: &Output) -> String {
    let tags: Vec<String> = item.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
    Detail::default()
        .line("Path", &item.path)
        .line("Id", &item.id)
        .line("Share", &item.share_id)
        .line("Kind", item.kind)
        .line("Status", item.status)
        .line("Format", &item.format)
        .line("Size", human::bytes(item.file_bytes))
        .line(
            "Virtual size",
            item.virtual_bytes.map(human::bytes).unwrap_or_default(),
        )
        .line("Lies on", item.backing_path.as_deref().unwrap_or_default())
        .line("Recognised by", item.identity)
        .line("Modified", human::moment(item.modified, output.now))
        .line("Found", human::moment(item.found, output.now))
        .line(
            "Missing since",
            human::moment(item.missing_since, output.now),
        )
        .line(
            "Changed in use",
            human::moment(item.changed_in_use, output.now),
        )
        .line("Owner", &item.owner)
        .line("OS", &item.os)
        .line("Family", &item.family)
        .line("Release", &item.release)
        .line("Tags", tags.join(", "))
        .line("Description", &item.description)
        .render()
}
