//! This machine's network: NAT, port mapping, families, firewall and tunnels.

use super::facts::{Facts, Findings};
use crate::{
    local::reply::{FindingCode, NatKind, PathKind, PeerState, Severity, Sureness},
    reaching::{
        candidate::is_public,
        families::Families,
        mapping::{Cause, Standing},
        traversal::RelayUse,
    },
};
use FindingCode::*;
use Severity::{Blocks, Hinders, Note};
use Sureness::{Certain, Likely, Possible};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) fn examine(facts: &Facts<'_>, found: &mut Findings) {
    let Ok(listen) = facts.status.listen.parse::<SocketAddr>() else { return };
    if listen.ip().to_canonical().is_loopback() {
        let books = &facts.status.phonebooks;
        // Then all of it is meant to run on this machine.
        let is_meant = !books.is_empty() && books.iter().all(|book| is_here(&book.url));
        found.add(
            ThisMachineOnly,
            if is_meant { Note } else { Blocks },
            Certain,
            format!("the daemon listens at {listen}, where no other machine reaches it"),
            Some("Start fyteclubd without --listen, or with --listen [::]:0.".to_owned()),
        );
        return;
    }
    if facts.own.is_empty() {
        found.add(
            NoNetwork,
            Blocks,
            Certain,
            "this machine has no address in any network",
            Some("Connect it to a network.".to_owned()),
        );
        return;
    }
    let network = Network { facts, listen };
    network.udp(found);
    network.routers(found);
    network.nat(found);
    network.mapping(found);
    network.firewall(found);
    let is_hindered = [UdpBlocked, PortPerPlayer, AnotherRouter].into_iter().any(|code| found.is_wrong(code));
    network.switches(is_hindered, found);
    network.ipv6(is_hindered, found);
    network.vpn(is_hindered, found);
}

/// Whether a phone book's address is this machine's loopback.
fn is_here(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost", "[::1]"].iter().any(|here| authority.starts_with(here))
}

struct Network<'a> {
    facts: &'a Facts<'a>,
    listen: SocketAddr,
}

