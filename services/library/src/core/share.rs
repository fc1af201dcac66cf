//! Shares: which there can be.

use contracts::library::{Server, Share};
use contracts::{Code, ObjectRef, Status, names};
use uuid::Uuid;

/// Shares of a library.
pub const SHARES_MAX: usize = 1_000;

/// Library servers, those that only have made themselves known included.
pub const SERVERS_MAX: usize = 1_000;

/// Separates our ids from everybody else's that are made of texts.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d75_7374_6572_4c69_6272_6172_7953_6872);

/// One folder is one share, whoever adds it and however often.
pub fn id(server_id: &str, path: &str) -> String {
    Uuid::new_v5(&NAMESPACE, format!("{server_id}/{path}").as_bytes()).to_string()
}

/// What a share is called if nobody says.
pub fn default_name(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(path)
}

/// Refuses a share that cannot be beside those that are there.
pub fn check(server: &Server, name: &str, path: &str, there: &[Share]) -> Result<(), Status> {
    names::check_title("name", name)?;
    if there.len() >= SHARES_MAX {
        let message = format!("There are {SHARES_MAX} shares already, and that is the most.");
        return Err(Status::new(Code::ResourceExhausted, message).action("Remove one."));
    }
    if let Some(share) = there.iter().find(|share| share.name == name) {
        let message = format!("There is a share called {name} already.");
        return Err(taken(share, message, "Choose another name."));
    }
    let mut own = there.iter().filter(|share| share.server_id == server.id);
    if let Some(share) = own.find(|share| overlap(&share.path, path)) {
        let message = format!(
            "Share {} on server {} has folder {} already, and no file is in two shares.",
            share.name, server.name, share.path
        );
        return Err(taken(share, message, "Use that share, or remove it first."));
    }
    Ok(())
}

fn taken(share: &Share, message: String, action: &str) -> Status {
    let object = ObjectRef::new("library_share", &share.id, &share.name);
    Status::already_exists(object, message).action(action)
}

fn overlap(one: &str, other: &str) -> bool {
    let below = |upper: &str, lower: &str| {
        let rest = lower.strip_prefix(upper);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    below(one, other) || below(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_in_two_shares() {
        let server = Server {
            id: "s1".to_owned(),
            ..Server::default()
        };
        let there = [Share {
            server_id: "s1".to_owned(),
            name: "iso".to_owned(),
            path: "/srv/iso".to_owned(),
            ..Share::default()
        }];
        let refused = |name: &str, path: &str| check(&server, name, path, &there).is_err();
        assert!(refused("iso", "/srv/other"));
        assert!(refused("a", "/srv/iso") && refused("a", "/srv/iso/deb") && refused("a", "/srv"));
        assert!(!refused("a", "/srv/iso2"));
        let elsewhere = Server {
            id: "s2".to_owned(),
            ..Server::default()
        };
        assert!(check(&elsewhere, "a", "/srv/iso", &there).is_ok());
    }

    #[test]
    fn a_folder_is_called_as_it_is() {
        assert_eq!(default_name("/srv/iso"), "iso");
        assert_ne!(id("s1", "/a"), id("s2", "/a"));
    }
}
