//! What the gateway answers: routes and document from one definition.

mod change;
mod console;
mod events;
mod extract;
mod groups;
mod health;
mod hosts;
mod images;
mod jobs;
mod layers;
mod library;
mod lists;
mod performance;
mod placement;
mod profiles;
mod refreshers;
mod status;
mod templates;
mod vms;
mod watch;
mod webhooks;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use contracts::call::Call;
use contracts::{Status, rest};
use kit::bus::Bus;
use kit::service::Parts;
use kit::world::World;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Config;
use crate::error::Outcome;
use crate::events::Hub;
use crate::store::Views;

pub(crate) use extract::parse_body;

/// What every request shares.
pub(crate) struct App {
    config: Config,
    instance: String,
    bus: Arc<dyn Bus>,
    caller: Arc<dyn Call>,
    world: World,
    stop: CancellationToken,
    streams: Arc<Semaphore>,
    ready: OnceLock<Ready>,
}

/// What is there once the views have caught up.
pub(crate) struct Ready {
    views: Arc<Views>,
    hub: Arc<Hub>,
}

impl Ready {
    pub(crate) async fn open(parts: &Parts<Config>) -> anyhow::Result<Self> {
        let views = Arc::new(Views::open(parts).await?);
        let hub = Hub::start(&parts.bus, parts.stop.clone()).await?;
        Ok(Self { views, hub })
    }
}

impl App {
    pub(crate) fn new(parts: &Parts<Config>) -> Arc<Self> {
        Arc::new(Self {
            config: parts.config.clone(),
            instance: parts.common.instance.clone(),
            bus: Arc::clone(&parts.bus),
            caller: Arc::clone(&parts.caller),
            world: parts.world.clone(),
            stop: parts.stop.clone(),
            streams: Arc::new(Semaphore::new(parts.config.streams_max)),
            ready: OnceLock::new(),
        })
    }

    pub(crate) fn set_ready(&self, ready: Ready) {
        // It is opened once.
        let _ = self.ready.set(ready);
    }

    fn ready(&self) -> Outcome<&Ready> {
        self.ready.get().ok_or_else(|| {
            let message = "The gateway has not yet seen the whole fleet since it was started.";
            let action =
                "Try again in a moment. If it stays so, check that inventory and jobs run.";
            Status::unavailable(message).action(action).into()
        })
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Muster",
    version = "1",
    license(name = "Apache-2.0", identifier = "Apache-2.0"),
    description = "An open manager for fleets of virtual machines.\n\n\
        Every change is a job: it answers 202 with the job, or 200 with the plan when `dry_run=true`. \
        Failures are problem documents (RFC 9457) with a `code`, what happened to which object, and what to do next. \
        An object is named by its id or its exact name. \
        `Muster-Revision` goes both ways: give the last one back, and the answer reflects at least that.\n\n\
        There is no sign-in yet: everybody is `local`."
    ),
    // What only parameters and shared answers name, which the routes do not bring along.
    components(schemas(rest::Job, rest::Plan, rest::Problem, rest::IfBusy, vms::Action))
)]
struct Document;

fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::openapi))
        .routes(routes!(health::descriptors))
        .routes(routes!(status::status))
        .routes(routes!(groups::list, groups::create))
        .routes(routes!(groups::get, groups::update, groups::delete))
        .routes(routes!(hosts::list))
        .routes(routes!(hosts::get, hosts::set))
        .routes(routes!(hosts::add))
        .routes(routes!(hosts::remove))
        .routes(routes!(hosts::relocate))
        .routes(routes!(hosts::create_join_token))
        .routes(routes!(refreshers::list))
        .routes(routes!(refreshers::get, refreshers::set))
        .routes(routes!(refreshers::refresh_host))
        .routes(routes!(images::copy))
        .routes(routes!(images::delete))
        .routes(routes!(images::throttle_host))
        .routes(routes!(images::throttle_job))
        .routes(routes!(vms::list, vms::create))
        .routes(routes!(vms::get, vms::update, vms::delete))
        .routes(routes!(vms::act))
        .routes(routes!(vms::clone))
        .routes(routes!(vms::store))
        .routes(routes!(vms::make_template))
        .routes(routes!(console::screenshot))
        .routes(routes!(console::log))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::get))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::restart))
        .routes(routes!(watch::watch))
        .routes(routes!(placement::rate))
        .routes(routes!(performance::top))
        .routes(routes!(performance::host))
        .routes(routes!(performance::vm))
        .routes(routes!(placement::why))
        .routes(routes!(placement::simulate))
        .routes(routes!(placement::list_rules, placement::add_rule))
        .routes(routes!(placement::remove_rule))
        .routes(routes!(events::events))
        .routes(routes!(library::list_servers, library::add_server))
        .routes(routes!(library::update_server, library::remove_server))
        .routes(routes!(library::list_shares, library::add_share))
        .routes(routes!(library::remove_share))
        .routes(routes!(library::refresh_share))
        .routes(routes!(library::list_items))
        .routes(routes!(
            library::get_item,
            library::update_item,
            library::remove_item
        ))
        .routes(routes!(library::convert_item))
        .routes(routes!(library::deploy_item))
        .routes(routes!(
            templates::list_templates,
            templates::create_template
        ))
        .routes(routes!(
            templates::get_template,
            templates::replace_template,
            templates::remove_template
        ))
        .routes(routes!(profiles::list_hardware, profiles::create_hardware))
        .routes(routes!(
            profiles::get_hardware,
            profiles::replace_hardware,
            profiles::remove_hardware
        ))
        .routes(routes!(profiles::list_guest, profiles::create_guest))
        .routes(routes!(
            profiles::get_guest,
            profiles::replace_guest,
            profiles::remove_guest
        ))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::get, webhooks::update, webhooks::remove))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::dead_letters))
        .routes(routes!(webhooks::redeliver))
}

pub(crate) fn document() -> OpenApi {
    routes().into_openapi()
}

/// Every route behind the layers that every request goes through.
pub(crate) fn service(app: Arc<App>) -> Router {
    let (router, _) = routes().split_for_parts();
    let router = router
        .fallback(layers::no_such_route)
        .method_not_allowed_fallback(layers::no_such_method);
    wrap(router, &app).with_state(app)
}

fn wrap(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    router
        .layer(DefaultBodyLimit::max(app.config.body_bytes_max))
        .layer(from_fn_with_state(Arc::clone(app), layers::guard))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn_with_state(Arc::clone(app), layers::around))
}

/// What every operation may answer beside its own.
#[derive(utoipa::IntoResponses)]
#[response(
    status = "default",
    description = "What went wrong (RFC 9457)",
    content_type = "application/problem+json"
)]
#[allow(dead_code)] // It is there for the document alone.
struct Failed(rest::Problem);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// axum tells its routes in its debug form alone: `RouteId(3): "/api/v1/vms"`.
    fn served(router: &Router<Arc<App>>) -> BTreeSet<String> {
        let shown = format!("{router:?}");
        let (shown, _) = shown.split_once("fallback_router").unwrap();
        let paths = shown
            .split("RouteId(")
            .filter_map(|after| after.split_once("): \""));
        let paths = paths.filter_map(|(_, path)| path.split_once('"'));
        paths
            .map(|(path, _)| path.to_owned())
            .filter(|path| path.starts_with('/'))
            .collect()
    }

    #[test]
    fn no_path_is_served_that_the_document_does_not_name() {
        let (router, document) = routes().split_for_parts();
        let documented: BTreeSet<String> = document.paths.paths.keys().cloned().collect();
        assert!(documented.len() > 20);
        assert_eq!(served(&router), documented);
        let more = router.route("/secret", axum::routing::get(|| async {}));
        assert!(
            served(&more).contains("/secret"),
            "a route that is not documented would be seen"
        );
    }
}
