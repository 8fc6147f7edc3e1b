//! SIGTERM and SIGINT (Ctrl-C elsewhere) stop the server in order; SIGHUP has the certificate read again.

use actix_rt::task::JoinHandle;
use fyteclub_phonebook::Handle;
use std::io;

/// Listens from now on, so that a signal right after this returned is not lost.
#[cfg(unix)]
pub(crate) fn obey(handle: Handle) -> io::Result<JoinHandle<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(actix_rt::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => handle.reload(),
            }
        }
        super::systemd::stopping();
        handle.stop();
    }))
}

#[cfg(not(unix))]
pub(crate) fn obey(handle: Handle) -> io::Result<JoinHandle<()>> {
    Ok(actix_rt::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.stop();
        }
    }))
}
