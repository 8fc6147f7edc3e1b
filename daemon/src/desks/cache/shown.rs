//! Looks that are probably shown. They stay in the cache, because the game opens their files by path each time it draws
//! the player.

use crate::io::store::Pin;
use fyteclub_proto::id::PlayerName;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How long a look stays pinned after it was requested and after its player was last near. Afterwards it may be
/// evicted, as the most recently used; otherwise an evening in a crowd fills the cache.
const SHOWN_TIME: Duration = Duration::from_secs(15 * 60);

/// The latest look of each player, and when it was last known to be shown.
#[derive(Debug)]
pub(super) struct Shown<P = Pin>(HashMap<PlayerName, (P, Instant)>);

impl<P> Default for Shown<P> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<P> Shown<P> {
    pub(super) fn show(&mut self, player: PlayerName, pin: P, now: Instant) {
        self.0.insert(player, (pin, now));
    }

    /// These players are near now.
    pub(super) fn seen<'a>(&mut self, players: impl Iterator<Item = &'a PlayerName>, now: Instant) {
        for player in players {
            if let Some((_, since)) = self.0.get_mut(player) {
                *since = now;
            }
        }
    }

    /// Drops pins of looks that were not shown lately.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|_, (_, since)| now < *since + SHOWN_TIME);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PlayerName, &P)> {
        self.0.iter().map(|(player, (pin, _))| (player, pin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_and_recently_fetched_looks_stay_pinned() {
        let start = Instant::now();
        let [near, asked, gone] = ["Near By@Omega", "Asked For@Omega", "Long Gone@Omega"]
            .map(|name| name.parse::<PlayerName>().unwrap());
        let mut shown = Shown::default();
        for player in [&near, &asked, &gone] {
            shown.show(player.clone(), (), start);
        }
        let later = start + SHOWN_TIME - Duration::from_secs(1);
        shown.seen([&near].into_iter(), later);
        shown.show(asked.clone(), (), later);
        shown.expire(later);
        assert_eq!(shown.iter().count(), 3);
        shown.expire(start + SHOWN_TIME);
        let mut left: Vec<_> = shown.iter().map(|(player, ())| player.clone()).collect();
        left.sort();
        assert_eq!(left, [asked, near]);
    }
}
