//! The scheduler at work: what it says becomes fetches that begin or are put off, and players who are looked for. The rules
//! are [`fyteclub_proto::fetching::scheduler`]'s.

use super::Coordinator;
use crate::actors::peer;
use fyteclub_proto::{
    fetching::scheduler::{End, Input, Output, Reason},
    id::{PeerId, PlayerName},
    local::reply::WaitingStatus,
};
use std::time::Instant;

impl Coordinator {
    pub(super) fn scheduler(&mut self, input: Input) {
        self.scheduler.handle(Instant::now(), input);
        while let Some(output) = self.scheduler.poll() {
            match output {
                Output::Reach(peer) => {
                    if let Some(known) = self.peer(peer) {
                        known.actor.do_send(peer::Want);
                    }
                }
                Output::Begin(peer) => match self.contacts.machine.name_of(&peer).cloned() {
                    Some(player) => {
                        let spare = self.scheduler.reason(&peer) == Reason::Prefetch;
                        self.begin(player, peer, spare);
                    }
                    None => self.scheduler(Input::Ended { peer, end: End::Failed }),
                },
                Output::Stop(peer) => self.put_off(peer),
            }
        }
    }

    pub(super) fn tick_scheduler(&mut self, now: Instant) {
        self.expire_nearby(now);
        if self.scheduler.deadline().is_some_and(|(at, _)| at <= now) {
            self.scheduler(Input::Time);
        }
    }

    /// Who waits for a turn, first who is next.
    pub(super) fn line(&self) -> Vec<WaitingStatus> {
        let waiting = |peer_id: PeerId| {
            Some(WaitingStatus {
                player: self.contacts.machine.name_of(&peer_id).cloned()?,
                peer_id,
                reason: self.scheduler.reason(&peer_id),
                distance: self.scheduler.distance(&peer_id),
            })
        };
        self.scheduler.line().into_iter().filter_map(waiting).collect()
    }

    /// Somebody in line is not to be fetched as they look now; whether they were in line.
    pub(super) fn decline(&mut self, player: &PlayerName) -> bool {
        let waiting = self.key_of(player).ok().filter(|peer| self.scheduler.line().contains(peer));
        if let Some(peer) = waiting {
            self.scheduler(Input::Ended { peer, end: End::Declined });
        }
        waiting.is_some()
    }
}