impl Network<'_> {
    fn nat_kind(&self) -> NatKind {
        self.facts.status.network.nat
    }

    fn is_mapped(&self) -> bool {
        matches!(self.facts.mapping, Some(Standing::Mapped { .. }))
    }

    fn is_in_use(&self, path: PathKind) -> bool {
        self.facts.status.peers.iter().any(|peer| peer.path == Some(path))
    }

    /// Whether a player is connected over the Internet without a relay.
    fn is_direct(&self) -> bool {
        [PathKind::Direct, PathKind::Mapped, PathKind::Punched].into_iter().any(|path| self.is_in_use(path))
    }

    fn has_relay(&self) -> bool {
        self.facts.means.relay != RelayUse::Off
    }

    fn udp(&self, found: &mut Findings) {
        if self.nat_kind() != NatKind::Blocked {
            return;
        }
        if self.is_direct() || self.is_in_use(PathKind::Relay) {
            found.add(
                UdpBlocked,
                Note,
                Possible,
                "the phone books do not answer over UDP, though it reaches players: a firewall at the phone books may drop it",
                Some("Tell the phone book's operator to open its port for UDP, and the port after it.".to_owned()),
            );
            return;
        }
        found.add(
            UdpBlocked,
            if self.has_relay() { Hinders } else { Blocks },
            Likely,
            "no UDP comes back from the phone books: a firewall, on this machine or in this network, lets none through, so a relay over TCP is the only way to players",
            Some(format!(
                "Allow fyteclubd UDP in and out in this machine's firewall (its port is {}). In the network of an office, hotel or school use another one, such as a phone's. If others with the same phone book have this, too, its UDP port is closed: tell its operator.",
                self.listen.port()
            )),
        );
    }

    fn routers(&self, found: &mut Findings) {
        let facts = self.facts;
        let seen = facts.status.network.address.map(|addr| addr.ip().to_canonical());
        let (sure, why) = match (facts.mapping, facts.facing) {
            (Some(Standing::Without(Cause::AnotherRouter)), _) => (Certain, "the router says so".to_owned()),
            (Some(Standing::Mapped { outside, .. }), _) if !is_public((*outside.ip()).into()) => {
                (Certain, format!("the router's outside address {} is a private one", outside.ip()))
            }
            (Some(Standing::Mapped { outside, .. }), _) => match seen {
                Some(IpAddr::V4(seen)) if is_public(seen.into()) && seen != *outside.ip() => (
                    Likely,
                    format!(
                        "the router's outside address is {}, and the phone book sees {seen}",
                        outside.ip()
                    ),
                ),
                _ => return,
            },
            (_, Some(facing)) if is_carrier(facing) && facts.tunnel.is_none() => {
                (Likely, format!("this machine's address {facing} is a carrier NAT's"))
            }
            _ => return,
        };
        let severity = match self.nat_kind() {
            NatKind::Open | NatKind::Same => Note,
            _ => Hinders,
        };
        found.add(
            AnotherRouter,
            severity,
            sure,
            format!("there is another router before your router, or a carrier NAT, so a port of your router leads nowhere: {why}"),
            Some("Connect this machine to the outer router, or switch the inner one to bridge mode. If the outer one is your provider's, ask for a public address or IPv6.".to_owned()),
        );
    }

    fn nat(&self, found: &mut Findings) {
        if self.nat_kind() != NatKind::PerDestination || (self.is_mapped() && !found.has(AnotherRouter)) {
            return;
        }
        found.add(
            PortPerPlayer,
            Hinders,
            Certain,
            "the router takes another outside port for each player, so there is no direct way to players behind such a router, or behind one that lets in only whom they called",
            (!found.has(AnotherRouter)).then(|| self.forward()),
        );
    }

    /// By hand, with this machine's own numbers.
    fn forward(&self) -> String {
        let port = self.listen.port();
        let to = self.facts.facing.map_or_else(|| "this machine".to_owned(), |ip| ip.to_string());
        let settings = self.facts.router.map(|ip| format!(" (http://{ip})")).unwrap_or_default();
        format!(
            "Switch on UPnP or NAT-PMP in the router's settings{settings}, or forward UDP port {port} to {to} there and start fyteclubd with --listen [::]:{port}."
        )
    }

    fn mapping(&self, found: &mut Findings) {
        let is_open = self.nat_kind() == NatKind::Open || self.is_direct();
        if is_open || found.has(AnotherRouter) || found.has(UdpBlocked) {
            return;
        }
        let (code, why) = match self.facts.mapping {
            Some(Standing::Mapped { .. } | Standing::Searching) => return,
            Some(Standing::Without(cause)) => {
                let code = match cause {
                    Cause::NoRouter | Cause::NoNetwork => MappingNotFound,
                    _ => MappingRefused,
                };
                (code, cause.to_string())
            }
            None => (MappingOff, "UPnP, NAT-PMP and PCP are switched off".to_owned()),
        };
        // The help is the same as above.
        let has_help = found.has(PortPerPlayer);
        let help = match self.facts.mapping {
            Some(Standing::Without(Cause::LowPort)) => {
                Some("Start fyteclubd with --listen [::]:0, or a port from 1024 on.".to_owned())
            }
            None => Some(format!("Set upnp and nat_pmp to true. {}", self.forward())),
            _ => Some(self.forward()),
        };
        let (severity, sure) = if has_help { (Hinders, Certain) } else { (Note, Possible) };
        found.add(
            code,
            severity,
            sure,
            format!("no port of a router leads to this machine: {why}"),
            help.filter(|_| !has_help),
        );
    }

    fn firewall(&self, found: &mut Findings) {
        let peers = &self.facts.status.peers;
        let is_reached = peers.iter().any(|peer| peer.state == PeerState::Connected);
        let is_missed =
            peers.iter().any(|peer| peer.state == PeerState::Disconnected && peer.cause.is_some());
        let is_addressed = self.nat_kind() == NatKind::Open || self.is_mapped();
        if is_addressed && is_missed && !is_reached && !found.has(AnotherRouter) {
            found.add(
                Firewall,
                Hinders,
                Possible,
                "players could dial this machine, and no link to one is open: a firewall on this machine may drop what they send",
                Some(format!("Allow fyteclubd incoming UDP at port {} in this machine's firewall.", self.listen.port())),
            );
        }
    }

    /// What a person has switched off.
    fn switches(&self, is_hindered: bool, found: &mut Findings) {
        let is_dialled =
            self.nat_kind() == NatKind::Open || self.is_mapped() || self.facts.means.relay_only();
        if !self.facts.stun && self.facts.means.punching && !is_dialled {
            found.add(
                StunOff,
                Hinders,
                Certain,
                "STUN is switched off, so this machine does not know its outside address, and hole punching rarely works",
                Some("Set stun = true.".to_owned()),
            );
        }
        if !self.facts.means.punching && !is_dialled {
            found.add(
                PunchingOff,
                Hinders,
                Certain,
                "hole punching is switched off, so the routers let in no player",
                Some("Set punching = true.".to_owned()),
            );
        }
        if !self.has_relay() && is_hindered {
            found.add(
                RelayOff,
                Hinders,
                Certain,
                "relays are switched off, so a player to whom there is no direct way is not reached",
                Some("Set relay = \"on\".".to_owned()),
            );
        }
    }

    fn ipv6(&self, is_hindered: bool, found: &mut Findings) {
        let has = self.facts.own.iter().any(|ip| ip.to_canonical().is_ipv6() && is_public(*ip));
        let listens = Families::of(self.listen).has(Ipv6Addr::UNSPECIFIED.into());
        match (has, listens) {
            (true, false) => found.add(
                Ipv6NotListening,
                if is_hindered { Hinders } else { Note },
                Certain,
                "this machine has an IPv6 address, and the daemon listens for IPv4 only",
                Some(format!("Start fyteclubd with --listen [::]:{}, for both.", self.listen.port())),
            ),
            (true, true) if is_hindered => found.add(
                Ipv6Present,
                Note,
                Possible,
                "this machine has IPv6, and players who have it, too, can be reached directly",
                None,
            ),
            (false, _) if is_hindered => found.add(
                Ipv6Absent,
                Note,
                Certain,
                "this machine has no IPv6 address on the Internet, which would need no port of a router",
                Some("Switch on IPv6 in the router's settings, or ask your provider for it.".to_owned()),
            ),
            _ => {}
        }
    }

    fn vpn(&self, is_hindered: bool, found: &mut Findings) {
        let Some(tunnel) = self.facts.tunnel else { return };
        found.add(
            Vpn,
            if is_hindered { Hinders } else { Note },
            Likely,
            format!(
                "what this machine sends to the Internet goes through the tunnel {tunnel}, as a VPN's does"
            ),
            Some(format!(
                "Leave the VPN, except fyteclubd from it, or have it forward UDP port {} to this machine.",
                self.listen.port()
            )),
        );
    }
}

/// 100.64.0.0/10, which providers use between their customers and a NAT of theirs.
fn is_carrier(ip: Ipv4Addr) -> bool {
    matches!(ip.octets(), [100, 64..=127, ..])
}
