//! The manifest of an OVF package: what the digests of its files are, a line each, as `SHA256(web.ovf)= 12ab…`.

/// A digest that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// "SHA1", "SHA256", "SHA384" or "SHA512".
    pub algorithm: String,
    pub hex: String,
}

/// What a manifest says of a file; `None`: nothing.
pub fn digest_of(manifest: &str, file: &str) -> Option<Digest> {
    manifest.lines().find_map(|line| {
        let (algorithm, rest) = line.trim().split_once('(')?;
        let (name, hex) = rest.rsplit_once(")=")?;
        (name.trim() == file).then(|| Digest {
            algorithm: algorithm.trim().replace('-', "").to_ascii_uppercase(),
            hex: hex.trim().to_ascii_lowercase(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_found_by_the_name_of_its_file() {
        let manifest =
            "SHA256(web.ovf)= 12AB\nsha-1 (web (1).vmdk) = 34cd\nSHA1(web (2).vmdk)=56\n";
        let digest = |file: &str| digest_of(manifest, file).map(|d| (d.algorithm, d.hex));
        let expected = ("SHA256".to_owned(), "12ab".to_owned());
        assert_eq!(digest("web.ovf"), Some(expected));
        let expected = ("SHA1".to_owned(), "56".to_owned());
        assert_eq!(digest("web (2).vmdk"), Some(expected));
        assert_eq!(digest("none"), None);
        assert_eq!(digest_of("", "web.ovf"), None);
    }
}
