//! A whole list in its order, kept up with the records: so that a page of a list that is asked for again and again costs
//! what is on it, and a change what it takes to find its place.

use std::sync::Arc;

use super::fields::Listed;
use super::list::{Selected, Wanted};
use super::names::Names;

pub(crate) struct Order<R: 'static> {
    wanted: Wanted<R>,
    names: Arc<Names>,
    records: Vec<Arc<R>>,
}

impl<R: Listed> Order<R> {
    /// Of the list of which a page is wanted.
    pub(crate) fn new<'a>(
        wanted: Wanted<R>,
        names: Arc<Names>,
        records: impl Iterator<Item = &'a Arc<R>>,
    ) -> Self {
        let taken = records.filter(|record| wanted.filter.takes(record));
        let mut records: Vec<Arc<R>> = taken.cloned().collect();
        records.sort_by_cached_key(|record| wanted.sort.key(record, &names));
        Self {
            wanted,
            names,
            records,
        }
    }

    /// Whether it was made with these names of hosts and groups.
    pub(crate) fn has(&self, names: &Arc<Names>) -> bool {
        Arc::ptr_eq(&self.names, names)
    }

    /// A record has changed, from `before` to what is there now. The same change may be told after a later one.
    pub(crate) fn change(&mut self, id: &str, before: Option<&R>, now: Option<&Arc<R>>) {
        let now = now.filter(|record| self.wanted.filter.takes(record));
        // Where it belongs already: what else has changed of it is shown too.
        if let Some(now) = now
            && let Ok(at) = self.place(now)
            && let Some(known) = self.records.get_mut(at)
        {
            *known = Arc::clone(now);
            return;
        }
        if let Some(before) = before.filter(|record| self.wanted.filter.takes(record)) {
            let known = self.place(before).ok();
            // There in another state than the one before.
            let known = known.or_else(|| self.records.iter().position(|r| r.record_id() == id));
            if let Some(at) = known {
                self.records.remove(at);
            }
        }
        if let Some(now) = now
            && let Err(at) = self.place(now)
        {
            self.records.insert(at, Arc::clone(now));
        }
    }

    /// Where a record is, or belongs.
    fn place(&self, record: &R) -> Result<usize, usize> {
        let compare = |other: &Arc<R>| self.wanted.sort.compare(other, record, &self.names);
        self.records.binary_search_by(compare)
    }

    /// A page of the same list.
    pub(crate) fn page(&self, wanted: &Wanted<R>) -> Selected<R> {
        let names = &self.names;
        let is_before = |record: &Arc<R>| {
            let after = wanted.after.as_ref();
            after.is_some_and(|place| !wanted.sort.is_after(record, place, names))
        };
        let from = self.records.partition_point(is_before);
        let rest = self.records.get(from..).unwrap_or_default();
        let page = rest.get(..wanted.limit).unwrap_or(rest).to_vec();
        let more = rest.len() > wanted.limit;
        wanted.selected(page, more, self.records.len() as u64, names)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use contracts::host::VmState;
    use contracts::inventory::Vm;

    use super::*;
    use crate::core::list::ListQuery;
    use crate::core::names::tests::some_names;

    fn vm(n: u32, name: u32, is_running: bool) -> Arc<Vm> {
        let state = if is_running {
            VmState::Running
        } else {
            VmState::Stopped
        };
        Arc::new(Vm {
            id: format!("v{n:03}"),
            name: format!("web-{name}"),
            state: state.into(),
            ..Vm::default()
        })
    }

    fn wanted(filter: &str, cursor: Option<String>, names: &Names) -> Wanted<Vm> {
        let query = ListQuery {
            filter: filter.to_owned(),
            sort: "-name".to_owned(),
            limit: Some(7),
            cursor,
            fields: None,
        };
        Wanted::read(&query, names).unwrap()
    }

    /// Every page of the kept order is the page that a look at all records gives.
    fn assert_same(order: &Order<Vm>, fleet: &BTreeMap<String, Arc<Vm>>, filter: &str) {
        let names = &order.names;
        let mut cursor = None;
        loop {
            let wanted = wanted(filter, cursor, names);
            let (kept, looked) = (order.page(&wanted), wanted.select(fleet.values(), names));
            assert_eq!(kept.records, looked.records);
            assert_eq!(kept.total, looked.total);
            assert_eq!(kept.next_cursor, looked.next_cursor);
            cursor = kept.next_cursor;
            if cursor.is_none() {
                return;
            }
        }
    }

    #[test]
    fn a_kept_order_is_what_a_look_at_all_records_gives() {
        for filter in ["", "state:running"] {
            let names = Arc::new(some_names());
            let mut fleet: BTreeMap<String, Arc<Vm>> = (0..40)
                .map(|n| vm(n, n % 5, n % 3 == 0))
                .map(|vm| (vm.id.clone(), vm))
                .collect();
            let wanted = wanted(filter, None, &names);
            let mut order = Order::new(wanted, Arc::clone(&names), fleet.values());
            assert_same(&order, &fleet, filter);
            for round in 0..200_u32 {
                let (n, name) = (round * 7 % 60, round % 11);
                let id = format!("v{n:03}");
                let before = match round % 4 {
                    3 => fleet.remove(&id),
                    _ => fleet.insert(id.clone(), vm(n, name, round % 2 == 0)),
                };
                // Something that the list is not sorted by.
                if let Some(vm) = fleet.get_mut(&id) {
                    Arc::make_mut(vm).report_sequence = u64::from(round);
                }
                order.change(&id, before.as_deref(), fleet.get(&id));
                // Told once more.
                order.change(&id, before.as_deref(), fleet.get(&id));
                assert_same(&order, &fleet, filter);
            }
        }
    }

    #[test]
    fn changes_that_are_told_late_lead_to_what_is_there_now() {
        let names = Arc::new(some_names());
        let [first, second, third] = [vm(1, 1, true), vm(1, 2, true), vm(1, 3, true)];
        let mut fleet = BTreeMap::from([("v001".to_owned(), Arc::clone(&first))]);
        let mut order = Order::new(wanted("", None, &names), names, fleet.values());
        fleet.insert("v001".to_owned(), Arc::clone(&third));
        order.change("v001", Some(&first), Some(&third));
        order.change("v001", Some(&second), Some(&third));
        assert_same(&order, &fleet, "");
        fleet.clear();
        order.change("v001", Some(&second), None);
        assert_same(&order, &fleet, "");
    }
}
