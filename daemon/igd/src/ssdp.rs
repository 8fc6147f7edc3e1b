//! SSDP: the search request to all devices of a network, and its answers.

use crate::place::Place;
use std::net::{Ipv4Addr, SocketAddrV4};

/// All devices of the network.
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900);
/// Longest answer that is read.
pub const ANSWER_MAX: usize = 2048;

/// Search targets: routers, and their services, because some routers answer to those only.
const TARGETS: [&str; 3] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// The datagrams of one search. Devices answer within a second.
pub(crate) fn searches(group: SocketAddrV4) -> impl Iterator<Item = String> {
    TARGETS.into_iter().map(move |target| {
        format!(
            "M-SEARCH * HTTP/1.1\r\nHOST: {group}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {target}\r\n\r\n"
        )
    })
}

/// The place of the description, from an answer that `from` sent. `None` if the bytes are no answer, or the place is on
/// another machine.
pub fn location(answer: &[u8], from: Ipv4Addr) -> Option<Place> {
    let text = String::from_utf8_lossy(answer);
    let mut lines = text.lines();
    let status = lines.next()?;
    if !status.starts_with("HTTP/1.") || status.split_whitespace().nth(1) != Some("200") {
        return None;
    }
    let mut location = None;
    for line in lines.take_while(|line| !line.trim().is_empty()) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.trim().eq_ignore_ascii_case("location") {
            location = Place::parse(value);
            break;
        }
    }
    location.filter(|place| place.ip() == from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

    #[test]
    fn answer_leads_to_the_device_that_sent_it() {
        let answer =
            b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nlocation:http://192.168.1.1:5000/d.xml\r\n\r\n";
        let place = location(answer, ROUTER).expect("a place");
        assert_eq!(place.to_string(), "http://192.168.1.1:5000/d.xml");
        assert_eq!(location(answer, [192, 168, 1, 2].into()), None, "another machine said it");
    }

    #[test]
    fn what_is_no_answer_leads_nowhere() {
        let url = "http://192.168.1.1:5000/d.xml";
        for answer in [
            format!("HTTP/1.1 404 Not Found\r\nLOCATION: {url}\r\n\r\n"),
            format!("NOTIFY * HTTP/1.1\r\nLOCATION: {url}\r\n\r\n"),
            format!("HTTP/1.1 200 OK\r\n\r\nLOCATION: {url}\r\n"),
            "HTTP/1.1 200 OK\r\nLOCATION: http://router/d.xml\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(location(answer.as_bytes(), ROUTER), None, "{answer:?}");
        }
    }

    #[test]
    fn search_names_the_group() {
        let all: Vec<_> = searches(GROUP).collect();
        assert_eq!(all.len(), TARGETS.len());
        assert!(
            all.iter().all(|one| one.contains("HOST: 239.255.255.250:1900\r\n") && one.ends_with("\r\n\r\n"))
        );
    }
}
