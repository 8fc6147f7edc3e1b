//! What happens to every request around its handler: the budget of its address before, the counters and the audit log
//! after. Handlers know nothing of it, but for what only they know: a batch's size, a proven key, a name.

use crate::{
    address::client_address, audit::Subject, desk::Desk, limits::Class, metrics::Route, problem::Problem,
    shared::Payer,
};
use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::BoxBody,
    dev::{Service, ServiceRequest, ServiceResponse},
    rt::time::sleep,
    web,
};
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// How long a refusal for asking too often is kept back. A connection is answered in order, so whoever floods over eight
/// of them gets eight refusals a second and no more; who keeps to `Retry-After` loses nothing.
const PENANCE: Duration = Duration::from_secs(1);

/// For `App::wrap_fn`: answers by itself what the address has no budget for.
pub(crate) fn enter<S>(
    desk: web::Data<Desk>,
    request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse<BoxBody>, Error>> + use<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    let began = Instant::now();
    let route = Route::of(request.method(), request.path());
    let turn = match admit(&desk, route, request.request()) {
        Ok(()) => Ok(service.call(request)),
        Err(problem) => Err(request.error_response(problem)),
    };
    async move {
        let response = match turn {
            Ok(served) => served.await?,
            Err(refused) => refused,
        };
        desk.metrics.answered(route, response.status(), began.elapsed());
        if let Some(problem) = response.response().error().and_then(|error| error.as_error::<Problem>()) {
            let request = response.request();
            desk.refused(problem, address_of(&desk, request), request.extensions().get().copied());
            if matches!(problem, Problem::TooMany(_)) {
                sleep(PENANCE).await;
            }
        }
        Ok(response)
    }
}

fn admit(desk: &Desk, route: Route, request: &HttpRequest) -> Result<(), Problem> {
    let Some(address) = address_of(desk, request) else { return Ok(()) };
    Ok(desk.limits.check_address(route.class(), address, 1)?)
}

/// What the door left to do: the budget that several phone books share. Nothing where none do, nor for what is as cheap
/// as asking them.
pub(crate) fn admit_shared(
    desk: &web::Data<Desk>,
    request: &HttpRequest,
) -> Option<impl Future<Output = Result<(), Problem>> + use<>> {
    desk.records.shared()?;
    let class =
        Some(Route::of(request.method(), request.path()).class()).filter(|class| *class != Class::Other)?;
    let (desk, address) = (desk.clone(), address_of(desk, request)?);
    Some(async move { desk.charge_shared(class, Payer::Address(address), 1).await })
}

/// Charges the request's address. For handlers, what the door could not know: how many names a batch has.
pub(crate) async fn charge(
    desk: &Desk,
    request: &HttpRequest,
    class: Class,
    cost: u32,
) -> Result<(), Problem> {
    let Some(address) = address_of(desk, request).filter(|_| cost > 0) else { return Ok(()) };
    desk.limits.check_address(class, address, cost)?;
    desk.charge_shared(class, Payer::Address(address), cost).await
}

/// The request is about this name, should it end in the audit log.
pub(crate) fn concerns(desk: &Desk, request: &HttpRequest, name: &str) {
    if let Some(audit) = &desk.audit {
        request.extensions_mut().insert::<Subject>(audit.subject(name));
    }
}

fn address_of(desk: &Desk, request: &HttpRequest) -> Option<IpAddr> {
    Some(client_address(request.peer_addr()?, request.headers(), &desk.trusted_proxies))
}
