//! The deadlines of requests and sources, and what follows.

use super::{
    QUICK_STALLS_MAX, REST, Request, STALL, STALLS_MAX, Transfer,
    words::{Failure, RequestId, Why},
};
use crate::id::PeerId;
use std::time::Instant;

impl Transfer {
    pub(super) fn time(&mut self, now: Instant) {
        let silent: Vec<(RequestId, PeerId)> = (self.requests.iter())
            .filter(|(_, request)| now >= request.ends_by())
            .map(|(id, request)| (*id, request.source))
            .collect();
        for (request, peer) in silent {
            self.take_back(request);
            self.lost = Failure::Silent;
            let Some(source) = self.sources.get_mut(&peer) else { continue };
            source.stalls += 1;
            if source.stalls >= STALLS_MAX {
                self.lose(peer, Failure::Silent);
            }
        }
        self.stall(now, None);
        for source in self.sources.values_mut() {
            source.resting = source.resting.filter(|until| now < *until);
            source.growing = source.growing.filter(|until| now < *until);
        }
        self.changed = true;
    }

    /// Takes back stalled requests, and all of a silent source, as far as another source could serve them.
    pub(super) fn stall(&mut self, now: Instant, silent: Option<PeerId>) {
        let is_silent = |peer: PeerId| silent == Some(peer);
        let stalled: Vec<(RequestId, PeerId)> = (self.requests.iter())
            .filter(|(_, request)| now >= request.heard + STALL || is_silent(request.source))
            .filter(|(_, request)| self.has_other(request))
            .map(|(id, request)| (*id, request.source))
            .collect();
        for (request, peer) in stalled {
            self.take_back(request);
            let Some(source) = self.sources.get_mut(&peer) else { continue };
            let mute = now >= source.heard + STALL || is_silent(peer);
            if !mute {
                source.resting = source.resting.max(Some(now + REST));
            } else if source.resting.is_none_or(|until| until <= now) {
                // All its requests stall together, and count once.
                source.stalls += 1;
                source.resting = Some(now + STALL * (1 << source.stalls.min(3)) / 2);
                if source.stalls >= QUICK_STALLS_MAX {
                    self.lose(peer, Failure::Silent);
                }
            }
        }
    }

    /// Whether another source could serve, now, what a request waits for.
    fn has_other(&self, request: &Request) -> bool {
        let Some(owed) = request.owed.iter().find(|owed| !owed.is_empty()) else { return false };
        self.sources.iter().any(|(peer, source)| {
            *peer != request.source
                && source.resting.is_none()
                && source.stalls == 0
                && self.queue.serves(owed.blob, *peer, &source.holding)
        })
    }

    pub fn deadline(&self) -> Option<(Instant, Why)> {
        if self.over {
            return None;
        }
        let silent = self.requests.values().map(|request| (request.ends_by(), Why::RequestSilent));
        let stalled = (self.requests.values())
            .filter(|request| self.has_other(request))
            .map(|request| (request.heard + STALL, Why::RequestStalled));
        let rested = self.sources.values().filter_map(|source| Some((source.resting?, Why::SourceRested)));
        let growing = self.sources.values().filter_map(|source| Some((source.growing?, Why::SourceGrowing)));
        let check = self.check.filter(|_| !self.requests.is_empty()).map(|at| (at, Why::Endgame));
        silent.chain(stalled).chain(rested).chain(growing).chain(check).min_by_key(|(at, _)| *at)
    }
}
