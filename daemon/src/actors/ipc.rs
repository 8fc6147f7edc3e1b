//! One local client: its requests become messages to the coordinator, its replies and events go back over the socket.

use super::coordinator::{
    Coordinator,
    requests::{
        AskCache, AskContacts, AskFetch, AskLimits, AskNearby, AskPeers, AskStatus, AskTransfers, Cancel,
        ChangeNearby, ClientId, ClientLeft, CollectCache, ForgetContact, Invite, MoveCache, Publish,
        ResetLimits, SetLimits, Shutdown, Unpublish, VerifyCache, Wish, WishContact,
    },
};
use crate::{
    actors::coordinator::requests,
    event::Bus,
    io::ipc::{LocalReader, LocalWriter, Outbox, ReadError},
    places::Entry,
};
use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, MailboxError, Message,
    StreamHandler, WrapFuture,
};
use futures::stream;
use fyteclub_proto::{
    id::PeerId,
    limit::LOCAL_HELLO_TIME,
    local::{
        Call, Fault, FaultCode, Notice, Reply, Request,
        reply::{Empty, Hello, Peers},
        request::Hello as Greeting,
    },
    version::LOCAL_VERSIONS,
};
use serde::Serialize;
use std::{cell::Cell, future::Future, path::PathBuf, rc::Rc, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Frames that may wait for a client to read, within `LOCAL_UNREAD_MAX` bytes; then it waits itself.
const WAITING_MAX: usize = 256;
/// How long what was said last may take to be written, once the client is dismissed or left.
const LINGER: Duration = Duration::from_secs(5);
/// Requests of one client that are served at once. What it sends beyond that is read when one is answered.
const SERVED_MAX: usize = 64;
/// Requests of one client that wait for the network or a disk: they keep no other from being read, and there may be one
/// for everybody who is near. One more is refused.
const LONG_MAX: usize = 256;

/// A frame of the client, with its place among those that are served, or how its socket ended.
pub enum Heard {
    Frame(Vec<u8>, OwnedSemaphorePermit),
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
    /// Whether it said who is near.
    claims: bool,
    /// The place of the request that is being handled, until its reply has it.
    serving: Option<OwnedSemaphorePermit>,
    long: Arc<Semaphore>,
    /// This client's place among those that are served at once. Held until the socket is closed.
    entry: Arc<Entry>,
    /// Tells the writer that nothing more will be said.
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
        entry: Entry,
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
            claims: false,
            serving: None,
            long: Arc::new(Semaphore::new(LONG_MAX)),
            entry: Arc::new(entry),
            here: None,
        }
    }

    /// Sends a reply when its future ends; the order of replies is the order in which they are ready.
    fn reply<T, F>(&mut self, id: u64, result: F, ctx: &mut Context<Self>)
    where
        T: Serialize,
        F: Future<Output = Result<T, Fault>> + 'static,
    {
        let Some(outbox) = self.outbox.clone() else { return };
        let serving = self.serving.take();
        ctx.spawn(
            async move {
                let _serving = serving;
                let reply = match result.await {
                    Ok(result) => Reply::success(id, &result).unwrap_or_else(|error| {
                        Reply::failure(id, Fault::new(FaultCode::Internal, error.to_string()))
                    }),
                    Err(fault) => Reply::failure(id, fault),
                };
                say(&outbox, reply).await;
            }
            .into_actor(self),
        );
    }

    /// Tells the client why its connection ends, and ends it. 0 because there is no request to answer.
    fn dismiss(&self, fault: Fault, ctx: &mut Context<Self>) {
        if let Some(outbox) = self.outbox.clone() {
            // Outlives the actor.
            actix::spawn(async move { say(&outbox, Reply::failure(0, fault)).await });
        }
        ctx.stop();
    }

    /// Whether client and daemon understand each other, and there is a place.
    fn greet(&self, hello: &Greeting) -> Result<Hello, Fault> {
        let common = LOCAL_VERSIONS.iter().copied().find(|version| hello.versions.contains(version));
        let protocol = common.ok_or_else(|| {
            let newer = hello.versions.iter().max() > LOCAL_VERSIONS.iter().max();
            let who = if newer { "the daemon" } else { "the client" };
            Fault::new(
                FaultCode::Version,
                format!(
                    "daemon and client have no version in common (the daemon speaks {LOCAL_VERSIONS:?}): upgrade {who}"
                ),
            )
        })?;
        self.entry.greet(&hello.client).map_err(|full| Fault::new(FaultCode::Busy, full.to_string()))?;
        Ok(Hello { version: env!("CARGO_PKG_VERSION").into(), protocol, peer_id: self.peer_id })
    }

    /// Asks the coordinator and sends what it answers.
    fn ask<M, T>(&mut self, id: u64, message: M, ctx: &mut Context<Self>)
    where
        M: Message<Result = Result<T, Fault>> + Send + 'static,
        T: Serialize + Send + 'static,
        Coordinator: Handler<M>,
    {
        let asked = self.coordinator.send(message);
        self.reply(id, async move { asked.await.unwrap_or_else(|error| Err(gone(error))) }, ctx);
    }

    /// As [`Self::ask`], for what takes long and is broken off when this client leaves.
    fn ask_while<M, T>(
        &mut self,
        id: u64,
        message: impl FnOnce(CancellationToken) -> M,
        ctx: &mut Context<Self>,
    ) where
        M: Message<Result = Result<T, Fault>> + Send + 'static,
        T: Serialize + Send + 'static,
        Coordinator: Handler<M>,
    {
        let Ok(long) = self.long.clone().try_acquire_owned() else {
            let says = format!("{LONG_MAX} requests of this client wait already: wait for one of them");
            return self.reply(id, async move { Err::<Empty, _>(Fault::new(FaultCode::Busy, says)) }, ctx);
        };
        self.serving = Some(long);
        let left = CancellationToken::new();
        let asked = self.coordinator.send(message(left.clone()));
        let here = left.drop_guard();
        self.reply(
            id,
            async move {
                let _here = here;
                asked.await.unwrap_or_else(|error| Err(gone(error)))
            },
            ctx,
        );
    }

    fn request(&mut self, id: u64, request: Request, ctx: &mut Context<Self>) {
        match request {
            Request::Hello(hello) => {
                let greeting = self.greet(&hello);
                self.greeted.set(greeting.is_ok());
                self.reply(id, async move { greeting }, ctx);
            }
            _ if !self.greeted.get() => {
                let fault = Fault::new(FaultCode::HelloFirst, "say `hello` first");
                self.reply(id, async { Err::<Empty, _>(fault) }, ctx);
            }
            Request::Status => self.ask(id, AskStatus, ctx),
            Request::PublishMod(publish) => {
                self.ask(id, Publish(requests::What::from(publish)), ctx);
            }
            Request::Publish(publish) => self.ask(id, Publish(requests::What::Plugin(publish)), ctx),
            Request::Unpublish => self.ask(id, Unpublish, ctx),
            Request::Fetch(fetch) => {
                let (player, out) = (fetch.player, fetch.out.map(PathBuf::from));
                self.ask_while(id, |left| AskFetch { player, out, left }, ctx);
            }
            Request::Cancel(cancel) => self.ask(id, Cancel(cancel.player), ctx),
            Request::SetNearby(change) => {
                self.claims = true;
                self.ask(id, ChangeNearby { client: self.id, change }, ctx);
            }
            Request::Nearby => self.ask(id, AskNearby, ctx),
            Request::Transfers => self.ask(id, AskTransfers, ctx),
            Request::Limits => self.ask(id, AskLimits, ctx),
            Request::SetLimits(change) => self.ask(id, SetLimits(change), ctx),
            Request::ResetLimits => self.ask(id, ResetLimits, ctx),
            Request::Peers => {
                let asked = self.coordinator.send(AskPeers);
                self.reply(id, async move { asked.await.map(|peers| Peers { peers }).map_err(gone) }, ctx);
            }
            Request::Trust(trust) => {
                self.ask(id, ForgetContact(Wish::Trust(trust.player, trust.peer_id)), ctx);
            }
            Request::Contacts => self.ask(id, AskContacts, ctx),
            Request::AddContact(add) => self.ask(id, WishContact(Wish::Add(add)), ctx),
            Request::AcceptContact(who) => self.ask(id, WishContact(Wish::Accept(who)), ctx),
            Request::RemoveContact(who) => self.ask(id, ForgetContact(Wish::Remove(who)), ctx),
            Request::BlockContact(who) => self.ask(id, WishContact(Wish::Block(who)), ctx),
            Request::UnblockContact(who) => self.ask(id, ForgetContact(Wish::Unblock(who)), ctx),
            Request::Invite => self.ask(id, Invite, ctx),
            Request::Join(join) => self.ask(id, WishContact(Wish::Join(join)), ctx),
            Request::CacheStats => self.ask(id, AskCache, ctx),
            Request::CacheVerify => self.ask_while(id, VerifyCache, ctx),
            Request::CacheGc(gc) => self.ask(id, CollectCache(gc), ctx),
            Request::CacheMove(to) => {
                self.ask_while(id, |left| MoveCache { dir: PathBuf::from(to.dir), left }, ctx);
            }
            Request::Watch => {
                self.reply(id, async { Ok(Empty {}) }, ctx);
                self.watch(ctx);
            }
            Request::Shutdown => {
                self.reply(id, async { Ok(Empty {}) }, ctx);
                self.coordinator.do_send(Shutdown);
            }
            other => {
                let fault = Fault::new(FaultCode::Unsupported, format!("`{}` is not served", other.op()));
                self.reply(id, async { Err::<Empty, _>(fault) }, ctx);
            }
        }
    }

    /// The whole state, and on the first time every event from now on.
    fn watch(&mut self, ctx: &mut Context<Self>) {
        let Some(outbox) = self.outbox.clone() else { return };
        let first = !std::mem::replace(&mut self.watching, true);
        let (mut events, coordinator) = (self.bus.listen(), self.coordinator.clone());
        ctx.spawn(
            async move {
                let (mut lost, mut shown) = (true, 0);
                loop {
                    if std::mem::take(&mut lost) {
                        let Ok(Ok(status)) = coordinator.send(AskStatus).await else { return };
                        shown = status.seq;
                        if outbox.send(&Notice::Event(status.into())).await.is_err() {
                            return;
                        }
                    }
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
        self.here = Some(gone.clone().drop_guard());
        // Outlives the actor, so that what was said last is still written.
        actix::spawn(async move {
            let _entry = entry;
            let written = async { while let Ok(true) = writer.write(&mut outgoing).await {} };
            let lingered = async {
                gone.cancelled().await;
                tokio::time::sleep(LINGER).await;
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
            // A greeting is judged before the next frame is asked for.
            match reader.next(greeted.get()).await {
                Ok(Some(body)) => Some((Heard::Frame(body, place), Some((reader, places, greeted)))),
                Ok(None) => None,
                Err(error) => Some((Heard::Broken(error), None)),
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
        let displaced = self.entry.displaced();
        ctx.spawn(async move { displaced.cancelled().await }.into_actor(self).map(|(), client, ctx| {
            let why = "there are too many local clients, and this one said nothing: the connection is closed";
            client.dismiss(Fault::new(FaultCode::Busy, why), ctx);
        }));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if self.claims {
            self.coordinator.do_send(ClientLeft(self.id));
        }
    }
}

/// Says a reply. One that is too long for a frame becomes the fault that says so; a client that left does not want it.
async fn say(outbox: &Outbox, reply: Reply) {
    let id = reply.id;
    if outbox.send(&Notice::Reply(reply)).await == Ok(false) {
        let fault = Fault::new(FaultCode::TooLarge, "the answer is too long for the local socket");
        outbox.send(&Notice::Reply(Reply::failure(id, fault))).await.ok();
    }
}

impl StreamHandler<Heard> for IpcClient {
    fn handle(&mut self, heard: Heard, ctx: &mut Self::Context) {
        let body = match heard {
            Heard::Frame(body, place) => {
                self.serving = Some(place);
                body
            }
            Heard::Broken(error) => {
                let fault = Fault::new(FaultCode::BadRequest, format!("{error}: the connection is closed"));
                return self.dismiss(fault, ctx);
            }
        };
        match serde_json::from_slice::<Call>(&body) {
            Ok(call) => {
                let id = call.id;
                match Request::from_call(call) {
                    Ok(request) => self.request(id, request, ctx),
                    Err(fault) => self.reply(id, async { Err::<Empty, _>(fault) }, ctx),
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
