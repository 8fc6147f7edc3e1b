//! A search among devices that are here for it: each has its address of 127.0.0.0/8 and a web server.

use crate::{router::Router, search::Ground};
use fyteclub_proto::reaching::mapping::{Action, Mapped, Refusal, Reply};
use std::{
    net::{Ipv4Addr, SocketAddrV4},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ROUTER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const TIME: Duration = Duration::from_millis(1800);
const ADD: Action = Action::Add { outside: 40_000, inside: 40_000, seconds: 3600 };

/// What devices do, until it is dropped.
struct Devices {
    group: SocketAddrV4,
    /// Requests that came, each whole.
    requests: Arc<Mutex<Vec<String>>>,
    tasks: JoinSet<()>,
}

/// What a web server answers to a request.
type Page = fn(&str) -> String;

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn service(kind: &str, control: &str) -> String {
    format!(
        "<service><serviceType>urn:schemas-upnp-org:service:{kind}</serviceType><controlURL>{control}</controlURL></service>"
    )
}

/// A router with one connection, that has a mapping of port 40000 and gives no other.
fn router(request: &str) -> String {
    let action = |name: &str| request.contains(&format!("<u:{name} "));
    let reply = |name: &str, arguments: &str| {
        ok(&format!("<s:Body><u:{name}Response>{arguments}</u:{name}Response></s:Body>"))
    };
    if request.starts_with("GET /root.xml ") {
        let services = service("WANIPConnection:1", "/down") + &service("WANPPPConnection:1", "/ctl");
        // In chunks, as some do.
        let document = format!("<root><device>{services}</device></root>");
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{document}\r\n0\r\n\r\n",
            document.len()
        )
    } else if request.starts_with("POST /down ") {
        reply("GetExternalIPAddress", "<NewExternalIPAddress></NewExternalIPAddress>")
    } else if action("GetExternalIPAddress") {
        reply("GetExternalIPAddress", "<NewExternalIPAddress>11.22.33.44</NewExternalIPAddress>")
    } else if action("GetSpecificPortMappingEntry") {
        reply(
            "GetSpecificPortMappingEntry",
            "<NewInternalPort>40000</NewInternalPort><NewInternalClient>127.0.0.1</NewInternalClient><NewEnabled>1</NewEnabled><NewLeaseDuration>1800</NewLeaseDuration>",
        )
    } else {
        let fault = "<errorCode>718</errorCode>";
        format!("HTTP/1.1 500 Internal Server Error\r\nContent-Length: {}\r\n\r\n{fault}", fault.len())
    }
}

fn silent(_: &str) -> String {
    String::new()
}

/// More than is read of a description, and no end.
fn endless(_: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n\r\n{}", "<a>".repeat(100_000))
}

fn redirecting(_: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: http://{ROUTER}/\r\nContent-Length: 0\r\n\r\n")
}

async fn serve(mut stream: TcpStream, page: Page, requests: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    let whole = |request: &[u8]| {
        let text = String::from_utf8_lossy(request).into_owned();
        (text.contains("\r\n\r\n") && (text.starts_with("GET ") || text.ends_with("</s:Envelope>\r\n")))
            .then_some(text)
    };
    let text = loop {
        match stream.read_buf(&mut request).await {
            Ok(1..) => {}
            _ => return,
        }
        if let Some(text) = whole(&request) {
            break text;
        }
    };
    let answer = page(&text);
    requests.lock().expect("no panic").push(text);
    stream.write_all(answer.as_bytes()).await.ok();
    if !answer.contains("Length") && !answer.contains("chunked") {
        // Neither an answer nor an end.
        std::future::pending::<()>().await;
    }
}

