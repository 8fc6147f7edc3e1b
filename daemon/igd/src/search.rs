//! One search in one network: sends the request three times and reads all descriptions at the same time, so that a device
//! which answers the search and then stays silent does not delay the others.

use crate::{
    place::Place,
    router::Router,
    ssdp::{self, ANSWER_MAX, GROUP},
};
use fyteclub_proto::reaching::mapping::{SEARCH_TIME, Uplink};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::HashSet,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};

/// Send times after the start. Multicast over Wi-Fi loses packets, often several at once.
const SENT_AT: [Duration; 3] = [Duration::ZERO, Duration::from_millis(400), Duration::from_millis(1200)];
/// Most descriptions read of one device. A router answers several times, for each of its services, with one place.
const PLACES_OF_ONE: usize = 2;
/// Most descriptions read of all devices but the gateway.
const PLACES_MAX: usize = 16;

/// Searches for [`SEARCH_TIME`] and calls `found` with each router. Dropping the future ends the search.
///
/// # Errors
/// The network cannot be used.
pub async fn search(uplink: Uplink, found: impl FnMut(Router)) -> io::Result<()> {
    let socket = open(uplink.local())?;
    let ground = Ground { local: uplink.local(), group: GROUP, gateway: uplink.gateway(), time: SEARCH_TIME };
    ground.search(&socket, |ip| uplink.has_neighbour(ip), found).await
}

fn open(local: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV4::new(local, 0).into())?;
    socket.set_multicast_if_v4(&local)?;
    // Neither beyond the network nor to this machine's own devices.
    socket.set_multicast_ttl_v4(1)?;
    socket.set_multicast_loop_v4(false)?;
    UdpSocket::from_std(socket.into())
}

/// The parameters of a search; tests search on loopback.
pub(crate) struct Ground {
    pub(crate) local: Ipv4Addr,
    pub(crate) group: SocketAddrV4,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) time: Duration,
}

impl Ground {
    pub(crate) async fn search(
        &self,
        socket: &UdpSocket,
        is_neighbour: impl Fn(Ipv4Addr) -> bool,
        mut found: impl FnMut(Router),
    ) -> io::Result<()> {
        let start = Instant::now();
        let end = start + self.time;
        let mut sends = SENT_AT.into_iter().map(|after| start + after).peekable();
        let mut places = Places { gateway: self.gateway, known: HashSet::new() };
        let mut readings = JoinSet::new();
        let mut buffer = [0; ANSWER_MAX];
        loop {
            let next = sends.peek().copied().unwrap_or(end);
            tokio::select! {
                () = sleep_until(next) => match sends.next() {
                    Some(_) => self.ask(socket).await?,
                    None => return Ok(()),
                },
                came = socket.recv_from(&mut buffer) => {
                    // The system reports an ICMP error for an earlier datagram.
                    let Ok((length, from)) = came else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    let IpAddr::V4(from) = from.ip() else { continue };
                    if !is_neighbour(from) {
                        continue;
                    }
                    let Some(place) = ssdp::location(&buffer[..length], from) else { continue };
                    if places.take(&place) {
                        let local = self.local;
                        readings.spawn(async move { timeout_at(end, Router::read(local, &place)).await.ok().flatten() });
                    }
                }
                Some(read) = readings.join_next() => {
                    if let Ok(Some(router)) = read {
                        found(router);
                    }
                }
            }
        }
    }

    async fn ask(&self, socket: &UdpSocket) -> io::Result<()> {
        for search in ssdp::searches(self.group) {
            socket.send_to(search.as_bytes(), self.group).await?;
        }
        Ok(())
    }
}

/// The places whose descriptions are read.
struct Places {
    gateway: Option<Ipv4Addr>,
    known: HashSet<Place>,
}

impl Places {
    /// Whether to read this description: each once, within the limits. Other devices cannot use up the gateway's places.
    fn take(&mut self, place: &Place) -> bool {
        let of_it = self.known.iter().filter(|known| known.ip() == place.ip()).count();
        let is_gateway = Some(place.ip()) == self.gateway;
        let has_room = of_it < PLACES_OF_ONE && (is_gateway || self.known.len() < PLACES_MAX);
        has_room && self.known.insert(place.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_device_takes_the_gateways_place() {
        let place = |host: u8, path: usize| {
            Place::parse(&format!("http://192.168.1.{host}/{path}")).expect("a place")
        };
        let mut places = Places { gateway: Some([192, 168, 1, 1].into()), known: HashSet::new() };
        assert!(places.take(&place(2, 0)) && !places.take(&place(2, 0)));
        assert!(places.take(&place(2, 1)) && !places.take(&place(2, 2)));
        let taken = (3..100).filter(|host| places.take(&place(*host, 0))).count();
        assert_eq!(taken, PLACES_MAX - 2);
        assert!(places.take(&place(1, 0)) && places.take(&place(1, 1)) && !places.take(&place(1, 2)));
    }
}
