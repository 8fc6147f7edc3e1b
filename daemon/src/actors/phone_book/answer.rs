//! Requests of others through a phone book, and their letters.
//!
//! The coordinator decides whether a peer is sent this machine's addresses.

use super::{
    PhoneBook,
    words::{Answer, Asking, Exchange, Introduction, LOOKUP_TIME, List, MoreCandidates, PhonebookFact},
};
use crate::{
    actors::traversal::{Id, Offered, Tell},
    desks::orders::Post,
    io::{host_address, phonebook_http::PhonebookHttp},
    ledger::affords,
};
use actix::{Handler, ResponseFuture};
use fyteclub_proto::{
    codec, contact,
    id::PeerId,
    knock::{Callee, Knock, Note, knock_number},
    ledger::Counterpart,
    letter::{Attempt, Letter, Topic},
    limit::CANDIDATES_MAX,
    phonebook::live::{INTRODUCTION_TIME, Say},
    reaching::{
        candidate::{Candidate, Candidates, Teller, Vantage, may_be_dialled},
        wire::{offer::Offer, probe::Part},
    },
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};
use zeroize::Zeroizing;

/// Introductions that await the coordinator, which answers at once.
const ASKING_MAX: usize = 64;

impl PhoneBook {
    /// `told`: the text of this end's first letter. `offer`: the peer's, if both ends traverse NATs.
    pub(super) fn exchanging(
        &mut self,
        introduction: Introduction,
        peer: PeerId,
        told: Vec<u8>,
        offer: Option<Offer>,
        together: bool,
    ) {
        let is_it = |exchange: &Exchange| exchange.introduction == introduction && exchange.peer == peer;
        self.exchanges.retain(|exchange| exchange.since.elapsed() < INTRODUCTION_TIME && !is_it(exchange));
        let since = Instant::now();
        self.exchanges.push(Exchange { introduction, peer, since, told, offer, together, given: Vec::new() });
    }

    fn exchange(&mut self, introduction: Introduction, peer: PeerId) -> Option<&mut Exchange> {
        let mut all = self.exchanges.iter_mut();
        all.find(|exchange| exchange.introduction == introduction && exchange.peer == peer)
    }

    /// What is known of a phone book and of this machine when an address is checked. Before a live conversation the
    /// phone book has not told this machine's outside address: the local address toward it counts.
    pub(super) fn vantage(&self, book: usize, together: bool) -> Vantage {
        let Some(book) = self.books.get(book) else { return Vantage::default() };
        let at: Option<IpAddr> = book.http.remote();
        Vantage { book: at, here: book.observed.or_else(|| at.and_then(host_address::toward)), together }
    }

    /// The new addresses of a peer's letter that may be dialled: at most [`CANDIDATES_MAX`] for one attempt, over all
    /// its letters and phone books. The peer is charged for each.
    pub(super) fn admit(
        &mut self,
        introduction: Introduction,
        peer: PeerId,
        candidates: &Candidates,
    ) -> Vec<Candidate> {
        let is_it = |exchange: &&Exchange| exchange.introduction == introduction && exchange.peer == peer;
        let Some(together) = self.exchanges.iter().find(is_it).map(|exchange| exchange.together) else {
            return Vec::new();
        };
        let vantage = self.vantage(introduction.book, together);
        let of_attempt = |exchange: &&Exchange| {
            exchange.introduction.attempt == introduction.attempt && exchange.peer == peer
        };
        let mut given: Vec<SocketAddr> =
            self.exchanges.iter().filter(of_attempt).flat_map(|exchange| exchange.given.clone()).collect();
        let mut fresh = Vec::new();
        let who = Counterpart::Contact(peer);
        for Candidate { origin, addr } in candidates.0.iter().copied() {
            let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
            if given.contains(&addr) || !may_be_dialled(addr, Teller::Contact, &vantage) {
                continue;
            }
            if given.len() == CANDIDATES_MAX || !affords(&self.accounts, &who) {
                tracing::debug!(peer = %peer.short(), "more addresses of a peer than may be dialled");
                break;
            }
            given.push(addr);
            fresh.push(Candidate { origin, addr });
        }
        if let Some(exchange) = self.exchange(introduction, peer) {
            exchange.given.extend(fresh.iter().map(|candidate| candidate.addr));
        }
        fresh
    }

