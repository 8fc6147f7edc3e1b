//! When nothing is left to request: chunks that slow sources still owe move to idle ones.
//!
//! The back of a slow request is moved, not copied: its source is stopped when it has sent the front. Only the
//! indivisible (the chunk that is on its way, or a missing list) is requested twice, and the first answer counts. A
//! copy makes the slower source send for nothing, so copies have a budget: a small part of the look, and beyond it only
//! those that end a long wait.

use super::{RequestId, Transfer, pick::Owed};
use crate::{
    id::PeerId,
    limit::{CHUNK_SIZE, STREAMS_PER_SOURCE},
    number,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How often slow sources are compared with idle ones.
pub(super) const CHECK: Duration = Duration::from_millis(250);
/// How much earlier the other must finish for a move: a request costs a round trip.
const MARGIN: f64 = 0.3;
/// The budget of copies as a part of the look.
const COPIED_PART: u64 = 128;
/// Beyond it, only a request without a chunk for this long is copied. Fifteen receivers that share one uplink of 16
/// Mbit/s wait 8 s for the chunks that are on their way.
const LONG_WAIT: Duration = Duration::from_secs(15);
/// The assumed rate of a source without a measurement, if no rate is known.
const GUESS: f64 = 1e6;

/// An action for a slow request.
enum Relief {
    /// Move this many chunks from the back of what is owed.
    Move { chunks: u32 },
    /// Request the front a second time.
    Copy(Owed),
}

impl Transfer {
    /// Assigns what others are late with to idle sources.
    pub(super) fn relieve(&mut self, now: Instant) {
        // Each pass fills a free request of a source.
        for _ in 0..self.sources.len() * STREAMS_PER_SOURCE {
            let Some((thief, victim, relief)) = self.relief(now) else { break };
            let Some(request) = self.requests.get_mut(&victim) else { break };
            let owed = match relief {
                Relief::Move { chunks } => {
                    request.cut = true;
                    split(&mut request.owed, chunks)
                }
                Relief::Copy(front) => {
                    request.twice = true;
                    self.copied += self.queue.bytes(std::slice::from_ref(&front));
                    vec![front]
                }
            };
            let twice = request.twice;
            self.open_request(now, thief, owed, twice);
        }
        let idle = self.sources.values().any(|source| source.requests() < STREAMS_PER_SOURCE);
        self.check = (idle && self.sources.len() > 1 && !self.requests.is_empty()).then(|| now + CHECK);
    }

    /// Whether the budget of copies allows one more.
    fn may_copy(&self, front: &Owed) -> bool {
        let copied = self.copied + self.queue.bytes(std::slice::from_ref(front));
        copied <= self.progress.bytes_total / COPIED_PART
    }

    /// Bytes that each source owes.
    fn debts(&self) -> BTreeMap<PeerId, f64> {
        let mut debts = BTreeMap::new();
        for request in self.requests.values() {
            *debts.entry(request.source).or_default() += number::f64_of(self.queue.bytes(&request.owed));
        }
        debts
    }

    fn relief(&self, now: Instant) -> Option<(PeerId, RequestId, Relief)> {
        let debts = self.debts();
        let owed_by = |peer: &PeerId| debts.get(peer).copied().unwrap_or(0.0);
        let known = self.sources.values().filter_map(|source| source.rate(now)).fold(0.0, f64::max);
        let guess = if known > 0.0 { known } else { GUESS };
        let mut thieves: Vec<_> = (self.sources.iter())
            .filter(|(_, source)| source.requests() < self.places(source, now) && source.resting.is_none())
            .map(|(peer, source)| (*peer, source, source.rate(now).unwrap_or(guess), owed_by(peer)))
            .collect();
        thieves.sort_by(|a, b| b.2.total_cmp(&a.2));
        let mut victims: Vec<_> = (self.requests.iter())
            .filter_map(|(id, request)| {
                let rate = self.sources.get(&request.source)?.rate(now)?;
                Some((*id, request, rate, owed_by(&request.source)))
            })
            .collect();
        victims.sort_by(|a, b| (b.3 / b.2).total_cmp(&(a.3 / a.2)));
        for (thief, source, fast, own) in thieves {
            for (id, request, slow, owed) in &victims {
                let lead = owed / slow - own / fast;
                if request.source == thief || lead < MARGIN {
                    continue;
                }
                if !(request.owed.iter())
                    .filter(|owed| !owed.is_empty())
                    .all(|owed| self.queue.serves(owed.blob, thief, &source.holding))
                {
                    continue;
                }
                // As much as makes both finish together.
                let share = number::whole((owed * fast - own * slow) / (fast + slow));
                let share = share.min(source.budget(now, false)).div_ceil(number::u64_of(CHUNK_SIZE));
                let chunks = u32::try_from(share).unwrap_or(u32::MAX).min(movable(&request.owed));
                if chunks > 0 {
                    return Some((thief, *id, Relief::Move { chunks }));
                }
                let late =
                    owed / slow > 2.0 * (own + number::f64_of(number::u64_of(CHUNK_SIZE))) / fast + MARGIN;
                if late
                    && !request.twice
                    && let Some(front) = front(&request.owed)
                    && (now >= request.brought + LONG_WAIT || self.may_copy(&front))
                {
                    return Some((thief, *id, Relief::Copy(front)));
                }
            }
        }
        None
    }

    /// Stops requests that owe nothing wanted.
    pub(super) fn drop_settled(&mut self) {
        let settled: Vec<RequestId> = (self.requests.iter())
            .filter(|(_, request)| request.cut || request.twice)
            .filter(|(_, request)| request.owed.iter().all(|owed| self.queue.is_settled(owed)))
            .map(|(id, _)| *id)
            .collect();
        for id in settled {
            if let Some(request) = self.close_request(id) {
                self.outputs.push_back(super::Output::Drop { source: request.source, request: id });
                self.changed = true;
            }
        }
    }
}

/// Chunks behind the one that is on its way. A missing list moves with all of its chunks or not at all.
fn movable(owed: &[Owed]) -> u32 {
    let mut entries = owed.iter().filter(|owed| !owed.is_empty());
    let first =
        entries.next().map_or(0, |first| if first.tree { 0 } else { number::u32_of(first.chunks.len()) - 1 });
    first + entries.map(|entry| number::u32_of(entry.chunks.len())).sum::<u32>()
}

/// The smallest front that can be requested.
fn front(owed: &[Owed]) -> Option<Owed> {
    let front = owed.iter().find(|owed| !owed.is_empty())?;
    let end = front.chunks.end.min(front.chunks.start + 1);
    (!front.chunks.is_empty()).then(|| Owed { chunks: front.chunks.start..end, ..front.clone() })
}

/// Takes about so many chunks off the back, in the owed order.
fn split(owed: &mut Vec<Owed>, chunks: u32) -> Vec<Owed> {
    let (mut taken, mut left) = (Vec::new(), chunks);
    let first = owed.iter().position(|owed| !owed.is_empty()).unwrap_or(0);
    while left > 0 && owed.len() > first {
        let at = owed.len() - 1;
        let Some(last) = owed.last_mut() else { break };
        let len = number::u32_of(last.chunks.len());
        if at == first || (len > left && !last.tree) {
            if last.tree || len == 0 {
                break;
            }
            let count = left.min(if at == first { len - 1 } else { len });
            let from = last.chunks.end - count;
            if count > 0 {
                taken.push(Owed { chunks: from..last.chunks.end, ..last.clone() });
                last.chunks.end = from;
            }
            break;
        }
        left = left.saturating_sub(len);
        taken.extend(owed.pop());
    }
    taken.retain(|owed| !owed.is_empty());
    taken.reverse();
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owed(blob: usize, tree: bool, chunks: std::ops::Range<u32>) -> Owed {
        Owed { blob, tree, chunks }
    }

    #[test]
    fn the_back_goes_and_the_chunk_on_its_way_stays() {
        let mut request = vec![owed(0, false, 4..4), owed(1, false, 2..10)];
        assert_eq!(movable(&request), 7);
        assert_eq!(split(&mut request, 3), [owed(1, false, 7..10)]);
        assert_eq!(split(&mut request, 100), [owed(1, false, 3..7)]);
        assert_eq!(movable(&request), 0);
        assert_eq!(front(&request), Some(owed(1, false, 2..3)));
    }

    #[test]
    fn a_list_goes_with_its_chunks_or_not_at_all() {
        let mut request = vec![owed(0, true, 0..9), owed(1, true, 0..3), owed(2, false, 0..1)];
        assert_eq!(movable(&request), 4);
        assert_eq!(split(&mut request, 2), [owed(1, true, 0..3), owed(2, false, 0..1)]);
        assert_eq!(request, [owed(0, true, 0..9)]);
        assert_eq!(front(&request), Some(owed(0, true, 0..1)));
    }
}
