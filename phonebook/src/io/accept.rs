//! The door of the public listener: each connection is counted before TLS begins and before a byte of it is read.

use super::connections::{Closed, Connection, Connections, connected, second_handle};
use actix_service::{IntoServiceFactory, ServiceFactory, apply_fn_factory};
use actix_web::{dev::Extensions, rt::net::TcpStream};
use std::{io::Write, sync::Arc};

/// What a network that has its share of the connections is told, as far as it listens. Over TLS nothing can be said.
const REFUSAL: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: 30\r\n\
    Content-Length: 89\r\nConnection: close\r\n\r\n\
    {\"error\":\"too many connections are open from your address\",\"code\":\"too_many_connections\"}";

tokio::task_local! {
    /// Of the connection whose task this is.
    static CONNECTION: Arc<Connection>;
}

/// Serves with `http` what may come in.
pub(crate) fn accepting<S, I>(
    connections: Arc<Connections>,
    encrypted: bool,
    http: I,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = S::Error, InitError = S::InitError>
where
    S: ServiceFactory<TcpStream, Config = (), Response = ()>,
    I: IntoServiceFactory<S, TcpStream>,
{
    apply_fn_factory(http, move |stream: TcpStream, http: &S::Service| {
        let served = match connections.open(&stream, encrypted) {
            Ok(connection) => Some(CONNECTION.scope(connection, actix_service::Service::call(http, stream))),
            Err(Closed::Refused(refused)) => {
                tracing::debug!(%refused, "a connection is refused");
                if !encrypted {
                    say(&stream, REFUSAL);
                }
                None
            }
            Err(Closed::Broken(error)) => {
                tracing::debug!(%error, "a connection is not opened");
                None
            }
        };
        async move {
            match served {
                Some(served) => served.await,
                None => Ok(()),
            }
        }
    })
}

/// Without waiting: whoever does not hear it is refused all the same. Not by the runtime's stream, which is so new that
/// nobody has found it writable yet.
fn say(stream: &TcpStream, words: &[u8]) {
    if let Ok(mut socket) = second_handle(stream) {
        let _ = socket.write(words);
    }
}

/// For `HttpServiceBuilder::on_connect_ext`, which is called in the connection's task when TLS, if any, has begun.
pub(crate) fn on_connect<T>(_: &T, data: &mut Extensions) {
    // Always there: nothing serves a connection that did not come in by the door.
    let _ = CONNECTION.try_with(|connection| connected(Arc::clone(connection), data));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        let problem: fyteclub_proto::phonebook::Problem = serde_json::from_str(body).unwrap();
        assert_eq!(problem.code.as_deref(), Some("too_many_connections"));
    }
}
