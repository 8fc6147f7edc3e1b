//! Random wishes and messages against a reference of who is consented to.

use super::*;
use proptest::{collection::vec, prelude::*};
use std::collections::{BTreeMap, BTreeSet};

const NAMES: [&str; 4] = ["Bob", "Carol", "Dan", "Eve"];

#[derive(Debug, Clone)]
enum Step {
    Add(usize, Option<u8>),
    Accept(u8),
    Remove(u8),
    RemoveName(usize),
    Block(u8),
    Unblock(u8),
    Trust(usize, u8),
    Invite(u8),
    Follow(usize, u8),
    Knock(u8, usize),
    /// With the nonce of the name's knock.
    Answer(u8, usize),
    Join(u8, usize, u8),
    Linked(u8),
    Connected,
}

fn step() -> impl Strategy<Value = Step> {
    let (key, name) = (2..7u8, 0..NAMES.len());
    prop_oneof![
        (name.clone(), proptest::option::of(key.clone())).prop_map(|(name, key)| Step::Add(name, key)),
        key.clone().prop_map(Step::Accept),
        key.clone().prop_map(Step::Remove),
        name.clone().prop_map(Step::RemoveName),
        key.clone().prop_map(Step::Block),
        key.clone().prop_map(Step::Unblock),
        (name.clone(), key.clone()).prop_map(|(name, key)| Step::Trust(name, key)),
        (0..3u8).prop_map(Step::Invite),
        (name.clone(), key.clone()).prop_map(|(name, key)| Step::Follow(name, key)),
        (key.clone(), name.clone()).prop_map(|(key, name)| Step::Knock(key, name)),
        (key.clone(), name.clone()).prop_map(|(key, name)| Step::Answer(key, name)),
        (key.clone(), name, 0..3u8).prop_map(|(key, name, secret)| Step::Join(key, name, secret)),
        key.prop_map(Step::Linked),
        Just(Step::Connected),
    ]
}

/// The status of each, without messages.
#[derive(Debug, Default)]
struct Model {
    consent: BTreeMap<u8, usize>,
    /// Asked by name, and not answered.
    wishes: BTreeSet<usize>,
    asks: BTreeMap<u8, usize>,
    /// With the name, if it had one.
    blocked: BTreeMap<u8, Option<usize>>,
    secrets: BTreeSet<u8>,
}

impl Model {
    fn is_held(&self, name: usize) -> bool {
        self.consent.values().any(|held| *held == name)
    }

    fn admit(&mut self, key: u8, name: usize) {
        self.asks.remove(&key);
        self.wishes.remove(&name);
        self.consent.insert(key, name);
    }

    fn forget(&mut self, key: u8) -> bool {
        self.asks.remove(&key).is_some() | self.consent.remove(&key).is_some()
    }

    /// Whether the wish succeeds; a message always does.
    fn step(&mut self, step: &Step) -> bool {
        match *step {
            Step::Add(name, None) => {
                let blocked = self.blocked.values().any(|blocked| *blocked == Some(name));
                !self.is_held(name) && !blocked && self.wishes.insert(name)
            }
            Step::Add(name, Some(key)) => {
                let free = !self.is_held(name) && !self.consent.contains_key(&key);
                let done = free && !self.blocked.contains_key(&key);
                if done {
                    self.admit(key, name);
                }
                done
            }
            Step::Accept(key) => match self.asks.get(&key).copied() {
                Some(name) if !self.is_held(name) => {
                    self.admit(key, name);
                    true
                }
                _ => false,
            },
            Step::Remove(key) => self.forget(key),
            Step::RemoveName(name) => {
                let named = |map: &BTreeMap<u8, usize>| -> Vec<u8> {
                    map.iter().filter(|(_, held)| **held == name).map(|(key, _)| *key).collect()
                };
                match (named(&self.consent)[..].first(), self.wishes.remove(&name), &named(&self.asks)[..]) {
                    (Some(key), _, _) => self.forget(*key),
                    (None, true, _) => true,
                    (None, false, [one]) => self.forget(*one),
                    _ => false,
                }
            }
            Step::Block(key) => {
                let name = self.consent.get(&key).or_else(|| self.asks.get(&key)).copied();
                self.forget(key);
                self.blocked.entry(key).or_insert(name);
                true
            }
            Step::Unblock(key) => self.blocked.remove(&key).is_some(),
            Step::Trust(name, key) => {
                let old = self.consent.iter().find(|(_, held)| **held == name).map(|(key, _)| *key);
                if old == Some(key) {
                    return true;
                }
                let possible = (old.is_some() || self.wishes.contains(&name))
                    && !self.blocked.contains_key(&key)
                    && !self.consent.contains_key(&key);
                if possible {
                    old.map(|old| self.consent.remove(&old));
                    self.admit(key, name);
                }
                possible
            }
            Step::Invite(secret) => {
                self.secrets.insert(secret);
                true
            }
            Step::Follow(name, key) => {
                let possible = !self.blocked.contains_key(&key)
                    && (self.consent.contains_key(&key) || !self.is_held(name));
                if possible && !self.consent.contains_key(&key) {
                    self.admit(key, name);
                }
                possible
            }
            Step::Knock(key, name) => {
                let known = self.blocked.contains_key(&key) || self.consent.contains_key(&key);
                if !known && (self.asks.contains_key(&key) || !self.wishes.contains(&name)) {
                    self.asks.entry(key).or_insert(name);
                }
                true
            }
            Step::Answer(key, name) => {
                if !self.blocked.contains_key(&key) && self.wishes.contains(&name) {
                    if self.consent.contains_key(&key) {
                        self.wishes.remove(&name);
                    } else {
                        self.admit(key, name)
                    }
                }
                true
            }
            Step::Join(key, name, secret) => {
                if self.blocked.contains_key(&key) || !self.secrets.contains(&secret) {
                } else if self.consent.contains_key(&key) {
                    self.secrets.remove(&secret);
                } else if self.is_held(name) {
                    self.asks.entry(key).or_insert(name);
                } else {
                    self.secrets.remove(&secret);
                    self.admit(key, name);
                }
                true
            }
            Step::Linked(_) | Step::Connected => true,
        }
    }
}

