//! Whose look is shown, as far as this daemon can know: it stays in the cache, because the game opens its files by path,
//! and again whenever it draws the player anew.

use crate::io::store::Pin;
use fyteclub_proto::id::PlayerName;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How long a look stays after it was asked for and after its player was near. Then it is what was used last, and goes
/// last, but it goes: else an evening in a crowd fills the cache with looks that nobody sees any more.
const SHOWN_TIME: Duration = Duration::from_secs(15 * 60);

/// The latest look of each player, and when it was last known to be shown.
#[derive(Debug)]
pub struct Shown<P = Pin>(HashMap<PlayerName, (P, Instant)>);

impl<P> Default for Shown<P> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<P> Shown<P> {
    pub fn show(&mut self, player: PlayerName, pin: P, now: Instant) {
        self.0.insert(player, (pin, now));
    }

    /// These are near at this moment.
    pub fn seen<'a>(&mut self, players: impl Iterator<Item = &'a PlayerName>, now: Instant) {
        for player in players {
            if let Some((_, since)) = self.0.get_mut(player) {
                *since = now;
            }
        }
    }

    /// Drops the pins of who was not shown lately.
    pub fn let_go(&mut self, now: Instant) {
        self.0.retain(|_, (_, since)| now < *since + SHOWN_TIME);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&PlayerName, &P)> {
        self.0.iter().map(|(player, (pin, _))| (player, pin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_near_or_was_just_asked_for_stays_and_nobody_else() {
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
        shown.let_go(later);
        assert_eq!(shown.iter().count(), 3);
        shown.let_go(start + SHOWN_TIME);
        let mut left: Vec<_> = shown.iter().map(|(player, ())| player.clone()).collect();
        left.sort();
        assert_eq!(left, [asked, near]);
    }
}
