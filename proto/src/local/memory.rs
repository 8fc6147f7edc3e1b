//! How many bytes of frames all local clients together may have the daemon hold: a rule, without a socket.
//!
//! A frame that is being read is a holding from its first bytes until it is handled, a reply until it is written. All
//! holdings together are charged to the ledger ([`Item::LocalBytes`]). When they are too many, the one that asks for more
//! waits; a holding of another client that is older than [`LOCAL_HOLD_TIME`] makes way for it, the oldest first, and its
//! client is closed. An honest client sends or reads its longest frame in a fraction of that time.

use crate::{
    ledger::{Counterpart, Item, Ledger},
    limit::LOCAL_HOLD_TIME,
    number,
};
use std::{collections::BTreeMap, time::Instant};

/// The holdings of all clients.
#[derive(Debug, Default)]
pub struct Memory {
    /// By number, which rises with the time of their begin.
    holdings: BTreeMap<u64, Holding>,
    next: u64,
}

#[derive(Debug)]
struct Holding {
    client: u64,
    since: Instant,
    bytes: u64,
    /// Its client was told to go.
    goes: bool,
}

/// There is no space yet; nothing was charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// The client to close.
    pub goes: Option<u64>,
    /// When a holding may be displaced; before that something may be released.
    pub again: Option<Instant>,
}

impl Memory {
    /// Begins an empty holding.
    pub fn begin(&mut self, now: Instant, client: u64) -> u64 {
        let number = self.next;
        self.next += 1;
        self.holdings.insert(number, Holding { client, since: now, bytes: 0, goes: false });
        number
    }

    /// Lets a holding have `bytes` in all. It never shrinks before its end.
    ///
    /// # Errors [`Full`].
    pub fn grow(&mut self, now: Instant, ledger: &mut Ledger, number: u64, bytes: usize) -> Result<(), Full> {
        let Some(holding) = self.holdings.get_mut(&number) else { return Ok(()) };
        let (client, wanted) = (holding.client, number::u64_of(bytes));
        let more = wanted.saturating_sub(holding.bytes);
        if more == 0 || ledger.charge(now, &Counterpart::Client(client), Item::LocalBytes, more).is_ok() {
            holding.bytes = holding.bytes.max(wanted);
            return Ok(());
        }
        Err(self.make_way(now, client))
    }

    /// Chooses the holding that makes way for `client`. One at a time: what it releases may be enough.
    fn make_way(&mut self, now: Instant, client: u64) -> Full {
        let others =
            || self.holdings.values().filter(|holding| holding.client != client && holding.bytes > 0);
        if others().any(|holding| holding.goes) {
            return Full { goes: None, again: None };
        }
        let Some(oldest) = others().next() else { return Full { goes: None, again: None } };
        let (goes, due) = (oldest.client, oldest.since + LOCAL_HOLD_TIME);
        if now < due {
            return Full { goes: None, again: Some(due) };
        }
        self.holdings
            .values_mut()
            .filter(|holding| holding.client == goes)
            .for_each(|holding| holding.goes = true);
        Full { goes: Some(goes), again: None }
    }

    /// Ends a holding and releases its bytes.
    pub fn end(&mut self, ledger: &mut Ledger, number: u64) {
        if let Some(Holding { client, bytes, .. }) = self.holdings.remove(&number) {
            ledger.release(&Counterpart::Client(client), Item::LocalBytes, bytes);
        }
    }

