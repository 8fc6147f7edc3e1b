//! The machines between an address and an open link, and those of phone books.

use super::{Dice, walk};
use crate::{
    bytes::Bytes,
    id::{BlobHash, PeerId},
    letter::Attempt,
    live::{self, Live, Lost},
    peer::{CloseCode, Control, Greeting, Hello, HelloAck},
    phonebook::live::{Hear, Welcome},
    presence::{self, Presence},
    reaching::{
        candidate::{Candidate, Origin},
        connector::{self, Connector},
        families::Families,
        introduction::{self, Introductions},
        link_choice::{self, LinkChoice},
        liveness::{self, Liveness},
        mapping::{self, Mappings},
        paths::{self, Paths},
        session::{self, Session},
    },
    seal::End,
};
use std::{net::SocketAddr, time::Duration};

#[test]
fn session_waits_with_a_deadline() {
    let idle = ["open: QUIC's idle timeout ends a dead link", "closed"];
    let new = |dice: &mut Dice, now| {
        let end = if dice.below(2) == 0 { End::Dialer } else { End::Acceptor };
        Session::new(end, greeting(None), now)
    };
    walk("session", &idle, new, |session, dice, now| {
        use session::Input;
        let look = dice.look();
        let input = match dice.below(13) {
            12 if session.is_open() => {
                Input::Received(Control::Offer { attempt: Bytes([1; 16]), offer: Vec::new() })
            }
            0 => Input::Received(Control::Hello(Hello { versions: vec![1], greeting: greeting(look) })),
            1 | 2 => Input::Received(Control::HelloAck(HelloAck { version: 1, greeting: greeting(look) })),
            3 => Input::Admit,
            4 if dice.below(9) == 0 => Input::Close(CloseCode::Done),
            5 => Input::Publish(look),
            6..=8 if session.is_open() => Input::Received(Control::Published(look)),
            _ => Input::Time,
        };
        session.handle(now, input);
        (session.deadline().is_some(), session.idle())
    });
}

#[test]
fn connector_waits_with_a_deadline() {
    let idle = [
        "idle: nobody needs the peer, or it was given up",
        "linked: `Liveness` watches the link while something is asked",
    ];
    walk(
        "connector",
        &idle,
        |_, _| Connector::default(),
        |connector, dice, now| {
            use connector::Input;
            let input = match dice.below(9) {
                0 | 1 => Input::Want,
                2 => Input::Opened,
                3 => Input::Greeting,
                4 => Input::Lost { cause: String::new(), again: dice.below(4) > 0 },
                5 => Input::Suspect,
                7 => [Input::Silent, Input::Heard][dice.size(2)].clone(),
                6 if dice.below(4) == 0 => Input::Leave,
                _ => Input::Time,
            };
            connector.handle(now, 0.5, input);
            (connector.deadline().is_some(), connector.idle())
        },
    );
}

#[test]
fn paths_wait_with_a_deadline() {
    let idle = [
        "idle: nobody needs the peer, or it was given up",
        "linked: `Liveness` watches the link while something is asked",
    ];
    let at = |dice: &mut Dice| SocketAddr::from(([10, 0, 0, u8::try_from(dice.below(4)).unwrap()], 7));
    let families = Families::of(SocketAddr::from(([0, 0, 0, 0], 7)));
    walk(
        "paths",
        &idle,
        |_, _| Paths::new(families),
        |paths, dice, now| {
            use paths::{Failure, Input, Unfound};
            let told = |dice: &mut Dice| {
                (0..dice.below(4)).map(|_| Candidate { origin: Origin::Host, addr: at(dice) }).collect()
            };
            let failure = |dice: &mut Dice| Failure::new("", dice.below(4) > 0);
            let unfound = [
                Unfound::NotThere,
                Unfound::Unavailable,
                Unfound::OtherKey,
                Unfound::Forbidden,
                Unfound::NoPath,
            ];
            let last = (dice.below(2) == 0).then(|| at(dice));
            let input = match dice.below(17) {
                0 | 1 => Input::Want,
                13 => Input::Traversed(SocketAddr::from(([240, 0, 0, 1], 1))),
                2 => Input::Found { told: Ok(told(dice)), last },
                3 => Input::Found { told: Err(unfound[dice.size(5)](String::new())), last },
                4 => Input::Told(told(dice)),
                5 => Input::Dialled { dial: dice.below(40), result: Err(failure(dice)) },
                6 => {
                    Input::Dialled { dial: dice.below(40), result: Ok(Duration::from_millis(dice.below(9))) }
                }
                7 => Input::Opened { link: 1, addr: at(dice), rtt: dice.pause(), suspect: None },
                8 => Input::Closed { addr: at(dice) },
                9 => Input::Lost(failure(dice)),
                10 => Input::Suspect { link: 1, heard: dice.below(3) },
                14 => Input::Silent { link: 1, heard: dice.below(3) },
                15 => Input::Heard,
                11 => Input::Stranded { addr: at(dice) },
                12 if dice.below(4) == 0 => Input::Leave,
                _ => Input::Time,
            };
            paths.handle(now, 0.5, input);
            while paths.poll().is_some() {}
            (paths.deadline().is_some(), paths.idle())
        },
    );
}

