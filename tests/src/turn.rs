//! Decides which stories run at once.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

// Fair: no story overtakes one that waits to be alone.
static RUNNING: RwLock<()> = RwLock::const_new(());

/// A story's permission to run; dropped with everything that the story started.
pub(crate) enum Turn {
    #[expect(dead_code, reason = "held, not read")]
    Shared(RwLockReadGuard<'static, ()>),
    #[expect(dead_code, reason = "held, not read")]
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Turn {
    pub(crate) async fn shared() -> Self {
        Self::Shared(RUNNING.read().await)
    }

    pub(crate) async fn alone() -> Self {
        Self::Alone(RUNNING.write().await)
    }
}
