//! What a router says, or whoever pretends to be it: answers, announcements, and the journal of mappings.

use crate::modest;
use fyteclub_fuzz::{fuzz, seed::goldens};
use fyteclub_proto::reaching::{
    candidate::is_public,
    mapping::{Input, JOURNAL_MAX, Journal, Mappings, Output, Switches, Uplink, natpmp, pcp},
};
use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 5);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
/// That of the goldens.
const NONCE: pcp::Nonce = [0xa1, 0xb2, 0xc3, 0xd4, 5, 6, 7, 8, 9, 10, 11, 12];

/// A machine that asks this router, and the journal that it was born with.
fn asking(now: Instant, journal: Journal) -> Mappings {
    let mut mappings = Mappings::new(Switches { upnp: false, nat_pmp: true }, 40_000, journal);
    let uplink = Uplink::new(LOCAL, 24, Some(GATEWAY)).expect("a network");
    mappings.handle(now, 0.5, Input::Uplinks(vec![(uplink, NONCE)]));
    mappings
}

/// Only the gateway is sent to, few packets at a time, and only addresses of the internet are told.
fn drain(mappings: &mut Mappings) {
    let mut sent = 0;
    while let Some(output) = mappings.poll() {
        match output {
            Output::Send { local, gateway, bytes } => {
                sent += 1;
                assert_eq!((local, gateway), (LOCAL, GATEWAY));
                assert!(bytes.len() <= 60);
            }
            Output::Mapped(told) => {
                assert!(told.iter().all(|addr| is_public((*addr.ip()).into()) && addr.port() > 0));
            }
            Output::Keep(journal) => assert!(journal.mappings.len() <= JOURNAL_MAX),
            Output::Changed { .. } => {}
            Output::Search { .. } | Output::Ask { .. } => panic!("UPnP is switched off"),
        }
    }
    assert!(sent <= 2, "{sent} packets");
}

#[test]
fn answer() {
    let seeds = goldens("router_v1", &["natpmp_", "pcp_"]);
    fuzz!(seeds, |input: &[u8]| {
        let pmp = modest(input, || natpmp::Answer::decode(input));
        let pcp = modest(input, || pcp::Answer::decode(input));
        assert!(pmp.is_err() || pcp.is_err(), "no packet is of both protocols");
        let start = Instant::now();
        let mut mappings = asking(start, Journal::default());
        drain(&mut mappings);
        mappings.handle(start, 0.5, Input::Heard { local: LOCAL, bytes: input });
        drain(&mut mappings);
        // Again while something else is awaited, and as an announcement later on.
        mappings.handle(start, 0.5, Input::Heard { local: LOCAL, bytes: input });
        drain(&mut mappings);
        for minutes in 1..4 {
            let now = start + Duration::from_secs(60 * minutes);
            mappings.handle(now, 0.5, Input::Time);
            drain(&mut mappings);
            mappings.handle(now, 0.5, Input::Announced { from: GATEWAY, bytes: input });
            drain(&mut mappings);
        }
        mappings.handle(start + Duration::from_secs(300), 0.5, Input::Stop);
        drain(&mut mappings);
    });
}

#[test]
fn journal() {
    fuzz!(goldens("router_v1", &["journal"]), |input: &[u8]| {
        if let Ok(journal) = modest(input, || serde_json::from_slice::<Journal>(input)) {
            let text = serde_json::to_vec(&journal).expect("JSON");
            assert_eq!(serde_json::from_slice::<Journal>(&text).expect("its own words"), journal);
            let start = Instant::now();
            let mut mappings = asking(start, journal);
            for seconds in 0..9 {
                mappings.handle(start + Duration::from_secs(seconds), 0.5, Input::Time);
                drain(&mut mappings);
            }
        }
    });
}