fn number(name: usize) -> Bytes<16> {
    Bytes([100 + name as u8; 16])
}

fn machine_step(contacts: &mut Contacts, step: &Step, open: &BTreeSet<u8>) -> bool {
    let named = |at: usize| name(NAMES[at]);
    match *step {
        // Another number than the knock by name: two separate wishes.
        Step::Add(at, Some(seed)) => {
            contacts.add(&named(at), Some(key(seed)), Bytes([seed; 16]), NOW).is_ok()
        }
        Step::Add(at, None) => contacts.add(&named(at), None, number(at), NOW).is_ok(),
        Step::Accept(seed) => contacts.accept(&key(seed).into(), NOW).is_ok(),
        Step::Remove(seed) => contacts.remove(&key(seed).into()).is_ok(),
        Step::RemoveName(at) => contacts.remove(&named(at).into()).is_ok(),
        Step::Block(seed) => contacts.block(&key(seed).into(), NOW).is_ok(),
        Step::Unblock(seed) => contacts.unblock(&key(seed).into()).is_ok(),
        Step::Trust(at, seed) => contacts.trust(&named(at), key(seed), NOW).is_ok(),
        // The same secret twice would be valid twice; real ones are random.
        Step::Invite(secret) => {
            open.contains(&secret) || contacts.invite(Bytes([secret; 16]), &[], NOW).is_ok()
        }
        Step::Follow(at, seed) => {
            let invitation = Invitation {
                player: named(at),
                peer_id: key(seed),
                secret: Bytes([50; 16]),
                phonebooks: vec![],
            };
            contacts.join(&invitation, Bytes([60 + seed; 16]), NOW).is_ok()
        }
        ref word => {
            let input = match *word {
                Step::Knock(seed, at) => knock(seed, NAMES[at], Bytes([seed; 16])),
                Step::Answer(seed, at) => yes(seed, NAMES[at], number(at)),
                Step::Join(seed, at, secret) => Input::Noted {
                    from: key(seed),
                    note: Note::Join { name: named(at), secret: Bytes([secret; 16]) },
                },
                Step::Linked(seed) => Input::Linked(key(seed)),
                _ => Input::Connected,
            };
            contacts.handle(NOW, input);
            true
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn it_consents_to_whom_the_model_does(steps in vec(step(), 0..40)) {
        let (mut contacts, mut model) = (alice(), Model::default());
        for step in &steps {
            let open = model.secrets.clone();
            let expected = model.step(step);
            prop_assert_eq!(machine_step(&mut contacts, step, &open), expected, "{:?}", step);
            let said = outputs(&mut contacts);
            for seed in 2..7 {
                let held = model.consent.get(&seed).map(|at| name(NAMES[*at]));
                prop_assert_eq!(contacts.consents(&key(seed)), held.is_some(), "{:?}", step);
                prop_assert_eq!(contacts.name_of(&key(seed)), held.as_ref());
                prop_assert_eq!(
                    standing(&contacts, seed) == Some(Standing::Asking),
                    model.asks.contains_key(&seed)
                );
                if said.contains(&Output::Disconnect(key(seed))) {
                    prop_assert!(held.is_none(), "{:?}: a contact is cut off", step);
                }
            }
            for (at, text) in NAMES.iter().enumerate() {
                let wished = contacts.of_name(&name(text)).is_some_and(|contact| contact.peer_id.is_none());
                prop_assert_eq!(wished, model.wishes.contains(&at), "{:?}", step);
            }
            prop_assert_eq!(contacts.saved().check(), Ok(()));
            // The stored state is complete.
            let text = serde_json::to_string(contacts.saved()).expect("JSON");
            let read: Saved = serde_json::from_str(&text).expect("its own text");
            let again = serde_json::to_string(&read).expect("JSON");
            prop_assert_eq!(again, text);
        }
    }
}
