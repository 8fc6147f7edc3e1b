//! Several phone books, and several keys for one name.

use super::*;
use crate::{contact::rivals::SECOND_OPINION_TIME, knock::knock_number};
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
    contacts.handle(NOW, answer(2, 1));
    assert_eq!((outputs(&mut contacts), standing(&contacts, 2)), (vec![look()], None));
    contacts.handle(NOW, listed(&[2]));
    assert_eq!(standing(&contacts, 2), Some(Standing::Paired));
    // Where nobody says anything, an answer is believed after a while.
    let mut contacts = asking(2);
    contacts.handle(NOW, answer(2, 0));
    let until = NOW + millis(SECOND_OPINION_TIME);
    assert_eq!(contacts.deadline(), Some((until, Why::SecondOpinion)));
    contacts.handle(until, Input::Time);
    assert_eq!(standing(&contacts, 2), Some(Standing::Paired));
    // With one phone book there is no second opinion.
    let mut contacts = asking(1);
    contacts.handle(NOW, answer(2, 0));
    assert_eq!(standing(&contacts, 2), Some(Standing::Paired));
}

#[test]
fn of_two_keys_nobody_is_paired_with() {
    let by_answers: &[Input] = &[answer(3, 1), answer(2, 0), listed(&[])];
    let by_a_list: &[Input] = &[answer(3, 1), listed(&[2, 3])];
    for words in [by_answers, by_a_list] {
        let mut contacts = asking(2);
        words.iter().for_each(|word| contacts.handle(NOW, word.clone()));
        let said = outputs(&mut contacts);
        let both = disputes(&said).pop().expect("a person is asked");
        assert_eq!(BTreeSet::from_iter(both), BTreeSet::from([key(2), key(3)]));
        assert!(!contacts.consents(&key(2)) && !contacts.consents(&key(3)));
        // Nothing is said again, nor asked again, until the person says who is meant.
        contacts.handle(NOW, answer(3, 1));
        contacts.handle(NOW + 2 * millis(REPEAT), Input::Time);
        assert_eq!(outputs(&mut contacts), []);
        contacts.add(&name("Bob"), Some(key(2)), TWO, NOW).expect("that one");
        assert!(contacts.consents(&key(2)) && !contacts.consents(&key(3)));
        assert!(contacts.of_name(&name("Bob")).is_some_and(|contact| contact.rivals.is_empty()));
    }
}

#[test]
fn a_second_answer_after_the_pairing_is_told() {
    let mut contacts = asking(2);
    contacts.handle(NOW, answer(3, 1));
    contacts.handle(NOW, listed(&[3]));
    outputs(&mut contacts);
    let text = serde_json::to_string(contacts.saved()).expect("JSON");
    let saved = serde_json::from_str(&text).expect("its own text");
    let here = Here { key: key(1), player: Some(name("Alice")) };
    let carriers = BOOKS.iter().map(ToString::to_string).collect();
    let mut contacts = Contacts::new(here, Policy::Ask, saved, NOW).carried_by(carriers);
    contacts.handle(NOW, answer(2, 0));
    assert_eq!(disputes(&outputs(&mut contacts)), [vec![key(3), key(2)]], "also after a restart");
    assert!(contacts.consents(&key(3)), "a late word parts nobody");
    contacts.handle(NOW, answer(2, 0));
    assert_eq!(outputs(&mut contacts), [], "once");
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
        1 => (0..6000u64).prop_map(Word::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whoever is paired with is the only key that was heard of until it was decided, and it is decided in time.
    #[test]
    fn only_an_undisputed_key_is_paired_with(words in vec(word(), 1..20)) {
        let (mut contacts, mut now) = (asking(2), NOW);
        // What the machine may know of the wish, and until when it is open.
        let (mut heard, mut until, mut decided) = (BTreeSet::new(), None, false);
        for word in words.into_iter().chain([Word::Wait(10_000)]) {
            let closes = match &word {
                Word::Answer(from, _) if !decided => {
                    heard.insert(*from);
                    until.get_or_insert(now + millis(SECOND_OPINION_TIME));
                    false
                }
                Word::Listed(keys) if !decided && until.is_some() => {
                    heard.extend(keys);
                    true
                }
                Word::Wait(time) => {
                    now += time;
                    until.is_some_and(|until| now >= until)
                }
                Word::Answer(..) | Word::Listed(_) => false,
            };
            match word {
                Word::Answer(from, book) => contacts.handle(now, answer(from, book)),
                Word::Listed(keys) => contacts.handle(now, listed(&keys)),
                Word::Wait(_) => contacts.handle(now, Input::Time),
            }
            let paired: Vec<u8> = (2..5).filter(|seed| contacts.consents(&key(*seed))).collect();
            decided |= closes;
            match (decided, heard.len()) {
                (true, 1) => prop_assert_eq!(&paired, &heard.iter().copied().collect::<Vec<_>>()),
                _ => prop_assert!(paired.is_empty(), "{:?} of {:?}", paired, heard),
            }
            prop_assert_eq!(contacts.saved().check(), Ok(()));
        }
    }
}
