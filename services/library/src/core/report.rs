//! Reports of library servers: in which order they count, and what becomes of records.

use contracts::library::{Item, ItemFacts, ReportRequest, Share};
use contracts::{Status, digest, limits};
use kit::records::Decision;
use std::collections::BTreeMap;

/// Items in one report. Each is a write.
pub const ITEMS_MAX: usize = 512;

/// What to do with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Apply,
    /// It was applied already.
    Known,
    /// One before it is not here.
    Gap,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It is another server's, and there.
    Foreign,
}

/// Judges a report by the last one that was applied.
pub fn judge(share: &Share, request: &ReportRequest) -> Result<Verdict, Status> {
    if request.generation < share.generation {
        return Err(Status::precondition(
            "The report is of an earlier start of the library server.",
        )
        .action("See whether two agents run with the same id."));
    }
    let is_new_start = request.generation > share.generation;
    if is_new_start && !request.whole {
        return Ok(Verdict::Gap);
    }
    if is_new_start || request.number == share.report_number + 1 {
        return Ok(Verdict::Apply);
    }
    Ok(if request.number <= share.report_number {
        Verdict::Known
    } else if request.whole {
        Verdict::Apply
    } else {
        Verdict::Gap
    })
}

/// Refuses a report that is too large to be one.
pub fn check(request: &ReportRequest) -> Result<(), Status> {
    let most = limits::LIBRARY_ITEMS_MAX;
    if request.items.len() > ITEMS_MAX
        || request.missing_ids.len() > most
        || request.known.len() > most
    {
        return Err(Status::invalid("items", "The report has too many items.")
            .action(format!("Report at most {ITEMS_MAX} items at a time.")));
    }
    if request.skipped.len() > limits::LIBRARY_SKIPPED_NAMED {
        return Err(Status::invalid(
            "skipped",
            "The report names too many files.",
        ));
    }
    Ok(())
}

/// Who reports on which share, and when.
pub struct Sender<'a> {
    pub server_id: &'a str,
    pub share_id: &'a str,
    pub generation: u64,
    pub number: u64,
    pub now_ms: i64,
}

impl Sender<'_> {
    fn is_late(&self, item: &Item) -> bool {
        let spoke_last = (item.generation, item.report_number);
        item.share_id == self.share_id && spoke_last > (self.generation, self.number)
    }

    /// The file is there.
    pub fn seen(&self, current: Option<&Item>, facts: &ItemFacts) -> Decision<Item, Outcome> {
        let mut after = match current {
            Some(item) if item.server_id != self.server_id && !item.missing => {
                return Decision::Keep(Outcome::Foreign);
            }
            Some(item) if self.is_late(item) => return Decision::Keep(Outcome::Done),
            Some(item) => item.clone(),
            None => Item {
                id: facts.id.clone(),
                found_ms: self.now_ms,
                ..Item::default()
            },
        };
        self.server_id.clone_into(&mut after.server_id);
        self.share_id.clone_into(&mut after.share_id);
        after.facts = Some(facts.clone());
        after.missing = false;
        after.missing_ms = 0;
        self.put(current, after)
    }

    /// The file is not there.
    pub fn gone(&self, current: Option<&Item>) -> Decision<Item, Outcome> {
        let Some(item) = current else {
            return Decision::Keep(Outcome::Done);
        };
        // It may have gone to another share, which has told of it.
        let is_theirs = item.share_id == self.share_id && item.server_id == self.server_id;
        if !is_theirs || item.missing || self.is_late(item) {
            return Decision::Keep(Outcome::Done);
        }
        let mut after = item.clone();
        after.missing = true;
        after.missing_ms = self.now_ms;
        self.put(current, after)
    }

    fn put(&self, current: Option<&Item>, mut after: Item) -> Decision<Item, Outcome> {
        if current == Some(&after) {
            return Decision::Keep(Outcome::Done);
        }
        after.generation = self.generation;
        after.report_number = self.number;
        Decision::Put(after, Outcome::Done)
    }
}

/// Digest of each item of a share that is there.
pub fn known<'a>(items: impl IntoIterator<Item = &'a Item>) -> BTreeMap<String, u64> {
    let there = items.into_iter().filter(|item| !item.missing);
    there
        .map(|item| {
            let nothing = ItemFacts::default();
            let facts = item.facts.as_ref().unwrap_or(&nothing);
            (item.id.clone(), digest::item(facts))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Sender<'static> = Sender {
        server_id: "s1",
        share_id: "a",
        generation: 2,
        number: 5,
        now_ms: 9,
    };

    fn facts(path: &str) -> ItemFacts {
        ItemFacts {
            id: "i1".to_owned(),
            path: path.to_owned(),
            ..ItemFacts::default()
        }
    }

    fn put(decision: Decision<Item, Outcome>) -> Option<Item> {
        match decision {
            Decision::Put(item, _) => Some(item),
            _ => None,
        }
    }

    #[test]
    fn reports_count_in_their_order_and_once() {
        let share = Share {
            generation: 2,
            report_number: 5,
            ..Share::default()
        };
        let judged = |generation, number, whole| {
            let request = ReportRequest {
                generation,
                number,
                whole,
                ..ReportRequest::default()
            };
            judge(&share, &request).ok()
        };
        assert_eq!(judged(2, 6, false), Some(Verdict::Apply));
        assert_eq!(judged(2, 5, false), Some(Verdict::Known));
        assert_eq!(judged(2, 7, false), Some(Verdict::Gap));
        assert_eq!(judged(2, 7, true), Some(Verdict::Apply));
        assert_eq!(judged(3, 1, false), Some(Verdict::Gap));
        assert_eq!(judged(3, 1, true), Some(Verdict::Apply));
        assert_eq!(judged(1, 9, true), None);
    }

    #[test]
    fn a_file_that_goes_and_comes_keeps_what_people_said_of_it() {
        let mut item = put(SENDER.seen(None, &facts("x.iso"))).unwrap();
        item.words.get_or_insert_default().owner = "ann".to_owned();
        let gone = put(SENDER.gone(Some(&item))).unwrap();
        assert!(gone.missing);
        assert!(put(SENDER.gone(Some(&gone))).is_none());
        let back = put(SENDER.seen(Some(&gone), &facts("y.iso"))).unwrap();
        assert_eq!(back.words.clone().unwrap().owner, "ann");
        assert!(!back.missing && back.facts.as_ref().unwrap().path == "y.iso");
        assert!(put(SENDER.seen(Some(&back), &facts("y.iso"))).is_none());
    }

    #[test]
    fn what_comes_late_or_is_anothers_changes_nothing() {
        let item = put(SENDER.seen(None, &facts("x.iso"))).unwrap();
        let late = Sender {
            number: 4,
            ..SENDER
        };
        assert!(put(late.gone(Some(&item))).is_none());
        let other = Sender {
            server_id: "s2",
            share_id: "b",
            ..SENDER
        };
        let decision = other.seen(Some(&item), &facts("x.iso"));
        assert!(matches!(decision, Decision::Keep(Outcome::Foreign)));
        assert!(put(other.gone(Some(&item))).is_none());
        // Moved to another share of the same server, before the first one has told that it is gone.
        let moved = Sender {
            share_id: "b",
            number: 1,
            ..SENDER
        };
        let moved = put(moved.seen(Some(&item), &facts("x.iso"))).unwrap();
        assert!(put(SENDER.gone(Some(&moved))).is_none());
    }
}
