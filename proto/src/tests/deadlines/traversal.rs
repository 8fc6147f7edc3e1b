//! The machines that find paths: STUN and NAT traversal.

use super::{Dice, walk};
use crate::{
    bytes::Bytes,
    id::PeerId,
    reaching::{
        candidate::{Candidate, Candidates, Origin},
        families::Families,
        nat::Nat,
        stun_client::{self, Server, StunClient},
        traversal::{self, Grant, Introduction, Path, Reply, Traversal},
        wire::{
            offer::Offer,
            probe::{Agreement, Part, Probe},
            relay::{Leg, Terms, Token},
            stun::{Request, Response},
        },
    },
};
use std::{net::SocketAddr, time::Duration};

fn at(dice: &mut Dice) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, u8::try_from(dice.below(4)).unwrap()], 7))
}

#[test]
fn stun_client_waits_with_a_deadline() {
    let new = |_: &mut Dice, _| (StunClient::new([1; 32].into()), Vec::new());
    walk("stun client", &["no server is known"], new, |(client, asked), dice, now| {
        use stun_client::{Input, Output};
        let server = |dice: &mut Dice| Server { kept: at(dice), fresh: at(dice) };
        client.handle(
            now,
            match dice.below(12) {
                0 => Input::Servers((0..dice.below(3)).map(|_| server(dice)).collect()),
                1 => Input::Local(vec![at(dice).ip()]),
                2 => Input::Want,
                3 => Input::Moved,
                4..=7 if !asked.is_empty() => {
                    let transaction = asked.swap_remove(dice.size(asked.len()));
                    Input::Received(Response { transaction, mapped: at(dice) })
                }
                _ => Input::Time,
            },
        );
        while let Some(output) = client.poll() {
            if let Output::Send { request, .. } = output {
                asked.push(Request::decode(&request).unwrap().transaction);
            }
        }
        (client.deadline().is_some(), client.idle())
    });
}

#[test]
fn traversal_waits_with_a_deadline() {
    let idle = [
        "the peer's offer did not come: whoever runs it introduces again",
        "relays only, and no relay: whoever runs it asks for one",
    ];
    let [own, theirs] = [1, 2].map(|n| (PeerId::from_bytes([n; 32]), Bytes([n; 32])));
    let agreement = || Agreement { attempt: Bytes([5; 16]), caller: own, callee: theirs };
    let (_, opener) = agreement().keys(Part::Caller);
    let (sealer, reads) = agreement().keys(Part::Callee);
    let new = |dice: &mut Dice, now| {
        let introduction = Introduction {
            attempt: Bytes([5; 16]),
            part: Part::Caller,
            here: own.0,
            there: theirs.0,
            secret: own.1,
            families: Families::of(SocketAddr::from(([0, 0, 0, 0], 7))),
            relay_only: dice.below(4) == 0,
            punching: dice.below(4) > 0,
        };
        // The peer's probes so far, and those that it may answer.
        (Traversal::new(now, introduction, Candidates::default(), Nat::Unknown), 0_u32, Vec::new())
    };
    walk("traversal", &idle, new, |(traversal, sent, asked), dice, now| {
        use traversal::{Input, Output};
        let leg = Leg(dice.below(2));
        let path = match dice.below(4) {
            0 => Path::Relay { relay: at(dice), leg },
            1 => Path::RelayTcp { leg },
            _ => Path::Direct(at(dice)),
        };
        let nat = Nat::from(u8::try_from(dice.below(5)).unwrap());
        let candidates = |dice: &mut Dice| {
            let origins = [Origin::Host, Origin::Observed, Origin::Mapped];
            let one = |dice: &mut Dice| Candidate { origin: origins[dice.size(3)], addr: at(dice) };
            Candidates((0..dice.below(3)).map(|_| one(dice)).collect())
        };
        let input = match dice.below(27) {
            0 => Input::Reachable(candidates(dice)),
            1 | 2 => Input::Outside { addr: (dice.below(2) == 0).then(|| at(dice)), nat },
            3..=5 => {
                let (round, secret) = (u32::try_from(dice.below(6)).unwrap(), Some(theirs.1));
                let leaves = u32::try_from(dice.below(3)).unwrap();
                Input::Offered(Offer { secret, nat, round, leaves, candidates: candidates(dice) })
            }
            6 => {
                let udp = (dice.below(3) > 0).then(|| at(dice));
                Input::Granted(Grant { leg, token: Token::new([3; 32]), udp, tcp: dice.below(2) == 0 })
            }
            7 => Input::Replied { leg, reply: Reply::Challenge(Bytes([1; 16])) },
            8 => {
                let idle = Duration::from_secs(60);
                Input::Replied { leg, reply: Reply::Bound(Terms { rate: 1, idle }) }
            }
            9 if dice.below(4) == 0 => Input::Replied { leg, reply: Reply::Closed },
            10 => Input::Tcp { leg, open: dice.below(2) == 0 },
            11 => match dice.below(3) {
                0 => Input::Silent,
                busy => Input::Busy(busy == 1),
            },
            12 if dice.below(4) == 0 => Input::Moved,
            24 => Input::Reconnect,
            25 => Input::FailOver,
            26 => Input::RelayBack,
            13..=17 => {
                *sent += 1;
                let echo = asked.pop().filter(|_| dice.below(3) > 0);
                let probe =
                    Probe { number: *sent, echo, asks: dice.below(2) == 0, to_mapped: dice.below(2) == 0 };
                Input::Probed { path, probe: opener.open(&sealer.seal(probe)).unwrap() }
            }
            _ => Input::Time,
        };
        traversal.handle(now, 0.5, input);
        while let Some(output) = traversal.poll() {
            if let Output::Send { datagram, .. } = output {
                asked.push(reads.open(&datagram).unwrap().probe().number);
            }
        }
        (traversal.deadline().is_some(), traversal.idle())
    });
}
