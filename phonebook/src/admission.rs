//! The middleware around every request. Before the handler: budget and password. After it: counters and audit log.

use crate::{
    accounts::Charge,
    address::{Unreadable, client_address},
    app_state::AppState,
    audit::Subject,
    auth,
    caller::Caller,
    io::connections::Connections,
    metrics::{OPEN, Route},
    problem::Problem,
};
use actix_http::ConnectionType;
use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse},
    rt::time::sleep,
    web,
};
use fyteclub_proto::ledger::Item;
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// Delay of a 429. A connection answers in order, so a flood over eight connections gets eight refusals a second.
const REJECT_DELAY: Duration = Duration::from_secs(1);

/// For `App::wrap_fn`. Computes the [`Caller`], answers requests without budget, password or route itself, and passes
/// the others on.
pub(crate) fn admitted<S, B>(
    app: web::Data<AppState>,
    connections: web::Data<Connections>,
    request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse<BoxBody>, Error>> + use<S, B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    let began = Instant::now();
    let route = Route::of(request.method(), request.path());
    let admitted = address_of(&app, request.request()).and_then(|address| {
        let caller = Caller { address, route };
        request.extensions_mut().insert(caller);
        admit(&app, caller, request.request())
    });
    let turn = match admitted {
        // Boxed: actix allocates this future in every idle connection, and each layer would double it.
        Ok(place) => Ok((Box::pin(service.call(request)), place)),
        Err(problem) => Err(request.error_response(problem)),
    };
    async move {
        let (mut response, _place) = match turn {
            Ok((served, place)) => (served.await?.map_into_boxed_body(), place),
            Err(refused) => (refused, None),
        };
        let status = response.status();
        app.metrics.answered(route, status, began.elapsed());
        if connections.answered(response.request(), status.as_u16() < 400) {
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        if let Some(problem) = response.response().error().and_then(|error| error.as_error::<Problem>()) {
            refused(&app, response.request(), problem);
            if matches!(problem, Problem::TooMany(_) | Problem::Crowded) {
                sleep(REJECT_DELAY).await;
            }
        }
        Ok(response)
    }
}

/// Returns the charge for a connection slot if the request came through a trusted proxy, whose connections are free.
fn admit(app: &AppState, caller: Caller, request: &HttpRequest) -> Result<Option<Charge>, Problem> {
    let Caller { address, route } = caller;
    app.limits.check_address(route.class(), address, 1)?;
    let place =
        Connections::is_proxied(request).then(|| app.accounts.hold(address.into(), Item::Connections));
    let place = place.transpose().map_err(|_| Problem::Crowded)?;
    match route {
        Route::Health if request.path() == OPEN => {}
        // The original asks for no password outside `/api/`.
        Route::Other if !request.path().starts_with("/api/") => return Err(Problem::NoEndpoint),
        _ => auth::check_password(request, app)?,
    }
    if route == Route::Other { Err(Problem::NoEndpoint) } else { Ok(place) }
}

/// Counts a refusal and logs it, even if the client gets another answer.
pub(crate) fn refused(app: &AppState, request: &HttpRequest, problem: &Problem) {
    let address = Caller::of(request).map(|caller| caller.address);
    app.refused(problem, address, request.extensions().get().copied());
}

/// Attaches the player's name, hashed, for the audit log.
pub(crate) fn set_subject(app: &AppState, request: &HttpRequest, name: &str) {
    if let Some(audit) = &app.audit {
        request.extensions_mut().insert::<Subject>(audit.subject(name));
    }
}

/// # Errors
/// A trusted proxy's header does not parse, or the connection is closed.
fn address_of(app: &AppState, request: &HttpRequest) -> Result<IpAddr, Problem> {
    let peer = request.peer_addr().ok_or(Problem::CutOff)?;
    client_address(peer, request.headers(), &app.trusted_proxies).map_err(|Unreadable| Problem::BadForwarded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Server, config::Password};
    use std::{
        io::{Read, Write},
        net::{SocketAddr, TcpStream},
    };

    /// Status and whole response.
    fn ask(addr: SocketAddr, method: &str, path: &str, more: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(addr).unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap();
        (status, answer)
    }

    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

    #[test]
    fn nothing_but_health_is_served_without_the_password() {
        let password = Some(Password::new("secret"));
        for compat in [false, true] {
            let listen = ([127, 0, 0, 1], 0).into();
            let config = Config {
                listen,
                limits: crate::Rates::OFF,
                compat,
                password: password.clone(),
                ..Config::default()
            };
            let running = Server::build(config).unwrap().spawn().unwrap();
            let addr = running.addr();
            let all = Route::ALL
                .into_iter()
                .flat_map(|route| route.examples().iter().map(move |path| (route, *path)));
            for (route, path) in all {
                for method in METHODS {
                    let open = match (route, method) {
                        // The CORS preflight serves no data.
                        (_, "OPTIONS") if compat => 204,
                        (Route::Health, "GET" | "HEAD") if path == OPEN => 200,
                        (Route::Health, _) if path == OPEN => 404,
                        (Route::Other, _) if !path.starts_with("/api/") => 404,
                        _ => 401,
                    };
                    assert_eq!(ask(addr, method, path, "").0, open, "{method} {path}");
                    if open == 401 {
                        let right = "x-fyteclub-password: secret\r\n";
                        let (_, answer) = ask(addr, method, path, right);
                        assert!(!answer.contains("Authentication required"), "{method} {path}: {answer}");
                    }
                }
            }
        }
    }
}
