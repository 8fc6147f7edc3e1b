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
    /// Takes each key's counter since the start of its actor, and publishes uploads that run or have just ended. `name`
    /// is `None` for a key that is not served: it has no upload.
    pub fn look<'a>(
        &mut self,
        now: Instant,
        served: impl Iterator<Item = (PeerId, u64)>,
        name: impl Fn(&PeerId) -> Option<&'a PlayerName>,
        orders: &mut Orders,
    ) {
        for (peer_id, bytes, rate) in self.news(now, served, |key| name(key).is_some()) {
            let player = name(&peer_id).cloned();
            orders.tell(Event::PeerUploading(UploadStatus { player, peer_id, bytes, rate }));
        }
    }

    /// The peer is served no more: its upload ends with one last event.
    pub fn end(&mut self, peer_id: PeerId, player: Option<&PlayerName>, orders: &mut Orders) {
        if let Some(upload) = self.running.remove(&peer_id) {
            let (player, bytes) = (player.cloned(), upload.now.saturating_sub(upload.before));
            orders.tell(Event::PeerUploading(UploadStatus { player, peer_id, bytes, rate: 0 }));
        }
    }

    /// Uploads that run. `name` as in [`Self::look`].
    pub fn list<'a>(&self, name: impl Fn(&PeerId) -> Option<&'a PlayerName>) -> Vec<UploadStatus> {
        let shown = |(peer_id, upload): (&PeerId, &Upload)| {
            Some(UploadStatus {
                player: Some(name(peer_id)?.clone()),
                peer_id: *peer_id,
                bytes: upload.now.saturating_sub(upload.before),
                rate: upload.speed.rate(),
            })
        };
        self.running.iter().filter_map(shown).collect()
    }

    fn news(
        &mut self,
        now: Instant,
        served: impl Iterator<Item = (PeerId, u64)>,
        is_served: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, u64, u64)> {
        let mut told = Vec::new();
        for (peer, bytes) in served {
            let before = self.seen.insert(peer, bytes).unwrap_or(0);
            // Pumps may still count what they had read when the link closed.
            if bytes != before && is_served(&peer) {
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
    use super::{super::orders::Order, *};

    const A: PeerId = PeerId::from_bytes([1; 32]);
    const B: PeerId = PeerId::from_bytes([2; 32]);

    #[test]
    fn upload_events_end_and_the_next_starts_at_zero() {
        let (mut desk, start) = (UploadDesk::default(), Instant::now());
        let mut news = |now, served: &[(PeerId, u64)]| desk.news(now, served.iter().copied(), |_| true);
        let at = |ticks: u32| start + Duration::from_millis(200) * ticks;
        assert_eq!(news(at(0), &[(A, 0), (B, 0)]), []);
        assert_eq!(news(at(1), &[(A, 100), (B, 0)]), [(A, 100, 0)]);
        assert_eq!(news(at(2), &[(A, 300), (B, 0)]), [(A, 300, 1000)]);
        for tick in 3..32 {
            assert_eq!(news(at(tick), &[(A, 300)]).len(), 1, "{tick}");
        }
        assert_eq!(news(at(32), &[(A, 300)]), [(A, 300, 0)], "it has ended");
        assert_eq!(news(at(33), &[(A, 300)]), []);
        assert_eq!(news(at(34), &[(A, 350)]), [(A, 50, 0)], "the next upload");
    }

    fn told(orders: &mut Orders) -> Vec<(Option<PlayerName>, u64, u64)> {
        let told = |order| match order {
            Order::Tell(Event::PeerUploading(told)) => (told.player, told.bytes, told.rate),
            _ => panic!("another order"),
        };
        std::iter::from_fn(|| orders.pop()).map(told).collect()
    }

    #[test]
    fn only_contacts_uploads_are_told_and_listed() {
        let (mut uploads, mut orders, now) = (UploadDesk::default(), Orders::default(), Instant::now());
        let player: PlayerName = "Alice Ashe@Omega".parse().expect("a name");
        let name = |key: &PeerId| (*key == A).then_some(&player);
        uploads.look(now, [(A, 100), (B, 50)].into_iter(), name, &mut orders);
        assert_eq!(told(&mut orders), [(Some(player.clone()), 100, 0)]);
        assert_eq!(uploads.list(name).len(), 1);
        assert_eq!(uploads.list(|_| None), [], "removed a moment ago");
    }

    #[test]
    fn an_upload_ends_with_its_contact() {
        let (mut uploads, mut orders, now) = (UploadDesk::default(), Orders::default(), Instant::now());
        let player: PlayerName = "Alice Ashe@Omega".parse().expect("a name");
        uploads.look(now, [(A, 100)].into_iter(), |_| Some(&player), &mut orders);
        told(&mut orders);
        uploads.end(A, Some(&player), &mut orders);
        uploads.end(A, Some(&player), &mut orders);
        assert_eq!(told(&mut orders), [(Some(player.clone()), 100, 0)], "once");
        uploads.look(now, [(A, 150)].into_iter(), |_| None, &mut orders);
        assert_eq!(told(&mut orders), [], "what the pump had read");
        uploads.look(now, [(A, 160)].into_iter(), |_| Some(&player), &mut orders);
        assert_eq!(told(&mut orders), [(Some(player.clone()), 10, 0)], "it is a contact again");
    }
}
