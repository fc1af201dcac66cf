//! One page of a list: filter, order, place, fields.

use std::sync::Arc;

use contracts::rest::Page;
use contracts::subjects;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema};

use super::fields::Listed;
use super::filter::Filter;
use super::names::Names;
use super::sort::{Place, Sort, list_name, read_cursor, write_cursor};
use crate::error::{Failure, Outcome};

/// Items on a page when the client does not say.
const LIMIT_DEFAULT: usize = 100;

/// Too high and one client keeps the gateway busy for long; a client that wants all reads page after page.
const LIMIT_MAX: usize = 1_000;

/// Which part of a list a client wants.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// `field:value,field:value`. Different fields must all match; values of one field are alternatives. `*` stands
    /// for anything, case is ignored, `>` and `<` bound numbers and times, a value with a comma is put in double
    /// quotes. A group matches with all groups below it. Example: `state:running,group:Prod,tag.env:prod`.
    #[param(value_type = Option<String>)]
    pub(crate) filter: String,
    /// Fields, each with `-` before it for descending: `name,-created`.
    #[param(value_type = Option<String>)]
    pub(crate) sort: String,
    /// Items on a page, 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    pub(crate) limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub(crate) cursor: Option<String>,
    /// Only these fields of each item: `id,name,state`.
    pub(crate) fields: Option<String>,
}

/// The records of one page, in order.
pub(crate) struct Selected<R> {
    pub(crate) records: Vec<Arc<R>>,
    pub(crate) next_cursor: Option<String>,
    pub(crate) total: u64,
}

/// A page that is wanted: of which list, from where.
pub(crate) struct Wanted<R: 'static> {
    /// Names the list.
    pub(crate) list: String,
    pub(crate) filter: Filter<R>,
    pub(crate) sort: Sort<R>,
    pub(crate) after: Option<Place>,
    pub(crate) limit: usize,
}

impl<R: Listed> Wanted<R> {
    pub(crate) fn read(query: &ListQuery, names: &Names) -> Outcome<Self> {
        let order = if query.sort.trim().is_empty() {
            R::DEFAULT_SORT
        } else {
            &query.sort
        };
        let filter = Filter::<R>::parse(&query.filter, names)?;
        let sort = Sort::<R>::parse(order)?;
        let list = list_name(R::BUCKET, &query.filter, order);
        let cursor = query.cursor.as_deref();
        let after = cursor.map(|text| read_cursor(&list, text)).transpose()?;
        Ok(Self {
            list,
            filter,
            sort,
            after,
            limit: limit(query.limit)?,
        })
    }

    /// Picks the page out of all records.
    pub(crate) fn select<'a>(
        &self,
        records: impl Iterator<Item = &'a Arc<R>>,
        names: &Names,
    ) -> Selected<R> {
        let (sort, limit) = (&self.sort, self.limit);
        let mut total = 0;
        let mut rest: Vec<&Arc<R>> = records
            .filter(|record| self.filter.takes(record))
            .inspect(|_| total += 1)
            .filter(|record| {
                self.after
                    .as_ref()
                    .is_none_or(|place| sort.is_after(record, place, names))
            })
            .collect();
        let more = rest.len() > limit;
        if more {
            // The page's records come to the front, so that only they need sorting.
            rest.select_nth_unstable_by(limit, |a, b| sort.compare(a, b, names));
            rest.truncate(limit);
        }
        rest.sort_unstable_by(|a, b| sort.compare(a, b, names));
        let records = rest.into_iter().cloned().collect();
        self.selected(records, more, total, names)
    }

    pub(crate) fn selected(
        &self,
        records: Vec<Arc<R>>,
        more: bool,
        total: u64,
        names: &Names,
    ) -> Selected<R> {
        let last = records.last().filter(|_| more);
        Selected {
            next_cursor: last.map(|record| {
                let place = self.sort.place_of(record, names);
                write_cursor(&self.list, place)
            }),
            records,
            total,
        }
    }
}

