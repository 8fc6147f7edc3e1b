//! What a router says, or whoever pretends to be it: answers, announcements, and the journal of mappings.

use crate::modest;
use fyteclub_fuzz::{
    fuzz,
    seed::{goldens, texts},
};
use fyteclub_igd::{Place, description, soap, ssdp};
use fyteclub_proto::reaching::{
    candidate::is_public,
    mapping::{
        Action, Input, JOURNAL_MAX, Journal, Mappings, Output, Refusal, Reply, Switches, Uplink, natpmp, pcp,
    },
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
        mappings.handle(start, 0.5, Input::Received { local: LOCAL, bytes: input });
        drain(&mut mappings);
        // Again while something else is awaited, and as an announcement later on.
        mappings.handle(start, 0.5, Input::Received { local: LOCAL, bytes: input });
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

/// A description is read from the machine that answered, at an address that is one.
#[test]
fn search_answer() {
    let seeds = texts(&[
        "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: http://192.168.1.1:5000/rootDesc.xml\r\n\r\n",
        "HTTP/1.1 200 OK\r\nlocation:http://192.168.1.1\r\n\r\n",
    ]);
    fuzz!(seeds, |input: &[u8]| {
        if let Some(place) = modest(input, || ssdp::location(input, GATEWAY)) {
            assert_eq!(place.ip(), GATEWAY);
            assert!(place.addr().port() > 0 && place.path().starts_with('/'));
            assert!(place.path().bytes().all(|byte| byte.is_ascii_graphic()));
            assert_eq!(Place::parse(&place.to_string()), Some(place), "its own words");
        }
    });
}

/// Requests go to the machine that the description is from, and to few services.
#[test]
fn description() {
    let seeds = texts(&[
        "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><URLBase>http://192.168.1.1:5000/</URLBase><device><deviceList><device><serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:2</serviceType><SCPDURL>/s.xml</SCPDURL><controlURL>/ctl/IPConn</controlURL></service></serviceList></device></deviceList></device></root>",
        "<service><!-- --><serviceType><![CDATA[urn:schemas-upnp-org:service:WANPPPConnection:1]]></serviceType><controlURL>c?a=1&amp;b=2</controlURL></service>",
    ]);
    let from = Place::parse("http://192.168.1.1:5000/a/rootDesc.xml").expect("a place");
    fuzz!(seeds, move |input: &[u8]| {
        let services = modest(input, || description::services(input, &from));
        assert!(services.len() <= 4);
        for service in services {
            assert_eq!(service.control().ip(), from.ip());
            assert!(service.control().path().bytes().all(|byte| byte.is_ascii_graphic()));
        }
    });
}

/// Whatever a router answers, the reply is one to the question.
#[test]
fn upnp_answer() {
    let answer = |name: &str, arguments: &str| {
        format!("<s:Envelope><s:Body><u:{name}Response>{arguments}</u:{name}Response></s:Body></s:Envelope>")
    };
    let seeds = [
        answer("GetExternalIPAddress", "<NewExternalIPAddress>11.22.33.44</NewExternalIPAddress>"),
        answer(
            "GetSpecificPortMappingEntry",
            "<NewInternalPort>4000</NewInternalPort><NewInternalClient>192.168.1.5</NewInternalClient><NewEnabled>1</NewEnabled><NewLeaseDuration>3600</NewLeaseDuration>",
        ),
        answer("AddPortMapping", ""),
        answer("AddAnyPortMapping", "<NewReservedPort>40001</NewReservedPort>"),
        "<s:Fault><errorCode>718</errorCode></s:Fault>".to_owned(),
    ];
    let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
    fuzz!(texts(&seeds), |input: &[u8]| {
        let actions = [
            Action::Address,
            Action::Entry { outside: 1 },
            Action::Add { outside: 1, inside: 1, seconds: 0 },
            Action::AddAny { inside: 1, seconds: 0 },
            Action::Remove { outside: 1 },
        ];
        for (action, status) in actions.iter().flat_map(|action| [(*action, 200), (*action, 500)]) {
            let fits = match (modest(input, || soap::read(action, status, input)), action) {
                (Ok(Reply::Address(_)), Action::Address)
                | (Ok(Reply::Entry(_)), Action::Entry { .. })
                | (Ok(Reply::Added), Action::Add { .. })
                | (Ok(Reply::AddedAt(_)), Action::AddAny { .. })
                | (Ok(Reply::Removed), Action::Remove { .. })
                | (Err(Refusal::Silent), _) => true,
                (Err(Refusal::Code(_)), _) => status != 200,
                (Ok(_), _) => false,
            };
            assert!(fits, "{action:?} {status}");
        }
    });
}
