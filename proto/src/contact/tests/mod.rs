//! Rule by rule. Conversations of two are in `carriage`, the comparison with a reference in `model`.

mod carriage;
mod lookalikes;
mod model;
mod repeats;
mod rivals;

use super::*;
use crate::{
    invitation::Invitation,
    knock::Knock,
    limit::{ASKERS_MAX, CONTACTS_MAX, INVITATIONS_MAX, KEY_CHANGES_MAX, LETTER_BYTES_MAX},
    local::request::Who,
    phonebook::KeyChange,
    reaching::relay_use::RelayUse,
};
use ed25519_dalek::SigningKey;

const NOW: u64 = 1_700_000_000_000;
const ONE: Bytes<16> = Bytes([1; 16]);
const TWO: Bytes<16> = Bytes([2; 16]);

fn name(text: &str) -> PlayerName {
    format!("{text} Ashe@Gilgamesh").parse().expect("a name")
}

fn key(seed: u8) -> PeerId {
    PeerId::from_bytes([seed; 32])
}

/// Alice's, whose key is 1.
fn alice() -> Contacts {
    let here = Here { key: key(1), player: Some(name("Alice")) };
    Contacts::new(here, Policy::Ask, Saved::default(), NOW)
}

fn outputs(contacts: &mut Contacts) -> Vec<Output> {
    std::iter::from_fn(|| contacts.poll()).collect()
}

fn notes(contacts: &mut Contacts) -> Vec<(PeerId, Note)> {
    let note = |output| match output {
        Output::Note { to, note } => Some((to, note)),
        _ => None,
    };
    outputs(contacts).into_iter().filter_map(note).collect()
}

fn knock(from: u8, player: &str, nonce: Bytes<16>) -> Input {
    Input::Knocked(Knock { from: key(from), name: name(player), nonce, signature: Bytes([0; 64]) })
}

fn yes(from: u8, player: &str, nonce: Bytes<16>) -> Input {
    Input::Noted { from: key(from), note: Note::Accepted { name: name(player), nonce } }
}

fn standing(contacts: &Contacts, of: u8) -> Option<Standing> {
    contacts.iter().find(|contact| contact.peer_id == Some(key(of))).map(Contact::standing)
}

#[test]
fn nobody_is_consented_to_by_knocking() {
    let mut contacts = alice();
    contacts.handle(NOW, knock(2, "Bob", ONE));
    let said = outputs(&mut contacts);
    assert!(matches!(&said[0], Output::Asks { contact, known: None } if contact.peer_id == Some(key(2))));
    assert!(!contacts.consents(&key(2)) && contacts.of_name(&name("Bob")).is_none());
    // The same again has no output, nor has another name.
    for player in ["Bob", "Eve"] {
        contacts.handle(NOW, knock(2, player, ONE));
        assert_eq!(outputs(&mut contacts), []);
    }
    contacts.accept(&name("Bob").into(), NOW).expect("he asks");
    assert!(contacts.consents(&key(2)));
    assert_eq!(notes(&mut contacts), [(key(2), Note::Accepted { name: name("Alice"), nonce: ONE })]);
}

#[test]
fn a_name_belongs_to_who_answers_to_the_knock() {
    let mut contacts = alice();
    contacts.add(&name("Bob"), None, ONE, NOW).expect("added");
    let bob = name("Bob");
    let to = Callee::Name(bob.to_string());
    assert_eq!(outputs(&mut contacts)[1], Output::Knock { to, nonce: ONE });
    contacts.handle(NOW, yes(3, "Bob", TWO));
    assert_eq!(standing(&contacts, 3), None, "another number");
    contacts.handle(NOW, yes(2, "Somebody", ONE));
    assert_eq!((contacts.consents(&key(2)), contacts.name_of(&key(2))), (true, Some(&bob)));
    contacts.handle(NOW, yes(3, "Bob", ONE));
    assert_eq!(standing(&contacts, 3), None, "the number was used");
}

#[test]
fn a_claim_pairs_nobody_though_the_name_was_asked() {
    let mut contacts = alice();
    contacts.add(&name("Bob"), None, ONE, NOW).expect("added");
    outputs(&mut contacts);
    // Everybody who claims to be Bob is answered; only an answer to the knock is consented to.
    contacts.handle(NOW, knock(3, "Bob", TWO));
    assert_eq!(notes(&mut contacts), [(key(3), Note::Accepted { name: name("Alice"), nonce: TWO })]);
    assert!(!contacts.consents(&key(3)));
}

