//! `state:running,host:host-1,name:web*,tag.env:prod,created:>2026-01-01T00:00:00Z`.
//!
//! Terms of different fields must all hold; terms of one field are alternatives, unless they are bounds (`>`, `<`),
//! which must all hold. Case is ignored, `*` stands for anything, and a value with a comma is put in double quotes.

use std::collections::HashSet;

use contracts::names::shorten;

use super::fields::{Cell, Field, Is, Listed, Selector, field_names, shown_state};
use super::names::Names;
use crate::error::{Failure, Outcome};

/// Terms in one filter. Each costs a look at every record.
const TERMS_MAX: usize = 32;

/// Longest filter.
const CHARS_MAX: usize = 2_000;

pub(crate) struct Filter<R: 'static> {
    terms: Vec<Term<R>>,
}

struct Term<R: 'static> {
    name: String,
    selector: Selector<R>,
    tests: Vec<Test>,
}

enum Test {
    Like(Pattern),
    /// What a machine does, with the hosts that do not respond.
    State {
        pattern: Pattern,
        silent: HashSet<String>,
    },
    Equal(i64),
    More(i64),
    Less(i64),
    /// Ids of hosts or groups.
    OneOf(HashSet<String>),
}

impl<R: Listed> Filter<R> {
    /// Reads a filter; names of hosts and groups are looked up once, here.
    pub(crate) fn parse(text: &str, names: &Names) -> Outcome<Self> {
        if text.len() > CHARS_MAX {
            return Err(wrong(format!(
                "The filter has more than {CHARS_MAX} characters."
            )));
        }
        let mut terms: Vec<Term<R>> = Vec::new();
        for (name, value) in split(text)? {
            let selector =
                Selector::find(&name).ok_or_else(|| unknown_field::<R>("filter", &name))?;
            let test = test(&name, &selector, &value, names)?;
            match terms.iter_mut().find(|term| term.name == name) {
                Some(term) => term.tests.push(test),
                None => terms.push(Term {
                    name,
                    selector,
                    tests: vec![test],
                }),
            }
        }
        if terms.iter().map(|term| term.tests.len()).sum::<usize>() > TERMS_MAX {
            return Err(wrong(format!(
                "The filter has more than {TERMS_MAX} terms."
            )));
        }
        Ok(Self { terms })
    }

    pub(crate) fn takes(&self, record: &R) -> bool {
        self.terms.iter().all(|term| term.takes(record))
    }
}

impl<R: Listed> Term<R> {
    fn takes(&self, record: &R) -> bool {
        let mut alternatives = self.tests.iter().filter(|test| !test.is_bound()).peekable();
        let mut bounds = self.tests.iter().filter(|test| test.is_bound());
        let holds = |test: &Test| self.selector.any(record, |cell| test.holds(cell));
        bounds.all(holds) && (alternatives.peek().is_none() || alternatives.any(holds))
    }
}

impl<R: Listed> Selector<R> {
    fn any(&self, record: &R, holds: impl Fn(Cell<'_>) -> bool) -> bool {
        match self {
            Self::Tag(key) => record
                .tag(key)
                .is_some_and(|value| holds(Cell::Text(value))),
            Self::Fields(fields) => fields.iter().any(|field| holds((field.get)(record))),
        }
    }
}

impl Test {
    fn is_bound(&self) -> bool {
        matches!(self, Self::More(_) | Self::Less(_))
    }

    fn holds(&self, cell: Cell<'_>) -> bool {
        match (self, cell) {
            (Self::Like(pattern), Cell::Text(text)) => pattern.matches(text),
            (Self::State { pattern, silent }, Cell::State { word, host_id }) => {
                pattern.matches(shown_state(word, host_id, |id| silent.contains(id)))
            }
            (Self::OneOf(ids), Cell::Text(id)) => ids.contains(id),
            (Self::Equal(wanted), Cell::Number(value)) => value == *wanted,
            (Self::More(bound), Cell::Number(value)) => value > *bound,
            (Self::Less(bound), Cell::Number(value)) => value < *bound,
            _ => false,
        }
    }
}

fn test<R: Listed>(
    name: &str,
    selector: &Selector<R>,
    value: &str,
    names: &Names,
) -> Outcome<Test> {
    let is = match selector {
        Selector::Tag(_) => Is::Text,
        Selector::Fields(fields) => fields
            .first()
            .map_or(Is::Text, |field: &&Field<R>| field.is),
    };
    let pattern = Pattern::new(value);
    Ok(match is {
        Is::Text => Test::Like(pattern),
        Is::State => Test::State {
            pattern,
            silent: names.silent().clone(),
        },
        Is::Host => Test::OneOf(names.hosts_like(|name| pattern.matches(name))),
        Is::Group => Test::OneOf(names.groups_like(|name| pattern.matches(name))),
        Is::Number | Is::Time => number_test(name, is, value)?,
    })
}

fn number_test(name: &str, is: Is, value: &str) -> Outcome<Test> {
    let (make, text): (fn(i64) -> Test, &str) = match value.split_at_checked(1) {
        Some((">", rest)) => (Test::More, rest),
        Some(("<", rest)) => (Test::Less, rest),
        _ => (Test::Equal, value),
    };
    let number = if is == Is::Time {
        text.parse::<jiff::Timestamp>()
            .ok()
            .map(|t| t.as_millisecond())
    } else {
        text.parse().ok()
    };
    number.map(make).ok_or_else(|| {
        let kind = if is == Is::Time {
            "a time as 2026-01-31T12:00:00Z"
        } else {
            "a whole number"
        };
        Failure::invalid(
            "filter",
            format!(
                "filter: {name} is compared with {:?}, which is not {kind}.",
                shorten(text)
            ),
            "Write the value alone, or after > or <.",
        )
    })
}

pub(super) fn unknown_field<R: Listed>(parameter: &str, name: &str) -> Failure {
    Failure::invalid(
        parameter,
        format!("{parameter}: there is no field {:?}.", shorten(name)),
        &format!("Use one of: {}.", field_names::<R>()),
    )
}

fn wrong(message: String) -> Failure {
    Failure::invalid(
        "filter",
        message,
        "Write it as field:value,field:value; put a value with a comma in double quotes.",
    )
}

/// Terms as field and value.
fn split(text: &str) -> Outcome<Vec<(String, String)>> {
    let mut terms = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest
            .split_once(':')
            .ok_or_else(|| wrong(format!("filter: {:?} has no colon.", shorten(rest))))?;
        let (value, after) = take_value(after)?;
        terms.push((name.trim().to_owned(), value));
        rest = after.trim_start();
    }
    Ok(terms)
}