fn limit(asked: Option<usize>) -> Outcome<usize> {
    match asked.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        other => Err(Failure::invalid(
            "limit",
            format!("limit: {other} is not between 1 and {LIMIT_MAX}."),
            "Read page after page with next_cursor.",
        )),
    }
}

/// A page with every field of its items, or those that were asked for.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Shown<T: Serialize> {
    Whole(Page<T>),
    Some(Page<Value>),
}

pub(crate) fn show<T: Serialize + PartialSchema>(
    page: Page<T>,
    fields: Option<&str>,
) -> Outcome<Shown<T>> {
    let Some(fields) = fields else {
        return Ok(Shown::Whole(page));
    };
    let wanted = wanted_fields::<T>(fields)?;
    let items = page.items.iter().map(|item| only(item, &wanted)).collect();
    Ok(Shown::Some(Page {
        items,
        next_cursor: page.next_cursor,
        total: page.total,
    }))
}

fn only<T: Serialize>(item: &T, wanted: &[&str]) -> Value {
    let mut value = serde_json::to_value(item).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.retain(|name, _| wanted.contains(&name.as_str()));
    }
    value
}

fn wanted_fields<T: PartialSchema>(fields: &str) -> Outcome<Vec<&str>> {
    let known = property_names::<T>();
    let wanted: Vec<&str> = fields
        .split(',')
        .map(str::trim)
        .filter(|f| !f.is_empty())
        .collect();
    match wanted
        .iter()
        .find(|field| !known.iter().any(|name| name == *field))
    {
        None => Ok(wanted),
        Some(unknown) => Err(Failure::invalid(
            "fields",
            format!(
                "fields: there is no field {:?}.",
                contracts::names::shorten(unknown)
            ),
            &format!("Use some of: {}.", known.join(", ")),
        )),
    }
}

