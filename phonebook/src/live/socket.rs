//! A WebSocket as the streaming body of the `101` answer.
//!
//! Without a task or channel of its own: ten thousand mostly idle sockets cost only what actix keeps per connection.

use super::{
    Outbound,
    allowance::speak,
    close_frame::CloseFrame,
    greeting::{self, welcome},
};
use crate::{
    accounts::Charge,
    app_state::AppState,
    auth::requested_host,
    io::connections::{Connections, Exemption},
    signaling::{ClientId, Input},
};
use actix_http::ws::{self, CloseCode, Codec, Frame, Item, Message};
use actix_web::{HttpRequest, rt::time, web};
use bytes::BytesMut;
use futures_core::Stream;
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    ledger::{self, Meter, Network},
    limit::{LIVE_MESSAGE_MAX, SOCKET_FRAMES},
    phonebook::live::{CloseReason, GREETING_TIME, Hear, Say},
    version::LIVE_VERSIONS,
};
use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio_util::codec::{Decoder, Encoder};

/// Frames per poll, before other connections of the thread run.
const FRAMES_AT_ONCE: usize = 32;
/// Shortest pause of a client that sends too fast, so that not every frame wakes it.
const PAUSE_MIN: Duration = Duration::from_millis(50);

pub(crate) struct Socket {
    app: web::Data<AppState>,
    payload: web::Payload,
    exemption: Option<Exemption>,
    codec: Codec,
    /// Received and not decoded; no allocation while idle.
    inbox: BytesMut,
    outbox: BytesMut,
    /// Fragments of an unfinished text message.
    text: Vec<u8>,
    pinged: Option<Instant>,
    stage: Stage,
    /// A socket slot, and its network's charge.
    place: Option<Charge>,
    network: Network,
    meter: Meter,
    /// No reads until then: the client sends too fast.
    pause: Option<Pin<Box<time::Sleep>>>,
    /// The input is unreadable from here on.
    read_closed: bool,
    /// Both ends sent a close frame.
    done: bool,
}

enum Stage {
    Greeting(Box<Greeting>),
    Present {
        client: ClientId,
        key: PeerId,
        address: IpAddr,
    },
    /// Our close frame is sent. The client's, the end of the connection, or [`Connections`] ends the stream.
    Closed,
}

struct Greeting {
    nonce: Bytes<32>,
    host: Option<String>,
    address: IpAddr,
    timer: Pin<Box<time::Sleep>>,
}

