//! When a message is repeated that nobody answers.

use super::*;

#[test]
fn what_waits_is_said_again_a_batch_at_a_time() {
    let mut contacts = alice();
    let many = BATCH + 4;
    for n in 0..many {
        contacts.add(&name(&format!("C{n}")), None, ONE, NOW).expect("added");
    }
    outputs(&mut contacts);
    assert_eq!(contacts.deadline(), Some((NOW + millis(FIRST_REPEAT), Why::Repeat)));
    contacts.handle(NOW + 1, Input::Time);
    assert_eq!(outputs(&mut contacts), [], "too early");
    let later = NOW + 2 * millis(REPEAT);
    contacts.handle(later, Input::Connected);
    assert_eq!(outputs(&mut contacts).len(), BATCH);
    let (rest, _) = contacts.deadline().expect("the rest");
    assert_eq!(rest, later + millis(BATCH_PAUSE));
    contacts.handle(rest, Input::Time);
    assert_eq!(outputs(&mut contacts).len(), 4);
    let (next, _) = contacts.deadline().expect("again");
    assert_eq!(next, later + millis(REPEAT));
    // Not for ever.
    let month = NOW + millis(REQUEST_TIME);
    contacts.handle(month, Input::Connected);
    assert_eq!((outputs(&mut contacts), contacts.deadline()), (vec![], None));
}

/// When a wish's message is sent in its first day, in seconds; nobody answers.
fn sent(mut contacts: Contacts) -> Vec<u64> {
    let mut sent = Vec::new();
    outputs(&mut contacts);
    while let Some((at, _)) = contacts.deadline().filter(|(at, _)| *at < NOW + millis(INVITATION_TIME)) {
        contacts.handle(at, Input::Time);
        let message = |output: &Output| matches!(output, Output::Knock { .. } | Output::Note { .. });
        sent.extend(
            outputs(&mut contacts).iter().filter(|output| message(output)).map(|_| (at - NOW) / 1000),
        );
    }
    sent
}

#[test]
fn message_waits_half_as_long_again() {
    let invitation = Invitation { player: name("Bob"), peer_id: key(2), secret: TWO, phonebooks: vec![] };
    let (mut asks, mut joins) = (alice(), alice());
    asks.add(&name("Bob"), Some(key(2)), ONE, NOW).expect("added");
    joins.join(&invitation, ONE, NOW).expect("joined");
    let (asks, joins) = (sent(asks), sent(joins));
    assert_eq!((&asks[..5], &joins[..5]), (&[5, 10, 15, 22, 33][..], &[5, 10, 15, 22, 33][..]));
    let longest = |sent: &[u64]| sent.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert_eq!((longest(&asks), longest(&joins)), (Some(300), Some(60)));
    assert!(asks.len() < 310 && joins.len() < 1460, "{}, {}", asks.len(), joins.len());
}

#[test]
fn clock_set_back_repeats_no_sooner() {
    let mut contacts = alice();
    contacts.add(&name("Bob"), Some(key(2)), ONE, NOW).expect("added");
    outputs(&mut contacts);
    let before = NOW - millis(REQUEST_TIME) * 12;
    contacts.handle(before, Input::Time);
    assert_eq!(outputs(&mut contacts).len(), 1);
    assert_eq!(contacts.deadline(), Some((before + millis(REPEAT), Why::Repeat)));
}
