//! What routers do, found out by plain sockets: on what mapping and filtering depend (RFC 4787).

use super::{Home, Internet, SERVERS};
use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

const DEADLINE: Duration = Duration::from_secs(10);

/// On what of the other end's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depends {
    Nothing,
    Address,
    Port,
}

/// What a home's router does, as seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The host's address arrives as it is.
    pub rewrites: bool,
    pub maps: Depends,
    pub filters: Depends,
    /// Packets arrive that belong to no flow from inside.
    pub open: bool,
}

/// Sockets in the internet: two ports of two addresses.
pub struct Servers([[UdpSocket; 2]; 2]);

fn socket(on: &crate::Machine, ip: &str) -> UdpSocket {
    let addr = if ip.contains(':') { format!("[{ip}]:0") } else { format!("{ip}:0") };
    let socket = on.run(|| UdpSocket::bind(addr).expect("a port"));
    socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    socket
}

fn receive(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).ok()?;
    Some((buffer[..length].to_vec(), from))
}

impl Servers {
    pub fn open(internet: &Internet) -> Self {
        Self::at(internet, SERVERS)
    }

    pub fn at(internet: &Internet, ips: [&str; 2]) -> Self {
        Self(ips.map(|ip| [socket(internet.machine(), ip), socket(internet.machine(), ip)]))
    }

    fn addr(&self, ip: usize, port: usize) -> SocketAddr {
        self.0[ip][port].local_addr().expect("bound")
    }

    /// Where a packet from this socket comes from.
    fn sees(&self, from: &UdpSocket, ip: usize, port: usize) -> Option<SocketAddr> {
        from.send_to(b"who am I", self.addr(ip, port)).expect("sent");
        receive(&self.0[ip][port]).map(|(_, from)| from)
    }

    /// The payloads that get to `socket` at `at` before one from the first server, to which it has sent.
    fn before_answer(&self, socket: &UdpSocket, at: SocketAddr) -> Vec<Vec<u8>> {
        let mut got = Vec::new();
        // Twice: nothing that was sent before the second question is still under way at its answer.
        for answer in [&b"answer"[..], b"last"] {
            self.0[0][0].send_to(answer, at).expect("sent");
            loop {
                let (payload, _) = receive(socket).expect("an answer");
                if payload == answer {
                    break;
                }
                got.push(payload);
            }
            self.sees(socket, 0, 0).expect("a question");
        }
        got
    }

    /// Looks at a home's router, over the family of the servers; `None`: no datagram gets out.
    pub fn look(&self, home: &Home) -> Option<Seen> {
        let v6 = self.addr(0, 0).is_ipv6();
        let ip = if v6 { home.host_ip_v6() } else { home.host_ip() };
        let host_ip: IpAddr = ip.parse().expect("an address");
        let mapped = socket(home.host(), &ip);
        let first = self.sees(&mapped, 0, 0)?;
        let port = self.sees(&mapped, 0, 1)?;
        let address = self.sees(&mapped, 1, 0)?;
        let maps = match (port == first, address == first) {
            (true, true) => Depends::Nothing,
            (true, false) => Depends::Address,
            (false, _) => Depends::Port,
        };

        let filtered = socket(home.host(), &ip);
        let outside = self.sees(&filtered, 0, 0)?;
        self.0[1][0].send_to(b"other address", outside).expect("sent");
        self.0[0][1].send_to(b"other port", outside).expect("sent");
        let got = self.before_answer(&filtered, outside);
        let filters = if got.contains(&b"other address".to_vec()) {
            Depends::Nothing
        } else if got.contains(&b"other port".to_vec()) {
            Depends::Address
        } else {
            Depends::Port
        };

        // A port that no packet has left yet; where it would be.
        let fresh = socket(home.host(), &ip);
        let own = fresh.local_addr().expect("bound");
        let guess = SocketAddr::new(first.ip(), own.port());
        self.0[1][1].send_to(b"unasked", guess).expect("sent");
        let outside = self.sees(&fresh, 0, 0)?;
        let open = !self.before_answer(&fresh, outside).is_empty();
        Some(Seen { rewrites: first.ip() != host_ip, maps, filters, open })
    }

    /// Whether this home's TCP gets out, and its datagrams do not.
    pub fn is_cut_off(&self, internet: &Internet, home: &Home) -> bool {
        let listener = internet.machine().run(|| TcpListener::bind((SERVERS[0], 0)).expect("a port"));
        let to = listener.local_addr().expect("bound");
        let socket = socket(home.host(), &home.host_ip());
        self.0.iter().flatten().for_each(|server| {
            socket.send_to(b"cut off", server.local_addr().expect("bound")).expect("sent");
        });
        // What was sent before it is there before it.
        home.host().run(|| TcpStream::connect_timeout(&to, DEADLINE).expect("TCP gets out"));
        self.0.iter().flatten().all(|server| {
            server.set_nonblocking(true).expect("not blocking");
            let nothing = server.recv_from(&mut [0; 16]).is_err();
            server.set_nonblocking(false).expect("blocking");
            nothing
        })
    }

    /// Whether a packet to a server leaves by its own port when the server's packet to that port came first.
    pub fn keeps_port_after_early_packet(&self, home: &Home) -> bool {
        let socket = socket(home.host(), &home.host_ip());
        let own = socket.local_addr().expect("bound").port();
        let outside: IpAddr = home.outside().parse().expect("an address");
        self.0[1][1].send_to(b"early", SocketAddr::new(outside, own)).expect("sent");
        self.sees(&socket, 1, 1).expect("it gets out").port() == own
    }
}
