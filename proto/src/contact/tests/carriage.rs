//! Two machines and a transport that loses messages: in the end both are paired.

use super::*;
use proptest::prelude::*;

struct Pair {
    parties: [Contacts; 2],
    names: [PlayerName; 2],
    now: u64,
    /// The random state for losses; `None` without losses.
    losses: Option<u64>,
}

impl Pair {
    fn new(losses: Option<u64>) -> Self {
        let names = [name("Alice"), name("Bob")];
        let party = |at: usize| {
            let here = Here { key: key(at as u8 + 1), player: Some(names[at].clone()) };
            Contacts::new(here, Policy::Ask, Saved::default(), NOW)
        };
        Self { parties: [party(0), party(1)], names: names.clone(), now: NOW, losses }
    }

    /// Carries until there are no messages. Every knock is accepted.
    fn carry(&mut self) {
        for _ in 0..1000 {
            let Some((from, output)) =
                (0..2).find_map(|at| self.parties[at].poll().map(|output| (at, output)))
            else {
                return;
            };
            let (now, sender, other) = (self.now, key(from as u8 + 1), 1 - from);
            let input = match output {
                Output::Asks { contact, .. } => {
                    let who = contact.peer_id.expect("who asks has a key").into();
                    self.parties[from].accept(&who, now).expect("they ask");
                    continue;
                }
                Output::Knock { to, nonce } => {
                    let there =
                        [Callee::Key(key(other as u8 + 1)), Callee::Name(self.names[other].to_string())];
                    assert!(there.contains(&to), "{to:?}");
                    let name = self.names[from].clone();
                    Input::Knocked(Knock { from: sender, name, nonce, signature: Bytes([0; 64]) })
                }
                Output::Note { to, note } => {
                    assert_eq!(to, key(other as u8 + 1));
                    Input::Noted { from: sender, note }
                }
                Output::Changed { .. } | Output::Disconnect(_) | Output::Save => continue,
                other => panic!("{other:?}"),
            };
            if !self.loses() {
                self.parties[other].handle(now, input);
            }
        }
        panic!("they never stop talking");
    }

    /// SplitMix64.
    fn loses(&mut self) -> bool {
        let Some(dice) = &mut self.losses else { return false };
        *dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 10 < 7
    }

    fn paired(&self) -> bool {
        standing(&self.parties[0], 2) == Some(Standing::Paired)
            && standing(&self.parties[1], 1) == Some(Standing::Paired)
    }

    /// Runs until both are paired; returns the number of rounds.
    fn settles(mut self) -> Option<usize> {
        for round in 0..200 {
            self.carry();
            if self.paired() {
                let names = [0, 1].map(|at| self.parties[at].name_of(&key(2 - at as u8)).cloned());
                assert_eq!(names, [Some(self.names[1].clone()), Some(self.names[0].clone())]);
                return Some(round);
            }
            self.now += millis(REPEAT);
            let now = self.now;
            self.parties.iter_mut().for_each(|party| party.handle(now, Input::Time));
        }
        None
    }
}

/// Seven of ten messages are lost at random.
fn losses() -> impl Strategy<Value = u64> {
    any::<u64>()
}

#[test]
fn without_losses_the_first_round_is_enough() {
    let whole = || Pair::new(None);
    let mut asked = whole();
    asked.parties[0].add(&name("Bob"), None, ONE, NOW).expect("added");
    assert_eq!(asked.settles(), Some(0));
    let mut crossing = whole();
    crossing.parties[0].add(&name("Bob"), None, ONE, NOW).expect("added");
    crossing.parties[1].add(&name("Alice"), None, TWO, NOW).expect("added");
    assert_eq!(crossing.settles(), Some(0));
    let mut invited = whole();
    let (invitation, _) = invited.parties[0].invite(ONE, &[], NOW).expect("invited");
    invited.parties[1].join(&invitation, TWO, NOW).expect("joined");
    assert_eq!(invited.settles(), Some(0));
}

proptest! {
    #[test]
    fn a_request_arrives(losses in losses(), by_key in any::<bool>()) {
        let mut pair = Pair::new(Some(losses));
        pair.parties[0].add(&name("Bob"), by_key.then_some(key(2)), ONE, NOW).expect("added");
        prop_assert!(pair.settles().is_some());
    }

    #[test]
    fn crossing_requests_meet(losses in losses(), keys in any::<[bool; 2]>()) {
        let mut pair = Pair::new(Some(losses));
        pair.parties[0].add(&name("Bob"), keys[0].then_some(key(2)), ONE, NOW).expect("added");
        pair.parties[1].add(&name("Alice"), keys[1].then_some(key(1)), TWO, NOW).expect("added");
        prop_assert!(pair.settles().is_some());
    }

    #[test]
    fn an_invitation_is_followed(losses in losses()) {
        let mut pair = Pair::new(Some(losses));
        let (invitation, _) = pair.parties[0].invite(ONE, &[], NOW).expect("invited");
        let link: Invitation = invitation.to_string().parse().expect("a link");
        pair.parties[1].join(&link, TWO, NOW).expect("joined");
        prop_assert!(pair.settles().is_some());
    }

    #[test]
    fn one_who_forgot_is_told_again(losses in losses()) {
        let mut pair = Pair::new(Some(losses));
        pair.parties[0].add(&name("Bob"), Some(key(2)), ONE, NOW).expect("added");
        pair.parties[0].handle(NOW, Input::Linked(key(2)));
        pair.parties[1].add(&name("Alice"), None, TWO, NOW).expect("added");
        prop_assert!(pair.settles().is_some());
    }
}
