//! SIGTERM and SIGINT (Ctrl-C elsewhere) stop the server, unless they were ignored at the start. SIGHUP reloads the
//! certificate.

use actix_rt::task::JoinHandle;
#[cfg(unix)]
use fyteclub_logging::io::signals::is_ignored;
use fyteclub_phonebook::Handle;
use std::io;

/// Registers the handlers before it returns, so that no signal is lost.
#[cfg(unix)]
pub(crate) fn obey(handle: Handle) -> io::Result<JoinHandle<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let obeyed =
        |kind: SignalKind| if is_ignored(kind.as_raw_value()) { Ok(None) } else { signal(kind).map(Some) };
    let (mut terminate, mut interrupt) = (obeyed(SignalKind::terminate())?, obeyed(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(actix_rt::spawn(async move {
        loop {
            tokio::select! {
                () = came(&mut terminate) => break,
                () = came(&mut interrupt) => break,
                _ = hangup.recv() => handle.reload(),
            }
        }
        super::systemd::stopping();
        handle.stop();
    }))
}

/// Never completes for an ignored signal.
#[cfg(unix)]
async fn came(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

#[cfg(not(unix))]
pub(crate) fn obey(handle: Handle) -> io::Result<JoinHandle<()>> {
    Ok(actix_rt::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.stop();
        }
    }))
}
