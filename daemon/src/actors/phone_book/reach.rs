//! Finds a peer: asks for an introduction, and looks its name up, at the same time.

use super::{
    PhoneBook,
    words::{Call, Found, Introduction, LOOKUP_TIME, LookupError, Reach},
};
use crate::{
    actors::{
        random,
        traversal::{Begin, End, Id, Renew},
    },
    desks::links::Seen,
    io::{
        host_address,
        phonebook_http::{Entry, PhonebookError, PhonebookHttp},
    },
};
use actix::{ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
use futures::{StreamExt, stream::FuturesUnordered};
use fyteclub_proto::{
    bytes::Bytes,
    id::PeerId,
    knock::Callee,
    ledger::{Counterpart, Item},
    letter::{Attempt, Letter, Topic},
    phonebook::live::Say,
    reaching::{
        candidate::{Candidate, Candidates, Origin, Teller, Vantage, may_be_dialled},
        introduction::{self, Failure, HEDGE, Input, Output, WhenAbsent},
        reachable::Slot,
        wire::{offer::Offer, probe::Part},
    },
};
use std::{
    collections::BTreeMap,
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// How long a callee that was online just now is called again.
const FRESH_TIME: Duration = Duration::from_secs(6);
/// How long an introduction may take before the address of a lookup is used.
const LATE: Duration = Duration::from_secs(1);
/// The pause before a message that did not fit into the queue is sent again.
const FULL_PAUSE: Duration = Duration::from_millis(200);

impl PhoneBook {
    /// Records this machine's addresses as the phone books see them, and the local ones toward them.
    fn note_observed(&self) {
        let observed: Vec<IpAddr> = self.books.iter().filter_map(|book| book.observed).collect();
        let mut facing = Vec::new();
        if self.reachable.is_anywhere() {
            facing.extend(observed.iter().filter_map(|ip| host_address::toward(ip.to_canonical())));
            // A peer that a phone book on this machine introduces is on it too, and may have a socket of one family
            // only.
            if observed.iter().any(|ip| ip.to_canonical().is_loopback()) {
                facing.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
            }
        }
        self.reachable.set(Slot::Facing, facing);
        self.reachable.set(Slot::Observed, observed);
    }

    /// This machine's candidates, the most reliable first, [`fyteclub_proto::limit::CANDIDATES_MAX`] at most.
    pub(super) fn candidates(&self) -> Candidates {
        // Routes may change without a change of addresses.
        self.note_observed();
        self.reachable.watch().borrow().clone()
    }

    /// The text of a letter to a peer without NAT traversal: this machine's addresses.
    pub(super) fn plain_text(&self, to: &PeerId) -> Vec<u8> {
        if self.means.toward(to).relay_only() { Vec::new() } else { self.candidates().encode() }
    }

    pub(super) fn letter(&self, to: &PeerId, topic: Topic, text: &[u8]) -> Option<Letter> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut_slice()).ok()?;
        Letter::seal(self.registrant.identity.key(), to, topic, text, secret).ok()
    }

    /// Asks for a session, and calls `then` with the text of the first letter, and whether it is a session's.
    pub(super) fn with_offer(
        &mut self,
        id: Id,
        part: Part,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, Vec<u8>, bool, &mut Context<Self>) + 'static,
    ) {
        if !self.means.toward(&id.peer).any() {
            return then(self, self.plain_text(&id.peer), false, ctx);
        }
        // Routes may have changed.
        self.note_observed();
        let (tell, renew) = (ctx.address().recipient(), ctx.address().recipient());
        let begin = Begin { id, part, tell, renew };
        ctx.spawn(self.traversals.send(begin).into_actor(self).map(move |offer, book, ctx| {
            match offer.ok().flatten() {
                Some(offer) => then(book, offer.encode(), true, ctx),
                None => then(book, book.plain_text(&id.peer), false, ctx),
            }
        }));
    }

    /// The callee's own answer arrived; the machine decides when to go on.
    pub(super) fn accepted(
        &mut self,
        introduction: Introduction,
        from: PeerId,
        same_network: bool,
        text: &[u8],
    ) {
        let Introduction { book, attempt } = introduction;
        let Some(call) = self.calls.get_mut(&attempt).filter(|call| call.peer == from) else { return };
        let Ok(offer) = Offer::decode(text) else { return };
        let told = call.sent.remove(&book).unwrap_or_default();
        let call_renews = call.renews;
        let means = self.means.toward(&from);
        let traverses = offer.secret.is_some() && means.any();
        self.exchanging(introduction, from, told, traverses.then(|| offer.clone()), same_network);
        let id = Id { peer: from, attempt };
        let found = if traverses {
            self.offered(introduction, from);
            Some(Found::Traversing)
        } else {
            if call_renews {
                return;
            }
            self.traversals.do_send(End(id));
            let admitted = self.admit(introduction, from, &offer.candidates);
            (!means.relay_only()).then_some(Found::At(admitted))
        };
        if let Some(call) = self.calls.get_mut(&attempt) {
            match (&mut call.found, found) {
                (Some(Found::At(known)), Some(Found::At(more))) => known.extend(more),
                (known, found) => *known = found,
            }
        }
        self.introductions.handle(Instant::now(), Input::Accepted { peer: from, attempt });
    }

    pub(super) fn drive_introductions(&mut self, ctx: &mut Context<Self>) {
        while let Some(output) = self.introductions.poll() {
            match output {
                Output::Introduce { book, peer, attempt } => {
                    self.with_offer(Id { peer, attempt }, Part::Caller, ctx, move |books, text, _, ctx| {
                        books.introduce(Introduction { book, attempt }, peer, text);
                        books.drive(ctx);
                    });
                }
                Output::Dial { attempt } => {
                    if let Some(call) = self.calls.remove(&attempt) {
                        // A caller that stopped waiting needs no answer.
                        call.answer.send(Ok(call.found.unwrap_or(Found::At(Vec::new())))).ok();
                    }
                }
                Output::Failed { attempt, why } => {
                    if let Some(call) = self.calls.remove(&attempt) {
                        if !call.renews {
                            self.traversals.do_send(End(Id { peer: call.peer, attempt }));
                        }
                        call.answer.send(Err(why)).ok();
                    }
                }
            }
        }
    }

    fn introduce(&mut self, introduction: Introduction, peer: PeerId, text: Vec<u8>) {
        let Introduction { book, attempt } = introduction;
        let letter = self.letter(&peer, Topic::Introduce(attempt), &text);
        let say = letter.map(|letter| Say::Introduce { to: Callee::Key(peer), attempt, letter });
        let conversation = self.books.get_mut(book).map(|book| &mut book.conversation);
        let Some((say, conversation)) = say.zip(conversation) else { return };
        if !conversation.say(say) {
            // A closed connection reports its end; otherwise its queue is full.
            let limited = Input::Limited { book, attempt, retry_after: FULL_PAUSE };
            self.introductions.handle(Instant::now(), limited);
        } else if let Some(call) = self.calls.get_mut(&attempt) {
            call.sent.insert(book, text);
        }
    }

    /// A peer is wanted: phone books that are backing off are tried now.
    pub(super) fn hurry(&mut self) {
        let now = Instant::now();
        self.books.iter_mut().for_each(|book| book.conversation.want(now, random()));
    }

    /// Begins an introduction; without randomness the answer is dropped.
    fn call(&mut self, reach: &Reach) -> oneshot::Receiver<Result<Found, Failure>> {
        let (answer, answered) = oneshot::channel();
        let mut attempt = [0; 16];
        if getrandom::fill(&mut attempt).is_ok() {
            let Reach { peer, asked, since, .. } = *reach;
            let when_absent = match since {
                Seen::JustNow => WhenAbsent::Until(Instant::now() + FRESH_TIME),
                Seen::Once => WhenAbsent::None,
                Seen::Never => WhenAbsent::Usual,
            };
            let call = Call { peer, sent: BTreeMap::new(), found: None, renews: false, answer };
            self.begin_call(Bytes(attempt), call, asked, when_absent);
        }
        answered
    }

    fn begin_call(&mut self, attempt: Attempt, call: Call, asked: bool, when_absent: WhenAbsent) {
        let (now, peer) = (Instant::now(), call.peer);
        let coming = self.books.iter().enumerate().filter(|(_, book)| book.conversation.is_coming(now));
        let coming = coming.map(|(index, _)| index).collect();
        self.calls.insert(attempt, call);
        let call = introduction::Call { peer, attempt, asked, when_absent, coming };
        self.introductions.handle(now, Input::Call(call));
    }
}

