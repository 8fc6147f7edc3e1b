//! Which stories run at once.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

// Fair: a story that waits to be alone is passed by none.
static RUNNING: RwLock<()> = RwLock::const_new(());

/// A story's leave to run; dropped with all that the story started.
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
