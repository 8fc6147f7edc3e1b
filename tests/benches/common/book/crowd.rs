//! Live players: real signed greetings over WebSockets, driven by the client's own machine.
//!
//! They have WebSockets only: where the machine would poll, they retry as without an answer, and are counted.

use ed25519_dalek::SigningKey;
use futures::{SinkExt, StreamExt};
use fyteclub_proto::{
    id::PeerId,
    knock::Callee,
    letter::{Letter, Topic},
    live::{Input, Live, Lost, Output, RETURN_SPREAD, Transport},
    number::f64_of,
    phonebook::live::{CloseReason, Hear, Hello, Say},
};
use std::{
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::TcpStream,
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    task::AbortHandle,
    time::sleep_until,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

/// New players that greet at once: more than this machine can sign for within a greeting's time would measure this
/// program.
const ARRIVALS_AT_ONCE: usize = 100;

/// The crowd's counters.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    present: AtomicUsize,
    /// When live connections opened.
    pub opened: Mutex<Vec<Instant>>,
    /// Introductions that reached `Go`, both sides counted.
    pub going: AtomicUsize,
    /// Connections for which the machine would have polled.
    pub polls: AtomicUsize,
}

impl Tally {
    pub(crate) fn present(&self) -> usize {
        self.present.load(Ordering::Relaxed)
    }

