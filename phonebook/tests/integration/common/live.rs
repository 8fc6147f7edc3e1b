//! A scripted client of `/api/live`, which may also send invalid messages.

use super::{DEADLINE, Phonebook, now};
use ed25519_dalek::SigningKey;
use futures::{SinkExt, StreamExt};
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    knock::Callee,
    letter::{Attempt, Letter, Topic},
    phonebook::live::{CloseReason, Hear, Hello, Say},
};
use std::net::SocketAddr;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message},
};

pub(crate) struct Client {
    pub key: SigningKey,
    pub addr: SocketAddr,
    pub socket: WebSocketStream<TcpStream>,
}

impl Client {
    /// Connected and not greeted.
    pub(crate) async fn connect(phonebook: &Phonebook, seed: u8) -> Self {
        Self::connect_from(phonebook, seed, "127.0.0.1").await
    }

    /// The same, from one of this machine's other addresses.
    pub(crate) async fn connect_from(phonebook: &Phonebook, seed: u8, from: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        Self::over(socket, phonebook, seed).await
    }

    /// The same, and its kernel keeps no more than a MiB of what is not read.
    pub(crate) async fn connect_small(phonebook: &Phonebook, seed: u8) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(512 * 1024).unwrap();
        Self::over(socket, phonebook, seed).await
    }

    async fn over(socket: TcpSocket, phonebook: &Phonebook, seed: u8) -> Self {
        let stream = socket.connect(phonebook.addr).await.unwrap();
        let url = format!("ws://{}/api/live", phonebook.addr);
        let (socket, _) = client_async(url, stream).await.unwrap();
        Self { key: SigningKey::from_bytes(&[seed; 32]), addr: phonebook.addr, socket }
    }

    /// Greeted and welcome.
    pub(crate) async fn greeted(phonebook: &Phonebook, seed: u8) -> Self {
        Self::connect(phonebook, seed).await.greet().await
    }

    pub(crate) async fn greet(mut self) -> Self {
        let nonce = self.challenge().await;
        let hello = Hello::signed(&self.addr.to_string(), nonce, now(), &self.key);
        self.say(&Say::Hello(hello)).await;
        let Hear::Welcome(welcome) = self.hear().await else { panic!("not welcome") };
        assert_eq!((welcome.version, welcome.life, welcome.period), (1, 75, 25));
        self
    }

    pub(crate) async fn challenge(&mut self) -> Bytes<32> {
        match self.hear().await {
            Hear::Challenge { nonce, versions, .. } if versions == [1] => nonce,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn id(&self) -> PeerId {
        PeerId::of(&self.key)
    }

    pub(crate) async fn say(&mut self, say: &Say) {
        self.send(Message::text(serde_json::to_string(say).unwrap())).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        timeout(DEADLINE, self.socket.send(message)).await.unwrap().unwrap();
    }

    /// The next message; pings are answered on the way.
    pub(crate) async fn hear(&mut self) -> Hear {
        loop {
            match timeout(DEADLINE, self.socket.next()).await.expect("nothing to hear").unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The remaining messages, the close code and its text.
    pub(crate) async fn ended(&mut self) -> (Vec<Hear>, CloseReason, String) {
        let mut heard = Vec::new();
        loop {
            match timeout(DEADLINE, self.socket.next()).await.expect("still open").unwrap() {
                Ok(Message::Text(text)) => heard.push(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(frame)) => {
                    let frame = frame.unwrap();
                    let reason = CloseReason::from_code(frame.code.into()).unwrap();
                    return (heard, reason, frame.reason.to_string());
                }
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) async fn closes_for(&mut self, reason: CloseReason) -> String {
        let (heard, told, text) = self.ended().await;
        assert_eq!((heard, told), (vec![], reason), "{text}");
        text
    }

    /// The connection is gone, with or without a close frame.
    pub(crate) async fn is_cut_off(&mut self) {
        let gone = async {
            while !matches!(self.socket.next().await, None | Some(Err(Error::Io(_) | Error::Protocol(_)))) {}
        };
        timeout(DEADLINE, gone).await.expect("still connected");
    }

    pub(crate) fn letter(&self, to: &PeerId, topic: Topic) -> Letter {
        Letter::seal(&self.key, to, topic, b"10.0.0.1:7", [7; 32].into()).unwrap()
    }

    pub(crate) async fn introduce(&mut self, to: &PeerId, attempt: Attempt) {
        self.introduce_by(Callee::Key(*to), to, attempt).await;
    }

    pub(crate) async fn introduce_by(&mut self, by: Callee, to: &PeerId, attempt: Attempt) {
        let letter = self.letter(to, Topic::Introduce(attempt));
        self.say(&Say::Introduce { to: by, attempt, letter }).await;
    }

    pub(crate) async fn accept(&mut self, to: &PeerId, attempt: Attempt) {
        let letter = self.letter(to, Topic::Accept(attempt));
        self.say(&Say::Accept { to: *to, attempt, letter }).await;
    }

    pub(crate) async fn candidates(&mut self, to: &PeerId, attempt: Attempt) {
        let letter = self.letter(to, Topic::Candidates(attempt));
        self.say(&Say::Candidates { to: *to, attempt, letter }).await;
    }

    pub(crate) async fn note(&mut self, to: &PeerId) {
        let letter = self.letter(to, Topic::Note);
        self.say(&Say::Note { to: *to, letter }).await;
    }

    /// Waits until everything sent before is processed; returns the messages received meanwhile.
    pub(crate) async fn settled(&mut self) -> Vec<Hear> {
        self.send(Message::Ping(b"settled".as_slice().into())).await;
        let mut heard = Vec::new();
        loop {
            match timeout(DEADLINE, self.socket.next()).await.expect("no pong").unwrap().unwrap() {
                Message::Text(text) => heard.push(serde_json::from_str(&text).unwrap()),
                Message::Pong(data) if data == b"settled".as_slice() => return heard,
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
