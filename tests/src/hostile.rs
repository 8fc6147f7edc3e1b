//! A scripted peer on quinn and the protocol's types, which can send anything: valid, invalid, or nothing.

use crate::{unix_millis, within};
use ed25519_dalek::SigningKey;
use fyteclub_client::{BlobHash, ObjectKind, PeerId, PlayerName};
use fyteclub_proto::{
    appearance::{Appearance, FileEntry, Look, ObjectLook, SignedAppearance},
    chunk_tree::TreeBuilder,
    codec, frame,
    grant::Grant,
    limit::{CHUNK_SIZE, PEER_FRAME_MAX},
    number,
    peer::{
        AppearanceReply, Control, Greeting, Hello, HelloAck, Message, Piece, PiecesReply, Request,
        record::{self, Header, Kind},
    },
    phonebook::{Register, Visibility},
    proof::Proof,
    seal::{EXPORTER_LABEL, End, LinkSecret, NonceCounter},
    version::{APPEARANCE_VERSION, PEER_VERSIONS},
};
use fyteclub_quic::tls::{self, Certificate, SERVER_NAME};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, ServerConfig, VarInt,
};
use serde::Serialize;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

/// Why a phone book refused a registration.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0}: {1}")]
    Answered(u16, String),
    #[error(transparent)]
    Unreachable(#[from] reqwest::Error),
}

/// An identity and a QUIC endpoint.
pub struct Hostile {
    pub player: PlayerName,
    pub key: SigningKey,
    endpoint: Endpoint,
    certificate: Certificate,
}

impl Hostile {
    /// The same seed is the same identity.
    pub fn new(player: &str, seed: u8) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let certificate = Certificate::new(&key).expect("a certificate");
        let server = ServerConfig::with_crypto(Arc::new(certificate.server().expect("TLS")));
        let endpoint = Endpoint::server(server, ([127, 0, 0, 1], 0).into()).expect("a socket");
        Self { player: player.parse().expect("a player's name"), key, endpoint, certificate }
    }

    pub fn peer_id(&self) -> PeerId {
        PeerId::from_bytes(self.key.verifying_key().to_bytes())
    }

    /// A valid registration, at the phone book with this URL.
    pub fn registration(&self, phonebook: &str) -> Register {
        let now = unix_millis();
        let port = self.endpoint.local_addr().expect("bound").port();
        let server = phonebook.rsplit('/').next().expect("the last part");
        Register::signed(self.player.as_str(), port, Visibility::Listed, server, now, now, &self.key)
    }

    /// Sends a registration.
    ///
    /// # Errors The phone book's refusal.
    pub async fn register(&self, phonebook: &str, registration: &Register) -> Result<(), Refused> {
        // Another test may have been first.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client.post(format!("{phonebook}/api/register")).json(registration).send().await?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(Refused::Answered(answer.status().as_u16(), answer.text().await?))
        }
    }

    /// Registers this peer and its address.
    pub async fn move_in(&self, phonebook: &str) {
        self.register(phonebook, &self.registration(phonebook)).await.expect("registered");
    }

    /// The next incoming link.
    pub async fn accept(&self) -> Line {
        let incoming = within("somebody dials", self.endpoint.accept()).await.expect("open");
        self.line(incoming.await.expect("a handshake"), End::Acceptor)
    }

    pub async fn dial(&self, addr: SocketAddr, peer: PeerId) -> Line {
        let config = ClientConfig::new(Arc::new(self.certificate.client(peer).expect("TLS")));
        let dialling = self.endpoint.connect_with(config, addr, SERVER_NAME).expect("an address");
        self.line(within("a handshake", dialling).await.expect("a handshake"), End::Dialer)
    }

    /// The next incoming link, if its handshake succeeds.
    pub async fn accept_any(&self) -> Line {
        loop {
            let incoming = self.endpoint.accept().await.expect("open");
            if let Ok(connection) = incoming.await {
                return self.line(connection, End::Acceptor);
            }
        }
    }

    /// `None` if nothing answers, or not properly, within the time of a daemon's dial.
    pub async fn try_dial(&self, addr: SocketAddr, peer: PeerId) -> Option<Line> {
        let config = ClientConfig::new(Arc::new(self.certificate.client(peer).expect("TLS")));
        let dialling = self.endpoint.connect_with(config, addr, SERVER_NAME).expect("an address");
        let dialled = tokio::time::timeout(fyteclub_proto::reaching::connector::TRY_TIME, dialling).await;
        Some(self.line(dialled.ok()?.ok()?, End::Dialer))
    }

    fn line(&self, connection: Connection, end: End) -> Line {
        Line::new(connection, end, self.key.clone())
    }

    pub fn greeting(&self, published: Option<BlobHash>) -> Greeting {
        let player = Some(self.player.clone());
        Greeting { agent: "hostile".into(), player, capabilities: 0, published, instance: 1 }
    }

    /// A look of these files with a valid signature.
    pub fn signed(&self, files: &BTreeMap<&str, Vec<u8>>) -> Vec<u8> {
        self.signed_as(self.player.clone(), look(files))
    }

    pub fn signed_as(&self, player: PlayerName, look: Look) -> Vec<u8> {
        let appearance = Appearance { v: APPEARANCE_VERSION, seq: 1, player, look };
        SignedAppearance::sign(&appearance, &self.key).to_bytes()
    }

    /// A document with a valid signature and bytes that no correct program writes.
    pub fn signed_with_words_replaced(&self, look: Look, from: &str, to: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Envelope {
            document: Vec<u8>,
            signature: Vec<u8>,
        }
        assert_eq!(from.len(), to.len());
        let appearance = Appearance { v: APPEARANCE_VERSION, seq: 1, player: self.player.clone(), look };
        let mut document = codec::encode(&appearance);
        let at = document.windows(from.len()).position(|window| window == from.as_bytes());
        let at = at.expect("the words are in the document");
        document[at..at + to.len()].copy_from_slice(to.as_bytes());
        let proof = Proof::new("appearance", APPEARANCE_VERSION).field(&document);
        let signature = proof.sign(&self.key).to_vec();
        codec::encode(&Envelope { document, signature })
    }
}

