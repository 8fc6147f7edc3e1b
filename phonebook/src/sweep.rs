//! The task that takes out what has ended, so that a name nobody looks up does not stay in memory.

use crate::{condition::Trouble, desk::Desk, limits, metrics};
use std::{sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval};

/// How often the number of users is counted that anybody is told.
const COUNT: Duration = Duration::from_secs(600);

/// Runs until dropped.
pub(crate) async fn sweep(desk: Arc<Desk>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (swept, is_full) = match (&desk.compat, desk.records.own()) {
            (Some(players), _) => (players.sweep(desk.now()), players.is_full()),
            (None, Some(book)) => (book.sweep(desk.now()), book.is_full()),
            // What is in Redis goes by itself.
            (None, None) => return,
        };
        desk.condition.set(Trouble::BookFull, is_full);
        tracing::debug!(
            expired = swept.expired,
            forgotten = swept.forgotten,
            registered = desk.users(),
            present = desk.live.present(),
            held = desk.held(),
            "swept"
        );
    }
}

/// What happens at other times: whole budgets are forgotten, the counters' rates sampled, users counted. Runs until dropped.
pub(crate) async fn tidy(desk: Arc<Desk>) {
    let mut budgets = interval(limits::SWEEP);
    let mut samples = interval(metrics::PACE);
    let mut counts = interval(COUNT);
    for ticks in [&mut budgets, &mut samples, &mut counts] {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        tokio::select! {
            _ = budgets.tick() => {
                desk.limits.forget_idle();
                desk.accounts.forget_whole();
            }
            _ = counts.tick() => desk.count_users(),
            _ = samples.tick() => desk.metrics.sample(desk.now().steady),
        }
    }
}
