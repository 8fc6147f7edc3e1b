//! Several phone books, and several keys for one name.

use super::*;
use crate::{
    contact::rivals::{FIRST_BOOK_TIME, SECOND_OPINION_TIME},
    knock::knock_number,
};
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeSet;

const BOOKS: [&str; 2] = ["https://one.example", "https://two.example"];

/// Alice, who has asked Bob by name through both phone books.
fn asking(books: usize) -> Contacts {
    let mut contacts = alice().carried_by(BOOKS[..books].iter().map(ToString::to_string).collect());
    contacts.add(&name("Bob"), None, ONE, NOW).expect("asked");
    outputs(&mut contacts);
    contacts
}

fn answer(from: u8, book: usize) -> Input {
    yes(from, "Bob", knock_number(&ONE, BOOKS[book]))
}

fn listed(keys: &[u8]) -> Input {
    Input::Listed { player: name("Bob"), keys: keys.iter().map(|seed| key(*seed)).collect() }
}

fn look() -> Output {
    Output::Look { player: name("Bob") }
}

fn disputes(said: &[Output]) -> Vec<Vec<PeerId>> {
    let keys = |output: &Output| match output {
        Output::Disputed { keys, .. } => Some(keys.clone()),
        _ => None,
    };
    said.iter().filter_map(keys).collect()
}

#[test]
fn an_answer_is_held_until_all_books_were_asked() {
    let mut contacts = asking(2);
    contacts.handle(NOW, yes(2, "Bob", ONE));
    assert_eq!(outputs(&mut contacts), [], "the wish's own number is told to nobody");
    contacts.handle(NOW, answer(2, 0));
    assert_eq!((outputs(&mut contacts), standing(&contacts, 2)), (vec![look()], None));
    contacts.handle(NOW, listed(&[2]));
    assert_eq!(standing(&contacts, 2), Some(Standing::Paired));
    // At the second phone book: the name's holder at the first may still answer.
    let mut contacts = asking(2);
    contacts.handle(NOW, answer(2, 1));
    contacts.handle(NOW, listed(&[]));
    assert_eq!(standing(&contacts, 2), None);
    contacts.handle(NOW, answer(2, 0));
    assert_eq!(standing(&contacts, 2), Some(Standing::Paired), "it was the same");
    // Without further answers, an answer is believed after a while.
    for (book, time) in [(0, SECOND_OPINION_TIME), (1, FIRST_BOOK_TIME)] {
        let mut contacts = asking(2);
        contacts.handle(NOW, answer(2, book));
        let until = NOW + millis(time);
        // The knock is repeated meanwhile.
        contacts.handle(until - 1, Input::Time);
        assert_eq!(standing(&contacts, 2), None);
        assert_eq!(contacts.deadline(), Some((until, Why::SecondOpinion)));
        contacts.handle(until, Input::Time);
        assert_eq!(standing(&contacts, 2), Some(Standing::Paired));
    }
    // With one phone book there is no second opinion.
    let mut contacts = asking(1);
    contacts.handle(NOW, answer(2, 0));
    assert_eq!(standing(&contacts, 2), Some(Standing::Paired));
}

#[test]
fn a_yes_answers_what_every_book_carried() {
    let mut contacts = alice();
    let numbers = BOOKS.map(|book| knock_number(&ONE, book));
    numbers.iter().for_each(|number| contacts.handle(NOW, knock(2, "Bob", *number)));
    outputs(&mut contacts);
    contacts.accept(&key(2).into(), NOW).expect("accepted");
    let yes = |number: &Bytes<16>| (key(2), Note::Accepted { name: name("Alice"), nonce: *number });
    assert_eq!(notes(&mut contacts), [yes(&numbers[1]), yes(&numbers[0])]);
}

