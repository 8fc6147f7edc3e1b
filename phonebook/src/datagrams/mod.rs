//! Datagrams: STUN on both UDP ports, and the relay's frames on the first one. [`web_socket`] has the same frames over TCP.
//!
//! One thread of its own serves both ports, so that a flood of datagrams delays no request. An answer to an address that
//! has proven nothing is never longer than the datagram, and each network has a budget of them.

mod bind;
pub(crate) mod hub;
mod outlet;
mod ports;
mod socket;
pub(crate) mod web_socket;

pub(crate) use bind::listen;
pub(crate) use ports::Ports;

use crate::{app_state::AppState, limits::Class, relay::Source};
use fyteclub_proto::reaching::wire::{Kind, relay, stun};
use hub::{Hub, Sorted};
use socket::{Batch, Inbox, Socket};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

/// Bytes of a buffer for requests, of which the kernel may join several.
const BUFFER: usize = 4 * 1024;
/// Bytes of a buffer for a relay's frames: as many as the kernel joins.
const RELAY_BUFFER: usize = 65_535;
/// How often silent sessions are ended.
const PASS: Duration = Duration::from_secs(1);
/// After an error of a socket, which is not the sender's.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// The running thread. Dropping it stops the thread.
#[derive(Debug)]
pub(crate) struct Server {
    stop: Arc<Notify>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// # Errors
    /// A socket or the thread cannot be made.
    pub(crate) fn open(ports: Ports, app: Arc<AppState>) -> io::Result<Self> {
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let (opened, is_open) = mpsc::channel();
        let thread = thread::Builder::new().name("datagrams".to_owned()).spawn(move || {
            // `open` waits for the result.
            let served =
                tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
                    runtime.block_on(async {
                        let _serving = start(ports, &app)?;
                        opened.send(Ok(())).ok();
                        stopped.notified().await;
                        Ok::<_, io::Error>(())
                    })
                });
            if let Err(error) = served {
                opened.send(Err(error)).ok();
            }
        })?;
        let room = Self { stop, thread: Some(thread) };
        is_open.recv().map_err(io::Error::other)??;
        Ok(room)
    }
}

/// Serves each port, in tasks of the current runtime.
fn start(ports: Ports, app: &Arc<AppState>) -> io::Result<JoinSet<()>> {
    let mut serving = JoinSet::new();
    let hub = &app.live.hub;
    // The relay's port is the first.
    let mut of_first = hub.clone();
    for socket in ports.sockets {
        let socket = Arc::new(Socket::new(socket)?);
        let hub = of_first.take();
        if let Some(hub) = &hub {
            hub.serve_udp(&socket);
        }
        serving.spawn(serve(socket, Arc::clone(app), hub));
    }
    if let Some(hub) = hub {
        serving.spawn(pass(Arc::clone(hub)));
    }
    Ok(serving)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread of datagrams panicked");
        }
    }
}

/// Ends silent sessions. Runs until dropped.
async fn pass(hub: Arc<Hub>) {
    let mut ticks = interval(PASS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        hub.pass();
    }
}

/// Runs until dropped.
async fn serve(socket: Arc<Socket>, app: Arc<AppState>, hub: Option<Arc<Hub>>) {
    let mut inbox = Inbox::new(if hub.is_some() { RELAY_BUFFER } else { BUFFER });
    let mut sorted = Sorted::default();
    loop {
        match socket.receive(&mut inbox).await {
            Ok(count) => {
                for batch in inbox.batches(count) {
                    match &hub {
                        Some(hub) if batch.bytes.first() == Some(&relay::FIRST) => {
                            forward(hub, &app, batch, &mut sorted);
                        }
                        _ => answer(&socket, &app, batch),
                    }
                }
                // The other port's turn.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                tracing::debug!(%error, "datagrams cannot be received");
                sleep(ERROR_PAUSE).await;
            }
        }
    }
}

/// Frames that the kernel joined are of one sender, and nearly always of one leg.
fn forward(hub: &Hub, app: &AppState, batch: Batch<'_>, sorted: &mut Sorted) {
    let Batch { from, to, stride, bytes } = batch;
    hub.frames(Source::udp(from, to), bytes, stride, sorted, || may_answer(app, from));
}

/// Charges an answer to an address that may be forged, and so is neither told of a refusal nor logged.
fn may_answer(app: &AppState, to: SocketAddr) -> bool {
    let charged = app.limits.check_address(Class::Datagram, to.ip(), 1);
    charged.map_err(|limited| app.metrics.limited(limited)).is_ok()
}

fn answer(socket: &Socket, app: &AppState, batch: Batch<'_>) {
    let Batch { from, to, stride, bytes } = batch;
    if bytes.is_empty() {
        app.metrics.datagrams.junk.inc();
    }
    for datagram in bytes.chunks(stride) {
        if Kind::of(datagram) == Kind::Stun {
            stun(socket, app, datagram, from, to);
        } else {
            app.metrics.datagrams.junk.inc();
        }
    }
}

fn stun(socket: &Socket, app: &AppState, datagram: &[u8], from: SocketAddr, to: Option<IpAddr>) {
    let datagrams = &app.metrics.datagrams;
    let Some(answer) = app.stun.then(|| stun::answer(datagram, from)).flatten() else {
        datagrams.junk.inc();
        return;
    };
    if !may_answer(app, from) {
        return;
    }
    match socket.send(&answer, None, from, to) {
        Ok(()) => datagrams.stun.inc(),
        Err(_) => datagrams.unsent.inc(),
    };
}
