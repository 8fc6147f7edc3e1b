//! Cookies: a relay recognises an address that has received one, and stores nothing for it.
//!
//! A cookie is for one place, one leg, and one number of that leg, which rises with each proof: a proof works once.

use super::words::Place;
use fyteclub_proto::{
    bytes::Bytes,
    reaching::wire::relay::{Cookie, Leg},
};
use std::{
    fmt,
    net::IpAddr,
    time::{Duration, Instant},
};

/// A cookie is valid in this period and the next one.
const PERIOD: Duration = Duration::from_secs(10);

pub(super) struct Cookies {
    secret: [u8; 32],
    start: Instant,
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookies")
    }
}

impl Cookies {
    pub(super) fn new(secret: [u8; 32], start: Instant) -> Self {
        Self { secret, start }
    }

    pub(super) fn make(&self, now: Instant, place: Place, leg: Leg, number: u64) -> Cookie {
        self.at(self.period(now), place, leg, number)
    }

    pub(super) fn is_valid(
        &self,
        now: Instant,
        place: Place,
        leg: Leg,
        number: u64,
        cookie: &Cookie,
    ) -> bool {
        let period = self.period(now);
        [Some(period), period.checked_sub(1)]
            .into_iter()
            .flatten()
            .any(|period| self.at(period, place, leg, number) == *cookie)
    }

    fn period(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs() / PERIOD.as_secs()
    }

    fn at(&self, period: u64, place: Place, leg: Leg, number: u64) -> Cookie {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        match place {
            Place::Udp(addr) => {
                match addr.ip() {
                    IpAddr::V4(ip) => hasher.update(&[4]).update(&ip.octets()),
                    IpAddr::V6(ip) => hasher.update(&[6]).update(&ip.octets()),
                };
                hasher.update(&addr.port().to_be_bytes());
            }
            Place::Socket(socket) => {
                hasher.update(&[0]).update(&socket.to_be_bytes());
            }
        }
        for part in [leg.0, number, period] {
            hasher.update(&part.to_be_bytes());
        }
        let mut cookie = [0; 16];
        cookie.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Bytes(cookie)
    }
}
