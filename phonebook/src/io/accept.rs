//! Accepts connections of the public listener: charges each before TLS and before reading a byte.

use super::connections::{Closed, Connection, Connections, connected, second_handle};
use actix_service::{IntoServiceFactory, ServiceFactory, apply_fn_factory};
use actix_web::{dev::Extensions, rt::net::TcpStream};
use std::{io::Write, sync::Arc};

/// The answer to a network that holds its share of connections, if it is not encrypted.
const REFUSAL: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: 30\r\n\
    Content-Length: 89\r\nConnection: close\r\n\r\n\
    {\"error\":\"too many connections are open from your address\",\"code\":\"too_many_connections\"}";

tokio::task_local! {
    /// The connection of the current task.
    static CONNECTION: Arc<Connection>;
}

/// Wraps `http` so that it serves only charged connections.
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
            // Boxed: an `async` block reserves twice the size of a future that it is given and awaits.
            Ok(connection) => {
                Some(Box::pin(CONNECTION.scope(connection, actix_service::Service::call(http, stream))))
            }
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

/// Never waits. Writes to the socket directly: the runtime does not know yet that the stream is writable.
fn say(stream: &TcpStream, words: &[u8]) {
    if let Ok(mut socket) = second_handle(stream) {
        // Fails where the client is gone already.
        socket.write_all(words).ok();
    }
}

/// For `HttpServiceBuilder::on_connect_ext`: runs in the connection's task, after the TLS handshake if there is one.
pub(crate) fn on_connect<T>(_: &T, data: &mut Extensions) {
    // Always set: `accepting` is the only way in.
    CONNECTION.try_with(|connection| connected(Arc::clone(connection), data)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_content_length_is_right() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        let problem: fyteclub_proto::phonebook::Problem = serde_json::from_str(body).unwrap();
        assert_eq!(problem.code.as_deref(), Some("too_many_connections"));
    }
}
