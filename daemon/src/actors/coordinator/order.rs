//! The agenda at work: what it says becomes fetches that begin or are put off, and players who are looked for. The rules
//! are [`fyteclub_proto::agenda`]'s.

use super::Coordinator;
use crate::actors::peer;
use fyteclub_proto::{
    agenda::{End, Input, Output, Reason},
    id::{PeerId, PlayerName},
    local::reply::WaitingStatus,
};
use std::time::Instant;

impl Coordinator {
    pub(super) fn agenda(&mut self, input: Input) {
        self.agenda.handle(Instant::now(), input);
        while let Some(output) = self.agenda.poll() {
            match output {
                Output::Reach(peer) => {
                    if let Some(known) = self.peer(peer) {
                        known.actor.do_send(peer::Want);
                    }
                }
                Output::Begin(peer) => match self.contacts.name_of(&peer).cloned() {
                    Some(player) => {
                        let spare = self.agenda.reason(&peer) == Reason::Prefetch;
                        self.begin(player, peer, spare);
                    }
                    None => self.agenda(Input::Ended { peer, end: End::Failed }),
                },
                Output::Stop(peer) => self.put_off(peer),
            }
        }
    }

    pub(super) fn tick_agenda(&mut self, now: Instant) {
        self.expire_nearby(now);
        if self.agenda.deadline().is_some_and(|(at, _)| at <= now) {
            self.agenda(Input::Time);
        }
    }

    /// Who waits for a turn, first who is next.
    pub(super) fn line(&self) -> Vec<WaitingStatus> {
        let waiting = |peer_id: PeerId| {
            Some(WaitingStatus {
                player: self.contacts.name_of(&peer_id).cloned()?,
                peer_id,
                reason: self.agenda.reason(&peer_id),
                distance: self.agenda.distance(&peer_id),
            })
        };
        self.agenda.line().into_iter().filter_map(waiting).collect()
    }

    /// Somebody in line is not to be fetched as they look now; whether they were in line.
    pub(super) fn decline(&mut self, player: &PlayerName) -> bool {
        let waiting = self.key_of(player).ok().filter(|peer| self.agenda.line().contains(peer));
        if let Some(peer) = waiting {
            self.agenda(Input::Ended { peer, end: End::Declined });
        }
        waiting.is_some()
    }
}
