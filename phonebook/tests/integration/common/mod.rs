//! A phone book on a free port, and an HTTP client that can also misbehave. Waits for sockets only.

pub(crate) mod live;
#[cfg(feature = "redis")]
pub(crate) mod redis_server;

use ed25519_dalek::SigningKey;
use fyteclub_phonebook::{Config, Operator, Rates, Running, Server};
use fyteclub_proto::{
    number::millis,
    phonebook::{KeyChange, Register, Unregister, Visibility},
};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::net::TcpSocket;

/// The server name in requests and signatures.
pub(crate) const SERVER: &str = "phonebook";

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Phonebook {
    running: Option<Running>,
    pub addr: SocketAddr,
}

/// Without limits, since the tests poll.
pub(crate) fn local() -> Config {
    Config { listen: ([127, 0, 0, 1], 0).into(), limits: Rates::OFF, ..Config::default() }
}

pub(crate) fn serve(config: Config) -> Phonebook {
    // The operator's page has the exact numbers.
    let operator = match config.operator {
        Operator::Off => Operator::At(([127, 0, 0, 1], 0).into()),
        other => other,
    };
    let running = Server::build(Config { operator, ..config }).unwrap().spawn().unwrap();
    Phonebook { addr: running.addr(), running: Some(running) }
}

pub(crate) fn compat() -> Phonebook {
    serve(Config { compat: true, ..local() })
}

pub(crate) fn signed() -> Phonebook {
    serve(local())
}

#[derive(Debug)]
pub(crate) struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The whole body, to the byte.
    pub(crate) fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status, self.body.as_str()), (status, body), "{self:?}");
    }

    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.json()["code"].as_str()), (status, Some(code)), "{self:?}");
        assert!(self.json()["error"].is_string());
    }
}

impl Phonebook {
    pub(crate) fn at(addr: SocketAddr) -> Self {
        Self { running: None, addr }
    }

    /// The same server, asked at this address.
    pub(crate) fn keeping(mut self, mut other: Self) -> Self {
        self.running = other.running.take();
        self
    }

    /// Begins to stop; what is connected is still served for a moment.
    pub(crate) fn stop(&mut self) {
        self.running.as_ref().unwrap().handle().stop();
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// `headers` are whole lines without their ends.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: impl AsRef<[u8]>,
    ) -> Response {
        let body = body.as_ref();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: phonebook\r\nConnection: close\r\n");
        for line in headers {
            head += &format!("{line}\r\n");
        }
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        self.raw(&[head.as_bytes(), body].concat())
    }

    /// One connection: `bytes` out, everything back until the server closes.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Response {
        let mut stream = self.connect();
        // A server that refuses may close before it has read everything.
        stream.write_all(bytes).ok();
        answer(stream)
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[], "")
    }

    /// By another `Host` than all other requests.
    pub(crate) fn get_as(&self, host: &str, path: &str) -> Response {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.request(method, path, &["Content-Type: application/json; charset=utf-8"], body)
    }

    pub(crate) fn register(&self, body: impl ToString) -> Response {
        self.send("POST", "/api/register", body.to_string())
    }

    pub(crate) fn unregister(&self, body: impl ToString) -> Response {
        self.send("DELETE", "/api/unregister", body.to_string())
    }

    pub(crate) fn lookup(&self, encoded_name: &str) -> Response {
        self.get(&format!("/api/lookup/{encoded_name}"))
    }

    /// The published number.
    pub(crate) fn told_users(&self) -> u64 {
        self.get("/health").json()["activeUsers"].as_u64().unwrap()
    }

    /// The exact number, from the operator's page.
    pub(crate) fn active_users(&self) -> u64 {
        match self.running.as_ref().and_then(Running::operator_addr) {
            Some(office) => {
                Self::at(office).get_as("127.0.0.1", "/status.json").json()["users"].as_u64().unwrap()
            }
            None => self.told_users(),
        }
    }

    /// An item of the ledger on the operator's page: charged, and refused.
    pub(crate) fn ledger(&self, item: &str) -> (u64, u64) {
        let office = self.running.as_ref().and_then(Running::operator_addr).unwrap();
        let text = Self::at(office).get_as("127.0.0.1", "/metrics").body;
        let of = |name: &str| {
            let start = format!("fyteclub_phonebook_{name}_total{{item=\"{item}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
        };
        (of("ledger_charged"), of("ledger_refusals"))
    }

    /// A metric on the operator's page, with its labels; 0 if it is not there yet.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let office = self.running.as_ref().and_then(Running::operator_addr).unwrap();
        let text = Self::at(office).get_as("127.0.0.1", "/metrics").body;
        let start = format!("fyteclub_phonebook_{name} ");
        text.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |number| number.parse().unwrap())
    }

    /// From one of this machine's other addresses.
    pub(crate) fn connect_from(&self, from: &str) -> TcpStream {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
            socket.connect(self.addr).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    pub(crate) fn get_from(&self, from: &str, path: &str) -> Response {
        let mut stream = self.connect_from(from);
        stream
            .write_all(
                format!("GET {path} HTTP/1.1\r\nHost: phonebook\r\nConnection: close\r\n\r\n").as_bytes(),
            )
            .ok();
        answer(stream)
    }
}

/// Reads until the server closes.
pub(crate) fn answer(mut stream: TcpStream) -> Response {
    let mut bytes = Vec::new();
    // A reset after the answer loses nothing.
    stream.read_to_end(&mut bytes).ok();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, head: head.to_owned(), body: body.to_owned() }
}

/// Asks until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

pub(crate) struct Player(pub SigningKey);

impl Player {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }

    pub(crate) fn register(&self, name: &str, sequence: u64) -> Register {
        self.register_at(name, sequence, now())
    }

    pub(crate) fn register_at(&self, name: &str, sequence: u64, time: u64) -> Register {
        Register::signed(name, 7777, Visibility::Listed, SERVER, sequence, time, &self.0)
    }

    pub(crate) fn register_for(&self, name: &str, sequence: u64, visibility: Visibility) -> Register {
        Register::signed(name, 7777, visibility, SERVER, sequence, now(), &self.0)
    }

    /// With a key change signed by the former key.
    pub(crate) fn register_after(&self, old: &Self, name: &str, sequence: u64) -> Register {
        let key_changes = vec![KeyChange::signed(&old.0, &self.0)];
        Register { key_changes, ..self.register(name, sequence) }
    }

    pub(crate) fn unregister(&self, name: &str, sequence: u64) -> Unregister {
        Unregister::signed(name, SERVER, sequence, now(), &self.0)
    }
}

pub(crate) fn json(body: &impl serde::Serialize) -> String {
    serde_json::to_string(body).unwrap()
}

/// Unix milliseconds.
pub(crate) fn now() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}
