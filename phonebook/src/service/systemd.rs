//! Notifies systemd: ready, stopping, alive. Does nothing without `NOTIFY_SOCKET`.

use actix_rt::task::JoinHandle;

/// Notifies readiness, then feeds the watchdog until the task is aborted.
#[cfg(target_os = "linux")]
pub(crate) fn ready() -> JoinHandle<()> {
    use sd_notify::NotifyState;
    tell(NotifyState::Ready);
    actix_rt::spawn(async {
        let Some(timeout) = sd_notify::watchdog_enabled() else { return };
        // Half of the timeout, as sd_watchdog_enabled(3) recommends.
        let mut ticks = actix_rt::time::interval((timeout / 2).max(std::time::Duration::from_millis(1)));
        loop {
            ticks.tick().await;
            tell(NotifyState::Watchdog);
        }
    })
}

#[cfg(target_os = "linux")]
pub(crate) fn stopping() {
    tell(sd_notify::NotifyState::Stopping);
}

#[cfg(target_os = "linux")]
fn tell(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn ready() -> JoinHandle<()> {
    actix_rt::spawn(async {})
}

#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn stopping() {}