#[test]
fn liveness_waits_with_a_deadline() {
    let idle = ["nothing is asked", "the link was given up"];
    walk(
        "liveness",
        &idle,
        |_, now| Liveness::new(now),
        |liveness, dice, now| {
            let heard = liveness::Input::Received {
                datagrams: dice.below(2),
                rtt: dice.pause(),
                asking: dice.below(4) > 0,
            };
            liveness.handle(now, if dice.below(9) == 0 { liveness::Input::Fresh } else { heard });
            (liveness.deadline().is_some(), liveness.idle())
        },
    );
}

#[test]
fn link_choice_waits_with_a_deadline() {
    let [here, there] = [1, 2].map(|key| PeerId::from_bytes([key; 32]));
    walk(
        "link_choice",
        &["no link is to go"],
        |_, _| LinkChoice::new(here, there),
        |choice, dice, now| {
            use link_choice::Input;
            let link = dice.size(8);
            let dialer = if dice.below(2) == 0 { here } else { there };
            choice.handle(
                now,
                match dice.below(5) {
                    0 => Input::Opened { link, dialer, instance: dice.below(3) / 2 },
                    1 => Input::Busy { link },
                    2 => Input::Gone { link },
                    _ => Input::Time,
                },
            );
            (choice.deadline().is_some(), choice.idle())
        },
    );
}

#[test]
fn presence_waits_with_a_deadline() {
    let idle = ["no phone book: nothing is registered"];
    let new = |dice: &mut Dice, now| Presence::new(dice.size(3), presence::HEARTBEAT, now);
    walk("presence", &idle, new, |presence, dice, now| {
        use presence::Input;
        let book = dice.size(2);
        presence.handle(
            now,
            0.5,
            match dice.below(8) {
                0 => Input::Registered { book },
                1 => Input::Failed { book },
                2 => Input::Up { book },
                3 => Input::Down { book },
                4 if dice.below(4) == 0 => Input::Moved,
                _ => Input::Time,
            },
        );
        (presence.deadline().is_some(), presence.idle())
    });
}

#[test]
fn introductions_wait_with_a_deadline() {
    walk(
        "introductions",
        &["nobody is called"],
        |_, _| Introductions::default(),
        |calls, dice, now| {
            use introduction::{Call, Input, WhenAbsent};
            let (peer, book) = (dice.peer(), dice.size(3));
            let attempt: Attempt = Bytes([u8::try_from(dice.below(4)).unwrap(); 16]);
            calls.handle(
                now,
                match dice.below(10) {
                    0 => Input::Call(Call {
                        peer,
                        attempt,
                        asked: dice.below(2) == 0,
                        when_absent: match dice.below(3) {
                            0 => WhenAbsent::None,
                            1 => WhenAbsent::Usual,
                            _ => WhenAbsent::Until(now + dice.pause()),
                        },
                        coming: (0..dice.size(4)).collect(),
                    }),
                    1 => Input::Accepted { peer, attempt },
                    2 => Input::Go { peer, attempt, delay: dice.pause() },
                    3 => Input::Unavailable { book, attempt },
                    4 => Input::Down { book, coming: dice.below(2) == 0 },
                    5 => Input::Up { book, missed: dice.below(2) == 0 },
                    6 => Input::Limited { book, attempt, retry_after: dice.pause() },
                    _ => Input::Time,
                },
            );
            (calls.deadline().is_some(), calls.idle())
        },
    );
}

