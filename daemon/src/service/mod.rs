//! Reports to the service manager: systemd where `NOTIFY_SOCKET` is set, otherwise none.

use std::time::Duration;

/// The daemon serves.
pub fn ready() {
    notify(Notice::Ready);
}

pub fn stopping() {
    notify(Notice::Stopping);
}

/// The daemon is alive. Due at half of [`watchdog_period`].
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
    // Without a service manager nobody receives it.
    sd_notify::notify(&[state]).ok();
}

#[cfg(not(target_os = "linux"))]
fn notify(_: Notice) {}

/// How long the service manager waits for [`alive`]; `None` if it does not.
#[cfg(target_os = "linux")]
pub fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

#[cfg(not(target_os = "linux"))]
pub fn watchdog_period() -> Option<Duration> {
    None
}

/// Raises the limit of open files as far as the system allows: each stream of a transfer needs one.
pub fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // If it is refused, the old limit stays.
        setrlimit(Resource::Nofile, limit).ok();
    }
}

/// Makes a write beyond the limit of file sizes fail instead of ending the process by a signal, as with a shell's
/// `ulimit -f`. Must run inside a Tokio runtime.
pub fn survive_limits() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // A signal with a handler has no other effect.
        signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).ok();
    }
}

/// Resolves when the system or a person asks the process to stop: SIGTERM, SIGINT or SIGHUP; Ctrl-C on Windows. A
/// signal that the parent process set to be ignored stays ignored.
///
/// # Errors
/// The signals cannot be handled.
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
            tracing::info!("{name} is ignored, as the parent process set it");
        } else {
            obeyed.push(signal(kind)?);
        }
    }
    std::future::poll_fn(|context| {
        if obeyed.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    Ok(())
}

/// Resolves when a person presses Ctrl-C.
///
/// # Errors
/// The console cannot be handled.
#[cfg(not(unix))]
pub async fn stop_requested() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
