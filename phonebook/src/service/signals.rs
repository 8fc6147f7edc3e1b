//! SIGTERM and SIGINT (Ctrl-C elsewhere) stop the server in order.

use actix_rt::task::JoinHandle;
use fyteclub_phonebook::Handle;
use std::io;

/// Listens from now on, so that a signal right after this returned is not lost.
#[cfg(unix)]
pub(crate) fn stop_on_signal(stop: Handle) -> io::Result<JoinHandle<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(actix_rt::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        super::systemd::stopping();
        stop.stop();
    }))
}

#[cfg(not(unix))]
pub(crate) fn stop_on_signal(stop: Handle) -> io::Result<JoinHandle<()>> {
    Ok(actix_rt::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.stop();
        }
    }))
}