#[test]
fn of_two_keys_nobody_is_paired_with() {
    let by_answers: &[Input] = &[answer(3, 1), listed(&[]), answer(2, 0)];
    let by_a_list: &[Input] = &[answer(3, 1), listed(&[2, 3])];
    let late: &[Input] = &[answer(3, 0), listed(&[]), answer(2, 1)];
    for words in [by_answers, by_a_list, late] {
        let mut contacts = asking(2);
        words.iter().for_each(|word| contacts.handle(NOW, word.clone()));
        let said = outputs(&mut contacts);
        let both = disputes(&said).pop().expect("a person is asked");
        assert_eq!(BTreeSet::from_iter(both), BTreeSet::from([key(2), key(3)]));
        assert!(!contacts.consents(&key(2)) && !contacts.consents(&key(3)));
        // Nothing is repeated or asked again until the person decides.
        contacts.handle(NOW, answer(3, 1));
        contacts.handle(NOW + 2 * millis(REPEAT), Input::Time);
        assert_eq!(outputs(&mut contacts), []);
        contacts.add(&name("Bob"), Some(key(2)), TWO, NOW).expect("that one");
        contacts.handle(NOW, answer(3, 1));
        assert!(contacts.consents(&key(2)) && !contacts.consents(&key(3)));
        assert!(contacts.of_name(&name("Bob")).is_some_and(|contact| contact.rivals.is_empty()));
    }
}

#[test]
fn a_second_answer_ends_a_pairing_by_name() {
    let mut contacts = asking(2);
    contacts.handle(NOW, answer(3, 1));
    contacts.handle(NOW + millis(FIRST_BOOK_TIME), Input::Time);
    assert!(contacts.consents(&key(3)));
    outputs(&mut contacts);
    let text = serde_json::to_string(contacts.saved()).expect("JSON");
    let saved = serde_json::from_str(&text).expect("its own text");
    let here = Here { key: key(1), player: Some(name("Alice")) };
    let carriers = BOOKS.iter().map(ToString::to_string).collect();
    let mut contacts = Contacts::new(here, Policy::Ask, saved, NOW).carried_by(carriers);
    contacts.handle(NOW, answer(2, 0));
    let said = outputs(&mut contacts);
    assert_eq!(disputes(&said), [vec![key(3), key(2)]], "also after a restart");
    assert!(said.contains(&Output::Disconnect(key(3))) && !contacts.consents(&key(3)));
    assert_eq!(contacts.saved().check(), Ok(()));
    // A person has decided: answers to the old wish are void.
    contacts.trust(&name("Bob"), key(3), NOW).expect("that one");
    contacts.handle(NOW, yes(3, "Bob", knock_number(&ONE, BOOKS[1])));
    contacts.handle(NOW, Input::Linked(key(3)));
    outputs(&mut contacts);
    contacts.handle(NOW, answer(2, 0));
    assert_eq!((outputs(&mut contacts), contacts.consents(&key(3))), (vec![], true));
}

#[derive(Debug, Clone)]
enum Word {
    Answer(u8, usize),
    Listed(Vec<u8>),
    Wait(u64),
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        3 => (2..5u8, 0..2usize).prop_map(|(from, book)| Word::Answer(from, book)),
        1 => vec(2..5u8, 0..3).prop_map(Word::Listed),
        1 => (0..60_000u64).prop_map(Word::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Only a name's single known key is paired with, and an undisputed one in time.
    #[test]
    fn only_an_undisputed_key_is_paired_with(words in vec(word(), 1..20)) {
        let (mut contacts, mut now) = (asking(2), NOW);
        let (mut answered, mut heard, mut listing) = (BTreeSet::new(), BTreeSet::new(), true);
        for word in words.into_iter().chain([Word::Wait(100_000)]) {
            let before = (2..5).any(|seed| contacts.consents(&key(seed)));
            match word {
                Word::Answer(from, book) => {
                    answered.insert(from);
                    heard.insert(from);
                    contacts.handle(now, answer(from, book));
                }
                Word::Listed(keys) => {
                    // Phone books' lists count until the decision.
                    listing &= !before;
                    if listing && !answered.is_empty() {
                        heard.extend(&keys);
                    }
                    contacts.handle(now, listed(&keys));
                }
                Word::Wait(time) => {
                    now += time;
                    contacts.handle(now, Input::Time);
                }
            }
            let paired: Vec<u8> = (2..5).filter(|seed| contacts.consents(&key(*seed))).collect();
            match paired[..] {
                [] => {}
                [one] => prop_assert!(heard.len() == 1 && heard.contains(&one), "{one} of {heard:?}"),
                _ => prop_assert!(false, "{paired:?}"),
            }
            prop_assert_eq!(contacts.saved().check(), Ok(()));
        }
        let paired = (2..5).any(|seed| contacts.consents(&key(seed)));
        prop_assert_eq!(paired, heard.len() == 1);
    }
}
