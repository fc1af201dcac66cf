//! Where deliveries may go. A URL that a person names must not make Muster a way into what only Muster reaches.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use contracts::{Status, names};
use url::{Host, Url};

/// Longest URL.
const URL_CHARS_MAX: usize = 2_000;

/// What a URL may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses.
    Outside,
    /// Also those of private networks and of this machine.
    Internal,
}

/// The URL, if it is one that can be delivered to. What its name leads to is looked at whenever it is connected to.
pub fn check(text: &str, reach: Reach) -> Result<Url, Status> {
    let refused = |why: &str| {
        Status::invalid(
            "url",
            format!("{:?} cannot be delivered to: {why}.", names::shorten(text)),
        )
        .action("Give an http or https URL without a user and password in it.")
    };
    if text.len() > URL_CHARS_MAX {
        return Err(refused("it is too long"));
    }
    let url = Url::parse(text).map_err(|error| refused(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("it is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("it has a user or password in it"));
    }
    let literal = match url.host() {
        None => return Err(refused("it names no host")),
        Some(Host::Domain(_)) => None,
        Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
    };
    match literal.map(|ip| forbidden(ip, reach)) {
        Some(Some(why)) => Err(refused(why)),
        _ => Ok(url),
    }
}

/// Why an address may not be connected to; `None`: it may.
pub fn forbidden(ip: IpAddr, reach: Reach) -> Option<&'static str> {
    let (never, internal) = match ip {
        IpAddr::V4(ip) => classes_v4(ip),
        // An IPv4 address in the clothes of an IPv6 one is what it is.
        IpAddr::V6(ip) => embedded_v4(ip).map_or_else(|| classes_v6(ip), classes_v4),
    };
    if never {
        return Some("its address is link-local, of a cloud's metadata, or of many");
    }
    (internal && reach == Reach::Outside).then_some(
        "its address is of a private network or of this machine, and webhooks.allow_internal is not set",
    )
}

/// Whether it is never connected to, and whether it is internal.
fn classes_v4(ip: Ipv4Addr) -> (bool, bool) {
    let [a, b, ..] = ip.octets();
    let never = ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || a == 0 || a >= 240;
    // 100.64.0.0/10 is shared by carriers and clouds; 192.0.0.0/24 and 198.18.0.0/15 are nobody's outside.
    let shared = a == 100 && (64..128).contains(&b);
    let special = matches!(ip.octets(), [192, 0, 0, _] | [198, 18 | 19, ..]);
    (
        never,
        ip.is_private() || ip.is_loopback() || shared || special,
    )
}

fn classes_v6(ip: Ipv6Addr) -> (bool, bool) {
    let metadata = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254);
    let never = ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified();
    (
        never || ip == metadata,
        ip.is_loopback() || ip.is_unique_local(),
    )
}

fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = ip.segments();
    let embedded = || {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    // Mapped, and as translated by NAT64.
    let is_mapped = [a, b, c, d, e, f] == [0, 0, 0, 0, 0, 0xffff];
    let is_translated = [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0];
    (is_mapped || is_translated).then(embedded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(ip: &str, reach: Reach) -> bool {
        forbidden(ip.parse().unwrap(), reach).is_some()
    }

    #[test]
    fn what_only_this_machine_reaches_is_not_delivered_to() {
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "100.64.0.1",
            "::1",
            "fd12::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            assert!(is_refused(ip, Reach::Outside), "{ip}");
            assert!(!is_refused(ip, Reach::Internal), "{ip}");
        }
    }

    #[test]
    fn metadata_and_link_local_addresses_are_never_delivered_to() {
        for ip in [
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "ff02::1",
            "::",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
        ] {
            assert!(is_refused(ip, Reach::Internal), "{ip}");
        }
        assert!(!is_refused("93.184.216.34", Reach::Outside));
        assert!(!is_refused("2606:2800:220:1::1", Reach::Outside));
    }

    #[test]
    fn a_url_is_one_that_can_be_delivered_to() {
        for bad in [
            "",
            "example.com/x",
            "ftp://example.com",
            "http://",
            "http://a:b@example.com/",
            "http://127.0.0.1:8100/",
            "http://[::1]/",
            "http://2130706433/",
            "http://0x7f.1/",
        ] {
            assert!(check(bad, Reach::Outside).is_err(), "{bad}");
        }
        assert!(check("https://example.com:8443/hook?x=1", Reach::Outside).is_ok());
        assert!(check("http://127.0.0.1:9000/", Reach::Internal).is_ok());
    }
}
