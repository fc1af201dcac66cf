//! Whether a view is one of the log that there is.

use super::TOMBSTONE_LIFETIME;
use super::view::Binding;
use crate::bus::LogInfo;

/// Why a view is thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Reason {
    #[error("the log was lost and made anew")]
    MadeAnew,
    #[error("the log is older than the view: it was restored from a backup")]
    Older,
    #[error("the view was away for longer than the log keeps deletions")]
    TooOld,
}

/// Whether the log is the one that the view was fed from, and has not gone back.
pub(super) fn is_same(binding: &Binding, info: &LogInfo) -> bool {
    binding.created == info.created && binding.applied <= info.last_sequence
}

/// Why a view is not one of this log; `None` when it is.
pub(super) fn why_another(binding: &Binding, info: &LogInfo) -> Option<Reason> {
    let lifetime_ms = i64::try_from(TOMBSTONE_LIFETIME.as_millis()).unwrap_or(i64::MAX);
    if binding.created != info.created {
        return Some(Reason::MadeAnew);
    }
    if !is_same(binding, info) {
        return Some(Reason::Older);
    }
    // Half the lifetime, so that a marker that is about to go cannot be missed.
    (info.now_ms - binding.synced_ms > lifetime_ms / 2).then_some(Reason::TooOld)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 3600 * 1000;

    fn reason(created: &str, last_sequence: u64, away_ms: i64) -> Option<Reason> {
        let binding = Binding {
            created: "c1".to_owned(),
            applied: 10,
            synced_ms: 0,
            put_back: 0,
        };
        let info = LogInfo {
            created: created.to_owned(),
            last_sequence,
            now_ms: away_ms,
        };
        why_another(&binding, &info)
    }

    #[test]
    fn a_view_is_kept_only_while_the_log_can_bring_it_up_to_date() {
        assert_eq!(reason("c1", 10, 0), None);
        assert_eq!(reason("c1", 500, 3 * DAY_MS), None);
        assert_eq!(reason("c2", 500, 0), Some(Reason::MadeAnew));
        assert_eq!(reason("c1", 9, 0), Some(Reason::Older));
        assert_eq!(reason("c1", 500, 4 * DAY_MS), Some(Reason::TooOld));
    }
}