impl Handler<Renew> for PhoneBook {
    type Result = ();

    fn handle(&mut self, Renew { id: Id { peer, attempt }, part }: Renew, ctx: &mut Self::Context) {
        self.hurry();
        if part == Part::Caller && !self.calls.contains_key(&attempt) {
            let (answer, _) = oneshot::channel();
            let call = Call { peer, sent: BTreeMap::new(), found: None, renews: true, answer };
            // The peer may reconnect to the phone book a moment later.
            self.begin_call(attempt, call, true, WhenAbsent::Until(Instant::now() + FRESH_TIME));
        }
        self.drive(ctx);
    }
}

impl Handler<Reach> for PhoneBook {
    type Result = ResponseFuture<Result<Found, LookupError>>;

    fn handle(&mut self, reach: Reach, ctx: &mut Self::Context) -> Self::Result {
        if self.books.is_empty() {
            return Box::pin(async { Err(LookupError::NoPhonebook) });
        }
        self.hurry();
        let introduced = self.call(&reach);
        self.drive(ctx);
        let Reach { peer, name, more, .. } = reach;
        self.takers.retain(|_, taker| taker.connected());
        self.takers.insert(peer, more);
        let books: Vec<PhonebookHttp> = self.books.iter().map(|book| book.http.clone()).collect();
        let vantages: Vec<Vantage> = (0..books.len()).map(|book| self.vantage(book, false)).collect();
        let accounts = self.accounts.clone();
        let means = self.means.toward(&peer);
        let name = name.filter(|_| !means.relay_only()).map(|name| self.registrant.listing.name_of(&name));
        let late = if means.any() { LATE } else { Duration::ZERO };
        Box::pin(async move {
            let introduced = async move {
                match introduced.await {
                    // Also if its letter has no address that may be dialled.
                    Ok(Ok(Found::At(candidates))) if candidates.is_empty() => Err(Failure::NotThere),
                    Ok(found) => found,
                    Err(_) => Err(Failure::NotThere),
                }
            };
            let listed = async move {
                let found = match name {
                    Some(name) => listed(books, &name).await,
                    None => Err(LookupError::NotFound),
                };
                match found {
                    Ok((entry, _)) if entry.peer != peer => Err(LookupError::OtherKey(entry.peer)),
                    Ok((Entry { addr: Some(addr), .. }, book)) => {
                        let vantage = vantages.get(book.index).copied().unwrap_or_default();
                        // Its first answer has shown its address.
                        let vantage = Vantage { book: book.http.remote().or(vantage.book), ..vantage };
                        let who = Counterpart::PhoneBook(book.http.url().to_owned());
                        let affords = || accounts.charge(&who, Item::Lookups, 1).is_ok();
                        if may_be_dialled(addr, Teller::PhoneBook, &vantage) && affords() {
                            Ok(vec![Candidate { origin: Origin::Observed, addr }])
                        } else {
                            Err(LookupError::NotFound)
                        }
                    }
                    Ok((Entry { addr: None, .. }, _)) => Err(LookupError::NotFound),
                    Err(error) => Err(error),
                }
            };
            first(introduced, listed, late).await
        })
    }
}