/// A look of the player object.
pub fn look(files: &BTreeMap<&str, Vec<u8>>) -> Look {
    let entry = |(path, bytes): (&&str, &Vec<u8>)| FileEntry {
        game_paths: vec![path.parse().expect("a game path")],
        hash: BlobHash::of(bytes),
        size: number::u64_of(bytes.len()),
    };
    let object = ObjectLook {
        kind: ObjectKind::Player,
        files: files.iter().map(entry).collect(),
        swaps: vec![],
        glamourer: None,
        customize_plus: None,
    };
    let mut look = Look { objects: vec![object], ..Look::default() };
    look.normalise();
    look
}

/// One connection, with everything that is needed to send valid and invalid messages.
pub struct Line {
    pub connection: Connection,
    secret: LinkSecret,
    end: End,
    key: SigningKey,
}

impl Line {
    fn new(connection: Connection, end: End, key: SigningKey) -> Self {
        let mut exported = [0; 32];
        connection.export_keying_material(&mut exported, EXPORTER_LABEL, b"").expect("exported");
        Self { connection, secret: LinkSecret::new(exported, end), end, key }
    }

    /// The control stream, before its first message.
    pub async fn control(&self) -> (SendStream, RecvStream) {
        let control = async {
            match self.end {
                End::Dialer => self.connection.open_bi().await,
                End::Acceptor => self.connection.accept_bi().await,
            }
        };
        within("a control stream", control).await.expect("a control stream")
    }

    /// A valid greeting. Keep the result: a control stream that ends is a fault.
    pub async fn greet(&self, greeting: Greeting) -> (SendStream, RecvStream) {
        let (mut send, mut recv) = self.control().await;
        match self.end {
            End::Dialer => {
                let versions = PEER_VERSIONS.to_vec();
                say(&mut send, &Control::Hello(Hello { versions, greeting })).await;
                assert!(matches!(hear(&mut recv).await, Some(Control::HelloAck(_))));
            }
            End::Acceptor => {
                assert!(matches!(hear(&mut recv).await, Some(Control::Hello(_))));
                say(&mut send, &Control::HelloAck(HelloAck { version: 1, greeting })).await;
            }
        }
        (send, recv)
    }

    /// A valid greeting, unless the other side has left or refuses.
    pub async fn greet_if_heard(&self, greeting: Greeting) -> Option<(SendStream, RecvStream)> {
        let (mut send, mut recv) = match self.end {
            End::Dialer => self.connection.open_bi().await,
            End::Acceptor => self.connection.accept_bi().await,
        }
        .ok()?;
        match self.end {
            End::Dialer => {
                let versions = PEER_VERSIONS.to_vec();
                say(&mut send, &Control::Hello(Hello { versions, greeting })).await;
                hear::<Control>(&mut recv).await?;
            }
            End::Acceptor => {
                hear::<Control>(&mut recv).await?;
                say(&mut send, &Control::HelloAck(HelloAck { version: 1, greeting })).await;
            }
        }
        Some((send, recv))
    }

    /// The next request and its stream; `None` once the other side has left.
    pub async fn request(&self) -> Option<(SendStream, Request)> {
        loop {
            let (send, mut recv) = self.connection.accept_bi().await.ok()?;
            if let Some(request) = hear(&mut recv).await {
                return Some((send, request));
            }
        }
    }

    /// Sends a request; read the answer from the result.
    pub async fn ask(&self, request: &Request) -> Result<RecvStream, ConnectionError> {
        let (mut send, recv) = self.connection.open_bi().await?;
        let frame = frame::join(&codec::encode(request), PEER_FRAME_MAX).expect("short enough");
        // A closed link shows when the answer is read.
        send.write_all(&frame).await.ok();
        send.finish().ok();
        Ok(recv)
    }

    /// The peer's document, as a contact gets it.
    pub async fn appearance(&self) -> Option<Vec<u8>> {
        Some(self.appearance_and_grant().await?.0)
    }

