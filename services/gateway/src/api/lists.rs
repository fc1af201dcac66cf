//! Answering lists and single objects from the views.

use axum::Json;
use axum::response::{IntoResponse, Response};
use contracts::call::Revisions;
use contracts::records::Record;
use contracts::rest::Page;
use serde_json::value::RawValue;

use super::extract::{Asked, Reflecting};
use crate::core::fields::Listed;
use crate::core::list::{ListQuery, show};
use crate::error::Outcome;
use crate::store::Kind;

/// One page of records as they are.
pub(super) async fn list<R: Listed>(
    asked: &Asked,
    kind: &Kind<R>,
    query: &ListQuery,
) -> Outcome<Response> {
    if query.fields.is_some() {
        return list_with(asked, kind, query, |_| Ok(())).await;
    }
    let names = asked.views.names()?;
    let (selected, revision) = kind.page(query, &names).await?;
    let texts = kind.rendered(&selected.records, &names)?;
    let page = Page {
        items: texts.iter().map(AsRef::<RawValue>::as_ref).collect(),
        next_cursor: selected.next_cursor,
        total: selected.total,
    };
    Ok(Reflecting(of::<R>(revision), Json(page)).into_response())
}

/// One page, `complete` with what other records say of the items.
pub(super) async fn list_with<R: Listed>(
    asked: &Asked,
    kind: &Kind<R>,
    query: &ListQuery,
    complete: impl FnOnce(&mut [R::Rest]) -> Outcome<()>,
) -> Outcome<Response> {
    let names = asked.views.names()?;
    let (selected, revision) = kind.page(query, &names).await?;
    let mut items: Vec<R::Rest> = selected.records.iter().map(|r| r.to_rest(&names)).collect();
    complete(&mut items)?;
    let page = Page {
        items,
        next_cursor: selected.next_cursor,
        total: selected.total,
    };
    let shown = show(page, query.fields.as_deref())?;
    Ok(Reflecting(of::<R>(revision), Json(shown)).into_response())
}

/// One object.
pub(super) fn one<R: Listed>(
    asked: &Asked,
    record: &R,
    revision: u64,
    complete: impl FnOnce(&mut [R::Rest]) -> Outcome<()>,
) -> Outcome<Response> {
    let mut item = [record.to_rest(&*asked.views.names()?)];
    complete(&mut item)?;
    let [item] = item;
    Ok(Reflecting(of::<R>(revision), Json(item)).into_response())
}

pub(super) fn of<R: Record>(revision: u64) -> Revisions {
    Revisions::from([(R::BUCKET.to_owned(), revision)])
}
