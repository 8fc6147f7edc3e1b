//! Peers that are being served, found by comparing counters.

use super::orders::Orders;
use fyteclub_proto::{
    fetching::speed::Speed,
    id::{PeerId, PlayerName},
    local::{Event, reply::UploadStatus},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A peer that was served nothing for this long has all it requested. A peer that reads slowly, by a limit of its own,
/// requests something every few seconds.
const OVER_AFTER: Duration = Duration::from_secs(6);

/// One peer that is being served.
struct Upload {
    /// Its counter before this upload.
    before: u64,
    now: u64,
    grew: Instant,
    speed: Speed,
}

#[derive(Default)]
pub struct UploadDesk {
    /// Each key's counter at the last call.
    seen: BTreeMap<PeerId, u64>,
    running: BTreeMap<PeerId, Upload>,
}

impl UploadDesk {
    /// Takes each key's counter since the start of its actor, and publishes uploads that run or have just ended.
    pub fn look<'a>(
        &mut self,
        now: Instant,
        served: impl Iterator<Item = (PeerId, u64)>,
        name: impl Fn(&PeerId) -> Option<&'a PlayerName>,
        orders: &mut Orders,
    ) {
        for (peer_id, bytes, rate) in self.news(now, served) {
            let player = name(&peer_id).cloned();
            orders.tell(Event::PeerUploading(UploadStatus { player, peer_id, bytes, rate }));
        }
    }

    /// Uploads that run.
    pub fn list<'a>(&self, name: impl Fn(&PeerId) -> Option<&'a PlayerName>) -> Vec<UploadStatus> {
        let shown = |(peer_id, upload): (&PeerId, &Upload)| UploadStatus {
            player: name(peer_id).cloned(),
            peer_id: *peer_id,
            bytes: upload.now.saturating_sub(upload.before),
            rate: upload.speed.rate(),
        };
        self.running.iter().map(shown).collect()
    }

    fn news(&mut self, now: Instant, served: impl Iterator<Item = (PeerId, u64)>) -> Vec<(PeerId, u64, u64)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerId = PeerId::from_bytes([1; 32]);
    const B: PeerId = PeerId::from_bytes([2; 32]);

    #[test]
    fn upload_events_end_and_the_next_starts_at_zero() {
        let (mut uploads, start) = (UploadDesk::default(), Instant::now());
        let at = |ticks: u32| start + Duration::from_millis(200) * ticks;
        assert_eq!(uploads.news(at(0), [(A, 0), (B, 0)].into_iter()), []);
        assert_eq!(uploads.news(at(1), [(A, 100), (B, 0)].into_iter()), [(A, 100, 0)]);
        assert_eq!(uploads.news(at(2), [(A, 300), (B, 0)].into_iter()), [(A, 300, 1000)]);
        for tick in 3..32 {
            assert_eq!(uploads.news(at(tick), [(A, 300)].into_iter()).len(), 1, "{tick}");
        }
        assert_eq!(uploads.news(at(32), [(A, 300)].into_iter()), [(A, 300, 0)], "it has ended");
        assert_eq!(uploads.news(at(33), [(A, 300)].into_iter()), []);
        assert_eq!(uploads.news(at(34), [(A, 350)].into_iter()), [(A, 50, 0)], "the next upload");
    }

    #[test]
    fn uploads_carry_the_contacts_name() {
        let (mut uploads, mut orders, now) = (UploadDesk::default(), Orders::default(), Instant::now());
        let player: PlayerName = "Alice Ashe@Omega".parse().expect("a name");
        let name = |key: &PeerId| (*key == A).then_some(&player);
        uploads.look(now, [(A, 100), (B, 50)].into_iter(), name, &mut orders);
        let told = std::iter::from_fn(|| orders.pop());
        let told: Vec<_> = told
            .map(|order| match order {
                super::super::orders::Order::Tell(Event::PeerUploading(told)) => (told.player, told.bytes),
                _ => panic!("another order"),
            })
            .collect();
        assert_eq!(told, [(Some(player.clone()), 100), (None, 50)]);
        assert_eq!(uploads.list(name).len(), 2);
    }
}
