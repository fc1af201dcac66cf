//! `muster image`.

use clap::{Args, Subcommand};
use contracts::rest::{CopyImage, DeleteImage, SetThrottle};
use reqwest::Method;

use super::Session;
use crate::change::make;
use crate::cli::ChangeArgs;
use crate::client::Request;
use crate::error::{Exit, Failure};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copy an image to another host or datastore
    #[command(visible_alias = "cp")]
    Copy(CopyArgs),
    /// Remove an image from a host; one that is needed is refused
    #[command(visible_alias = "rm")]
    Delete(DeleteArgs),
    /// Limit how fast the file of a copy job travels
    Throttle(ThrottleArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// What to copy: HOST:DATASTORE/FILE
    #[arg(value_parser = source)]
    source: Place,
    /// Where to: HOST, HOST:DATASTORE or HOST:DATASTORE/FILE; what is left out is as at the source
    #[arg(value_parser = target)]
    target: Place,
    /// An image there that may hold parts of the same content, such as an older release: DATASTORE/FILE; may be repeated
    #[arg(long, value_name = "IMAGE")]
    like: Vec<String>,
    /// Size a second that it may travel at most
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    rate: Option<u64>,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// What to remove: HOST:DATASTORE/FILE
    #[arg(required = true, value_parser = source)]
    images: Vec<Place>,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ThrottleArgs {
    /// Id of the job
    job: String,
    /// Size a second, at least 64KiB, or 0 for as fast as it goes
    #[arg(value_parser = values::rate)]
    rate: u64,
}

/// A file of a host, as far as it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    host: String,
    datastore: Option<String>,
    file: Option<String>,
}

impl Place {
    /// As its host names it.
    fn image(&self) -> String {
        let parts = [self.datastore.as_deref(), self.file.as_deref()];
        parts.map(Option::unwrap_or_default).join("/")
    }
}

/// Two parts around a mark, or all and nothing. What is there is not empty.
fn parts(text: &str, mark: char) -> Option<(String, Option<String>)> {
    let (first, rest) = match text.split_once(mark) {
        Some((first, rest)) => (first, Some(rest)),
        None => (text, None),
    };
    let is_there = !first.is_empty() && rest.is_none_or(|rest| !rest.is_empty());
    is_there.then(|| (first.to_owned(), rest.map(str::to_owned)))
}

fn target(text: &str) -> Result<Place, String> {
    let place = || {
        let (host, rest) = parts(text, ':')?;
        let (datastore, file) = match rest {
            Some(rest) => {
                let (datastore, file) = parts(&rest, '/')?;
                (Some(datastore), file)
            }
            None => (None, None),
        };
        Some(Place {
            host,
            datastore,
            file,
        })
    };
    place().ok_or_else(|| "write HOST, HOST:DATASTORE or HOST:DATASTORE/FILE".to_owned())
}

fn source(text: &str) -> Result<Place, String> {
    let place = target(text).ok().filter(|place| place.file.is_some());
    place.ok_or_else(|| "write HOST:DATASTORE/FILE, as host-1:local/debian.qcow2".to_owned())
}

pub(crate) async fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Copy(args) => copy(session, args).await,
        Command::Delete(args) => delete(session, args).await,
        Command::Throttle(args) => throttle(session, &args).await,
    }
}

async fn copy(session: &Session, args: CopyArgs) -> Result<Exit, Failure> {
    let body = CopyImage {
        source_image: args.source.image(),
        source_host: args.source.host,
        host: args.target.host,
        datastore: args.target.datastore,
        file: args.target.file,
        like: args.like,
        bytes_per_sec: args.rate.unwrap_or(0),
    };
    let segments = ["images", "actions", "copy"];
    let change = Request::change(Method::POST, &segments).body(&body)?;
    make(session, vec![change], &args.change).await
}

async fn delete(session: &Session, args: DeleteArgs) -> Result<Exit, Failure> {
    let mut changes = Vec::new();
    for place in args.images {
        let body = DeleteImage {
            image: place.image(),
            host: place.host,
        };
        let segments = ["images", "actions", "delete"];
        changes.push(Request::change(Method::POST, &segments).body(&body)?);
    }
    make(session, changes, &args.change).await
}

async fn throttle(session: &Session, args: &ThrottleArgs) -> Result<Exit, Failure> {
    let body = SetThrottle {
        bytes_per_sec: args.rate,
    };
    let segments = ["jobs", &args.job, "throttle"];
    let request = Request::change(Method::PUT, &segments).body(&body)?;
    session.client.send(request).await?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_far_as_they_are_said() {
        let place = |host: &str, datastore: Option<&str>, file: Option<&str>| Place {
            host: host.to_owned(),
            datastore: datastore.map(str::to_owned),
            file: file.map(str::to_owned),
        };
        assert_eq!(target("h2"), Ok(place("h2", None, None)));
        assert_eq!(target("h2:ssd"), Ok(place("h2", Some("ssd"), None)));
        let whole = place("h2", Some("ssd"), Some("a.qcow2"));
        assert_eq!(source("h2:ssd/a.qcow2"), Ok(whole.clone()));
        assert_eq!(target("h2:ssd/a.qcow2"), Ok(whole));
        for bad in ["", ":", "h2:", "h2:/a", "h2:ssd/"] {
            assert!(target(bad).is_err(), "{bad}");
        }
        assert!(source("h2:ssd").is_err());
    }
}
