//! The connection of one live conversation, by WebSocket or polls: sends given messages and returns received ones,
//! until it ends. Other modules decide when to connect and what to send.

use super::{
    book_clock::BookClock,
    identity::Identity,
    phonebook_http::{PhonebookHttp, Unheard},
};
use bytes::Bytes;
use futures::{SinkExt, Stream, StreamExt};
use fyteclub_proto::{
    limit::{LIVE_MESSAGE_MAX, LIVE_QUEUE_MAX},
    live::{Lost, Transport},
    phonebook::live::{CloseReason, Hear, POLL_TIME_MAX, PRESENCE_LIFE, Poll, Polled, Say},
};
use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::AbortHandle,
    time::{timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{Role, WebSocketConfig},
    },
};

/// How long the network may take to accept one message.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// How often in a row a poll may be overtaken by another of this client.
const OVERTAKEN_MAX: usize = 4;

/// What a connection returns; after `Lost` nothing more.
#[derive(Debug)]
pub enum LiveEvent {
    Message(Hear),
    /// A frame that is no message.
    Alive,
    Lost(Lost),
}

/// What is sent next.
#[derive(Debug)]
enum Outbound {
    Say(Say),
    Probe,
}

/// The sending end. Dropping it ends the connection.
#[derive(Debug)]
pub struct Connection {
    say: Sender<Outbound>,
    task: AbortHandle,
}

impl Connection {
    /// Returns whether there was space: messages to a stalled connection are lost.
    pub fn say(&self, say: Say) -> bool {
        self.say.try_send(Outbound::Say(say)).is_ok()
    }

    /// Sends a frame that a WebSocket's other end answers.
    pub fn probe(&self) -> bool {
        self.say.try_send(Outbound::Probe).is_ok()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects in a task. Must be called in a Tokio runtime.
pub fn connect(
    http: PhonebookHttp,
    transport: Transport,
    identity: Arc<Identity>,
    clock: Arc<BookClock>,
) -> (Connection, impl Stream<Item = LiveEvent> + 'static) {
    let (say, said) = mpsc::channel(LIVE_QUEUE_MAX);
    let (heard, hear) = mpsc::channel(LIVE_QUEUE_MAX);
    let task = tokio::spawn(async move {
        let lost = match transport {
            Transport::WebSocket => socket(&http, said, &heard).await,
            Transport::Poll => Polls { http, identity, clock }.run(said, &heard).await,
        };
        // The receiver is gone when the conversation was ended here.
        heard.send(LiveEvent::Lost(lost)).await.ok();
    });
    let hear = futures::stream::unfold(hear, |mut hear| async move { Some((hear.recv().await?, hear)) });
    (Connection { say, task: task.abort_handle() }, hear)
}

async fn socket(http: &PhonebookHttp, mut said: Receiver<Outbound>, heard: &Sender<LiveEvent>) -> Lost {
    let upgraded = match http.upgrade("live").await {
        Ok(upgraded) => upgraded,
        Err(lost) => return lost,
    };
    let limits = WebSocketConfig::default()
        .max_message_size(Some(LIVE_MESSAGE_MAX))
        .max_frame_size(Some(LIVE_MESSAGE_MAX))
        .read_buffer_size(LIVE_MESSAGE_MAX)
        .write_buffer_size(0);
    let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(limits)).await;
    let mut last = Instant::now();
    loop {
        tokio::select! {
            // The phone book pings several times in this time; silence means a broken path.
            next = timeout_at((last + PRESENCE_LIFE).into(), socket.next()) => {
                last = Instant::now();
                match next {
                    Ok(Some(Ok(Message::Text(text)))) => {
                        // A newer phone book's message that is not even JSON is ignored.
                        let hear = serde_json::from_str(&text).unwrap_or(Hear::Novel);
                        if heard.send(LiveEvent::Message(hear)).await.is_err() {
                            return Lost::Broken;
                        }
                    }
                    Ok(Some(Ok(Message::Close(frame)))) => return closed(frame.map(|f| (u16::from(f.code), f.reason.to_string()))),
                    Ok(Some(Ok(_))) => {
                        if heard.send(LiveEvent::Alive).await.is_err() {
                            return Lost::Broken;
                        }
                    }
                    Ok(Some(Err(_)) | None) | Err(_) => return Lost::Broken,
                }
            }
            say = said.recv() => {
                let message = match say {
                    Some(Outbound::Say(say)) => serde_json::to_string(&say).map(Message::text),
                    Some(Outbound::Probe) => Ok(Message::Ping(Bytes::new())),
                    None => return Lost::Broken,
                };
                let Ok(message) = message else { return Lost::Broken };
                if !matches!(timeout(WRITE_TIME, socket.send(message)).await, Ok(Ok(()))) {
                    return Lost::Broken;
                }
            }
        }
    }
}

fn closed(frame: Option<(u16, String)>) -> Lost {
    let reason = frame.and_then(|(code, text)| Some((CloseReason::from_code(code)?, text)));
    reason.map_or(Lost::Broken, |(reason, text)| Lost::Closed(reason, text))
}

struct Polls {
    http: PhonebookHttp,
    identity: Arc<Identity>,
    clock: Arc<BookClock>,
}

impl Polls {
    /// One poll waits for messages; beside it, messages are sent at once.
    async fn run(&self, mut said: Receiver<Outbound>, heard: &Sender<LiveEvent>) -> Lost {
        match self.poll(Duration::ZERO, &[]).await {
            Ok(polled) => {
                let welcome = Hear::Welcome(polled.welcome.clone());
                if heard.send(LiveEvent::Message(welcome)).await.is_err() || !hand(polled, heard).await {
                    return Lost::Broken;
                }
            }
            Err(lost) => return lost,
        }
        let nothing: &[Say] = &[];
        let mut waiting = Box::pin(self.poll(POLL_TIME_MAX, nothing));
        loop {
            let result = tokio::select! {
                result = &mut waiting => {
                    waiting = Box::pin(self.poll(POLL_TIME_MAX, nothing));
                    result
                }
                say = said.recv() => {
                    let Some(say) = say else { return Lost::Broken };
                    let mut all = vec![say];
                    while let Ok(more) = said.try_recv() {
                        all.push(more);
                    }
                    // Every poll implies presence, and its answer is a probe's.
                    let says = |outbound| match outbound {
                        Outbound::Say(Say::Here) | Outbound::Probe => None,
                        Outbound::Say(say) => Some(say),
                    };
                    let all: Vec<Say> = all.into_iter().filter_map(says).collect();
                    if all.is_empty() {
                        continue;
                    }
                    let mut saying = pin!(self.poll(Duration::ZERO, &all));
                    tokio::select! {
                        result = &mut saying => result,
                        result = &mut waiting => {
                            waiting = Box::pin(self.poll(POLL_TIME_MAX, nothing));
                            match result {
                                Ok(polled) => if hand(polled, heard).await { saying.await } else { return Lost::Broken },
                                Err(lost) => Err(lost),
                            }
                        }
                    }
                }
            };
            match result {
                Ok(polled) => {
                    if !hand(polled, heard).await {
                        return Lost::Broken;
                    }
                }
                Err(lost) => return lost,
            }
        }
    }

