//! Periodic tasks: sweeps, samples, counts.

use crate::{app_state::AppState, health::Degradation, limits, metrics};
use std::{sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval};

/// How often the published user count is updated.
const COUNT: Duration = Duration::from_secs(600);

/// Removes expired names, so that a name nobody looks up leaves memory. Runs until dropped.
pub(crate) async fn sweep(app: Arc<AppState>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (swept, is_full) = match (&app.compat, app.records.own()) {
            (Some(players), _) => (players.sweep(app.now()), players.is_full()),
            (None, Some(book)) => (book.sweep(app.now()), book.is_full()),
            // Redis expires its own keys.
            (None, None) => return,
        };
        app.health.set(Degradation::BookFull, is_full);
        tracing::debug!(
            expired = swept.expired,
            forgotten = swept.forgotten,
            registered = app.users(),
            present = app.live.present(),
            held = app.held(),
            "swept"
        );
    }
}

/// Drops whole budgets and accounts, samples rates, counts users. Runs until dropped.
pub(crate) async fn tidy(app: Arc<AppState>) {
    let mut budgets = interval(limits::SWEEP);
    let mut samples = interval(metrics::PACE);
    let mut counts = interval(COUNT);
    for ticks in [&mut budgets, &mut samples, &mut counts] {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        tokio::select! {
            _ = budgets.tick() => {
                app.limits.forget_idle();
                app.accounts.forget_whole();
            }
            _ = counts.tick() => app.count_users(),
            _ = samples.tick() => app.metrics.sample(app.now().steady),
        }
    }
}