/// Names of a type's properties, from its schema.
fn property_names<T: PartialSchema>() -> Vec<String> {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object.properties.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

/// The kinds of objects that clients see.
pub(crate) const KINDS: [&str; 4] = [
    subjects::buckets::HOST_GROUP,
    subjects::buckets::HOST,
    subjects::buckets::VM,
    subjects::buckets::JOB,
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use contracts::host::VmState;
    use contracts::inventory::Vm;
    use contracts::rest;

    use super::*;
    use crate::core::names::tests::some_names;

    type Fleet = BTreeMap<String, Arc<Vm>>;

    fn vm(id: &str, name: &str, state: VmState, created_ms: i64) -> Vm {
        Vm {
            id: id.to_owned(),
            name: name.to_owned(),
            state: state.into(),
            created_ms,
            ..Vm::default()
        }
    }

    fn put(fleet: &mut Fleet, vm: Vm) {
        fleet.insert(vm.id.clone(), Arc::new(vm));
    }

    fn fleet(count: usize) -> Fleet {
        let mut fleet = Fleet::new();
        for n in 0..count {
            // Names repeat, so that the id has to decide.
            let state = if n % 2 == 0 {
                VmState::Running
            } else {
                VmState::Stopped
            };
            put(
                &mut fleet,
                vm(
                    &format!("v{n:03}"),
                    &format!("web-{:02}", n % 7),
                    state,
                    n as i64,
                ),
            );
        }
        fleet
    }

    fn query(filter: &str, sort: &str, limit: usize, cursor: Option<String>) -> ListQuery {
        ListQuery {
            filter: filter.to_owned(),
            sort: sort.to_owned(),
            limit: Some(limit),
            cursor,
            fields: None,
        }
    }

    fn page(fleet: &Fleet, query: &ListQuery) -> Selected<Vm> {
        select(fleet, query).unwrap()
    }

    fn select(fleet: &Fleet, query: &ListQuery) -> Outcome<Selected<Vm>> {
        let names = some_names();
        let wanted = Wanted::read(query, &names)?;
        Ok(wanted.select(fleet.values(), &names))
    }

    /// Every id, page after page, while `between` changes the fleet.
    fn walk(
        fleet: &mut Fleet,
        filter: &str,
        sort: &str,
        mut between: impl FnMut(&mut Fleet),
    ) -> Vec<String> {
        let (mut ids, mut cursor) = (Vec::new(), None);
        loop {
            let selected = page(fleet, &query(filter, sort, 10, cursor));
            ids.extend(selected.records.iter().map(|vm| vm.id.clone()));
            cursor = selected.next_cursor;
            if cursor.is_none() {
                return ids;
            }
            between(fleet);
        }
    }

    #[test]
    fn pages_in_a_row_are_the_whole_list_in_order() {
        let mut fleet = fleet(95);
        for sort in [
            "",
            "name",
            "-name",
            "state,-created",
            "-created",
            "host,group,tag.env",
        ] {
            let ids = walk(&mut fleet, "", sort, |_| ());
            let all = page(&fleet, &query("", sort, 1_000, None));
            let whole: Vec<String> = all.records.iter().map(|vm| vm.id.clone()).collect();
            assert_eq!(ids, whole, "{sort}");
            assert_eq!((ids.len(), all.total), (95, 95));
        }
        let running = walk(&mut fleet, "state:running", "-created", |_| ());
        assert_eq!(running.len(), 48);
        assert_eq!(running.first().map(String::as_str), Some("v094"));
    }

    #[test]
    fn what_stays_is_seen_once_however_much_comes_and_goes_between_pages() {
        let mut fleet = fleet(95);
        let mut round = 0;
        let ids = walk(&mut fleet, "", "name", |fleet| {
            round += 1;
            // Also the record that the last page ended with goes.
            for id in (0..95).filter(|n| n % 5 == 0).map(|n| format!("v{n:03}")) {
                fleet.remove(&id);
            }
            for n in 0..20 {
                put(
                    fleet,
                    vm(
                        &format!("n{round}-{n}"),
                        &format!("web-{:02}", n % 7),
                        VmState::Running,
                        0,
                    ),
                );
            }
        });
        for stays in (0..95).filter(|n| n % 5 != 0).map(|n| format!("v{n:03}")) {
            assert_eq!(ids.iter().filter(|id| **id == stays).count(), 1, "{stays}");
        }
    }

    #[test]
    fn a_cursor_is_of_use_for_its_own_list_alone() {
        let fleet = fleet(30);
        let cursor = page(&fleet, &query("state:running", "name", 5, None)).next_cursor;
        let changed = Some("AAAA".to_owned());
        for (filter, sort, cursor) in [
            ("state:running", "-name", cursor.clone()),
            ("", "name", cursor.clone()),
            ("state:running", "name", changed),
            ("state:running", "name", Some("%%%".to_owned())),
        ] {
            let refused = select(&fleet, &query(filter, sort, 5, cursor));
            assert_eq!(refused.err().unwrap().status().field, "cursor");
        }
    }

    #[test]
    fn a_limit_or_field_that_makes_no_sense_is_refused_by_name() {
        let fleet = fleet(3);
        for limit in [0, 1_001] {
            let refused = select(&fleet, &query("", "", limit, None));
            assert_eq!(refused.err().unwrap().status().field, "limit");
        }
        let refused = select(&fleet, &query("", "colour", 5, None));
        assert_eq!(refused.err().unwrap().status().field, "sort");
        let empty = Page::<rest::Vm> {
            items: Vec::new(),
            next_cursor: None,
            total: 0,
        };
        let refused = show(empty, Some("id,colour")).err().unwrap();
        assert!(refused.status().message.contains("colour"));
    }

    #[test]
    fn only_the_fields_that_were_asked_for_are_shown() {
        let vm = rest::Vm::from(vm("v1", "web", VmState::Running, 0));
        let page = Page {
            items: vec![vm],
            next_cursor: None,
            total: 1,
        };
        let shown = serde_json::to_value(show(page, Some("id, state")).unwrap()).unwrap();
        assert_eq!(
            shown["items"],
            serde_json::json!([{"id": "v1", "state": "running"}])
        );
    }
}
