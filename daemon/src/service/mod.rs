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

/// Resolves when the system or a person asks the process to stop: SIGTERM, SIGINT or SIGHUP; Ctrl-C on Windows.
///
/// # Errors
/// Signals that cannot be listened for.
#[cfg(unix)]
pub async fn stop_requested() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
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
