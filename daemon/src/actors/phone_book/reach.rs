//! Where is a peer? Asks for an introduction, and the lists of those who are listed, at the same time.

use super::PhoneBook;
use crate::{
    actors::random,
    io::{
        host_address,
        phonebook_http::{Entry, PhonebookError, PhonebookHttp},
    },
};
use actix::{Handler, Message, ResponseFuture};
use futures::{StreamExt, future::Either, stream::FuturesUnordered};
use fyteclub_proto::{
    bytes::Bytes,
    candidate::{Candidate, Candidates, Origin},
    codec,
    id::{PeerId, PlayerName},
    introduction::{HEDGE, Input, Output},
    knock::Callee,
    letter::{Attempt, Letter, Topic},
    phonebook::live::Say,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// How long the lists of all phone books together may take.
const LOOKUP_TIME: Duration = Duration::from_secs(2);

/// Why a player's address is not known.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    #[error("no phone book is configured: start the daemon with --phonebook URL")]
    NoPhonebook,
    #[error("they are not online, or do not let themselves be found by you")]
    NotFound,
    #[error("{0}")]
    Unavailable(PhonebookError),
    #[error("the phone book knows their name under another key")]
    OtherKey(PeerId),
}

/// Where is this peer? Answered within about two seconds. `name` is theirs, if it is known.
#[derive(Message)]
#[rtype(result = "Result<Vec<SocketAddr>, LookupError>")]
pub struct Reach {
    pub peer: PeerId,
    pub name: Option<PlayerName>,
}

/// Somebody here waits for an introduction.
pub struct Call {
    peer: PeerId,
    addrs: Vec<SocketAddr>,
    answer: oneshot::Sender<Vec<SocketAddr>>,
}

impl PhoneBook {
    /// All ways to reach this machine that are known.
    pub(super) fn candidates(&self) -> Candidates {
        let local = self.registrant.local;
        let mut all: Vec<Candidate> = Vec::new();
        let mut add = |origin, ip: IpAddr| {
            let candidate = Candidate { origin, addr: SocketAddr::new(ip.to_canonical(), local.port()) };
            if all.iter().all(|known| known.addr != candidate.addr) {
                all.push(candidate);
            }
        };
        let observed: Vec<IpAddr> = self.books.iter().filter_map(|book| book.observed).collect();
        if local.ip().is_unspecified() {
            observed.iter().filter_map(|ip| host_address::toward(*ip)).for_each(|ip| add(Origin::Host, ip));
        } else {
            add(Origin::Host, local.ip());
        }
        observed.into_iter().for_each(|ip| add(Origin::Observed, ip));
        Candidates(all)
    }

    /// A letter with this machine's addresses.
    pub(super) fn address_letter(&self, to: &PeerId, topic: Topic) -> Option<Letter> {
        let text = codec::encode(&self.candidates());
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut_slice()).ok()?;
        Letter::seal(self.registrant.identity.key(), to, topic, &text, secret).ok()
    }

    /// The callee's own word came; whether to dial now, the machine says.
    pub(super) fn accepted(&mut self, book: usize, from: PeerId, attempt: Attempt, text: &[u8]) {
        let Some(call) = self.calls.get_mut(&attempt).filter(|call| call.peer == from) else { return };
        let Ok(candidates) = codec::decode::<Candidates>(text) else { return };
        call.addrs = candidates.worth_dialing(self.books.get(book).and_then(|book| book.observed));
        self.exchanging(book, from, attempt);
        self.introductions.handle(Instant::now(), Input::Accepted { peer: from, attempt });
    }

    pub(super) fn drive_introductions(&mut self) {
        while let Some(output) = self.introductions.poll() {
            match output {
                Output::Introduce { book, peer, attempt } => {
                    let letter = self.address_letter(&peer, Topic::Introduce(attempt));
                    let say = letter.map(|letter| Say::Introduce { to: Callee::Key(peer), attempt, letter });
                    let conversation = self.books.get_mut(book).map(|book| &mut book.conversation);
                    if !say.zip(conversation).is_some_and(|(say, conversation)| conversation.say(say)) {
                        self.introductions.handle(Instant::now(), Input::Down { book });
                    }
                }
                Output::Dial { attempt } => {
                    if let Some(call) = self.calls.remove(&attempt) {
                        // Who gave up waiting needs no answer.
                        call.answer.send(call.addrs).ok();
                    }
                }
                Output::Failed { attempt } => {
                    self.calls.remove(&attempt);
                }
            }
        }
    }

    /// Begins an introduction; the answer is dropped when nothing comes of it.
    fn call(&mut self, peer: PeerId) -> oneshot::Receiver<Vec<SocketAddr>> {
        let (answer, answered) = oneshot::channel();
        let mut attempt = [0; 16];
        if getrandom::fill(&mut attempt).is_ok() {
            let attempt = Bytes(attempt);
            let connected = self.books.iter().enumerate().filter(|(_, book)| book.conversation.is_open());
            let books = connected.map(|(index, _)| index).collect();
            self.calls.insert(attempt, Call { peer, addrs: Vec::new(), answer });
            self.introductions.handle(Instant::now(), Input::Call { peer, attempt, books });
        }
        answered
    }
}

