//! The operator's password.

use crate::{app_state::AppState, problem::Problem};
use actix_web::{HttpRequest, web};

/// Checks the header `x-fyteclub-password`, or without it the query's `password`.
pub(crate) fn check_password(request: &HttpRequest, app: &AppState) -> Result<(), Problem> {
    let Some(password) = &app.password else { return Ok(()) };
    let header = request.headers().get("x-fyteclub-password").map(|value| value.as_bytes());
    let admitted = match header {
        Some(given) => password.is(given),
        None => web::Query::<Vec<(String, String)>>::from_query(request.query_string()).is_ok_and(|query| {
            query.iter().any(|(key, given)| key == "password" && password.is(given.as_bytes()))
        }),
    };
    if admitted { Ok(()) } else { Err(Problem::Password { coded: app.compat.is_none() }) }
}
