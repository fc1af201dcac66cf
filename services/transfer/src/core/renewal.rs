//! When the authority gets another key, and which of the old ones are still believed.

use contracts::transfer::{Authority, AuthorityKey};

/// Whether the newest key is in the first half of its life, so that all that it signs ends before it does.
pub fn is_fresh(authority: &Authority, now_ms: i64) -> bool {
    authority.keys.first().is_some_and(|key| {
        let half = key.not_after_ms.saturating_sub(key.created_ms) / 2;
        now_ms < key.created_ms.saturating_add(half)
    })
}

/// The keys with a new one. Those that have not ended are believed on: certificates of theirs are still about.
pub fn renewed(authority: Authority, key: AuthorityKey, now_ms: i64) -> Authority {
    let old = authority
        .keys
        .into_iter()
        .filter(|key| key.not_after_ms > now_ms);
    Authority {
        keys: std::iter::once(key).chain(old).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(created_ms: i64, not_after_ms: i64) -> AuthorityKey {
        AuthorityKey {
            created_ms,
            not_after_ms,
            ..AuthorityKey::default()
        }
    }

    #[test]
    fn a_key_is_renewed_in_the_middle_of_its_life_and_believed_to_its_end() {
        assert!(!is_fresh(&Authority::default(), 0));
        let one = renewed(Authority::default(), key(0, 100), 0);
        assert!(is_fresh(&one, 49) && !is_fresh(&one, 50));
        let two = renewed(one, key(50, 150), 50);
        assert_eq!(two.keys.len(), 2);
        let three = renewed(two, key(100, 200), 100);
        let created: Vec<i64> = three.keys.iter().map(|k| k.created_ms).collect();
        assert_eq!(created, [100, 50]);
    }
}