    /// What is held in all, in bytes.
    pub fn held(&self) -> u64 {
        self.holdings.values().map(|holding| holding.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{DAEMON_LEDGER, LOCAL_FRAME_MAX, LOCAL_HELD_MAX};
    use proptest::prelude::*;
    use std::time::Duration;

    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn start() -> Instant {
        Instant::now()
    }

    /// Grows a holding to the longest frame, closing who makes way; how long that took.
    fn insists(memory: &mut Memory, ledger: &mut Ledger, client: u64, begin: Instant) -> Duration {
        let (mut now, number) = (begin, memory.begin(begin, client));
        loop {
            match memory.grow(now, ledger, number, LOCAL_FRAME_MAX) {
                Ok(()) => return now - begin,
                Err(Full { goes: Some(goes), .. }) => {
                    let gone = memory.holdings.iter().filter(|(_, holding)| holding.client == goes);
                    let gone: Vec<u64> = gone.map(|(number, _)| *number).collect();
                    gone.into_iter().for_each(|number| memory.end(ledger, number));
                }
                Err(Full { again, .. }) => now = again.expect("there is a way on"),
            }
        }
    }

    #[test]
    fn longest_frame_fits_beside_twelve_halves() {
        let (mut memory, mut ledger, now) = (Memory::default(), Ledger::new(DAEMON_LEDGER), start());
        let half = LOCAL_FRAME_MAX / 2;
        let grown = (0..12).filter(|client| {
            let number = memory.begin(now, *client);
            memory.grow(now, &mut ledger, number, half).is_ok()
        });
        assert_eq!(grown.count(), 4, "the others wait");
        let waited = insists(&mut memory, &mut ledger, 12, now + LOCAL_HOLD_TIME / 2);
        assert_eq!(waited, LOCAL_HOLD_TIME / 2, "whoever began first makes way");
        assert!(memory.held() <= number::u64_of(LOCAL_HELD_MAX), "{}", memory.held());
    }

    #[test]
    fn client_that_goes_is_named_once() {
        let (mut memory, mut ledger, now) = (Memory::default(), Ledger::new(DAEMON_LEDGER), start());
        let first = memory.begin(now, 1);
        memory.grow(now, &mut ledger, first, LOCAL_HELD_MAX).expect("all of it");
        let second = memory.begin(now, 2);
        let later = now + LOCAL_HOLD_TIME;
        assert_eq!(memory.grow(now, &mut ledger, second, 1), Err(Full { goes: None, again: Some(later) }));
        assert_eq!(memory.grow(later, &mut ledger, second, 1), Err(Full { goes: Some(1), again: None }));
        assert_eq!(memory.grow(later, &mut ledger, second, 1), Err(Full { goes: None, again: None }));
        memory.end(&mut ledger, first);
        assert_eq!(memory.grow(later, &mut ledger, second, 1), Ok(()));
    }

    #[test]
    fn client_does_not_make_way_for_itself() {
        let (mut memory, mut ledger, now) = (Memory::default(), Ledger::new(DAEMON_LEDGER), start());
        let reply = memory.begin(now, 1);
        memory.grow(now, &mut ledger, reply, LOCAL_FRAME_MAX).expect("a reply");
        let later = now + LOCAL_HOLD_TIME;
        let request = memory.begin(later, 1);
        assert_eq!(memory.grow(later, &mut ledger, request, LOCAL_FRAME_MAX), Ok(()), "both fit");
        assert_eq!(
            memory.grow(later, &mut ledger, request, LOCAL_HELD_MAX),
            Err(Full { goes: None, again: None })
        );
    }

    proptest! {
        #[test]
        fn held_bytes_stay_below_the_limit(
            steps in prop::collection::vec((0u64..6, 0usize..48, any::<bool>()), 1..200),
        ) {
            let (mut memory, mut ledger, mut now) = (Memory::default(), Ledger::new(DAEMON_LEDGER), start());
            let mut numbers = Vec::new();
            for (client, mebibytes, ends) in steps {
                now += LOCAL_HOLD_TIME / 3;
                if ends && !numbers.is_empty() {
                    memory.end(&mut ledger, numbers.remove(0));
                } else {
                    let number = memory.begin(now, client);
                    numbers.push(number);
                    memory.grow(now, &mut ledger, number, mebibytes << 20).ok();
                }
                prop_assert!(memory.held() <= number::u64_of(LOCAL_HELD_MAX));
            }
            numbers.into_iter().for_each(|number| memory.end(&mut ledger, number));
            let (who, all) = (Counterpart::Client(0), number::u64_of(LOCAL_HELD_MAX));
            prop_assert_eq!(ledger.charge(now, &who, Item::LocalBytes, all), Ok(()));
        }
    }
}
