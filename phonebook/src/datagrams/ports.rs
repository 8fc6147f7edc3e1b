//! The bound UDP ports, and what is told of them.

use super::hub::Ways;
use crate::config::Config;
use fyteclub_proto::phonebook::live::Udp;
use std::net::{SocketAddr, UdpSocket};

/// Bound sockets; datagrams wait in the kernel until [`super::Server::open`].
#[derive(Debug, Default)]
pub(crate) struct Ports {
    /// The first one, which a relay uses too, and the next one for STUN.
    pub(super) sockets: Vec<UdpSocket>,
}

impl Ports {
    /// What the greeting announces. `None`: nothing is served.
    pub(crate) fn announcement(&self, config: &Config) -> Option<Udp> {
        let stun_ports = if config.stun { self.sockets.len() } else { 0 };
        (stun_ports > 0).then(|| Udp {
            address: config.udp_address.clone(),
            stun_ports: u8::try_from(stun_ports).unwrap_or(u8::MAX),
        })
    }

    /// How clients reach the relay. `None`: there is none. Of several phone books behind one name each has its own relay, and
    /// only an announced address leads to it.
    pub(crate) fn ways(&self, config: &Config) -> Option<Ways> {
        let is_alone = config.redis.is_none();
        let udp = !self.sockets.is_empty() && (is_alone || config.udp_address.is_some());
        let is_served = config.relay && !config.compat;
        if is_served && !udp && !is_alone {
            tracing::warn!(
                "`redis` is set and `udp_address` is not, so players find no relay by this phone book"
            );
        }
        (is_served && (udp || is_alone)).then(|| Ways {
            udp,
            tcp: is_alone,
            address: config.udp_address.clone(),
        })
    }

    /// The first port's address.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        self.sockets.first().and_then(|socket| socket.local_addr().ok())
    }
}