#[test]
fn requested_key_is_consented_to_and_a_link_pairs() {
    let mut contacts = alice();
    contacts.add(&name("Bob"), Some(key(2)), ONE, NOW).expect("added");
    assert!(contacts.consents(&key(2)) && standing(&contacts, 2) == Some(Standing::Requested));
    contacts.handle(NOW, Input::Linked(key(2)));
    assert_eq!(standing(&contacts, 2), Some(Standing::Paired));
    contacts.handle(NOW, Input::Linked(key(3)));
    assert_eq!(standing(&contacts, 3), None);
}

#[test]
fn a_name_of_a_contact_is_no_cover_for_another_key() {
    let mut contacts = alice();
    contacts.add(&name("Bob"), Some(key(2)), ONE, NOW).expect("added");
    outputs(&mut contacts);
    contacts.handle(NOW, knock(3, "Bob", TWO));
    let said = outputs(&mut contacts);
    assert!(matches!(said[0], Output::Asks { known: Some(known), .. } if known == key(2)), "{said:?}");
    let held = ContactError::NameHeld { player: name("Bob"), known: key(2), offered: key(3) };
    assert_eq!(contacts.accept(&key(3).into(), NOW), Err(held.clone()));
    assert_eq!(contacts.add(&name("Bob"), Some(key(3)), ONE, NOW), Err(held));
    // Until a person trusts it; then its knock is answered.
    contacts.trust(&name("Bob"), key(3), NOW).expect("trusted");
    let said = outputs(&mut contacts);
    assert!(said.contains(&Output::Disconnect(key(2))), "{said:?}");
    assert!(contacts.consents(&key(3)) && !contacts.consents(&key(2)));
    assert_eq!(contacts.iter().count(), 1);
}

#[test]
fn two_who_claim_one_name_are_told_apart_by_key() {
    let mut contacts = alice();
    contacts.handle(NOW, knock(2, "Bob", ONE));
    contacts.handle(NOW, knock(3, "Bob", TWO));
    let ambiguous = Err(ContactError::Ambiguous { player: name("Bob") });
    assert_eq!(contacts.accept(&name("Bob").into(), NOW).map(drop), ambiguous);
    assert_eq!(contacts.remove(&name("Bob").into()), ambiguous);
    assert_eq!(contacts.block(&name("Bob").into(), NOW).map(drop), ambiguous);
    contacts.accept(&key(3).into(), NOW).expect("by key");
    assert_eq!((contacts.consents(&key(2)), contacts.consents(&key(3))), (false, true));
    contacts.remove(&name("Bob").into()).expect("the contact, not who claims the name");
    assert_eq!((standing(&contacts, 2), standing(&contacts, 3)), (Some(Standing::Asking), None));
}

#[test]
fn what_ends_consent_ends_links() {
    let mut contacts = alice();
    for (seed, player) in [(2, "Bob"), (3, "Carol")] {
        contacts.add(&name(player), Some(key(seed)), ONE, NOW).expect("added");
    }
    outputs(&mut contacts);
    contacts.remove(&name("Bob").into()).expect("removed");
    assert!(outputs(&mut contacts).contains(&Output::Disconnect(key(2))));
    contacts.block(&name("Carol").into(), NOW).expect("blocked");
    assert!(outputs(&mut contacts).contains(&Output::Disconnect(key(3))));
    assert!(!contacts.consents(&key(2)) && !contacts.consents(&key(3)));
    assert_eq!(
        contacts.remove(&name("Bob").into()),
        Err(ContactError::NotAContact { who: name("Bob").to_string() })
    );
}

