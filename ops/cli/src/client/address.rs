//! Addresses: of the server as people write it, and of objects below it.

use reqwest::Url;

/// The server's address from the command line or the environment.
pub(crate) fn server(text: &str) -> Result<Url, String> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url =
        Url::parse(&with_scheme).map_err(|e| format!("{e}; write it as http://127.0.0.1:8100"))?;
    match url.scheme() {
        "http" if url.has_host() => Ok(url),
        "https" => Err(
            "this program speaks http only so far; reach a distant server through a tunnel"
                .to_owned(),
        ),
        _ => Err("write it as http://127.0.0.1:8100".to_owned()),
    }
}

/// Whether the server is on this machine, where a proxy of the environment has no part.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|a| a.is_loopback())
}

/// `/api/v1/<segments>` below the server. Each segment is escaped, so that a name stays one segment whatever is in it.
pub(super) fn of(server: &Url, segments: &[impl AsRef<str>]) -> Url {
    let mut url = server.clone();
    // Only an address that cannot have a path refuses, and those are not http.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["api", "v1"]).extend(segments);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_come_without_its_scheme() {
        let shown = |text: &str| server(text).map(|url| url.to_string());
        assert_eq!(
            shown("127.0.0.1:8100"),
            Ok("http://127.0.0.1:8100/".to_owned())
        );
        assert_eq!(
            shown("http://muster/sub"),
            Ok("http://muster/sub".to_owned())
        );
        for (bad, says) in [
            ("https://x", "http only"),
            ("ftp://x", "write it as"),
            ("", "write it as"),
            ("http://x:port", "write it as"),
        ] {
            assert!(shown(bad).is_err_and(|text| text.contains(says)), "{bad}");
        }
    }

    #[test]
    fn a_name_stays_one_segment() {
        let url = of(
            &server("http://h:1/sub/").unwrap(),
            &["vms", "a/b c?d", "log"],
        );
        assert_eq!(url.as_str(), "http://h:1/sub/api/v1/vms/a%2Fb%20c%3Fd/log");
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        for (text, loopback) in [
            ("127.0.0.1:8100", true),
            ("[::1]:8100", true),
            ("localhost:1", true),
            ("muster.example:8100", false),
        ] {
            assert_eq!(is_loopback(&server(text).unwrap()), loopback, "{text}");
        }
    }
}
