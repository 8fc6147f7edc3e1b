//! Phone books that fail in every way: a proxy in between, one that hangs, all gone, one that was stopped.

use fyteclub_proto::number::millis;
use fyteclub_tests::{
    Gate, Passes, Phonebook, Resident, Town, eventually,
    mods::{Mod, Written, arrived, assert_same},
    within,
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::sleep,
};

/// Two who know each other only through these phone books.
async fn pair(town: &Town, books: &[String]) -> (Resident, Resident, Written) {
    let mut alice = town.house("Alice Ashe@Gilgamesh").phonebooks(books);
    let mut bob = town.house("Bob Birch@Balmung").phonebooks(books);
    tokio::join!(alice.start(), bob.start());
    let look = Mod::of_noise(town.path("mod"), 1, 5, 100_000).write();
    alice.publish(&look.folder).await;
    let link = alice.client().contacts_invite().await.expect("an invitation").link;
    bob.client().contacts_join(&link).await.expect("joined");
    bob.is_paired_with(&alice).await;
    alice.is_paired_with(&bob).await;
    (alice, bob, look)
}

#[tokio::test]
async fn everything_works_over_plain_http_polls() {
    let town = Town::new().await;
    let gate = Gate::before(town.phonebook.addr(), Passes::PlainHttp).await;
    let (alice, bob, look) = pair(&town, &[gate.url()]).await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
    let status = bob.client().status().await.expect("a status");
    assert!(status.phonebooks[0].live, "{status:?}");
}

#[tokio::test]
async fn one_that_hangs_is_passed_over_within_two_seconds() {
    let town = Town::new().await;
    let second = Phonebook::another(&town, "second").await;
    let gate = Gate::before(town.phonebook.addr(), Passes::Everything).await;
    let (mut alice, bob, look) = pair(&town, &[gate.url(), second.url()]).await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
    // Alice restarts at another address, which only the second phone book knows.
    alice.client().shutdown().await.expect("stopping");
    alice.process().ended().await;
    alice.start().await;
    alice.is_introduced_by_all().await;
    gate.pass(Passes::Nothing);
    let began = Instant::now();
    bob.fetch(&alice.player).await;
    assert!(began.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", began.elapsed());
}

/// A busy machine's delay.
const SLACK: Duration = Duration::from_secs(4);

#[tokio::test]
async fn contacts_reconnect_without_any_phone_book() {
    let mut town = Town::new().await;
    let (alice, mut bob, look) = pair(&town, &[town.phonebook.url()]).await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
    town.phonebook.kill();
    // Also after a restart: a contact's last address is stored.
    bob.client().shutdown().await.expect("stopping");
    bob.process().ended().await;
    bob.start_unfound().await;
    assert_eq!(bob.fetch(&alice.player).await.bytes_fetched, 0);
}

/// What the last link's path left behind does not take the answers to a dial of the same address.
#[tokio::test]
async fn restarted_peer_is_dialled_at_its_address() {
    let mut town = Town::new().await;
    let (mut alice, bob, _) = pair(&town, &[town.phonebook.url()]).await;
    bob.fetch(&alice.player).await;
    let addr = alice.client().status().await.expect("a status").listen;
    town.phonebook.kill();
    alice.kill();
    alice = alice.listen(Some(&addr));
    alice.start_unfound().await;
    let began = Instant::now();
    eventually("Alice is found at her address", async || {
        bob.client().peer_fetch(&alice.player, None).await.ok()
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[cfg(unix)]
#[tokio::test]
async fn stopping_phone_book_sends_a_retry_time() {
    let mut town = Town::new().await;
    let (alice, bob, look) = pair(&town, &[town.phonebook.url()]).await;
    town.phonebook.process().signal(rustix::process::Signal::TERM);
    town.phonebook.gone().await;
    town.phonebook.start().await;
    alice.is_introduced().await;
    bob.is_introduced().await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
}

/// From an address of its own, one request of nothing every few seconds, for ever.
async fn holds_a_connection(addr: SocketAddr) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, 66), 0).into())?;
    let mut stream = socket.connect(addr).await?;
    let mut answer = [0; 1024];
    loop {
        stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").await?;
        if stream.read(&mut answer).await? == 0 {
            return Ok(());
        }
        sleep(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn one_address_keeps_no_daemon_out() {
    let town = Town::new().await;
    let book = Phonebook::another_with(&town, "small", &["--max-connections", "64"]).await;
    let addr: SocketAddr = book.addr().parse().expect("an address");
    let mut attack = JoinSet::new();
    for _ in 0..70 {
        attack.spawn(async move {
            loop {
                // Reconnects after a refusal.
                holds_a_connection(addr).await.ok();
                sleep(Duration::from_millis(500)).await;
            }
        });
    }
    let mut alice = town.house("Alice Ashe@Gilgamesh").phonebooks(&[book.url()]);
    alice.start().await;
    alice.is_introduced().await;
    attack.abort_all();
}

/// A scripted phone book: stores every registration, and answers it with a sequence of its choice.
struct Liar {
    url: String,
    bodies: mpsc::UnboundedReceiver<Vec<u8>>,
}

impl Liar {
    async fn open(newest: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (heard, bodies) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Self::serve(stream, newest, heard.clone()));
            }
        });
        Self { url, bodies }
    }

    async fn serve(stream: TcpStream, newest: u64, heard: mpsc::UnboundedSender<Vec<u8>>) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut first, mut length) = (String::new(), 0);
            stream.read_line(&mut first).await?;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await? <= 2 {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().map_err(io::Error::other)?;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await?;
            let (status, answer) = if first.starts_with("POST /api/register") {
                heard.send(body).map_err(io::Error::other)?;
                let problem = format!(
                    r#"{{"error":"the sequence must be higher","code":"stale_sequence","sequence":{newest}}}"#
                );
                ("409 Conflict", problem)
            } else {
                ("404 Not Found", r#"{"error":"Endpoint not found"}"#.to_owned())
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: ");
            stream.write_all(format!("{head}{}\r\n\r\n{answer}", answer.len()).as_bytes()).await?;
        }
    }

    /// The sequence of the next registration, and its body.
    async fn next(&mut self) -> (u64, Vec<u8>) {
        let body = within("a registration", self.bodies.recv()).await.expect("the liar listens");
        let fields: serde_json::Value = serde_json::from_slice(&body).expect("a body is JSON");
        (fields["sequence"].as_u64().expect("a sequence"), body)
    }
}