#[test]
fn who_is_blocked_is_not_heard() {
    let mut contacts = alice();
    contacts.block(&key(2).into(), NOW).expect("blocked");
    contacts.add(&name("Bob"), None, ONE, NOW).expect("added");
    let (made, _) = contacts.invite(TWO, &[], NOW).expect("invited");
    outputs(&mut contacts);
    let join = Note::Join { name: name("Carol"), secret: made.secret };
    for input in [
        knock(2, "Bob", TWO),
        knock(2, "Carol", TWO),
        yes(2, "Bob", ONE),
        Input::Noted { from: key(2), note: join },
        Input::Linked(key(2)),
    ] {
        contacts.handle(NOW, input.clone());
        assert_eq!(outputs(&mut contacts), [], "{input:?}");
    }
    assert!(!contacts.consents(&key(2)));
    let blocked = |result: Result<Contact, ContactError>| matches!(result, Err(ContactError::Blocked { .. }));
    assert!(blocked(contacts.add(&name("Carol"), Some(key(2)), ONE, NOW)));
    let invitation = Invitation { player: name("Carol"), peer_id: key(2), secret: TWO, phonebooks: vec![] };
    assert!(blocked(contacts.join(&invitation, ONE, NOW)));
    contacts.unblock(&key(2).into()).expect("unblocked");
    assert_eq!(standing(&contacts, 2), None);
    assert!(matches!(contacts.unblock(&key(2).into()), Err(ContactError::NotBlocked { .. })));
}

#[test]
fn a_blocked_players_name_is_not_asked_for() {
    let mut contacts = alice();
    contacts.add(&name("Bob"), Some(key(2)), ONE, NOW).expect("added");
    contacts.block(&name("Bob").into(), NOW).expect("blocked");
    outputs(&mut contacts);
    let refused = contacts.add(&name("Bob"), None, ONE, NOW).expect_err("their answer would not be heard");
    assert_eq!(refused, ContactError::NameBlocked { player: name("Bob"), key: key(2) });
    assert!(refused.to_string().contains(&format!("contacts unblock {}", key(2))), "{refused}");
    assert_eq!(outputs(&mut contacts), []);
    contacts.add(&name("Bob"), Some(key(3)), ONE, NOW).expect("another player of this name");
    contacts.remove(&key(3).into()).expect("removed");
    contacts.unblock(&name("Bob").into()).expect("unblocked");
    contacts.add(&name("Bob"), None, ONE, NOW).expect("added");
}

#[test]
fn closed_policy_accepts_answers_and_invitations_only() {
    let here = Here { key: key(1), player: Some(name("Alice")) };
    let mut contacts = Contacts::new(here, Policy::Nobody, Saved::default(), NOW);
    contacts.handle(NOW, knock(2, "Bob", ONE));
    assert_eq!(outputs(&mut contacts), []);
    let (made, _) = contacts.invite(TWO, &[], NOW).expect("invited");
    let note = Note::Join { name: name("Carol"), secret: made.secret };
    contacts.handle(NOW, Input::Noted { from: key(3), note });
    contacts.add(&name("Dan"), Some(key(4)), ONE, NOW).expect("added");
    contacts.handle(NOW, knock(4, "Dan", TWO));
    assert_eq!([3, 4].map(|seed| standing(&contacts, seed)), [Some(Standing::Paired); 2]);
}

#[test]
fn a_secret_opens_once_and_for_a_day() {
    let mut contacts = alice();
    let (made, expires) = contacts.invite(ONE, &[], NOW).expect("invited");
    let (over, _) = contacts.invite(Bytes([0xa5; 16]), &[], NOW).expect("invited");
    outputs(&mut contacts);
    let join = |from: u8, player: &str, secret| Input::Noted {
        from: key(from),
        note: Note::Join { name: name(player), secret },
    };
    contacts.handle(NOW, join(2, "Bob", Bytes([9; 16])));
    assert_eq!(outputs(&mut contacts), [], "no such secret");
    contacts.handle(NOW, join(2, "Bob", made.secret));
    let answer = (key(2), Note::Accepted { name: name("Alice"), nonce: invitation_answer(&made.secret) });
    assert_eq!(notes(&mut contacts), vec![answer.clone()]);
    assert!(contacts.consents(&key(2)));
    contacts.handle(NOW, join(3, "Carol", made.secret));
    let late = Output::Note { to: key(3), note: Note::TooLate { answer: invitation_answer(&made.secret) } };
    let told = [Output::TooLate { player: name("Carol"), key: key(3) }, late.clone()];
    assert_eq!((standing(&contacts, 3), outputs(&mut contacts)), (None, told.to_vec()), "used");
    contacts.handle(NOW, join(3, "Carol", made.secret));
    assert_eq!(outputs(&mut contacts), [late], "the answer was lost; a person hears of it once");
    for _ in 0..9 {
        contacts.handle(NOW, join(3, "Carol", made.secret));
    }
    assert!(outputs(&mut contacts).len() < 3, "who repeats it is not answered each time");
    contacts.handle(NOW, join(2, "Bob", made.secret));
    assert_eq!(notes(&mut contacts), [answer], "the answer was lost");
    contacts.handle(expires, join(4, "Dan", over.secret));
    assert_eq!(standing(&contacts, 4), None, "over");
    let late = Note::TooLate { answer: invitation_answer(&over.secret) };
    assert_eq!(notes(&mut contacts), [(key(4), late)]);
    let kept = format!("{:?}", serde_json::to_string(contacts.saved()));
    assert!(!kept.contains(&over.secret.to_string()), "secrets are not kept: {kept}");
}

