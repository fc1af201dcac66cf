//! Join tokens: `<id>.<secret>`, of which only the secret's hash is kept.

use contracts::inventory::JoinToken;
use contracts::{Code, Status};

/// Lifetime when none is asked for.
const LIFETIME_DEFAULT_SECS: u64 = 3600;

/// A secret that lies about for longer is found by somebody.
const LIFETIME_MAX_SECS: u64 = 30 * 24 * 3600;

/// Two random numbers as hexadecimal text have 64; anything far longer is not one of ours.
const TOKEN_CHARS_MAX: usize = 256;

pub fn hash(secret: &str) -> Vec<u8> {
    blake3::hash(secret.as_bytes()).as_bytes().to_vec()
}

/// When a token that is made now ends, in milliseconds.
pub fn expiry_ms(lifetime_secs: u64, now_ms: i64) -> Result<i64, Status> {
    let secs = match lifetime_secs {
        0 => LIFETIME_DEFAULT_SECS,
        secs if secs <= LIFETIME_MAX_SECS => secs,
        _ => {
            return Err(Status::invalid(
                "lifetime_secs",
                format!("A join token cannot live for {lifetime_secs} s."),
            )
            .action("Ask for at most 30 days (2592000 s)."));
        }
    };
    Ok(now_ms.saturating_add(i64::try_from(secs.saturating_mul(1000)).unwrap_or(i64::MAX)))
}

/// The id and the secret of a token as it was shown.
pub fn split(token: &str) -> Result<(&str, &str), Status> {
    token
        .split_once('.')
        .filter(|(id, _)| token.len() <= TOKEN_CHARS_MAX && contracts::names::is_token(id))
        .ok_or_else(refused)
}

/// Whether a secret is that of the token that is kept under its id.
pub fn verify(kept: Option<&JoinToken>, secret: &str, now_ms: i64) -> Result<(), Status> {
    let kept = kept.ok_or_else(refused)?;
    let wanted = <[u8; blake3::OUT_LEN]>::try_from(kept.hash.as_slice()).map_err(|_| refused())?;
    // blake3 compares hashes in constant time.
    if blake3::hash(secret.as_bytes()) != blake3::Hash::from_bytes(wanted) {
        return Err(refused());
    }
    if kept.expires_ms <= now_ms {
        return Err(
            Status::new(Code::Unauthenticated, "The join token has expired.")
                .action("Make a new join token and set it at the agent."),
        );
    }
    Ok(())
}

/// The same words whatever is wrong, so that ids cannot be found by trying.
fn refused() -> Status {
    Status::new(Code::Unauthenticated, "The join token is not valid.").action(
        "Make a new join token and set it at the agent, or remove it there and approve the host by hand.",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn kept() -> JoinToken {
        JoinToken {
            hash: hash("secret"),
            expires_ms: 1_000,
            ..JoinToken::default()
        }
    }

    #[test]
    fn only_the_right_secret_in_its_time_is_taken() {
        assert!(verify(Some(&kept()), "secret", 999).is_ok());
        let late = verify(Some(&kept()), "secret", 1_000).unwrap_err();
        assert!(late.message.contains("expired"));
        let unknown = verify(None, "secret", 0).unwrap_err();
        let wrong = verify(Some(&kept()), "secreT", 0).unwrap_err();
        assert_eq!(unknown, wrong);
        assert_eq!(wrong.code(), Code::Unauthenticated);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        assert_eq!(split("t1.abc").unwrap(), ("t1", "abc"));
        for bad in ["", "abc", "../x.abc", &format!("t1.{}", "x".repeat(300))] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_lives_an_hour_and_at_most_thirty_days() {
        assert_eq!(expiry_ms(0, 5).unwrap(), 3_600_005);
        assert_eq!(expiry_ms(LIFETIME_MAX_SECS, 0).unwrap(), 2_592_000_000);
        assert!(expiry_ms(LIFETIME_MAX_SECS + 1, 0).is_err());
        assert!(expiry_ms(u64::MAX, 0).is_err());
    }
}