#[test]
fn live_waits_with_a_deadline() {
    walk(
        "live",
        &[],
        |_, now| Live::new(live::RETURN_SPREAD, now),
        |live, dice, now| {
            use live::Input;
            let lost = [Lost::Refused, Lost::Unreachable, Lost::NoUpgrade, Lost::Unsupported, Lost::Broken];
            live.handle(
                now,
                0.5,
                match dice.below(10) {
                    8 => Input::Alive,
                    9 => Input::Wanted,
                    0 => {
                        Input::Received(Hear::Challenge { versions: vec![1], nonce: Bytes([0; 32]), time: 0 })
                    }
                    1 => Input::Received(Hear::Welcome(Welcome { period: dice.below(60), ..welcome() })),
                    2 => Input::Received(Hear::Restarting { after_ms: dice.below(9_000) }),
                    3 => Input::Said,
                    4 => Input::Lost(lost[dice.size(5)].clone()),
                    _ => Input::Time,
                },
            );
            (live.deadline().is_some(), live.idle())
        },
    );
}

#[test]
fn mappings_wait_with_a_deadline() {
    use mapping::{Action, Device, Input, Journal, Mapped, Output, Refusal, Reply, Switches, Uplink};
    let idle = ["no network with a router, or nothing is switched on", "over"];
    let host = |network: u8, host: u8| std::net::Ipv4Addr::new(192, 168, network, host);
    let new = |dice: &mut Dice, _| {
        let switches = Switches { upnp: dice.below(4) > 0, nat_pmp: dice.below(4) > 0 };
        (Mappings::new(switches, 40_000, Journal::default()), None::<Action>)
    };
    walk("mappings", &idle, new, |(mappings, asked), dice, now| {
        let local = host(u8::try_from(dice.below(2)).unwrap(), 5);
        let gateway = host(local.octets()[2], 1);
        let mut bytes = vec![0; dice.size(64)];
        bytes.iter_mut().for_each(|byte| *byte = u8::try_from(dice.below(256)).unwrap());
        // Most often an answer of one of the two protocols.
        let head = [
            vec![0, 128, 0, 0],
            vec![0, 129, 0, 0],
            vec![2, 129, 0, 0],
            vec![2, 128, 0, 0],
            vec![0, 129, 0, 3],
        ];
        for (byte, known) in bytes.iter_mut().zip(&head[dice.size(5)]) {
            *byte = *known;
        }
        let uplinks = (0..dice.below(3)).filter_map(|n| {
            let n = u8::try_from(n).unwrap();
            Some((Uplink::new(host(n, 5), 24, Some(host(n, 1)))?, [n; 12]))
        });
        let mapped =
            Mapped { client: local, inside: 40_000, seconds: u32::try_from(dice.below(5000)).unwrap() };
        let reply = match (asked.take(), dice.below(4)) {
            (_, 0) => Err(Refusal::Code([501, 606, 718, 725][dice.size(4)])),
            (Some(Action::Address), _) => Ok(Reply::Address(Some([11, 22, 33, 44].into()))),
            (Some(Action::Entry { .. }), _) => Ok(Reply::Entry((dice.below(2) > 0).then_some(mapped))),
            (Some(Action::Add { .. }), _) => Ok(Reply::Added),
            (Some(Action::AddAny { .. }), _) => Ok(Reply::AddedAt(50_000)),
            (Some(Action::Remove { .. }), _) => Ok(Reply::Removed),
            (None, _) => Err(Refusal::Silent),
        };
        let input = match dice.below(24) {
            0 | 1 => Input::Uplinks(uplinks.collect()),
            2..=6 => Input::Received { local, bytes: &bytes },
            7 => Input::Refused { local },
            8 => Input::Announced { from: gateway, bytes: &bytes },
            9 | 10 => Input::Found { local, device: Device { number: dice.below(3), ip: gateway } },
            11 => Input::Searched { local },
            12..=18 => Input::Answered { local, reply },
            19 => Input::CameIn([11, 22, 33, 99].into()),
            20 if dice.below(20) == 0 => Input::Stop,
            _ => Input::Time,
        };
        mappings.handle(now, 0.5, input);
        while let Some(output) = mappings.poll() {
            if let Output::Ask { action, .. } = output {
                *asked = Some(action);
            }
        }
        (mappings.deadline().is_some(), mappings.idle())
    });
}

fn welcome() -> Welcome {
    let address = std::net::IpAddr::from([127, 0, 0, 1]);
    Welcome { version: 1, address, life: 60, period: 20, udp: None, return_ms: Some(1000) }
}

fn greeting(published: Option<BlobHash>) -> Greeting {
    Greeting { agent: String::new(), player: None, capabilities: 0, published, instance: 1 }
}
