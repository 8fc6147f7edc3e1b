//! The task that takes out what has ended, so that a name nobody looks up does not stay in memory.

use crate::desk::Desk;
use std::{sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval};

/// Runs until dropped.
pub(crate) async fn sweep(desk: Arc<Desk>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let swept = desk.book.sweep(desk.now());
        tracing::debug!(
            expired = swept.expired,
            forgotten = swept.forgotten,
            registered = desk.book.len(),
            present = desk.live.present(),
            held = desk.book.held(),
            "swept"
        );
    }
}
