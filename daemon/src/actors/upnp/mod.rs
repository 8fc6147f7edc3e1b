//! Port mapping on the home router, so that peers outside can dial this machine. [`Mappings`] decides which router is
//! asked for what and when; this actor carries out its orders: PCP and NAT-PMP to the gateway's port, UPnP by
//! `fyteclub-igd`, the journal by a file. It writes the outside addresses to [`Reachable`].
//!
//! Peers get a mapping as one candidate of several, because the router may forward nothing. A contact's probe that came
//! through it proves it (docs/decisions/0043).

mod carry;
#[cfg(test)]
mod tests;
mod words;

use super::random;
use crate::{
    io::{
        mapping_sockets::{self, Announcements, RouterSocket},
        mappings::MappingsFile,
        uplinks,
    },
    reachable::Reachable,
};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture,
    SpawnHandle, WrapFuture,
};
use fyteclub_igd::Router;
use fyteclub_proto::{
    local::reply::{MappingCounts, PortMapping},
    reaching::mapping::{Input, Mappings, Output, Standing, Switches, Uplink},
};
use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How often the default routes are read again: the daemon is notified of new addresses, not of new routes.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The actor's settings and files.
pub struct Setup {
    pub switches: Switches,
    /// The address of the QUIC socket.
    pub listen: SocketAddr,
    pub reachable: Reachable,
    pub file: MappingsFile,
}

pub struct Upnp {
    setup: Setup,
    machine: Mappings,
    /// The machine's current uplinks; `None` before the first.
    uplinks: Option<Vec<Uplink>>,
    /// Orders that wait until the journal is written.
    orders: VecDeque<Output>,
    is_writing: bool,
    /// By this machine's address in the network, as are the next maps.
    sockets: HashMap<Ipv4Addr, (Uplink, RouterSocket, SpawnHandle)>,
    announcements: Option<SpawnHandle>,
    searches: HashMap<Ipv4Addr, SpawnHandle>,
    requests: HashMap<Ipv4Addr, SpawnHandle>,
    /// The routers of each network's last search, by number.
    routers: HashMap<u64, (Ipv4Addr, Arc<Router>)>,
    found: u64,
    timer: Option<SpawnHandle>,
    counts: MappingCounts,
    /// The last log line of each network: a renewal with another lease is not logged.
    logged: HashMap<Ipv4Addr, String>,
    stopped: Vec<oneshot::Sender<()>>,
}

/// Asks for the mapping's state.
#[derive(Message)]
#[rtype(result = "PortMapping")]
pub struct Report;

/// Asks for the mapping itself; `None` if it is switched off.
#[derive(Message)]
#[rtype(result = "Option<Standing>")]
pub struct ReadStanding;

/// This machine's addresses changed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Moved;

/// A contact's authentic packet came from this address to the forwarded port.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CameIn(pub IpAddr);

/// Removes every mapping; answered when each router has answered or timed out.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

impl Upnp {
    pub fn new(setup: Setup) -> Self {
        let machine = Mappings::new(setup.switches, setup.listen.port(), setup.file.found().clone());
        Self {
            setup,
            machine,
            uplinks: None,
            orders: VecDeque::new(),
            is_writing: false,
            sockets: HashMap::new(),
            announcements: None,
            searches: HashMap::new(),
            requests: HashMap::new(),
            routers: HashMap::new(),
            found: 0,
            timer: None,
            counts: MappingCounts::default(),
            logged: HashMap::new(),
            stopped: Vec::new(),
        }
    }

    fn is_on(&self) -> bool {
        let Switches { upnp, nat_pmp } = self.setup.switches;
        upnp || nat_pmp
    }

    /// `None` if both switches are off.
    fn standing(&self) -> Option<Standing> {
        self.is_on().then(|| words::settled(self.machine.standing(), self.uplinks.is_none()))
    }

    /// Reads this machine's uplinks, and tells the machine if they changed. With `again` it is told anyway, because another
    /// network may have the same addresses.
    fn look(&mut self, again: bool, ctx: &mut Context<Self>) {
        let looked = actix_rt::task::spawn_blocking(uplinks::all);
        ctx.spawn(looked.into_actor(self).map(move |looked, upnp, ctx| match looked {
            Ok(uplinks) => upnp.looked(uplinks, again, ctx),
            Err(error) => tracing::warn!("this machine's networks cannot be looked up: {error}"),
        }));
    }

