//! The limits: read, changed while running, and given back to the configuration.

use super::{Coordinator, verbs::Answer};
use crate::io::keeper::Keeping;
use actix::{ActorFutureExt, ResponseActFuture, WrapFuture};
use fyteclub_proto::{
    fetching::pace::Change,
    local::{Fault, FaultCode, reply},
};

type Setting = ResponseActFuture<Coordinator, Answer<reply::Limits>>;

impl Coordinator {
    /// Has them hold and says so, once they are safe on the disk.
    fn limit(&self, (wished, keeping): (Change, Keeping)) -> Setting {
        Box::pin(keeping.into_actor(self).map(move |kept, coordinator, _| {
            match kept {
                Ok(()) => coordinator.limits.kept(wished),
                Err(error) => {
                    coordinator.limits.lost(wished);
                    return Err(Fault::new(FaultCode::Io, error.to_string()));
                }
            }
            coordinator.around.pacer.set(coordinator.limits.limits());
            Ok(coordinator.limits_reply())
        }))
    }

    pub(super) fn limits_reply(&self) -> reply::Limits {
        let set_here = !self.limits.set_here().is_empty();
        reply::Limits { limits: self.limits.limits(), set_here }
    }

    pub(super) fn set_limits(&mut self, change: Change) -> Setting {
        let kept = self.limits.change(change);
        self.limit(kept)
    }

    pub(super) fn reset_limits(&mut self) -> Setting {
        let kept = self.limits.reset();
        self.limit(kept)
    }
}