impl Devices {
    /// Each answers the search from its address, with a place on the second one.
    async fn open(all: &[(Ipv4Addr, Ipv4Addr, Page)]) -> Self {
        let mut tasks = JoinSet::new();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut answers = Vec::new();
        for (from, ip, page) in all.iter().copied() {
            let server = TcpListener::bind((ip, 0)).await.expect("a server");
            let port = server.local_addr().expect("an address").port();
            let answer = format!("HTTP/1.1 200 OK\r\nLOCATION: http://{ip}:{port}/root.xml\r\n\r\n");
            answers.push((UdpSocket::bind((from, 0)).await.expect("a socket"), answer));
            let requests = requests.clone();
            tasks.spawn(async move {
                let mut served = JoinSet::new();
                while let Ok((stream, _)) = server.accept().await {
                    served.spawn(serve(stream, page, requests.clone()));
                }
            });
        }
        let group = UdpSocket::bind((LOCAL, 0)).await.expect("a socket");
        let addr = SocketAddrV4::new(LOCAL, group.local_addr().expect("an address").port());
        tasks.spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok((length, from)) = group.recv_from(&mut buffer).await {
                assert!(buffer[..length].starts_with(b"M-SEARCH * HTTP/1.1\r\n"));
                for (socket, answer) in &answers {
                    socket.send_to(answer.as_bytes(), from).await.expect("answered");
                }
            }
        });
        Self { group: addr, requests, tasks }
    }

    async fn search(&self) -> Vec<Router> {
        let ground = Ground { local: LOCAL, group: self.group, gateway: Some(ROUTER), time: TIME };
        let socket = UdpSocket::bind((LOCAL, 0)).await.expect("a socket");
        let mut found = Vec::new();
        let is_neighbour = |ip| [ROUTER, OTHER].contains(&ip);
        ground.search(&socket, is_neighbour, |router| found.push(router)).await.expect("searched");
        found
    }

    fn requests(&self) -> usize {
        self.requests.lock().expect("no panic").len()
    }
}

#[tokio::test]
async fn silent_device_does_not_hide_the_router() {
    let devices =
        Devices::open(&[(OTHER, OTHER, silent), (OTHER, OTHER, endless), (ROUTER, ROUTER, router)]).await;
    let found = devices.search().await;
    assert_eq!(found.iter().map(Router::ip).collect::<Vec<_>>(), [ROUTER]);
    assert_eq!(devices.requests(), 3, "each description is asked for once, however often a device answers");
    assert!(!devices.tasks.is_empty());
}

#[tokio::test]
async fn only_neighbours_with_their_own_pages_are_read() {
    let stranger = Ipv4Addr::new(127, 0, 0, 9);
    let devices = Devices::open(&[
        (stranger, stranger, router),
        // A neighbour that names another machine.
        (OTHER, stranger, router),
        (OTHER, ROUTER, router),
    ])
    .await;
    assert!(devices.search().await.is_empty());
    assert_eq!(devices.requests(), 0, "nothing was sent to any of them");
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let devices = Devices::open(&[(ROUTER, ROUTER, redirecting)]).await;
    assert!(devices.search().await.is_empty());
    assert_eq!(devices.requests(), 1);
}

#[tokio::test]
async fn connection_with_an_address_is_asked() {
    let devices = Devices::open(&[(ROUTER, ROUTER, router)]).await;
    let found = devices.search().await;
    let router = found.first().expect("the router");
    assert_eq!(router.ask(Action::Address).await, Ok(Reply::Address(Some([11, 22, 33, 44].into()))));
    let mapped = Mapped { client: LOCAL, inside: 40_000, seconds: 1800 };
    assert_eq!(router.ask(Action::Entry { outside: 40_000 }).await, Ok(Reply::Entry(Some(mapped))));
    assert_eq!(router.ask(ADD).await, Err(Refusal::Code(718)));
    let before = devices.requests();
    // Its service cannot choose.
    assert_eq!(router.ask(Action::AddAny { inside: 40_000, seconds: 0 }).await, Err(Refusal::Code(401)));
    assert_eq!(devices.requests(), before);
    let requests = devices.requests.lock().expect("no panic");
    let last = requests.last().expect("a request");
    assert!(last.starts_with("POST /ctl HTTP/1.1\r\n"), "{last}");
    assert!(last.contains("\"urn:schemas-upnp-org:service:WANPPPConnection:1#AddPortMapping\""), "{last}");
}

#[tokio::test]
async fn router_that_is_gone_is_silent() {
    let devices = Devices::open(&[(ROUTER, ROUTER, router)]).await;
    let found = devices.search().await;
    drop(devices);
    assert_eq!(found.first().expect("the router").ask(ADD).await, Err(Refusal::Silent));
}
