//! The limits: read, changed while running, and given back to the configuration.

use super::{Coordinator, requests::Answer};
use crate::io::keeper::Keeping;
use actix::{ActorFutureExt, Context, Handler, Message, ResponseActFuture, WrapFuture};
use fyteclub_proto::{
    fetching::pace::Change,
    local::{Fault, FaultCode, reply},
};

#[derive(Message)]
#[rtype(result = "Answer<reply::Limits>")]
pub struct AskLimits;

#[derive(Message)]
#[rtype(result = "Answer<reply::Limits>")]
pub struct SetLimits(pub Change);

#[derive(Message)]
#[rtype(result = "Answer<reply::Limits>")]
pub struct ResetLimits;

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
            let limits = coordinator.limits.limits();
            coordinator.around.pacer.set(limits);
            Ok(reply::Limits { limits, set_here: !coordinator.limits.set_here().is_empty() })
        }))
    }
}

impl Handler<AskLimits> for Coordinator {
    type Result = Answer<reply::Limits>;

    fn handle(&mut self, _: AskLimits, _: &mut Context<Self>) -> Self::Result {
        let set_here = !self.limits.set_here().is_empty();
        Ok(reply::Limits { limits: self.limits.limits(), set_here })
    }
}

impl Handler<SetLimits> for Coordinator {
    type Result = Setting;

    fn handle(&mut self, set: SetLimits, _: &mut Context<Self>) -> Self::Result {
        let kept = self.limits.change(set.0);
        self.limit(kept)
    }
}

impl Handler<ResetLimits> for Coordinator {
    type Result = Setting;

    fn handle(&mut self, _: ResetLimits, _: &mut Context<Self>) -> Self::Result {
        let kept = self.limits.reset();
        self.limit(kept)
    }
}