    /// Gives the session the peer's last offer, without candidates that may not be probed.
    pub(super) fn offered(&mut self, introduction: Introduction, peer: PeerId) {
        let Some(exchange) = self.exchange(introduction, peer) else { return };
        let (offer, together) = (exchange.offer.clone(), exchange.together);
        let Some(mut offer) = offer else { return };
        let vantage = self.vantage(introduction.book, together);
        self.admit(introduction, peer, &offer.candidates);
        let attempt = introduction.attempt;
        let of_attempt =
            |exchange: &&Exchange| exchange.introduction.attempt == attempt && exchange.peer == peer;
        let given: Vec<SocketAddr> =
            self.exchanges.iter().filter(of_attempt).flat_map(|exchange| exchange.given.clone()).collect();
        offer
            .candidates
            .0
            .retain(|told| given.contains(&SocketAddr::new(told.addr.ip().to_canonical(), told.addr.port())));
        self.traversals.do_send(Offered { id: Id { peer, attempt }, offer, vantage });
    }

    /// The callee learns that the phone book sees both ends at one address.
    pub(super) fn together(&mut self, introduction: Introduction, peer: PeerId) {
        if let Some(exchange) = self.exchange(introduction, peer).filter(|exchange| !exchange.together) {
            exchange.together = true;
            self.offered(introduction, peer);
        }
    }

    /// This machine's candidates have changed. Sessions tell of that themselves.
    pub(super) fn tell_more(&mut self) {
        self.exchanges.retain(|exchange| exchange.since.elapsed() < INTRODUCTION_TIME);
        for index in 0..self.exchanges.len() {
            if self.exchanges[index].offer.is_none() {
                let text = self.plain_text(&self.exchanges[index].peer);
                self.tell(index, &text);
            }
        }
    }

    /// Sends a text to the peer of an exchange, unless it was the last one.
    fn tell(&mut self, index: usize, text: &[u8]) {
        let Exchange { introduction: Introduction { book, attempt }, peer, told, .. } =
            &self.exchanges[index];
        if told == text {
            return;
        }
        let (book, attempt, to) = (*book, *attempt, *peer);
        self.exchanges[index].told = text.to_vec();
        if let Some(letter) = self.letter(&to, Topic::Candidates(attempt), text)
            && let Some(book) = self.books.get_mut(book)
        {
            book.conversation.say(Say::Candidates { to, attempt, letter });
        }
    }

    /// The letter is kept until the coordinator has decided.
    pub(super) fn introduced(&mut self, introduction: Introduction, from: PeerId, text: &[u8]) {
        match Offer::decode(text) {
            Ok(offer) => {
                if self.asking.len() == ASKING_MAX {
                    self.asking.pop_front();
                }
                self.asking.push_back(Asking { introduction, from, offer });
                self.facts.do_send(PhonebookFact::Introduced { introduction, from });
            }
            Err(error) => tracing::debug!("an introduction's letter: {error}"),
        }
    }

    pub(super) fn more_candidates(&mut self, book: usize, from: PeerId, attempt: Attempt, text: &[u8]) {
        let introduction = Introduction { book, attempt };
        let Ok(offer) = Offer::decode(text) else { return };
        if let Some(exchange) = self.exchange(introduction, from)
            && let Some(known) = &mut exchange.offer
        {
            *known = offer;
            return self.offered(introduction, from);
        }
        let more = self.admit(introduction, from, &offer.candidates);
        let more = if self.means.toward(&from).relay_only() { Vec::new() } else { more };
        if let Some(taker) = self.takers.get(&from).filter(|_| !more.is_empty()) {
            taker.do_send(MoreCandidates(more));
        }
    }