#[test]
fn an_invitation_that_is_over_asks_nobody() {
    let invitation = Invitation { player: name("Bob"), peer_id: key(2), secret: TWO, phonebooks: vec![] };
    let mut contacts = alice();
    contacts.join(&invitation, ONE, NOW).expect("joined");
    outputs(&mut contacts);
    let late = |from: u8, secret| Input::Noted {
        from: key(from),
        note: Note::TooLate { answer: invitation_answer(&secret) },
    };
    contacts.handle(NOW, late(3, TWO));
    contacts.handle(NOW, late(2, ONE));
    assert_eq!((standing(&contacts, 2), outputs(&mut contacts)), (Some(Standing::Requested), vec![]));
    contacts.handle(NOW, late(2, TWO));
    let said = outputs(&mut contacts);
    assert!(matches!(said[0], Output::InvitationOver { .. }), "{said:?}");
    assert!(matches!(said[1], Output::Changed { gone: true, .. }), "{said:?}");
    assert_eq!((standing(&contacts, 2), contacts.consents(&key(2))), (None, false));
    // A paired contact stays paired.
    contacts.join(&invitation, ONE, NOW).expect("joined");
    contacts.handle(NOW, yes(2, "Bob", invitation_answer(&TWO)));
    contacts.handle(NOW, late(2, TWO));
    assert_eq!(standing(&contacts, 2), Some(Standing::Paired));
}

#[test]
fn an_invitation_does_not_take_a_contacts_name() {
    let mut contacts = alice();
    contacts.add(&name("Bob"), Some(key(2)), ONE, NOW).expect("added");
    let (made, _) = contacts.invite(TWO, &[], NOW).expect("invited");
    let note = Note::Join { name: name("Bob"), secret: made.secret };
    contacts.handle(NOW, Input::Noted { from: key(3), note });
    assert_eq!(standing(&contacts, 3), Some(Standing::Asking));
    assert!(!contacts.consents(&key(3)));
}

#[test]
fn who_follows_a_link_believes_its_key_alone() {
    let invitation = Invitation { player: name("Bob"), peer_id: key(2), secret: TWO, phonebooks: vec![] };
    let mut contacts = alice();
    contacts.join(&invitation, ONE, NOW).expect("joined");
    assert_eq!(notes(&mut contacts), [(key(2), Note::Join { name: name("Alice"), secret: TWO })]);
    for wrong in [yes(3, "Bob", invitation_answer(&TWO)), yes(2, "Bob", TWO)] {
        contacts.handle(NOW, wrong);
        assert_eq!((standing(&contacts, 2), standing(&contacts, 3)), (Some(Standing::Requested), None));
    }
    contacts.handle(NOW, yes(2, "Bob", invitation_answer(&TWO)));
    assert_eq!(standing(&contacts, 2), Some(Standing::Paired));

    let own = Invitation { peer_id: key(1), ..invitation.clone() };
    assert_eq!(contacts.join(&own, ONE, NOW), Err(ContactError::OwnInvitation));
    let mut contacts = alice();
    contacts.join(&invitation, ONE, NOW).expect("joined");
    contacts.join(&invitation, ONE, NOW + 5).expect("the same wish again");
    outputs(&mut contacts);
    let day = millis(INVITATION_TIME);
    assert_eq!(contacts.join(&invitation, ONE, NOW + day), Err(ContactError::InvitationOver));
    // The invitation has expired; the key can still be asked.
    contacts.handle(NOW + day, Input::Connected);
    assert!(
        matches!(&outputs(&mut contacts)[..], [Output::Knock { to: Callee::Key(to), .. }] if *to == key(2))
    );
}

