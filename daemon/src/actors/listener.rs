//! The listener: takes handshakes from the endpoint and hands finished connections up.

use crate::io::quic::QuicEndpoint;
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Message, Recipient, StreamHandler, WrapFuture};
use futures::stream;
use fyteclub_proto::foreign::Foreign;
use quinn::{Connection, Incoming};
use std::time::Duration;

/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// Handshakes under way from which on an address must first prove that it is not forged (RFC 9000 §8.1.2).
const RETRY_FROM: usize = 16;
/// Handshakes under way from which on newcomers are turned away.
const HANDSHAKES_MAX: usize = 256;

/// Somebody proved a key and is connected; who it is and whether it is welcome is not judged yet.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Accepted(pub Connection);

pub struct Listener {
    endpoint: QuicEndpoint,
    accepted: Recipient<Accepted>,
    handshakes: usize,
}

impl Listener {
    pub fn new(endpoint: QuicEndpoint, accepted: Recipient<Accepted>) -> Self {
        Self { endpoint, accepted, handshakes: 0 }
    }
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.add_stream(stream::unfold(self.endpoint.clone(), |endpoint| async move {
            Some((endpoint.incoming().await?, endpoint))
        }));
    }
}

impl StreamHandler<Incoming> for Listener {
    fn handle(&mut self, incoming: Incoming, ctx: &mut Self::Context) {
        if self.handshakes >= HANDSHAKES_MAX {
            incoming.refuse();
            return;
        }
        if self.handshakes >= RETRY_FROM && !incoming.remote_address_validated() {
            // Fails only for an address that is validated.
            incoming.retry().ok();
            return;
        }
        self.handshakes += 1;
        let accepted = self.endpoint.accept(incoming);
        let handshake = async move { tokio::time::timeout(HANDSHAKE_TIME, async { accepted?.await }).await };
        ctx.spawn(handshake.into_actor(self).map(|result, listener, _| {
            listener.handshakes -= 1;
            match result {
                Ok(Ok(connection)) => listener.accepted.do_send(Accepted(connection)),
                Ok(Err(error)) => {
                    tracing::debug!("a handshake failed: {}", Foreign::new(&error.to_string()));
                }
                Err(_) => tracing::debug!("a handshake took too long"),
            }
        }));
    }
}
