//! What a plan tells of itself.

use std::collections::BTreeMap;

use contracts::refresher::{Intervals, Kind};
use contracts::{ObjectRef, Status};

use super::line::{Key, Priority};
use super::{Count, Plan, Standing};

impl Plan {
    /// The kinds that a request for a refresh means: those that it names, or those of the target that are done by hand
    /// and show on the object.
    pub fn kinds_for(
        &self,
        target_id: &str,
        object_kind: &str,
        named: &[String],
    ) -> Result<Vec<String>, Status> {
        for name in named {
            self.kind(name)?;
        }
        let shows = |kind: &Kind| kind.object_kinds.iter().any(|shown| shown == object_kind);
        let is_meant = |kind: &Kind| match named {
            [] => kind.by_hand && shows(kind),
            named => named.contains(&kind.name),
        };
        let has_target = |kind: &str| {
            let place = (kind.to_owned(), target_id.to_owned());
            self.entries.contains_key(&place)
        };
        let meant = self.kinds.values().map(|served| &served.kind);
        let meant = meant.filter(|kind| is_meant(kind) && has_target(&kind.name));
        let meant: Vec<String> = meant.map(|kind| kind.name.clone()).collect();
        if meant.is_empty() {
            let object = ObjectRef::new(object_kind, target_id, "");
            let message = format!("No refresher knows {} yet.", object.describe());
            return Err(Status::unavailable(message).about(object).action(
                "Try again in half a minute; if it stays so, see whether it is in the fleet.",
            ));
        }
        Ok(meant)
    }

    /// A kind that is served.
    pub fn kind(&self, name: &str) -> Result<&Kind, Status> {
        let served = self.kinds.get(name).map(|served| &served.kind);
        served.ok_or_else(|| Status::not_found(ObjectRef::new("refresher", name, name)))
    }

    /// Every kind, with the service that serves it and whether that is there.
    pub fn kinds(&self, now_ms: i64) -> impl Iterator<Item = (&Kind, &str, bool)> {
        let served = self.kinds.values();
        served.map(move |s| (&s.kind, s.service.as_str(), s.is_there(now_ms)))
    }

    pub fn intervals(&self, kind: &str) -> Option<&Intervals> {
        self.intervals.get(kind)
    }

    pub fn knows(&self, key: &Key) -> bool {
        let place = (key.kind.clone(), key.target_id.clone());
        self.entries.contains_key(&place)
    }

    /// How the targets of each kind stand. Of those of other instances it is not known whether their servers fail.
    pub fn counts(&self, now_ms: i64) -> BTreeMap<String, Count> {
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        for place in self.entries.keys() {
            let count = counts.entry(place.0.clone()).or_default();
            count.targets += 1;
            match self.standing(place, now_ms) {
                Standing::Off => count.off += 1,
                Standing::PassedOver => count.passed_over += 1,
                Standing::Fine | Standing::Others => {}
            }
        }
        counts
    }

    /// Refreshes that wait, by why.
    pub fn waiting(&self) -> BTreeMap<Priority, usize> {
        self.line.waiting()
    }
}
