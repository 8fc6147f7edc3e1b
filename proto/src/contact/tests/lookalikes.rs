//! Names that can be confused with another contact's, or with this player's own.

use super::*;

#[test]
fn lookalike_of_a_contact_or_oneself_is_named() {
    let mut contacts = alice();
    contacts.add(&name("Bob"), Some(key(2)), ONE, NOW).expect("added");
    // Cyrillic о and Greek capital alpha.
    for (seed, claimed) in [(3, "Bоb"), (4, "Αlice"), (5, "Carol"), (6, "Bob")] {
        contacts.handle(NOW + 1, knock(seed, claimed, Bytes([seed; 16])));
    }
    let like = |seed: u8| {
        let asker = contacts.iter().find(|contact| contact.peer_id == Some(key(seed))).expect("asks");
        contacts.looks_like(asker).cloned()
    };
    assert_eq!([3, 4, 5, 6].map(like), [Some(name("Bob")), Some(name("Alice")), None, None]);
    // A contact with a lookalike name is still reported, also after a restart; the genuine one is not.
    contacts.accept(&name("Bоb").into(), NOW + 2).expect("asks");
    let here = Here { key: key(1), player: Some(name("Alice")) };
    let contacts = Contacts::new(here, Policy::Ask, contacts.saved().clone(), NOW + 3);
    let like = |seed: u8| {
        let contact = contacts.iter().find(|contact| contact.peer_id == Some(key(seed))).expect("a contact");
        contacts.looks_like(contact).cloned()
    };
    assert_eq!([2, 3].map(like), [None, Some(name("Bob"))]);
}

/// Pairing says nothing about which of two was a contact first.
#[test]
fn first_contact_stays_first_when_it_is_paired() {
    let mut contacts = alice();
    contacts.add(&name("Bob"), Some(key(2)), ONE, NOW).expect("added");
    contacts.handle(NOW + 1, knock(3, "Bоb", Bytes([3; 16])));
    contacts.accept(&name("Bоb").into(), NOW + 2).expect("asks");
    contacts.handle(NOW + 3, knock(2, "Bob", Bytes([2; 16])));
    assert_eq!([2, 3].map(|of| standing(&contacts, of)), [Some(Standing::Paired); 2]);
    let here = || Here { key: key(1), player: Some(name("Alice")) };
    let again = Contacts::new(here(), Policy::Ask, contacts.saved().clone(), NOW + 4);
    for contacts in [&contacts, &again] {
        let like = |seed: u8| {
            let contact = contacts.iter().find(|contact| contact.peer_id == Some(key(seed)));
            contacts.looks_like(contact.expect("a contact")).cloned()
        };
        assert_eq!([2, 3].map(like), [None, Some(name("Bob"))]);
    }
    // Of what an older daemon stored only the time of the status is known.
    let mut old = contacts.saved().clone();
    old.contacts.iter_mut().for_each(|contact| contact.contact_since = None);
    let old = Contacts::new(here(), Policy::Ask, old, NOW + 4);
    let kept = old.iter().map(|contact| contact.contact_since == Some(contact.since));
    assert!(kept.eq([true; 2]));
}
