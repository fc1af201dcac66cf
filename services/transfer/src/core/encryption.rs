//! Whether a transfer is encrypted.

use contracts::data::Encryption;

/// What is said of a host: by the library server that it is, then by its groups, from its own up to the root. The nearest
/// that says anything counts.
pub fn nearest(said: impl IntoIterator<Item = Encryption>) -> Encryption {
    said.into_iter()
        .find(|said| *said != Encryption::Unspecified)
        .unwrap_or(Encryption::Tls)
}

/// Between two hosts: plain only where both ends say so.
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
    fn the_nearest_says_and_both_ends_have_to_agree() {
        use Encryption::{Plain, Tls, Unspecified};
        assert_eq!(nearest([Unspecified, Plain, Tls]), Plain);
        assert_eq!(nearest([Tls, Plain]), Tls);
        assert_eq!(nearest([Unspecified]), Tls);
        assert_eq!(between(Encryption::Plain, Encryption::Tls), Encryption::Tls);
        assert_eq!(
            between(Encryption::Plain, Encryption::Plain),
            Encryption::Plain
        );
    }
}
