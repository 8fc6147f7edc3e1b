//! Datagrams: STUN on both UDP ports.
//!
//! One thread of its own serves them, so that a flood of datagrams delays no request. An answer to an address that has
//! proven nothing is never longer than the datagram, and each network has a budget of them.

mod bind;
mod socket;

pub(crate) use bind::{Ports, listen};

use crate::{app_state::AppState, limits::Class};
use fyteclub_proto::reaching::wire::{Kind, stun};
use socket::{Batch, Inbox, Socket};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{sync::Notify, task::JoinSet, time::sleep};

/// Bytes of a buffer: several requests that the kernel joined.
const BUFFER: usize = 4 * 1024;
/// After an error of a socket, which is not the sender's.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// The running thread. Dropping it stops the thread.
#[derive(Debug)]
pub(crate) struct Room {
    stop: Arc<Notify>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Room {
    /// # Errors
    /// A socket or the thread cannot be made.
    pub(crate) fn open(ports: Ports, app: Arc<AppState>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let sockets: Vec<Socket> = ports.sockets.into_iter().map(Socket::new).collect::<io::Result<_>>()?;
        drop(entered);
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("datagrams".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let mut serving = JoinSet::new();
                for socket in sockets {
                    serving.spawn(serve(socket, Arc::clone(&app)));
                }
                stopped.notified().await;
            });
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread of datagrams panicked");
        }
    }
}

/// Runs until dropped.
async fn serve(socket: Socket, app: Arc<AppState>) {
    let mut inbox = Inbox::new(BUFFER);
    loop {
        match socket.receive(&mut inbox).await {
            Ok(count) => {
                for batch in inbox.batches(count) {
                    answer(&socket, &app, batch);
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
    let Some(answer) = stun::answer(datagram, from) else {
        datagrams.junk.inc();
        return;
    };
    // The source may be forged, so it is neither told nor logged.
    if let Err(limited) = app.limits.check_address(Class::Datagram, from.ip(), 1) {
        app.metrics.limited(limited);
        return;
    }
    match socket.send(&answer, None, from, to) {
        Ok(()) => datagrams.stun.inc(),
        Err(_) => datagrams.unsent.inc(),
    };
}
