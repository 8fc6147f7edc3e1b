//! Against a real phone book, and against servers that do what a real one does not.

use super::*;
use crate::io::{
    book_clock::BookClock,
    identity::Identity,
    phonebook_live::{self, Connection, LiveEvent},
};
use futures::stream::BoxStream;
use fyteclub_phonebook::{Config, Operator, Rates, Running, Server};
use fyteclub_proto::{
    bytes::Bytes,
    knock::Callee,
    letter::{Attempt, Letter, Topic},
    live::Transport,
    phonebook::{
        RelayGrant,
        live::{Hear, Hello, Say},
    },
    reaching::wire::relay::HEADER,
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const DEADLINE: Duration = Duration::from_secs(30);
const ATTEMPT: Attempt = Bytes([1; 16]);
const LEG: Leg = Leg(7);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("it is not in time")
}

fn phone_book() -> Running {
    let listen = ([127, 0, 0, 1], 0).into();
    let config = Config { listen, limits: Rates::OFF, operator: Operator::Off, ..Config::default() };
    Server::build(config).expect("a phone book").spawn().expect("it runs")
}

fn http(addr: SocketAddr) -> PhonebookHttp {
    PhonebookHttp::new(&format!("http://{addr}"), PhonebookHttp::client().expect("TLS")).expect("a URL")
}

/// A player in conversation with a phone book.
struct Player {
    identity: Arc<Identity>,
    connection: Connection,
    heard: BoxStream<'static, LiveEvent>,
}

impl Player {
    async fn greeted(addr: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let identity = Identity::load_or_create(&folder.path().join("key")).expect("an identity");
        let identity = Arc::new(identity);
        let http = http(addr);
        let authority = http.authority();
        let clock = Arc::new(BookClock::default());
        let (connection, heard) =
            phonebook_live::connect(http, Transport::WebSocket, identity.clone(), clock.clone());
        let mut player = Self { identity, connection, heard: heard.boxed() };
        let Hear::Challenge { nonce, .. } = player.hear().await else { panic!("no challenge") };
        let hello = Hello::signed(&authority, nonce, clock.now(), player.identity.key());
        player.connection.say(Say::Hello(hello));
        assert!(matches!(player.hear().await, Hear::Welcome(_)));
        player
    }

