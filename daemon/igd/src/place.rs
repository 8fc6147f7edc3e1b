//! The only form of URL that is followed.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddrV4},
};

/// Longest URL that is read.
const URL_MAX: usize = 1024;

/// `http://ADDRESS:PORT/PATH`. The path begins with a slash and has only visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    addr: SocketAddrV4,
    path: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.addr, self.path)
    }
}

impl Place {
    /// `None` for another scheme, a host name, a user or password, port 0, or characters that are invalid in a URL.
    pub fn parse(url: &str) -> Option<Self> {
        let url = url.trim();
        let (scheme, rest) = url.split_at_checked("http://".len())?;
        if url.len() > URL_MAX || !scheme.eq_ignore_ascii_case("http://") {
            return None;
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0)?),
            None => (authority, 80),
        };
        let addr = SocketAddrV4::new(host.parse().ok()?, port);
        Some(Self { addr, path: of_path(path)? })
    }

    /// Resolves a URL of the document at this place: absolute, from the root, or from the document's folder. `None` if it
    /// has another machine's address.
    pub fn join(&self, url: &str) -> Option<Self> {
        let url = url.trim();
        if url.len() > URL_MAX || url.is_empty() {
            return None;
        }
        if url.contains("://") {
            return Self::parse(url).filter(|place| place.ip() == self.ip());
        }
        let path = if url.starts_with('/') {
            of_path(url)?
        } else {
            let document = self.path.split('?').next().unwrap_or_default();
            let folder = &document[..=document.rfind('/').unwrap_or(0)];
            of_path(&format!("{folder}{url}"))?
        };
        Some(Self { addr: self.addr, path })
    }

    pub fn ip(&self) -> Ipv4Addr {
        *self.addr.ip()
    }

    pub fn addr(&self) -> SocketAddrV4 {
        self.addr
    }

    /// With its query, without its fragment.
    pub fn path(&self) -> &str {
        &self.path
    }
}

fn of_path(text: &str) -> Option<String> {
    let text = text.split('#').next().unwrap_or_default();
    let slash = if text.starts_with('/') { "" } else { "/" };
    text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| format!("{slash}{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Option<String> {
        Place::parse(url).map(|place| place.to_string())
    }

    #[test]
    fn url_with_an_address_is_read_whole() {
        for (url, place) in [
            ("http://192.168.1.1:5000/rootDesc.xml", "http://192.168.1.1:5000/rootDesc.xml"),
            (" HTTP://192.168.1.1 ", "http://192.168.1.1:80/"),
            ("http://192.168.1.1?a=b#c", "http://192.168.1.1:80/?a=b"),
        ] {
            assert_eq!(read(url).as_deref(), Some(place), "{url}");
        }
    }

    #[test]
    fn url_without_an_address_is_not_followed() {
        let long = format!("http://192.168.1.1/{}", "a".repeat(URL_MAX));
        for url in [
            "",
            "http://",
            "https://192.168.1.1/",
            "http://router.lan/",
            "http://user@192.168.1.1/",
            "http://192.168.1.1@11.22.33.44/",
            "http://192.168.1.1:0/",
            "http://192.168.1.1:99999/",
            "http://[fe80::1]/",
            "http://192.168.257/",
            "http://192.168.1.1/a b",
            "http://192.168.1.1/a\r\nHost: b",
            "http://192.168.1.1/ä",
            "httpä//192.168.1.1/",
            &long,
        ] {
            assert_eq!(read(url), None, "{url}");
        }
    }

    #[test]
    fn control_url_stays_on_the_device() {
        let base = Place::parse("http://192.168.1.1:5000/igd/root.xml?x=/y").expect("a place");
        let join = |url| base.join(url).map(|place| place.to_string());
        for (url, place) in [
            ("/ctl/IPConn", "http://192.168.1.1:5000/ctl/IPConn"),
            ("ctl/IPConn", "http://192.168.1.1:5000/igd/ctl/IPConn"),
            ("http://192.168.1.1:49000/c", "http://192.168.1.1:49000/c"),
        ] {
            assert_eq!(join(url).as_deref(), Some(place), "{url}");
        }
        for url in ["", "http://192.168.1.2/c", "https://192.168.1.1/c", "/c d", "ftp://192.168.1.1/c"] {
            assert_eq!(join(url), None, "{url}");
        }
    }
}