/// The introduction's answer; the lookup's if that fails, or is late. Packets to the addresses of a lookup must not go
/// before those of hole punching: a router takes an early packet for itself, and keeps its mapping.
async fn first(
    introduced: impl Future<Output = Result<Found, Failure>>,
    listed: impl Future<Output = Result<Vec<Candidate>, LookupError>>,
    late: Duration,
) -> Result<Found, LookupError> {
    let (mut introduced, mut listed) = (std::pin::pin!(introduced), std::pin::pin!(listed));
    let mut wait = std::pin::pin!(tokio::time::sleep(late));
    let (mut failed, mut found, mut is_late) = (None, None, false);
    loop {
        tokio::select! {
            answer = &mut introduced, if failed.is_none() => match answer {
                Ok(answer) => return Ok(answer),
                Err(failure) => failed = Some(failure),
            },
            answer = &mut listed, if found.is_none() => found = Some(answer),
            () = &mut wait, if !is_late => is_late = true,
        }
        match (&mut found, failed) {
            (Some(Ok(candidates)), failed) if is_late || failed.is_some() => {
                return Ok(Found::At(std::mem::take(candidates)));
            }
            (Some(Err(_)), Some(failure)) => {
                let Some(Err(error)) = found else { continue };
                return Err(both(error, failure));
            }
            _ => {}
        }
    }
}

