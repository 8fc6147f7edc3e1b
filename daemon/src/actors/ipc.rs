//! One local client: passes its requests to the coordinator, and sends replies and events over the socket.

use super::coordinator::{
    Coordinator,
    facts::DaemonFact,
    verbs::{Ask, ReadState},
};
use crate::{
    desks::{orders::json, sessions::ClientId},
    event::Bus,
    io::ipc::{Frame, Left, LocalReader, LocalWriter, Outbox, ReadError},
    memory::{ClientMemory, Unheld},
    places::Entry,
};
use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, MailboxError, StreamHandler, WrapFuture,
};
use futures::stream;
use fyteclub_proto::{
    id::PeerId,
    limit::{LOCAL_HELLO_TIME, LOCAL_HOLD_TIME},
    local::{
        Call, Fault, FaultCode, Notice, RawJson, Reply, Request,
        reply::{Empty, Hello},
        request::Hello as Greeting,
    },
    version::LOCAL_VERSIONS,
};
use std::{cell::Cell, future::Future, rc::Rc, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Frames that may wait for a client to read, within `LOCAL_UNREAD_MAX` bytes; then the sender waits.
const WAITING_MAX: usize = 256;
/// How long the last replies may take to be written, once the client is dismissed or has left.
const LINGER: Duration = Duration::from_secs(5);
/// The same where others wait for the memory.
const DISPLACED_LINGER: Duration = Duration::from_millis(500);
/// Requests of one client that are served at once. Further ones are read when one is answered.
const SERVED_MAX: usize = 64;
/// Requests of one client that wait for the network or a disk: they block no others, and there may be one for each near
/// player. One more is refused.
const LONG_MAX: usize = 256;
/// States of one client that are made and not written yet. A `watch` beyond them is refused.
const STATES_MAX: usize = 8;

/// A frame of the client, with its permit, or how its socket ended.
pub enum Incoming {
    Frame(Frame, OwnedSemaphorePermit),
    Broken(ReadError),
}

pub struct IpcClient {
    id: ClientId,
    coordinator: Addr<Coordinator>,
    peer_id: PeerId,
    bus: Bus,
    halves: Option<(LocalReader, LocalWriter)>,
    outbox: Option<Outbox>,
    greeted: Rc<Cell<bool>>,
    watching: bool,
    /// The permit of the request that is being handled, until its reply has it.
    serving: Option<OwnedSemaphorePermit>,
    long: Arc<Semaphore>,
    states: Arc<Semaphore>,
    /// This client's place at the local socket. Held until the socket is closed.
    entry: Arc<Entry>,
    /// What its long frames take.
    memory: ClientMemory,
    /// Tells the writer that no more follows.
    here: Option<DropGuard>,
}

impl IpcClient {
    pub fn new(
        id: ClientId,
        coordinator: Addr<Coordinator>,
        peer_id: PeerId,
        bus: Bus,
        reader: LocalReader,
        writer: LocalWriter,
        (entry, memory): (Entry, ClientMemory),
    ) -> Self {
        let halves = Some((reader, writer));
        Self {
            id,
            coordinator,
            peer_id,
            bus,
            halves,
            outbox: None,
            greeted: Rc::default(),
            watching: false,
            serving: None,
            long: Arc::new(Semaphore::new(LONG_MAX)),
            states: Arc::new(Semaphore::new(STATES_MAX)),
            entry: Arc::new(entry),
            memory,
            here: None,
        }
    }

    /// Sends a reply when its future ends; replies are sent in the order in which they are ready.
    fn reply(
        &mut self,
        id: u64,
        answer: impl Future<Output = Result<RawJson, Fault>> + 'static,
        ctx: &mut Context<Self>,
    ) {
        let Some(outbox) = self.outbox.clone() else { return };
        let serving = self.serving.take();
        ctx.spawn(
            async move {
                let _serving = serving;
                match answer.await {
                    Ok(json) => answered(&outbox, id, json).await,
                    Err(fault) => say(&outbox, Reply::failure(id, fault)).await,
                }
            }
            .into_actor(self),
        );
    }

    /// Sends the client the reason, and ends its connection. 0 because there is no request to answer.
    fn dismiss(&self, fault: Fault, ctx: &mut Context<Self>) {
        if let Some(outbox) = self.outbox.clone() {
            // Outlives the actor.
            actix::spawn(async move { say(&outbox, Reply::failure(0, fault)).await });
        }
        ctx.stop();
    }

    /// Checks that client and daemon have a version in common, and that there is a place.
    fn greet(&self, hello: &Greeting) -> Result<Hello, Fault> {
        let common = LOCAL_VERSIONS.iter().copied().find(|version| hello.versions.contains(version));
        let protocol = common.ok_or_else(|| {
            let newer = hello.versions.iter().max() > LOCAL_VERSIONS.iter().max();
            let who = if newer { "the daemon" } else { "the client" };
            let spoken = LOCAL_VERSIONS.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Fault::new(
                FaultCode::Version,
                format!(
                    "daemon and client have no version in common (the daemon speaks {spoken}): upgrade {who}"
                ),
            )
        })?;
        self.entry.greet(&hello.client).map_err(|full| Fault::new(FaultCode::Busy, full.to_string()))?;
        Ok(Hello { version: env!("CARGO_PKG_VERSION").into(), protocol, peer_id: self.peer_id })
    }

    /// Passes a request to the coordinator and sends the answer. The request's token is cancelled when this client
    /// leaves.
    fn ask(&mut self, id: u64, request: Request, ctx: &mut Context<Self>) {
        if request.row().takes_long {
            let Ok(long) = self.long.clone().try_acquire_owned() else {
                let says = format!("{LONG_MAX} requests of this client wait already: wait for one of them");
                return self.refuse(id, Fault::new(FaultCode::Busy, says), ctx);
            };
            self.serving = Some(long);
        }
        let left = CancellationToken::new();
        let asked = self.coordinator.send(Ask { client: self.id, request, left: left.clone() });
        let here = left.drop_guard();
        let answer = async move {
            let _here = here;
            asked.await.unwrap_or_else(|error| Err(gone(error)))
        };
        self.reply(id, answer, ctx);
    }

    fn refuse(&mut self, id: u64, fault: Fault, ctx: &mut Context<Self>) {
        self.reply(id, async { Err(fault) }, ctx);
    }

    fn request(&mut self, id: u64, request: Request, ctx: &mut Context<Self>) {
        match request {
            Request::Hello(hello) => {
                let greeting = self.greet(&hello);
                self.greeted.set(greeting.is_ok());
                self.reply(id, async move { json(greeting) }, ctx);
            }
            _ if !self.greeted.get() => {
                self.refuse(id, Fault::new(FaultCode::HelloFirst, "say `hello` first"), ctx);
            }
            Request::Watch => {
                let Ok(state) = self.states.clone().try_acquire_owned() else {
                    let says = format!("{STATES_MAX} states are not sent yet: read them, then `watch` again");
                    return self.refuse(id, Fault::new(FaultCode::Busy, says), ctx);
                };
                self.reply(id, async { json(Ok(Empty {})) }, ctx);
                self.watch(state, ctx);
            }
            request => self.ask(id, request, ctx),
        }
    }

    /// Sends the whole state, and from the first call on every event. Holds the permit until that state is sent.
    fn watch(&mut self, state: OwnedSemaphorePermit, ctx: &mut Context<Self>) {
        let Some(outbox) = self.outbox.clone() else { return };
        let first = !std::mem::replace(&mut self.watching, true);
        let (mut events, coordinator) = (self.bus.listen(), self.coordinator.clone());
        ctx.spawn(
            async move {
                let (mut lost, mut shown) = (true, 0);
                let mut state = Some(state);
                loop {
                    if std::mem::take(&mut lost) {
                        let Ok(Ok(status)) = coordinator.send(ReadState).await else { return };
                        shown = status.seq;
                        if outbox.send(&Notice::Event(status.into())).await.is_err() {
                            return;
                        }
                    }
                    drop(state.take());
                    if !first {
                        return;
                    }
                    match events.recv().await {
                        // The state is newer.
                        Ok(event) if event.seq <= shown => {}
                        Ok(event) => {
                            if outbox.send(&Notice::Event(Arc::unwrap_or_clone(event))).await.is_err() {
                                return;
                            }
                        }
                        Err(broadcast::error::RecvError::Lagged(_)) => lost = true,
                        Err(broadcast::error::RecvError::Closed) => return,
                    }
                }
            }
            .into_actor(self),
        );
    }
}

fn gone(_: MailboxError) -> Fault {
    Fault::new(FaultCode::Stopping, "the daemon is stopping")
}

impl Actor for IpcClient {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some((reader, mut writer)) = self.halves.take() else { return };
        let (outbox, mut outgoing) = writer.outbox(WAITING_MAX);
        self.outbox = Some(outbox);
        let (gone, entry) = (CancellationToken::new(), self.entry.clone());
        let displaced = self.memory.displaced();
        self.here = Some(gone.clone().drop_guard());
        // Outlives the actor, so that the last replies are still written.
        actix::spawn(async move {
            let _entry = entry;
            let written = async { while let Ok(true) = writer.write(&mut outgoing).await {} };
            let lingered = async {
                gone.cancelled().await;
                tokio::time::sleep(if displaced.is_cancelled() { DISPLACED_LINGER } else { LINGER }).await;
            };
            tokio::select! {
                () = written => {}
                () = lingered => {}
            }
        });
        let places = Arc::new(Semaphore::new(SERVED_MAX));
        let heard = stream::unfold(Some((reader, places, self.greeted.clone())), |state| async move {
            let (mut reader, places, greeted) = state?;
            let place = places.clone().acquire_owned().await.ok()?;
            // A greeting is handled before the next frame is read.
            match reader.next(greeted.get()).await {
                Ok(Some(frame)) => Some((Incoming::Frame(frame, place), Some((reader, places, greeted)))),
                Ok(None) => None,
                Err(error) => Some((Incoming::Broken(error), None)),
            }
        });
        ctx.add_stream(heard);
        ctx.run_later(LOCAL_HELLO_TIME, |client, ctx| {
            if !client.greeted.get() {
                let why =
                    format!("no `hello` came for {} s: the connection is closed", LOCAL_HELLO_TIME.as_secs());
                client.dismiss(Fault::new(FaultCode::HelloFirst, why), ctx);
            }
        });
        let displaced = self.memory.displaced();
        ctx.spawn(async move { displaced.cancelled().await }.into_actor(self).map(|(), client, ctx| {
            let seconds = LOCAL_HOLD_TIME.as_secs();
            let why = format!(
                "the local clients' long messages take too much memory, and one of this client was not sent or read \
                 to its end within {seconds} s: the connection is closed"
            );
            client.dismiss(Fault::new(FaultCode::Busy, why), ctx);
        }));
        let displaced = self.entry.displaced();
        ctx.spawn(async move { displaced.cancelled().await }.into_actor(self).map(|(), client, ctx| {
            let why =
                "there are too many local clients, and this one sent no `hello`: the connection is closed";
            client.dismiss(Fault::new(FaultCode::Busy, why), ctx);
        }));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if self.greeted.get() {
            self.coordinator.do_send(DaemonFact::ClientLeft(self.id));
        }
    }
}

