//! Who is being served.

use super::Coordinator;
use fyteclub_proto::{
    fetching::speed::Speed,
    id::PeerId,
    local::{Event, reply::UploadStatus},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A peer that was served nothing for so long has what it came for. One that reads slowly, by a limit of its own, comes every few
/// seconds.
const OVER_AFTER: Duration = Duration::from_secs(6);

/// One peer that is being served.
struct Upload {
    /// What it had been served before.
    before: u64,
    now: u64,
    grew: Instant,
    speed: Speed,
}

/// Who is being served: found by looking at counters.
#[derive(Default)]
pub struct Uploads {
    /// What each key had been served at the last look.
    seen: BTreeMap<PeerId, u64>,
    running: BTreeMap<PeerId, Upload>,
}

impl Uploads {
    /// One look at what each key was served since the start of the daemon. Returns those of whom there is news: who is
    /// served, and who was until now.
    fn look(&mut self, now: Instant, served: impl Iterator<Item = (PeerId, u64)>) -> Vec<(PeerId, u64, u64)> {
        let mut told = Vec::new();
        for (peer, bytes) in served {
            let before = self.seen.insert(peer, bytes).unwrap_or(0);
            if bytes != before {
                let upload = self.running.entry(peer).or_insert_with(|| Upload {
                    before: before.min(bytes),
                    now: before,
                    grew: now,
                    speed: Speed::default(),
                });
                (upload.now, upload.grew) = (bytes, now);
            }
        }
        self.running.retain(|peer, upload| {
            upload.speed.look(now, upload.now);
            let over = now >= upload.grew + OVER_AFTER;
            let rate = if over { 0 } else { upload.speed.rate() };
            told.push((*peer, upload.now.saturating_sub(upload.before), rate));
            !over
        });
        told
    }
}

impl Coordinator {
    /// Tells who is being served; called at every tick.
    pub(super) fn tell_uploads(&mut self) {
        let served = self.peers.iter().map(|(peer, known)| (*peer, known.served.bytes()));
        for (peer_id, bytes, rate) in self.uploads.look(Instant::now(), served) {
            let player = self.contacts.machine.name_of(&peer_id).cloned();
            self.bus.publish(Event::PeerUploading(UploadStatus { player, peer_id, bytes, rate }));
        }
    }

    pub(super) fn upload_list(&self) -> Vec<UploadStatus> {
        let uploads = self.uploads.running.iter().map(|(peer_id, upload)| UploadStatus {
            player: self.contacts.machine.name_of(peer_id).cloned(),
            peer_id: *peer_id,
            bytes: upload.now.saturating_sub(upload.before),
            rate: upload.speed.rate(),
        });
        uploads.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerId = PeerId::from_bytes([1; 32]);
    const B: PeerId = PeerId::from_bytes([2; 32]);

    #[test]
    fn who_is_served_is_told_until_it_is_over_and_from_nothing_the_next_time() {
        let (mut uploads, start) = (Uploads::default(), Instant::now());
        let at = |ticks: u32| start + Duration::from_millis(200) * ticks;
        assert_eq!(uploads.look(at(0), [(A, 0), (B, 0)].into_iter()), []);
        assert_eq!(uploads.look(at(1), [(A, 100), (B, 0)].into_iter()), [(A, 100, 0)]);
        assert_eq!(uploads.look(at(2), [(A, 300), (B, 0)].into_iter()), [(A, 300, 1000)]);
        for tick in 3..32 {
            assert_eq!(uploads.look(at(tick), [(A, 300)].into_iter()).len(), 1, "{tick}");
        }
        assert_eq!(uploads.look(at(32), [(A, 300)].into_iter()), [(A, 300, 0)], "it is over");
        assert_eq!(uploads.look(at(33), [(A, 300)].into_iter()), []);
        assert_eq!(uploads.look(at(34), [(A, 350)].into_iter()), [(A, 50, 0)], "the next one");
    }
}
