//! What is defined in the library by name: templates and profiles. Each kind has its words in a file of its own; what is
//! done with them is the same.

pub(crate) mod guest_profile;
pub(crate) mod hardware_profile;
pub(crate) mod template;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::library::{done, got, table, understood};
use super::{Session, show, tell};
use crate::client::Request;
use crate::error::{Exit, Failure};
use crate::output::{Column, Output, yaml};
use crate::values;

/// One kind of them.
pub(crate) trait Kind: Sized + 'static {
    /// As it is shown.
    type Shown: DeserializeOwned + Into<Self::Set> + 'static;
    /// As it is written.
    type Set: Serialize + DeserializeOwned + Default;
    /// What is said of it on the command line.
    type Words: Args;
    /// In addresses.
    const SEGMENT: &'static str;
    const NOUN: &'static str;
    const COLUMNS: &'static [Column<Self::Shown>];
    const NONE: &'static str;

    fn describe(shown: &Self::Shown, output: &Output) -> String;

    /// Takes over what was said; the rest stays.
    fn apply(words: Self::Words, set: &mut Self::Set) -> Result<(), Failure>;

    fn common(set: &mut Self::Set) -> Common<'_>;
}

/// What all of them have.
pub(crate) struct Common<'a> {
    pub(crate) name: &'a mut String,
    pub(crate) version: &'a mut Option<u64>,
    pub(crate) owner: &'a mut Option<String>,
    pub(crate) description: &'a mut String,
    pub(crate) tags: &'a mut BTreeMap<String, String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command<W: Args> {
    /// Make one
    Create(WriteArgs<W>),
    /// List all of them
    #[command(visible_alias = "ls")]
    List,
    /// Show one
    Show(Which),
    /// Change one; what is not said stays
    Edit(WriteArgs<W>),
    /// Make one like another
    Copy(CopyArgs),
    /// Write one as YAML, to be kept in a file and imported again
    Export(Which),
    /// Make one from a file
    Import(ImportArgs),
    /// Forget one
    #[command(visible_alias = "rm")]
    Delete(Which),
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Name or id
    #[arg(value_parser = values::object)]
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct WriteArgs<W: Args> {
    /// Its name
    #[arg(value_parser = values::object)]
    name: String,
    /// Whose it is [default: who makes it]
    #[arg(long)]
    owner: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Set a tag; can be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::tag)]
    tag: Vec<(String, String)>,
    /// Take a tag away; can be given several times
    #[arg(long, value_name = "KEY")]
    untag: Vec<String>,
    #[command(flatten)]
    words: W,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// Name or id
    #[arg(value_parser = values::object)]
    name: String,
    /// Name of the copy
    #[arg(value_parser = values::object)]
    copy: String,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// File as `export` writes it; - is the standard input
    file: String,
    /// Put it in the place of the one of its name
    #[arg(long)]
    replace: bool,
}

pub(crate) async fn run<K: Kind>(
    session: &Session,
    command: Command<K::Words>,
) -> Result<Exit, Failure> {
    match command {
        Command::Create(args) => {
            let mut set = K::Set::default();
            set_words::<K>(&mut set, args)?;
            create::<K>(session, &set).await
        }
        Command::List => {
            let value = got(session, Request::get(&[K::SEGMENT])).await?;
            let items = value.get("items").cloned().unwrap_or_default();
            let items: Vec<K::Shown> = understood(&items)?;
            table(session, K::NOUN, &value, K::COLUMNS, &items, K::NONE)
        }
        Command::Show(which) => {
            show(session, K::NOUN, &[K::SEGMENT, &which.name], K::describe).await
        }
        Command::Edit(args) => {
            let name = args.name.clone();
            let mut set = as_set::<K>(session, &name).await?;
            // It is written as it is; the name may have been an id.
            let args = WriteArgs {
                name: std::mem::take(K::common(&mut set).name),
                ..args
            };
            set_words::<K>(&mut set, args)?;
            replace::<K>(session, &name, &set).await
        }
        Command::Copy(args) => {
            let mut set = as_set::<K>(session, &args.name).await?;
            let common = K::common(&mut set);
            *common.name = args.copy;
            *common.version = None;
            create::<K>(session, &set).await
        }
        Command::Export(which) => {
            let mut set = as_set::<K>(session, &which.name).await?;
            *K::common(&mut set).version = None;
            let value = serde_json::to_value(&set).map_err(crate::client::not_understood)?;
            session.output.print(&yaml(&value)?)?;
            Ok(Exit::Done)
        }
        Command::Import(args) => import::<K>(session, args).await,
        Command::Delete(which) => {
            let request = Request::change(Method::DELETE, &[K::SEGMENT, &which.name]);
            done(session, request, "It is forgotten.").await
        }
    }
}

fn set_words<K: Kind>(set: &mut K::Set, args: WriteArgs<K::Words>) -> Result<(), Failure> {
    let common = K::common(set);
    *common.name = args.name;
    if args.owner.is_some() {
        *common.owner = args.owner;
    }
    if let Some(description) = args.description {
        *common.description = description;
    }
    common.tags.extend(args.tag);
    for key in &args.untag {
        common.tags.remove(key);
    }
    K::apply(args.words, set)
}

/// One that there is, as it would be written.
async fn as_set<K: Kind>(session: &Session, name: &str) -> Result<K::Set, Failure> {
    let value = got(session, Request::get(&[K::SEGMENT, name])).await?;
    Ok(understood::<K::Shown>(&value)?.into())
}

async fn create<K: Kind>(session: &Session, set: &K::Set) -> Result<Exit, Failure> {
    let request = Request::change(Method::POST, &[K::SEGMENT]).body(set)?;
    told::<K>(session, got(session, request).await?)
}

async fn replace<K: Kind>(session: &Session, name: &str, set: &K::Set) -> Result<Exit, Failure> {
    let request = Request::change(Method::PUT, &[K::SEGMENT, name]).body(set)?;
    told::<K>(session, got(session, request).await?)
}

fn told<K: Kind>(session: &Session, value: Value) -> Result<Exit, Failure> {
    tell(session, K::NOUN, &value, K::describe)
}

async fn import<K: Kind>(session: &Session, args: ImportArgs) -> Result<Exit, Failure> {
    let text = values::read_file(&args.file).map_err(Failure::Usage)?;
    let mut set: K::Set = serde_saphyr::from_str(&text).map_err(|error| {
        Failure::Usage(format!("{} is not as it should be: {error}", args.file))
    })?;
    if !args.replace {
        return create::<K>(session, &set).await;
    }
    let name = K::common(&mut set).name.clone();
    replace::<K>(session, &name, &set).await
}

fn tags(tags: &BTreeMap<String, String>) -> String {
    let tags: Vec<String> = tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
    tags.join(", ")
}
