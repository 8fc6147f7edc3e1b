//! The HTTP face: one file per verb, and here who answers what.
//!
//! Whatever is not in this list is "Endpoint not found", wrong methods included: the original never said 405. A path that
//! [`crate::metrics::Route`] does not list never gets here: the entrance admits by that list.

mod cors;
mod debug;
mod health;
mod live;
mod lookup;
mod register;
mod status;
mod unregister;

use crate::problem::Problem;
use actix_web::{HttpResponse, web};
pub(crate) use cors::cross_origin;

pub(crate) fn routes(app: &mut web::ServiceConfig) {
    app.service(web::scope(lookup::PREFIX).default_service(web::to(lookup::lookup)));
    get(app, "/health", health::healthy);
    get(app, "/api/health", health::ok);
    get(app, "/api/status", status::status);
    get(app, "/api/debug/players", debug::players);
    app.service(
        web::resource("/api/register").route(web::post().to(register::register)).default_service(nothing()),
    )
    .service(
        web::resource("/api/unregister")
            .route(web::delete().to(unregister::unregister))
            .default_service(nothing()),
    )
    .service(
        web::resource("/api/live")
            .route(web::get().to(live::socket))
            .route(web::post().to(live::poll))
            .default_service(nothing()),
    )
    .default_service(nothing());
}

/// As with the original, what answers GET answers HEAD.
fn get<F, A>(app: &mut web::ServiceConfig, path: &str, handler: F)
where
    F: actix_web::Handler<A> + Clone,
    A: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    app.service(
        web::resource(path)
            .route(web::get().to(handler.clone()))
            .route(web::head().to(handler))
            .default_service(nothing()),
    );
}

fn nothing() -> actix_web::Route {
    web::to(async || -> Result<HttpResponse, Problem> { Err(Problem::NoEndpoint) })
}