impl Handler<Reach> for PhoneBook {
    type Result = ResponseFuture<Result<Vec<SocketAddr>, LookupError>>;

    fn handle(&mut self, reach: Reach, ctx: &mut Self::Context) -> Self::Result {
        let Reach { peer, name } = reach;
        if self.books.is_empty() {
            return Box::pin(async { Err(LookupError::NoPhonebook) });
        }
        let introduced = self.call(peer);
        self.drive(ctx);
        let books: Vec<PhonebookHttp> = self.books.iter().map(|book| book.http.clone()).collect();
        let name = name.map(|name| self.registrant.listing.name_of(&name));
        Box::pin(async move {
            let introduced = async move { introduced.await.ok().filter(|addrs| !addrs.is_empty()) };
            let listed = async move {
                let found = match name {
                    Some(name) => {
                        let all = listed(books, &name);
                        tokio::time::timeout(LOOKUP_TIME, all).await.unwrap_or(Err(LookupError::NotFound))
                    }
                    None => Err(LookupError::NotFound),
                };
                match found {
                    Ok(entry) if entry.peer != peer => Err(LookupError::OtherKey(entry.peer)),
                    Ok(Entry { addr: Some(addr), .. }) => Ok(vec![addr]),
                    Ok(Entry { addr: None, .. }) => Err(LookupError::NotFound),
                    Err(error) => Err(error),
                }
            };
            match futures::future::select(Box::pin(introduced), Box::pin(listed)).await {
                Either::Left((Some(addrs), _)) => Ok(addrs),
                Either::Left((None, listed)) => listed.await,
                Either::Right((Ok(addrs), _)) => Ok(addrs),
                Either::Right((Err(error), introduced)) => introduced.await.ok_or(error),
            }
        })
    }
}

/// Asks one phone book after the other, the next one as soon as one hesitates; the first that knows the name counts.
async fn listed(books: Vec<PhonebookHttp>, name: &str) -> Result<Entry, LookupError> {
    let mut worst = LookupError::NoPhonebook;
    let mut waiting = books.into_iter();
    let mut asked = FuturesUnordered::new();
    loop {
        if let Some(book) = waiting.next() {
            asked.push(async move { (book.lookup(name).await, book) });
        }
        let hedge = async {
            match waiting.len() {
                0 => std::future::pending().await,
                _ => tokio::time::sleep(HEDGE.mul_f64(0.9 + random() / 5.0)).await,
            }
        };
        tokio::select! {
            answer = asked.next() => match answer {
                Some((Ok(Some(entry)), _)) => return Ok(entry),
                Some((Ok(None), _)) => worst = LookupError::NotFound,
                Some((Err(error), book)) => {
                    tracing::debug!("phone book {}: {error}", book.url());
                    if !matches!(worst, LookupError::NotFound) {
                        worst = LookupError::Unavailable(error);
                    }
                }
                None => return Err(worst),
            },
            () = hedge => {}
        }
    }
}
