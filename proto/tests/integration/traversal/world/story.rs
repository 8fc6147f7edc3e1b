//! What a test makes happen in the world, and what it asks of it.

use super::{Signal, World};
use fyteclub_proto::reaching::{
    stun_client,
    traversal::{Input, Status},
};
use std::time::Duration;

impl World {
    pub fn status(&self, at: usize) -> Status {
        self.peers[at].traversal.as_ref().map_or(Status::Searching, |traversal| traversal.status())
    }

    /// A machine notices that its addresses changed.
    pub fn moved(&mut self, at: usize) {
        let addrs = self.peers[at].addrs.clone();
        self.stun(at, stun_client::Input::Local(addrs));
        self.stun(at, stun_client::Input::Moved);
        let reachable = self.peers[at].reachable();
        self.give(at, Input::Reachable(reachable));
        self.give(at, Input::Moved);
    }

    pub fn is_direct(&self, at: usize) -> bool {
        self.peers[at].chosen.is_some_and(|chosen| chosen.path.is_direct())
    }

    pub fn both_direct(&self) -> bool {
        self.is_direct(0) && self.is_direct(1)
    }

    pub fn both_have_paths(&self) -> bool {
        self.peers.iter().all(|peer| peer.chosen.is_some())
    }

    /// Starts packets of QUIC in both directions, as in a transfer.
    pub fn begin_flow(&mut self, pause: Duration) {
        (self.flow, self.flow_next) = (Some(pause), self.now());
        (0..2).for_each(|at| self.give(at, Input::Busy(true)));
    }

    pub fn end_flow(&mut self) {
        self.flow = None;
        (0..2).for_each(|at| self.give(at, Input::Busy(false)));
    }

    /// The relay restarts.
    pub fn restart_relay(&mut self) {
        self.book.forget();
        for at in 0..2 {
            if let Some(leg) = self.peers[at].tcp {
                self.signal_to(at, Signal::TcpOpened(leg, false));
            }
        }
    }

    /// Whether packets of QUIC arrive at both ends now, over the paths in use.
    pub fn delivers(&mut self) -> bool {
        let before = [0, 1].map(|at| self.peers[at].received);
        for _ in 0..10 {
            (0..2).for_each(|at| self.send_quic(at));
            self.run(Duration::from_millis(50));
        }
        self.run(Duration::from_secs(1));
        (0..2).all(|at| self.peers[at].received > before[at])
    }
}