    /// Takes the times of connections opened since the last call.
    pub(crate) fn take_opened(&self) -> Vec<Instant> {
        std::mem::take(&mut self.opened.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(crate) struct Crowd {
    addr: SocketAddr,
    pub tally: Arc<Tally>,
    members: Vec<Member>,
    joined: u64,
    door: Arc<Semaphore>,
}

struct Member {
    key: SigningKey,
    speak: UnboundedSender<Say>,
    task: AbortHandle,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Crowd {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            tally: Arc::default(),
            members: Vec::new(),
            joined: 0,
            door: Arc::new(Semaphore::new(ARRIVALS_AT_ONCE)),
        }
    }

    /// Adds players, each with a key of its own.
    pub(crate) fn join(&mut self, count: usize) {
        for _ in 0..count {
            self.joined += 1;
            let mut seed = [0xc4; 32];
            seed[..8].copy_from_slice(&self.joined.to_le_bytes());
            let key = SigningKey::from_bytes(&seed);
            let (speak, says) = unbounded_channel();
            let mut client = Client {
                key: key.clone(),
                addr: self.addr,
                says,
                here: Here { tally: Arc::clone(&self.tally), is_here: false, arrival: None },
                chance: RandomState::new(),
                draws: 0,
            };
            let door = Arc::clone(&self.door);
            let task = tokio::spawn(async move {
                client.here.arrival = door.acquire_owned().await.ok();
                client.live().await;
            });
            self.members.push(Member { key, speak, task: task.abort_handle() });
        }
    }

    /// The first ones disconnect without a message.
    pub(crate) fn leave(&mut self, count: usize) {
        self.members.drain(..count.min(self.members.len()));
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Everybody sends a message.
    pub(crate) fn say_here(&self) {
        for member in &self.members {
            member.speak.send(Say::Here).ok();
        }
    }

    /// One introduces itself to another, who will accept.
    pub(crate) fn introduce(&self, caller: usize, callee: usize, noise: u64) -> anyhow::Result<()> {
        let (caller, callee) =
            (&self.members[caller % self.members.len()], &self.members[callee % self.members.len()]);
        let mut attempt = [0; 16];
        attempt[..8].copy_from_slice(&noise.to_le_bytes());
        let (attempt, to) = (fyteclub_proto::bytes::Bytes(attempt), PeerId::of(&callee.key));
        let mut chance = [1; 32];
        chance[..8].copy_from_slice(&noise.to_le_bytes());
        let letter = Letter::seal(&caller.key, &to, Topic::Introduce(attempt), b"10.0.0.1:7", chance.into())?;
        caller.speak.send(Say::Introduce { to: Callee::Key(to), attempt, letter }).ok();
        Ok(())
    }

    /// Waits until so many are present; returns the time.
    pub(crate) async fn is_present(&self, count: usize, within: Duration) -> anyhow::Result<Duration> {
        let began = Instant::now();
        while self.tally.present() < count {
            let present = self.tally.present();
            anyhow::ensure!(began.elapsed() < within, "{present} of {count} after {within:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(began.elapsed())
    }
}

/// Counts this client as present until it is dropped.
struct Here {
    tally: Arc<Tally>,
    is_here: bool,
    /// Held until it is present for the first time.
    arrival: Option<OwnedSemaphorePermit>,
}

impl Here {
    fn set(&mut self, is_here: bool) {
        match (self.is_here, is_here) {
            (false, true) => {
                self.arrival = None;
                self.tally.present.fetch_add(1, Ordering::Relaxed);
                self.tally.opened.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            }
            (true, false) => {
                self.tally.present.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
        self.is_here = is_here;
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.set(false);
    }
}

pub(crate) type Socket = WebSocketStream<TcpStream>;

struct Client {
    key: SigningKey,
    addr: SocketAddr,
    says: UnboundedReceiver<Say>,
    here: Here,
    chance: RandomState,
    draws: u64,
}

impl Client {
    async fn live(mut self) {
        let mut live = Live::new(RETURN_SPREAD, Instant::now());
        let mut socket: Option<Socket> = None;
        loop {
            while let Some(output) = live.poll() {
                if let Some(input) = self.carry_out(output, &mut socket).await {
                    live.handle(Instant::now(), self.jitter(), input);
                }
            }
            let due = live.deadline().map_or_else(Instant::now, |(due, _)| due);
            let input = tokio::select! {
                heard = hear(&mut socket) => self.heard(heard, &mut socket).await,
                Some(say) = self.says.recv() => if say_to(&mut socket, &say).await { Some(Input::Said) } else { None },
                () = sleep_until(due.into()) => Some(Input::Time),
            };
            if let Some(input) = input {
                if matches!(input, Input::Lost(_)) {
                    socket = None;
                }
                live.handle(Instant::now(), self.jitter(), input);
            }
        }
    }

    async fn carry_out(&mut self, output: Output, socket: &mut Option<Socket>) -> Option<Input> {
        match output {
            Output::Connect(Transport::WebSocket) => match connect(self.addr).await {
                Ok(open) => *socket = Some(open),
                Err(lost) => return Some(Input::Lost(lost)),
            },
            Output::Connect(Transport::Poll) => {
                self.here.tally.polls.fetch_add(1, Ordering::Relaxed);
                return Some(Input::Lost(Lost::Unreachable));
            }
            Output::Greet(nonce) => {
                let now = super::players::unix_millis().unwrap_or_default();
                let hello = Hello::signed(&self.addr.to_string(), nonce, now, &self.key);
                if !say_to(socket, &Say::Hello(hello)).await {
                    return Some(Input::Lost(Lost::Broken));
                }
            }
            Output::SayHere => {
                say_to(socket, &Say::Here).await;
            }
            Output::Up { .. } => self.here.set(true),
            Output::Down(_) => self.here.set(false),
            Output::HangUp => *socket = None,
            Output::Probe => {
                if let Some(socket) = socket {
                    socket.send(Message::Ping(Vec::new().into())).await.ok();
                }
            }
            Output::ClockAhead(_) => {}
        }
        None
    }

    async fn heard(
        &mut self,
        heard: Result<Option<Hear>, Lost>,
        socket: &mut Option<Socket>,
    ) -> Option<Input> {
        match heard {
            Ok(None) => Some(Input::Alive),
            Ok(Some(Hear::Introduced { from, attempt, .. })) => {
                let chance = [self.draw().to_le_bytes()[0]; 32].into();
                let letter =
                    Letter::seal(&self.key, &from, Topic::Accept(attempt), b"10.0.0.2:7", chance).ok()?;
                say_to(socket, &Say::Accept { to: from, attempt, letter }).await.then_some(Input::Said)
            }
            Ok(Some(Hear::Go { .. })) => {
                self.here.tally.going.fetch_add(1, Ordering::Relaxed);
                None
            }
            Ok(Some(hear)) => Some(Input::Received(hear)),
            Err(lost) => Some(Input::Lost(lost)),
        }
    }

    fn draw(&mut self) -> u64 {
        self.draws += 1;
        self.chance.hash_one(self.draws)
    }

    fn jitter(&mut self) -> f64 {
        f64_of(self.draw() >> 11) / f64_of(1u64 << 53)
    }
}

async fn connect(addr: SocketAddr) -> Result<Socket, Lost> {
    let stream = TcpStream::connect(addr).await.map_err(|_| Lost::Refused)?;
    upgraded(stream, addr).await
}

/// A greeting over an open connection, up to its welcome.
pub(crate) async fn greeted(stream: TcpStream, addr: SocketAddr, key: &SigningKey) -> anyhow::Result<Socket> {
    let refused = |lost: Lost| anyhow::anyhow!("no conversation: {lost:?}");
    let mut socket = Some(upgraded(stream, addr).await.map_err(refused)?);
    loop {
        match hear(&mut socket).await.map_err(refused)? {
            Some(Hear::Challenge { nonce, .. }) => {
                let now = super::players::unix_millis()?;
                let hello = Hello::signed(&addr.to_string(), nonce, now, key);
                anyhow::ensure!(say_to(&mut socket, &Say::Hello(hello)).await, "the phone book is gone");
            }
            Some(Hear::Welcome(_)) => break,
            _ => {}
        }
    }
    socket.ok_or_else(|| anyhow::anyhow!("no conversation"))
}

async fn upgraded(stream: TcpStream, addr: SocketAddr) -> Result<Socket, Lost> {
    // The usual 128 KiB for each of ten thousand would be more than a GiB.
    let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
    let url = format!("ws://{addr}/api/live");
    client_async_with_config(url, stream, Some(config))
        .await
        .map(|(socket, _)| socket)
        .map_err(|_| Lost::Broken)
}

/// `None` is a frame that is no message. Pending for ever without a socket.
async fn hear(socket: &mut Option<Socket>) -> Result<Option<Hear>, Lost> {
    let Some(socket) = socket else { return std::future::pending().await };
    match socket.next().await {
        Some(Ok(Message::Text(text))) => serde_json::from_str(&text).map(Some).map_err(|_| Lost::Broken),
        Some(Ok(Message::Close(Some(frame)))) => {
            let reason = CloseReason::from_code(frame.code.into());
            Err(reason.map_or(Lost::Broken, |why| Lost::Closed(why, frame.reason.to_string())))
        }
        Some(Ok(Message::Close(None)) | Err(_)) | None => Err(Lost::Broken),
        Some(Ok(_)) => Ok(None),
    }
}

async fn say_to(socket: &mut Option<Socket>, say: &Say) -> bool {
    let (Some(socket), Ok(text)) = (socket, serde_json::to_string(say)) else { return false };
    socket.send(Message::text(text)).await.is_ok()
}
