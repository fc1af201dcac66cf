//! What a web page that the user happens to look at must not be able to do.
//!
//! The gateway listens on loopback without sign-in, and every browser on the machine reaches it. A page of another
//! site could post to it (a form needs no permission), or have its own name resolve to 127.0.0.1 and then read from it
//! as its own site. The first shows in `Sec-Fetch-Site` and `Origin`, the second in `Host`.

use contracts::{Code, Status};

/// What a request says of where it comes from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sender<'a> {
    /// GET and HEAD change nothing.
    pub(crate) changes: bool,
    pub(crate) host: Option<&'a str>,
    pub(crate) origin: Option<&'a str>,
    pub(crate) fetch_site: Option<&'a str>,
}

/// Refuses what comes from a page of another site. `loopback`: only names of this machine are ours.
pub(crate) fn check(sender: Sender<'_>, loopback: bool) -> Result<(), Box<Status>> {
    if loopback && !sender.host.is_none_or(is_this_machine) {
        return Err(refused(format!(
            "The request is for the host {:?}, which is not this machine.",
            contracts::names::shorten(sender.host.unwrap_or_default())
        )));
    }
    let same_site = sender
        .fetch_site
        .is_none_or(|site| matches!(site, "same-origin" | "none"));
    let same_origin = sender
        .origin
        .is_none_or(|origin| origin.split_once("://").map(|(_, host)| host) == sender.host);
    if sender.changes && !(same_site && same_origin) {
        return Err(refused(
            "A page of another site asks for a change.".to_owned(),
        ));
    }
    Ok(())
}

fn refused(message: String) -> Box<Status> {
    let action = "Use the address that the gateway listens on, such as http://127.0.0.1:8100, from a program or from \
                  its own pages.";
    Box::new(Status::new(Code::PermissionDenied, message).action(action))
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let loopback = name
        .parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.is_loopback());
    loopback || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(host: &'static str) -> Sender<'static> {
        Sender {
            changes: true,
            host: Some(host),
            ..Sender::default()
        }
    }

    #[test]
    fn programs_and_own_pages_come_in() {
        for host in [
            "127.0.0.1:8100",
            "localhost:8100",
            "localhost",
            "[::1]:8100",
            "127.0.0.2",
        ] {
            assert!(check(sender(host), true).is_ok(), "{host}");
        }
        let own_page = Sender {
            origin: Some("http://localhost:8100"),
            fetch_site: Some("same-origin"),
            ..sender("localhost:8100")
        };
        assert!(check(own_page, true).is_ok());
        assert!(check(sender("gateway:8100"), false).is_ok());
        assert!(check(Sender::default(), true).is_ok());
    }

    #[test]
    fn pages_of_others_do_not() {
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:8100",
            "192.168.1.5",
            "[::2]:8100",
            "",
        ] {
            assert!(check(sender(host), true).is_err(), "{host}");
        }
        let posts = |origin, fetch_site| Sender {
            origin,
            fetch_site,
            ..sender("localhost:8100")
        };
        assert!(check(posts(Some("https://evil.example"), None), true).is_err());
        assert!(check(posts(Some("null"), None), true).is_err());
        assert!(check(posts(None, Some("cross-site")), true).is_err());
        assert!(check(posts(None, Some("same-site")), true).is_err());
    }
}