    async fn hear(&mut self) -> Hear {
        loop {
            match within(self.heard.next()).await {
                Some(LiveEvent::Message(message)) => return message,
                Some(LiveEvent::Alive) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn grant(&mut self) -> RelayGrant {
        loop {
            if let Hear::Go { relay, .. } = self.hear().await {
                return relay.expect("a relay");
            }
        }
    }

    fn letter(&self, to: &Self, topic: Topic) -> Letter {
        let to = to.identity.peer_id();
        Letter::seal(self.identity.key(), &to, topic, b"text", [7; 32].into()).expect("sealed")
    }
}

/// A leg of a session for each of two players.
async fn granted(addr: SocketAddr) -> [RelayGrant; 2] {
    let (mut alice, mut bob) = tokio::join!(Player::greeted(addr), Player::greeted(addr));
    let letter = alice.letter(&bob, Topic::Introduce(ATTEMPT));
    let to = Callee::Key(bob.identity.peer_id());
    alice.connection.say(Say::Introduce { to, attempt: ATTEMPT, letter });
    assert!(matches!(bob.hear().await, Hear::Introduced { .. }));
    let letter = bob.letter(&alice, Topic::Accept(ATTEMPT));
    bob.connection.say(Say::Accept { to: alice.identity.peer_id(), attempt: ATTEMPT, letter });
    [alice.grant().await, bob.grant().await]
}

/// A leg, its events, and the frames that it received.
struct Opened {
    socket: Option<RelaySocket>,
    events: BoxStream<'static, Event>,
    received: mpsc::UnboundedReceiver<Vec<u8>>,
    leg: Leg,
}

impl Opened {
    fn at(addr: SocketAddr, leg: Leg, token: Token) -> Self {
        let (receive, received) = mpsc::unbounded_channel();
        let (socket, events) =
            open(http(addr), leg, token, move |frame| receive.send(frame.to_vec()).expect("the test"));
        Self { socket: Some(socket), events: events.boxed(), received, leg }
    }

    async fn frames(&mut self) -> (Terms, Sender<Vec<u8>>) {
        match within(self.events.next()).await {
            Some(Event::Open { terms, frames }) => (terms, frames),
            other => panic!("{other:?}"),
        }
    }

    async fn ended(&mut self) -> Ended {
        let ended = match within(self.events.next()).await {
            Some(Event::Ended(ended)) => ended,
            other => panic!("{other:?}"),
        };
        assert!(within(self.events.next()).await.is_none(), "it ends once");
        ended
    }

    fn frame(&self, payload: &[u8]) -> Vec<u8> {
        Frame { leg: self.leg, body: Body::Data(payload) }.encode()
    }

    async fn receives(&mut self, payload: &[u8]) {
        let frame = within(self.received.recv()).await.expect("a frame");
        assert_eq!(frame, self.frame(payload));
    }
}

#[tokio::test]
async fn players_exchange_frames_through_a_phone_book() {
    let book = phone_book();
    let [alices, bobs] = granted(book.addr()).await;
    assert!(alices.tcp && bobs.tcp);
    let mut alice = Opened::at(book.addr(), alices.leg, alices.token);
    let mut bob = Opened::at(book.addr(), bobs.leg, bobs.token);
    let (terms, from_alice) = alice.frames().await;
    let (_, from_bob) = bob.frames().await;
    assert!(terms.rate > 0 && terms.idle > KEEP, "{terms:?}");
    // Longer than any batch, and a frame beyond the limit in between, which ends nothing.
    for number in 0..100 {
        from_alice.send(alice.frame(&[number; 1000])).await.expect("open");
        from_bob.send(bob.frame(&[number; 1452])).await.expect("open");
        if number == 50 {
            from_alice.send(alice.frame(&[0; FRAME_MAX + 1 - HEADER])).await.expect("open");
            from_alice.send(alice.frame(&[1; FRAME_MAX - HEADER])).await.expect("open");
        }
    }
    for number in 0..100 {
        bob.receives(&[number; 1000]).await;
        alice.receives(&[number; 1452]).await;
        if number == 50 {
            bob.receives(&[1; FRAME_MAX - HEADER]).await;
        }
    }
    drop(from_bob);
    assert_eq!(bob.ended().await, Ended::Unused);
    book.handle().stop();
    assert_eq!(alice.ended().await, Ended::Closed(Some(CloseReason::Restart)));
}

#[tokio::test]
async fn leg_without_right_or_session_ends() {
    let book = phone_book();
    let [alices, bobs] = granted(book.addr()).await;
    let mut thief = Opened::at(book.addr(), alices.leg, bobs.token);
    let mut unknown = Opened::at(book.addr(), LEG, alices.token);
    let (thief, unknown) = tokio::join!(thief.ended(), unknown.ended());
    assert_eq!(thief, Ended::Closed(Some(CloseReason::Silent)));
    assert_eq!(unknown, Ended::UnknownLeg);
}

#[tokio::test]
async fn absent_relay_is_told_from_absent_phone_book() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    for (answer, expected) in [
        ("404 Not Found", Lost::Unsupported),
        ("403 Forbidden", Lost::NoUpgrade),
        ("502 Bad Gateway", Lost::Unreachable),
    ] {
        let mut leg = Opened::at(addr, LEG, Token::new([1; 32]));
        let (mut stream, _) = within(listener.accept()).await.expect("a client");
        assert!(stream.read(&mut [0; 4096]).await.expect("a request") > 0);
        let head = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("it reads");
        assert_eq!(leg.ended().await, Ended::Unopened(expected), "{answer}");
    }
    drop(listener);
    assert_eq!(Opened::at(addr, LEG, Token::new([1; 32])).ended().await, Ended::Unopened(Lost::Refused));
}

#[tokio::test]
async fn proxy_that_cuts_breaks_the_leg() {
    let book = phone_book();
    let [alices, _] = granted(book.addr()).await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut alice = Opened::at(proxy.local_addr().expect("bound"), alices.leg, alices.token);
    let (mut inside, _) = within(proxy.accept()).await.expect("a client");
    let mut outside = TcpStream::connect(book.addr()).await.expect("the phone book");
    let forwards = tokio::spawn(async move {
        // Ends with the task.
        tokio::io::copy_bidirectional(&mut inside, &mut outside).await.ok();
    });
    let (_, _frames) = alice.frames().await;
    forwards.abort();
    assert_eq!(alice.ended().await, Ended::Broken);
}

/// A relay that binds the leg, and then reads only.
async fn binds(listener: &TcpListener, idle: Duration) -> WebSocketStream<TcpStream> {
    let (stream, _) = within(listener.accept()).await.expect("a client");
    let mut socket = tokio_tungstenite::accept_async(stream).await.expect("a WebSocket");
    let Some(Ok(Message::Binary(frame))) = within(socket.next()).await else { panic!("no frame") };
    assert_eq!(Frame::decode(&frame), Ok(Frame { leg: LEG, body: Body::Bind }));
    let bound = Body::Bound(Terms { rate: 1, idle });
    socket.send(Message::binary(Frame { leg: LEG, body: bound }.encode())).await.expect("sent");
    socket
}

#[tokio::test]
async fn silent_relay_ends_the_leg_after_frames_that_keep() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut leg = Opened::at(listener.local_addr().expect("bound"), LEG, Token::new([1; 32]));
    // A relay that gives no time gets the shortest.
    let mut relay = binds(&listener, Duration::ZERO).await;
    let (_, _frames) = leg.frames().await;
    assert_eq!(leg.ended().await, Ended::Silent);
    let mut kept = 0;
    while let Some(Ok(Message::Binary(frame))) = within(relay.next()).await {
        assert_eq!(Frame::decode(&frame), Ok(Frame { leg: LEG, body: Body::Bind }));
        kept += 1;
    }
    assert!((1..=SILENCE).contains(&kept), "{kept}");
}

#[tokio::test]
async fn limit_is_told_and_drop_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut leg = Opened::at(listener.local_addr().expect("bound"), LEG, Token::new([1; 32]));
    let mut relay = binds(&listener, Duration::from_secs(60)).await;
    let (_, frames) = leg.frames().await;
    let limited = Body::Limited { limit: Limit::Session, retry_after: Duration::from_millis(40) };
    // Another leg's frames are nobody's.
    for leg in [Leg(8), LEG] {
        relay.send(Message::binary(Frame { leg, body: Body::Data(b"x") }.encode())).await.expect("sent");
        relay.send(Message::binary(Frame { leg, body: limited }.encode())).await.expect("sent");
    }
    leg.receives(b"x").await;
    let told = within(leg.events.next()).await;
    assert!(matches!(told, Some(Event::Limited { limit: Limit::Session, .. })), "{told:?}");
    leg.socket = None;
    while let Some(Ok(_)) = within(relay.next()).await {}
    within(frames.closed()).await;
    assert!(within(leg.events.next()).await.is_none(), "nothing is told after a drop");
    assert!(leg.received.try_recv().is_err(), "one frame was the leg's");
}
