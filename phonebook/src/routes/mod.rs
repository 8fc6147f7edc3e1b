//! The handlers, and the one function that dispatches to them.
//!
//! [`serve`] matches every [`Route`] and needs the [`Caller`] that only the admission makes. A route without a
//! handler, a request without an admission and a wrong method are "Endpoint not found": the original has no 405.

mod answer;
mod asked;
pub(crate) mod compat;
mod health;
mod live;
mod lookup;
mod register;
mod relay;
mod status;
mod unregister;

use crate::{
    app_state::AppState,
    caller::Caller,
    io::connections::Connections,
    limits::Class,
    metrics::{OPEN, Route},
    problem::Problem,
};
use actix_web::{HttpRequest, HttpResponse, http::Method, web};
use asked::Asked;

/// For `App::default_service`.
pub(crate) async fn serve(
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<AppState>,
    connections: web::Data<Connections>,
) -> Result<HttpResponse, Problem> {
    let caller = Caller::of(&request).ok_or(Problem::NoEndpoint)?;
    let class = caller.route.class();
    // `Class::Other` costs less than asking Redis.
    if class != Class::Other {
        app.charge_shared(class, caller.address, 1).await?;
    }
    let asked = Asked { caller, request: &request, app: &app, connections: &connections };
    let method = request.method();
    // As with the original, HEAD is answered like GET.
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match caller.route {
        Route::Health if reads && request.path() == OPEN => Ok(health::healthy(&app)),
        Route::Health if reads => Ok(health::ok(&app)),
        Route::Status if reads => Ok(status::status(&app)),
        Route::Health | Route::Status => Err(Problem::NoEndpoint),
        _ if let Some(players) = &app.compat => compat::serve(&asked, payload, players).await,
        Route::Lookup if reads => lookup::lookup(&asked).await,
        Route::Batch => lookup::lookup_many(&asked, payload).await,
        Route::Register if method == Method::POST => register::register(&asked, payload).await,
        Route::Unregister if method == Method::DELETE => unregister::unregister(&asked, payload).await,
        Route::Live if method == Method::GET => live::socket(&asked, payload),
        Route::Relay if method == Method::GET => relay::socket(&asked, payload),
        // Boxed, or every request's future would be as large.
        Route::Poll => Box::pin(live::poll(&asked, payload)).await,
        Route::Lookup
        | Route::Register
        | Route::Unregister
        | Route::Live
        | Route::Relay
        | Route::Debug
        | Route::Other => Err(Problem::NoEndpoint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, accounts::Accounts, clock::Clock, datagrams::Ports};
    use actix_web::{App, http::StatusCode, test};

    /// All routes and methods, on a service without the admission.
    #[actix_web::test]
    async fn without_admission_no_route_is_served() {
        for compat in [false, true] {
            let config = Config { compat, debug_players: compat, ..Config::default() };
            let app = web::Data::new(AppState::new(&config, Clock::start(), &Ports::default()).unwrap());
            let connections = web::Data::new(Connections::new(&Accounts::new(&config), &[]));
            let service = App::new().app_data(app).app_data(connections).default_service(web::to(serve));
            let service = test::init_service(service).await;
            for path in Route::ALL.into_iter().flat_map(|route| route.examples()) {
                for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
                    let request = test::TestRequest::with_uri(path).method(method.parse().unwrap());
                    let response = test::call_service(&service, request.to_request()).await;
                    assert_eq!(response.status(), StatusCode::NOT_FOUND, "{method} {path}");
                    let body = test::read_body(response).await;
                    assert_eq!(body, r#"{"error":"Endpoint not found"}"#.as_bytes(), "{method} {path}");
                }
            }
        }
    }
}