#[test]
fn a_contact_takes_its_new_key_along() {
    let [old, new, other] = [5, 6, 7].map(|seed| SigningKey::from_bytes(&[seed; 32]));
    let (from, to) = (PeerId::of(&old), PeerId::of(&new));
    let mut contacts = alice();
    contacts.add(&name("Bob"), Some(from), ONE, NOW).expect("added");
    outputs(&mut contacts);
    let forged = KeyChange { to: PeerId::of(&other), ..KeyChange::signed(&old, &new) };
    let stranger = KeyChange::signed(&other, &new);
    let noted = |from, change| Input::Noted { from, note: Note::KeyChanged(vec![change]) };
    for input in [
        noted(from, forged),
        noted(PeerId::of(&other), stranger),
        noted(PeerId::of(&other), KeyChange::signed(&old, &new)),
    ] {
        contacts.handle(NOW, input);
        assert_eq!(outputs(&mut contacts), []);
    }
    contacts.handle(NOW, noted(to, KeyChange::signed(&old, &new)));
    assert!(outputs(&mut contacts).contains(&Output::Disconnect(from)));
    assert_eq!((contacts.name_of(&to), contacts.consents(&from)), (Some(&name("Bob")), false));
}

#[test]
fn contact_takes_the_last_of_several_key_changes() {
    let keys: Vec<SigningKey> = (5..=9).map(|seed| SigningKey::from_bytes(&[seed; 32])).collect();
    let changes: Vec<KeyChange> = keys.windows(2).map(|pair| KeyChange::signed(&pair[0], &pair[1])).collect();
    let ids: Vec<PeerId> = keys.iter().map(PeerId::of).collect();
    let last = Input::Noted { from: ids[4], note: Note::KeyChanged(changes.clone()) };
    for (known, id) in ids[..4].iter().enumerate() {
        let mut contacts = alice();
        contacts.add(&name("Bob"), Some(*id), ONE, NOW).expect("added");
        // It does nothing if signed by a key in between, or with a step left out.
        let between = Input::Noted { from: ids[2], note: Note::KeyChanged(changes.clone()) };
        let gap = [changes[known].clone(), changes[3].clone()].to_vec();
        contacts.handle(NOW, between);
        if known < 2 {
            contacts.handle(NOW, Input::Noted { from: ids[4], note: Note::KeyChanged(gap) });
        }
        assert_eq!(contacts.name_of(id), Some(&name("Bob")));
        contacts.handle(NOW, last.clone());
        assert_eq!((contacts.name_of(&ids[4]), contacts.consents(id)), (Some(&name("Bob")), false));
    }
}

#[test]
fn as_many_changes_of_key_as_are_told_fit_one_letter() {
    let keys: Vec<SigningKey> =
        (1..).take(KEY_CHANGES_MAX + 1).map(|seed| SigningKey::from_bytes(&[seed; 32])).collect();
    let changes = keys.windows(2).map(|pair| KeyChange::signed(&pair[0], &pair[1])).collect();
    let text = crate::codec::encode(&Note::KeyChanged(changes));
    assert!(text.len() + crate::seal::TAG <= LETTER_BYTES_MAX, "{}", text.len());
}

#[test]
fn askers_and_contacts_have_bounds() {
    let mut contacts = alice();
    for n in 0..=ASKERS_MAX as u64 {
        contacts.handle(NOW + n, knock(10 + n as u8, &format!("N{n}"), ONE));
    }
    assert_eq!(contacts.iter().count(), ASKERS_MAX);
    assert_eq!(
        (standing(&contacts, 10), standing(&contacts, 11)),
        (None, Some(Standing::Asking)),
        "the oldest"
    );
    for n in 0..CONTACTS_MAX {
        contacts.add(&name(&format!("C{n}")), None, ONE, NOW).expect("added");
    }
    assert_eq!(contacts.add(&name("More"), None, ONE, NOW), Err(ContactError::TooMany));
    assert_eq!(contacts.accept(&key(11).into(), NOW), Err(ContactError::TooMany));
    assert_eq!(contacts.block(&key(11).into(), NOW), Err(ContactError::TooMany));
    assert_eq!(contacts.saved().check(), Ok(()));
    for n in 0..INVITATIONS_MAX as u8 {
        contacts.invite(Bytes([n; 16]), &[], NOW).expect("invited");
    }
    assert_eq!(contacts.invite(ONE, &[], NOW), Err(ContactError::TooManyInvitations));
    contacts.invite(ONE, &[], NOW + millis(INVITATION_TIME)).expect("the others are over");
}

