//! A relay's frames over a WebSocket, for who has only TCP: the streaming body of the `101` answer of `/api/relay`.
//!
//! Each frame is one binary message. As over UDP a leg is proven by a challenge and a proof; a WebSocket that has proven
//! none is closed.

use super::{
    hub::{Hub, Sorted},
    outlet::{Next, Outlet},
};
use crate::{
    accounts::Charge,
    app_state::AppState,
    io::connections::{Connections, Exemption},
    problem::Problem,
    relay::{Place, Source},
};
use actix_http::ws::{self, CloseCode, Codec, Frame, Message};
use actix_web::{HttpRequest, rt::time, web};
use bytes::BytesMut;
use futures_core::Stream;
use fyteclub_proto::{
    ledger::Item,
    phonebook::live::{CloseReason, GREETING_TIME},
};
use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio_util::codec::{Decoder, Encoder};

/// Between pings, which keep the connection open in proxies: the strictest closes it after 50 s.
const PING_PERIOD: Duration = Duration::from_secs(20);
/// Pings without a sign of life.
const PINGS_MAX: u32 = 3;
/// Longest frame: a QUIC packet of the largest common MTU fits.
const FRAME_MAX: usize = 2048;
/// Frames per poll, before other connections of the thread run.
const FRAMES_AT_ONCE: usize = 32;

pub(crate) struct RelaySocket {
    hub: Arc<Hub>,
    payload: web::Payload,
    exemption: Option<Exemption>,
    codec: Codec,
    inbox: BytesMut,
    outbox: BytesMut,
    source: Source,
    number: u64,
    outlet: Arc<Outlet>,
    sorted: Sorted,
    /// The next ping, or the end of the time to prove a leg.
    timer: Pin<Box<time::Sleep>>,
    /// Pings since anything came.
    pings: u32,
    _place: Charge,
    stage: Stage,
    /// The input is unreadable from here on.
    read_closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No leg is proven yet.
    New,
    Bound,
    /// Our close frame is sent; the client's, or [`Connections`], ends the stream.
    Closing,
    Done,
}

impl RelaySocket {
    /// # Errors
    /// The network has its share of live connections, or the phone book stops.
    pub(crate) fn open(
        request: &HttpRequest,
        payload: web::Payload,
        app: &AppState,
        hub: &Arc<Hub>,
        connections: &Connections,
        address: IpAddr,
    ) -> Result<Self, Problem> {
        let place = app.accounts.hold(address.into(), Item::Sockets).map_err(|_| Problem::Crowded)?;
        let (number, outlet) = hub.arrive().ok_or(Problem::NoPlace)?;
        Ok(Self {
            hub: Arc::clone(hub),
            payload,
            exemption: connections.exempt(request),
            codec: Codec::new().max_size(FRAME_MAX),
            inbox: BytesMut::new(),
            outbox: BytesMut::new(),
            source: Source { place: Place::Socket(number), network: address.into(), local: None },
            number,
            outlet,
            sorted: Sorted::default(),
            timer: Box::pin(time::sleep(GREETING_TIME)),
            pings: 0,
            _place: place,
            stage: Stage::New,
            read_closed: false,
        })
    }

    fn send(&mut self, message: Message) {
        // Fails only for continuation frames, which are never sent.
        self.codec.encode(message, &mut self.outbox).ok();
    }

    fn end(&mut self, reason: CloseReason, text: &str) {
        if matches!(self.stage, Stage::Closing | Stage::Done) {
            return;
        }
        let code = CloseCode::from(reason.code());
        self.send(Message::Close(Some(ws::CloseReason { code, description: Some(text.to_owned()) })));
        self.stage = Stage::Closing;
        self.leave();
    }

    fn leave(&mut self) {
        self.hub.leave(self.number);
        if let Some(exemption) = self.exemption.take() {
            exemption.dismiss();
        }
    }

    fn frame(&mut self, frame: Frame) {
        self.pings = 0;
        match frame {
            Frame::Binary(bytes) => {
                if matches!(self.stage, Stage::New | Stage::Bound) {
                    let mut room = [0; FRAME_MAX];
                    let length = bytes.len().min(FRAME_MAX);
                    room[..length].copy_from_slice(&bytes[..length]);
                    // The connection is proof of the address.
                    self.hub.frames(self.source, &mut room[..length], FRAME_MAX, &mut self.sorted, || true);
                }
            }
            Frame::Ping(data) => self.send(Message::Pong(data)),
            Frame::Pong(_) => {}
            Frame::Close(_) => {
                if self.stage != Stage::Closing {
                    self.send(Message::Close(None));
                    self.leave();
                }
                self.stage = Stage::Done;
            }
            Frame::Text(_) | Frame::Continuation(_) => {
                self.end(CloseReason::BadMessage, "each frame must be one binary message");
            }
        }
    }

    /// Returns whether the connection stays open.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..FRAMES_AT_ONCE {
            if self.stage == Stage::Done {
                return false;
            }
            match self.codec.decode(&mut self.inbox) {
                Ok(Some(frame)) => {
                    self.frame(frame);
                    continue;
                }
                Ok(None) => {}
                Err(_) => {
                    self.end(CloseReason::BadMessage, "not a WebSocket frame, or too long");
                    (self.inbox, self.read_closed) = (BytesMut::new(), true);
                }
            }
            match Pin::new(&mut self.payload).poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    if !self.read_closed {
                        self.inbox.extend_from_slice(&chunk);
                    }
                }
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

    /// Pings, and ends what is silent or has no leg.
    fn tick(&mut self, cx: &mut Context<'_>) {
        while matches!(self.stage, Stage::New | Stage::Bound) && self.timer.as_mut().poll(cx).is_ready() {
            if !self.hub.knows(self.number) {
                return self.end(CloseReason::Silent, "no leg is bound");
            }
            if self.pings == PINGS_MAX {
                return self.end(CloseReason::Silent, "nothing received for too long");
            }
            self.stage = Stage::Bound;
            self.pings += 1;
            self.send(Message::Ping(bytes::Bytes::new()));
            self.timer = Box::pin(time::sleep(PING_PERIOD));
        }
    }
}

impl Stream for RelaySocket {
    type Item = Result<bytes::Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let open = this.read(cx);
        this.tick(cx);
        if !this.outbox.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut this.outbox).freeze())));
        }
        if matches!(this.stage, Stage::New | Stage::Bound) {
            match this.outlet.next(cx.waker()) {
                Next::Messages(messages) => return Poll::Ready(Some(Ok(messages))),
                Next::Stop => {
                    this.end(CloseReason::Restart, "the phone book stops");
                    return Poll::Ready(Some(Ok(std::mem::take(&mut this.outbox).freeze())));
                }
                Next::Wait => {}
            }
        }
        if open { Poll::Pending } else { Poll::Ready(None) }
    }
}

impl Drop for RelaySocket {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::New | Stage::Bound) {
            self.leave();
        }
    }
}