    /// With the grant.
    pub async fn appearance_and_grant(&self) -> Option<(Vec<u8>, Grant)> {
        let mut recv = self.ask(&Request::Appearance).await.ok()?;
        let stream = VarInt::from(recv.id()).into_inner();
        let AppearanceReply::Document { epoch, len, grant } = hear(&mut recv).await? else { return None };
        let mut sealed = vec![0; number::index(len) + fyteclub_proto::seal::TAG];
        recv.read_exact(&mut sealed).await.ok()?;
        let nonce = NonceCounter::new(stream).advance().expect("the first");
        self.secret.opening(epoch).small().open(nonce, record::APPEARANCE_PLACE, &mut sealed).ok()?;
        Some((sealed, grant))
    }

    /// Answers with a document, properly sealed.
    pub async fn send_appearance(&self, send: &mut SendStream, document: &[u8]) {
        let own = PeerId::from_bytes(self.key.verifying_key().to_bytes());
        let look = SignedAppearance::open(document, &own).map(|appearance| appearance.look.hash());
        let grant = self.grant(look.unwrap_or(BlobHash::of(b"a foreign one")));
        self.send_appearance_with(send, document, grant).await;
    }

    /// The same, with any grant.
    pub async fn send_appearance_with(&self, send: &mut SendStream, document: &[u8], grant: Grant) {
        let nonce = NonceCounter::new(VarInt::from(send.id()).into_inner()).advance().expect("the first");
        let mut sealed = document.to_vec();
        self.secret.sealing(0).small().seal(nonce, record::APPEARANCE_PLACE, &mut sealed);
        say(send, &AppearanceReply::Document { epoch: 0, len: number::u32_of(document.len()), grant }).await;
        shout(send, &sealed).await;
        send.finish().ok();
    }

    /// Grants the other side a look.
    pub fn grant(&self, look: BlobHash) -> Grant {
        let to = tls::peer_of(&self.connection).expect("a key");
        Grant::new(&self.key, to, look, unix_millis())
    }

    /// Begins an answer to a request for pieces.
    pub async fn serve<'a>(&'a self, send: &'a mut SendStream) -> Records<'a> {
        say(send, &PiecesReply::Serving { epoch: 0 }).await;
        let nonces = NonceCounter::new(VarInt::from(send.id()).into_inner());
        Records { line: self, send, nonces }
    }

    /// Serves a request for pieces properly; a blob that is not in `blobs` is answered `Gone`.
    pub async fn serve_well(
        &self,
        send: &mut SendStream,
        pieces: &[Piece],
        blobs: &BTreeMap<BlobHash, Vec<u8>>,
    ) {
        let mut records = self.serve(send).await;
        for piece in pieces {
            let Some(bytes) = blobs.get(&piece.hash) else {
                shout(records.send, &Header { kind: Kind::Gone, len: 0 }.encode()).await;
                continue;
            };
            if piece.tree {
                records.sealed(Kind::Tree, &piece.hash, 0, &list(bytes)).await;
            }
            for index in piece.first..piece.first + piece.count {
                let chunk = bytes.chunks(CHUNK_SIZE).nth(number::index(index)).unwrap_or_default();
                records.sealed(Kind::Raw, &piece.hash, index, chunk).await;
            }
        }
        records.send.finish().ok();
    }
}

/// The answer to a request for pieces, record by record.
pub struct Records<'a> {
    line: &'a Line,
    pub send: &'a mut SendStream,
    nonces: NonceCounter,
}

impl Records<'_> {
    /// One record, sealed for its place.
    pub async fn sealed(&mut self, kind: Kind, hash: &BlobHash, index: u32, bytes: &[u8]) {
        let mut sealed = bytes.to_vec();
        let nonce = self.nonces.advance().expect("few records");
        self.line.secret.sealing(0).bulk().seal(nonce, &record::place(kind, hash, index), &mut sealed);
        shout(self.send, &Header { kind, len: number::u32_of(bytes.len()) }.encode()).await;
        shout(self.send, &sealed).await;
    }
}

/// The chunk list of a blob.
pub fn list(bytes: &[u8]) -> Vec<u8> {
    let mut builder = TreeBuilder::default();
    bytes.chunks(CHUNK_SIZE).for_each(|chunk| builder.push(chunk));
    builder.finish().list().to_vec()
}

/// Sends one message, and ignores a stopped stream.
pub async fn say<T: Serialize>(send: &mut SendStream, message: &T) {
    let frame = frame::join(&codec::encode(message), PEER_FRAME_MAX).expect("short enough");
    shout(send, &frame).await;
}

/// Sends any bytes.
pub async fn shout(send: &mut SendStream, bytes: &[u8]) {
    send.write_all(bytes).await.ok();
}

/// The next message; `None` when the other side is gone.
pub async fn hear<T: Message>(recv: &mut RecvStream) -> Option<T> {
    let mut header = [0; frame::HEADER];
    recv.read_exact(&mut header).await.ok()?;
    let mut body = vec![0; frame::length(header, PEER_FRAME_MAX).expect("the daemon's lengths are right")];
    recv.read_exact(&mut body).await.ok()?;
    Some(T::decode(&body).expect("the daemon's words are right"))
}
