//! Which local programs get a place at the daemon's socket: a rule, without a socket.
//!
//! A silent program blocks nobody: the longest silent one is closed for the next. Of greeted ones, only `fyteclubctl`,
//! which a person needs to find a fault, gets the reserved places.

use crate::limit::{LOCAL_CLIENTS_MAX, LOCAL_GREETED_MAX, LOCAL_KEPT};
use std::collections::BTreeMap;

/// The program with reserved places, by its greeting.
const KEPT_FOR: &str = "fyteclubctl";

/// The clients of one daemon. Ids rise with every arrival.
#[derive(Debug, Default)]
pub struct Places {
    /// Whether each has greeted.
    clients: BTreeMap<u64, bool>,
}

/// No place for another greeted program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there are too many local clients, {greeted} programs are connected already: close one of them, or end the one that opens so many"
)]
pub struct Full {
    pub greeted: usize,
}

impl Places {
    /// A client connected; returns the client to close for it.
    pub fn arrive(&mut self, id: u64) -> Option<u64> {
        let silent = || self.clients.iter().find(|(_, greeted)| !**greeted).map(|(id, _)| *id);
        let goes = if self.clients.len() >= LOCAL_CLIENTS_MAX { silent() } else { None };
        if let Some(goes) = goes {
            self.clients.remove(&goes);
        }
        self.clients.insert(id, false);
        goes
    }

    /// A client greeted. Greeting again changes nothing.
    ///
    /// # Errors [`Full`]; it stays among the silent ones.
    pub fn greet(&mut self, id: u64, program: &str) -> Result<(), Full> {
        let greeted = self.clients.values().filter(|greeted| **greeted).count();
        let kept = if program.starts_with(KEPT_FOR) { 0 } else { LOCAL_KEPT };
        match self.clients.get_mut(&id) {
            Some(true) => Ok(()),
            Some(silent) if greeted < LOCAL_GREETED_MAX - kept => {
                *silent = true;
                Ok(())
            }
            // It was closed, and is about to be told.
            Some(false) | None => Err(Full { greeted }),
        }
    }

    pub fn leave(&mut self, id: u64) {
        self.clients.remove(&id);
    }

    pub fn len(&self) -> usize {
        self.clients.len()
    }

    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn silent_clients_make_way_in_order() {
        let mut places = Places::default();
        let max = LOCAL_CLIENTS_MAX as u64;
        assert!((0..max).all(|id| places.arrive(id).is_none()));
        places.greet(0, "plugin 1").expect("a place");
        assert_eq!((places.arrive(max), places.arrive(max + 1)), (Some(1), Some(2)));
        places.greet(max, "fyteclubctl 0.1").expect("a place");
        assert!(places.greet(1, "plugin 1").is_err(), "it had to go");
        assert_eq!(places.len(), LOCAL_CLIENTS_MAX);
    }

    #[test]
    fn places_are_kept_for_fyteclubctl() {
        let mut places = Places::default();
        let plugins = LOCAL_GREETED_MAX - LOCAL_KEPT;
        for id in 0..plugins as u64 {
            places.arrive(id);
            places.greet(id, "plugin 1").expect("a place");
        }
        places.arrive(1000);
        assert_eq!(places.greet(1000, "plugin 1"), Err(Full { greeted: plugins }));
        assert_eq!(places.greet(1000, "fyteclubctl 0.1.0"), Ok(()));
        assert_eq!(places.greet(0, "plugin 1"), Ok(()), "it has greeted already");
        places.leave(0);
        places.leave(1000);
        places.arrive(1001);
        assert_eq!(places.greet(1001, "plugin 1"), Ok(()));
    }

    proptest! {
        #[test]
        fn new_client_gets_a_place(steps in prop::collection::vec((0u8..4, any::<bool>()), 1..600)) {
            let mut places = Places::default();
            let mut next = 0;
            for (step, ctl) in steps {
                if step == 3 {
                    places.leave(next / 2);
                    continue;
                }
                places.arrive(next);
                prop_assert!(places.len() <= LOCAL_CLIENTS_MAX);
                prop_assert!(places.clients.contains_key(&next));
                if step > 0 {
                    let _full = places.greet(next, if ctl { "fyteclubctl 1" } else { "plugin" });
                }
                next += 1;
            }
        }
    }
}