    fn looked(&mut self, mut uplinks: Vec<Uplink>, again: bool, ctx: &mut Context<Self>) {
        uplinks.retain(|uplink| mapping_sockets::is_reached(self.setup.listen, uplink.local()));
        if !again && self.uplinks.as_ref() == Some(&uplinks) {
            return;
        }
        let mut told = Vec::new();
        for uplink in &uplinks {
            let mut nonce = [0; 12];
            if let Err(error) = getrandom::fill(&mut nonce) {
                tracing::warn!("this machine has no randomness, so no port is mapped: {error}");
                return;
            }
            told.push((*uplink, nonce));
        }
        self.connect(&uplinks, ctx);
        self.uplinks = Some(uplinks);
        self.handle(Input::Uplinks(told), ctx);
    }

    /// Replaces the sockets of NAT-PMP and PCP by new ones for these uplinks.
    fn connect(&mut self, uplinks: &[Uplink], ctx: &mut Context<Self>) {
        if !self.setup.switches.nat_pmp {
            return;
        }
        let gone: Vec<_> = self.sockets.keys().copied().collect();
        for local in gone {
            // Unchanged uplinks too: the interface may have been replaced in the meantime.
            if let Some((_, _, reading)) = self.sockets.remove(&local) {
                ctx.cancel_future(reading);
            }
        }
        for uplink in uplinks {
            match RouterSocket::open(uplink) {
                Ok(Some(socket)) => {
                    let reading = self.hear(*uplink, socket.clone(), ctx);
                    self.sockets.insert(uplink.local(), (*uplink, socket, reading));
                }
                Ok(None) => {}
                Err(error) => tracing::debug!("no socket to the router of {}: {error}", uplink.local()),
            }
        }
        if let Some(reading) = self.announcements.take() {
            ctx.cancel_future(reading);
        }
        match Announcements::open(uplinks) {
            Ok(announcements) => {
                self.announcements = Some(self.hear_all(announcements, ctx));
            }
            // The machine also checks the router every two minutes.
            Err(error) => tracing::debug!("announcements of routers are not heard: {error}"),
        }
    }

    /// Feeds the machine and carries out its orders.
    fn handle(&mut self, input: Input<'_>, ctx: &mut Context<Self>) {
        self.machine.handle(Instant::now(), random(), input);
        self.drive(ctx);
    }

    fn drive(&mut self, ctx: &mut Context<Self>) {
        while let Some(output) = self.machine.poll() {
            self.orders.push_back(output);
        }
        self.carry_out(ctx);
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if let Some((at, _)) = self.machine.deadline() {
            let wait = at.saturating_duration_since(Instant::now());
            self.timer = Some(ctx.run_later(wait, |upnp, ctx| upnp.handle(Input::Time, ctx)));
        }
        if self.machine.is_over() && self.orders.is_empty() && !self.is_writing {
            // The stopping daemon may have stopped waiting.
            self.stopped.drain(..).for_each(|stopped| stopped.send(()).unwrap_or_default());
        }
    }
}

impl Actor for Upnp {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if self.is_on() {
            self.look(true, ctx);
            ctx.run_interval(LOOK_EVERY, |upnp, ctx| upnp.look(false, ctx));
        }
    }
}

impl Handler<Report> for Upnp {
    type Result = MessageResult<Report>;

    fn handle(&mut self, _: Report, _: &mut Self::Context) -> Self::Result {
        let local = self.uplinks.iter().flatten().next().map(Uplink::local);
        let listen = self.setup.listen.port();
        MessageResult(words::report(self.standing(), local, listen, self.counts))
    }
}

impl Handler<ReadStanding> for Upnp {
    type Result = MessageResult<ReadStanding>;

    fn handle(&mut self, _: ReadStanding, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.standing())
    }
}

impl Handler<Moved> for Upnp {
    type Result = ();

    fn handle(&mut self, _: Moved, ctx: &mut Self::Context) {
        if self.is_on() {
            self.look(true, ctx);
        }
    }
}

impl Handler<CameIn> for Upnp {
    type Result = ();

    fn handle(&mut self, CameIn(from): CameIn, ctx: &mut Self::Context) {
        if self.is_on() {
            self.handle(Input::CameIn(from), ctx);
        }
    }
}

impl Handler<Stop> for Upnp {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> Self::Result {
        let (stopped, stops) = oneshot::channel();
        self.stopped.push(stopped);
        self.handle(Input::Stop, ctx);
        Box::pin(async move { stops.await.unwrap_or_default() })
    }
}
