//! A stateful firewall without NAT: lets in packets from addresses that the host has sent to.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

#[derive(Debug)]
pub struct Firewall {
    life: Duration,
    /// Flows, by the protected end and the other, and when each was used last.
    flows: BTreeMap<(SocketAddr, SocketAddr), Instant>,
}

impl Default for Firewall {
    fn default() -> Self {
        Self { life: Duration::from_secs(30), flows: BTreeMap::new() }
    }
}

impl Firewall {
    pub fn outbound(&mut self, now: Instant, inside: SocketAddr, remote: SocketAddr) {
        self.flows.insert((inside, remote), now);
    }

    pub fn inbound(&mut self, now: Instant, remote: SocketAddr, inside: SocketAddr) -> bool {
        let life = self.life;
        self.flows.retain(|_, at| now < *at + life);
        self.flows.get_mut(&(inside, remote)).map(|at| *at = now).is_some()
    }

    pub fn forget(&mut self) {
        self.flows.clear();
    }
}
