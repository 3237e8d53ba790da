//! From the table of routes to what answers each.

use axum::extract::Request;
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Router, middleware};

use crate::layer::{self, Shared};
use crate::problem::Problem;
use crate::routes::{Endpoint, ROUTES, Route};
use crate::{
    alertmanager, audited, commands, context, ingest, link_page, pagerduty, silences, slack, tail, views,
};

/// The router of the table, with `extra` beside it, behind the layer that every request passes.
pub(crate) fn router(shared: &Shared, extra: Router) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let guard = middleware::from_fn_with_state((shared.clone(), *route), layer::check);
        router = router.route(route.path, handler(route).route_layer(guard));
    }
    router
        .with_state(shared.clone())
        .merge(extra)
        .method_not_allowed_fallback(wrong_method)
        .fallback(nothing_here)
        .layer(middleware::from_fn_with_state(shared.clone(), layer::around))
}

fn handler(route: &Route) -> MethodRouter<Shared> {
    let method = if route.method == "POST" { MethodFilter::POST } else { MethodFilter::GET };
    match route.endpoint {
        Endpoint::Telemetry => on(method, ingest::telemetry),
        Endpoint::Context => on(method, context::context),
        Endpoint::Status => on(method, views::status),
        Endpoint::Incidents => on(method, views::incidents),
        Endpoint::Incident => on(method, views::incident),
        Endpoint::Acknowledge => on(method, commands::acknowledge),
        Endpoint::Mitigate => on(method, commands::mitigate),
        Endpoint::Resolve => on(method, commands::resolve),
        Endpoint::Close => on(method, commands::close),
        Endpoint::Note => on(method, commands::note),
        Endpoint::Raise => on(method, commands::raise),
        Endpoint::Clear => on(method, commands::clear),
        Endpoint::Snooze => on(method, commands::snooze),
        Endpoint::Assign => on(method, commands::assign),
        Endpoint::Merge => on(method, commands::merge),
        Endpoint::Repin => on(method, commands::repin),
        Endpoint::Why => on(method, views::why),
        Endpoint::Silences => on(method, silences::list),
        Endpoint::SilencePreview => on(method, silences::preview),
        Endpoint::SilenceMake => on(method, silences::make),
        Endpoint::SilenceEnd => on(method, silences::end),
        Endpoint::CommandAnswer => on(method, commands::answer),
        Endpoint::Tail => on(method, tail::tail),
        Endpoint::Inbox => on(method, views::inbox),
        Endpoint::DeadLetters => on(method, views::dead_letters),
        Endpoint::Audit => on(method, views::audit),
        Endpoint::AuditVerify => on(method, views::audit_verify),
        Endpoint::AuditAnchors => on(method, audited::anchors),
        Endpoint::Forget => on(method, audited::forget),
        Endpoint::Metrics => on(method, views::metrics),
        Endpoint::Health => on(method, views::health),
        Endpoint::Ready => on(method, views::ready),
        Endpoint::LinkPage => on(method, link_page::show),
        Endpoint::LinkAction => on(method, link_page::act),
        Endpoint::Slack => on(method, slack::interact),
        Endpoint::PagerDuty => on(method, pagerduty::webhook),
        Endpoint::Alertmanager => on(method, alertmanager::webhook),
    }
}

async fn nothing_here() -> Problem {
    Problem::new(404, "no-such-path", "there is nothing at this path").fix("GET /v1/status says what runs")
}

async fn wrong_method(request: Request) -> Problem {
    let known: Vec<_> = ROUTES.iter().filter(|r| r.path == request.uri().path()).map(|r| r.method).collect();
    let problem = Problem::new(405, "wrong-method", format!("{} is not answered here", request.method()));
    if known.is_empty() { problem } else { problem.fix(format!("use {}", known.join(" or "))) }
}