/// One value, and what follows its comma.
fn take_value(text: &str) -> Outcome<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, after) = text.split_once(',').unwrap_or((text, ""));
        return Ok((value.trim().to_owned(), after));
    };
    let (value, after) = quoted
        .split_once('"')
        .ok_or_else(|| wrong("filter: a double quote is not closed.".to_owned()))?;
    match after.strip_prefix(',') {
        Some(after) => Ok((value.to_owned(), after)),
        None if after.is_empty() => Ok((value.to_owned(), "")),
        None => Err(wrong(format!(
            "filter: after {value:?} there must be a comma."
        ))),
    }
}

/// A text in which `*` stands for anything.
struct Pattern(Vec<u8>);

impl Pattern {
    fn new(text: &str) -> Self {
        Self(text.to_ascii_lowercase().into_bytes())
    }

    /// Goes back to the last `*` on a mismatch: never more than pattern times text, whatever is asked.
    fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_slice(), text.as_bytes());
        let (mut p, mut t) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while let Some(byte) = text.get(t) {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(wanted) if *wanted == byte.to_ascii_lowercase() => {
                    p += 1;
                    t += 1;
                }
                _ => {
                    let Some((star_p, star_t)) = star else {
                        return false;
                    };
                    star = Some((star_p, star_t + 1));
                    p = star_p + 1;
                    t = star_t + 1;
                }
            }
        }
        pattern.iter().skip(p).all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use contracts::host::{Hardware, VmState};
    use contracts::inventory::Vm;
    use contracts::jobs::Job;

    use super::*;
    use crate::core::names::tests::some_names;

    fn vm() -> Vm {
        Vm {
            id: "v1".to_owned(),
            name: "Web-01".to_owned(),
            host_id: "h1".to_owned(),
            group_id: "g2".to_owned(),
            state: VmState::Running.into(),
            owner: "Doe, Jane".to_owned(),
            tags: [("env".to_owned(), "prod".to_owned())].into(),
            hardware: Some(Hardware {
                vcpus: 4,
                ..Hardware::default()
            }),
            created_ms: 1_767_225_600_000,
            ..Vm::default()
        }
    }

    fn takes(filter: &str) -> bool {
        Filter::<Vm>::parse(filter, &some_names())
            .unwrap()
            .takes(&vm())
    }

    #[test]
    fn every_field_that_is_named_must_hold() {
        for yes in [
            "",
            "state:running",
            "name:web*",
            "name:*-01",
            "name:w*b*1",
            "tag.env:prod",
            "host:host-1",
            "host:h1",
            "group:Prod",
            "group:all-hosts",
            "group:\"All Hosts/Prod\"",
            "state:running,tag.env:PROD,vcpus:4",
            "owner:\"Doe, Jane\",vcpus:>3",
            "vcpus:>3,vcpus:<5",
            "created:>2025-12-31T00:00:00Z",
            "state:stopped,state:running",
        ] {
            assert!(takes(yes), "{yes}");
        }
        for no in [
            "state:stopped",
            "name:web",
            "name:db*",
            "tag.env:test",
            "tag.zone:*",
            "host:host-2",
            "group:Test",
            "state:running,vcpus:2",
            "vcpus:>4",
            "vcpus:>3,vcpus:<4",
            "created:<2025-12-31T00:00:00Z",
            "host:nobody",
        ] {
            assert!(!takes(no), "{no}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (filter, named) in [
            ("colour:red", "colour"),
            ("state", "state"),
            ("vcpus:many", "vcpus"),
            ("created:>today", "created"),
            ("name:\"open", "quote"),
            ("name:\"a\"b", "comma"),
            ("tag.:x", "tag."),
            (":x", ""),
        ] {
            let failure = Filter::<Vm>::parse(filter, &some_names()).err().unwrap();
            assert_eq!(failure.status().field, "filter", "{filter}");
            assert!(
                failure.status().message.contains(named),
                "{filter}: {}",
                failure.status()
            );
        }
        assert!(Filter::<Job>::parse("tag.env:x", &some_names()).is_err());
        assert!(Filter::<Vm>::parse(&"name:a,".repeat(40), &some_names()).is_err());
        assert!(Filter::<Vm>::parse(&"x".repeat(3_000), &some_names()).is_err());
    }

    #[test]
    fn a_job_is_found_by_id_or_name_of_its_target() {
        let job = Job {
            target: Some(contracts::ObjectRef::new("vm", "v1", "web-01")),
            ..Job::default()
        };
        for filter in ["target:v1", "target:web-01", "target_kind:vm"] {
            assert!(
                Filter::<Job>::parse(filter, &some_names())
                    .unwrap()
                    .takes(&job)
            );
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_it_is() {
        let pattern = Pattern::new(&"*a".repeat(500));
        assert!(!pattern.matches(&"b".repeat(100_000)));
    }
}
