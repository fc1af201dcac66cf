//! Which instance refreshes what: for each server the one that scores highest, so that one that comes or goes moves only
//! its own share.

use std::collections::BTreeSet;

use super::schedule::hash;

/// The instance of several that refreshes what is on a server.
pub fn owner<'a>(instances: &'a BTreeSet<String>, server_id: &str) -> Option<&'a str> {
    let score = |instance: &&String| hash(&[instance, server_id]);
    instances.iter().max_by_key(score).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instances(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn every_server_has_one_instance_and_a_new_one_takes_only_its_share() {
        let (two, three) = (instances(&["a", "b"]), instances(&["a", "b", "c"]));
        let mut moved = 0;
        let mut first = 0;
        for n in 0..3_000 {
            let server = format!("host-{n}");
            let (before, after) = (owner(&two, &server), owner(&three, &server));
            first += u32::from(before == Some("a"));
            if before != after {
                assert_eq!(after, Some("c"));
                moved += 1;
            }
        }
        assert!((1_350..1_650).contains(&first), "{first} of 3,000");
        assert!((850..1_150).contains(&moved), "{moved} of 3,000");
        assert_eq!(owner(&BTreeSet::new(), "h"), None);
    }
}