#[tokio::test]
async fn a_lying_phone_book_changes_nothing_at_another() {
    let town = Town::new().await;
    // Chosen before it starts, because a phone book without a name accepts any `Host`.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("free").port();
    let addr = format!("127.0.0.1:{port}");
    let honest = Phonebook::another_named(&town, "honest", &addr).await;
    let mut liar = Liar::open(u64::MAX - 1).await;
    let mut alice = town.house("Alice Ashe@Gilgamesh").phonebooks(&[liar.url.clone(), honest.url()]);
    alice.start().await;

    // It is told a number near the highest, and does not follow.
    let now = || millis(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"));
    let mut body = Vec::new();
    for _ in 0..3 {
        let sequence;
        (sequence, body) = liar.next().await;
        assert!(sequence < now() + 120_000, "{sequence}");
    }
    // The liar repeats her registration at the honest one, from another address.
    let answer = repeat(&honest, body).await;
    assert!(answer.contains("401") && answer.contains("other_server"), "{answer}");

    // The player's next signatures are accepted there: the unregistration, and the registration of the next start.
    alice.client().shutdown().await.expect("stopping");
    alice.process().ended().await;
    alice.start().await;
    let status = alice.client().status().await.expect("a status");
    assert!(status.phonebooks[1].ok && !status.phonebooks[0].ok, "{status:?}");
}

/// The phone book's answer to this body.
async fn repeat(phonebook: &Phonebook, body: Vec<u8>) -> String {
    let mut stream = TcpStream::connect(phonebook.addr()).await.expect("it listens");
    let head = "POST /api/register HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close";
    let request = [format!("{head}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes(), body].concat();
    stream.write_all(&request).await.expect("it reads");
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.expect("text");
    answer
}
