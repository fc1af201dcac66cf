//! What the performance service answers.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use contracts::call::{Call, Context};
use contracts::performance::{
    HistoryRequest, HistoryResponse, Performance, Point, Resolution, TopEntry, TopRequest,
    TopResponse,
};
use contracts::records::Record;
use contracts::{ObjectRef, Status, names};
use kit::records::{Mirror, Stored};

use crate::core::figures;
use crate::core::fleet::{Kind, Ranked};
use crate::core::{pack, scope};
use crate::samples::{MINUTE_MS, Measured, figure};
use crate::week::{INTERVAL_MS, INTERVALS, key};

/// Rows of a list where nobody says how many, and at most.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 1_000;

const HOUR_MS: i64 = 3_600_000;

pub(crate) struct Api {
    pub(crate) measured: Arc<Measured>,
    pub(crate) caller: Arc<dyn Call>,
}

impl Api {
    pub(crate) fn new(measured: Arc<Measured>, caller: Arc<dyn Call>) -> Self {
        Self { measured, caller }
    }

    /// Hosts in a group and below; `None`: all hosts.
    fn scope(&self, group_id: &str) -> Result<Option<HashSet<String>>, Status> {
        if group_id.is_empty() {
            return Ok(None);
        }
        names::check_id("group_id", group_id)?;
        let (groups, hosts) = (&self.measured.groups, &self.measured.hosts);
        if groups.get(group_id)?.is_none() {
            return Err(Status::not_found(ObjectRef::new(
                "host_group",
                group_id,
                "",
            )));
        }
        let groups = all(groups)?.into_iter();
        let groups = groups.map(|group| (group.id.clone(), group)).collect();
        Ok(Some(scope::hosts_in(group_id, &groups, &all(hosts)?)))
    }

    fn minutes(&self, kind: Kind, id: &str, span: Span) -> Vec<Point> {
        let (from, to) = span.in_units_of(MINUTE_MS);
        let samples = self.measured.fleet().minutes(kind, id, from, to);
        let point =
            |(minute, figures): &(i64, figures::Figures)| point(minute * MINUTE_MS, figures);
        samples.iter().map(point).collect()
    }

    async fn means(&self, kind: Kind, id: &str, span: Span) -> Result<Vec<Point>, Status> {
        let (measured, key) = (Arc::clone(&self.measured), key(kind, id));
        let (from, to) = span.in_units_of(INTERVAL_MS);
        let read = tokio::task::spawn_blocking(move || measured.week().read(&key, from, to));
        let means = read.await.map_err(std::io::Error::other).flatten();
        let means = means.map_err(|error| unreadable(&error))?;
        let point = |(interval, mean): &(i64, pack::Coarse)| {
            point(interval * INTERVAL_MS, &pack::figures(mean))
        };
        Ok(means.iter().map(point).collect())
    }
}

fn all<R: Record>(mirror: &Mirror<R>) -> Result<Vec<R>, Status> {
    let records = mirror.list()?.into_iter();
    Ok(records.map(|stored: Stored<R>| stored.value).collect())
}

fn unreadable(error: &std::io::Error) -> Status {
    Status::internal(format!(
        "The means of the last week could not be read: {error}."
    ))
    .action("Look into the log of the performance service.")
}

fn kind(text: &str) -> Result<Kind, Status> {
    match text {
        "host" => Ok(Kind::Host),
        "vm" => Ok(Kind::Vm),
        other => Err(Status::invalid(
            "kind",
            format!("{:?} is not measured.", names::shorten(other)),
        )
        .action("Ask for \"host\" or \"vm\".")),
    }
}

fn point(time_ms: i64, figures: &figures::Figures) -> Point {
    Point {
        time_ms,
        usage: Some(figures::to_message(figures)),
    }
}

fn entry(ranked: &Ranked) -> TopEntry {
    TopEntry {
        id: ranked.id.clone(),
        host_id: ranked.host_id.clone(),
        time_ms: ranked.minute * MINUTE_MS,
        usage: Some(figures::to_message(&ranked.figures)),
    }
}

/// From when to when, in milliseconds since 1970.
#[derive(Clone, Copy)]
struct Span {
    from_ms: i64,
    to_ms: i64,
}

impl Span {
    fn of(request: &HistoryRequest, now_ms: i64) -> Result<Self, Status> {
        let or = |given: i64, otherwise: i64| if given == 0 { otherwise } else { given };
        let span = Self {
            from_ms: or(request.from_ms, now_ms - HOUR_MS).max(0),
            to_ms: or(request.to_ms, now_ms).min(now_ms),
        };
        if span.from_ms > span.to_ms {
            return Err(Status::invalid(
                "from_ms",
                "The span ends before it begins, or lies in the future.",
            )
            .action("Ask for a span from an earlier to a later time, at most a week back."));
        }
        Ok(span)
    }

    /// The first unit and the last one that the span touches.
    fn in_units_of(self, unit_ms: i64) -> (i64, i64) {
        let week = self.to_ms - INTERVALS * INTERVAL_MS;
        let from_ms = self.from_ms.max(week);
        (from_ms.div_euclid(unit_ms), self.to_ms.div_euclid(unit_ms))
    }

    fn resolution(self, asked: Resolution, now_ms: i64) -> Resolution {
        match asked {
            Resolution::Unspecified if self.from_ms >= now_ms - HOUR_MS => Resolution::Minute,
            Resolution::Unspecified => Resolution::NineMinutes,
            asked => asked,
        }
    }
}

#[async_trait]
impl Performance for Api {
    async fn top(&self, _context: &Context, request: TopRequest) -> Result<TopResponse, Status> {
        let (kind, figure) = (kind(&request.kind)?, figure(&request.sort)?);
        let limit = match usize::try_from(request.limit).unwrap_or(LIMIT_MAX) {
            0 => LIMIT_DEFAULT,
            limit => limit.min(LIMIT_MAX),
        };
        let scope = self.scope(&request.group_id)?;
        let in_scope = |host: &str| scope.as_ref().is_none_or(|hosts| hosts.contains(host));
        let minute = self.measured.minute();
        let fleet = self.measured.fleet();
        let (rows, total) = fleet.top(kind, figure, limit, minute, in_scope);
        Ok(TopResponse {
            entries: rows.iter().map(entry).collect(),
            total: total as u64,
        })
    }

    async fn history(
        &self,
        _context: &Context,
        request: HistoryRequest,
    ) -> Result<HistoryResponse, Status> {
        let kind = kind(&request.kind)?;
        names::check_id("id", &request.id)?;
        let now_ms = self.measured.now_ms();
        let span = Span::of(&request, now_ms)?;
        let resolution = span.resolution(request.resolution(), now_ms);
        let points = match resolution {
            Resolution::NineMinutes => self.means(kind, &request.id, span).await?,
            Resolution::Minute | Resolution::Unspecified => self.minutes(kind, &request.id, span),
        };
        Ok(HistoryResponse {
            resolution: resolution.into(),
            points,
        })
    }
}