/// Sends an answer, or in its place why there is no space for it. It has its space while it waits.
async fn answered(outbox: &Outbox, id: u64, answer: RawJson) {
    let why = match outbox.space(answer.text().len()).await {
        Ok(space) => match outbox.send_answer(Notice::Reply(Reply::of(id, Ok(answer))), space).await {
            Ok(false) => Unheld::TooLong,
            Ok(true) | Err(Left) => return,
        },
        Err(why) => why,
    };
    let code = match why {
        Unheld::TooLong => FaultCode::TooLarge,
        Unheld::Unread | Unheld::Full => FaultCode::Busy,
    };
    say(outbox, Reply::failure(id, Fault::new(code, why.to_string()))).await;
}

/// Sends a failure. One that is too long for a frame becomes the fault for that; a client that has left needs none.
async fn say(outbox: &Outbox, reply: Reply) {
    let id = reply.id;
    if outbox.send(&Notice::Reply(reply)).await == Ok(false) {
        let fault = Fault::new(FaultCode::TooLarge, "the answer is too long for the local socket");
        outbox.send(&Notice::Reply(Reply::failure(id, fault))).await.ok();
    }
}

impl StreamHandler<Incoming> for IpcClient {
    fn handle(&mut self, heard: Incoming, ctx: &mut Self::Context) {
        let frame = match heard {
            Incoming::Frame(frame, place) => {
                self.serving = Some(place);
                frame
            }
            Incoming::Broken(error) => {
                let fault = Fault::new(FaultCode::BadRequest, format!("{error}: the connection is closed"));
                return self.dismiss(fault, ctx);
            }
        };
        match serde_json::from_slice::<Call>(&frame.body) {
            Ok(call) => {
                let id = call.id;
                match Request::from_call(&call) {
                    Ok(request) => self.request(id, request, ctx),
                    Err(fault) => self.refuse(id, fault, ctx),
                }
            }
            Err(error) => {
                self.dismiss(
                    Fault::new(FaultCode::BadRequest, format!("a frame is no request: {error}")),
                    ctx,
                );
            }
        }
    }
}
