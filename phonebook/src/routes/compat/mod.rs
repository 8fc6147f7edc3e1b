//! Compatibility mode: the original's contract, with unsigned writes, keys of any JSON, and a list of all players.

mod cors;
mod debug;
mod players;

use super::{asked::Asked, lookup, register, unregister};
use crate::{admission, body, metrics::Route, problem::Problem};
use actix_web::{HttpResponse, http::Method, web};
pub(crate) use cors::cross_origin;
pub(crate) use players::Players;
use serde_json::{Map, Value, value::RawValue};
use std::net::SocketAddr;

/// Longest `publicKey`; the largest PEM in use fits.
const KEY_MAX: usize = 2048;

/// As [`super::serve`], for the routes that differ.
pub(super) async fn serve(
    asked: &Asked<'_>,
    payload: web::Payload,
    players: &Players,
) -> Result<HttpResponse, Problem> {
    let Asked { caller, request, app, .. } = asked;
    let method = request.method();
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match caller.route {
        Route::Register if method == Method::POST => {
            let fields = body::fields(request, payload).await?;
            let (name, port) = body::name_and_port(&fields)?;
            admission::set_subject(app, request, name);
            let address = SocketAddr::new(caller.address, port);
            players.register(name, address, key(&fields)?, app.now())?;
            Ok(register::done())
        }
        Route::Unregister if method == Method::DELETE => {
            let fields = body::fields(request, payload).await?;
            let name = body::name(&fields)?;
            admission::set_subject(app, request, name);
            Ok(unregister::answer(players.unregister(name)))
        }
        Route::Lookup if reads => {
            let name = lookup::name(request)?;
            let found = players.lookup(&name, app.now()).ok_or(Problem::NoPlayer)?;
            Ok(HttpResponse::Ok().json(found))
        }
        Route::Batch => {
            let names = lookup::names(asked, payload).await?;
            let now = app.now();
            let found: Vec<_> = names.iter().map(|name| players.lookup(name, now)).collect();
            Ok(lookup::answers(names, found.into_iter()))
        }
        Route::Debug if reads && players.are_listed() => Ok(debug::list(players, app.now())),
        _ => Err(Problem::NoEndpoint),
    }
}

fn key(fields: &Map<String, Value>) -> Result<Option<Box<RawValue>>, Problem> {
    let Some(key) = body::present(fields, "publicKey") else { return Ok(None) };
    let json = key.to_string();
    if json.len() > KEY_MAX {
        return Err(Problem::KeyTooLong { most: KEY_MAX });
    }
    RawValue::from_string(json).map(Some).map_err(|error| Problem::BadJson(error.to_string()))
}