    /// Sends the poll again if a later one arrived first: two run, each over its own connection.
    async fn poll(&self, wait: Duration, say: &[Say]) -> Result<Polled, Lost> {
        for _ in 0..OVERTAKEN_MAX {
            let (sequence, time) = (self.clock.next_sequence(), self.clock.now());
            let key = self.identity.key();
            let poll = Poll::signed(&self.http.authority(), sequence, time, wait, say, key);
            match self.http.poll(&poll).await {
                Ok(polled) => return Ok(polled),
                Err(Unheard::Lost(lost)) => return Err(lost),
                Err(Unheard::Overtaken { newest }) => {
                    self.clock.above(newest);
                }
            }
        }
        Err(Lost::Broken)
    }
}

/// Returns whether the receiver is still there.
async fn hand(polled: Polled, heard: &Sender<LiveEvent>) -> bool {
    for hear in polled.hear {
        if heard.send(LiveEvent::Message(hear)).await.is_err() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_proto::phonebook::{Problem, live::Welcome};
    use std::pin::pin;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    /// Answers one request, and returns its body.
    async fn answer(listener: &TcpListener, status: &str, reply: &str) -> Poll {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut text = Vec::new();
        loop {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).await.expect("a request");
            text.extend_from_slice(&part[..read]);
            let head = text.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4);
            if let Some(poll) = head.and_then(|at| serde_json::from_slice(&text[at..]).ok()) {
                let length = reply.len();
                let head =
                    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                stream.write_all((head + reply).as_bytes()).await.expect("it reads");
                return poll;
            }
        }
    }

    #[tokio::test]
    async fn overtaken_poll_is_sent_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let identity = Arc::new(Identity::load_or_create(&dir.path().join("key")).expect("an identity"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let http = PhonebookHttp::new(&url, PhonebookHttp::client().expect("TLS")).expect("a URL");
        let (_connection, heard) = connect(http, Transport::Poll, identity, Arc::default());
        let newest = crate::io::wall_clock::unix_millis() + 60_000;
        let stale = Problem {
            error: "an older sequence".into(),
            code: Some("stale_sequence".into()),
            sequence: Some(newest),
            ..Problem::default()
        };
        let first = answer(&listener, "409 Conflict", &serde_json::to_string(&stale).expect("JSON")).await;
        let welcome = Welcome {
            version: 1,
            address: [127, 0, 0, 1].into(),
            life: 75,
            period: 25,
            udp: None,
            return_ms: None,
        };
        let polled = Polled { welcome, hear: Vec::new() };
        let second = answer(&listener, "200 OK", &serde_json::to_string(&polled).expect("JSON")).await;
        assert!(first.sequence < newest && second.sequence > newest && first.say == second.say);
        let first = pin!(heard).next().await.expect("something");
        assert!(matches!(first, LiveEvent::Message(Hear::Welcome(_))), "{first:?}");
    }
}
