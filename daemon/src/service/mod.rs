//! Telling the service manager how it goes: systemd where `NOTIFY_SOCKET` is set, nobody elsewhere.

use std::time::Duration;

/// The daemon serves.
pub fn ready() {
    notify(Notice::Ready);
}

pub fn stopping() {
    notify(Notice::Stopping);
}

/// Still alive. Due at half of [`watchdog_period`].
pub fn alive() {
    notify(Notice::Alive);
}

enum Notice {
    Ready,
    Stopping,
    Alive,
}

#[cfg(target_os = "linux")]
fn notify(notice: Notice) {
    let state = match notice {
        Notice::Ready => sd_notify::NotifyState::Ready,
        Notice::Stopping => sd_notify::NotifyState::Stopping,
        Notice::Alive => sd_notify::NotifyState::Watchdog,
    };
    // Without a service manager there is nobody to tell.
    sd_notify::notify(&[state]).ok();
}

#[cfg(not(target_os = "linux"))]
fn notify(_: Notice) {}

/// How long the service manager waits for a sign of life; `None` where it does not.
#[cfg(target_os = "linux")]
pub fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

#[cfg(not(target_os = "linux"))]
pub fn watchdog_period() -> Option<Duration> {
    None
}

/// Asks for as many open files as the system lets this process have: a transfer has one per stream, a crowd many.
pub fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Refused, the old limit stays.
        setrlimit(Resource::Nofile, limit).ok();
    }
}

/// Has a limit on the size of files be an error of the write that passes it, not the end of the process: a shell's
/// `ulimit -f` sends a signal otherwise. Must run inside a Tokio runtime.
pub fn survive_limits() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // Once listened for, the signal does nothing else any more.
        signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).ok();
    }
}

/// Resolves when the system or a person asks the process to stop: SIGTERM, SIGINT or SIGHUP; Ctrl-C on Windows. A signal that
/// whoever started the process had it ignore stays ignored.
///
/// # Errors
/// Signals that cannot be listened for.
#[cfg(unix)]
pub async fn stop_requested() -> std::io::Result<()> {
    use fyteclub_logging::io::signals::is_ignored;
    use tokio::signal::unix::{SignalKind, signal};
    let mut obeyed = Vec::new();
    for (kind, name) in [
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::interrupt(), "SIGINT"),
        (SignalKind::hangup(), "SIGHUP"),
    ] {
        if is_ignored(kind.as_raw_value()) {
            tracing::info!("{name} is ignored, as whoever started this wanted it");
        } else {
            obeyed.push(signal(kind)?);
        }
    }
    std::future::poll_fn(|context| {
        match obeyed.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    Ok(())
}

/// Resolves when a person presses Ctrl-C.
///
/// # Errors
/// A console that cannot be listened to.
#[cfg(not(unix))]
pub async fn stop_requested() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
