//! Device descriptions: which services of a device map ports.

use crate::{
    place::Place,
    xml::{Event, Events},
};

/// Longest description that is read. Those of routers have some 5 KiB.
pub const DESCRIPTION_MAX: usize = 128 << 10;
/// Services that are kept of one device: a router with several lines has one for each.
const SERVICES_MAX: usize = 4;
const TEXT_MAX: usize = 1024;

const KINDS: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// A service that maps ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    kind: &'static str,
    control: Place,
}

impl Service {
    /// The service type that requests must name.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The place for requests, on the device of the description.
    pub fn control(&self) -> &Place {
        &self.control
    }

    /// Whether it has `AddAnyPortMapping`.
    pub fn chooses(&self) -> bool {
        self.kind.ends_with("WANIPConnection:2")
    }
}

/// The port-mapping services of a description that was read at `from`, in its order. Empty if the device is no router.
pub fn services(description: &[u8], from: &Place) -> Vec<Service> {
    let text = String::from_utf8_lossy(description);
    let mut found: Vec<(&'static str, String)> = Vec::new();
    let (mut base, mut kind, mut control) = (String::new(), String::new(), String::new());
    let mut name = "";
    for event in Events::new(&text) {
        match event {
            Event::Open("service") => {
                (name, kind, control) = ("", String::new(), String::new());
            }
            Event::Open(element) => name = element,
            Event::Text(more) => {
                let into = match name {
                    "URLBase" => &mut base,
                    "serviceType" => &mut kind,
                    "controlURL" => &mut control,
                    _ => continue,
                };
                if into.len() + more.len() <= TEXT_MAX {
                    into.push_str(&more);
                }
            }
            Event::Close("service") => {
                let known = KINDS.into_iter().find(|known| *known == kind.trim());
                if let Some(known) = known.filter(|_| found.len() < SERVICES_MAX) {
                    found.push((known, control.clone()));
                }
                name = "";
            }
            Event::Close(_) => name = "",
        }
    }
    // A base on another machine is ignored.
    let base = from.join(&base).unwrap_or_else(|| from.clone());
    let service = |(kind, control): (&'static str, String)| {
        let control = base.join(&control).filter(|control| control.ip() == from.ip())?;
        Some(Service { kind, control })
    };
    found.into_iter().filter_map(service).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(description: &str) -> Vec<(String, String)> {
        let from = Place::parse("http://192.168.1.1:5000/root.xml").expect("a place");
        let all = services(description.as_bytes(), &from);
        all.into_iter()
            .map(|s| (s.kind().rsplit("service:").next().unwrap_or("").into(), s.control().to_string()))
            .collect()
    }

    fn service(kind: &str, control: &str) -> String {
        format!(
            "<service><serviceType>urn:schemas-upnp-org:service:{kind}</serviceType><SCPDURL>/s</SCPDURL><controlURL>{control}</controlURL></service>"
        )
    }

    #[test]
    fn services_of_all_depths_are_found() {
        let text = format!(
            "<root><device><serviceList>{}</serviceList><deviceList><device><serviceList>{}{}</serviceList></device></deviceList></device></root>",
            service("Layer3Forwarding:1", "/l3"),
            service("WANPPPConnection:1", "/ppp"),
            service("WANIPConnection:2", " /ip\n"),
        );
        let expected = [("WANPPPConnection:1", "/ppp"), ("WANIPConnection:2", "/ip")];
        let expected =
            expected.map(|(kind, path)| (kind.to_owned(), format!("http://192.168.1.1:5000{path}")));
        assert_eq!(read(&text), expected);
    }

    #[test]
    fn base_counts_only_on_the_device() {
        let with = |base: &str, control: &str| {
            read(&format!("<root><URLBase>{base}</URLBase>{}</root>", service("WANIPConnection:1", control)))
                .into_iter()
                .map(|(_, place)| place)
                .collect::<Vec<_>>()
        };
        assert_eq!(with("http://192.168.1.1:49000/", "c"), ["http://192.168.1.1:49000/c"]);
        assert_eq!(with("http://11.22.33.44/", "c"), ["http://192.168.1.1:5000/c"]);
        assert_eq!(with("", "http://192.168.1.1:1/c"), ["http://192.168.1.1:1/c"]);
        assert!(with("", "http://192.168.1.2/c").is_empty() && with("", "").is_empty());
    }

    #[test]
    fn no_more_services_are_kept_than_needed() {
        let many: String = (0..20).map(|n| service("WANIPConnection:1", &format!("/{n}"))).collect();
        assert_eq!(read(&many).len(), SERVICES_MAX);
        assert!(read("<root>").is_empty() && read("no XML").is_empty());
        let long = service("WANIPConnection:1", &"a".repeat(TEXT_MAX + 1));
        assert!(read(&long).is_empty());
    }
}
