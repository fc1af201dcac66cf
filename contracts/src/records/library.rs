//! Records of the library.

use super::{EventName, Record, event_name, indexes};
use crate::library::{
    GuestProfile, HardwareProfile, Item, Server, Share, StoredUserData, Template,
};
use crate::subjects::buckets;

impl Record for Server {
    const BUCKET: &'static str = buckets::LIBRARY_SERVER;

    fn event(before: Option<&Self>, after: Option<&Self>) -> Option<EventName> {
        let changed = |b: &Self, a: &Self| {
            if b.added == a.added {
                "updated"
            } else {
                "state_changed"
            }
        };
        event_name(before, after, changed, |s| (String::new(), s.name.clone()))
    }
}

impl Record for Share {
    const BUCKET: &'static str = buckets::LIBRARY_SHARE;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![(indexes::SERVER, self.server_id.clone())]
    }

    fn event(before: Option<&Self>, after: Option<&Self>) -> Option<EventName> {
        let changed = |b: &Self, a: &Self| {
            if b.problem.is_empty() == a.problem.is_empty() {
                "updated"
            } else {
                "state_changed"
            }
        };
        event_name(before, after, changed, |s| (String::new(), s.name.clone()))
    }
}

impl Record for Item {
    const BUCKET: &'static str = buckets::LIBRARY_ITEM;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![(indexes::SHARE, self.share_id.clone())]
    }

    fn event(before: Option<&Self>, after: Option<&Self>) -> Option<EventName> {
        let place = |item: &Self| (item.share_id.clone(), item.path().to_owned());
        let changed = |b: &Self, a: &Self| {
            let is_disabled = |item: &Self| item.words.as_ref().is_some_and(|words| words.disabled);
            let stands = |item: &Self| (item.missing, is_disabled(item), item.changed_in_use());
            if stands(b) != stands(a) {
                "state_changed"
            } else if place(b) != place(a) {
                "moved"
            } else {
                "updated"
            }
        };
        event_name(before, after, changed, |item| {
            (String::new(), item.path().to_owned())
        })
    }
}

impl Record for Template {
    const BUCKET: &'static str = buckets::TEMPLATE;

    fn event(before: Option<&Self>, after: Option<&Self>) -> Option<EventName> {
        event_name(
            before,
            after,
            |_, _| "updated",
            |t| (String::new(), t.name.clone()),
        )
    }
}

impl Record for HardwareProfile {
    const BUCKET: &'static str = buckets::HARDWARE_PROFILE;

    fn event(before: Option<&Self>, after: Option<&Self>) -> Option<EventName> {
        event_name(
            before,
            after,
            |_, _| "updated",
            |p| (String::new(), p.name.clone()),
        )
    }
}

impl Record for GuestProfile {
    const BUCKET: &'static str = buckets::GUEST_PROFILE;

    fn event(before: Option<&Self>, after: Option<&Self>) -> Option<EventName> {
        event_name(
            before,
            after,
            |_, _| "updated",
            |p| (String::new(), p.name.clone()),
        )
    }
}

impl Record for StoredUserData {
    const BUCKET: &'static str = buckets::GUEST_USER_DATA;
}

impl Item {
    /// Of its file, below the share.
    pub fn path(&self) -> &str {
        self.facts.as_ref().map_or("", |facts| &facts.path)
    }

    /// When its file was changed while it was copied, unless somebody has found it fine since.
    pub fn changed_in_use(&self) -> Option<i64> {
        let words = self.words.as_ref();
        let accepted = words.map_or(0, |words| words.accepted_change_ms);
        let changed = self.facts.as_ref()?.changed_in_use_ms;
        (changed != 0 && changed != accepted).then_some(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::{ItemFacts, ItemWords};

    fn verb<R: Record>(before: &R, after: &R) -> Option<&'static str> {
        R::event(Some(before), Some(after)).map(|event| event.verb)
    }

    #[test]
    fn how_an_item_stands_goes_before_where_it_lies() {
        let at = |path: &str| Item {
            facts: Some(ItemFacts {
                path: path.to_owned(),
                ..ItemFacts::default()
            }),
            ..Item::default()
        };
        let item = at("a.iso");
        let elsewhere = Item {
            share_id: "s2".to_owned(),
            ..item.clone()
        };
        let missing = Item {
            missing: true,
            ..at("b.iso")
        };
        let words = |disabled| Item {
            words: Some(ItemWords {
                disabled,
                owner: "ann".to_owned(),
                ..ItemWords::default()
            }),
            ..item.clone()
        };
        assert_eq!(verb(&item, &at("b.iso")), Some("moved"));
        assert_eq!(verb(&item, &elsewhere), Some("moved"));
        assert_eq!(verb(&item, &missing), Some("state_changed"));
        assert_eq!(verb(&item, &words(true)), Some("state_changed"));
        assert_eq!(verb(&item, &words(false)), Some("updated"));
    }
}
