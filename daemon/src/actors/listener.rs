//! The listener: accepts handshakes from the endpoint and sends finished connections to the coordinator.
//! [`AcceptLimit`] decides which handshakes continue.

use crate::{
    contact_addresses::ContactAddresses, io::quic::QuicEndpoint, ledger::Accounts, sharing::means::PeerMeans,
};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Message, Recipient, SpawnHandle, StreamHandler, WrapFuture,
};
use futures::stream;
use fyteclub_proto::{
    foreign::Foreign,
    reaching::accept_limit::{AcceptLimit, Caller, Verdict},
};
use quinn::{Connection, Incoming};
use std::{collections::HashMap, time::Duration};

/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// How often full accounts are dropped.
const FORGET_EVERY: Duration = Duration::from_secs(10);

/// A connection whose peer proved its key. Whether the key is admitted is not decided yet.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Accepted(pub Connection);

pub struct Listener {
    endpoint: QuicEndpoint,
    accepted: Recipient<Accepted>,
    accounts: Accounts,
    contact_addresses: ContactAddresses,
    means: PeerMeans,
    limit: AcceptLimit,
    /// By the numbers of `limit`.
    handshakes: HashMap<u64, SpawnHandle>,
}

impl Listener {
    pub fn new(
        endpoint: QuicEndpoint,
        accounts: Accounts,
        contact_addresses: ContactAddresses,
        means: PeerMeans,
        accepted: Recipient<Accepted>,
    ) -> Self {
        let (limit, handshakes) = (AcceptLimit::default(), HashMap::new());
        Self { endpoint, accepted, accounts, contact_addresses, means, limit, handshakes }
    }

    fn begin(&mut self, number: u64, incoming: Incoming, ctx: &mut Context<Self>) {
        let accepted = self.endpoint.accept(incoming);
        let handshake = async move { tokio::time::timeout(HANDSHAKE_TIME, async { accepted?.await }).await };
        let handle = ctx.spawn(handshake.into_actor(self).map(move |result, listener, _| {
            listener.handshakes.remove(&number);
            listener.accounts.with(|_, ledger| listener.limit.ended(number, ledger));
            match result {
                Ok(Ok(connection)) => listener.accepted.do_send(Accepted(connection)),
                Ok(Err(error)) => tracing::debug!("a handshake failed: {}", Foreign::new(&error.to_string())),
                Err(_) => tracing::debug!("a handshake took too long"),
            }
        }));
        self.handshakes.insert(number, handle);
    }
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.add_stream(stream::unfold(self.endpoint.clone(), |endpoint| async move {
            Some((endpoint.incoming().await?, endpoint))
        }));
        ctx.run_interval(FORGET_EVERY, |listener, _| listener.accounts.forget_whole());
    }
}

impl StreamHandler<Incoming> for Listener {
    fn handle(&mut self, incoming: Incoming, ctx: &mut Self::Context) {
        let place = self.endpoint.calling(&incoming);
        let from = place.addr();
        let whose = self.contact_addresses.whose(from);
        if place.virtual_addr().is_none() && !self.means.answers(whose.as_ref()) {
            // An answer would tell that this machine is there.
            return incoming.ignore();
        }
        let caller = match whose {
            Some(peer) => Caller::Contact(peer),
            None => Caller::Stranger(from.ip().into()),
        };
        let proven = incoming.remote_address_validated();
        match self.accounts.with(|now, ledger| self.limit.admit(now, ledger, caller, proven)) {
            Verdict::Begin { number, instead } => {
                if let Some(handle) = instead.and_then(|old| self.handshakes.remove(&old)) {
                    ctx.cancel_future(handle);
                }
                self.begin(number, incoming, ctx);
            }
            // Fails only for a proven address.
            Verdict::Prove => drop(incoming.retry()),
            Verdict::Ignore => incoming.ignore(),
        }
    }
}
