//! Which interval counts for a target, and whether one may be set.

use std::collections::BTreeMap;

use contracts::Status;
use contracts::limits::GROUP_DEPTH_MAX;
use contracts::names;
use contracts::refresher::{Interval, Intervals, Kind, SetIntervalRequest, Target};

/// Servers and groups that one kind may have an interval of its own for. Whoever needs more sets it on groups.
const PLACES_MAX: usize = 10_000;

/// Group above each group.
pub type Parents = BTreeMap<String, String>;

/// How often a target is due by a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Every { interval_ms: i64 },
    Off,
}

impl Pace {
    fn of(kind: &Kind, interval: &Interval) -> Self {
        if interval.off && kind.may_be_off {
            return Self::Off;
        }
        let secs = if interval.secs == 0 {
            kind.interval_secs
        } else {
            interval.secs
        };
        // What was set may have been allowed by another release.
        let secs = secs.clamp(least(kind), most(kind));
        Self::Every {
            interval_ms: i64::from(secs) * 1_000,
        }
    }
}

fn least(kind: &Kind) -> u32 {
    kind.interval_secs_min.max(1)
}

fn most(kind: &Kind) -> u32 {
    kind.interval_secs_max.max(least(kind))
}

/// The nearest word counts: the server's, that of its group or one above it, that for all, the kind's own.
pub fn pace(kind: &Kind, set: Option<&Intervals>, target: &Target, parents: &Parents) -> Pace {
    let own = Interval::default();
    let word = set.and_then(|set| {
        let server = set.servers.get(&target.server_id);
        server
            .or_else(|| of_groups(set, &target.group_id, parents))
            .or(set.all.as_ref())
    });
    Pace::of(kind, word.unwrap_or(&own))
}

fn of_groups<'a>(set: &'a Intervals, group_id: &str, parents: &Parents) -> Option<&'a Interval> {
    if set.groups.is_empty() {
        return None;
    }
    let mut group_id = group_id;
    // The tree may change while it is read: a circle must not hold anybody up.
    for _ in 0..GROUP_DEPTH_MAX {
        if let Some(interval) = set.groups.get(group_id) {
            return Some(interval);
        }
        group_id = parents.get(group_id)?;
    }
    None
}

/// Refuses an interval that the kind does not allow.
pub fn check(kind: &Kind, request: &SetIntervalRequest) -> Result<(), Status> {
    if !request.group_id.is_empty() && !request.server_id.is_empty() {
        return Err(Status::invalid(
            "server_id",
            "An interval is set for a host group or for a server, not for both.",
        )
        .action("Name one of the two, or none for all."));
    }
    for (field, id) in [
        ("group_id", &request.group_id),
        ("server_id", &request.server_id),
    ] {
        if !id.is_empty() {
            names::check_id(field, id)?;
        }
    }
    match request.interval {
        None => Ok(()),
        Some(interval) => check_interval(kind, &interval),
    }
}

fn check_interval(kind: &Kind, interval: &Interval) -> Result<(), Status> {
    if interval.off && kind.may_be_off {
        return Ok(());
    }
    if interval.off {
        let message = format!("Refresher {} cannot be turned off.", kind.name);
        return Err(Status::invalid("interval.off", message)
            .action(format!("Set up to {} s instead.", most(kind))));
    }
    if (least(kind)..=most(kind)).contains(&interval.secs) {
        return Ok(());
    }
    let message = format!(
        "Refresher {} cannot have an interval of {} s.",
        kind.name, interval.secs
    );
    Err(Status::invalid("interval.secs", message).action(format!(
        "Use {} to {} s.",
        least(kind),
        most(kind)
    )))
}

/// The intervals with what was asked for.
pub fn changed(current: &Intervals, request: &SetIntervalRequest) -> Result<Intervals, Status> {
    let mut intervals = current.clone();
    intervals.kind.clone_from(&request.kind);
    let (place, id) = if !request.server_id.is_empty() {
        (&mut intervals.servers, &request.server_id)
    } else if !request.group_id.is_empty() {
        (&mut intervals.groups, &request.group_id)
    } else {
        intervals.all = request.interval;
        return Ok(intervals);
    };
    match request.interval {
        Some(interval) => _ = place.insert(id.clone(), interval),
        None => _ = place.remove(id),
    }
    if place.len() > PLACES_MAX {
        let message = format!("Refresher {} has {PLACES_MAX} intervals.", request.kind);
        return Err(Status::precondition(message)
            .action("Take some back, or set one on a host group instead of on its servers."));
    }
    Ok(intervals)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn kind() -> Kind {
        Kind {
            name: "library".to_owned(),
            interval_secs: 3_600,
            interval_secs_min: 3_600,
            interval_secs_max: 336 * 3_600,
            may_be_off: true,
            ..Kind::default()
        }
    }

    fn target() -> Target {
        Target {
            server_id: "h1".to_owned(),
            group_id: "rack".to_owned(),
            ..Target::default()
        }
    }

    fn set(request: SetIntervalRequest, current: &Intervals) -> Intervals {
        check(&kind(), &request).unwrap();
        changed(current, &request).unwrap()
    }

    fn secs(secs: u32) -> Option<Interval> {
        Some(Interval { secs, off: false })
    }

    #[test]
    fn the_nearest_word_counts_and_each_can_be_taken_back() {
        let parents = Parents::from([("rack".to_owned(), "site".to_owned())]);
        let pace_of = |set: &Intervals| pace(&kind(), Some(set), &target(), &parents);
        let every = |hours: i64| Pace::Every {
            interval_ms: hours * 3_600_000,
        };
        let all = SetIntervalRequest {
            interval: secs(2 * 3_600),
            ..SetIntervalRequest::default()
        };
        let site = SetIntervalRequest {
            group_id: "site".to_owned(),
            interval: secs(3 * 3_600),
            ..SetIntervalRequest::default()
        };
        let server = SetIntervalRequest {
            server_id: "h1".to_owned(),
            interval: Some(Interval { secs: 0, off: true }),
            ..SetIntervalRequest::default()
        };
        let mut now = Intervals::default();
        assert_eq!(pace_of(&now), every(1));
        now = set(all, &now);
        assert_eq!(pace_of(&now), every(2));
        now = set(site, &now);
        assert_eq!(pace_of(&now), every(3));
        now = set(server.clone(), &now);
        assert_eq!(pace_of(&now), Pace::Off);
        let back = SetIntervalRequest {
            interval: None,
            ..server
        };
        assert_eq!(pace_of(&set(back, &now)), every(3));
    }

    #[test]
    fn what_a_kind_does_not_allow_is_refused_with_what_it_does() {
        let ask = |kind: &Kind, interval| {
            let request = SetIntervalRequest {
                interval: Some(interval),
                ..SetIntervalRequest::default()
            };
            check(kind, &request)
        };
        let never_off = Kind {
            may_be_off: false,
            ..kind()
        };
        let off = Interval { secs: 0, off: true };
        assert!(ask(&kind(), off).is_ok());
        let refused = ask(&never_off, off).unwrap_err();
        assert_eq!(refused.field, "interval.off");
        for wrong in [0, 60, 337 * 3_600] {
            let refused = ask(
                &kind(),
                Interval {
                    secs: wrong,
                    off: false,
                },
            )
            .unwrap_err();
            assert_eq!(refused.field, "interval.secs");
            assert!(refused.recommended_action.contains("3600 to 1209600"));
        }
        let both = SetIntervalRequest {
            group_id: "g".to_owned(),
            server_id: "s".to_owned(),
            ..SetIntervalRequest::default()
        };
        assert!(check(&kind(), &both).is_err());
    }
}