/// Why neither a lookup nor an introduction found the peer.
fn both(listed: LookupError, introduced: Failure) -> LookupError {
    match (listed, introduced) {
        (LookupError::NotFound, Failure::NotBack) => LookupError::NotBack,
        (LookupError::NotFound, Failure::Busy) => LookupError::Busy,
        (error, _) => error,
    }
}

/// One of the phone books, by its index.
struct Numbered {
    index: usize,
    http: PhonebookHttp,
}

/// Asks one phone book after the other, the next one when one is slow, for [`LOOKUP_TIME`]; the first entry counts.
async fn listed(books: Vec<PhonebookHttp>, name: &str) -> Result<(Entry, Numbered), LookupError> {
    let mut worst = LookupError::NoPhonebook;
    let books = books.into_iter().enumerate().map(|(index, http)| Numbered { index, http });
    let mut waiting = books.collect::<Vec<_>>().into_iter();
    let mut asked = FuturesUnordered::new();
    let mut over = std::pin::pin!(tokio::time::sleep(LOOKUP_TIME));
    loop {
        if let Some(book) = waiting.next() {
            asked.push(async move { (book.http.lookup(name).await, book) });
        }
        let hedge = async {
            match waiting.len() {
                0 => std::future::pending().await,
                _ => tokio::time::sleep(HEDGE.mul_f64(0.9 + random() / 5.0)).await,
            }
        };
        tokio::select! {
            answer = asked.next() => match answer {
                Some((Ok(Some(entry)), book)) => return Ok((entry, book)),
                Some((Ok(None), _)) => worst = LookupError::NotFound,
                Some((Err(error), book)) => {
                    tracing::debug!("phone book {}: {error}", book.http.url());
                    if !matches!(worst, LookupError::NotFound) {
                        worst = LookupError::Unavailable(error);
                    }
                }
                None => return Err(worst),
            },
            () = hedge => {}
            () = &mut over => return Err(match worst {
                LookupError::NoPhonebook => LookupError::Unavailable(PhonebookError::silent(LOOKUP_TIME)),
                worst => worst,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn silent_phone_book_does_not_say_who_is_absent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let client = PhonebookHttp::client().expect("TLS");
        let book = PhonebookHttp::new(&url, client).expect("a URL");
        let error = listed(vec![book], "Alice").await.err().expect("no answer");
        assert!(matches!(error, LookupError::Unavailable(_)), "{error}");
        assert_eq!(error.to_string(), "the phone book does not answer (nothing came within 2 s)");
    }
}
