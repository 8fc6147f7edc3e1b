//! What others want of this daemon through a phone book, and what it has carried to them.
//!
//! Whether somebody may know our addresses, the coordinator says; here is only how that travels.

use super::{PhoneBook, PhonebookFact};
use actix::{Handler, Message};
use fyteclub_proto::{
    candidate::Candidates,
    codec,
    id::PeerId,
    knock::{Callee, Knock, Note},
    letter::{Attempt, Letter, Topic},
    phonebook::live::{INTRODUCTION_TIME, Say},
};
use std::time::Instant;
use zeroize::Zeroizing;

/// Which introduction, by which phone book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Introduction {
    pub book: usize,
    pub attempt: Attempt,
}

/// Whether the addresses of this machine are told to who asked to be introduced.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Answer {
    pub introduction: Introduction,
    pub to: PeerId,
    pub accept: bool,
}

/// Carried by every phone book that is connected; lost where none is, and nobody hears whether it arrived.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Post {
    /// Signed for the callee as the phone books know it: see [`fyteclub_proto::phonebook::Listing::name_of`].
    Knock {
        to: Callee,
        knock: Knock,
    },
    Note {
        to: PeerId,
        note: Note,
    },
}

/// An introduction that was accepted lately: addresses that are learned now are told, too.
pub struct Exchange {
    introduction: Introduction,
    peer: PeerId,
    since: Instant,
    /// What the other side was told last.
    told: Candidates,
}

impl PhoneBook {
    pub(super) fn exchanging(&mut self, book: usize, peer: PeerId, attempt: Attempt) {
        self.exchanges.retain(|exchange| exchange.since.elapsed() < INTRODUCTION_TIME);
        let introduction = Introduction { book, attempt };
        self.exchanges.push(Exchange { introduction, peer, since: Instant::now(), told: self.candidates() });
    }

    /// This machine can be reached in another way than a moment ago.
    pub(super) fn tell_more(&mut self) {
        self.exchanges.retain(|exchange| exchange.since.elapsed() < INTRODUCTION_TIME);
        let all = self.candidates();
        for index in 0..self.exchanges.len() {
            let Exchange { introduction, peer, told, .. } = &self.exchanges[index];
            if *told == all {
                continue;
            }
            let (Introduction { book, attempt }, to) = (*introduction, *peer);
            self.exchanges[index].told = all.clone();
            if let Some(letter) = self.address_letter(&to, Topic::Candidates(attempt))
                && let Some(book) = self.books.get_mut(book)
            {
                book.conversation.say(Say::Candidates { to, attempt, letter });
            }
        }
    }

    pub(super) fn introduced(&mut self, introduction: Introduction, from: PeerId, text: &[u8]) {
        let Ok(candidates) = codec::decode::<Candidates>(text) else {
            tracing::debug!("an introduction's letter holds no addresses");
            return;
        };
        let observed = self.books.get(introduction.book).and_then(|book| book.observed);
        let addrs = candidates.worth_dialing(observed);
        self.facts.do_send(PhonebookFact::Introduced { introduction, from, addrs });
    }

    pub(super) fn more_candidates(&mut self, book: usize, from: PeerId, attempt: Attempt, text: &[u8]) {
        let introduction = Introduction { book, attempt };
        let known = |exchange: &Exchange| exchange.introduction == introduction && exchange.peer == from;
        if !self.exchanges.iter().any(known) {
            return;
        }
        if let Ok(candidates) = codec::decode::<Candidates>(text) {
            let addrs = candidates.worth_dialing(self.books.get(book).and_then(|book| book.observed));
            self.facts.do_send(PhonebookFact::MoreAddresses { peer: from, addrs });
        }
    }

    pub(super) fn knocked(&mut self, to: &Callee, knock: Knock) {
        let here = match to {
            Callee::Key(key) => *key == self.registrant.identity.peer_id(),
            Callee::Name(name) => {
                let registrant = &self.registrant;
                registrant.player.as_ref().is_some_and(|player| registrant.listing.name_of(player) == *name)
            }
        };
        if here && knock.is_authentic(to) {
            self.facts.do_send(PhonebookFact::Knocked(knock));
        } else {
            tracing::debug!("a knock is not for this door, or forged");
        }
    }

    pub(super) fn noted(&mut self, from: PeerId, text: &[u8]) {
        match codec::decode::<Note>(text) {
            Ok(note) => self.facts.do_send(PhonebookFact::Noted { from, note }),
            Err(error) => tracing::debug!("a note is none: {error}"),
        }
    }
}

impl Handler<Post> for PhoneBook {
    type Result = ();

    fn handle(&mut self, post: Post, ctx: &mut Self::Context) {
        let say = match post {
            Post::Knock { to, knock } => Some(Say::Knock { to, knock }),
            Post::Note { to, note } => {
                let mut secret = Zeroizing::new([0; 32]);
                let key = self.registrant.identity.key();
                let sealed = getrandom::fill(secret.as_mut_slice())
                    .ok()
                    .and_then(|()| Letter::seal(key, &to, Topic::Note, &codec::encode(&note), secret).ok());
                sealed.map(|letter| Say::Note { to, letter })
            }
        };
        if let Some(say) = say {
            self.books.iter_mut().for_each(|book| {
                book.conversation.say(say.clone());
            });
        }
        self.drive(ctx);
    }
}

impl Handler<Answer> for PhoneBook {
    type Result = ();

    fn handle(&mut self, answer: Answer, ctx: &mut Self::Context) {
        let Answer { introduction, to, accept } = answer;
        let Introduction { book, attempt } = introduction;
        let letter = accept.then(|| self.address_letter(&to, Topic::Accept(attempt))).flatten();
        let say = match letter {
            Some(letter) => {
                self.exchanging(book, to, attempt);
                Say::Accept { to, attempt, letter }
            }
            None => Say::Decline { to, attempt },
        };
        if let Some(book) = self.books.get_mut(book) {
            book.conversation.say(say);
        }
        self.drive(ctx);
    }
}