impl Socket {
    /// Starts with the challenge, on an upgraded connection.
    pub(crate) fn open(
        request: &HttpRequest,
        payload: web::Payload,
        app: web::Data<AppState>,
        connections: &Connections,
        address: IpAddr,
    ) -> Result<Self, getrandom::Error> {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce)?;
        let opened = app.live.open(address.into());
        let greeting = Greeting {
            nonce: Bytes(nonce),
            host: requested_host(request),
            address,
            timer: Box::pin(time::sleep(GREETING_TIME)),
        };
        let challenge = Hear::Challenge {
            versions: LIVE_VERSIONS.to_vec(),
            nonce: greeting.nonce,
            time: app.now().unix_millis(),
        };
        let mut socket = Self {
            payload,
            exemption: connections.exempt(request),
            codec: Codec::new().max_size(LIVE_MESSAGE_MAX),
            inbox: BytesMut::new(),
            outbox: BytesMut::new(),
            text: Vec::new(),
            pinged: None,
            stage: Stage::Greeting(Box::new(greeting)),
            place: None,
            network: address.into(),
            meter: Meter::new(SOCKET_FRAMES),
            pause: None,
            read_closed: false,
            done: false,
            app,
        };
        match opened {
            Ok(place) => {
                socket.place = Some(place);
                socket.tell(&challenge);
            }
            Err(close) => socket.end(close),
        }
        Ok(socket)
    }

    fn tell(&mut self, hear: &Hear) {
        let text = serde_json::to_string(hear).expect("our messages are JSON");
        self.send(Message::Text(text.into()));
    }

    fn send(&mut self, message: Message) {
        // Fails only for continuation frames, which are never sent.
        self.codec.encode(message, &mut self.outbox).ok();
    }

    fn end(&mut self, close: CloseFrame) {
        if matches!(self.stage, Stage::Closed) {
            return;
        }
        let code = CloseCode::from(close.reason.code());
        self.send(Message::Close(Some(ws::CloseReason { code, description: Some(close.text) })));
        self.leave();
    }

    fn fault(&mut self, text: &str) {
        self.end(CloseFrame::new(CloseReason::BadMessage, text));
    }

    fn leave(&mut self) {
        let client = match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Present { client, .. } => Some(client),
            _ => None,
        };
        if self.place.take().is_some() {
            self.app.live.closed(client);
        }
        if let Some(exemption) = &self.exemption {
            exemption.dismiss();
        }
        (self.inbox, self.text) = (BytesMut::new(), Vec::new());
    }

    fn frame(&mut self, frame: Frame, cx: &Context<'_>) {
        if let Stage::Present { client, .. } = self.stage {
            self.app.live.hand(Input::Received { client }, None);
        }
        match frame {
            Frame::Text(text) if self.text.is_empty() => self.message(&text, cx),
            Frame::Continuation(Item::FirstText(part)) => self.part(&part),
            Frame::Continuation(Item::Continue(part)) => self.part(&part),
            Frame::Continuation(Item::Last(part)) => {
                self.part(&part);
                let text = std::mem::take(&mut self.text);
                self.message(&text, cx);
            }
            Frame::Text(_) => self.fault("a message inside a fragmented one"),
            Frame::Binary(_) | Frame::Continuation(Item::FirstBinary(_)) => {
                self.fault("messages must be text")
            }
            Frame::Ping(data) => self.send(Message::Pong(data)),
            Frame::Pong(_) => {
                if let (Some(pinged), Stage::Present { client, .. }) = (self.pinged.take(), &self.stage) {
                    let trip = Input::RoundTrip { client: *client, time: pinged.elapsed() };
                    self.app.live.hand(trip, None);
                }
            }
            Frame::Close(_) => {
                if !matches!(self.stage, Stage::Closed) {
                    self.send(Message::Close(None));
                    self.leave();
                }
                self.done = true;
            }
        }
    }

    fn part(&mut self, part: &[u8]) {
        if matches!(self.stage, Stage::Closed) {
            return;
        }
        if self.text.len() + part.len() > LIVE_MESSAGE_MAX {
            self.fault("a message is too long");
        } else {
            self.text.extend_from_slice(part);
        }
    }

    fn message(&mut self, text: &[u8], cx: &Context<'_>) {
        let Ok(say) = serde_json::from_slice::<Say>(text) else {
            return self.fault("not a message of this version");
        };
        match (&self.stage, say) {
            (Stage::Greeting(greeting), Say::Hello(hello)) => {
                let now = self.app.now();
                let host = greeting.host.as_deref();
                let returns = self.app.live.returns();
                let welcomed = greeting::greet(&self.app.server_names, &hello, &greeting.nonce, host, now)
                    .map(|version| welcome(version, greeting.address, self.app.udp.clone(), returns))
                    .and_then(|welcome| {
                        let (key, exemption) = (hello.public_key, self.exemption.clone());
                        let client = self.app.live.attach(key, self.network, exemption, cx.waker(), now)?;
                        Ok((welcome, client, greeting.address))
                    });
                match welcomed {
                    Ok((welcome, client, address)) => {
                        self.app.live.hand(Input::Seen { client, address }, None);
                        self.stage = Stage::Present { client, key: hello.public_key, address };
                        self.tell(&Hear::Welcome(welcome));
                    }
                    Err(close) => self.end(close),
                }
            }
            (Stage::Present { client, key, address }, say) if greeting::is_in_turn(&say, key) => {
                speak(&self.app, *client, key, *address, say);
            }
            (Stage::Present { .. } | Stage::Greeting(_), _) => {
                self.fault("message out of order, or another's knock")
            }
            (Stage::Closed, _) => {}
        }
    }

    /// Charges one frame. A client that sends too fast is not read for a while: its own buffers fill, nothing is
    /// lost.
    fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.pause = None;
        }
        let charged = self.meter.charge(Instant::now(), 1);
        let charged =
            charged.and_then(|()| self.app.accounts.charge(self.network, ledger::Item::Messages, 1));
        let Err(wait) = charged else { return true };
        let mut pause = Box::pin(time::sleep(wait.max(PAUSE_MIN)));
        // The first poll registers the waker.
        let is_over = pause.as_mut().poll(cx).is_ready();
        self.pause = Some(pause);
        if is_over {
            cx.waker().wake_by_ref();
        }
        false
    }

    /// Returns whether the connection stays open.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..FRAMES_AT_ONCE {
            if self.done {
                return false;
            }
            // Charged per frame, before decoding.
            if !self.read_closed && !self.inbox.is_empty() && !self.may_read(cx) {
                return true;
            }
            if self.read_closed {
                self.inbox = BytesMut::new();
            } else {
                match self.codec.decode(&mut self.inbox) {
                    Ok(Some(frame)) => {
                        self.frame(frame, cx);
                        continue;
                    }
                    Ok(None) => {}
                    Err(error) => {
                        let long = matches!(error, ws::ProtocolError::Overflow);
                        self.fault(if long { "a message is too long" } else { "not a WebSocket frame" });
                        self.read_closed = true;
                    }
                }
            }
            match Pin::new(&mut self.payload).poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) => self.inbox.extend_from_slice(&chunk),
                Poll::Ready(_) => return false,
                Poll::Pending => {
                    if self.inbox.is_empty() {
                        self.inbox = BytesMut::new();
                    }
                    return true;
                }
            }
        }
        cx.waker().wake_by_ref();
        true
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        if let Stage::Greeting(greeting) = &mut self.stage
            && greeting.timer.as_mut().poll(cx).is_ready()
        {
            self.end(CloseFrame::new(CloseReason::Silent, "no greeting"));
        }
        while let Stage::Present { client, .. } = self.stage
            && self.outbox.len() < LIVE_MESSAGE_MAX
        {
            match self.app.live.next_outbound(client, cx.waker()) {
                Some(Outbound::Hear(hear)) => self.tell(&hear),
                Some(Outbound::Ping) => {
                    self.pinged = Some(Instant::now());
                    self.send(Message::Ping(bytes::Bytes::new()));
                }
                Some(Outbound::End(close)) => self.end(close),
                None => break,
            }
        }
    }
}

impl Stream for Socket {
    type Item = Result<bytes::Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let open = this.read(cx);
        this.write(cx);
        if !this.outbox.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut this.outbox).freeze())));
        }
        if open { Poll::Pending } else { Poll::Ready(None) }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.leave();
    }
}
