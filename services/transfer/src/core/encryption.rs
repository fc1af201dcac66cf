//! Whether a transfer is encrypted.

use contracts::data::Encryption;
use contracts::inventory::HostGroup;

/// What a host's groups say, from its own up to the root: the nearest that says anything.
pub fn of_line<'a>(line: impl IntoIterator<Item = &'a HostGroup>) -> Encryption {
    line.into_iter()
        .map(HostGroup::encryption)
        .find(|said| *said != Encryption::Unspecified)
        .unwrap_or(Encryption::Tls)
}

/// Between two hosts: plain only where both ends' groups say so.
pub fn between(source: Encryption, target: Encryption) -> Encryption {
    match (source, target) {
        (Encryption::Plain, Encryption::Plain) => Encryption::Plain,
        _ => Encryption::Tls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_group_says_and_both_ends_have_to_agree() {
        let group = |encryption: Encryption| HostGroup {
            encryption: encryption.into(),
            ..HostGroup::default()
        };
        let (silent, plain, tls) = (
            group(Encryption::Unspecified),
            group(Encryption::Plain),
            group(Encryption::Tls),
        );
        assert_eq!(of_line([&silent, &plain, &tls]), Encryption::Plain);
        assert_eq!(of_line([&tls, &plain]), Encryption::Tls);
        assert_eq!(of_line([&silent]), Encryption::Tls);
        assert_eq!(between(Encryption::Plain, Encryption::Tls), Encryption::Tls);
        assert_eq!(
            between(Encryption::Plain, Encryption::Plain),
            Encryption::Plain
        );
    }
}