#[test]
fn wishes_that_make_no_sense_say_so() {
    let mut contacts = alice();
    assert_eq!(contacts.add(&name("Alice"), None, ONE, NOW), Err(ContactError::Yourself));
    assert_eq!(contacts.add(&name("Bob"), Some(key(1)), ONE, NOW), Err(ContactError::Yourself));
    assert_eq!(contacts.block(&key(1).into(), NOW), Err(ContactError::Yourself));
    assert_eq!(contacts.remove(&Who::default()), Err(ContactError::Nobody));
    contacts.add(&name("Bob"), None, ONE, NOW).expect("added");
    assert_eq!(
        contacts.add(&name("Bob"), None, ONE, NOW),
        Err(ContactError::Already { player: name("Bob") })
    );
    assert_eq!(contacts.block(&name("Bob").into(), NOW), Err(ContactError::NoKey { player: name("Bob") }));
    assert!(matches!(contacts.accept(&name("Carol").into(), NOW), Err(ContactError::DoesNotAsk { .. })));
    assert!(matches!(contacts.trust(&name("Carol"), key(2), NOW), Err(ContactError::NotAContact { .. })));
    let nobody = Here { key: key(1), player: None };
    let mut contacts = Contacts::new(nobody, Policy::Ask, Saved::default(), NOW);
    assert_eq!(contacts.add(&name("Bob"), None, ONE, NOW), Err(ContactError::Nameless));
    assert_eq!(contacts.invite(ONE, &[], NOW), Err(ContactError::Nameless));
    contacts.add(&name("Bob"), Some(key(2)), ONE, NOW).expect("by key nothing has to be said");
    assert_eq!(contacts.deadline(), None);
}

#[test]
fn a_yes_is_said_until_they_come() {
    let mut contacts = alice();
    contacts.handle(NOW, knock(2, "Bob", ONE));
    contacts.accept(&name("Bob").into(), NOW).expect("he asks");
    outputs(&mut contacts);
    contacts.handle(NOW + millis(REPEAT), Input::Time);
    assert_eq!(notes(&mut contacts).len(), 1);
    contacts.handle(NOW + millis(REPEAT), Input::Linked(key(2)));
    assert_eq!((outputs(&mut contacts), contacts.deadline()), (vec![Output::Save], None));
    // He lost his state, and asks again.
    contacts.handle(NOW, knock(2, "Bob", TWO));
    assert_eq!(notes(&mut contacts), [(key(2), Note::Accepted { name: name("Alice"), nonce: TWO })]);
}

#[test]
fn what_is_set_stays_with_the_contact() {
    let mut contacts = alice();
    let only = Some(RelayUse::Only);
    let relay = |contacts: &Contacts| contacts.of_name(&name("Bob")).expect("a contact").relay;
    assert!(contacts.set_relay(&name("Bob").into(), RelayUse::Only).is_err(), "no contact");
    // Asked by name; then he asks, and the wish is fulfilled with his key.
    contacts.add(&name("Bob"), None, ONE, NOW).expect("asked");
    contacts.set_relay(&name("Bob").into(), RelayUse::Only).expect("set");
    assert!(outputs(&mut contacts).contains(&Output::Save));
    contacts.handle(NOW, yes(2, "Bob", ONE));
    assert_eq!((standing(&contacts, 2), relay(&contacts)), (Some(Standing::Paired), only));
    contacts.trust(&name("Bob"), key(3), NOW).expect("another key");
    assert_eq!((standing(&contacts, 3), relay(&contacts)), (Some(Standing::Paired), only));
    // One who asks under the name of a wish takes its place.
    contacts.add(&name("Carol"), None, TWO, NOW).expect("asked");
    contacts.set_relay(&name("Carol").into(), RelayUse::Only).expect("set");
    contacts.handle(NOW, knock(4, "Dan", ONE));
    contacts.add(&name("Carol"), Some(key(4)), ONE, NOW).expect("admitted");
    assert_eq!(contacts.of_name(&name("Carol")).expect("a contact").relay, only);
    let saved = serde_json::to_string(contacts.saved()).expect("encodes");
    assert_eq!(serde_json::from_str::<Saved>(&saved).expect("decodes").contacts.len(), 2);
    let older = saved.replace(",\"relay\":\"only\"", "");
    assert_ne!(older, saved);
    let older: Saved = serde_json::from_str(&older).expect("an older file");
    assert!(older.contacts.iter().all(|contact| contact.relay.is_none()));
}
