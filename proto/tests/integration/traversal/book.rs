//! A phone book of the model: STUN on two ports, a relay over UDP and over WebSockets.

use crate::netsim::{Dice, NodeId, TTL};
use fyteclub_proto::{
    bytes::Bytes,
    number::index,
    reaching::{
        traversal::Grant,
        wire::{
            Kind,
            relay::{Body, Cookie, Frame, Leg, Terms, Token},
            stun,
        },
    },
};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

pub const PORT: u16 = 3000;
pub const IP: [u8; 4] = [192, 0, 2, 1];

#[derive(Debug)]
struct Half {
    token: Token,
    other: Leg,
    /// The address that is bound.
    udp: Option<SocketAddr>,
    /// Whether its WebSocket is open.
    tcp: bool,
    /// Its last frame came over that.
    last_tcp: bool,
}

/// What the phone book sends.
#[derive(Debug)]
pub enum Sent {
    Udp { port: u16, to: SocketAddr, payload: Vec<u8> },
    Tcp { leg: Leg, frame: Vec<u8> },
}

#[derive(Debug)]
pub struct Book {
    pub node: NodeId,
    legs: BTreeMap<Leg, Half>,
    key: [u8; 32],
    /// Payload bytes that the relay forwarded.
    pub forwarded: usize,
}

impl Book {
    pub fn new(node: NodeId, dice: &mut Dice) -> Self {
        Self { node, legs: BTreeMap::new(), key: std::array::from_fn(|_| dice.byte()), forwarded: 0 }
    }

    pub fn addr(port: u16) -> SocketAddr {
        SocketAddr::new(IP.into(), port)
    }

    /// The two legs of a new session.
    pub fn grant(&mut self, dice: &mut Dice, tcp: bool) -> [Grant; 2] {
        let legs = [Leg(dice.draw()), Leg(dice.draw())];
        [0, 1].map(|at| {
            let token = Token::new(std::array::from_fn(|_| dice.byte()));
            let half =
                Half { token: token.clone(), other: legs[1 - at], udp: None, tcp: false, last_tcp: false };
            self.legs.insert(legs[at], half);
            Grant { leg: legs[at], token, udp: Some(Self::addr(PORT)), tcp }
        })
    }

    /// The relay restarts and knows no leg.
    pub fn forget(&mut self) {
        self.legs.clear();
    }

    fn cookie(&self, from: SocketAddr) -> Cookie {
        let hash = Token::new(self.key).prove(Leg(0), &Bytes([0; 16]));
        let text = format!("{from}");
        let mut bytes = [0; 16];
        text.bytes()
            .chain(hash.0)
            .zip(0u32..)
            .for_each(|(byte, at)| bytes[index(at % 16)] ^= byte.rotate_left(at));
        Bytes(bytes)
    }

    /// A datagram came to one of its ports.
    pub fn datagram(&mut self, port: u16, from: SocketAddr, payload: &[u8]) -> Option<Sent> {
        match Kind::of(payload) {
            Kind::Stun => stun::answer(payload, from).map(|payload| Sent::Udp { port, to: from, payload }),
            Kind::Relay => {
                let frame = Frame::decode(payload).expect("daemons send frames");
                let answer = self.frame(Some(from), frame)?;
                let answers = !matches!(answer, Sent::Udp { to, .. } if to != from);
                if let Sent::Udp { to, payload: answer, .. } = &answer
                    && *to == from
                    && answers
                {
                    assert!(answer.len() <= payload.len(), "the relay amplifies");
                }
                Some(answer)
            }
            kind => panic!("{kind:?} came to the phone book"),
        }
    }

    pub fn open_tcp(&mut self, leg: Leg, open: bool) -> bool {
        let Some(half) = self.legs.get_mut(&leg) else { return false };
        (half.tcp, half.last_tcp) = (open, open);
        true
    }

    /// A frame of a daemon: `from` over UDP, or over a WebSocket.
    pub fn frame(&mut self, from: Option<SocketAddr>, frame: Frame<'_>) -> Option<Sent> {
        let leg = frame.leg;
        let reply = |body| from.map(|to| Sent::Udp { port: PORT, to, payload: Frame { leg, body }.encode() });
        let cookie = from.map(|from| self.cookie(from));
        let Some(half) = self.legs.get_mut(&leg) else { return reply(Body::Closed) };
        let terms = Body::Bound(Terms { rate: 512, idle: Duration::from_secs(60) });
        let is_bound = match from {
            Some(from) => half.udp == Some(from),
            None => true,
        };
        match frame.body {
            Body::Bind if is_bound => reply(terms),
            Body::Bind => reply(Body::Challenge(cookie?)),
            Body::Proof { cookie: sent, mac } => {
                if Some(sent) == cookie && half.token.verifies(leg, &sent, &mac) {
                    (half.udp, half.last_tcp) = (from, false);
                    return reply(terms);
                }
                None
            }
            Body::Data(_) if !is_bound => reply(Body::Challenge(cookie?)),
            Body::Data(payload) => {
                let other = half.other;
                half.last_tcp = from.is_none();
                self.forwarded += payload.len();
                let frame = Frame { leg: other, body: Body::Data(payload) }.encode();
                let other_half = self.legs.get(&other)?;
                match other_half.udp {
                    Some(to) if !other_half.last_tcp => Some(Sent::Udp { port: PORT, to, payload: frame }),
                    _ => other_half.tcp.then_some(Sent::Tcp { leg: other, frame }),
                }
            }
            _ => panic!("only a relay sends {frame:?}"),
        }
    }

    pub fn ttl() -> u8 {
        TTL
    }
}