    /// Accepts an introduction with this text.
    fn accept(&mut self, asking: Asking, text: Vec<u8>, traverses: bool) {
        let Asking { introduction, from, offer } = asking;
        let Introduction { book, attempt } = introduction;
        let Some(letter) = self.letter(&from, Topic::Accept(attempt), &text) else { return };
        self.exchanging(introduction, from, text, traverses.then_some(offer), false);
        if let Some(book) = self.books.get_mut(book) {
            book.conversation.say(Say::Accept { to: from, attempt, letter });
        }
        if traverses {
            self.offered(introduction, from);
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
            self.facts.do_send(PhonebookFact::Received(contact::Input::Knocked(knock)));
        } else {
            tracing::debug!("a knock is addressed to another name, or forged");
        }
    }

    pub(super) fn noted(&mut self, from: PeerId, text: &[u8]) {
        match codec::decode::<Note>(text) {
            Ok(note) => self.facts.do_send(PhonebookFact::Received(contact::Input::Noted { from, note })),
            Err(error) => tracing::debug!("a note is none: {error}"),
        }
    }
}

impl Handler<Post> for PhoneBook {
    type Result = ();

    fn handle(&mut self, post: Post, ctx: &mut Self::Context) {
        self.hurry();
        let key = self.registrant.identity.key();
        let say = match post {
            Post::Knock { to, name, nonce } => {
                for book in &mut self.books {
                    let number = knock_number(&nonce, book.http.url());
                    let knock = Knock::signed(&to, &name, number, key);
                    book.conversation.say(Say::Knock { to: to.clone(), knock });
                }
                None
            }
            Post::Note { to, note } => {
                let mut secret = Zeroizing::new([0; 32]);
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

impl Handler<List> for PhoneBook {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, List(player): List, _: &mut Self::Context) -> Self::Result {
        let name = self.registrant.listing.name_of(&player);
        let facts = self.facts.clone();
        let books: Vec<PhonebookHttp> = self.books.iter().map(|book| book.http.clone()).collect();
        Box::pin(async move {
            let lookups = books.iter().map(|book| tokio::time::timeout(LOOKUP_TIME, book.lookup(&name)));
            let answers = futures::future::join_all(lookups).await;
            // A phone book that does not answer has no entry.
            let known = answers.into_iter().filter_map(|answer| answer.ok()?.ok()?);
            let mut keys: Vec<PeerId> = known.map(|entry| entry.peer).collect();
            keys.sort_unstable();
            keys.dedup();
            facts.do_send(PhonebookFact::Received(contact::Input::Listed { player, keys }));
        })
    }
}

impl Handler<Answer> for PhoneBook {
    type Result = ();

    fn handle(&mut self, answer: Answer, ctx: &mut Self::Context) {
        let Answer { introduction, to, accept } = answer;
        let Introduction { book, attempt } = introduction;
        let is_it = |asking: &Asking| asking.introduction == introduction && asking.from == to;
        let asking = self.asking.iter().position(is_it).and_then(|at| self.asking.remove(at));
        let Some(asking) = asking.filter(|_| accept) else {
            if let Some(book) = self.books.get_mut(book) {
                book.conversation.say(Say::Decline { to, attempt });
            }
            return self.drive(ctx);
        };
        if asking.offer.secret.is_none() {
            self.accept(asking, self.plain_text(&to), false);
            return self.drive(ctx);
        }
        self.with_offer(Id { peer: to, attempt }, Part::Callee, ctx, move |books, text, traverses, ctx| {
            books.accept(asking, text, traverses);
            books.drive(ctx);
        });
    }
}

impl Handler<Tell> for PhoneBook {
    type Result = ();

    fn handle(&mut self, Tell { id, offer }: Tell, ctx: &mut Self::Context) {
        let text = offer.encode();
        for index in 0..self.exchanges.len() {
            let Exchange { introduction, peer, offer, .. } = &self.exchanges[index];
            if offer.is_some() && (*peer, introduction.attempt) == (id.peer, id.attempt) {
                self.tell(index, &text);
            }
        }
        self.drive(ctx);
    }
}
