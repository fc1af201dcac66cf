//! Templates. The library says how they stand; the gateway keeps no view of them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use contracts::common::Empty;
use contracts::library::{DefinitionRef, Put, PutTemplateRequest, TemplatesClient};
use contracts::names::shorten;
use contracts::rest::{SetTemplate, Template, TemplateList};

use super::Failed;
use super::change::ReadHeaders;
use super::extract::{Asked, Body, PRINCIPAL, Path};
use super::library::answer;
use crate::error::{Failure, Outcome};

pub(super) fn client(asked: &Asked) -> TemplatesClient {
    TemplatesClient::new(asked.app.caller.clone())
}

/// What is known by its name is not renamed.
pub(super) fn same_name(there: &str, wanted: &str) -> Outcome<()> {
    if there.to_lowercase() == wanted.to_lowercase() {
        return Ok(());
    }
    Err(Failure::invalid(
        "name",
        format!("{there} would be renamed to {}.", shorten(wanted)),
        "Make another one of that name, and remove this one.",
    ))
}

async fn put_template(asked: &Asked, put: Put, request: SetTemplate) -> Outcome<Template> {
    let request = PutTemplateRequest {
        put: put.into(),
        template: Some(request.of(PRINCIPAL)),
    };
    let made = client(asked).put_template(&asked.context, &request).await?;
    Ok(made.into())
}

/// Templates, in order of their names.
#[utoipa::path(get, path = "/api/v1/templates", tag = "library", operation_id = "list_templates",
    params(ReadHeaders), responses((status = 200, description = "All of them", body = TemplateList), Failed))]
pub(super) async fn list_templates(asked: Asked) -> Outcome<Response> {
    let listed = client(&asked)
        .list_templates(&asked.context, &Empty {})
        .await?;
    let items = listed.templates.into_iter().map(Into::into).collect();
    Ok(answer(&asked, Json(TemplateList { items })))
}

/// Makes a template.
#[utoipa::path(post, path = "/api/v1/templates", tag = "library", operation_id = "create_template",
    params(ReadHeaders), request_body = SetTemplate,
    responses((status = 201, description = "The template", body = Template), Failed))]
pub(super) async fn create_template(
    asked: Asked,
    Body(request): Body<SetTemplate>,
) -> Outcome<Response> {
    let made = put_template(&asked, Put::Create, request).await?;
    Ok(answer(&asked, (StatusCode::CREATED, Json(made))))
}

/// One template.
#[utoipa::path(get, path = "/api/v1/templates/{id_or_name}", tag = "library", operation_id = "get_template",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 200, description = "The template", body = Template), Failed))]
pub(super) async fn get_template(
    asked: Asked,
    Path(definition): Path<String>,
) -> Outcome<Response> {
    let request = DefinitionRef { definition };
    let found = client(&asked)
        .get_template(&asked.context, &request)
        .await?;
    Ok(answer(&asked, Json(Template::from(found))))
}

/// Puts another template in the place of one. It keeps its name.
#[utoipa::path(put, path = "/api/v1/templates/{id_or_name}", tag = "library", operation_id = "replace_template",
    params(("id_or_name" = String, Path), ReadHeaders), request_body = SetTemplate,
    responses((status = 200, description = "The template", body = Template), Failed))]
pub(super) async fn replace_template(
    asked: Asked,
    Path(definition): Path<String>,
    Body(request): Body<SetTemplate>,
) -> Outcome<Response> {
    let named = DefinitionRef { definition };
    let there = client(&asked).get_template(&asked.context, &named).await?;
    same_name(&there.name, &request.name)?;
    let made = put_template(&asked, Put::Replace, request).await?;
    Ok(answer(&asked, Json(made)))
}

/// Forgets a template. Machines that were made from it stay as they are.
#[utoipa::path(delete, path = "/api/v1/templates/{id_or_name}", tag = "library", operation_id = "remove_template",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 204, description = "It is forgotten"), Failed))]
pub(super) async fn remove_template(
    asked: Asked,
    Path(definition): Path<String>,
) -> Outcome<Response> {
    let request = DefinitionRef { definition };
    client(&asked)
        .remove_template(&asked.context, &request)
        .await?;
    Ok(answer(&asked, StatusCode::NO_CONTENT))
}
